/*
 * mirror_merge: a walk over the copy beside a list that comes.
 *
 * It stands between two keys of the copy; merge_pass() goes on to a key of the
 * list and notes what the copy has before it.  The copy is read some records
 * ahead.  Keys may be put into the copy meanwhile up to the one passed last,
 * not beyond.
 */
#ifndef PROXYD_MIRROR_MERGE_H
#define PROXYD_MIRROR_MERGE_H

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/keyset.h"
#include "lib/slice.h"

struct err;
struct treedb;

/* Names that are to leave the copy.  Embed it; init and fini are the keys'. */
struct missing {
	struct keyset keys;
	size_t reserved; /* of these: nobody loses a mailbox with them */
};

/* value: the copy's record. */
void missing_put(struct missing *m, struct slice key, struct slice value);

/* It is there after all; reserved: the copy has it so. */
void missing_remove(struct missing *m, struct slice key, bool reserved);

/* Embed it; the members are mirror_merge.c's own. */
struct merge {
	struct treedb *list;
	struct missing *missing;
	struct buf ahead; /* records, by wire */
	struct buf from;  /* where to read on */
	struct buf last;  /* the greatest key passed */
	bool over;        /* nothing is left to read */
};

/* What the copy has at a key of the list. */
enum merge_found {
	MERGE_FAILED = -1,
	MERGE_ABSENT,
	MERGE_SAME,
	MERGE_DIFFERENT,
	MERGE_BEHIND /* the key is not above the last one: look it up */
};

/* Borrows both. */
void merge_init(struct merge *g, struct treedb *list, struct missing *missing);
void merge_fini(struct merge *g);

/*
 * Keys of the copy before this one are put into missing.  *reserved: if it is
 * there, has the copy a reservation?
 */
enum merge_found merge_pass(struct merge *g, struct slice key,
    struct slice value, bool *reserved, struct err *err) MUST_CHECK;

/* Some of what is left goes into missing.  1: there may be more; 0; -1. */
int merge_rest(struct merge *g, struct err *err) MUST_CHECK;

#endif
