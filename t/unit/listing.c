/*
 * listing: RFC 5258's examples, LSUB, levels, special uses, both layouts; and
 * the law that the order in which things are added does not matter; and that
 * looking only where listing_plan() says gives what looking everywhere does.
 */
#include <string.h>

#include "imap/listing.h"
#include "imap/mboxrec.h"
#include "imap/value.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "t/tap.h"

static struct arena arena;

/*
 * The trees of RFC 5258, section 5: "+x" is subscribed, "-x" too, but does not
 * exist, "x=\Sent" has a special use.
 */
#define FRUIT                                                                  \
	"+INBOX Fruit Fruit/Apple +Fruit/Banana -Fruit/Peach Tofu +Vegetable " \
	"+Vegetable/Broccoli Vegetable/Corn"
#define NINE                                                            \
	"INBOX foo2 +foo2/bar1 +foo2/bar2 baz2 +baz2/bar2 +baz2/bar22 " \
	"+baz2/bar222 +eps2 +eps2/mamba +qux2/bar2"
#define USES "INBOX Old=\\Archive +Sent=\\Sent a/b/Bin=\\Trash +a/c"

/*
 * What comes of it: names in order, with letters behind a colon: N NonExistent,
 * n Noselect alone, C HasChildren, S Subscribed, I CHILDINFO, U a special use.
 */
static const struct {
	const char *tree, *command, *want;
} cases[] = {
	/* 1 */
	{ FRUIT, "LIST \"\" \"*\"",
	    "INBOX Fruit:C Fruit/Apple Fruit/Banana Tofu Vegetable:C "
	    "Vegetable/Broccoli Vegetable/Corn" },
	/* 2 */
	{ FRUIT, "LIST (SUBSCRIBED) \"\" \"*\"",
	    "INBOX:S Fruit/Banana:S Fruit/Peach:NS Vegetable:CS "
	    "Vegetable/Broccoli:S" },
	/* 3, 4 */
	{ FRUIT, "LIST () \"\" \"%\" RETURN (CHILDREN)",
	    "INBOX Fruit:C Tofu Vegetable:C" },
	{ FRUIT, "LIST (REMOTE) \"\" \"%\" RETURN (CHILDREN)",
	    "INBOX Fruit:C Tofu Vegetable:C" },
	/* 5 */
	{ FRUIT, "LIST (REMOTE SUBSCRIBED) \"\" \"*\"",
	    "INBOX:S Fruit/Banana:S Fruit/Peach:NS Vegetable:CS "
	    "Vegetable/Broccoli:S" },
	/* 6: without Fruit/Peach */
	{ FRUIT, "LIST (REMOTE) \"\" \"*\" RETURN (SUBSCRIBED)",
	    "INBOX:S Fruit:C Fruit/Apple Fruit/Banana:S Tofu Vegetable:CS "
	    "Vegetable/Broccoli:S Vegetable/Corn" },
	/* 7 */
	{ "INBOX Drafts Sent Sent/March Sent/August Sent/a/b",
	    "LIST \"\" (\"INBOX\" \"Drafts\" \"Sent/%\")",
	    "INBOX Drafts Sent/August Sent/March Sent/a:NC" },
	/* 8 */
	{ "INBOX Foo Foo/Bar +Foo/Baz Moo", "LIST (SUBSCRIBED) \"\" \"*\"",
	    "Foo/Baz:S" },
	{ "INBOX Foo Foo/Bar +Foo/Baz Moo", "LIST (SUBSCRIBED) \"\" \"%\"",
	    "" },
	{ "INBOX Foo Foo/Bar +Foo/Baz Moo",
	    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"", "Foo:CI" },
	{ "INBOX +Foo Foo/Bar +Foo/Baz Moo",
	    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"", "Foo:CSI" },
	{ "INBOX Foo/Bar +Foo/Baz Moo",
	    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"", "Foo:NCI" },
	{ "INBOX Foo Foo/Bar Foo/Baz Moo",
	    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"", "" },
	{ "INBOX +Foo Foo/Bar Foo/Baz +Moo",
	    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\" RETURN (CHILDREN)",
	    "Foo:CS Moo:S" },
	/* 9: without what would be redundant */
	{ NINE, "LIST (RECURSIVEMATCH SUBSCRIBED) \"\" \"*2\"",
	    "baz2/bar2:S baz2/bar22:S baz2/bar222:S eps2:CSI foo2:CI "
	    "foo2/bar2:S qux2/bar2:S" },
	{ NINE, "LIST (RECURSIVEMATCH SUBSCRIBED) \"\" \"*\"",
	    "baz2/bar2:S baz2/bar22:S baz2/bar222:S eps2:CSI eps2/mamba:S "
	    "foo2/bar1:S foo2/bar2:S qux2/bar2:S" },
	/* 10 */
	{ "INBOX foo -foo/bar", "LIST \"\" (\"foo\" \"foo/*\")", "foo" },
	{ "INBOX foo -foo/bar", "LIST (SUBSCRIBED) \"\" \"foo/*\"",
	    "foo/bar:NS" },
	{ "INBOX foo -foo/bar",
	    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" foo RETURN (CHILDREN)",
	    "foo:I" },
	/* 11 */
	{ "INBOX music/rock also/jazz", "LIST (REMOTE) \"\" *",
	    "INBOX also/jazz music/rock" },
	{ "INBOX music/rock also/jazz", "LIST () \"\" %",
	    "INBOX also:NC music:NC" },
	{ "INBOX music/rock", "LIST \"\" (% music/rock)", "INBOX music/rock" },

	/* Levels */
	{ "INBOX a/b/c/d", "LIST \"\" \"%/%\"", "a/b:NC" },
	{ "INBOX a/b/c/d", "LIST a/ \"%\"", "a/b:NC" },
	{ "INBOX a/b/c/d", "LIST \"\" \"*c\"", "a/b/c:NC" },
	{ "INBOX a/b/c/d", "LIST \"\" a/b", "a/b:NC" },
	{ "INBOX -a/b", "LIST \"\" \"%\" RETURN (SUBSCRIBED)", "INBOX" },
	{ "+INBOX", "LIST \"\" inbox", "INBOX" },
	{ "INBOX x y", "LIST \"\" z", "" },
	{ "INBOX x y", "LIST \"\" (\"\")", "" },

	/* LSUB: RFC 3501, 6.3.9 */
	{ "INBOX foo +foo/bar -gone", "LSUB \"\" \"*\"", "foo/bar gone" },
	{ "INBOX foo +foo/bar -gone", "LSUB \"\" \"%\"", "foo:n gone" },
	{ "INBOX +foo +foo/bar", "LSUB \"\" \"%\"", "foo" },
	{ "+INBOX +foo/a/b", "LSUB \"\" \"%\"", "INBOX foo:n" },
	{ "+INBOX +foo/a/b", "LSUB foo/ \"%\"", "foo/a:n" },
	{ "+INBOX +foo/a/b", "LSUB \"\" \"foo/*\"", "foo/a/b" },

	/* Special uses */
	{ USES, "LIST \"\" \"%\"", "INBOX Old:U Sent:U a:NC" },
	{ USES, "LIST (SPECIAL-USE) \"\" \"*\"", "Old:U Sent:U a/b/Bin:U" },
	{ USES, "LIST (SPECIAL-USE) \"\" \"%\"", "Old:U Sent:U" },
	{ USES, "LIST (SPECIAL-USE RECURSIVEMATCH) \"\" \"%\"",
	    "Old:U Sent:U a:NC" },
	{ USES, "LIST (SPECIAL-USE SUBSCRIBED) \"\" \"*\"", "Sent:SU" },
	{ USES, "LIST \"\" \"S*\" RETURN (SPECIAL-USE CHILDREN)", "Sent:U" },
	{ USES, "LSUB \"\" \"S*\"", "Sent" },
};

static const char *const refused[] = { "LIST ", "LIST  ", "LIST \"\"",
	"LIST \"\" ", "LIST \"\" * ", "LIST \"\" * RETURN",
	"LIST \"\" * RETURN SUBSCRIBED", "LIST \"\" * RETURN (BEAUTY)",
	"LIST \"\" * RETURN (STATUS)", "LIST \"\" * RETURN (STATUS ())",
	"LIST (RECURSIVEMATCH) \"\" *", "LIST (REMOTE RECURSIVEMATCH) \"\" *",
	"LIST (BEAUTY) \"\" *", "LIST (SUBSCRIBED)\"\" *", "LIST \"\" (a b) c",
	"LSUB () \"\" *", "LSUB \"\" (a b)", "LSUB \"\" * RETURN (CHILDREN)" };

struct asked {
	struct parse parse;
	struct listing_request request;
};

/* "LIST ..." or "LSUB ...". */
static const char *
ask(struct asked *q, const char *command)
{
	parse_init_text(&q->parse, &arena, slice_str(command + 5));
	listing_parse(&q->parse, command[1] == 'S', &q->request);
	return parse_error(&q->parse);
}

/* A mailbox that its owner alone sees, unless acl says more. */
static bool
add_mailbox(struct listing *l, struct slice name, struct slice uses,
    const char *acl)
{
	struct mboxrec rec = { .state = MBOXREC_ACTIVE,
		.acl = slice_str(acl),
		.special_uses = uses };

	return listing_add(l, name, &rec);
}

static void
add_one(struct listing *l, const struct mboxname_view *view, const char *word,
    size_t len)
{
	struct slice s = slice_of(word, len), uses, name;
	bool subscribed = *word == '+' || *word == '-';

	s = slice_skip(s, subscribed);
	uses = slice_skip(s, slice_find(s, '='));
	s = slice_first(s, s.len - uses.len);
	if (subscribed)
		listing_add_subscription(l, s);
	if (*word == '-')
		return;
	if (mboxname_from_external(&arena, view, s, &name) != NULL)
		name = s;
	add_mailbox(l, name, slice_skip(uses, uses.len > 0), "");
}

/* Forwards, or backwards. */
static void
add_tree(struct listing *l, const struct mboxname_view *view, const char *tree,
    bool backwards)
{
	const char *words[32];
	size_t n = 0;

	for (const char *at = tree; *at != '\0'; at += *at == ' ') {
		words[n++] = at;
		at += strcspn(at, " ");
	}
	for (size_t i = 0; i < n; i++) {
		const char *word = words[backwards ? n - 1 - i : i];

		add_one(l, view, word, strcspn(word, " "));
	}
}

static void
put_letters(struct buf *out, const char *line)
{
	static const struct {
		const char *text, *letter;
	} letters[] = { { "\\NonExistent \\Noselect", "N" },
		{ "(\\Noselect", "n" }, { "\\HasChildren", "C" },
		{ "\\Subscribed", "S" },
		{ " (\"CHILDINFO\" (\"SUBSCRIBED\"))", "I" }, { "\\Sent", "U" },
		{ "\\Archive", "U" }, { "\\Trash", "U" } };
	bool some = false;

	for (size_t i = 0; i < NITEMS(letters); i++)
		if (strstr(line, letters[i].text) != NULL) {
			buf_puts(out, some ? "" : ":");
			buf_puts(out, letters[i].letter);
			some = true;
		}
}

static const char *
answer(const struct mboxname_view *view, const char *tree, const char *command,
    bool backwards)
{
	struct asked q;
	struct listing *l;
	struct listing_item item;
	struct buf out, line;
	struct write w;
	const char *s;

	if (ask(&q, command) != NULL)
		return parse_error(&q.parse);
	l = listing_new(&arena, view, &q.request);
	add_tree(l, view, tree, backwards);
	while (!listing_settle(l))
		;
	buf_init(&out, 10000);
	buf_init(&line, 10000);
	while (listing_next(l, &item)) {
		buf_clear(&line);
		write_init(&w, &line, WRITE_SERVER);
		listing_write(&w, l, &item);
		buf_putc(&line, '\0');
		if (buf_len(&out) > 0)
			buf_putc(&out, ' ');
		buf_put_slice(&out, item.external);
		put_letters(&out, (const char *)buf_data(&line));
	}
	s = arena_string(&arena, buf_slice(&out));
	buf_fini(&out);
	buf_fini(&line);
	return s;
}

static const struct mboxname_view *
fred(void)
{
	static struct mboxname_view view;

	view.layout = &mboxname_layout_default;
	view.user = slice_str("fred");
	return &view;
}

static void
test_cases(void)
{
	for (size_t i = 0; i < NITEMS(cases); i++) {
		is_str(answer(fred(), cases[i].tree, cases[i].command, false),
		    cases[i].want, cases[i].command);
		is_str(answer(fred(), cases[i].tree, cases[i].command, true),
		    cases[i].want, "the same, added from the end");
		arena_reset(&arena);
	}
}

static void
test_refusals(void)
{
	struct asked q;

	for (size_t i = 0; i < NITEMS(refused); i++)
		ok(ask(&q, refused[i]) != NULL, "refused: %s", refused[i]);
	ok(ask(&q, "LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))") == NULL &&
	        value_count(q.request.status->items) == 2,
	    "STATUS items are kept");
	arena_reset(&arena);
}

static void
test_separator(void)
{
	static const struct {
		const char *command;
		bool only;
	} asks[] = { { "LIST \"\" \"\"", true }, { "LSUB \"\" \"\"", true },
		{ "LIST a/b \"\"", true }, { "LIST () \"\" \"\"", false },
		{ "LIST \"\" (\"\")", false }, { "LIST \"\" %", false } };
	struct asked q;

	for (size_t i = 0; i < NITEMS(asks); i++)
		ok(ask(&q, asks[i].command) == NULL &&
		        listing_is_separator_only(&q.request) == asks[i].only,
		    "separator: %s", asks[i].command);
	arena_reset(&arena);
}

/* Internal names, as others' and in the other layout. */
static void
test_layouts(void)
{
	static const char tree[] =
	    "user.fred user.fred.Drafts user.joe.x shared.help.faq";
	struct mboxname_layout plain = mboxname_layout_default;
	struct mboxname_view view = { .layout = &plain,
		.user = slice_str("fred") };
	struct asked q;
	struct listing *l;
	struct listing_item item;
	size_t n = 0;

	plain.altnamespace = false;
	for (int alt = 0; alt < 2; alt++) {
		plain.altnamespace = alt;
		n = 0;
		ok(ask(&q, "LIST \"\" %") == NULL, "parsed");
		l = listing_new(&arena, &view, &q.request);
		for (const char *at = tree; *at != '\0'; at += *at == ' ') {
			add_mailbox(l, slice_of(at, strcspn(at, " ")),
			    slice_of(NULL, 0), "fred\tl\t");
			at += strcspn(at, " ");
		}
		while (!listing_settle(l))
			;
		for (; listing_next(l, &item); n++)
			if (slice_is(item.external, "INBOX"))
				ok(n == 0 && item.has_children == !alt,
				    "INBOX is first, children %d", !alt);
			else if (slice_is(item.external, "Drafts"))
				ok(alt && item.exists, "beside INBOX");
			else
				ok(!item.exists && item.has_children,
				    "level %.*s", (int)item.external.len,
				    (const char *)item.external.ptr);
		ok(n == (alt ? 4 : 3), "%zu names", n);
	}
	arena_reset(&arena);
}

/* As a frontend has them of the home server. */
static void
test_attributes(void)
{
	struct asked q;
	struct listing *l;
	struct listing_item item;
	struct buf out;
	struct write w;

	ok(ask(&q, "LIST \"\" *") == NULL, "parsed");
	l = listing_new(&arena, fred(), &q.request);
	listing_add_attribute(l, slice_str("Sent"), slice_str("\\HasChildren"));
	listing_add_attribute(l, slice_str("Sent"), slice_str("\\sent"));
	listing_add_attribute(l, slice_str("Sent"), slice_str("\\Important"));
	listing_add_attribute(l, slice_str("Gone"), slice_str("\\Trash"));
	add_mailbox(l, slice_str("user.fred.Sent"), slice_of(NULL, 0), "");
	while (!listing_settle(l))
		;
	ok(listing_next(l, &item) && slice_is(item.external, "Sent") &&
	        slice_is(item.special_uses, "\\sent \\Important"),
	    "uses, not other attributes");
	buf_init(&out, 1000);
	write_init(&w, &out, WRITE_SERVER);
	listing_write(&w, l, &item);
	buf_putc(&out, '\0');
	is_str((const char *)buf_data(&out),
	    "* LIST (\\HasNoChildren \\sent \\Important) \"/\" Sent\r\n",
	    "both are written");
	buf_fini(&out);
	ok(!listing_next(l, &item), "an attribute makes no mailbox");
	arena_reset(&arena);
}

/* Whatever another host's entries have for special uses, lines stay lines. */
static void
test_odd_uses(void)
{
	struct asked q;
	struct listing *l;
	struct listing_item item;
	struct buf out;
	struct write w;

	ok(ask(&q, "LIST \"\" *") == NULL, "parsed");
	l = listing_new(&arena, fred(), &q.request);
	add_mailbox(l, slice_str("user.fred.a"),
	    slice_str("\\Sent) \"/\" x\r\n* BYE \\ \\a\x7f \\\"b  \\Junk"), "");
	while (!listing_settle(l))
		;
	MUST(listing_next(l, &item));
	buf_init(&out, 1000);
	write_init(&w, &out, WRITE_SERVER);
	listing_write(&w, l, &item);
	buf_putc(&out, '\0');
	is_str((const char *)buf_data(&out),
	    "* LIST (\\HasNoChildren \\Junk) \"/\" a\r\n",
	    "of special uses, those that are none are left out");
	buf_fini(&out);
	arena_reset(&arena);
}

static void
test_many(void)
{
	struct asked q;
	struct listing *l;
	struct listing_item item;
	size_t n = 0;

	ok(ask(&q, "LIST \"\" *") == NULL, "parsed");
	l = listing_new(&arena, fred(), &q.request);
	for (unsigned i = 0; i < 20000; i++)
		add_mailbox(l,
		    slice_str(arena_printf(&arena, "user.fred.n%u", i % 10000)),
		    slice_of(NULL, 0), "");
	while (!listing_settle(l))
		;
	while (listing_next(l, &item))
		n++;
	ok(n == 10000, "each of many once");
	arena_reset(&arena);
}

/* Added as they come, answered in order. */
static void
test_order(void)
{
	struct asked q;
	struct listing *l;
	struct listing_item item;
	struct slice last = { NULL, 0 };
	size_t n = 0;
	bool good = true;

	ok(ask(&q, "LIST \"\" n%") == NULL, "parsed");
	l = listing_new(&arena, fred(), &q.request);
	for (unsigned i = 0; i < 10000; i++) {
		/* Up and down, and here and there. */
		unsigned k = i < 5000 ? (i & 1 ? i : 9999 - i) : i;

		add_mailbox(l,
		    slice_str(arena_printf(&arena, "user.fred.n%u",
		        1000000 + k * 7919 % 10007)),
		    slice_of(NULL, 0), "");
	}
	while (!listing_settle(l))
		;
	for (; listing_next(l, &item); n++) {
		good = good && slice_compare(last, item.external) < 0;
		last = item.external;
	}
	ok(good && n > 5000, "in order (%zu)", n);
	arena_reset(&arena);
}

/* Patterns that take long are not all tried in one turn. */
static void
test_turns(void)
{
	static char star[2 * 440 + 1], name[450];
	struct asked q;
	struct listing *l;
	struct listing_item item;
	size_t turns = 1, n = 0;

	for (size_t i = 0; i < sizeof(star) - 1; i++)
		star[i] = i % 2 == 0 ? '*' : 'a';
	memset(name, 'a', sizeof(name) - 1);
	ok(ask(&q, arena_printf(&arena, "LIST \"\" (b %s)", star)) == NULL,
	    "parsed");
	l = listing_new(&arena, fred(), &q.request);
	for (unsigned i = 0; i < 1000; i++)
		add_mailbox(l,
		    slice_str(arena_printf(&arena, "user.fred.%u%s", i, name)),
		    slice_of(NULL, 0), "");
	while (!listing_settle(l))
		turns++;
	while (listing_next(l, &item))
		n++;
	ok(turns > 5 && n == 1000, "%zu turns for %zu names", turns, n);
	arena_reset(&arena);
}

/* In the order of a list. */
static const struct {
	const char *name, *acl;
} shop[] = {
	{ "shared.a", "anyone\tlr\t" },
	{ "shared.a.b", "fred\tl\t" },
	{ "shared.hidden", "joe\tl\t" },
	{ "user.fre", "" },
	{ "user.fred", "" },
	{ "user.fred.Archive", "" },
	{ "user.fred.Archive.2024", "" },
	{ "user.fred.Archive.2024.May", "" },
	{ "user.fred.Sent", "-fred\tlr\t" },
	{ "user.fred.empty.a.b", "" },
	{ "user.fredric", "" },
	{ "user.fredric.open", "anyone\tl\t" },
	{ "user.joe", "fred\tlr\t" },
	{ "user.joe.x", "fred\tlr\tjoe\tlr\t" },
	{ "user.joe.y", "" },
	{ "user.joe.y.z", "anyone\tl\t" },
};

static bool
is_in(const struct listing_walk *w, const char *name, const char *acl)
{
	struct slice s = slice_str(name);

	if (w->identifier.len > 0)
		return strstr(acl, arena_string(&arena, w->identifier)) != NULL;
	return w->below.len == 0 || slice_equal(s, w->below) ||
	       mboxname_is_below(s, w->below);
}

/* Looks where the plan says, or everywhere; counts what was looked at. */
static size_t
look(struct listing *l, const struct listing_walk *walks, size_t n)
{
	size_t looked = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < NITEMS(shop); j++) {
			if (!is_in(&walks[i], shop[j].name, shop[j].acl))
				continue;
			looked++;
			if (!add_mailbox(l, slice_str(shop[j].name),
			        slice_of(NULL, 0), shop[j].acl))
				break;
		}
	return looked;
}

static const char *
lines(struct listing *l)
{
	struct listing_item item;
	struct buf out;
	struct write w;
	const char *s;

	buf_init(&out, 100000);
	write_init(&w, &out, WRITE_SERVER);
	while (!listing_settle(l))
		;
	while (listing_next(l, &item))
		listing_write(&w, l, &item);
	s = arena_string(&arena, buf_slice(&out));
	buf_fini(&out);
	return s;
}

static size_t
test_plan(const struct mboxname_view *view, bool is_admin, const char *command)
{
	static const struct listing_walk all;
	struct listing_walk walks[LISTING_WALKS_MAX];
	struct listing *planned, *whole;
	struct asked q;
	size_t n, looked;

	if (ask(&q, command) != NULL)
		return 0;
	planned = listing_new(&arena, view, &q.request);
	n = listing_plan(planned, is_admin, walks);
	looked = look(planned, walks, n);
	whole = listing_new(&arena, view, &q.request);
	(void)listing_plan(whole, is_admin, walks); /* for who asks only */
	(void)look(whole, &all, !q.request.lsub);
	is_str(lines(planned), lines(whole),
	    arena_printf(&arena, "%s of %s, alt %d", command,
	        is_admin ? "an admin" : "fred", view->layout->altnamespace));
	return looked;
}

static void
test_plans(void)
{
	static const char *const commands[] = { "LIST \"\" *", "LIST \"\" %",
		"LIST \"\" inbox", "LIST \"\" INBOX/*", "LIST \"\" INBOX*",
		"LIST \"\" Archive", "LIST \"\" Archive/%", "LIST \"\" Arch%",
		"LIST Archive/ 2024", "LIST \"\" empty", "LIST \"\" empty/a",
		"LIST \"\" INBOX/Archive", "LIST \"\" INBOX/Archive/2*",
		"LIST \"\" \"Other Users\"", "LIST \"\" \"Other Users/%\"",
		"LIST \"\" \"Other Users/joe\"",
		"LIST \"\" \"Other Users/joe/*\"", "LIST \"\" user/joe",
		"LIST \"\" user/joe/%", "LIST \"\" user/%",
		"LIST \"\" user/fred/*", "LIST \"\" user",
		"LIST \"\" \"Shared Folders/shared/*\"", "LIST \"\" shared/a",
		"LIST \"\" shared/a/*",
		"LIST \"\" (Archive INBOX/Archive shared/a)",
		"LIST \"\" nothing", "LSUB \"\" *" };
	struct mboxname_layout layout = mboxname_layout_default;
	struct mboxname_view view = { .layout = &layout,
		.user = slice_str("fred") };

	for (int i = 0; i < 4; i++)
		for (size_t j = 0; j < NITEMS(commands); j++) {
			layout.altnamespace = i & 1;
			test_plan(&view, i & 2, commands[j]);
			arena_reset(&arena);
		}
	layout.altnamespace = true;
	ok(test_plan(&view, false, "LIST \"\" *") == 6 + 4 + 3,
	    "a user's own, those for the user, those for anyone");
	ok(test_plan(&view, true, "LIST \"\" *") == NITEMS(shop),
	    "an admin's are all");
	ok(test_plan(&view, true, "LIST \"\" \"Other Users/joe\"") == 2,
	    "one name and its first child");
	ok(test_plan(&view, false, "LIST \"\" Archive/*") == 3,
	    "what is below one name");
	arena_reset(&arena);
}

static void
test_too_many(void)
{
	struct asked q;
	struct listing *l;
	struct arena big;
	char name[40];

	ok(ask(&q, "LIST \"\" *") == NULL, "parsed");
	arena_init(&big);
	l = listing_new(&big, fred(), &q.request);
	for (unsigned i = 0; i < LISTING_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "user.fred.%u", i);
		if (!add_mailbox(l, slice_str(name), slice_of(NULL, 0), ""))
			break;
	}
	ok(!listing_is_cut(l), "as many as may be");
	ok(!add_mailbox(l, slice_str("user.fred.x"), slice_of(NULL, 0), ""),
	    "no more");
	ok(listing_is_cut(l), "and it is said");
	arena_reset(&big);
	arena_reset(&arena);
}

int
main(void)
{
	arena_init(&arena);
	test_cases();
	test_refusals();
	test_separator();
	test_layouts();
	test_attributes();
	test_odd_uses();
	test_many();
	test_order();
	test_turns();
	test_plans();
	test_too_many();
	return done_testing();
}
