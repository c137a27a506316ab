#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/buf.h"
#include "lib/deflate.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LEVEL = 3, /* the best of the fast ones */
	/* Of ours: 32 kB for the window, 32 kB for the rest. */
	WINDOW_BITS = 13,
	MEMORY_LEVEL = 6,
	PEER_WINDOW_BITS = 15,
	PEER_WINDOW = 1 << PEER_WINDOW_BITS,
	PIECE = 16 * 1024,
	AT_A_BOUNDARY = 128 /* of z_stream.data_type: and no bits left over */
};

struct deflate {
	z_stream *compressor, *inflater; /* NULL: at rest */
	uint8_t *window; /* of the inflater at rest: what it had put out */
	size_t window_len;
	bool over; /* the peer's last block has come */
};

struct deflate *
deflate_new(void)
{
	return xcalloc(1, sizeof(struct deflate));
}

static void
end_compressor(struct deflate *d)
{
	if (d->compressor == NULL)
		return;
	deflateEnd(d->compressor);
	free(d->compressor);
	d->compressor = NULL;
}

static void
end_inflater(struct deflate *d)
{
	if (d->inflater == NULL)
		return;
	inflateEnd(d->inflater);
	free(d->inflater);
	d->inflater = NULL;
}

void
deflate_free(struct deflate **dp)
{
	struct deflate *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	end_compressor(d);
	end_inflater(d);
	free(d->window);
	free(d);
}

/* After a flush a new stream may follow: it refers to nothing before it. */
static z_stream *
compressor_of(struct deflate *d)
{
	if (d->compressor == NULL) {
		d->compressor = xcalloc(1, sizeof(*d->compressor));
		MUST(
		    deflateInit2(d->compressor, LEVEL, Z_DEFLATED, -WINDOW_BITS,
		        MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK);
	}
	return d->compressor;
}

static uint8_t *
unconst(const uint8_t *p)
{
	return (uint8_t *)(uintptr_t)p;
}

void
deflate_put(struct deflate *d, struct slice in, enum deflate_how how,
    struct buf *out)
{
	z_stream *z = compressor_of(d);
	uint8_t piece[PIECE];
	int result;

	MUST(in.len <= UINT32_MAX);
	z->next_in = unconst(in.ptr);
	z->avail_in = (unsigned)in.len;
	do {
		z->next_out = piece;
		z->avail_out = sizeof(piece);
		result = deflate(z,
		    how == DEFLATE_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		MUST(result == Z_OK || result == Z_BUF_ERROR);
		buf_put(out, piece, sizeof(piece) - z->avail_out);
	} while (z->avail_out == 0);
}

static z_stream *
inflater_of(struct deflate *d)
{
	if (d->inflater != NULL)
		return d->inflater;
	d->inflater = xcalloc(1, sizeof(*d->inflater));
	MUST(inflateInit2(d->inflater, -PEER_WINDOW_BITS) == Z_OK);
	if (d->window_len > 0)
		MUST(inflateSetDictionary(d->inflater, d->window,
		         (unsigned)d->window_len) == Z_OK);
	free(d->window);
	d->window = NULL;
	d->window_len = 0;
	return d->inflater;
}

int
deflate_take(struct deflate *d, struct slice in, size_t *used, uint8_t *out,
    size_t room, size_t *made)
{
	z_stream *z;
	int result;

	*used = *made = 0;
	if (d->over)
		return 0;
	z = inflater_of(d);
	MUST(in.len <= UINT32_MAX && room > 0 && room <= UINT32_MAX);
	z->next_in = unconst(in.ptr);
	z->avail_in = (unsigned)in.len;
	z->next_out = out;
	z->avail_out = (unsigned)room;
	result = inflate(z, Z_SYNC_FLUSH);
	*used = in.len - z->avail_in;
	*made = room - z->avail_out;
	d->over = result == Z_STREAM_END;
	return d->over || result == Z_OK || result == Z_BUF_ERROR ? 0 : -1;
}

bool
deflate_is_over(const struct deflate *d)
{
	return d->over;
}

void
deflate_rest(struct deflate *d)
{
	uint8_t window[PEER_WINDOW];
	unsigned n = sizeof(window);

	end_compressor(d);
	/* Within a block its tables are needed, too. */
	if (d->inflater == NULL ||
	    (d->inflater->data_type & ~7) != AT_A_BOUNDARY ||
	    (d->inflater->data_type & 7) != 0)
		return;
	MUST(inflateGetDictionary(d->inflater, window, &n) == Z_OK);
	if (n > 0) {
		d->window = xmalloc(n);
		memcpy(d->window, window, n);
		d->window_len = n;
	}
	end_inflater(d);
}
