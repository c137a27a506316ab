/*
 * btree: ordered sets of octet strings, kept in records of a db.
 *
 * A set is named by a shard and a letter.  Its pages are records of a few
 * kilobytes, so inserting, removing and finding the next key cost a few
 * records each, however many keys there are.  Pages are split when full and
 * taken away when empty; they are not merged, since names that went away tend
 * to come again next to where they were.
 *
 * The law: the keys that a scan gives are those inserted and not removed, in
 * octet order.
 */
#ifndef LIB_BTREE_H
#define LIB_BTREE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	BTREE_KEY_MAX = 1300
};

struct btree;
struct db;
struct err;

/* Borrows db, which must outlive it. */
struct btree *btree_new(struct db *db);
void btree_free(struct btree **bp);

struct btree_set {
	unsigned shard;
	uint8_t letter;
};

/*
 * Inside db_begin() and db_commit().  1 if it changed anything, 0 if the key
 * was there (was not there) before, -1 and *err.
 */
int btree_insert(struct btree *bt, struct btree_set set, struct slice key,
    struct err *err) MUST_CHECK;
int btree_remove(struct btree *bt, struct btree_set set, struct slice key,
    struct err *err) MUST_CHECK;

int btree_count(struct btree *bt, struct btree_set set, uint64_t *n,
    struct err *err) MUST_CHECK;

/*
 * 1 and the page with the first key that is not below from; pull its keys.
 * 0: there is no such key.  -1 and *err.
 */
int btree_seek(struct btree *bt, struct btree_set set, struct slice from,
    struct err *err) MUST_CHECK;

/*
 * 1 and the next key of that page, borrowed until the next call of btree_seek()
 * or a change; 0 at its end; -1 and *err if the page is damaged.
 */
int btree_pull(struct btree *bt, struct slice *key, struct err *err) MUST_CHECK;

#endif
