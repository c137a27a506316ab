/*
 * seqset: sets of message numbers or UIDs, "1:5,7,9:*".
 *
 * As parsed a set is in the client's order and may hold "*".  seqset_resolve()
 * replaces "*" by the largest number there is, and sorts and joins the ranges;
 * the other functions want a set that is resolved (or was built ascending).
 *
 * "$" is the saved result of a search (RFC 5182): what it means is the
 * caller's to know, here it is a mark on the set, beside its ranges.
 */
#ifndef IMAP_SEQSET_H
#define IMAP_SEQSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct arena;
struct buf;

enum {
	SEQSET_STAR = 0,          /* in a range not resolved: "*" */
	SEQSET_RANGES_MAX = 32768 /* of one set that a client sends */
};

struct seqrange {
	uint32_t first, last; /* both included; first <= last once resolved */
};

/* Zeroed, it is the empty set.  Ranges are in an arena; nothing to free. */
struct seqset {
	struct seqrange *ranges;
	size_t n, size;
	bool saved; /* "$" is in it, too */
};

/* NULL, or why it is none: static text. */
const char *seqset_parse(struct arena *a, struct slice s, struct seqset *set);

/* The same, where "$" may be in it. */
const char *seqset_parse_saved(struct arena *a, struct slice s,
    struct seqset *set);

/*
 * In place.  largest 0 (an empty mailbox) leaves only what was said in
 * numbers.
 */
void seqset_resolve(struct seqset *set, uint32_t largest);

/* Adds at the end: n, or first to last, is above all that is in the set. */
void seqset_add(struct arena *a, struct seqset *set, uint32_t n);
void seqset_add_range(struct arena *a, struct seqset *set, uint32_t first,
    uint32_t last);

/*
 * Adds at the end in any order, joining only what follows directly: for
 * COPYUID, whose two sets correspond number by number.
 */
void seqset_push(struct arena *a, struct seqset *set, uint32_t n);

/* The ranges too are a's. */
void seqset_copy(struct arena *a, struct seqset *to, const struct seqset *from);

bool seqset_contains(const struct seqset *set, uint32_t n);

/* How many numbers; 0 if empty. */
uint64_t seqset_count(const struct seqset *set);

/*
 * "1:3,5", and "*" if it is not resolved; an empty set writes nothing, nor does
 * "$".
 */
void seqset_put(struct buf *out, const struct seqset *set);

/* for (struct seqiter it = seqiter_of(&set); seqiter_next(&it, &n);) */
struct seqiter {
	const struct seqset *set;
	size_t range;
	uint64_t next; /* 0: at the range's start */
};

struct seqiter seqiter_of(const struct seqset *set);
bool seqiter_next(struct seqiter *it, uint32_t *n);

#endif
