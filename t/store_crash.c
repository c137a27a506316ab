#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/loop.h"
#include "t/store_crash.h"
#include "t/store_help.h"
#include "t/tempdir.h"

/* ---- the workload ---- */

static int report_fd = -1;

static void
told(void *arg)
{
	(void)arg;
	MUST(write(report_fd, "d", 1) == 1);
}

static void
next(const struct store_crash *c, struct model *m, struct op *op)
{
	if (c->next != NULL)
		c->next(m, op);
	else
		model_next(m, op);
}

static struct work *
work_new(const struct store_crash *c, uint32_t seed)
{
	struct work *w = xcalloc(1, sizeof *w);

	c->options(&w->options, seed);
	w->naming = c->naming;
	w->model.x = seed;
	return w;
}

static int
start(const struct store_crash *c, struct work *w, const char *dir,
    uint32_t seed, enum store_crash_phase phase)
{
	if (work_start(w, c->module, dir) == -1)
		return -1;
	if (c->started != NULL)
		c->started(w, seed, phase);
	return 0;
}

static void
scenario(const struct store_crash *c, const char *dir, uint32_t seed)
{
	struct work *w = work_new(c, seed);

	MUST(start(c, w, dir, seed, STORE_CRASH_KILLS) == 0);
	for (unsigned i = 0; i < c->ops; i++) {
		struct op op;

		next(c, &w->model, &op);
		MUST(work_do(w, &op, told, NULL) == NULL);
		if (i % c->at_once == c->at_once - 1)
			MUST(rig_wait(&w->rig) == NULL);
	}
	MUST(rig_wait(&w->rig) == NULL);
}

unsigned
store_crash_at(const struct store_crash *c, const struct places *p,
    uint32_t seed, int n, bool *crashed)
{
	struct crash_child child;
	unsigned answered = 0;
	char octet;

	if (crash_fork(&child)) {
		report_fd = child.fd;
		crash_shadow(p->synced);
		crash_arm(n, 0);
		scenario(c, p->disk, seed);
		_exit(0);
	}
	while (read(child.fd, &octet, 1) == 1)
		answered++;
	*crashed = crash_wait(&child);
	return answered;
}

/* Once more, while the first is being repaired. */
static void
crash_recovering(const struct store_crash *c, const char *dir, int n)
{
	struct crash_child child;
	struct work *w;

	if (crash_fork(&child)) {
		w = work_new(c, 1);
		crash_arm(n, 0);
		MUST(work_start(w, c->module, dir) == 0);
		_exit(0);
	}
	crash_wait(&child);
}

/* ---- what was wanted and what is there; printed if nothing fits ---- */

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

void
store_crash_why(void)
{
	printf("%s", why_not.text);
	crash_say();
}

/* ---- is it the model? ---- */

static bool
count_entries(void *arg, const struct store_entry *e)
{
	unsigned *n = arg;

	*n += e->damage != NULL ? 1000 : 1;
	return true;
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

static bool
is_same(struct work *w, unsigned j)
{
	char *want = model_words(&w->model), *got = work_words(w);
	bool same = strcmp(want, got) == 0;

	if (!same)
		why_not_add(j, want, got);
	free(want);
	free(got);
	return same;
}

static void
peeked(void *arg)
{
	rig_cb(arg, NULL);
}

/* What STATUS says before anybody has opened it, and what it is then. */
static bool
open_peeked(struct work *w, unsigned i)
{
	struct store_peek p = { .id = w->model.box[i].id };
	const struct store_numbers *n;

	rig_ask(&w->rig);
	store_peek(w->rig.store, &p, 1, peeked, &w->rig);
	MUST(rig_wait(&w->rig) == NULL);
	work_open(w, i);
	if (p.why != NULL || w->box[i] == NULL)
		return true;
	n = store_numbers(w->box[i]);
	if (n->exists == p.numbers.exists && n->uidnext == p.numbers.uidnext &&
	    n->highestmodseq == p.numbers.highestmodseq &&
	    n->size == p.numbers.size)
		return true;
	printf("# %s is said to have %lu messages up to %lu, %llu octets, and "
	       "MODSEQ %llu; it has %lu, %lu, %llu, %llu\n",
	    p.id, (unsigned long)p.numbers.exists,
	    (unsigned long)p.numbers.uidnext,
	    (unsigned long long)p.numbers.size,
	    (unsigned long long)p.numbers.highestmodseq,
	    (unsigned long)n->exists, (unsigned long)n->uidnext,
	    (unsigned long long)n->size, (unsigned long long)n->highestmodseq);
	return false;
}

/* The model has had j changes. */
static bool
is_now(struct work *w, unsigned j, bool *peeks)
{
	if (!has_entries(w, j))
		return false;
	for (unsigned i = 0; i < MODEL_BOXES; i++)
		if (w->model.box[i].there)
			*peeks &= open_peeked(w, i);
	if (is_same(w, j))
		return true;
	work_close(w);
	return false;
}

static bool
goes_on(const struct store_crash *c, struct work *w)
{
	const char *why = NULL;

	for (unsigned i = 0; i < c->ops_after && why == NULL; i++) {
		struct op op;

		next(c, &w->model, &op);
		why = work_do(w, &op, NULL, NULL);
	}
	if (why == NULL)
		why = rig_wait(&w->rig);
	if (why != NULL)
		printf("# goes on: %s\n", why);
	work_restart(w);
	return is_same(w, c->ops + c->ops_after) && why == NULL;
}

int
store_crash_recovered(const struct store_crash *c, const char *dir,
    uint32_t seed, unsigned answered)
{
	struct work *w = work_new(c, seed);
	bool peeks = true;
	struct op op;
	int result = -1;

	crash_hush();
	why_not.len = 0;
	if (start(c, w, dir, seed, STORE_CRASH_RECOVERS) == -1) {
		rig_stop_failed(&w->rig);
		free(w);
		return -1;
	}
	for (unsigned j = 0; j <= c->ops && result == -1; j++) {
		if (j > 0) {
			next(c, &w->model, &op);
			model_apply(&w->model, &op);
		}
		if (j >= answered && is_now(w, j, &peeks))
			result = (int)j;
	}
	if (result != -1)
		why_not.len = 0;
	if (result != -1 && (!goes_on(c, w) || !peeks))
		result = -1;
	work_close(w);
	rig_stop(&w->rig);
	free(w);
	return result;
}

void
places_clean(const char *top, struct places *p)
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
survives(const struct store_crash *c, const char *dir, uint32_t seed, int at,
    unsigned answered, const char *how)
{
	if (store_crash_recovered(c, dir, seed, answered) != -1)
		return true;
	printf("# seed %lu, call %d, %u answered: %s\n", (unsigned long)seed,
	    at, answered, how);
	store_crash_why();
	return false;
}

bool
store_crash_kills(const struct store_crash *c, const char *top, uint32_t seed,
    int first, int step, unsigned least)
{
	unsigned n = 0, bad = 0;
	bool crashed = true;
	struct places p;

	for (int at = first; crashed; at += step) {
		unsigned answered;

		places_clean(top, &p);
		answered = store_crash_at(c, &p, seed, at, &crashed);
		crash_lose(p.synced, p.disk, p.lost, 0);
		bad += !survives(c, p.lost, seed, at, answered, "as synced");
		tempdir_remove(p.lost);
		crash_lose(p.synced, p.disk, p.lost, (uint32_t)at);
		crash_recovering(c, p.lost, 1 + at % 29);
		bad += !survives(c, p.lost, seed, at, answered, "some synced");
		bad += !survives(c, p.disk, seed, at, answered, "killed");
		n++;
	}
	printf("# %s, seed %lu: died at %u calls\n", c->module->name,
	    (unsigned long)seed, n);
	return bad == 0 && n >= least;
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

static bool
is_ailing(const struct store_crash *c, struct work *w)
{
	return c->is_ailing != NULL && c->is_ailing(w);
}

/* As a session does: one that could not be opened, or is damaged, again. */
static bool
reopen(struct work *w)
{
	bool good = true;

	for (unsigned b = 0; b < MODEL_BOXES; b++) {
		if (w->box[b] != NULL && store_is_damaged(w->box[b]))
			store_close(&w->box[b]);
		if (w->model.box[b].there && w->box[b] == NULL)
			work_open(w, b);
		good &= !w->model.box[b].there || w->box[b] != NULL;
	}
	return good;
}

/* One change by itself; one that is refused has not happened. */
static bool
fail_one(const struct store_crash *c, struct work *w)
{
	struct model before;
	const char *why;
	struct op op;

	before = w->model;
	next(c, &w->model, &op);
	before.x = w->model.x;
	before.seed = w->model.seed;
	before.made = w->model.made;
	op.alone = true;
	why = work_do(w, &op, NULL, NULL);
	if (!is_ailing(c, w))
		wait_for_health(&w->rig);
	if (why == NULL)
		return false;
	w->model = before;
	/* After a sync of a name that failed only a start helps. */
	if (is_ailing(c, w))
		work_restart(w);
	else if (op.kind == OP_DESTROY || op.kind == OP_REOPEN)
		work_open(w, op.box);
	return true;
}

static bool
fail_at(const struct store_crash *c, const char *dir, const struct failure *f,
    int at, int *calls, unsigned *refused)
{
	struct work *w = work_new(c, f->seed);
	bool good = true;

	MUST(start(c, w, dir, f->seed, STORE_CRASH_FAILS) == 0);
	crash_reads(f->reads);
	crash_arm(at, f->errnum);
	for (unsigned i = 0; good && i < c->ops_fail; i++) {
		/* The first attempt may be what fails. */
		good = reopen(w) || reopen(w);
		if (good)
			*refused += fail_one(c, w);
	}
	*calls = crash_calls();
	crash_arm(0, 0);
	crash_reads(false);
	work_restart(w);
	good &= is_same(w, c->ops_fail);
	work_close(w);
	rig_stop(&w->rig);
	free(w);
	return good;
}

bool
store_crash_failures(const struct store_crash *c, const char *top,
    const struct failure *f)
{
	unsigned refused = 0, bad = 0, n = 0;
	struct places p;
	int calls = 1;

	for (int at = 1; at <= calls; at += f->step) {
		places_clean(top, &p);
		crash_hush();
		why_not.len = 0;
		if (!fail_at(c, p.disk, f, at, &calls, &refused)) {
			bad++;
			printf("# seed %u, call %d fails\n", f->seed, at);
			store_crash_why();
		}
		n++;
	}
	printf("# %s, seed %u: %u calls fail (%s%s), %u changes refused\n",
	    c->module->name, f->seed, n,
	    f->errnum == CRASH_SHORT ? "short writes" : strerror(f->errnum),
	    f->reads ? ", reads too" : "", refused);
	return bad == 0 && refused >= f->refused;
}

uint64_t
store_crash_number(const char *s)
{
	uint64_t n;

	MUST(ascii_number(slice_str(s), INT32_MAX, &n) && n > 0);
	return n;
}
