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
#include "lib/hash.h"
#include "lib/utf8.h"
#include "t/tap.h"

#define FOLD_CRC 0xd5bbee68u

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
	{ "windows-1255", "\xf9\xec\xe5\xed",
	    "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d" },
	{ "windows-1255", "\xf9\xd1", "\xef\xac\xaa" },
	{ "windows-1255", "\xe9", "\xd7\x99" },
	{ "windows-1258", "xa", "xa" },
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
	static const struct {
		const char *text, *want, *what;
	} folds[] = {
		{ "AbZ[\xff z", "ABZ[\xff Z", "ASCII, malformed" },
		{ "\u00e9\u00c9", "E\u0301E\u0301", "both cases, decomposed" },
		/* RFC 5051 2's example: its z stays small */
		{ "\u01c4", "Dz\u030c", "titlecase, and decomposed again" },
		{ "\u03c3\u03c2\u03a3", "\u03a3\u03a3\u03a3", "Greek" },
		{ "\u043f\u041f\u0439", "\u041f\u041f\u0418\u0306",
		    "Cyrillic" },
		{ "\uff41\uff21\ufb01", "AAfi", "compatibility forms" },
		{ "\u00df\u1e9e", "\u00df\u1e9e", "no titlecase of one" },
		{ "\ud55c\uac00", "\u1112\u1161\u11ab\u1100\u1161", "Hangul" },
		{ "\u4e2d\uf900", "\u4e2d\u8c48", "ideographs" },
		{ "\U00010428\U0001d400", "\U00010400A", "planes" },
		{ "\u0100\u0101\u0102\u00ff", "A\u0304A\u0304A\u0306Y\u0308",
		    "last of a span" },
	};
	uint8_t letters[1500];
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < NITEMS(folds); i++) {
		casefold_put(&b, slice_str(folds[i].text));
		ok(slice_is(buf_slice(&b), folds[i].want), "%s", folds[i].what);
		buf_clear(&b);
	}
	memset(letters, 'a', sizeof(letters));
	casefold_put(&b, slice_of(letters, sizeof(letters)));
	ok(buf_len(&b) == sizeof(letters) && buf_data(&b)[0] == 'A' &&
	        buf_data(&b)[sizeof(letters) - 1] == 'A',
	    "long ASCII");
	buf_fini(&b);
}

/* As Python's unicodedata has it, all in one digest. */
static void
test_fold_table(void)
{
	uint32_t crc = 0;
	size_t longest = 0;

	for (uint32_t c = 1; c < 0x110000; c++) {
		struct buf in, out;

		if (c >= 0xd800 && c < 0xe000)
			continue;
		buf_init(&in, 8);
		buf_init(&out, 100);
		utf8_put(&in, c);
		casefold_put(&out, buf_slice(&in));
		crc = hash_crc32c(crc, buf_data(&out), buf_len(&out));
		if (buf_len(&out) > longest * buf_len(&in))
			longest =
			    (buf_len(&out) + buf_len(&in) - 1) / buf_len(&in);
		buf_fini(&in);
		buf_fini(&out);
	}
	ok(crc == FOLD_CRC, "every character (%08x)", (unsigned)crc);
	ok(longest == CASEFOLD_GROWTH, "how long it becomes (%zu)", longest);
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
	test_fold_table();
	test_needle();
	return done_testing();
}
