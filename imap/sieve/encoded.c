/* sieve: RFC 5228 2.4.2.4, characters written as numbers. */
#include "imap/sieve/program.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/utf8.h"

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One number in hexadecimal; false: there is none, or it is too long. */
static bool
take_hex(struct slice *s, unsigned digits, uint32_t *n)
{
	unsigned used = 0;

	*n = 0;
	while (s->len > 0 && ascii_hex(s->ptr[0]) != -1) {
		if (++used > digits)
			return false;
		*n = *n << 4 | (uint32_t)ascii_hex(s->ptr[0]);
		*s = slice_skip(*s, 1);
	}
	return used > 0;
}

/* "40 41" to out.  false: not of that form, the text stands for itself. */
static bool
decode_numbers(struct slice s, bool unicode, struct buf *out,
    const char **wrong)
{
	unsigned count = 0;
	uint32_t n;

	for (;;) {
		while (s.len > 0 && is_blank(s.ptr[0]))
			s = slice_skip(s, 1);
		if (s.len == 0)
			return count > 0;
		if (!take_hex(&s, unicode ? 8 : 2, &n) ||
		    (s.len > 0 && !is_blank(s.ptr[0])))
			return false;
		count++;
		if (n == 0 || n > 0x10ffff || (n >= 0xd800 && n < 0xe000))
			*wrong = "no such character";
		else if (unicode)
			utf8_put(out, n);
		else
			buf_putc(out, (uint8_t)n);
	}
}

/* "${hex:...}" or "${unicode:...}" at the front; gives its length or 0. */
static size_t
decode_one(struct slice s, struct buf *out, const char **wrong)
{
	size_t end = slice_find(s, '}'), before = buf_len(out);
	bool unicode = slice_starts_nocase(s, "${unicode:");
	size_t start = unicode ? strlen("${unicode:") : strlen("${hex:");

	if ((!unicode && !slice_starts_nocase(s, "${hex:")) || end == s.len)
		return 0;
	if (decode_numbers(slice_skip(slice_first(s, end), start), unicode, out,
	        wrong))
		return end + 1;
	buf_truncate(out, before);
	return 0;
}

const char *
sieve_decode(struct arena *a, struct slice *s)
{
	const char *wrong = NULL;
	struct slice rest = *s;
	struct buf b;

	if (slice_find(*s, '$') == s->len)
		return NULL;
	buf_init(&b, s->len); /* what is decoded is shorter */
	while (rest.len > 0) {
		size_t n = 0;

		if (rest.ptr[0] == '$')
			n = decode_one(rest, &b, &wrong);
		if (n == 0) {
			buf_putc(&b, rest.ptr[0]);
			n = 1;
		}
		rest = slice_skip(rest, n);
	}
	*s = arena_copy(a, buf_slice(&b));
	buf_fini(&b);
	return wrong;
}
