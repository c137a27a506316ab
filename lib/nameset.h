/*
 * nameset: a set of octet strings, small: a string costs itself and about
 * sixteen octets.  For sets of a great many names that are kept for a while;
 * lib/map has values and gives back what is removed.
 *
 * The ceiling is for the strings' octets.  A put that would pass it puts
 * nothing and marks the set failed, as of lib/buf.
 */
#ifndef LIB_NAMESET_H
#define LIB_NAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	NAMESET_NAME_MAX = 0x7fff /* octets of one string */
};

/* Embed it; the members are nameset.c's own. */
struct nameset {
	struct buf names; /* each: length and whether removed, octets */
	uint32_t *slots;  /* where a name begins, plus one; 0: free */
	size_t nslots, used, count;
	uint64_t key[2];
};

/* ceiling is below 4 GiB. */
void nameset_init(struct nameset *n, size_t ceiling);

/* Empty again, not failed, without storage; may be used again. */
void nameset_fini(struct nameset *n);

void nameset_put(struct nameset *n, struct slice name);
void nameset_remove(struct nameset *n, struct slice name);
bool nameset_has(const struct nameset *n, struct slice name);
size_t nameset_count(const struct nameset *n);
bool nameset_failed(const struct nameset *n) MUST_CHECK;

/*
 * The names one after another, in the order they were first put: begin with
 * *at 0.  False at the end.  name is borrowed until the next put.
 */
bool nameset_next(const struct nameset *n, size_t *at, struct slice *name);

#endif
