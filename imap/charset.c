#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "imap/charset.h"
#include "imap/transfer.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "lib/utf8.h"
#include "lib/xalloc.h"

enum {
	NAME_MAX_OCTETS = 40,
	HELD_MAX = 16, /* of an incomplete character or escape sequence */
	REPLACEMENT = 0xfffd
};

enum kind {
	KIND_UTF8,
	KIND_1252,
	KIND_8859_15,
	KIND_ICONV
};

struct charset {
	enum kind kind;
	iconv_t cd; /* KIND_ICONV */
	uint8_t held[HELD_MAX];
	size_t nheld;
	bool replaced; /* something has become U+FFFD */
};

/*
 * us-ascii with 8-bit octets in it is a lie, mostly told of UTF-8.  As on the
 * web, iso-8859-1 is windows-1252, which has letters where it has none.
 */
static const struct {
	const char *name;
	enum kind kind;
	const char *iconv_name; /* if not the name itself */
} names[] = {
	{ "us-ascii", KIND_UTF8, NULL },
	{ "ascii", KIND_UTF8, NULL },
	{ "ansi_x3.4-1968", KIND_UTF8, NULL },
	{ "utf-8", KIND_UTF8, NULL },
	{ "utf8", KIND_UTF8, NULL },
	{ "unknown-8bit", KIND_UTF8, NULL },
	{ "x-unknown", KIND_UTF8, NULL },
	{ "iso-8859-1", KIND_1252, NULL },
	{ "iso8859-1", KIND_1252, NULL },
	{ "latin1", KIND_1252, NULL },
	{ "windows-1252", KIND_1252, NULL },
	{ "cp1252", KIND_1252, NULL },
	{ "iso-8859-15", KIND_8859_15, NULL },
	{ "gb2312", KIND_ICONV, "GB18030" },
	{ "gbk", KIND_ICONV, "GB18030" },
	{ "ks_c_5601-1987", KIND_ICONV, "CP949" },
	{ "euc-kr", KIND_ICONV, "CP949" },
	{ "shift_jis", KIND_ICONV, "CP932" },
	{ "iso-8859-8-i", KIND_ICONV, "ISO-8859-8" },
};

/* windows-1252, 0x80 to 0x9f; 0: nothing there */
static const uint16_t high_1252[32] = { 0x20ac, 0, 0x201a, 0x0192, 0x201e,
	0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
	0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
	0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178 };

/* What iso-8859-15 has that iso-8859-1 has not. */
static const struct {
	uint8_t octet;
	uint16_t codepoint;
} only_8859_15[] = { { 0xa4, 0x20ac }, { 0xa6, 0x0160 }, { 0xa8, 0x0161 },
	{ 0xb4, 0x017d }, { 0xb8, 0x017e }, { 0xbc, 0x0152 }, { 0xbd, 0x0153 },
	{ 0xbe, 0x0178 } };

/* iconv takes paths and "//TRANSLIT" for names; mail does not get to. */
static bool
is_plain(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_alnum(name.ptr[i]) &&
		    (name.ptr[i] == 0 || strchr("-_.:+", name.ptr[i]) == NULL))
			return false;
	return name.len > 0 && name.len < NAME_MAX_OCTETS;
}

static struct charset *
new_iconv(const char *name)
{
	iconv_t cd = iconv_open("UTF-8", name);
	struct charset *c;

	if (cd == (iconv_t)-1)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->kind = KIND_ICONV;
	c->cd = cd;
	return c;
}

struct charset *
charset_new(struct slice name)
{
	char text[NAME_MAX_OCTETS];
	struct charset *c;

	for (size_t i = 0; i < NITEMS(names); i++) {
		if (!slice_is_nocase(name, names[i].name))
			continue;
		if (names[i].kind == KIND_ICONV)
			return new_iconv(names[i].iconv_name);
		c = xcalloc(1, sizeof(*c));
		c->kind = names[i].kind;
		return c;
	}
	if (!is_plain(name))
		return NULL;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	return new_iconv(text);
}

void
charset_free(struct charset **cp)
{
	if (*cp != NULL && (*cp)->kind == KIND_ICONV)
		iconv_close((*cp)->cd);
	free(*cp);
	*cp = NULL;
}

bool
charset_is_known(struct slice name)
{
	struct charset *c = charset_new(name);
	bool known = c != NULL && !slice_is_nocase(name, "x-unknown") &&
	             !slice_is_nocase(name, "unknown-8bit");

	charset_free(&c);
	return known;
}

static void
put_replacement(struct charset *c, struct buf *out)
{
	c->replaced = true;
	utf8_put(out, REPLACEMENT);
}

static uint32_t
single_octet(enum kind kind, uint8_t o)
{
	if (o >= 0x80 && o < 0xa0 && kind == KIND_1252)
		return high_1252[o - 0x80] != 0 ? high_1252[o - 0x80]
		                                : REPLACEMENT;
	if (kind == KIND_8859_15)
		for (size_t i = 0; i < NITEMS(only_8859_15); i++)
			if (only_8859_15[i].octet == o)
				return only_8859_15[i].codepoint;
	return o;
}

static void
put_single(struct charset *c, uint8_t o, struct buf *out)
{
	uint32_t codepoint = single_octet(c->kind, o);

	if (codepoint == REPLACEMENT)
		put_replacement(c, out);
	else
		utf8_put(out, codepoint);
}

/* Could s be the beginning of a character that is cut off? */
static bool
is_utf8_start(struct slice s)
{
	size_t want = s.ptr[0] >= 0xf0 ? 4 : s.ptr[0] >= 0xe0 ? 3 : 2;

	if (s.ptr[0] < 0xc2 || s.ptr[0] > 0xf4 || s.len >= want)
		return false;
	for (size_t i = 1; i < s.len; i++)
		if ((s.ptr[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* How many octets at the front are ASCII. */
static size_t
ascii_front(struct slice s)
{
	size_t n = 0;
	uint64_t some;

	for (; n + sizeof(some) <= s.len; n += sizeof(some)) {
		memcpy(&some, s.ptr + n, sizeof(some));
		if (some & UINT64_C(0x8080808080808080))
			break;
	}
	while (n < s.len && s.ptr[n] < 0x80)
		n++;
	return n;
}

/* Gives how many octets were used; the rest is an incomplete character. */
static size_t
put_utf8(struct charset *c, struct slice in, struct buf *out)
{
	size_t all = in.len;

	while (in.len > 0) {
		struct slice rest = in;
		size_t n = ascii_front(in);

		buf_put(out, in.ptr, n);
		rest = in = slice_skip(in, n);
		if (in.len == 0)
			break;
		if (utf8_take(&rest) != UINT32_MAX) {
			buf_put(out, in.ptr, in.len - rest.len);
			in = rest;
		} else if (is_utf8_start(in)) {
			break;
		} else {
			put_replacement(c, out);
			in = slice_skip(in, 1);
		}
	}
	return all - in.len;
}

static size_t
put_iconv(struct charset *c, struct slice in, struct buf *out)
{
	/* iconv(3) is declared without const; it does not write its input. */
	char *from = (char *)(uintptr_t)in.ptr;
	size_t left = in.len;

	while (left > 0) {
		char area[1024], *to = area;
		size_t room = sizeof(area), before = left;
		size_t r = iconv(c->cd, &from, &left, &to, &room);
		int why = r == (size_t)-1 ? errno : 0;

		buf_put(out, area, sizeof(area) - room);
		if (why == EINVAL && left < HELD_MAX)
			break;
		if (why == EILSEQ || why == EINVAL ||
		    (why == E2BIG && left == before && room == sizeof(area))) {
			put_replacement(c, out);
			from++;
			left--;
		}
	}
	return in.len - left;
}

static size_t
put_some(struct charset *c, struct slice in, struct buf *out)
{
	switch (c->kind) {
	case KIND_UTF8:
		return put_utf8(c, in, out);
	case KIND_ICONV:
		return put_iconv(c, in, out);
	case KIND_1252:
	case KIND_8859_15:
		break;
	}
	for (size_t i = 0; i < in.len;) {
		size_t n = i + ascii_front(slice_skip(in, i));

		buf_put(out, in.ptr + i, n - i);
		if (n < in.len)
			put_single(c, in.ptr[n++], out);
		i = n;
	}
	return in.len;
}

/* Give the held octets more, one at a time, until none is held. */
static struct slice
put_held(struct charset *c, struct slice in, struct buf *out)
{
	while (c->nheld > 0 && in.len > 0) {
		size_t used;

		MUST(c->nheld < HELD_MAX);
		c->held[c->nheld++] = in.ptr[0];
		in = slice_skip(in, 1);
		used = put_some(c, slice_of(c->held, c->nheld), out);
		MUST(used <= c->nheld);
		memmove(c->held, c->held + used, c->nheld - used);
		c->nheld -= used;
	}
	return in;
}

void
charset_put(struct charset *c, struct slice in, struct buf *out)
{
	size_t used;

	in = put_held(c, in, out);
	if (in.len == 0)
		return;
	used = put_some(c, in, out);
	c->nheld = in.len - used;
	MUST(c->nheld < HELD_MAX);
	memcpy(c->held, in.ptr + used, c->nheld);
}

/* Some keep a letter back, as an accent may follow: windows-1255, TCVN. */
static void
end_iconv(struct charset *c, struct buf *out)
{
	char area[64], *to = area;
	size_t room = sizeof(area);

	iconv(c->cd, NULL, NULL, &to, &room);
	buf_put(out, area, sizeof(area) - room);
	iconv(c->cd, NULL, NULL, NULL, NULL);
}

void
charset_end(struct charset *c, struct buf *out)
{
	if (c->kind == KIND_ICONV)
		end_iconv(c, out);
	if (c->nheld > 0)
		put_replacement(c, out);
	c->nheld = 0;
}

int
charset_convert(struct buf *out, struct slice name, struct slice in)
{
	struct charset *c = charset_new(name);
	bool known = c != NULL;

	if (!known)
		c = charset_new(slice_str("us-ascii"));
	charset_put(c, in, out);
	charset_end(c, out);
	charset_free(&c);
	return known ? 0 : -1;
}

/* "=?charset?q?text?=" at the front of s. */
struct word {
	struct slice charset, text;
	bool base64;
	size_t len; /* of the whole */
};

static bool
word_at(struct slice s, struct word *w)
{
	struct slice rest = s;
	size_t n;

	if (s.len < 8 || s.ptr[0] != '=' || s.ptr[1] != '?')
		return false;
	rest = slice_skip(rest, 2);
	n = slice_find(slice_first(rest, rest.len < NAME_MAX_OCTETS
	                                     ? rest.len
	                                     : NAME_MAX_OCTETS),
	    '?');
	w->charset = slice_first(rest, n);
	/* RFC 2231 5: the language may follow. */
	w->charset.len = slice_find(w->charset, '*');
	rest = slice_skip(rest, n);
	if (rest.len < 5 || rest.ptr[0] != '?' || rest.ptr[2] != '?' ||
	    w->charset.len == 0)
		return false;
	w->base64 = ascii_lower(rest.ptr[1]) == 'b';
	if (!w->base64 && ascii_lower(rest.ptr[1]) != 'q')
		return false;
	rest = slice_skip(rest, 3);
	for (n = 0; n + 1 < rest.len; n++) {
		if (rest.ptr[n] == '\n' || rest.ptr[n] == '\r')
			return false;
		if (rest.ptr[n] == '?')
			break;
	}
	if (n + 1 >= rest.len || rest.ptr[n + 1] != '=')
		return false;
	w->text = slice_first(rest, n);
	w->len = s.len - rest.len + n + 2;
	return true;
}

/* c NULL: the octets as they are. */
static void
put_word(struct buf *out, struct charset *c, const struct word *w)
{
	struct buf octets;
	struct transfer t;

	buf_init(&octets, w->text.len + 8);
	transfer_init(&t, w->base64 ? TRANSFER_BASE64 : TRANSFER_QUOTED);
	for (size_t i = 0; i < w->text.len; i++) {
		uint8_t o = w->text.ptr[i];

		if (o == '_' && !w->base64)
			o = ' ';
		transfer_put(&t, slice_of(&o, 1), &octets);
	}
	transfer_end(&t, &octets);
	if (c != NULL)
		charset_put(c, buf_slice(&octets), out);
	else
		buf_put_slice(out, buf_slice(&octets));
	buf_fini(&octets);
}

/*
 * Words in one charset that stand side by side are one text: mailers cut
 * characters in two, though RFC 2047 5 forbids it.
 */
static void
put_words(struct buf *out, struct charset *c, struct slice *s, struct word w)
{
	struct slice charset = w.charset, rest;

	do {
		put_word(out, c, &w);
		rest = *s = slice_skip(*s, w.len);
		while (rest.len > 0 && strchr(" \t\r\n", rest.ptr[0]) != NULL &&
		       rest.ptr[0] != 0)
			rest = slice_skip(rest, 1);
		if (!word_at(rest, &w))
			break;
		*s = rest; /* the spaces between two words go */
	} while (slice_equal_nocase(charset, w.charset));
}

/* False: not all of it could be converted. */
static bool
convert_words(struct buf *out, struct slice *s, struct word w)
{
	struct charset *c = charset_new(w.charset);
	bool good = c != NULL;

	if (c == NULL)
		c = charset_new(slice_str("us-ascii"));
	put_words(out, c, s, w);
	charset_end(c, out);
	good &= !c->replaced;
	charset_free(&c);
	return good;
}

/* Octets up to a line end or to what may be a word. */
static size_t
plain_length(struct slice value)
{
	size_t n = 0;

	while (n < value.len && value.ptr[n] != '\r' && value.ptr[n] != '\n' &&
	       (n == 0 || value.ptr[n] != '='))
		n++;
	return n;
}

/* plain NULL: octets as they are. */
static bool
put_header(struct buf *out, struct charset *plain, struct slice value)
{
	bool good = true;
	struct word w;

	value = slice_trim(value);
	while (value.len > 0) {
		size_t n;

		if (word_at(value, &w)) {
			if (plain == NULL) {
				put_words(out, NULL, &value, w);
				continue;
			}
			charset_end(plain, out);
			good &= convert_words(out, &value, w);
			continue;
		}
		n = plain_length(value);
		if (plain != NULL)
			charset_put(plain, slice_first(value, n), out);
		else
			buf_put(out, value.ptr, n);
		value = slice_skip(value, n);
		if (value.len > 0 && value.ptr[0] != '=')
			value = slice_skip(value, 1);
	}
	return good;
}

bool
charset_header(struct buf *out, struct slice value)
{
	struct charset *plain = charset_new(slice_str("us-ascii"));
	bool good = put_header(out, plain, value);

	charset_end(plain, out);
	good &= !plain->replaced;
	charset_free(&plain);
	return good;
}

void
charset_header_octets(struct buf *out, struct slice value)
{
	put_header(out, NULL, value);
}
