/*
 * keyset: a set of octet strings, small: a string costs itself and about
 * sixteen octets.  For sets of a great many names that are kept for a while;
 * lib/map has values and gives back what is removed.
 *
 * The ceiling is for the strings' octets.  A put that would pass it puts
 * nothing and marks the set failed, as of lib/buf.
 */
#ifndef LIB_KEYSET_H
#define LIB_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	KEYSET_NAME_MAX = 0x7fff /* octets of one string */
};

/* Embed it; the members are keyset.c's own. */
struct keyset {
	struct buf names; /* each: length and whether removed, octets */
	uint32_t *slots;  /* where a name begins, plus one; 0: free */
	size_t nslots, used, count;
	uint64_t key[2];
};

/* ceiling is below 4 GiB. */
void keyset_init(struct keyset *n, size_t ceiling);

/* Empty again, not failed, without storage; may be used again. */
void keyset_fini(struct keyset *n);

void keyset_put(struct keyset *n, struct slice name);
void keyset_remove(struct keyset *n, struct slice name);
bool keyset_has(const struct keyset *n, struct slice name);
size_t keyset_count(const struct keyset *n);
bool keyset_failed(const struct keyset *n) MUST_CHECK;

/*
 * The names one after another, in the order they were first put: begin with
 * *at 0.  False at the end.  name is borrowed until the next put.
 */
bool keyset_next(const struct keyset *n, size_t *at, struct slice *name);

#endif
