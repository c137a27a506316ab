/*
 * list: which positions a list goes on from, also one that was started more
 * often than it can remember; what the disk refuses has never been.
 */
#include <stdatomic.h>
#include <string.h>

#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "mupdated/list_own.h"
#include "t/refusal.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	GAVE = 3 /* numbers, in each run */
};

struct world {
	char dir[64];
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct list *list;
	uint64_t number; /* of the commit that is waited for */
	unsigned refused;
};

static void
world_init(struct world *w)
{
	*w = (struct world){ .list = NULL };
	tempdir_make(w->dir);
	w->loop = loop_new();
	w->jobs = jobs_new(w->loop, 1);
	w->log = log_new("list", LOG_LEVEL_ERR, true);
}

static void
world_fini(struct world *w)
{
	jobs_free(&w->jobs);
	log_free(&w->log);
	loop_free(&w->loop);
	tempdir_remove(w->dir);
}

static void
changed(void *arg, const struct list_event *ev)
{
	struct world *w = arg;

	if (ev->number == w->number)
		loop_stop(w->loop);
}

static void
failed(void *arg, uint64_t number)
{
	struct world *w = arg;

	w->refused++;
	if (number == w->number)
		loop_stop(w->loop);
}

static void
begun(void *arg)
{
	struct world *w = arg;

	loop_stop(w->loop);
}

static bool
start(struct world *w)
{
	const struct list_options o = { .directory = w->dir,
		.shards = 1,
		.change_log = 100 };
	const struct list_watch watch = { changed, failed, begun, w };
	struct err err;

	if (list_open(&w->list, w->loop, w->jobs, w->log, &o, &watch, &err) ==
	    -1) {
		printf("# %s\n", err.text);
		return false;
	}
	loop_run(w->loop);
	return true;
}

static bool
resumes(const struct world *w, uint64_t revision)
{
	return list_resumable(w->list, list_epoch(w->list), revision);
}

static void
change(struct world *w, enum mupdate_command id, const char *name)
{
	const struct rules_request rq = { .id = id,
		.name = slice_str(name),
		.wanted.location = slice_str("be1!default"),
		.wanted.acl = slice_str("joe\tlr\t") };
	const struct rules_who who = { .user = slice_str("be1"),
		.everything = true };
	struct list_answer a = list_change(w->list, &rq, &who);

	MUST(a.done);
	w->number = a.number;
}

/* Gives its revision. */
static uint64_t
reserve(struct world *w, const char *name)
{
	change(w, MUPDATE_CMD_RESERVE, name);
	loop_run(w->loop);
	return list_revision(w->list);
}

static void
test_restarts(void)
{
	struct world w;
	uint64_t first, began, second;

	world_init(&w);
	MUST(start(&w));
	first = reserve(&w, "user.a");
	ok(resumes(&w, first) && resumes(&w, first - 1), "what was given");
	ok(!resumes(&w, first + 1) && !resumes(&w, 5), "and nothing else");
	list_close(&w.list);
	MUST(start(&w));
	began = list_revision(w.list);
	second = reserve(&w, "user.b");
	ok(resumes(&w, first) && resumes(&w, second), "and after a restart");
	/* In the same millisecond it goes on at once. */
	ok(began == first + 1 || !resumes(&w, first + 1),
	    "not what was given to nobody");
	list_close(&w.list);
	world_fini(&w);
}

/* As if it had been started so often. */
static void
put_runs(struct world *w, struct runs *r)
{
	struct keeper *k;
	struct buf b;
	struct err err;

	r->count = 0;
	for (uint64_t i = 1; i <= RUNS_MAX; i++)
		runs_gave(r, runs_begin(r, 1, i) + GAVE);
	buf_init(&b, LIST_RECORD_MAX);
	runs_put(&b, r);
	MUST(
	    keeper_open(&k, w->loop, w->jobs, w->log, w->dir, NULL, &err) == 0);
	keeper_put_fact(k, LIST_RUNS_FACT, buf_slice(&b));
	MUST(keeper_commit(k, NULL, NULL, &err) == 0);
	keeper_close(&k);
	buf_fini(&b);
}

static void
test_many_starts(void)
{
	struct world w;
	static const char *const names[] = { "user.a", "user.b", "user.c" };
	struct runs before;
	uint64_t revision = 0;
	bool good = true;

	world_init(&w);
	put_runs(&w, &before);
	for (size_t i = 0; i < NITEMS(names); i++) {
		good = good && start(&w) && (i == 0 || resumes(&w, revision));
		revision = reserve(&w, names[i]);
		list_close(&w.list);
	}
	ok(good, "it starts again, and goes on from where it was");
	MUST(start(&w));
	ok(resumes(&w, before.run[RUNS_MAX - 1].last) &&
	        resumes(&w, before.run[10].first),
	    "and from where it was long ago");
	ok(!resumes(&w, before.run[10].last + 1),
	    "but not from what another gave");
	ok(!resumes(&w, before.run[1].last + 1) &&
	        !resumes(&w, before.run[0].first),
	    "also where it has forgotten who");
	list_close(&w.list);
	world_fini(&w);
}

static struct mboxdigest
digest(const struct world *w)
{
	const struct mboxdigest *d =
	    holders_digest(list_holders(w->list), slice_str("be1"));

	return d == NULL ? (struct mboxdigest){ .count = 0 } : *d;
}

static bool
is_digest(const struct world *w, const struct mboxdigest *d)
{
	const struct mboxdigest now = digest(w);

	return memcmp(&now, d, sizeof(now)) == 0;
}

static void
change_all(struct world *w)
{
	change(w, MUPDATE_CMD_ACTIVATE, "user.a");
	change(w, MUPDATE_CMD_DELETE, "user.a");
	change(w, MUPDATE_CMD_RESERVE, "user.a");
	change(w, MUPDATE_CMD_DELETE, "user.b");
	change(w, MUPDATE_CMD_RESERVE, "user.c");
	change(w, MUPDATE_CMD_ACTIVATE, "user.c");
}

/* All at once: the tree is as it was, and so is what is made of it. */
static void
test_refused(void)
{
	struct world w;
	struct mboxdigest before;
	struct change c;
	uint64_t revision;

	world_init(&w);
	MUST(start(&w));
	change(&w, MUPDATE_CMD_ACTIVATE, "user.b");
	revision = reserve(&w, "user.a");
	before = digest(&w);
	MUST(before.count > 0);
	atomic_store(&disk_refuses, true);
	change_all(&w);
	ok(!is_digest(&w, &before) && list_changed_after(w.list, revision, &c),
	    "memory is ahead of the disk");
	loop_run(w.loop);
	ok(w.refused == 6 && is_digest(&w, &before) &&
	        list_holders(w.list)->entries == 2,
	    "who holds what is as it was");
	ok(!list_changed_after(w.list, revision, &c),
	    "and nothing has changed");
	ok(resumes(&w, revision), "since the last that was told");
	atomic_store(&disk_refuses, false);
	list_close(&w.list);
	MUST(start(&w));
	ok(is_digest(&w, &before), "nor after a start");
	change_all(&w);
	loop_run(w.loop);
	before = digest(&w);
	list_close(&w.list);
	MUST(start(&w));
	ok(before.count > 0 && is_digest(&w, &before),
	    "what it takes is the same in memory and on the disk");
	list_close(&w.list);
	world_fini(&w);
}

int
main(void)
{
	test_refused();
	test_restarts();
	test_many_starts();
	return done_testing();
}
