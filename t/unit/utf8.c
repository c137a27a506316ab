/*
 * utf8: every code point there and back; nothing else is taken.
 */
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/utf8.h"
#include "t/tap.h"

static void
test_law(void)
{
	bool good = true;
	struct buf b;

	buf_init(&b, 4);
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		struct slice s;

		if (c == 0xd800)
			c = 0xe000;
		utf8_put(&b, c);
		s = buf_slice(&b);
		good =
		    good && utf8_valid(s) && utf8_take(&s) == c && s.len == 0;
		buf_clear(&b);
	}
	ok(good, "all code points, there and back");
	buf_fini(&b);
}

static void
test_malformed(void)
{
	static const char *const cases[] = { "\x80", "\xbf", "\xc0\x80",
		"\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3",
		"\xe2\x82", "\xf0\x9f\x98", "\xc3(", "\xe2(\xac", "\xe2\x82(",
		"\xc3\xc3" };

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct slice s = slice_str(cases[i]), was = s;

		ok(!utf8_valid(s) && utf8_take(&s) == UINT32_MAX &&
		        s.len == was.len,
		    "malformed %zu", i);
	}
	ok(utf8_valid(slice_of(NULL, 0)), "nothing is valid");
	ok(!utf8_valid(slice_str("abc\xe2\x82")), "cut at the end");
}

int
main(void)
{
	test_law();
	test_malformed();
	return done_testing();
}
