/*
 * db_help: records of a lib/db, for tests.
 */
#ifndef T_DB_HELP_H
#define T_DB_HELP_H

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/slice.h"

static inline void
put(struct db *db, unsigned shard, const char *key, const char *value)
{
	struct err err;

	MUST(db_put(db, shard, slice_str(key), slice_str(value), &err) == 0);
}

/* want NULL: there is none. */
static inline bool
holds(struct db *db, unsigned shard, const char *key, const char *want)
{
	struct buf out;
	struct err err;
	int found;
	bool same;

	buf_init(&out, 100);
	found = db_get(db, shard, slice_str(key), &out, &err);
	same = want == NULL ? found == 0
	                    : found == 1 && slice_is(buf_slice(&out), want);
	buf_fini(&out);
	return same;
}

#endif
