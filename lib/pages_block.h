/*
 * pages_block: the octets of a page, in one allocation of about their size.
 * For lib/pages.
 */
#ifndef LIB_PAGES_BLOCK_H
#define LIB_PAGES_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct block {
	uint64_t turn; /* the transaction that made it */
	uint32_t len, size;
	bool frozen; /* in a snapshot: not to be changed */
	bool dirty;  /* not in the db yet */
	uint8_t octets[];
};

struct block *block_new(struct slice octets);
struct block *block_copy(const struct block *b);

/* Octets instead of those between from and to; the block may move. */
void block_change(struct block **bp, size_t from, size_t to,
    struct slice octets);

static inline struct slice
block_slice(const struct block *b)
{
	return slice_of(b->octets, b->len);
}

#endif
