/*
 * value: written and parsed again it is the same; what is too much is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/value.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/imap_trace.h"
#include "t/tap.h"

/* One command's pieces from its octets, as a session would have them. */
static const struct piece *
collected(struct collect *c, const uint8_t *in, size_t n)
{
	struct collect_item item;

	for (;;) {
		switch (collect_next(c, in, n, &item)) {
		case COLLECT_GATHERED:
		case COLLECT_CONTINUE:
			in += item.taken;
			n -= item.taken;
			continue;
		case COLLECT_COMMAND:
			return collect_pieces(c);
		default:
			return NULL;
		}
	}
}

static const struct collect_limits limits = { .text_max = 1 << 20,
	.literal_max = 1 << 20,
	.literals_max = 100 };

/* Parses text, writes it into out, parses that; the law. */
static const char *
round_trip(const char *text, struct buf *out)
{
	struct arena a, b;
	struct collect c, d;
	const struct piece *pieces;
	struct value *v, *w;
	struct write wr;
	struct parse p;
	const char *why = "not a command";

	arena_init(&a);
	arena_init(&b);
	collect_init(&c, COLLECT_IMAP, &limits, &a);
	collect_init(&d, COLLECT_IMAP, &limits, &b);
	write_init(&wr, out, WRITE_CLIENT);
	pieces = collected(&c, (const uint8_t *)text, strlen(text));
	if (pieces == NULL)
		goto out;
	parse_init(&p, &a, pieces);
	v = value_parse_all(&p);
	why = parse_error(&p);
	if (why != NULL || v == NULL)
		goto out;
	value_write_all(&wr, v);
	write_end(&wr);
	why = "written, it is no command";
	pieces = collected(&d, buf_data(out), buf_len(out));
	if (pieces == NULL)
		goto out;
	parse_init(&p, &b, pieces);
	w = value_parse_all(&p);
	why = parse_error(&p);
	if (why == NULL && value_count(v) != value_count(w))
		why = "another number";
	for (; why == NULL && v != NULL; v = v->next, w = w->next)
		if (!value_equal(v, w))
			why = "not the same";
out:
	arena_reset(&a);
	arena_reset(&b);
	return why;
}

static void
test_law(void)
{
	static const struct {
		const char *in, *want; /* want NULL: refused */
	} cases[] = {
		{ "a b\r\n", "a b\r\n" },
		{ "1:*,5 (FLAGS BODY.PEEK[HEADER.FIELDS (From To)]<0.10>)\r\n",
		    "1:*,5 (FLAGS BODY.PEEK[HEADER.FIELDS (From "
		    "To)]<0.10>)\r\n" },
		{ "body[] BODY[TEXT]<1.2> BODY[1.MIME] binary[1]\r\n",
		    "body[] BODY[TEXT]<1.2> BODY[1.MIME] binary[1]\r\n" },
		{ "[Gmail]/All a[b]c BODY]x\r\n",
		    "[Gmail]/All a[b]c BODY]x\r\n" },
		{ "\"a \\\"b\" {3}\r\nxyz\r\n", "\"a \\\"b\" \"xyz\"\r\n" },
		{ "{4}\r\na\r\nb ~{2}\r\nab\r\n",
		    "{4+}\r\na\r\nb ~{2+}\r\nab\r\n" },
		{ "() (()) ((a) (b c) d)\r\n", "() (()) ((a) (b c) d)\r\n" },
		{ "+FLAGS.SILENT (\\Seen $x) %/*\r\n",
		    "+FLAGS.SILENT (\\Seen $x) %/*\r\n" },
		{ "({1}\r\na {1}\r\nb)\r\n", "(\"a\" \"b\")\r\n" },
		{ "NIL nil \"\"\r\n", "NIL nil \"\"\r\n" },
		{ "a  b\r\n", NULL },
		{ "(a\r\n", NULL },
		{ "a)\r\n", NULL },
		{ "(a))\r\n", NULL },
		{ "BODY[\r\n", NULL },
		{ "BODY[]<1\r\n", NULL },
		{ "a\x01\r\n", NULL },
		{ "BODY[]<\x01>\r\n", NULL },
		{ "\xc3\xa9\r\n", NULL },
		{ " a\r\n", NULL },
		{ "a \r\n", NULL },
		{ "a\"b\"\r\n", NULL },
	};
	struct buf out;

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		const char *why;

		buf_clear(&out);
		why = round_trip(cases[i].in, &out);
		if (cases[i].want == NULL)
			ok(why != NULL, "refused: %s", why ? why : "-");
		else
			ok(why == NULL &&
			        slice_is(buf_slice(&out), cases[i].want),
			    "case %zu: %s", i, why ? why : "the same");
	}
	buf_fini(&out);
}

/* n times open, then an a, then n times close. */
static char *
nested(const char *open, const char *close, size_t n)
{
	size_t k = strlen(open);
	char *s = malloc(n * (k + 1) + 4), *p = s;

	for (size_t i = 0; i < n; i++, p += k)
		memcpy(p, open, k);
	*p++ = 'a';
	for (size_t i = 0; i < n; i++)
		*p++ = *close;
	strcpy(p, "\r\n");
	return s;
}

static void
test_limits(void)
{
	static const struct {
		const char *open, *close;
		size_t n;
		bool good;
	} cases[] = { { "(", ")", VALUE_DEPTH_MAX, true },
		{ "(", ")", VALUE_DEPTH_MAX + 1, false },
		{ "(", ")", 100000, false },
		{ "BODY[", "]", VALUE_DEPTH_MAX, true },
		{ "BODY[", "]", 10000, false } };
	struct buf out;
	char *s, *p;

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		s = nested(cases[i].open, cases[i].close, cases[i].n);
		buf_clear(&out);
		ok((round_trip(s, &out) == NULL) == cases[i].good,
		    "%zu deep %s", cases[i].n, cases[i].open);
		free(s);
	}
	s = malloc(2 * 500000 + 3);
	for (p = s; p < s + 1000000; p += 2)
		memcpy(p, "a ", 2);
	strcpy(p - 1, "\r\n");
	buf_clear(&out);
	is_str(round_trip(s, &out), "Too many arguments", "half a million");
	s[2 * VALUE_ITEMS_MAX - 1] = '\r';
	s[2 * VALUE_ITEMS_MAX] = '\n';
	s[2 * VALUE_ITEMS_MAX + 1] = '\0';
	buf_clear(&out);
	ok(round_trip(s, &out) == NULL, "as many as may be");
	free(s);
	buf_fini(&out);
}

static void
test_stream(void)
{
	struct piece stream = { .kind = PIECE_STREAM, .size = 310 };
	struct piece text = { .octets = slice_str("INBOX () "),
		.next = &stream };
	struct value *v;
	struct parse p;
	struct write w;
	struct arena a;
	struct buf out;

	arena_init(&a);
	buf_init(&out, 100);
	write_init(&w, &out, WRITE_CLIENT);
	parse_init(&p, &a, &text);
	v = value_parse_all(&p);
	ok(value_count(v) == 3 && value_is(v, "inbox"), "three arguments");
	value_write_all(&w, v);
	ok(slice_is(buf_slice(&out), "INBOX () {310+}\r\n"),
	    "its octets are to follow");
	buf_fini(&out);
	arena_reset(&a);
}

int
main(void)
{
	test_law();
	test_limits();
	test_stream();
	return done_testing();
}
