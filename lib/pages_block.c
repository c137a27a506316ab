#include <string.h>

#include "lib/must.h"
#include "lib/pages.h"
#include "lib/pages_block.h"
#include "lib/xalloc.h"

enum {
	/* A page takes a few changes before it is to move, and wastes little. */
	STEP = 128
};

static uint32_t
size_for(size_t len)
{
	MUST(len <= PAGES_OCTETS_MAX);
	return (
	    uint32_t)((sizeof(struct block) + len + STEP - 1) / STEP * STEP -
	              sizeof(struct block));
}

struct block *
block_new(struct slice octets)
{
	uint32_t size = size_for(octets.len);
	struct block *b = xmalloc(sizeof(*b) + size);

	*b = (struct block){ .len = (uint32_t)octets.len, .size = size };
	if (octets.len > 0)
		memcpy(b->octets, octets.ptr, octets.len);
	return b;
}

struct block *
block_copy(const struct block *b)
{
	return block_new(block_slice(b));
}

void
block_change(struct block **bp, size_t from, size_t to, struct slice octets)
{
	struct block *b = *bp;
	size_t len;

	MUST(from <= to && to <= b->len && octets.len <= PAGES_OCTETS_MAX);
	len = b->len - (to - from) + octets.len;
	if (len > b->size) {
		uint32_t size = size_for(len);

		b = *bp = xrealloc(b, sizeof(*b) + size);
		b->size = size;
	}
	memmove(b->octets + from + octets.len, b->octets + to, b->len - to);
	if (octets.len > 0)
		memcpy(b->octets + from, octets.ptr, octets.len);
	b->len = (uint32_t)len;
}
