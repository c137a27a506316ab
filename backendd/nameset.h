/*
 * nameset: which names have been seen, eight octets each.
 *
 * It remembers hashes under a random key, so it may take a name for one it has
 * seen, once in 2^64 / (names seen); who uses it is right again the next time.
 */
#ifndef BACKENDD_NAMESET_H
#define BACKENDD_NAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

/* Embed it; the members are nameset.c's. */
struct nameset {
	uint64_t key[2];
	uint64_t *slots; /* 0: free */
	size_t nslots, count;
};

void nameset_init(struct nameset *s);
void nameset_fini(struct nameset *s);
void nameset_add(struct nameset *s, struct slice name);
bool nameset_has(const struct nameset *s, struct slice name);

#endif
