/*
 * Kill a transaction over several shards at each of its system calls: after
 * reopening, all of it is there or none, and the database takes changes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "t/tap.h"
#include "t/tempdir.h"

static int calls_left = -1; /* before this child exits; -1: never */

static void
tick(void)
{
	if (calls_left > 0 && --calls_left == 0)
		_exit(42);
}

/* Exit just before the call, and in the next child just after it. */
#define WRAP(type, name, args, ...)                                \
	type name args                                             \
	{                                                          \
		static type(*real) args;                           \
		type r;                                            \
		if (real == NULL)                                  \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		tick();                                            \
		r = real(__VA_ARGS__);                             \
		tick();                                            \
		return r;                                          \
	}

WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t off), fd, p, n,
    off)
WRAP(ssize_t, write, (int fd, const void *p, size_t n), fd, p, n)
WRAP(int, ftruncate, (int fd, off_t n), fd, n)
WRAP(int, fsync, (int fd), fd)
WRAP(int, fdatasync, (int fd), fd)
WRAP(int, msync, (void *p, size_t n, int flags), p, n, flags)

enum {
	SHARDS = 3
};

static void
put(struct db *db, unsigned shard, const char *key, const char *value)
{
	struct err err;

	MUST(db_put(db, shard, slice_str(key), slice_str(value), &err) == 0);
}

static bool
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

static bool
crash_at(const char *dir, int n)
{
	struct err err;
	struct db *db;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		MUST(db_open(&db, dir, SHARDS, DB_DURABLE, &err) == 0);
		before(db);
		calls_left = n;
		transaction(db);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	MUST(WEXITSTATUS(status) == 42 || WEXITSTATUS(status) == 0);
	return WEXITSTATUS(status) == 42;
}

/* Another crash while the first is being repaired must do no harm. */
static void
crash_opening(const char *dir, int n)
{
	struct err err;
	struct db *db;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		calls_left = n;
		MUST(db_open(&db, dir, SHARDS, DB_DURABLE, &err) == 0);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
}

static bool
intact(const char *dir, bool must_be_after)
{
	unsigned was = 0, is = 0;
	struct err err;
	struct db *db;

	if (db_open(&db, dir, SHARDS, DB_DURABLE, &err) == -1) {
		printf("# %s\n", err.text);
		return false;
	}
	for (unsigned i = 0; i < SHARDS; i++) {
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
	if (must_be_after)
		return is == SHARDS;
	return was == SHARDS || is == SHARDS;
}

int
main(void)
{
	bool crashed = true;

	for (int n = 1; crashed; n++) {
		char dir[64];

		tempdir_make(dir);
		crashed = crash_at(dir, n);
		if (crashed)
			crash_opening(dir, n);
		ok(intact(dir, !crashed), "died at call %d", n);
		tempdir_remove(dir);
	}
	ok(tap_count > 10, "the wrappers were called");
	return done_testing();
}
