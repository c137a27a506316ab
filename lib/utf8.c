#include "lib/buf.h"
#include "lib/must.h"
#include "lib/utf8.h"

/* What follows a first octet, and the least code point of that length. */
static bool
lead(uint8_t c, size_t *more, uint32_t *bits, uint32_t *least)
{
	if (c < 0x80) {
		*more = 0, *bits = c, *least = 0;
	} else if ((c & 0xe0) == 0xc0) {
		*more = 1, *bits = c & 0x1f, *least = 0x80;
	} else if ((c & 0xf0) == 0xe0) {
		*more = 2, *bits = c & 0x0f, *least = 0x800;
	} else if ((c & 0xf8) == 0xf0) {
		*more = 3, *bits = c & 0x07, *least = 0x10000;
	} else {
		return false;
	}
	return true;
}

uint32_t
utf8_take(struct slice *s)
{
	uint32_t c, least;
	size_t more;

	if (s->len == 0 || !lead(s->ptr[0], &more, &c, &least) ||
	    s->len < more + 1)
		return UINT32_MAX;
	for (size_t i = 1; i <= more; i++) {
		if ((s->ptr[i] & 0xc0) != 0x80)
			return UINT32_MAX;
		c = c << 6 | (s->ptr[i] & 0x3f);
	}
	if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return UINT32_MAX;
	*s = slice_skip(*s, more + 1);
	return c;
}

bool
utf8_valid(struct slice s)
{
	while (s.len > 0)
		if (utf8_take(&s) == UINT32_MAX)
			return false;
	return true;
}

size_t
utf8_encode(uint8_t room[4], uint32_t c)
{
	size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t first[] = { 0, 0xc0, 0xe0, 0xf0 };

	MUST(c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
	room[0] = (uint8_t)(first[more] | c >> (6 * more));
	for (size_t i = 1; i <= more; i++)
		room[i] = (uint8_t)(0x80 | (c >> (6 * (more - i)) & 0x3f));
	return more + 1;
}

void
utf8_put(struct buf *b, uint32_t c)
{
	uint8_t room[4];

	buf_put(b, room, utf8_encode(room, c));
}
