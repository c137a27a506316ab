/*
 * spool_crash: kill the store at every system call that changes its directory,
 * with and without losing what was not synced; cut its log everywhere; let
 * every such call fail once.
 *
 * The workload is the same for the same seed, and its changes reach the log in
 * the order they are asked for.  So the law is: what is recovered is the model
 * after the first j of them, for some j no less than were answered.
 *
 * What a power failure leaves is taken at its worst: files as they were when
 * last synced, and directories with the names they had when last synced.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/ascii.h"
#include "lib/loop.h"
#include "t/crash.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	OPS = 60,
	OPS_AFTER = 10,
	CHECKPOINT = 40000
};

/* Of one test; emptied before each crash. */
struct places {
	char disk[CRASH_PATH];   /* where it happens */
	char synced[CRASH_PATH]; /* the shadow */
	char lost[CRASH_PATH];   /* what is left */
};

/* ---- the scenario ---- */

static int report_fd = -1;

/* Which store; all that follows is of it. */
static const struct store_module *module = &spool_module;

static struct spool *
spool_in(struct work *w)
{
	return module == &spool_module ? spool_of(w->rig.store) : NULL;
}

static void
told(void *arg)
{
	(void)arg;
	MUST(write(report_fd, "d", 1) == 1);
}

/* Of every other seed what is expunged is held. */
static void
set_options(struct work *w, uint32_t seed)
{
	bool holds = module == &spool_module && seed % 2 == 1;

	w->options = (struct store_options){ .compact_percent = 20,
		.hold_seconds = holds ? 100000 : 0 };
}

static void
make_eager(struct spool *sp)
{
	if (sp == NULL)
		return;
	sp->compact_dead = 2;
	sp->reclaim_min = 1;
	sp->reclaim_again = 0;
}

static void
scenario(const char *dir, uint32_t seed, size_t checkpoint)
{
	struct work *w = xcalloc(1, sizeof *w);

	set_options(w, seed);
	MUST(work_start(w, module, dir) == 0);
	make_eager(spool_in(w));
	if (spool_in(w) != NULL) {
		spool_in(w)->checkpoint_octets = checkpoint;
		/* Of every other seed a checkpoint syncs all of the disk. */
		spool_in(w)->checkpoint_few = seed % 4 < 2 ? 0 : 100;
	}
	w->model.x = seed;
	for (unsigned i = 0; i < OPS; i++) {
		struct op op;

		model_next(&w->model, &op);
		/* Of two mailboxes only the spool has them in one order. */
		op.alone |= spool_in(w) == NULL;
		MUST(work_do(w, &op, told, NULL) == NULL);
		if (i % 8 == 7)
			MUST(rig_wait(&w->rig) == NULL);
	}
	MUST(rig_wait(&w->rig) == NULL);
}

/* How many were answered. */
static unsigned
crash_at(const struct places *p, uint32_t seed, int n, size_t checkpoint,
    bool *crashed)
{
	struct crash_child child;
	unsigned answered = 0;
	char c;

	if (crash_fork(&child)) {
		report_fd = child.fd;
		crash_shadow(p->synced);
		crash_arm(n, 0);
		scenario(p->disk, seed, checkpoint);
		_exit(0);
	}
	while (read(child.fd, &c, 1) == 1)
		answered++;
	*crashed = crash_wait(&child);
	return answered;
}

/* Once more, while the first is being repaired. */
static void
crash_recovering(const char *dir, int n)
{
	struct crash_child child;
	struct rig r;

	if (crash_fork(&child)) {
		crash_arm(n, 0);
		MUST(rig_start(&r, module, dir) == 0);
		_exit(0);
	}
	crash_wait(&child);
}

static bool
count_entries(void *arg, const struct store_entry *e)
{
	unsigned *n = arg;

	*n += e->damage != NULL ? 1000 : 1;
	return true;
}

/* What was wanted and what is there; printed if nothing fits. */
static struct {
	char text[400];
	size_t len;
} why_not;

static void
why_not_add(unsigned j, const char *want, const char *got)
{
	size_t room = sizeof why_not.text - why_not.len, at = 0;
	int n;

	for (size_t i = 0; want[i] != '\0' && want[i] == got[i]; i++)
		if (want[i] == '\n')
			at = i + 1;
	n = snprintf(why_not.text + why_not.len, room,
	    "# after %u want %.*s\n#       there is %.*s\n", j,
	    (int)strcspn(want + at, "\n"), want + at,
	    (int)strcspn(got + at, "\n"), got + at);
	if (n > 0 && (size_t)n < room)
		why_not.len += (size_t)n;
	else
		why_not.text[why_not.len] = '\0';
}

static void
why_not_say(void)
{
	printf("%s", why_not.text);
	crash_say();
}

static bool
has_entries(struct work *w, unsigned j)
{
	unsigned there = 0, entries = 0;
	char want[64], got[64];
	struct err err;

	for (unsigned i = 0; i < MODEL_BOXES; i++)
		there += w->model.box[i].there;
	if (store_each(w->rig.store, count_entries, &entries, &err) == -1) {
		why_not_add(j, "mailboxes", err.text);
		return false;
	}
	if (there == entries)
		return true;
	snprintf(want, sizeof want, "%u mailboxes", there);
	snprintf(got, sizeof got, "%u (1000: a damaged one)", entries);
	why_not_add(j, want, got);
	return false;
}

/* Is it the model, which has had j changes? */
static bool
is_now(struct work *w, unsigned j)
{
	char *want, *got;
	bool same;

	if (!has_entries(w, j))
		return false;
	for (unsigned i = 0; i < MODEL_BOXES; i++)
		if (w->model.box[i].there)
			work_open(w, i);
	want = model_words(&w->model);
	got = work_words(w);
	same = strcmp(want, got) == 0;
	if (!same)
		why_not_add(j, want, got);
	free(want);
	free(got);
	if (!same)
		work_close(w);
	return same;
}

static bool
goes_on(struct work *w)
{
	const char *why = NULL;
	char *want, *got;
	bool same;

	for (unsigned i = 0; i < OPS_AFTER && why == NULL; i++) {
		struct op op;

		model_next(&w->model, &op);
		why = work_do(w, &op, NULL, NULL);
	}
	if (why == NULL)
		why = rig_wait(&w->rig);
	if (why != NULL)
		printf("# goes on: %s\n", why);
	work_restart(w);
	want = model_words(&w->model);
	got = work_words(w);
	same = strcmp(want, got) == 0;
	if (!same)
		why_not_add(OPS + OPS_AFTER, want, got);
	free(want);
	free(got);
	return why == NULL && same;
}

/* After how many changes dir is what it is; -1: it never was like that. */
static int
recovered(const char *dir, uint32_t seed, unsigned answered)
{
	struct work *w = xcalloc(1, sizeof *w);
	struct op op;
	int result = -1;

	crash_hush();
	why_not.len = 0;
	w->model.x = seed;
	set_options(w, seed);
	if (work_start(w, module, dir) == -1) {
		rig_stop_failed(&w->rig);
		free(w);
		return -1;
	}
	for (unsigned j = 0; j <= OPS && result == -1; j++) {
		if (j > 0) {
			model_next(&w->model, &op);
			model_apply(&w->model, &op);
		}
		if (j >= answered && is_now(w, j))
			result = (int)j;
	}
	if (result != -1)
		why_not.len = 0;
	if (result != -1 && !goes_on(w))
		result = -1;
	work_close(w);
	rig_stop(&w->rig);
	free(w);
	return result;
}

static void
clean(const char *top, struct places *p)
{
	snprintf(p->disk, CRASH_PATH, "%s/disk", top);
	snprintf(p->synced, CRASH_PATH, "%s/synced", top);
	snprintf(p->lost, CRASH_PATH, "%s/lost", top);
	tempdir_remove(p->disk);
	tempdir_remove(p->synced);
	tempdir_remove(p->lost);
	MUST(mkdir(p->disk, 0700) == 0 && mkdir(p->synced, 0700) == 0);
}

static bool
survives(const char *dir, uint32_t seed, int at, unsigned answered,
    const char *how)
{
	if (recovered(dir, seed, answered) != -1)
		return true;
	printf("# seed %lu, call %d, %u answered: %s\n", (unsigned long)seed,
	    at, answered, how);
	why_not_say();
	return false;
}

/* In steps that no number of calls in a change divides. */
static void
test_crashes(const char *top, uint32_t seed, int first, int step)
{
	unsigned n = 0, bad = 0;
	bool crashed = true;
	struct places p;

	for (int at = first; crashed; at += step) {
		unsigned answered;

		clean(top, &p);
		answered = crash_at(&p, seed, at, CHECKPOINT, &crashed);
		crash_lose(p.synced, p.disk, p.lost, 0);
		bad += !survives(p.lost, seed, at, answered, "as synced");
		tempdir_remove(p.lost);
		crash_lose(p.synced, p.disk, p.lost, (uint32_t)at);
		crash_recovering(p.lost, 1 + at % 29);
		bad += !survives(p.lost, seed, at, answered, "some synced");
		bad += !survives(p.disk, seed, at, answered, "killed");
		n++;
	}
	ok(bad == 0 && n > (module == &spool_module ? 10 : 5),
	    "seed %lu: died at %u calls", (unsigned long)seed, n);
}

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

	clean(top, &p);
	if (crash_fork(&child)) {
		crash_shadow(p.synced);
		compact_and_die(p.disk);
	}
	MUST(!crash_wait(&child));
	crash_lose(p.synced, p.disk, p.lost, 0);
	ok(has_uids(p.disk), "a compacted index is not written over");
	ok(has_uids(p.lost), "nor is one whose name was lost half");
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

	clean(top, &p);
	snprintf(whole, sizeof whole, "%s/whole", top);
	crash_at(&p, seed, 0, SIZE_MAX, &crashed);
	crash_lose(p.synced, p.disk, whole, 0);
	len = last_log(whole, log);
	for (off_t at = 0; at <= len; at += at < 600 ? 23 : len / 61) {
		int j;

		tempdir_remove(p.lost);
		copy_tree(whole, p.lost);
		last_log(p.lost, log);
		MUST(truncate(log, at) == 0);
		j = recovered(p.lost, seed, 0);
		if (j < most) {
			bad++;
			printf("# seed %u cut at %ld: %d, before %d\n", seed,
			    (long)at, j, most);
			why_not_say();
		}
		most = j > most ? j : most;
		cuts++;
	}
	tempdir_remove(p.lost);
	copy_tree(whole, p.lost);
	most = recovered(p.lost, seed, 0);
	ok(bad == 0 && cuts > 50 && most == OPS,
	    "seed %u: log cut at %d places", seed, cuts);
	tempdir_remove(whole);
}

/* ---- calls that fail ---- */

static void
wait_for_health(struct rig *r)
{
	struct timer *t = timer_new(r->loop, rig_poll, r->loop);

	while (store_trouble(r->store) != NULL) {
		timer_set(t, 2);
		loop_run(r->loop);
	}
	timer_free(&t);
}

/* What fails: reads too? */
struct failure {
	uint32_t seed;
	int errnum;
	bool reads;
	int step;
	unsigned refused; /* changes, at least */
};

static bool
is_ailing(struct work *w)
{
	return spool_in(w) != NULL && spool_in(w)->ailing;
}

/* One at a time; one that is refused has not happened. */
static bool
fail_at(const char *dir, const struct failure *f, int at, int *calls,
    unsigned *refused)
{
	struct work *w = xcalloc(1, sizeof *w);
	struct model before;
	char *want, *got;
	bool good;

	set_options(w, f->seed);
	MUST(work_start(w, module, dir) == 0);
	w->model.x = f->seed;
	make_eager(spool_in(w));
	crash_reads(f->reads);
	crash_arm(at, f->errnum);
	for (unsigned i = 0; i < OPS / 2; i++) {
		const char *why;
		struct op op;

		/* One that could not be opened, when it was made. */
		for (unsigned b = 0; b < MODEL_BOXES; b++)
			if (w->model.box[b].there && w->box[b] == NULL)
				work_open(w, b);
		before = w->model;
		model_next(&w->model, &op);
		before.x = w->model.x;
		before.seed = w->model.seed;
		before.made = w->model.made;
		op.alone = true;
		why = work_do(w, &op, NULL, NULL);
		if (!is_ailing(w))
			wait_for_health(&w->rig);
		if (why == NULL)
			continue;
		++*refused;
		w->model = before;
		/* After a sync of a name that failed only a start helps. */
		if (is_ailing(w))
			work_restart(w);
		else if (op.kind == OP_DESTROY || op.kind == OP_REOPEN)
			work_open(w, op.box);
	}
	*calls = crash_calls();
	crash_arm(0, 0);
	crash_reads(false);
	work_restart(w);
	want = model_words(&w->model);
	got = work_words(w);
	good = strcmp(want, got) == 0;
	if (!good)
		why_not_add(OPS / 2, want, got);
	free(want);
	free(got);
	work_close(w);
	rig_stop(&w->rig);
	free(w);
	return good;
}

static void
test_failures(const char *top, const struct failure *f)
{
	unsigned refused = 0, bad = 0, n = 0;
	struct places p;
	int calls = 1;

	for (int at = 1; at <= calls; at += f->step) {
		clean(top, &p);
		crash_hush();
		why_not.len = 0;
		if (!fail_at(p.disk, f, at, &calls, &refused)) {
			bad++;
			printf("# seed %u, call %d fails\n", f->seed, at);
			why_not_say();
		}
		n++;
	}
	ok(bad == 0 && refused >= f->refused,
	    "seed %u: %u calls fail (%s%s), %u changes refused", f->seed, n,
	    f->errnum == CRASH_SHORT ? "short writes" : strerror(f->errnum),
	    f->reads ? ", reads too" : "", refused);
}

static uint64_t
number(const char *s)
{
	uint64_t n;

	MUST(ascii_number(slice_str(s), UINT32_MAX, &n) && n > 0);
	return n;
}

static const struct failure maildir_failures[] = {
	{ 4, ENOSPC, false, 97, 3 },
	{ 5, EIO, false, 101, 3 },
	{ 6, CRASH_SHORT, false, 103, 0 },
	{ 7, EIO, true, 211, 2 },
};

static void
test_maildir(const char *top)
{
	module = &maildir_module;
	test_crashes(top, 11, 1, 131);
	test_crashes(top, 10, 2, 127);
	for (size_t i = 0; i < NITEMS(maildir_failures); i++)
		test_failures(top, &maildir_failures[i]);
}

static const struct failure failures[] = {
	{ 4, ENOSPC, false, 9, 5 },
	{ 5, EIO, false, 11, 5 },
	{ 6, CRASH_SHORT, false, 13, 0 },
	{ 7, EIO, true, 19, 5 },
	{ 8, EMFILE, true, 19, 5 },
};

/*
 * With a seed, a call and a step: only crashes from there, to find more; of
 * the maildir with one argument more, and its tests with one alone.
 */
int
main(int argc, char **argv)
{
	char top[64], quiet[80];

	tempdir_make(top);
	snprintf(quiet, sizeof quiet, "%s/stderr", top);
	crash_quiet(quiet);
	if (argc == 5)
		module = &maildir_module;
	if (argc == 2) {
		test_maildir(top);
	} else if (argc >= 4) {
		test_crashes(top, (uint32_t)number(argv[1]),
		    (int)number(argv[2]), (int)number(argv[3]));
	} else {
		test_crashes(top, 11, 1, 17);
		test_crashes(top, 10, 1, 29);
		test_crashes(top, 7, 146, 29); /* compaction of a new mailbox */
		test_compaction(top);
		test_cuts(top, 3);
		for (size_t i = 0; i < NITEMS(failures); i++)
			test_failures(top, &failures[i]);
		test_maildir(top);
	}
	crash_loud();
	tempdir_remove(top);
	return done_testing();
}
