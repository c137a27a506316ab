/*
 * search: a key finds what it says, with no more than it needs, and the
 * answer is the same however it is come by.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/casefold.h"
#include "imap/charset.h"
#include "imap/flag.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/seqset.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "t/summary_of.h"
#include "t/tap.h"

static const char message[] =
    "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\n"
    "To: fred@example.org\r\n"
    "Subject: Hello\r\n World\r\n"
    "X-Strange: Yes\r\n"
    "Date: Wed, 17 Jul 1996 23:23:25 -0700\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n"
    "\r\n"
    "preamble\r\n"
    "--b\r\n"
    "Content-Type: text/plain; charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n"
    "\r\n"
    "Gr=FC=DFe aus K=\r\n=F6ln\r\n"
    "--b\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: base64\r\n"
    "\r\n"
    "0J/RgNC40LLQtdGC\r\n" /* Privet, in Cyrillic */
    "--b\r\n"
    "Content-Type: image/png; name=picture.png\r\n"
    "\r\n"
    "secret\r\n"
    "--b--\r\n";

static const struct search_facts plain_facts = { .now = 838000000,
	.seq = 3,
	.uid = 30,
	.modseq = 77,
	.size_octets = sizeof(message) - 1,
	.internal_seconds = 837596665, /* 17-Jul-1996 09:44:25 UTC */
	.flags = FLAG_SEEN | FLAG_RECENT,
	.emailid = { (const uint8_t *)"M1", 2 } };

static const struct {
	const char *keys;
	bool found;
	enum search_answer first; /* with the facts alone */
} cases[] = {
	{ "ALL", true, SEARCH_YES },
	{ "SEEN", true, SEARCH_YES },
	{ "UNSEEN", false, SEARCH_NO },
	{ "RECENT NOT OLD", true, SEARCH_YES },
	{ "NEW", false, SEARCH_NO },
	{ "ANSWERED", false, SEARCH_NO },
	{ "UNANSWERED UNDELETED UNDRAFT UNFLAGGED", true, SEARCH_YES },
	{ "OR DELETED FLAGGED", false, SEARCH_NO },
	{ "OR DELETED (SEEN RECENT)", true, SEARCH_YES },
	{ "NOT (SEEN DELETED)", true, SEARCH_YES },
	{ "NOT NOT NOT SEEN", false, SEARCH_NO },
	{ "OR OR DELETED DRAFT OR FLAGGED SEEN", true, SEARCH_YES },
	{ "3", true, SEARCH_YES },
	{ "1:2,5", false, SEARCH_NO },
	{ "*", true, SEARCH_YES },
	{ "2:*", true, SEARCH_YES },
	{ "UID 30", true, SEARCH_YES },
	{ "UID 3", false, SEARCH_NO },
	{ "UID 40:*", true, SEARCH_YES }, /* the last, since * is 30 */
	{ "$", true, SEARCH_YES },
	{ "UID $", true, SEARCH_YES },
	{ "NOT $", false, SEARCH_NO },
	{ "OR $ 1,3000:3021", true, SEARCH_YES },
	{ "2,$", true, SEARCH_YES },
	{ "SAVEDATESUPPORTED", true, SEARCH_YES },
	{ "SAVEDON 17-Jul-1996", true, SEARCH_YES },
	{ "SEEN UNSEEN", false, SEARCH_NO },
	{ "SEEN SEEN ALL", true, SEARCH_YES },
	{ "OR SEEN SEEN UNDELETED", true, SEARCH_YES },
	{ "KEYWORD $junk", false, SEARCH_NO },
	{ "KEYWORD $Work UNKEYWORD $junk", true, SEARCH_YES },
	{ "LARGER 100", true, SEARCH_YES },
	{ "SMALLER 100", false, SEARCH_NO },
	{ "ON 17-Jul-1996", true, SEARCH_YES },
	{ "BEFORE 17-Jul-1996", false, SEARCH_NO },
	{ "SINCE \"17-Jul-1996\"", true, SEARCH_YES },
	{ "SINCE 18-Jul-1996", false, SEARCH_NO },
	{ "OLDER 1000", true, SEARCH_YES },
	{ "YOUNGER 1000", false, SEARCH_NO },
	{ "MODSEQ 77", true, SEARCH_YES },
	{ "MODSEQ \"/flags/\\\\draft\" all 78", false, SEARCH_NO },
	{ "EMAILID M1", true, SEARCH_YES },
	{ "THREADID T1", false, SEARCH_NEEDS_SUMMARY },
	{ "SENTON 17-Jul-1996", true, SEARCH_NEEDS_SUMMARY },
	{ "SENTON 18-Jul-1996", false, SEARCH_NEEDS_SUMMARY },
	{ "SENTBEFORE 18-Jul-1996", true, SEARCH_NEEDS_SUMMARY },
	{ "SENTSINCE 18-Jul-1996", false, SEARCH_NEEDS_SUMMARY },
	{ "SUBJECT \"hello world\"", true, SEARCH_NEEDS_SUMMARY },
	{ "SUBJECT \"hello  world\"", false, SEARCH_NEEDS_SUMMARY },
	{ "SUBJECT \"\"", true, SEARCH_NEEDS_SUMMARY },
	{ "CC \"\"", false, SEARCH_NEEDS_SUMMARY },
	{ "FROM \"J\xc3\x96RG\"", true, SEARCH_NEEDS_SUMMARY },
	{ "CHARSET ISO-8859-1 FROM \"J\xf6rg\"", true, SEARCH_NEEDS_SUMMARY },
	{ "FROM joerg@", true, SEARCH_NEEDS_SUMMARY },
	{ "TO joerg", false, SEARCH_NEEDS_SUMMARY },
	{ "HEADER X-STRANGE yes", true, SEARCH_NEEDS_MESSAGE },
	{ "HEADER X-STRANGE no", false, SEARCH_NEEDS_MESSAGE },
	{ "HEADER X-NONE \"\"", false, SEARCH_NEEDS_MESSAGE },
	{ "BODY \"gr\xc3\xbc\xc3\x9f\"", true, SEARCH_NEEDS_MESSAGE },
	{ "BODY \"\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\"", true,
	    SEARCH_NEEDS_MESSAGE },
	{ "BODY secret", false, SEARCH_NEEDS_MESSAGE },
	{ "BODY picture.png", true, SEARCH_NEEDS_MESSAGE },
	{ "BODY strange", false, SEARCH_NEEDS_MESSAGE },
	{ "BODY preamble", false, SEARCH_NEEDS_MESSAGE },
	{ "BODY \"\"", true, SEARCH_NEEDS_MESSAGE },
	{ "TEXT strange TEXT \"\xd0\xbf\xd1\x80\" NOT TEXT nowhere", true,
	    SEARCH_NEEDS_MESSAGE },
	{ "TEXT \"jorg\"", false, SEARCH_NEEDS_MESSAGE },
	{ "OR SEEN BODY x", true, SEARCH_YES },
	{ "OR BODY x SEEN", true, SEARCH_YES },
	{ "BODY x UNSEEN", false, SEARCH_NO },
	{ "UNSEEN BODY x", false, SEARCH_NO },
	{ "OR (UNSEEN BODY x) SUBJECT hello", true, SEARCH_NEEDS_SUMMARY },
	{ "NOT BODY nowhere NOT SUBJECT nowhere", true, SEARCH_NEEDS_SUMMARY },
};

static struct seqrange saved_ranges[] = { { 30, 31 } };
static const struct seqset saved = { .ranges = saved_ranges, .n = 1 };

static bool
parse(struct arena *a, const char *keys, struct search *s, bool *badcharset)
{
	struct parse p;

	parse_init_text(&p, a, slice_str(keys));
	if (search_parse(&p, s, badcharset) != NULL)
		return false;
	search_bind(s, a, 3, 30, &saved);
	return true;
}

static void
test_keys(void)
{
	struct summary sum;
	struct arena a;

	arena_init(&a);
	summary_of(&a, slice_str(message), &sum);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct search_facts facts = plain_facts;
		enum search_answer first, slow, fast, want;
		struct search s;
		bool bad;

		want = cases[i].found ? SEARCH_YES : SEARCH_NO;
		if (!parse(&a, cases[i].keys, &s, &bad)) {
			ok(false, "%s: parsed", cases[i].keys);
			continue;
		}
		for (unsigned k = 0; k < s.nkeywords; k++)
			if (slice_is(s.keywords[k], "$Work"))
				facts.keywords |= (uint64_t)1 << k;
		first = search_test(&s, &facts);
		facts.summary = &sum;
		fast = search_test(&s, &facts);
		facts.message = slice_str(message);
		if (fast > SEARCH_YES)
			fast = search_test(&s, &facts);
		facts.summary = NULL;
		slow = search_test(&s, &facts);
		ok(first == cases[i].first && fast == want && slow == want,
		    "%s: %d %d %d", cases[i].keys, first, fast, slow);
	}
	arena_reset(&a);
}

static void
test_bad(void)
{
	static const char *const bad[] = { "", "(", "()", "(ALL", "ALL)", "NOT",
		"OR ALL", "NONSENSE", "ALL ", " ALL", "ALL  ALL", "SUBJECT",
		"KEYWORD", "BEFORE yesterday", "LARGER -1", "RETURN (X) ALL",
		"RETURN", "1:", "UID ALL", "HEADER x", "(ALL)(ALL)",
		"YOUNGER 0", "$:3", "RETURN (ALL PARTIAL 1:2) ALL",
		"RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "RETURN (PARTIAL) ALL",
		"RETURN (PARTIAL 1:*) ALL", "CHARSET ALL" };
	struct search s;
	struct arena a;
	bool charset;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(bad); i++)
		ok(!parse(&a, bad[i], &s, &charset) && !charset, "bad: %s",
		    bad[i]);
	ok(!parse(&a, "CHARSET x-none ALL", &s, &charset) && charset,
	    "unknown charset");
	ok(!parse(&a, "CHARSET X-UNKNOWN SUBJECT x", &s, &charset) && charset,
	    "what says that it is unknown");
	arena_reset(&a);
}

/* what before, n times middle, what after */
static bool
parse_long(const char *before, const char *middle, unsigned n,
    const char *after)
{
	struct search s;
	struct arena a;
	struct buf b;
	bool good, charset;

	arena_init(&a);
	buf_init(&b, 1 << 24);
	buf_puts(&b, before);
	for (unsigned i = 0; i < n; i++)
		buf_puts(&b, middle);
	buf_puts(&b, after);
	buf_putc(&b, '\0');
	good = parse(&a, (const char *)buf_data(&b), &s, &charset);
	buf_fini(&b);
	arena_reset(&a);
	return good;
}

static void
test_limits(void)
{
	ok(parse_long("", "NOT ", 40, "ALL"), "NOT, 40 deep");
	ok(!parse_long("", "NOT ", 100000, "ALL"), "NOT, 100,000 deep");
	ok(!parse_long("", "(", 100000, ""), "100,000 parentheses");
	ok(!parse_long("", "OR ", 100000, ""), "100,000 ORs");
	ok(parse_long("ALL", " SEEN", 990, ""), "990 keys");
	ok(!parse_long("ALL", " SEEN", 100000, ""), "100,000 keys");
	ok(!parse_long("ALL", " BODY x", 100, ""), "100 texts");
	ok(!parse_long("BODY ", "x", 2000, ""), "2000 octets of text");
}

static void
written(const char *keys, const uint32_t *numbers, size_t n, bool by_uid,
    const char *want)
{
	struct search_found found = { .by_uid = by_uid,
		.numbers = numbers,
		.count = n };
	struct search s;
	struct arena a;
	struct buf b;
	bool charset;

	arena_init(&a);
	buf_init(&b, 4096);
	ok(parse(&a, keys, &s, &charset), "%s", keys);
	found.modseq = s.modseq ? 917 : 0;
	search_write(&b, &s, slice_str("A1"), &found);
	buf_putc(&b, '\0');
	is_str((const char *)buf_data(&b), want, "written");
	buf_fini(&b);
	arena_reset(&a);
}

static void
test_written(void)
{
	static const uint32_t some[] = { 2, 3, 4, 7, 9, 10 };

	written("ALL", some, 6, false, "* SEARCH 2 3 4 7 9 10\r\n");
	written("ALL", some, 0, false, "* SEARCH\r\n");
	written("MODSEQ 1", some, 2, false, "* SEARCH 2 3 (MODSEQ 917)\r\n");
	written("RETURN () ALL", some, 6, true,
	    "* ESEARCH (TAG \"A1\") UID ALL 2:4,7,9:10\r\n");
	written("RETURN (MIN MAX COUNT) ALL", some, 6, false,
	    "* ESEARCH (TAG \"A1\") MIN 2 MAX 10 COUNT 6\r\n");
	written("RETURN (MIN COUNT ALL) ALL", some, 0, false,
	    "* ESEARCH (TAG \"A1\") COUNT 0\r\n");
	written("RETURN (SAVE) ALL", some, 6, false, "");
	written("RETURN (SAVE MIN) ALL", some, 6, false,
	    "* ESEARCH (TAG \"A1\") MIN 2\r\n");
	written("RETURN (CONTEXT COUNT) ALL", some, 6, false,
	    "* ESEARCH (TAG \"A1\") COUNT 6\r\n");
	written("RETURN (UPDATE) ALL", some, 6, false,
	    "* ESEARCH (TAG \"A1\") ALL 2:4,7,9:10\r\n");
	written("RETURN (PARTIAL 2:4) ALL", some, 6, true,
	    "* ESEARCH (TAG \"A1\") UID PARTIAL (2:4 3:4,7)\r\n");
	written("RETURN (PARTIAL -1:-2 COUNT) ALL", some, 6, true,
	    "* ESEARCH (TAG \"A1\") UID COUNT 6 PARTIAL (-1:-2 9:10)\r\n");
	written("RETURN (PARTIAL 7:9) ALL", some, 6, false,
	    "* ESEARCH (TAG \"A1\") PARTIAL (7:9 NIL)\r\n");
	written("RETURN (ALL) MODSEQ 3", some, 1, false,
	    "* ESEARCH (TAG \"A1\") ALL 2 MODSEQ 917\r\n");
}

/* RFC 5267 3.3, RFC 7377 3, and SORT. */
static void
test_written_other(void)
{
	static const uint32_t sorted[] = { 23765, 23764, 23763, 23764, 23765 };
	struct search_found found = { .by_uid = true,
		.sorted = true,
		.numbers = sorted,
		.count = 5 };
	struct search s;
	struct arena a;
	struct buf b;
	bool charset;

	arena_init(&a);
	buf_init(&b, 4096);
	ok(parse(&a, "RETURN () UNDELETED", &s, &charset) && s.flags_only,
	    "parsed");
	search_write(&b, &s, slice_str("E01"), &found);
	ok(slice_is(buf_slice(&b), "* ESEARCH (TAG \"E01\") UID ALL "
	                           "23765,23764,23763:23765\r\n"),
	    "ranges only ascend");
	buf_clear(&b);
	found.mailbox = slice_str("folder2/banana");
	found.uidvalidity = 503;
	found.count = 1;
	search_write(&b, &s, slice_str("tag1"), &found);
	ok(slice_is(buf_slice(&b),
	       "* ESEARCH (TAG \"tag1\" MAILBOX folder2/banana "
	       "UIDVALIDITY 503) UID ALL 23765\r\n"),
	    "of a mailbox");
	buf_clear(&b);
	s.esearch = false;
	found.count = 3;
	search_write(&b, &s, slice_str("x"), &found);
	ok(slice_is(buf_slice(&b), "* SORT 23765 23764 23763\r\n"), "SORT");
	buf_fini(&b);
	arena_reset(&a);
}

static void
updated(enum search_update what, const uint32_t *numbers,
    const uint32_t *places, size_t count, const char *want)
{
	struct search_updated u = { what, true, numbers, places, count };
	struct buf b;

	buf_init(&b, 1000);
	search_write_update(&b, slice_str("C01"), &u);
	buf_putc(&b, '\0');
	is_str((const char *)buf_data(&b), want, "update");
	buf_fini(&b);
}

/* RFC 5267 4.3: a client goes through the pairs one by one. */
static void
test_updates(void)
{
	static const uint32_t uids[] = { 2731, 2732, 2733, 9, 7, 8 };
	static const uint32_t places[] = { 1, 2, 3, 10, 11, 20 };

	updated(SEARCH_ADDTO, uids, NULL, 3,
	    "* ESEARCH (TAG \"C01\") UID ADDTO (0 2731:2733)\r\n");
	updated(SEARCH_ADDTO, uids, places, 3,
	    "* ESEARCH (TAG \"C01\") UID ADDTO (1 2731:2733)\r\n");
	updated(SEARCH_ADDTO, uids, places, 6,
	    "* ESEARCH (TAG \"C01\") UID ADDTO "
	    "(1 2731:2733 10 9,7 20 8)\r\n");
	updated(SEARCH_REMOVEFROM, uids, places, 6,
	    "* ESEARCH (TAG \"C01\") UID REMOVEFROM "
	    "(20 8 10 9,7 1 2731:2733)\r\n");
	updated(SEARCH_REMOVEFROM, uids, NULL, 1,
	    "* ESEARCH (TAG \"C01\") UID REMOVEFROM (0 2731)\r\n");
}

/* SORT and THREAD name the charset without a word before it. */
static void
test_charset_first(void)
{
	static const struct {
		const char *text;
		bool good, badcharset;
	} keys[] = { { "UTF-8 SINCE 1-Feb-1994", true, false },
		{ "US-ASCII TEXT \"not in mailbox\"", true, false },
		{ "\"iso-8859-1\" ALL", true, false },
		{ "x-none ALL", false, true }, { "ALL", false, false },
		{ "SUBJECT x", false, true }, { "", false, false } };
	struct search s;
	struct parse p;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(keys); i++) {
		bool bad, good;

		parse_init_text(&p, &a, slice_str(keys[i].text));
		search_parse_return(&p, &s);
		good = search_parse_keys(&p, &s, SEARCH_CHARSET_FIRST, &bad) ==
		       NULL;
		ok(good == keys[i].good && bad == keys[i].badcharset, "\"%s\"",
		    keys[i].text);
	}
	arena_reset(&a);
}

/* The needle in what the whole value becomes. */
static bool
has_folded(struct slice needle, struct slice value)
{
	struct buf text, folded;
	bool found = false;

	buf_init(&text, 65536);
	buf_init(&folded, 65536);
	charset_header(&text, value);
	casefold_put(&folded, buf_slice(&text));
	for (size_t i = 0; i + needle.len <= buf_len(&folded); i++)
		found |=
		    slice_starts(slice_skip(buf_slice(&folded), i), needle);
	buf_fini(&text);
	buf_fini(&folded);
	return found;
}

/* Plain fields are looked through without all that; the answer is the same. */
static void
test_fields(void)
{
	static const char *const pieces[] = { "a", "B", "c", "=", "?", " ",
		"\r\n ", "\n\t", "=?utf-8?q?b?=", "\xc3\xa4", "\x1b", "\r" };
	unsigned x = 1, wrong = 0, found = 0;
	struct search s;
	struct arena a;
	bool bad;

	arena_init(&a);
	MUST(parse(&a, "SUBJECT \"AbC\"", &s, &bad));
	for (unsigned k = 0; k < 20000; k++) {
		struct search_facts facts = plain_facts;
		char text[2048] = "Subject:";
		size_t pad = k % 5 == 0 ? 250 + k / 5 % 12 : 0;
		bool has;

		memset(text + 8, 'x', pad);
		for (unsigned i = 0; i < 12; i++) {
			x = x * 1664525u + 1013904223u;
			strcat(text, pieces[(x >> 24) % (k % 2 == 0 ? 3 : 12)]);
		}
		has = has_folded(slice_str("ABC"), slice_str(text + 8));
		strcat(text, "\r\n\r\n");
		facts.message = slice_str(text);
		wrong += has != (search_test(&s, &facts) == SEARCH_YES);
		found += has;
	}
	ok(wrong == 0 && found > 1000, "fields: %u wrong, %u found", wrong,
	    found);
	arena_reset(&a);
}

int
main(void)
{
	test_fields();
	test_written_other();
	test_updates();
	test_charset_first();
	test_keys();
	test_bad();
	test_limits();
	test_written();
	return done_testing();
}
