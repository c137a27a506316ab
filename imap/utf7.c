#include "imap/utf7.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/utf8.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz"
                             "0123456789+,";

static int
digit_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == ',' ? 63 : -1;
}

static bool
is_plain(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* UTF-16 units gathered from a shifted run. */
struct run {
	uint32_t bits; /* not yet made into a unit */
	unsigned n;    /* how many */
	uint32_t high; /* a high surrogate waiting for its other half, or 0 */
	bool any;
};

/* NULL out: only look. */
static void
put(struct buf *out, uint32_t c)
{
	if (out != NULL)
		utf8_put(out, c);
}

/* One UTF-16 unit; false if it may not be here. */
static bool
take_unit(struct run *r, struct buf *out, uint32_t unit)
{
	r->any = true;
	if (r->high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
		put(out,
		    0x10000 + ((r->high - 0xd800) << 10) + (unit - 0xdc00));
		r->high = 0;
		return true;
	}
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return false;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		r->high = unit;
		return true;
	}
	/* What has a plain form must use it; controls have no business here. */
	if (is_plain(unit) || unit < 0x20 || unit == 0x7f)
		return false;
	put(out, unit);
	return true;
}

/* s is behind "&".  How many octets up to and with "-"; 0 if malformed. */
static size_t
take_run(struct slice s, struct buf *out)
{
	struct run r = { 0 };

	for (size_t i = 0; i < s.len; i++) {
		int v = digit_value(s.ptr[i]);

		if (s.ptr[i] == '-') {
			bool whole = r.any && r.high == 0 && r.n < 6 &&
			             (r.bits & ((1u << r.n) - 1)) == 0;

			return whole ? i + 1 : 0;
		}
		if (v < 0)
			return 0;
		r.bits = (r.bits << 6 | (uint32_t)v) & 0xffffff;
		r.n += 6;
		if (r.n < 16)
			continue;
		r.n -= 16;
		if (!take_unit(&r, out, r.bits >> r.n & 0xffff))
			return 0;
	}
	return 0;
}

/* The one reader: checks, and writes UTF-8 if out is not NULL. */
static bool
scan(struct buf *out, struct slice s)
{
	size_t run_end = SIZE_MAX; /* where a shifted run ended */

	for (size_t i = 0; i < s.len;) {
		size_t n;

		if (s.ptr[i] != '&') {
			if (!is_plain(s.ptr[i]))
				return false;
			put(out, s.ptr[i++]);
			continue;
		}
		i++;
		if (i < s.len && s.ptr[i] == '-') {
			put(out, '&');
			i++;
			continue;
		}
		/* Two runs side by side would be a second form of one. */
		if (run_end == i - 1)
			return false;
		n = take_run(slice_skip(s, i), out);
		if (n == 0)
			return false;
		i += n;
		run_end = i;
	}
	return true;
}

bool
utf7_valid(struct slice s)
{
	return scan(NULL, s);
}

int
utf7_decode(struct buf *out, struct slice s)
{
	if (!utf7_valid(s))
		return -1;
	return scan(out, s) ? 0 : -1;
}

struct packer {
	struct buf *out;
	uint32_t bits;
	unsigned n;
	bool shifted;
};

static void
pack_unit(struct packer *p, uint32_t unit)
{
	p->bits = p->bits << 16 | unit;
	p->n += 16;
	while (p->n >= 6) {
		p->n -= 6;
		buf_putc(p->out, (uint8_t)digits[p->bits >> p->n & 63]);
	}
	p->bits &= (1u << p->n) - 1;
}

static void
shift_out(struct packer *p)
{
	if (!p->shifted)
		return;
	if (p->n > 0)
		buf_putc(p->out, (uint8_t)digits[p->bits << (6 - p->n) & 63]);
	buf_putc(p->out, '-');
	p->shifted = false;
	p->bits = p->n = 0;
}

static void
pack(struct packer *p, uint32_t c)
{
	if (!p->shifted)
		buf_putc(p->out, '&');
	p->shifted = true;
	if (c < 0x10000) {
		pack_unit(p, c);
	} else {
		pack_unit(p, 0xd800 + ((c - 0x10000) >> 10));
		pack_unit(p, 0xdc00 + ((c - 0x10000) & 0x3ff));
	}
}

/* UTF-8, and no control characters: those no mailbox name may have. */
static bool
encodable(struct slice s)
{
	if (!utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	return true;
}

int
utf7_encode(struct buf *out, struct slice s)
{
	struct packer p = { .out = out };

	if (!encodable(s))
		return -1;
	while (s.len > 0) {
		uint32_t c = utf8_take(&s);

		if (!is_plain(c)) {
			pack(&p, c);
			continue;
		}
		shift_out(&p);
		buf_putc(out, (uint8_t)c);
		if (c == '&')
			buf_putc(out, '-');
	}
	shift_out(&p);
	return 0;
}
