/*
 * sort, subject: base subjects are what RFC 5256 says, keys compare as the
 * messages do.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/parse.h"
#include "imap/sort.h"
#include "imap/subject.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static const struct {
	const char *value, *base;
	bool reply;
} subjects[] = {
	{ " Hello", "Hello", false },
	{ "Re: Hello", "Hello", true },
	{ "RE:Hello", "Hello", true },
	{ "re  : Hello", "Hello", true },
	{ "Re: Re: Fwd: fw: Hello", "Hello", true },
	{ "Re [2]: Hello", "Hello", true },
	{ "Re[2]: Hello", "Hello", true },
	{ "Re(2): Hello", "Re(2): Hello", false },
	{ "Reply: Hello", "Reply: Hello", false },
	{ "[list] Hello", "Hello", false },
	{ "[list] Re: Hello", "Hello", true },
	{ "Re: [list] Hello", "Hello", true },
	{ "[a] [b] Re: [c] Hello", "Hello", true },
	{ "[a][b][c]", "[c]", false },
	{ "[a] [b] [c] ", "[c]", false },
	{ "[a [b] c", "[a [b] c", false },
	{ "Hello (fwd)", "Hello", true },
	{ "Hello (fwd) (FWD) ", "Hello", true },
	{ "Hello (fwd) x", "Hello (fwd) x", false },
	{ "[fwd: Hello]", "Hello", true },
	{ "[Fwd: Re: [x] Hello (fwd)]", "Hello", true },
	{ "[fwd: [fwd: [fwd: Hello]]]", "Hello", true },
	{ "[fwd: Hello", "[fwd: Hello", false },
	{ "Re: [fwd: [list] Re: Hello]", "Hello", true },
	{ "Hello\t  World\r\n  again", "Hello World again", false },
	{ "=?utf-8?q?Re:_caf=C3=A9?=", "caf\xc3\xa9", true },
	{ "=?iso-8859-1?q?caf=E9?= =?utf-8?b?w6k=?=", "caf\xc3\xa9\xc3\xa9",
	    false },
	{ "Re:", "", true },
	{ "Re: (fwd)", "", true },
	{ "", "", false },
	{ "  ", "", false },
	{ "[]", "[]", false },
	{ "[] x", "x", false },
	{ "[fwd:]", "", true },
	{ "AW: Hello", "AW: Hello", false },
};

static void
test_subjects(void)
{
	struct subject s;
	struct arena a;
	size_t n = 200000;
	char *long_one = malloc(n + 2);

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(subjects); i++) {
		subject_base(&a, slice_str(subjects[i].value), &s);
		ok(slice_is(s.base, subjects[i].base) &&
		        s.reply == subjects[i].reply && !s.bad,
		    "\"%s\" is \"%.*s\"%s", subjects[i].value, (int)s.base.len,
		    (const char *)s.base.ptr, s.reply ? ", a reply" : "");
	}
	for (size_t i = 0; i < n; i++)
		long_one[i] = "[]"[i & 1];
	subject_base(&a, slice_of(long_one, n), &s);
	ok(slice_is(s.base, "[]"), "a hundred thousand blobs");
	long_one[n] = 'x';
	subject_base(&a, slice_of(long_one, n + 1), &s);
	ok(slice_is(s.base, "x"), "...and a text");
	arena_reset(&a);
	free(long_one);
}

/* Messages, and the order that each SORT gives. */
static const struct {
	int64_t internal;
	uint64_t size;
	bool sent_known;
	int64_t sent;
	const char *headers;
} messages[] = {
	{ 500, 10, true, -5,
	    "From: Zoe <alpha@x>\r\nTo: b@x\r\nSubject: Re: apple\r\n" },
	{ 400, 30, true, 100,
	    "From: \"adam\" <Zeta@x>\r\nTo: A@x, z@x\r\nCc: x@y\r\n"
	    "Subject: Banana\r\n" },
	{ 300, 20, false, 0, "From: beta@x\r\nSubject: [l] APPLE\r\n" },
	{ 200, 20, true, 100,
	    "From: =?iso-8859-1?q?=C9va?= <gamma@x>\r\n"
	    "To: group: q@x;\r\nSubject: apple pie\r\n" },
	{ -9, 5, true, 300, "Subject: \r\n" },
};

static const struct {
	const char *criteria;
	int order[NITEMS(messages)];
} sorts[] = {
	{ "(ARRIVAL)", { 5, 4, 3, 2, 1 } },
	{ "(REVERSE ARRIVAL)", { 1, 2, 3, 4, 5 } },
	{ "(SIZE)", { 5, 1, 3, 4, 2 } },
	{ "(REVERSE SIZE)", { 2, 3, 4, 1, 5 } },
	{ "(DATE)", { 1, 2, 4, 3, 5 } },
	{ "(REVERSE DATE)", { 3, 5, 2, 4, 1 } },
	{ "(SUBJECT)", { 5, 1, 3, 4, 2 } },
	{ "(REVERSE SUBJECT)", { 2, 4, 1, 3, 5 } },
	{ "(SUBJECT REVERSE DATE)", { 5, 3, 1, 4, 2 } },
	{ "(SUBJECT DATE SUBJECT REVERSE DATE)", { 5, 1, 3, 4, 2 } },
	{ "(FROM)", { 5, 1, 3, 4, 2 } },
	{ "(TO)", { 3, 5, 2, 1, 4 } },
	{ "(CC SIZE)", { 5, 1, 3, 4, 2 } },
	{ "(DISPLAYFROM)", { 5, 2, 3, 4, 1 } },
	{ "(displayto)", { 3, 5, 2, 1, 4 } },
};

static struct slice keys[NITEMS(messages)];

static int
by_key(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	int order = slice_compare(keys[x - 1], keys[y - 1]);

	return order != 0 ? order : x - y;
}

static bool
parse(struct arena *a, const char *criteria, struct sort *s)
{
	struct parse p;

	parse_init_text(&p, a, slice_str(criteria));
	sort_parse(&p, s);
	parse_end(&p);
	return parse_error(&p) == NULL;
}

static void
test_sorts(void)
{
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(sorts); i++) {
		int order[NITEMS(messages)];
		struct sort s;
		bool good = parse(&a, sorts[i].criteria, &s);

		for (size_t k = 0; k < NITEMS(messages); k++) {
			struct sort_facts f = { messages[k].internal,
				messages[k].size, messages[k].sent_known,
				messages[k].sent,
				slice_str(messages[k].headers) };
			struct buf b;

			buf_init(&b, 100000);
			sort_put_key(&b, &s, &f);
			good &= !buf_failed(&b);
			keys[k] = arena_copy(&a, buf_slice(&b));
			buf_fini(&b);
			order[k] = (int)k + 1;
		}
		qsort(order, NITEMS(order), sizeof(order[0]), by_key);
		good &= memcmp(order, sorts[i].order, sizeof(order)) == 0;
		ok(good, "%s: %d %d %d %d %d", sorts[i].criteria, order[0],
		    order[1], order[2], order[3], order[4]);
	}
	arena_reset(&a);
}

static const char *const bad_sorts[] = { "", "()", "SUBJECT", "(REVERSE)",
	"(SUBJECT", "(SUBJECT )", "(REVERSE REVERSE DATE)", "(COLOUR)",
	"(REVERSESUBJECT)" };

static void
test_parse(void)
{
	struct sort s;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(bad_sorts); i++)
		ok(!parse(&a, bad_sorts[i], &s), "\"%s\" is none",
		    bad_sorts[i]);
	ok(parse(&a, "(SIZE ARRIVAL)", &s) && !sort_wants_headers(&s) &&
	        parse(&a, "(SIZE DATE)", &s) && sort_wants_headers(&s),
	    "who needs headers");
	arena_reset(&a);
}

/* RFC 5255 4.6's example: (4) (2) (3) (1). */
static void
test_failed_texts(void)
{
	static const char *const texts[] = {
		"=?utf-8?q?=D0=C0=D0=BD=D0=B4=D1=80=D0=B5=D0=B9?=",
		"=?utf-8?q?=D1=81=D0=95=D0=A0=D0=93=D0=95=D0=99?=",
		"=?utf-8?q?=D0=92=D0=B0=D1=81=D0=B8=D0=BB=D0=B8=FF=B9?=",
		"=?koi8-r?q?=E1=CC=C5=CB=D3=C5=CA?=",
		"=?no-such-charset?q?=41?=",
	};
	static const int want[] = { 4, 2, 5, 3, 1 };
	int order[] = { 1, 2, 3, 4, 5 };
	struct sort s;
	struct arena a;
	bool good;

	arena_init(&a);
	good = parse(&a, "(SUBJECT)", &s);
	for (size_t i = 0; i < NITEMS(texts); i++) {
		struct sort_facts f = { .headers = slice_str(arena_printf(&a,
			                    "Subject: %s\r\n", texts[i])) };
		struct buf b;

		buf_init(&b, 10000);
		sort_put_key(&b, &s, &f);
		keys[i] = arena_copy(&a, buf_slice(&b));
		buf_fini(&b);
	}
	qsort(order, NITEMS(order), sizeof(order[0]), by_key);
	ok(good && memcmp(order, want, sizeof(want)) == 0,
	    "what is no Unicode comes last: %d %d %d %d %d", order[0], order[1],
	    order[2], order[3], order[4]);
	arena_reset(&a);
}

/* A key has its limits, whatever is in the message. */
static void
test_long_texts(void)
{
	struct sort_facts f = { 0 };
	struct sort s;
	struct arena a;
	struct buf b;
	uint8_t *text;

	arena_init(&a);
	buf_init(&b, 100000);
	text = arena_alloc(&a, 50000);
	memset(text, 'x', 50000);
	memcpy(text, "Subject: ", 9);
	f.headers = slice_of(text, 50000);
	ok(parse(&a, "(REVERSE SUBJECT)", &s), "parsed");
	sort_put_key(&b, &s, &f);
	ok(!buf_failed(&b) && buf_len(&b) == SORT_TEXT_MAX + 2,
	    "long subjects are cut (%zu)", buf_len(&b));
	buf_fini(&b);
	arena_reset(&a);
}

int
main(void)
{
	test_subjects();
	test_sorts();
	test_parse();
	test_failed_texts();
	test_long_texts();
	return done_testing();
}
