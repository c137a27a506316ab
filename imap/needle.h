/*
 * needle: find one text in a stream of octets, whatever the stream.
 *
 * Knuth-Morris-Pratt: no octet is looked at twice and none is kept, so neither
 * a text made for it nor a message made for it costs more than its length.
 * Its law is that cuts do not matter.
 */
#ifndef IMAP_NEEDLE_H
#define IMAP_NEEDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct arena;

enum {
	NEEDLE_MAX = UINT16_MAX
};

/* Read-only once made. */
struct needle {
	struct slice text;
	const uint16_t *back; /* how much still matches after a mismatch */
};

/* How far one stream has matched; start with { 0 }. */
struct needle_state {
	size_t matched;
	bool found;
};

/* text lives as long as the needle and has at most NEEDLE_MAX octets. */
void needle_init(struct needle *n, struct arena *a, struct slice text);

/* Sets found once the needle has been seen; an empty one is found at once. */
void needle_put(const struct needle *n, struct needle_state *st,
    struct slice in);

/* Is it in here? */
bool needle_in(const struct needle *n, struct slice in);

#endif
