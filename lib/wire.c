#include <string.h>

#include "lib/buf.h"
#include "lib/wire.h"

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

struct slice
wire_slice(struct wire *w)
{
	size_t n = (size_t)take(w, 4);
	struct slice s;

	if (w->failed || n > w->rest.len) {
		w->failed = true;
		return slice_of(NULL, 0);
	}
	s = slice_first(w->rest, n);
	w->rest = slice_skip(w->rest, n);
	return s;
}

bool
wire_done(const struct wire *w)
{
	return !w->failed && w->rest.len == 0;
}
