#include <string.h>

#include "lib/buf.h"
#include "lib/wire.h"

enum {
	PACKED_MAX = 10 /* octets: 64 bits in sevens */
};

static void
put(struct buf *b, uint64_t v, size_t octets)
{
	uint8_t room[8];

	for (size_t i = octets; i > 0; i--) {
		room[i - 1] = (uint8_t)v;
		v >>= 8;
	}
	buf_put(b, room, octets);
}

void
wire_put_u8(struct buf *b, uint8_t v)
{
	put(b, v, 1);
}

void
wire_put_u16(struct buf *b, uint16_t v)
{
	put(b, v, 2);
}

void
wire_put_u32(struct buf *b, uint32_t v)
{
	put(b, v, 4);
}

void
wire_put_u64(struct buf *b, uint64_t v)
{
	put(b, v, 8);
}

void
wire_put_slice(struct buf *b, struct slice s)
{
	if (s.len > UINT32_MAX) {
		b->failed = true; /* no buf of ours has such a ceiling */
		return;
	}
	put(b, s.len, 4);
	buf_put_slice(b, s);
}

void
wire_put_str(struct buf *b, const char *s)
{
	wire_put_slice(b, slice_str(s));
}

void
wire_put_packed(struct buf *b, uint64_t v)
{
	uint8_t room[PACKED_MAX];
	size_t n = 0;

	for (; v > 0x7f; v >>= 7)
		room[n++] = (uint8_t)(v | 0x80);
	room[n++] = (uint8_t)v;
	buf_put(b, room, n);
}

void
wire_put_packed_slice(struct buf *b, struct slice s)
{
	wire_put_packed(b, s.len);
	buf_put_slice(b, s);
}

void
wire_init(struct wire *w, struct slice s)
{
	*w = (struct wire){ .rest = s };
}

static uint64_t
take(struct wire *w, size_t octets)
{
	uint64_t v = 0;

	if (w->failed || w->rest.len < octets) {
		w->failed = true;
		return 0;
	}
	for (size_t i = 0; i < octets; i++)
		v = v << 8 | w->rest.ptr[i];
	w->rest = slice_skip(w->rest, octets);
	return v;
}

uint8_t
wire_u8(struct wire *w)
{
	return (uint8_t)take(w, 1);
}

uint16_t
wire_u16(struct wire *w)
{
	return (uint16_t)take(w, 2);
}

uint32_t
wire_u32(struct wire *w)
{
	return (uint32_t)take(w, 4);
}

uint64_t
wire_u64(struct wire *w)
{
	return take(w, 8);
}

/* One form a number: no zeros at the end, nothing beyond 64 bits. */
uint64_t
wire_packed(struct wire *w)
{
	size_t n = w->rest.len < PACKED_MAX ? w->rest.len : PACKED_MAX;
	uint64_t v = 0;

	for (size_t i = 0; i < n && !w->failed; i++) {
		uint8_t c = w->rest.ptr[i];

		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c & 0x80)
			continue;
		if ((c == 0 && i > 0) || (c > 1 && i == PACKED_MAX - 1))
			break;
		w->rest = slice_skip(w->rest, i + 1);
		return v;
	}
	w->failed = true;
	return 0;
}

static struct slice
take_slice(struct wire *w, uint64_t n)
{
	struct slice s;

	if (w->failed || n > w->rest.len) {
		w->failed = true;
		return slice_of(NULL, 0);
	}
	s = slice_first(w->rest, (size_t)n);
	w->rest = slice_skip(w->rest, (size_t)n);
	return s;
}

struct slice
wire_slice(struct wire *w)
{
	return take_slice(w, take(w, 4));
}

struct slice
wire_packed_slice(struct wire *w)
{
	return take_slice(w, wire_packed(w));
}

bool
wire_done(const struct wire *w)
{
	return !w->failed && w->rest.len == 0;
}
