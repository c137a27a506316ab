/*
 * Kill a transaction over several shards at each of its system calls, with and
 * without losing what was not synced: after reopening, all of it is there or
 * none, and the database takes changes.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "t/crash.h"
#include "t/db_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	SHARDS = 3
};

static void
before(struct db *db)
{
	struct err err;

	MUST(db_begin(db, &err) == 0);
	for (unsigned i = 0; i < SHARDS; i++) {
		put(db, i, "old", "1");
		put(db, i, "changed", "1");
	}
	MUST(db_commit(db, &err) == 0);
}

static void
transaction(struct db *db)
{
	struct err err;

	MUST(db_begin(db, &err) == 0);
	for (unsigned i = 0; i < SHARDS; i++) {
		MUST(db_delete(db, i, slice_str("old"), &err) == 0);
		put(db, i, "changed", "22");
		put(db, i, "new", "2");
	}
	MUST(db_commit(db, &err) == 0);
}

/* answered: what was durable; 0: nothing yet, 1: before(), 2: all. */
static bool
crash_at(const char *dir, const char *synced, int n, int *answered)
{
	struct crash_child child;
	struct err err;
	struct db *db;
	char c;

	if (crash_fork(&child)) {
		crash_shadow(synced);
		crash_arm(n, 0);
		MUST(db_open(&db, dir, SHARDS, DB_DURABLE, &err) == 0);
		before(db);
		MUST(write(child.fd, "1", 1) == 1);
		transaction(db);
		MUST(write(child.fd, "2", 1) == 1);
		_exit(0);
	}
	*answered = 0;
	while (read(child.fd, &c, 1) == 1)
		++*answered;
	return crash_wait(&child);
}

/* Another crash while the first is being repaired must do no harm. */
static void
crash_opening(const char *dir, int n)
{
	struct crash_child child;
	struct err err;
	struct db *db;

	if (crash_fork(&child)) {
		crash_arm(n, 0);
		MUST(db_open(&db, dir, SHARDS, DB_DURABLE, &err) == 0);
		_exit(0);
	}
	crash_wait(&child);
}

/* As after so many transactions; and it takes another. */
static bool
intact(const char *dir, int answered)
{
	unsigned none = 0, was = 0, is = 0;
	struct err err;
	struct db *db;

	if (db_open(&db, dir, SHARDS, DB_DURABLE, &err) == -1) {
		printf("# %s\n", err.text);
		return false;
	}
	for (unsigned i = 0; i < SHARDS; i++) {
		none += holds(db, i, "old", NULL) &&
		        holds(db, i, "changed", NULL) &&
		        holds(db, i, "new", NULL);
		was += holds(db, i, "old", "1") &&
		       holds(db, i, "changed", "1") &&
		       holds(db, i, "new", NULL);
		is += holds(db, i, "old", NULL) &&
		      holds(db, i, "changed", "22") && holds(db, i, "new", "2");
	}
	MUST(db_begin(db, &err) == 0);
	put(db, 1, "more", "3");
	MUST(db_commit(db, &err) == 0);
	db_close(&db);
	return is == SHARDS || (was == SHARDS && answered < 2) ||
	       (none == SHARDS && answered < 1);
}

int
main(void)
{
	char top[64], dir[CRASH_PATH], synced[CRASH_PATH], lost[CRASH_PATH];
	bool crashed = true;

	for (int n = 1; crashed; n++) {
		int answered;

		tempdir_make(top);
		snprintf(dir, sizeof dir, "%s/db", top);
		snprintf(synced, sizeof synced, "%s/synced", top);
		snprintf(lost, sizeof lost, "%s/lost", top);
		MUST(mkdir(dir, 0700) == 0 && mkdir(synced, 0700) == 0);
		crashed = crash_at(dir, synced, n, &answered);
		for (uint32_t mix = 0; mix < 3; mix++) {
			crash_lose(synced, dir, lost,
			    mix == 0 ? 0 : (uint32_t)n * 2 + mix);
			ok(intact(lost, answered),
			    "died at call %d, not synced, mix %u", n,
			    (unsigned)mix);
			tempdir_remove(lost);
		}
		if (crashed)
			crash_opening(dir, n);
		ok(intact(dir, answered), "died at call %d", n);
		tempdir_remove(top);
	}
	ok(tap_count > 10, "the wrappers were called");
	return done_testing();
}
