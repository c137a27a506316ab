/*
 * keeper_crash: kill a keeper at every system call that changes its directory,
 * with and without losing what was not synced, and again while it recovers.
 *
 * The law: the tree is what it was after some commit, no earlier than the last
 * that was called durable; and it takes more.
 *
 * Each commit puts its number into several keys of several shards, so that one
 * half done shows, and deletes one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "t/crash.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	KEYS = 12,
	COMMITS = 24,
	GROUP = 3, /* commits that are asked for together */
	CHECKPOINT = 600
};

struct world {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct keeper *keeper;
	unsigned due;
	int report_fd; /* -1: nobody asks */
};

/* What the keys hold: the number of a commit; 0: they are not there. */
struct model {
	unsigned key[KEYS], fact;
};

static int
world_open(struct world *w, const char *dir)
{
	struct keeper_limits limits = keeper_defaults();
	struct err err;

	*w = (struct world){ .report_fd = -1 };
	limits.shards = 3;
	limits.checkpoint_octets = CHECKPOINT;
	w->loop = loop_new();
	w->jobs = jobs_new(w->loop, 2);
	w->log = log_new("keeper", LOG_LEVEL_ERR, true);
	if (keeper_open(&w->keeper, w->loop, w->jobs, w->log, dir, &limits,
	        &err) == 0)
		return 0;
	printf("# %s\n", err.text);
	return -1;
}

static void
world_close(struct world *w)
{
	keeper_close(&w->keeper);
	jobs_free(&w->jobs);
	log_free(&w->log);
	loop_free(&w->loop);
}

static struct slice
key_of(unsigned i, char room[40])
{
	snprintf(room, 40, "user%cu%u%cbox", TREEDB_SEP, i, TREEDB_SEP);
	return slice_str(room);
}

/* Commit n, to a model. */
static void
model_commit(struct model *m, unsigned n)
{
	for (unsigned i = 0; i < KEYS; i++)
		if ((n * 7 + i) % 3 == 0)
			m->key[i] = n;
	m->key[n % KEYS] = 0;
	m->fact = n;
}

/* The same to a keeper. */
static void
told(void *arg, uint64_t number, bool failed)
{
	struct world *w = arg;

	(void)number;
	MUST(!failed);
	if (w->report_fd != -1)
		MUST(write(w->report_fd, "d", 1) == 1);
	if (--w->due == 0)
		loop_stop(w->loop);
}

static void
commit(struct world *w, unsigned n)
{
	char room[40], text[16];
	struct slice tag = slice_str("tag");
	struct err err;

	snprintf(text, sizeof text, "%u", n);
	for (unsigned i = 0; i < KEYS; i++)
		if ((n * 7 + i) % 3 == 0)
			keeper_put(w->keeper, key_of(i, room), slice_str(text),
			    &tag, 1);
	keeper_delete(w->keeper, key_of(n % KEYS, room));
	keeper_put_fact(w->keeper, "fact", slice_str(text));
	w->due++;
	MUST(keeper_commit(w->keeper, told, w, &err) == 0);
}

static void
commit_from(struct world *w, unsigned first, unsigned last)
{
	for (unsigned n = first; n <= last; n++) {
		commit(w, n);
		if (n % GROUP == 0 || n == last)
			loop_run(w->loop);
	}
}

static unsigned
number_of(int found, struct buf *b)
{
	uint64_t n = 0;

	MUST(found != -1);
	if (found == 1 && !ascii_number(buf_slice(b), 1000, &n))
		n = 1001;
	buf_fini(b);
	return (unsigned)n;
}

static void
tree_read(struct treedb *t, struct model *m)
{
	struct err err;
	struct buf b;
	char room[40];
	int found;

	for (unsigned i = 0; i < KEYS; i++) {
		buf_init(&b, 100);
		found = treedb_get(t, key_of(i, room), &b, &err);
		m->key[i] = number_of(found, &b);
	}
	buf_init(&b, 100);
	found = treedb_get_fact(t, "fact", &b, &err);
	m->fact = number_of(found, &b);
}

static enum treedb_next
count_one(void *arg, struct slice key, struct slice value)
{
	unsigned *n = arg;

	(void)key, (void)value;
	++*n;
	return TREEDB_NEXT;
}

/* Is it what the model has?  The order and the tags, too. */
static bool
tree_is(struct treedb *t, const struct model *want)
{
	unsigned there = 0, walked = 0, tagged = 0;
	struct slice all = slice_of(NULL, 0);
	struct model got;
	struct err err;

	tree_read(t, &got);
	for (unsigned i = 0; i < KEYS; i++)
		there += want->key[i] != 0;
	MUST(treedb_walk(t, all, all, count_one, &walked, &err) == 0);
	MUST(treedb_walk_tag(t, slice_str("tag"), count_one, &tagged, &err) ==
	     0);
	if (memcmp(&got, want, sizeof got) == 0 && walked == there &&
	    tagged == there)
		return true;
	printf("# after %u want %u keys; %u walked, %u tagged\n", want->fact,
	    there, walked, tagged);
	for (unsigned i = 0; i < KEYS; i++)
		if (got.key[i] != want->key[i])
			printf("# key %u: want %u, there is %u\n", i,
			    want->key[i], got.key[i]);
	return false;
}

/* As after a commit, which its fact names; and it goes on from there. */
static bool
intact(const char *dir, unsigned answered)
{
	struct model m = { .fact = 0 };
	struct world w;
	unsigned now;
	bool good;

	if (world_open(&w, dir) == -1) {
		world_close(&w);
		return false;
	}
	tree_read(keeper_tree(w.keeper), &m);
	now = m.fact;
	m = (struct model){ .fact = 0 };
	for (unsigned n = 1; n <= now; n++)
		model_commit(&m, n);
	good = now >= answered && now <= COMMITS &&
	       tree_is(keeper_tree(w.keeper), &m);
	if (!good)
		printf("# it is after %u, %u were answered\n", now, answered);
	commit_from(&w, now + 1, now + GROUP + 1);
	world_close(&w);
	for (unsigned n = now + 1; n <= now + GROUP + 1; n++)
		model_commit(&m, n);
	if (world_open(&w, dir) == -1)
		good = false;
	else
		good = tree_is(keeper_tree(w.keeper), &m) && good;
	world_close(&w);
	return good;
}

struct places {
	char dir[CRASH_PATH], synced[CRASH_PATH], lost[CRASH_PATH];
};

static bool
crash_at(const struct places *p, int n, unsigned *answered)
{
	struct crash_child child;
	struct world w;
	char c;

	*answered = 0;
	if (crash_fork(&child)) {
		crash_shadow(p->synced);
		crash_arm(n, 0);
		MUST(world_open(&w, p->dir) == 0);
		w.report_fd = child.fd;
		commit_from(&w, 1, COMMITS / 2);
		world_close(&w);
		MUST(world_open(&w, p->dir) == 0);
		w.report_fd = child.fd;
		commit_from(&w, COMMITS / 2 + 1, COMMITS);
		world_close(&w);
		_exit(0);
	}
	while (read(child.fd, &c, 1) == 1)
		++*answered;
	return crash_wait(&child);
}

/* Another crash while the first is being repaired. */
static void
crash_opening(const char *dir, int n)
{
	struct crash_child child;
	struct world w;

	if (crash_fork(&child)) {
		crash_arm(n, 0);
		MUST(world_open(&w, dir) == 0);
		_exit(0);
	}
	crash_wait(&child);
}

static bool
survives(const char *dir, unsigned answered, int at, const char *how)
{
	crash_hush();
	if (intact(dir, answered))
		return true;
	printf("# call %d, %u answered: %s\n", at, answered, how);
	crash_say();
	return false;
}

static void
test_crashes(const char *top, int first, int step)
{
	unsigned tried = 0, bad = 0;
	bool crashed = true;
	struct places p;

	snprintf(p.dir, sizeof p.dir, "%s/keeper", top);
	snprintf(p.synced, sizeof p.synced, "%s/synced", top);
	snprintf(p.lost, sizeof p.lost, "%s/lost", top);
	for (int at = first; crashed; at += step) {
		unsigned answered;

		MUST(mkdir(p.dir, 0700) == 0 && mkdir(p.synced, 0700) == 0);
		crashed = crash_at(&p, at, &answered);
		crash_lose(p.synced, p.dir, p.lost, 0);
		bad += !survives(p.lost, answered, at, "as synced");
		tempdir_remove(p.lost);
		crash_lose(p.synced, p.dir, p.lost, (uint32_t)at);
		crash_opening(p.lost, 1 + at % 37);
		bad += !survives(p.lost, answered, at, "some synced");
		crash_opening(p.dir, 1 + at % 31);
		bad += !survives(p.dir, answered, at, "killed");
		tempdir_remove(p.dir);
		tempdir_remove(p.synced);
		tempdir_remove(p.lost);
		tried++;
	}
	ok(bad == 0, "died at %u calls, %u times not well", tried, bad);
	ok(tried > 10, "the wrappers were called");
}

/* With a call and a step: crashes from there, to find more. */
int
main(int argc, char **argv)
{
	char top[64];
	uint64_t first = 1, step = 11;

	if (argc == 3)
		MUST(ascii_number(slice_str(argv[1]), 100000, &first) &&
		     ascii_number(slice_str(argv[2]), 100000, &step));
	tempdir_make(top);
	crash_quiet(top);
	test_crashes(top, (int)first, (int)step);
	crash_loud();
	tempdir_remove(top);
	return done_testing();
}
