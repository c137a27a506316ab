/*
 * treedb: an ordered tree of names over db, with tags.
 *
 * A key is components separated by 0x1F (TREEDB_SEP), so that a name's
 * descendants follow it immediately and before any longer sibling.  The first
 * two components name the shard, so a user's tree is in one.  Keys are at most
 * TREEDB_KEY_MAX octets.
 *
 * Records are kept in the order of their keys, in pages of some kilobytes where
 * neighbours share what they have in common.  So looking a key up or changing
 * one costs a page a level, walking a subtree costs what the subtree holds, and
 * a list that is put in order fills whole pages.  A tag is a short string a
 * record carries (an ACL identifier, say); the records carrying one are found
 * without looking at others.
 *
 * In memory (DB_MEMORY) there are the pages and little else.
 */
#ifndef LIB_TREEDB_H
#define LIB_TREEDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/db.h"
#include "lib/slice.h"

enum {
	TREEDB_SEP = 0x1f,
	TREEDB_KEY_MAX = 1024,
	TREEDB_TAGS_MAX = 256, /* of one record */
	TREEDB_TAG_MAX = 255   /* octets of one; without NULs */
};

struct buf;
struct err;
struct pages;
struct treedb;

int treedb_open(struct treedb **tp, const char *dir, unsigned shards,
    enum db_mode mode, struct err *err) MUST_CHECK;
void treedb_close(struct treedb **tp);
struct pages *treedb_pages(struct treedb *t);
unsigned treedb_shards(const struct treedb *t);

/*
 * One transaction at a time, as of db: after a crash all of it is there or
 * none.  Reads inside see its writes; other processes see none before the
 * commit.
 */
int treedb_begin(struct treedb *t, struct err *err) MUST_CHECK;
int treedb_commit(struct treedb *t, struct err *err) MUST_CHECK;
void treedb_cancel(struct treedb *t);

/* 1 and the value appended to out; 0 if there is none; -1 and *err. */
int treedb_get(struct treedb *t, struct slice key, struct buf *out,
    struct err *err) MUST_CHECK;

/* Inside treedb_begin() and treedb_commit().  Replaces; tags too. */
int treedb_put(struct treedb *t, struct slice key, struct slice value,
    const struct slice *tags, size_t ntags, struct err *err) MUST_CHECK;
int treedb_delete(struct treedb *t, struct slice key,
    struct err *err) MUST_CHECK;

/* A record's value and tags as one octet string: to keep and to put back. */
void treedb_whole(struct buf *out, struct slice value, const struct slice *tags,
    size_t ntags);
size_t treedb_whole_size(struct slice value, const struct slice *tags,
    size_t ntags);
int treedb_get_whole(struct treedb *t, struct slice key, struct buf *out,
    struct err *err) MUST_CHECK;
int treedb_put_whole(struct treedb *t, struct slice key, struct slice whole,
    struct err *err) MUST_CHECK;

/*
 * Puts, or deletes if whole is NULL.  1 and the whole there was, borrowed until
 * the next call; 0: there was none; -1 and *err.
 */
int treedb_swap_whole(struct treedb *t, struct slice key,
    const struct slice *whole, struct slice *old, struct err *err) MUST_CHECK;

/* In which shard a key is: for transactions that stay in one. */
unsigned treedb_shard(const struct treedb *t, struct slice key);

/* What a walk does after a record. */
enum treedb_next {
	TREEDB_NEXT, /* the next key */
	TREEDB_SKIP, /* the next key that is not below this one */
	TREEDB_STOP
};

/*
 * key and value are borrowed for the call; no writing meanwhile.  No lock is
 * held: if another process writes, later records may be newer than earlier.
 */
typedef enum treedb_next treedb_visit(void *arg, struct slice key,
    struct slice value);

/*
 * Keys from "from" on (inclusive) that begin with prefix (octets, not
 * components), in order, all shards merged unless prefix names one.  0, or -1
 * and *err.
 */
int treedb_walk(struct treedb *t, struct slice prefix, struct slice from,
    treedb_visit *visit, void *arg, struct err *err) MUST_CHECK;

/*
 * The key and those below it, in order; of a key of two components or more that
 * is all in one shard.  Empty: all there are.
 */
int treedb_walk_tree(struct treedb *t, struct slice key, treedb_visit *visit,
    void *arg, struct err *err) MUST_CHECK;

/* Records with this tag, in the order of their keys. */
int treedb_walk_tag(struct treedb *t, struct slice tag, treedb_visit *visit,
    void *arg, struct err *err) MUST_CHECK;

/* The same of keys from "from" on (inclusive): to go on in another turn. */
int treedb_walk_tree_from(struct treedb *t, struct slice key, struct slice from,
    treedb_visit *visit, void *arg, struct err *err) MUST_CHECK;
int treedb_walk_tag_from(struct treedb *t, struct slice tag, struct slice from,
    treedb_visit *visit, void *arg, struct err *err) MUST_CHECK;

/*
 * A visit of at most so many records in a turn: give treedb_turn_visit() to a
 * walk from buf_slice(cursor) on, which is empty at first and then stands just
 * behind the last of them.  left > 0: those were all.
 */
struct treedb_turn {
	treedb_visit *visit;
	void *arg;
	struct buf *cursor; /* TREEDB_KEY_MAX + 1 octets fit */
	size_t left;
};
enum treedb_next treedb_turn_visit(void *turn, struct slice key,
    struct slice value);

/* How many records. */
int treedb_count(struct treedb *t, uint64_t *n, struct err *err) MUST_CHECK;

/* Small facts beside the records (an epoch, a revision), by name. */
int treedb_get_fact(struct treedb *t, const char *name, struct buf *out,
    struct err *err) MUST_CHECK;
int treedb_put_fact(struct treedb *t, const char *name, struct slice value,
    struct err *err) MUST_CHECK;
int treedb_swap_fact(struct treedb *t, struct slice name,
    const struct slice *value, struct slice *old, struct err *err) MUST_CHECK;

#endif
