/*
 * context_hits: what a context has found, for context's own files.
 *
 * In the order of the result: by key and then by UID; without keys that is
 * mailbox order.  A message's key never changes, as its octets do not.
 */
#ifndef BACKENDD_CONTEXT_HITS_H
#define BACKENDD_CONTEXT_HITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/context.h"

struct sorted_message;

/* Adds one in any order; key NULL: none. */
void context_hits_add(struct context_hits *h, size_t *room, uint32_t uid,
    const struct sorted_message *m);

/* ...and then puts them in order. */
void context_hits_order(struct context_hits *h);

/*
 * which[i]: is uids[i] (ascending) in h?  With keys that is a walk through all,
 * as they are not in the order of UIDs.
 */
void context_hits_mark(const struct context_hits *h, const uint32_t *uids,
    size_t n, bool *which);

/*
 * Takes those with these UIDs (ascending, and all of them in h) out; removed
 * and places (from 1) have room for n.
 */
void context_hits_remove(struct context_hits *h, const uint32_t *uids, size_t n,
    uint32_t *removed, uint32_t *places);

/* Puts more in, which is emptied; added and places have room for them. */
void context_hits_merge(struct context_hits *h, struct context_hits *more,
    uint32_t *added, uint32_t *places);

#endif
