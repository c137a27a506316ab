/*
 * db: sharded, transactional tdb.  The only user of tdb_*.
 *
 * A database is a directory of tdb files (one ends at 4 GiB).  The caller says
 * which shard a key is in.  One process writes, any number read; readers take
 * no lock that outlives the call.
 *
 * A transaction over several shards is made whole by an intent: all of it is
 * written to shard 0 in one commit, then to the others, then taken away.
 * db_open() finishes what a crash left.  A reader may see such a transaction
 * in one shard a moment before the other; within a shard never.
 *
 * DB_CACHE is for a copy that can be fetched again: transactions survive the
 * death of the process, not of the machine, and db_open() empties what is
 * damaged or of another version's format (db_was_emptied()).  DB_DURABLE refuses
 * that, and says so.
 */
#ifndef LIB_DB_H
#define LIB_DB_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	DB_SHARDS_MAX = 256
};

struct buf;
struct db;
struct err;

enum db_mode {
	DB_DURABLE, /* a commit is on disk */
	DB_CACHE,
	DB_READ,  /* another process writes it */
	DB_MEMORY /* treedb's own: not for db_open() */
};

/*
 * dir is made if it may be; shards is fixed at the first opening.  A second writer is refused, and so is DB_READ before a writer has
 * made the database ready.
 */
int db_open(struct db **dbp, const char *dir, unsigned shards,
    enum db_mode mode, struct err *err) MUST_CHECK;
void db_close(struct db **dbp);
unsigned db_shards(const struct db *db);
bool db_was_emptied(const struct db *db);

/* Keys do not begin with a NUL.  1 and the value appended to out; 0 if there is none; -1 and *err. */
int db_get(struct db *db, unsigned shard, struct slice key, struct buf *out,
    struct err *err) MUST_CHECK;

/* In between, reads of a shard see one state of it.  Keep it short. */
int db_hold(struct db *db, unsigned shard, struct err *err) MUST_CHECK;
void db_release(struct db *db, unsigned shard);

/*
 * One transaction at a time, over all shards: after a crash all of it is there
 * or none, also if it touched several shards.  Reads inside see its writes.
 */
int db_begin(struct db *db, struct err *err) MUST_CHECK;
int db_put(struct db *db, unsigned shard, struct slice key, struct slice value,
    struct err *err) MUST_CHECK;
int db_delete(struct db *db, unsigned shard, struct slice key,
    struct err *err) MUST_CHECK;
/* -1: nothing has changed, or db_begin() will finish it before all else. */
int db_commit(struct db *db, struct err *err) MUST_CHECK;
void db_cancel(struct db *db);

#endif
