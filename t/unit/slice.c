/*
 * slice and ascii: comparing, cutting, numbers.
 */
#include "lib/ascii.h"
#include "lib/cdefs.h"
#include "lib/slice.h"
#include "t/tap.h"

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

static void
test_compare(void)
{
	static const char *const sorted[] = { "", "A", "AB", "B", "a", "aB",
		"ab", "b", "\xff" };

	for (size_t i = 0; i < NITEMS(sorted); i++)
		for (size_t k = 0; k < NITEMS(sorted); k++) {
			struct slice a = slice_str(sorted[i]);
			struct slice b = slice_str(sorted[k]);
			int want = (i > k) - (i < k);

			ok(sign(slice_compare(a, b)) == want &&
			        slice_equal(a, b) == (want == 0),
			    "%s with %s", sorted[i], sorted[k]);
		}
	ok(slice_equal(slice_of(NULL, 0), slice_str("")), "NULL is empty");
	ok(slice_compare(slice_of(NULL, 0), slice_str("")) == 0, "so too");
	ok(slice_is_nocase(slice_str("InBox"), "INBOX"), "any case");
	ok(!slice_is(slice_str("InBox"), "INBOX"), "this case");
	ok(!slice_is_nocase(slice_str("[nbox"), "{nbox"), "letters only");
	ok(!slice_is_nocase(slice_str("INBOXES"), "INBOX"), "longer");
	ok(slice_starts(slice_str("user.fred"), slice_str("user.")), "starts");
	ok(!slice_starts(slice_str("use"), slice_str("user.")), "too short");
	ok(slice_starts_nocase(slice_str("USER.x"), "user."), "starts nocase");
	ok(!slice_starts_nocase(slice_str("us"), "user."), "too short nocase");
}

static void
test_cut(void)
{
	struct slice s = slice_str("a.b.c");

	ok(slice_is(slice_skip(s, 2), "b.c"), "skip");
	ok(slice_skip(s, 5).len == 0, "skip all");
	ok(slice_skip(slice_of(NULL, 0), 0).ptr == NULL, "skip none of NULL");
	ok(slice_is(slice_first(s, 3), "a.b"), "first");
	ok(slice_find(s, '.') == 1 && slice_rfind(s, '.') == 3, "find");
	ok(slice_find(s, 'x') == 5 && slice_rfind(s, 'x') == 5, "find none");
	ok(slice_find(slice_of(NULL, 0), 'x') == 0, "find in nothing");
	ok(slice_is(slice_trim(slice_str(" \t a b\r\n")), "a b"), "trim");
	ok(slice_trim(slice_str(" \t ")).len == 0, "trim to nothing");
}

static void
test_word(void)
{
	struct slice s = slice_str("  one two   ");

	ok(slice_is(slice_word(&s), "one") && slice_is(slice_word(&s), "two"),
	    "words");
	ok(slice_word(&s).len == 0 && s.len == 0, "and no more");
	s = slice_of(NULL, 0);
	ok(slice_word(&s).len == 0, "none in nothing");
}

static void
test_unquoted(void)
{
	static const struct {
		const char *in;
		size_t at;
	} cases[] = {
		{ "", 0 },
		{ "]", 0 },
		{ "abc", 3 },
		{ "a]b]", 1 },
		{ "\"]\"]", 3 },
		{ "a \"]\" ] b", 6 },
		{ "\"\"]", 2 },
		{ "\"a\\\"]\"]", 6 }, /* "a\"]"] */
		{ "\"a\\\\\"]x", 5 }, /* "a\\"]x */
		{ "\\]", 1 },         /* outside quotes it is an octet */
		{ "\\\"]\"]", 4 },
		{ "\"]", 2 },   /* a string that does not end */
		{ "\"a\\", 3 }, /* nor what it quotes */
		{ "\"a\\]", 4 },
		{ "\"a\"\"]\"]", 6 },
	};

	for (size_t i = 0; i < NITEMS(cases); i++)
		ok(slice_find_unquoted(slice_str(cases[i].in), ']') ==
		        cases[i].at,
		    "unquoted ] in '%s'", cases[i].in);
	ok(slice_find_unquoted(slice_of("\0\"\0]\"\0]", 7), ']') == 6,
	    "NULs are octets");
	ok(slice_find_unquoted(slice_of("\"\\]", 2), ']') == 2,
	    "nothing behind the end is looked at");
}

static void
test_ascii(void)
{
	for (int c = 0; c < 256; c++) {
		uint8_t o = (uint8_t)c;
		bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
		bool digit = c >= '0' && c <= '9';

		ok(ascii_alpha(o) == (upper || lower) &&
		        ascii_digit(o) == digit &&
		        ascii_alnum(o) == (upper || lower || digit) &&
		        ascii_lower(o) == (upper ? c + 32 : c) &&
		        ascii_upper(o) == (lower ? c - 32 : c),
		    "class of %d", c);
	}
	ok(ascii_hex('0') == 0 && ascii_hex('9') == 9 && ascii_hex('a') == 10 &&
	        ascii_hex('F') == 15,
	    "hex digits");
	ok(ascii_hex('g') == -1 && ascii_hex('/') == -1 && ascii_hex(0) == -1,
	    "other");
}

static void
test_number(void)
{
	static const struct {
		const char *in;
		uint64_t max, want;
		bool good;
	} cases[] = {
		{ "0", 0, 0, true },
		{ "1", 0, 0, false },
		{ "5", 4, 0, false },
		{ "007", 7, 7, true },
		{ "4294967295", UINT32_MAX, UINT32_MAX, true },
		{ "4294967296", UINT32_MAX, 0, false },
		{ "18446744073709551615", UINT64_MAX, UINT64_MAX, true },
		{ "18446744073709551616", UINT64_MAX, 0, false },
		{ "99999999999999999999999", UINT64_MAX, 0, false },
		{ "", 9, 0, false },
		{ "-1", 9, 0, false },
		{ "+1", 9, 0, false },
		{ " 1", 9, 0, false },
		{ "1 ", 9, 0, false },
		{ "1a", 99, 0, false },
		{ "/", 99, 0, false },
		{ ":", 99, 0, false },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		uint64_t n = 0;
		bool good =
		    ascii_number(slice_str(cases[i].in), cases[i].max, &n);

		ok(good == cases[i].good && n == cases[i].want, "number '%s'",
		    cases[i].in);
	}
}

int
main(void)
{
	test_compare();
	test_cut();
	test_word();
	test_unquoted();
	test_ascii();
	test_number();
	return done_testing();
}
