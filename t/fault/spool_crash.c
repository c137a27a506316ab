/*
 * spool_crash: kill the spool at every system call that changes its directory,
 * with and without losing what was not synced; cut its log everywhere; let
 * every such call fail once.  See t/store_crash.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "t/store_crash.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	OPS = 60,
	CHECKPOINT = 40000,
	INLINE_MAX = 6000, /* octets of messages that go to the log */
	WAIT_MS = 60000    /* only a failing run waits so long */
};

static size_t checkpoint = CHECKPOINT; /* octets of log before one */

/* Of every other seed what is expunged is held. */
static void
set_options(struct store_options *o, uint32_t seed)
{
	*o = (struct store_options){ .compact_percent = 20,
		.hold_seconds = seed % 2 == 1 ? 100000 : 0 };
}

static void
make_eager(struct work *w, uint32_t seed, enum store_crash_phase phase)
{
	struct spool *sp = spool_of(w->rig.store);

	if (phase == STORE_CRASH_RECOVERS)
		return;
	sp->compact_dead = 2;
	sp->dead_slots = 1;
	sp->reclaim_min = 1;
	sp->cache_min = 1;
	sp->reclaim_again = 0;
	sp->inline_max = INLINE_MAX;
	if (phase == STORE_CRASH_FAILS)
		return;
	sp->checkpoint_octets = checkpoint;
	/* Of every other seed a checkpoint syncs all of the disk. */
	sp->checkpoint_few = seed % 4 < 2 ? 0 : 100;
}

/* What a job writes comes after what was asked for meanwhile. */
static void
next_alone(struct model *m, struct op *op)
{
	size_t sum = 0;

	model_next(m, op);
	if (op->kind != OP_APPEND)
		return;
	for (size_t i = 0; i < op->n; i++)
		sum += op->sizes[i];
	op->alone |= sum > INLINE_MAX;
}

static bool
is_ailing(struct work *w)
{
	return spool_of(w->rig.store)->ailing;
}

static const struct store_crash crash = { .module = &spool_module,
	.ops = OPS,
	.ops_fail = OPS / 2,
	.ops_after = 10,
	.at_once = 8,
	.next = next_alone,
	.options = set_options,
	.started = make_eager,
	.is_ailing = is_ailing };

/* ---- a compaction between a checkpoint and the end ---- */

static void
compact_and_die(const char *dir)
{
	static const uint32_t some[] = { 1, 2, 3, 6 };
	struct store_append a[8] = { 0 };
	struct store_mailbox *mb;
	struct err err;
	struct rig r;

	MUST(rig_start(&r, &spool_module, dir) == 0);
	spool_of(r.store)->compact_dead = 2;
	MUST(rig_create(&r, "box", "") == NULL);
	mb = rig_open(&r, "box");
	rig_ask(&r);
	store_append(mb, a, NITEMS(a), rig_cb, &r);
	MUST(rig_wait(&r) == NULL);
	MUST(checkpoint_now(spool_of(r.store), &err) == 0);
	rig_ask(&r);
	store_expunge(mb, some, NITEMS(some), 0, rig_cb, &r);
	MUST(rig_wait(&r) == NULL);
	store_close(&mb);
	mb = rig_open(&r, "box");
	MUST(spool_mailbox_of(mb)->now.nslots == 4);
	rig_ask(&r);
	store_append(mb, a, 1, rig_cb, &r);
	MUST(rig_wait(&r) == NULL);
	_exit(0);
}

static bool
has_uids(const char *dir)
{
	static const uint32_t uids[] = { 4, 5, 7, 8, 9 };
	struct store_mailbox *mb;
	bool good;
	struct rig r;

	MUST(rig_start(&r, &spool_module, dir) == 0);
	mb = rig_open(&r, "box");
	good = mb != NULL && store_numbers(mb)->exists == NITEMS(uids);
	for (uint32_t i = 0; good && i < NITEMS(uids); i++)
		good = store_at(mb, i)->uid == uids[i] &&
		       store_at(mb, i)->flags == 0 &&
		       spool_msg_good(store_at(mb, i));
	store_close(&mb);
	rig_stop(&r);
	return good;
}

/* The log still has changes of slots as they were numbered before. */
static void
test_compaction(const char *top)
{
	struct crash_child child;
	struct places p;

	places_clean(top, &p);
	if (crash_fork(&child)) {
		crash_shadow(p.synced);
		compact_and_die(p.disk);
	}
	MUST(!crash_wait(&child));
	crash_lose(p.synced, p.disk, p.lost, 0);
	ok(has_uids(p.disk), "a compacted index is not written over");
	ok(has_uids(p.lost), "nor is one whose name was lost half");
}

/* ---- syncs that fail ---- */

static bool
has_given_up(struct rig *r)
{
	return spool_of(r->store)->ailing &&
	       crash_said("sync failed, restart needed");
}

/* Of what a job writes, and of a checkpoint. */
static void
test_unsynced(const char *top)
{
	struct store_mailbox *mb;
	struct places p;
	const char *why;
	struct err err;
	struct rig r;
	int at = 0;

	places_clean(top, &p);
	crash_hush();
	MUST(rig_start(&r, &spool_module, p.disk) == 0);
	MUST(rig_create(&r, "box", "") == NULL);
	mb = rig_open(&r, "box");
	spool_of(r.store)->inline_max = 0;
	do {
		rig_idle(&r);
		crash_arm(++at, EIO);
		why = rig_append_text(&r, mb, "octets", 0);
	} while (why != NULL && !spool_of(r.store)->ailing);
	crash_arm(0, 0);
	ok(why != NULL && has_given_up(&r),
	    "after call %d of an append no changes are taken", at);
	store_close(&mb);
	rig_stop(&r);
	crash_hush();
	MUST(rig_start(&r, &spool_module, p.disk) == 0);
	mb = rig_open(&r, "box");
	ok(rig_append_text(&r, mb, "octets", 0) == NULL,
	    "until the next start");
	rig_idle(&r);
	crash_arm(1, EIO);
	ok(checkpoint_now(spool_of(r.store), &err) == -1 && has_given_up(&r),
	    "nor after a checkpoint that failed");
	ok(rig_append_text(&r, mb, "octets", 0) != NULL, "none");
	store_close(&mb);
	rig_stop(&r);
}

/* Of a compaction's name: each call on the way fails in its turn. */
static void
test_unsure(const char *top)
{
	static const uint32_t some[] = { 1, 2, 3, 6 };
	struct store_append a[8] = { 0 };
	struct store_mailbox *mb;
	struct places p;
	struct rig r;
	int at = 0;

	places_clean(top, &p);
	MUST(rig_start(&r, &spool_module, p.disk) == 0);
	MUST(rig_create(&r, "box", "") == NULL);
	mb = rig_open(&r, "box");
	MUST(rig_append(&r, mb, a, NITEMS(a)) == NULL);
	MUST(rig_expunge(&r, mb, some, NITEMS(some)) == NULL);
	spool_of(r.store)->compact_dead = 2;
	crash_hush();
	do {
		store_close(&mb);
		rig_idle(&r);
		crash_arm(++at, EIO);
		mb = rig_open(&r, "box");
		MUST(crash_fired());
	} while (mb != NULL);
	crash_arm(0, 0);
	ok(has_given_up(&r),
	    "after call %d of a compaction no changes are taken", at);
	rig_stop(&r);
	MUST(rig_start(&r, &spool_module, p.disk) == 0);
	mb = rig_open(&r, "box");
	ok(mb != NULL && store_numbers(mb)->exists == 4,
	    "until the next start");
	store_close(&mb);
	rig_stop(&r);
}

/* ---- octets that move ---- */

static unsigned data_syncs, blind_syncs;

/* By a descriptor that cannot have written, others' errors are not heard of. */
static void
look_at_sync(int fd)
{
	char self[64], path[CRASH_PATH];
	ssize_t n;

	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof path - 1);
	MUST(n > 0);
	path[n] = '\0';
	if (strstr(path, "/data.") == NULL)
		return;
	__atomic_add_fetch(&data_syncs, 1, __ATOMIC_SEQ_CST);
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		__atomic_add_fetch(&blind_syncs, 1, __ATOMIC_SEQ_CST);
}

static bool
goes(struct rig *r)
{
	struct timer *t = timer_new(r->loop, rig_poll, r->loop);
	uint64_t freed = 0;

	for (int i = 0; freed == 0 && i < WAIT_MS; i++) {
		timer_set(t, 1);
		loop_run(r->loop);
		freed = store_counts(r->store)->freed_octets;
	}
	timer_free(&t);
	return freed > 0;
}

static void
test_moved(const char *top)
{
	static const struct store_options eager = { .compact_percent = 20 };
	static const uint32_t some[] = { 1, 2, 3, 5, 6 };
	struct store_append a[8] = { 0 };
	struct store_mailbox *mb;
	struct places p;
	struct rig r;

	places_clean(top, &p);
	MUST(rig_start_with(&r, &spool_module, &eager, NULL, p.disk) == 0);
	spool_of(r.store)->reclaim_min = 1;
	MUST(rig_create(&r, "box", "") == NULL);
	mb = rig_open(&r, "box");
	MUST(rig_append(&r, mb, a, NITEMS(a)) == NULL);
	crash_on_sync(look_at_sync);
	MUST(rig_expunge(&r, mb, some, NITEMS(some)) == NULL);
	ok(goes(&r), "a file goes");
	ok(data_syncs > 0 && blind_syncs == 0,
	    "what was in it is synced by who wrote it");
	store_close(&mb);
	rig_stop(&r);
	crash_on_sync(NULL);
}

/* ---- the log cut ---- */

static void
copy_tree(const char *from, const char *to)
{
	struct crash_child child;

	if (crash_fork(&child)) {
		execlp("cp", "cp", "-r", from, to, (char *)NULL);
		_exit(127);
	}
	MUST(!crash_wait(&child));
}

/* The last file of the log; gives its length. */
static off_t
last_log(const char *dir, char path[CRASH_PATH * 2])
{
	char log[CRASH_PATH + 8], best[CRASH_PATH] = "";
	struct dirent *e;
	struct stat st;
	DIR *d;

	snprintf(log, sizeof log, "%s/log", dir);
	d = opendir(log);
	MUST(d != NULL);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && strcmp(e->d_name, best) > 0)
			snprintf(best, sizeof best, "%s", e->d_name);
	closedir(d);
	snprintf(path, CRASH_PATH * 2, "%.500s/%.500s", log, best);
	MUST(best[0] != '\0' && stat(path, &st) == 0);
	return st.st_size;
}

static void
test_cuts(const char *top, uint32_t seed)
{
	char log[CRASH_PATH * 2], whole[CRASH_PATH];
	int most = -1, bad = 0, cuts = 0;
	struct places p;
	bool crashed;
	off_t len;

	places_clean(top, &p);
	snprintf(whole, sizeof whole, "%s/whole", top);
	checkpoint = SIZE_MAX;
	store_crash_at(&crash, &p, seed, 0, &crashed);
	checkpoint = CHECKPOINT;
	crash_lose(p.synced, p.disk, whole, 0);
	len = last_log(whole, log);
	for (off_t at = 0; at <= len; at += at < 600 ? 23 : len / 61) {
		int j;

		tempdir_remove(p.lost);
		copy_tree(whole, p.lost);
		last_log(p.lost, log);
		MUST(truncate(log, at) == 0);
		j = store_crash_recovered(&crash, p.lost, seed, 0);
		if (j < most) {
			bad++;
			printf("# seed %u cut at %ld: %d, before %d\n", seed,
			    (long)at, j, most);
			store_crash_why();
		}
		most = j > most ? j : most;
		cuts++;
	}
	tempdir_remove(p.lost);
	copy_tree(whole, p.lost);
	most = store_crash_recovered(&crash, p.lost, seed, 0);
	ok(bad == 0 && cuts > 50 && most == OPS,
	    "seed %u: log cut at %d places", seed, cuts);
	tempdir_remove(whole);
}

static const struct failure failures[] = {
	{ 4, ENOSPC, false, 9, 1 },
	{ 5, EIO, false, 11, 3 },
	{ 6, CRASH_SHORT, false, 13, 0 },
	{ 7, EIO, true, 19, 3 },
	{ 8, EMFILE, true, 19, 3 },
};

/* With a seed, a call and a step: only crashes from there, to find more. */
int
main(int argc, char **argv)
{
	char top[64];

	tempdir_make(top);
	crash_quiet(top);
	if (argc == 4) {
		ok(store_crash_kills(&crash, top,
		       (uint32_t)store_crash_number(argv[1]),
		       (int)store_crash_number(argv[2]),
		       (int)store_crash_number(argv[3]), 1),
		    "killed there");
	} else {
		/* In steps that no number of calls in a change divides. */
		ok(store_crash_kills(&crash, top, 11, 1, 17, 7), "killed");
		ok(store_crash_kills(&crash, top, 10, 1, 29, 7),
		    "killed, with another checkpoint");
		ok(store_crash_kills(&crash, top, 7, 146, 29, 7),
		    "killed at a compaction of a new mailbox");
		test_compaction(top);
		test_unsynced(top);
		test_unsure(top);
		test_moved(top);
		test_cuts(top, 3);
		for (size_t i = 0; i < NITEMS(failures); i++)
			ok(store_crash_failures(&crash, top, &failures[i]),
			    "calls fail");
	}
	crash_loud();
	tempdir_remove(top);
	return done_testing();
}
