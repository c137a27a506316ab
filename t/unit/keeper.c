/*
 * keeper: memory follows the commits, the disk follows memory, and what the
 * disk refuses has never been.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "t/refusal.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	KEYS = 200
};

struct world {
	char dir[64];
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct timer *guard;
	struct keeper *keeper;
	unsigned asked, told, failed; /* call backs */
	bool in_order;
	uint64_t number;
	unsigned values[KEYS]; /* 0: not there */
	unsigned seed;
};

static unsigned
roll(struct world *w, unsigned n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (w->seed >> 8) % n;
}

static void
too_late(void *arg)
{
	(void)arg;
	must_fail("the test hangs", __FILE__, __LINE__, __func__);
}

static void
world_open(struct world *w)
{
	struct keeper_limits limits = keeper_defaults();
	struct err err;

	limits.shards = 3;
	limits.checkpoint_octets = 3000;
	limits.change_octets = 20000;
	limits.retry_ms = 1;
	w->loop = loop_new();
	w->jobs = jobs_new(w->loop, 2);
	w->log = log_new("keeper", LOG_LEVEL_ERR, true);
	w->guard = timer_new(w->loop, too_late, NULL);
	timer_set(w->guard, 60000);
	if (keeper_open(&w->keeper, w->loop, w->jobs, w->log, w->dir, &limits,
	        &err) == -1) {
		printf("# %s\n", err.text);
		must_fail("opens", __FILE__, __LINE__, __func__);
	}
}

static void
world_close(struct world *w)
{
	keeper_close(&w->keeper);
	jobs_free(&w->jobs);
	timer_free(&w->guard);
	log_free(&w->log);
	loop_free(&w->loop);
}

static void
told(void *arg, uint64_t number, bool failed)
{
	struct world *w = arg;

	w->in_order = w->in_order && number > w->number;
	w->number = number;
	w->told++;
	w->failed += failed;
	if (w->told == w->asked)
		loop_stop(w->loop);
}

static void
wait_for_all(struct world *w)
{
	if (w->told < w->asked)
		loop_run(w->loop);
}

static struct slice
key_of(unsigned i, char room[40])
{
	snprintf(room, 40, "user%cu%u%cbox%u", TREEDB_SEP, i % 7, TREEDB_SEP,
	    i);
	return slice_str(room);
}

/* A commit of up to five changes, some to the same key. */
static int
commit_some(struct world *w, bool keep)
{
	unsigned before[KEYS];
	struct err err;

	memcpy(before, w->values, sizeof(before));
	for (unsigned n = roll(w, 6); n > 0; n--) {
		unsigned i = roll(w, KEYS), value = roll(w, 3000);
		char room[40], text[80];
		struct slice tag = slice_str(value % 2 ? "odd" : "even");

		if (value < 1000) {
			keeper_delete(w->keeper, key_of(i, room));
			w->values[i] = 0;
			continue;
		}
		snprintf(text, sizeof(text), "%u", value);
		keeper_put(w->keeper, key_of(i, room), slice_str(text), &tag,
		    1);
		w->values[i] = value;
	}
	if (keeper_commit(w->keeper, told, w, &err) == -1) {
		memcpy(w->values, before, sizeof(before));
		return -1;
	}
	w->asked++;
	if (!keep)
		memcpy(w->values, before, sizeof(before));
	return 0;
}

static bool
agrees(struct world *w)
{
	struct treedb *t = keeper_tree(w->keeper);
	unsigned there = 0;
	bool good = true;
	struct err err;
	struct buf out;
	uint64_t n = 0;

	buf_init(&out, 100);
	for (unsigned i = 0; i < KEYS && good; i++) {
		char room[40], text[80];
		int found;

		buf_clear(&out);
		found = treedb_get(t, key_of(i, room), &out, &err);
		snprintf(text, sizeof(text), "%u", w->values[i]);
		if (w->values[i] == 0)
			good = found == 0;
		else
			good = found == 1 && slice_is(buf_slice(&out), text);
		there += w->values[i] != 0;
	}
	buf_fini(&out);
	return good && treedb_count(t, &n, &err) == 0 && n == there;
}

static void
test_law(struct world *w)
{
	for (unsigned round = 0; round < 5; round++) {
		world_open(w);
		ok(agrees(w), "round %u: opened as it was", round);
		for (unsigned i = 0; i < 300; i++) {
			MUST(commit_some(w, true) == 0);
			if (roll(w, 10) == 0)
				wait_for_all(w);
		}
		ok(agrees(w), "round %u: changed at once", round);
		if (round % 2 == 0)
			wait_for_all(w);
		world_close(w); /* what was committed is kept, told or not */
		w->asked = w->told;
	}
	ok(w->in_order && w->failed == 0, "told in order");
}

static void
ended(void *arg, bool failed)
{
	struct world *w = arg;

	w->told++;
	w->failed += failed;
	if (w->told == w->asked)
		loop_stop(w->loop);
}

/* Called back in any case, and not from inside. */
static bool
ends(struct world *w, bool badly)
{
	unsigned failed = w->failed, told_before = w->told;
	char room[40];

	keeper_put(w->keeper, key_of(0, room), slice_str("9"), NULL, 0);
	w->asked++;
	keeper_commit_for(w->keeper, "not changed", "x", ended, w);
	if (w->told != told_before)
		return false;
	if (!badly)
		w->values[0] = 9;
	wait_for_all(w);
	return w->failed - failed == badly && agrees(w);
}

static void
try_again(void *arg)
{
	struct world *w = arg;

	if (!keeper_failed(w->keeper))
		loop_stop(w->loop);
	else
		timer_set(w->guard, 1);
}

static void
test_failure(struct world *w)
{
	unsigned failed = w->failed;

	world_open(w);
	MUST(commit_some(w, true) == 0);
	wait_for_all(w);
	atomic_store(&disk_refuses, true);
	for (unsigned i = 0; i < 10; i++)
		MUST(commit_some(w, false) == 0);
	wait_for_all(w);
	ok(w->failed - failed == 10, "all failed");
	ok(agrees(w), "and were taken back");
	ok(commit_some(w, true) == -1, "commits are refused");
	ok(keeper_durable(w->keeper) == keeper_last(w->keeper),
	    "and nobody waits for what was taken back");
	ok(agrees(w), "reading goes on");
	ok(ends(w, true), "one who waits for the end hears of it");
	failed++;

	atomic_store(&disk_refuses, false);
	timer_free(&w->guard);
	w->guard = timer_new(w->loop, try_again, w);
	timer_set(w->guard, 1);
	loop_run(w->loop);
	ok(commit_some(w, true) == 0, "until the disk is better");
	wait_for_all(w);
	ok(w->failed - failed == 10 && agrees(w), "then all is as before");
	ok(ends(w, false), "one who waits for the end hears of that, too");
	world_close(w);
	world_open(w);
	ok(agrees(w), "after opening again too");
	world_close(w);
}

static void
test_limits(struct world *w)
{
	static char big[30000];
	char room[40];
	struct err err;

	world_open(w);
	memset(big, 'x', sizeof(big));
	keeper_put(w->keeper, key_of(1, room), slice_of(big, sizeof(big)), NULL,
	    0);
	ok(keeper_commit(w->keeper, told, w, &err) == -1,
	    "too large a change: %s", err.text);
	ok(agrees(w), "nothing has changed");
	ok(commit_some(w, true) == 0, "the next is taken");
	wait_for_all(w);
	keeper_put(w->keeper, key_of(1, room), slice_str("x"), NULL, 0);
	keeper_cancel(w->keeper);
	ok(keeper_commit(w->keeper, told, w, &err) == 0 && agrees(w),
	    "what was cancelled is forgotten");
	w->asked++;
	wait_for_all(w);
	world_close(w);
}

static void
test_facts(struct world *w)
{
	struct err err;
	struct buf out;

	world_open(w);
	keeper_put_fact(w->keeper, "epoch", slice_str("one"));
	MUST(keeper_commit(w->keeper, told, w, &err) == 0);
	w->asked++;
	wait_for_all(w);
	world_close(w);
	world_open(w);
	buf_init(&out, 100);
	ok(treedb_get_fact(keeper_tree(w->keeper), "epoch", &out, &err) == 1 &&
	        slice_is(buf_slice(&out), "one"),
	    "facts are kept");
	buf_fini(&out);
	world_close(w);
}

int
main(void)
{
	struct world w = { .in_order = true, .seed = 1 };

	tempdir_make(w.dir);
	test_law(&w);
	test_failure(&w);
	test_limits(&w);
	test_facts(&w);
	tempdir_remove(w.dir);
	return done_testing();
}
