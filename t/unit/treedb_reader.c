/*
 * treedb_reader: a process reads while another writes.
 *
 * The writer puts and deletes around keys that always stay, so that pages are
 * split, joined and go, and changes all values; what is taken back is never to
 * be seen.  The reader's laws: what stays is found, by looking it up and by
 * walking and by its tag; a walk is in order; each value is one that was
 * committed; once a transaction is seen, all of the one before is.
 */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	USERS = 40,
	STAY = 6,    /* mailboxes of a user that are always there */
	GO = 30,     /* that come and go */
	ROUNDS = 60, /* of the reader, at least */
	TURNS = 3,   /* of the writer, at least */
	SHARDS = 3
};

extern char **environ;

static const char turn_fact[] = "turn";

static struct slice
key_of(unsigned user, const char *kind, unsigned i, char room[60])
{
	snprintf(room, 60, "user%cu%02u%c%s%03u", TREEDB_SEP, user, TREEDB_SEP,
	    kind, i);
	return slice_str(room);
}

/* The turn, and octets that tell whether all of a value is there. */
static struct slice
value_of(unsigned turn, char room[900])
{
	unsigned n = 8 + turn % 800;

	snprintf(room, 900, "%08u", turn);
	for (unsigned i = 8; i < n; i++)
		room[i] = (char)('a' + turn % 26);
	return slice_of(room, n);
}

static unsigned
turn_of(struct slice value)
{
	char room[900];
	uint64_t turn = 0;

	MUST(value.len >= 8);
	MUST(ascii_number(slice_first(value, 8), 99999999, &turn));
	MUST(slice_equal(value, value_of((unsigned)turn, room)));
	return (unsigned)turn;
}

/* --- the reader, a process of its own -------------------------------------- */

struct reader {
	struct treedb *tree;
	char last[60];
	unsigned stayed, turn;
};

static unsigned
look_up_turn(struct reader *r)
{
	struct buf out;
	struct err err;
	unsigned turn;

	buf_init(&out, 1000);
	MUST(treedb_get_fact(r->tree, turn_fact, &out, &err) == 1);
	turn = turn_of(buf_slice(&out));
	buf_fini(&out);
	return turn;
}

static enum treedb_next
see(void *arg, struct slice key, struct slice value)
{
	struct reader *r = arg;

	MUST(slice_compare(key, slice_str(r->last)) > 0);
	snprintf(r->last, sizeof(r->last), "%.*s", (int)key.len,
	    (const char *)key.ptr);
	if (strstr(r->last, "stay") != NULL) {
		/* All are put in each turn, which is seen in one shard a
		 * moment before another. */
		MUST(turn_of(value) + 1 >= r->turn);
		r->stayed++;
	} else {
		MUST(turn_of(value) > 0);
	}
	return TREEDB_NEXT;
}

/* In order only within a shard. */
static enum treedb_next
see_tagged(void *arg, struct slice key, struct slice value)
{
	struct reader *r = arg;

	r->last[0] = '\0';
	return see(r, key, value);
}

static void
read_once(struct reader *r)
{
	struct slice all = { NULL, 0 };
	char room[60];
	struct buf out;
	struct err err;

	r->turn = look_up_turn(r);
	r->stayed = 0;
	r->last[0] = '\0';
	MUST(treedb_walk(r->tree, all, all, see, r, &err) == 0);
	MUST(r->stayed == USERS * STAY);
	r->stayed = 0;
	r->last[0] = '\0';
	MUST(treedb_walk_tag(r->tree, slice_str("tag"), see_tagged, r, &err) ==
	     0);
	MUST(r->stayed == USERS * STAY);
	buf_init(&out, 1000);
	for (unsigned u = 0; u < USERS; u++) {
		for (unsigned i = 0; i < STAY; i++) {
			buf_clear(&out);
			MUST(treedb_get(r->tree, key_of(u, "stay", i, room),
			         &out, &err) == 1);
			MUST(turn_of(buf_slice(&out)) + 1 >= r->turn);
		}
	}
	buf_fini(&out);
}

static int
reader(const char *dir)
{
	struct reader r = { .turn = 0 };
	unsigned first;
	struct err err;

	MUST(treedb_open(&r.tree, dir, 1, DB_READ, &err) == 0);
	first = look_up_turn(&r);
	/* Nothing is shown if nothing was written meanwhile. */
	for (unsigned i = 0; i < ROUNDS || r.turn < first + TURNS; i++)
		read_once(&r);
	treedb_close(&r.tree);
	return 0;
}

/* --- the writer -------------------------------------------------------------- */

static void
put(struct treedb *t, struct slice key, unsigned turn)
{
	struct slice tag = slice_str("tag");
	char room[900];
	struct err err;

	MUST(treedb_put(t, key, value_of(turn, room), &tag, 1, &err) == 0);
}

static void
change(struct treedb *t, unsigned turn)
{
	char room[60], value[900];
	struct err err;

	for (unsigned u = 0; u < USERS; u++) {
		for (unsigned i = 0; i < STAY; i++)
			put(t, key_of(u, "stay", i, room), turn);
		for (unsigned i = 0; i < GO; i++) {
			struct slice key = key_of(u, "go", i, room);

			if ((turn + u) / 4 % 2 == 0)
				put(t, key, turn);
			else
				MUST(treedb_delete(t, key, &err) == 0);
		}
	}
	MUST(treedb_put_fact(t, turn_fact, value_of(turn, value), &err) == 0);
}

static void
transaction(struct treedb *t, unsigned turn)
{
	struct err err;

	MUST(treedb_begin(t, &err) == 0);
	change(t, 99999999); /* of which no value is seen */
	treedb_cancel(t);
	MUST(treedb_begin(t, &err) == 0);
	change(t, turn);
	MUST(treedb_commit(t, &err) == 0);
}

static void
test_reader(char *self, enum db_mode mode, const char *what)
{
	char dir[64];
	char *argv[] = { self, dir, NULL };
	unsigned turn = 1;
	struct treedb *t;
	struct err err;
	int status = -1;
	pid_t pid;

	tempdir_make(dir);
	MUST(treedb_open(&t, dir, SHARDS, mode, &err) == 0);
	transaction(t, turn);
	fflush(stdout);
	MUST(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0);
	while (waitpid(pid, &status, WNOHANG) == 0)
		transaction(t, ++turn);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "%s: read while written", what);
	treedb_close(&t);
	tempdir_remove(dir);
}

int
main(int argc, char **argv)
{
	if (argc == 2)
		return reader(argv[1]);
	test_reader(argv[0], DB_CACHE, "cache");
	test_reader(argv[0], DB_DURABLE, "durable");
	return done_testing();
}
