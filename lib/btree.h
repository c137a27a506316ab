/*
 * btree: ordered maps of octet strings, kept in pages.
 *
 * Records live in the leaves, so finding one, replacing it and finding the
 * next cost a page a level, and what is put in order fills whole pages.  A
 * value that is large has pages of its own.  Pages are split when full, and
 * put together with a neighbour when nearly empty.
 *
 * The law: what a scan gives are the keys put and not deleted, in octet order,
 * with their values.
 */
#ifndef LIB_BTREE_H
#define LIB_BTREE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/pages.h"
#include "lib/slice.h"

enum {
	BTREE_KEY_MAX = 1300
};

struct btree;
struct buf;
struct err;

/*
 * Borrows p, which must outlive it.  Scans of one btree do not overlap.  Of the
 * btrees on the same pages one changes a set, and no other.
 */
struct btree *btree_new(struct pages *p);
void btree_free(struct btree **bp);

/* 1 and the value appended to out; 0 if there is none; -1 and *err. */
int btree_get(struct btree *bt, struct pages_set set, struct slice key,
    struct buf *out, struct err *err) MUST_CHECK;

/*
 * Inside a transaction.  1 if the key was there, and its value appended to old
 * unless that is NULL; 0 if not; -1 and *err.
 */
int btree_put(struct btree *bt, struct pages_set set, struct slice key,
    struct slice value, struct buf *old, struct err *err) MUST_CHECK;
int btree_delete(struct btree *bt, struct pages_set set, struct slice key,
    struct buf *old, struct err *err) MUST_CHECK;

int btree_count(struct btree *bt, struct pages_set set, uint64_t *n,
    struct err *err) MUST_CHECK;

/*
 * 1 and a copy of the page with the first key that is not below from; pull its
 * entries.  0: there is no such key.  -1 and *err.
 */
int btree_seek(struct btree *bt, struct pages_set set, struct slice from,
    struct err *err) MUST_CHECK;

/*
 * 1 and the next entry of that page, borrowed until the next pull or seek; 0
 * at its end; -1 and *err if the page is damaged.
 */
int btree_pull(struct btree *bt, struct slice *key, struct slice *value,
    struct err *err) MUST_CHECK;

#endif
