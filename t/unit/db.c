/*
 * db: what the modes promise, and transactions over shards.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "t/db_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

/* Whatever the mode: kept after a commit, as before after a cancel. */
static void
test_transactions(enum db_mode mode, const char *what)
{
	char dir[64], path[80];
	struct err err;
	struct db *db;

	tempdir_make(dir);
	snprintf(path, sizeof(path), "%s/db", dir);
	MUST(db_open(&db, path, 3, mode, &err) == 0);
	MUST(db_begin(db, &err) == 0);
	put(db, 0, "a", "1");
	put(db, 2, "b", "2");
	ok(holds(db, 2, "b", "2"), "%s: seen inside", what);
	MUST(db_commit(db, &err) == 0);
	ok(holds(db, 0, "a", "1") && holds(db, 2, "b", "2"), "%s: kept", what);
	ok(holds(db, 1, "a", NULL), "%s: in its shard only", what);

	MUST(db_begin(db, &err) == 0);
	put(db, 0, "a", "3");
	put(db, 0, "a", "4");
	put(db, 1, "c", "5");
	MUST(db_delete(db, 2, slice_str("b"), &err) == 0);
	MUST(db_delete(db, 2, slice_str("none"), &err) == 0);
	db_cancel(db);
	ok(holds(db, 0, "a", "1") && holds(db, 2, "b", "2") &&
	        holds(db, 1, "c", NULL),
	    "%s: taken back", what);
	db_close(&db);

	if (mode != DB_MEMORY) {
		MUST(db_open(&db, path, 3, mode, &err) == 0);
		ok(holds(db, 0, "a", "1") && holds(db, 2, "b", "2"),
		    "%s: there after opening again", what);
		ok(!db_was_emptied(db), "%s: and not emptied", what);
		db_close(&db);
	}
	tempdir_remove(dir);
}

static void
write_state(const char *dir, unsigned format, const char *boot,
    const char *clean)
{
	char path[80];
	FILE *f;

	snprintf(path, sizeof(path), "%s/state", dir);
	f = fopen(path, "w");
	MUST(f != NULL);
	fprintf(f, "murder-db %u\nshards 2\nboot %s\nclean %s\nmade yes\n",
	    format, boot, clean);
	fclose(f);
}

/* A cache that was open when the machine died is emptied, no other. */
static void
test_cache(void)
{
	static const struct {
		unsigned format;
		const char *boot, *clean;
		bool emptied;
	} cases[] = {
		{ 2, "another-boot", "no", true },
		{ 2, "another-boot", "yes", false },
		{ 1, "another-boot", "yes", true },
	};
	char dir[64];
	struct err err;
	struct db *db;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		tempdir_make(dir);
		MUST(db_open(&db, dir, 2, DB_CACHE, &err) == 0);
		MUST(db_begin(db, &err) == 0);
		put(db, 1, "a", "1");
		MUST(db_commit(db, &err) == 0);
		db_close(&db);
		write_state(dir, cases[i].format, cases[i].boot,
		    cases[i].clean);
		if (cases[i].emptied)
			ok(db_open(&db, dir, 2, DB_READ, &err) == -1,
			    "a reader does not trust it");
		MUST(db_open(&db, dir, 2, DB_CACHE, &err) == 0);
		ok(db_was_emptied(db) == cases[i].emptied &&
		        holds(db, 1, "a", cases[i].emptied ? NULL : "1"),
		    "format %u boot %s clean %s", cases[i].format,
		    cases[i].boot, cases[i].clean);
		db_close(&db);
		tempdir_remove(dir);
	}
}

static ino_t
inode_of_state(const char *dir)
{
	char path[80];
	struct stat st;

	snprintf(path, sizeof(path), "%s/state", dir);
	MUST(stat(path, &st) == 0);
	return st.st_ino;
}

/* Opening one that is there takes no room on the disk. */
static void
test_reopened(void)
{
	char dir[64];
	struct err err;
	struct db *db;
	ino_t was;

	tempdir_make(dir);
	MUST(db_open(&db, dir, 2, DB_DURABLE, &err) == 0);
	db_close(&db);
	was = inode_of_state(dir);
	MUST(db_open(&db, dir, 2, DB_DURABLE, &err) == 0);
	db_close(&db);
	ok(inode_of_state(dir) == was, "its state is not written again");
	tempdir_remove(dir);
}

/* What cannot be fetched again is not thrown away. */
static void
test_format(void)
{
	char dir[64];
	struct err err;
	struct db *db;

	tempdir_make(dir);
	MUST(db_open(&db, dir, 2, DB_DURABLE, &err) == 0);
	db_close(&db);
	write_state(dir, 1, "", "no");
	ok(db_open(&db, dir, 2, DB_DURABLE, &err) == -1 &&
	        strstr(err.text, "format 1") != NULL,
	    "another format is refused: %s", err.text);
	write_state(dir, 2, "", "no");
	ok(db_open(&db, dir, 2, DB_DURABLE, &err) == 0, "ours is not");
	db_close(&db);
	tempdir_remove(dir);
}

/* A file of nonsense: a cache starts anew, what is durable refuses. */
static void
test_damage(enum db_mode mode)
{
	char dir[64], path[80];
	struct err err;
	struct db *db;
	FILE *f;

	tempdir_make(dir);
	MUST(db_open(&db, dir, 2, mode, &err) == 0);
	db_close(&db);
	snprintf(path, sizeof(path), "%s/01.tdb", dir);
	f = fopen(path, "w");
	MUST(f != NULL);
	fprintf(f, "nonsense, and longer than a header of tdb would be\n");
	fclose(f);
	if (mode == DB_CACHE) {
		ok(db_open(&db, dir, 2, mode, &err) == 0 && db_was_emptied(db),
		    "a damaged cache is emptied");
		db_close(&db);
	} else {
		ok(db_open(&db, dir, 2, mode, &err) == -1,
		    "damage is an error: %s", err.text);
	}
	tempdir_remove(dir);
}

/* This program again, since locks are between processes. */
static int
second_writer(const char *dir)
{
	struct err err;
	struct db *db;

	if (db_open(&db, dir, 1, DB_DURABLE, &err) == 0) {
		db_close(&db);
		return 0;
	}
	return strstr(err.text, "another process") != NULL ? 7 : 1;
}

static void
test_refusals(const char *self)
{
	char dir[64], command[300];
	struct err err;
	struct db *db;

	tempdir_make(dir);
	ok(db_open(&db, dir, 1, DB_READ, &err) == -1 && db == NULL,
	    "nothing to read yet: %s", err.text);
	MUST(db_open(&db, dir, 1, DB_DURABLE, &err) == 0);
	snprintf(command, sizeof(command), "%s %s", self, dir);
	ok(system(command) == 7 << 8, "a second writer is refused");
	db_close(&db);
	ok(system(command) == 0, "but not when the first has gone");
	tempdir_remove(dir);
}

int
main(int argc, char **argv)
{
	if (argc == 2)
		return second_writer(argv[1]);
	test_transactions(DB_DURABLE, "durable");
	test_transactions(DB_CACHE, "cache");
	test_cache();
	test_format();
	test_reopened();
	test_damage(DB_CACHE);
	test_damage(DB_DURABLE);
	test_refusals(argv[0]);
	return done_testing();
}
