/*
 * charset, casefold, transfer, needle: octet streams, and cuts do not matter.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/casefold.h"
#include "imap/charset.h"
#include "imap/needle.h"
#include "imap/transfer.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static const struct {
	const char *name, *in, *out;
} charsets[] = {
	{ "us-ascii", "abc", "abc" },
	{ "US-ASCII", "J\xc3\xb6", "J\xc3\xb6" },
	{ "utf-8", "\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "utf-8", "\xe2\x82x", "\xef\xbf\xbd\xef\xbf\xbdx" },
	{ "utf-8", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
	{ "iso-8859-1", "J\xf6\x80", "J\xc3\xb6\xe2\x82\xac" },
	{ "ISO-8859-15", "\xa4\xf6", "\xe2\x82\xac\xc3\xb6" },
	{ "iso-8859-2", "\xb1", "\xc4\x85" },
	{ "koi8-r", "\xf0\xd2\xc9", "\xd0\x9f\xd1\x80\xd0\xb8" },
	{ "iso-2022-jp", "\x1b$B$\"\x1b(Bx", "\xe3\x81\x82x" },
	{ "shift_jis", "\x82\xa0", "\xe3\x81\x82" },
	{ "gb2312", "\xc4\xe3", "\xe4\xbd\xa0" },
};

/* In two pieces, cut here. */
static bool
convert_cut(const char *name, struct slice in, size_t cut, struct slice want)
{
	struct charset *c = charset_new(slice_str(name));
	struct buf b;
	bool same;

	buf_init(&b, 4096);
	charset_put(c, slice_first(in, cut), &b);
	charset_put(c, slice_skip(in, cut), &b);
	charset_end(c, &b);
	same = slice_equal(buf_slice(&b), want);
	buf_fini(&b);
	charset_free(&c);
	return same;
}

static void
test_charsets(void)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < NITEMS(charsets); i++) {
		struct slice in = slice_str(charsets[i].in);
		struct slice want = slice_str(charsets[i].out);
		bool same = true;

		ok(charset_convert(&b, slice_str(charsets[i].name), in) == 0 &&
		        slice_equal(buf_slice(&b), want),
		    "%s", charsets[i].name);
		buf_clear(&b);
		for (size_t cut = 0; cut <= in.len; cut++)
			same &= convert_cut(charsets[i].name, in, cut, want);
		ok(same, "cut anywhere");
	}
	ok(charset_convert(&b, slice_str("x-no-such"), slice_str("a")) == -1 &&
	        slice_is(buf_slice(&b), "a"),
	    "unknown");
	ok(charset_new(slice_str("../../etc")) == NULL &&
	        charset_new(slice_str("utf-16//TRANSLIT")) == NULL,
	    "no paths");
	buf_fini(&b);
}

static const struct {
	const char *in, *out;
} words[] = {
	{ "plain text", "plain text" },
	{ " folded\r\n text ", "folded text" },
	{ "=?utf-8?q?J=C3=B6?=", "J\xc3\xb6" },
	{ "=?ISO-8859-1?Q?a_b?= x", "a b x" },
	{ "=?iso-8859-1?b?9g==?=", "\xc3\xb6" },
	{ "=?utf-8?q?a?= =?utf-8?q?b?=", "ab" },
	{ "=?utf-8?q?a?=\r\n =?iso-8859-1?q?b?=", "ab" },
	{ "=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c" },
	{ "=?utf-8?b?w7Y=?=", "\xc3\xb6" },
	/* one character in two words */
	{ "=?utf-8?q?=C3?= =?utf-8?q?=B6?=", "\xc3\xb6" },
	{ "=?utf-8*en?q?x?=", "x" },
	{ "=?x-none?q?abc?=", "abc" },
	{ "=?utf-8?z?abc?=", "=?utf-8?z?abc?=" },
	{ "=?utf-8?q?abc", "=?utf-8?q?abc" },
	{ "a=?b", "a=?b" },
	{ "==?utf-8?q?x?=", "=x" },
	{ "raw J\xc3\xb6", "raw J\xc3\xb6" },
};

static void
test_words(void)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < NITEMS(words); i++) {
		charset_header(&b, slice_str(words[i].in));
		buf_putc(&b, '\0');
		is_str((const char *)buf_data(&b), words[i].out, words[i].in);
		buf_clear(&b);
	}
	buf_fini(&b);
}

static const struct {
	enum transfer_encoding encoding;
	const char *in, *out;
} transfers[] = {
	{ TRANSFER_BINARY, "a=\r\n", "a=\r\n" },
	{ TRANSFER_BASE64, "aGVs\r\nbG8=\r\n", "hello" },
	{ TRANSFER_BASE64, "aGVs!!bG8", "hello" },
	{ TRANSFER_BASE64, "YQ==YQ==", "aa" },
	{ TRANSFER_QUOTED, "a=3Db=\r\nc=\nd", "a=bcd" },
	{ TRANSFER_QUOTED, "=c3=B6", "\xc3\xb6" },
	{ TRANSFER_QUOTED, "a=zb==41=", "a=zb=A=" },
	{ TRANSFER_QUOTED, "=\rx=4x", "=\rx=4x" },
};

static void
test_transfers(void)
{
	for (size_t i = 0; i < NITEMS(transfers); i++) {
		struct slice in = slice_str(transfers[i].in);
		bool same = true;

		for (size_t cut = 0; cut <= in.len; cut++) {
			struct transfer t;
			struct buf b;

			buf_init(&b, 4096);
			transfer_init(&t, transfers[i].encoding);
			transfer_put(&t, slice_first(in, cut), &b);
			transfer_put(&t, slice_skip(in, cut), &b);
			transfer_end(&t, &b);
			same &= slice_is(buf_slice(&b), transfers[i].out);
			buf_fini(&b);
		}
		ok(same, "transfer %zu, cut anywhere", i);
	}
	ok(transfer_encoding_of(slice_str(" Base64 ")) == TRANSFER_BASE64 &&
	        transfer_encoding_of(slice_str("8bit")) == TRANSFER_BINARY,
	    "names");
}

static void
test_fold(void)
{
	bool same = true;
	struct buf b;

	for (uint32_t c = 0; c < 0x11000; c++)
		same &= casefold(casefold(c)) == casefold(c);
	ok(same, "folding twice is folding once");
	buf_init(&b, 4096);
	casefold_put(&b, slice_str("AbZ[\xc3\x96\xce\xa3\xd0\x9f\xff"));
	ok(slice_is(buf_slice(&b), "abz[\xc3\xb6\xcf\x83\xd0\xbf\xff"),
	    "latin, greek, cyrillic, malformed");
	buf_fini(&b);
	ok(casefold(0x100) == 0x101 && casefold(0x101) == 0x101 &&
	        casefold(0x10400) == 0x10428 && casefold(0x1e9e) == 0xdf,
	    "pairs, planes");
}

static bool
contains(const char *text, const char *what)
{
	size_t n = strlen(text), k = strlen(what);

	for (size_t i = 0; i + k <= n; i++)
		if (memcmp(text + i, what, k) == 0)
			return true;
	return false;
}

/* Against the obvious, over all short texts of two letters. */
static void
test_needle(void)
{
	bool same = true;
	struct arena a;

	arena_init(&a);
	for (unsigned t = 1; t < 1 << 11; t++)
		for (unsigned w = 1; w < 1 << 6; w++) {
			char text[16] = "", what[16] = "";
			struct needle_state st = { 0 };
			struct needle n;
			struct slice s;

			for (unsigned i = 0; t >> i > 1; i++)
				text[i] = t >> i & 1 ? 'a' : 'b';
			for (unsigned i = 0; w >> i > 1; i++)
				what[i] = w >> i & 1 ? 'a' : 'b';
			s = slice_str(text);
			needle_init(&n, &a, slice_str(what));
			needle_put(&n, &st, slice_first(s, s.len / 2));
			needle_put(&n, &st, slice_skip(s, s.len / 2));
			same &= st.found == contains(text, what) &&
			        needle_in(&n, s) == st.found;
		}
	ok(same, "found where it is, cut or not");
	arena_reset(&a);
}

int
main(void)
{
	test_charsets();
	test_words();
	test_transfers();
	test_fold();
	test_needle();
	return done_testing();
}
