/*
 * metadata: names of entries, depths, options in both places; what is wrong;
 * what is written is what RFC 5464's examples have.
 */
#include <stdio.h>
#include <string.h>

#include "imap/metadata.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "t/tap.h"

static struct arena arena;

static const struct {
	const char *name;
	bool good;
} names[] = {
	{ "/private/comment", true },
	{ "/shared/vendor/x/y", true },
	{ "/private/a/b/c/d/e", true },
	{ "/private/a b", true },
	{ "/shared/vendor/x", false },
	{ "/private/vendor/x", false },
	{ "/private", false },
	{ "/private/", false },
	{ "/private//a", false },
	{ "/private/a/", false },
	{ "/public/a", false },
	{ "private/a", false },
	{ "/private/a*", false },
	{ "/private/%", false },
	{ "/private/\x1f", false },
	{ "/private/\x80", false },
	{ "", false },
};

static const struct {
	const char *name, *entry;
	bool only, below, all;
} depths[] = {
	{ "/private/a", "/private/a", true, true, true },
	{ "/private/a/b", "/private/a", false, true, true },
	{ "/private/a/b/c", "/private/a", false, false, true },
	{ "/private/ab", "/private/a", false, false, false },
	{ "/private", "/private/a", false, false, false },
	{ "/shared/a", "/private", false, false, false },
};

/* mailbox, MAXSIZE, DEPTH, entries; NULL: BAD. */
static const struct {
	const char *text, *want;
} gets[] = {
	{ "\"\" /shared/comment", " - 0 /shared/comment" },
	{ "inbox /private/Comment", "INBOX - 0 /private/comment" },
	{ "INBOX (/shared/comment /private/comment)",
	    "INBOX - 0 /shared/comment /private/comment" },
	{ "(MAXSIZE 1024) INBOX (/shared/comment)",
	    "INBOX 1024 0 /shared/comment" },
	{ "INBOX (MAXSIZE 1024) (/shared/comment)",
	    "INBOX 1024 0 /shared/comment" },
	{ "(DEPTH 1) INBOX (/private/filters/values)",
	    "INBOX - 1 /private/filters/values" },
	{ "(depth infinity maxsize 7) a /private", "a 7 2 /private" },
	{ "(DEPTH 0 MAXSIZE 1) a /private/b", "a 1 0 /private/b" },
	{ "a /private", NULL },
	{ "(DEPTH 2) a /private/b", NULL },
	{ "(DEPTH) a /private/b", NULL },
	{ "(MAXSIZE \"1\") a /private/b", NULL },
	{ "(MAXSIZE 99999999999) a /private/b", NULL },
	{ "(NONE 1) a /private/b", NULL },
	{ "a", NULL },
	{ "a ()", NULL },
	{ "a /private/b /private/c", NULL },
	{ "a ((/private/b))", NULL },
	{ "", NULL },
};

/* mailbox, then entry=value or entry for NIL; NULL: BAD. */
static const struct {
	const char *text, *want;
} sets[] = {
	{ "INBOX (/private/comment NIL)", "INBOX /private/comment" },
	{ "INBOX (/private/comment \"My new comment\" /shared/comment \"x\")",
	    "INBOX /private/comment=My new comment /shared/comment=x" },
	{ "\"\" (/PRIVATE/A \"NIL\")", " /private/a=NIL" },
	{ "a (/private/b word)", "a /private/b=word" },
	{ "a (/private/b \"\")", "a /private/b=" },
	{ "a (/private/b)", NULL },
	{ "a /private/b c", NULL },
	{ "a (/private/b c) d", NULL },
	{ "a ()", NULL },
	{ "a (/private/b (c))", NULL },
	{ "a (b c)", NULL },
	{ "a", NULL },
};

static void
put_slice(struct buf *b, const char *before, struct slice s)
{
	buf_puts(b, before);
	buf_put_slice(b, s);
}

static const char *
words(struct buf *b)
{
	const char *s = arena_string(&arena, buf_slice(b));

	buf_fini(b);
	return s;
}

static const char *
got(const char *text)
{
	struct metadata_get g;
	struct parse p;
	struct buf b;

	parse_init_text(&p, &arena, slice_str(text));
	metadata_parse_get(&p, &g);
	parse_end(&p);
	if (parse_error(&p) != NULL)
		return "BAD";
	buf_init(&b, 4096);
	buf_put_slice(&b, g.mailbox);
	if (g.maxsize == UINT64_MAX)
		buf_puts(&b, " -");
	else
		buf_printf(&b, " %llu", (unsigned long long)g.maxsize);
	buf_printf(&b, " %d", (int)g.depth);
	for (size_t i = 0; i < g.n; i++)
		put_slice(&b, " ", g.entries[i]);
	return words(&b);
}

static const char *
was_set(const char *text)
{
	struct metadata_set s;
	struct parse p;
	struct buf b;

	parse_init_text(&p, &arena, slice_str(text));
	metadata_parse_set(&p, &s);
	parse_end(&p);
	if (parse_error(&p) != NULL)
		return "BAD";
	buf_init(&b, 4096);
	buf_put_slice(&b, s.mailbox);
	for (size_t i = 0; i < s.n; i++) {
		put_slice(&b, " ", s.items[i].entry);
		if (s.items[i].value.ptr != NULL)
			put_slice(&b, "=", s.items[i].value);
	}
	return words(&b);
}

static void
test_write(void)
{
	static const char want[] =
	    "* METADATA \"\" (/shared/comment \"Shared comment\")\r\n"
	    "* METADATA INBOX (/private/comment NIL)\r\n"
	    "* METADATA \"a b\" (/private/comment NIL "
	    "/private/c ~{1}\r\n\0)\r\n"
	    "* METADATA INBOX /shared/comment\r\n";
	const struct metadata_item items[] = {
		{ slice_str("/shared/comment"), slice_str("Shared comment") },
		{ slice_str("/private/comment"), slice_of(NULL, 0) },
		{ slice_str("/private/c"), slice_of("\0", 1) },
	};
	struct buf b;
	struct write w;

	buf_init(&b, 4096);
	write_init(&w, &b, WRITE_SERVER);
	metadata_write(&w, slice_str(""), &items[0], 1);
	metadata_write(&w, slice_str("INBOX"), &items[1], 1);
	metadata_write(&w, slice_str("a b"), &items[1], 2);
	metadata_write_change(&w, slice_str("INBOX"),
	    slice_str("/shared/comment"));
	ok(slice_equal(buf_slice(&b), slice_of(want, sizeof(want) - 1)),
	    "responses");
	buf_fini(&b);
}

static void
test_too_many(void)
{
	struct buf b;

	buf_init(&b, 65536);
	buf_puts(&b, "a (/private/b");
	for (unsigned i = 1; i < METADATA_ITEMS_MAX; i++)
		buf_puts(&b, " /private/b");
	ok(strcmp(got(arena_printf(&arena, "%.*s)", (int)buf_len(&b),
	              (const char *)buf_data(&b))),
	       "BAD") != 0,
	    "as many entries as may be");
	ok(strcmp(got(arena_printf(&arena, "%.*s /private/b)", (int)buf_len(&b),
	              (const char *)buf_data(&b))),
	       "BAD") == 0,
	    "and one more");
	buf_fini(&b);
}

int
main(void)
{
	arena_init(&arena);
	for (size_t i = 0; i < NITEMS(names); i++)
		ok((metadata_invalid(slice_str(names[i].name)) == NULL) ==
		        names[i].good,
		    "a name %s", names[i].good ? "as it should be" : "or not");
	for (size_t i = 0; i < NITEMS(depths); i++) {
		struct slice n = slice_str(depths[i].name);
		struct slice e = slice_str(depths[i].entry);

		ok(metadata_matches(n, e, METADATA_ONLY) == depths[i].only &&
		        metadata_matches(n, e, METADATA_BELOW) ==
		            depths[i].below &&
		        metadata_matches(n, e, METADATA_ALL) == depths[i].all,
		    "%s below %s", depths[i].name, depths[i].entry);
	}
	for (size_t i = 0; i < NITEMS(gets); i++)
		is_str(got(gets[i].text),
		    gets[i].want != NULL ? gets[i].want : "BAD", gets[i].text);
	for (size_t i = 0; i < NITEMS(sets); i++)
		is_str(was_set(sets[i].text),
		    sets[i].want != NULL ? sets[i].want : "BAD", sets[i].text);
	test_too_many();
	test_write();
	arena_reset(&arena);
	return done_testing();
}
