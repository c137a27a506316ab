/*
 * pages: numbered runs of octets, in memory or in a db, changed by
 * transactions.
 *
 * A set of pages is named by a shard and a letter, and has a root: the number
 * of its first page, and how many entries its owner counts.  In memory a page
 * is one allocation of about its size.  Over a db it is one record; the writer
 * keeps the pages it used lately, so a transaction writes each page it changed
 * once, however often.
 *
 * Pages in memory can be kept on disk without being in the way: a snapshot
 * holds what changed since the last one, as it is now, while changes go on (in
 * copies); a job thread writes it into a db.
 */
#ifndef LIB_PAGES_H
#define LIB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	PAGES_SHARDS_MAX = 256,
	PAGES_OCTETS_MAX = 64 * 1024 * 1024 /* of one */
};

enum pages_letter {
	PAGES_NAMES,
	PAGES_TAGS,
	PAGES_FACTS,
	PAGES_LETTERS
};

struct buf;
struct db;
struct err;
struct pages;
struct pages_snapshot;

struct pages_set {
	unsigned shard;
	enum pages_letter letter;
};

struct pages_root {
	uint64_t top; /* 0: there is none */
	uint64_t count;
};

struct pages *pages_new(unsigned shards);

/* Borrows db, which must outlive it; reader: another process writes it. */
struct pages *pages_over(struct db *db, bool reader);
void pages_free(struct pages **pp);
unsigned pages_shards(const struct pages *p);
bool pages_are_memory(const struct pages *p);

/*
 * While this is the same and not 0, what pages_get() gave is what it was, and
 * where it was.  0 always, if not in memory.
 */
uint64_t pages_version(const struct pages *p);

/*
 * In between, what is read of a shard is one state of it; only a reader needs
 * it.  Keep it short.
 */
int pages_hold(struct pages *p, unsigned shard, struct err *err) MUST_CHECK;
void pages_release(struct pages *p, unsigned shard);

int pages_root(struct pages *p, struct pages_set set, struct pages_root *root,
    struct err *err) MUST_CHECK;

/*
 * The octets are in room or borrowed from within, until the page is changed,
 * the transaction begins or ends, or a root is asked for.  A page that is not
 * there is damage: -1.
 */
int pages_get(struct pages *p, struct pages_set set, uint64_t number,
    struct buf *room, struct slice *octets, struct err *err) MUST_CHECK;

/* What follows is for transactions, one at a time. */
int pages_begin(struct pages *p, struct err *err) MUST_CHECK;
/* -1: nothing has changed, or pages_begin() will finish it before all else. */
int pages_commit(struct pages *p, struct err *err) MUST_CHECK;
void pages_cancel(struct pages *p);

/*
 * While this is the same, what a transaction has done was not taken back: it is
 * so now, or was changed since.
 */
uint64_t pages_undone(const struct pages *p);

int pages_root_put(struct pages *p, struct pages_set set,
    struct pages_root root, struct err *err) MUST_CHECK;
int pages_add(struct pages *p, struct pages_set set, struct slice octets,
    uint64_t *number, struct err *err) MUST_CHECK;

/* Octets instead of those between from and to.  Not a page's own. */
int pages_change(struct pages *p, struct pages_set set, uint64_t number,
    size_t from, size_t to, struct slice octets, struct err *err) MUST_CHECK;
int pages_remove(struct pages *p, struct pages_set set, uint64_t number,
    struct err *err) MUST_CHECK;

/* --- memory and disk -------------------------------------------------------- */

/* Octets of all pages in memory. */
uint64_t pages_octets(const struct pages *p);

/* What changed since the last one that was written.  One at a time. */
struct pages_snapshot *pages_snapshot(struct pages *p);

/*
 * Writes a shard of it, between db_begin() and db_commit().  For a job thread:
 * it touches nothing that changes meanwhile.
 */
int pages_snapshot_write(const struct pages_snapshot *s, unsigned shard,
    struct db *db, struct err *err) MUST_CHECK;

/* written: else its pages will be in the next. */
void pages_snapshot_end(struct pages *p, struct pages_snapshot **sp,
    bool written);

/* Into memory that is empty.  -1 and *err: it is of no more use. */
int pages_load(struct pages *p, struct db *db, struct err *err) MUST_CHECK;

#endif
