#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/journal_disk.h"
#include "lib/journal_file.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SEGMENT_OCTETS = 16 << 20, /* then a new file is begun */
	RECORD_MAX = 64 << 20,
	TELL = 2, /* call backs in one turn, if there is no reason for more */
	KEEP_OCTETS = 1 << 20, /* of a batch's storage, for the next one */
	GATHER = 2000000       /* ns, that it waits for more at most */
};

enum state {
	STATE_IDLE,
	STATE_COMMITTING, /* a job writes j->flight */
	STATE_FAILED,
	STATE_RETRYING /* a job makes a new file */
};

struct waiter {
	uint64_t number;
	journal_then *then;
	journal_cb *cb;
	void *arg;
};

/* Records that become durable together. */
struct batch {
	uint8_t *octets;
	size_t len, size;
	struct waiter *waiters; /* one a record */
	size_t count, max;
	size_t told; /* so many of them */
};

/* What a job works on, and nobody else while it runs. */
struct work {
	struct journal_file file;
	bool create;
	char spare[JOURNAL_NAME_MAX]; /* to be written again, or "" */
	uint64_t first, prev, durable;
	uint64_t took; /* ns */
	bool created, failed;
	struct err err;
};

/* Files without records that are needed; the journal's own. */
struct spares {
	uint64_t names[JOURNAL_SPARES_MAX];
	size_t count, most;
};

struct dropper {
	struct task *task; /* to want when done */
	char (*names)[JOURNAL_NAME_MAX];
	size_t count;
	int dirfd;
};

/* When a batch is begun, by who gathers; times in ns. */
struct pace {
	size_t share;    /* not with fewer... */
	uint64_t until;  /* ...before this moment */
	uint64_t ended;  /* the sync before */
	uint64_t latest; /* record put after it */
	size_t puts;     /* so many */
};

struct journal {
	unsigned magic;
	enum state state;
	bool closed;
	struct loop *loop;
	struct jobs *jobs;
	struct task *task;
	int dirfd;
	uint64_t last, prev; /* number given; number of the last not failed */
	uint64_t durable, dropped;
	uint64_t octets; /* of records put, from the first segment on */
	struct journal_disk disk;
	struct batch waiting, flight, told;
	bool gathers;
	struct pace pace;
	struct work work;
	struct dropper dropper;
	struct spares spares;
	struct err why;
};

enum {
	MAGIC = 0x6a6f7572
};

static struct journal *
journal_of(void *arg)
{
	struct journal *j = arg;

	MUST(j->magic == MAGIC);
	return j;
}

/* --- batches -------------------------------------------------------------- */

static void
batch_room(struct batch *b, size_t n)
{
	size_t size = b->size == 0 ? 4096 : b->size;

	while (size - b->len < n)
		size *= 2;
	if (size != b->size)
		b->octets = xrealloc(b->octets, size);
	b->size = size;
}

static void
batch_put(struct batch *b, uint64_t number, uint64_t prev, struct slice record)
{
	batch_room(b, JOURNAL_RECORD + record.len);
	journal_record_head(b->octets + b->len, record.len, number, prev);
	b->len += JOURNAL_RECORD;
	if (record.len > 0)
		memcpy(b->octets + b->len, record.ptr, record.len);
	b->len += record.len;
}

static void
batch_wait(struct batch *b, const struct waiter *w)
{
	if (b->count == b->max) {
		b->max = b->max == 0 ? 16 : b->max * 2;
		b->waiters =
		    xreallocarray(b->waiters, b->max, sizeof(b->waiters[0]));
	}
	b->waiters[b->count++] = *w;
}

static void
batch_fini(struct batch *b)
{
	free(b->octets);
	free(b->waiters);
	*b = (struct batch){ .octets = NULL };
}

static void
batch_clear(struct batch *b)
{
	if (b->size > KEEP_OCTETS)
		batch_fini(b);
	b->len = b->count = b->told = 0;
}

/* A call back may put records, but they wait in another batch. */
static void
batch_tell_some(struct journal *j, struct batch *b, bool failed, size_t most)
{
	struct waiter *w;

	for (; b->told < b->count && most > 0 && !j->closed; most--) {
		w = &b->waiters[b->told++];
		if (w->cb != NULL)
			w->cb(w->arg, w->number, failed);
	}
	if (b->told == b->count || j->closed)
		batch_clear(b);
}

static void
batch_tell(struct journal *j, struct batch *b, bool failed)
{
	batch_tell_some(j, b, failed, SIZE_MAX);
}

/* --- files ---------------------------------------------------------------- */

/* Octets of the records up to number, going by the average of their file. */
static uint64_t
octets_up_to(const struct journal *j, uint64_t number)
{
	const struct journal_segment *s;

	for (size_t i = j->disk.count; i > 0; i--) {
		s = &j->disk.segments[i - 1];
		if (number >= s->last)
			return s->before + s->octets;
		if (number > s->prev)
			return s->before + s->octets / (s->last - s->prev) *
			                       (number - s->prev);
	}
	return j->disk.count == 0 ? 0 : j->disk.segments[0].before;
}

static void
dropper_run(void *arg)
{
	struct dropper *d = arg;

	/* What stays is removed at the next opening. */
	for (size_t i = 0; i < d->count; i++)
		unlinkat(d->dirfd, d->names[i], 0);
}

static void
dropper_clear(struct dropper *d)
{
	free(d->names);
	d->names = NULL;
	d->count = 0;
}

static void
dropper_done(void *arg)
{
	struct dropper *d = arg;

	dropper_clear(d);
	task_want(d->task);
}

/* Never the last file: it says which numbers have been used. */
static void
drop_files(struct journal *j)
{
	struct dropper *d = &j->dropper;
	struct spares *sp = &j->spares;
	size_t n = 0;

	if (d->count > 0)
		return;
	while (n + 1 < j->disk.count && j->disk.segments[n].last <= j->dropped)
		n++;
	if (n == 0 && sp->count <= sp->most)
		return;
	d->names = xcalloc(n + sp->count, sizeof(d->names[0]));
	while (sp->count > sp->most)
		journal_file_name(d->names[d->count++], sp->names[--sp->count]);
	for (size_t i = 0; i < n; i++) {
		uint64_t first = j->disk.segments[i].first;

		if (sp->count < sp->most)
			sp->names[sp->count++] = first;
		else
			journal_file_name(d->names[d->count++], first);
	}
	j->disk.count -= n;
	memmove(j->disk.segments, j->disk.segments + n,
	    j->disk.count * sizeof(j->disk.segments[0]));
	d->dirfd = j->dirfd;
	if (d->count > 0)
		jobs_put(j->jobs, dropper_run, dropper_done, d);
	else
		dropper_clear(d);
}

/* --- committing ----------------------------------------------------------- */

static int
work_create(struct work *w, int dirfd, struct err *err)
{
	journal_file_close(&w->file);
	/* If a spare one fails a new one may do. */
	if ((w->spare[0] == '\0' ||
	        journal_file_reuse(&w->file, dirfd, w->spare, w->first, w->prev,
	            err) == -1) &&
	    journal_file_create(&w->file, dirfd, w->first, w->prev, err) == -1)
		return -1;
	w->created = true;
	return 0;
}

static void
commit_write(struct journal *j)
{
	struct work *w = &j->work;
	struct batch *b = &j->flight;
	uint64_t began = loop_clock();

	w->failed = (w->create && work_create(w, j->dirfd, &w->err) == -1) ||
	            journal_file_append(&w->file, b->octets, b->len, w->durable,
	                &w->err) == -1;
	w->took = loop_clock() - began;
}

/* On a pool thread. */
static void
commit_run(void *arg)
{
	struct journal *j = arg;
	const struct batch *b = &j->flight;

	commit_write(j);
	for (size_t i = 0; i < b->count && !j->work.failed; i++)
		if (b->waiters[i].then != NULL)
			b->waiters[i].then(b->waiters[i].arg);
}

static void
failed_enter(struct journal *j)
{
	j->state = STATE_FAILED;
	j->why = j->work.err;
	j->prev = j->durable;
	j->octets = octets_up_to(j, j->durable);
}

static void
commit_end(struct journal *j)
{
	struct work *w = &j->work;
	struct batch *b = &j->flight;
	struct journal_segment *s;

	if (w->created)
		journal_segment_add(&j->disk, w->first, w->prev);
	if (w->failed) {
		failed_enter(j);
		return;
	}
	MUST(j->disk.count > 0 && b->count > 0);
	s = &j->disk.segments[j->disk.count - 1];
	s->last = b->waiters[b->count - 1].number;
	s->octets += b->len;
	j->durable = s->last;
	j->state = STATE_IDLE;
}

static void commit_done(void *arg);

/* Of which file the next one is made. */
static void
take_spare(struct journal *j)
{
	struct spares *sp = &j->spares;

	j->work.spare[0] = '\0';
	if (sp->count > 0)
		journal_file_name(j->work.spare, sp->names[--sp->count]);
}

static void
commit_begin(struct journal *j)
{
	struct work *w = &j->work;
	struct batch b = j->flight;
	const struct journal_segment *s =
	    j->disk.count == 0 ? NULL : &j->disk.segments[j->disk.count - 1];

	j->flight = j->waiting;
	j->waiting = b;
	w->create = w->file.fd == -1 || w->file.end >= SEGMENT_OCTETS ||
	            (s->last <= j->dropped && s->last > s->prev);
	w->created = false;
	if (w->create)
		take_spare(j);
	w->first = j->flight.waiters[0].number;
	w->prev = w->durable = j->durable;
	j->state = STATE_COMMITTING;
}

static void
commit_start(struct journal *j)
{
	commit_begin(j);
	jobs_put(j->jobs, commit_run, commit_done, j);
}

/* At once, or if it gathers: when enough are there or have not come soon. */
static void
commit_want(struct journal *j)
{
	if (!j->gathers || j->waiting.count >= j->pace.share ||
	    loop_clock() >= j->pace.until)
		commit_start(j);
	else
		task_want(j->task);
}

/*
 * Those that are told now and those that wait are all who are there, n, and
 * each of them may put another one.  If that has taken them less time than a
 * sync takes, all shall share the next: then nobody waits for two.  Else half
 * of them, so that loop and disk both have something to do.  None waits long
 * for one who has no more to put.
 */
static void
pace_set(struct journal *j, size_t n)
{
	struct pace *p = &j->pace;
	uint64_t now = loop_clock(), took = j->work.took;
	bool all = p->puts > 0 && (p->latest - p->ended) / p->puts * n < took;

	p->share = all ? n : (n + 1) / 2;
	p->until = now + (took / 2 < GATHER ? took / 2 : GATHER);
	p->ended = p->latest = now;
	p->puts = 0;
}

/*
 * What waits is on its way to the disk while the others are told: a few in each
 * turn, so that what they answer goes out, and what comes of that comes in,
 * while the rest is told.
 */
static void
commit_done(void *arg)
{
	struct journal *j = journal_of(arg);
	struct batch b;
	bool failed;

	MUST(j->state == STATE_COMMITTING);
	batch_tell(j, &j->told, false);
	if (j->closed)
		return;
	b = j->told;
	commit_end(j);
	failed = j->state == STATE_FAILED;
	j->told = j->flight;
	j->flight = b;
	if (j->gathers)
		pace_set(j, j->told.count + j->waiting.count);
	if (!failed && j->waiting.count > 0 &&
	    j->waiting.count >= j->pace.share)
		commit_start(j);
	batch_tell_some(j, &j->told, failed, failed ? SIZE_MAX : TELL);
	if (!j->closed)
		task_want(j->task);
}

static void
waiting_fail(struct journal *j)
{
	struct batch b = j->flight;

	j->flight = j->waiting;
	j->waiting = b;
	batch_tell(j, &j->flight, true);
}

static void
journal_advance(void *arg)
{
	struct journal *j = journal_of(arg);

	batch_tell_some(j, &j->told, false, TELL);
	if (j->closed)
		return;
	if (j->told.count > 0)
		task_want(j->task);
	drop_files(j);
	if (j->waiting.count == 0)
		return;
	switch (j->state) {
	case STATE_IDLE:
		commit_want(j);
		break;
	case STATE_COMMITTING:
		break; /* its end comes back here */
	case STATE_FAILED:
	case STATE_RETRYING:
		waiting_fail(j);
		break;
	}
}

uint64_t
journal_put_then(struct journal *j, struct slice record, journal_then *then,
    journal_cb *cb, void *arg)
{
	uint64_t number = ++j->last;

	MUST(!j->closed && record.len <= RECORD_MAX);
	batch_wait(&j->waiting, &(struct waiter){ number, then, cb, arg });
	if (!journal_failed(j)) {
		batch_put(&j->waiting, number, j->prev, record);
		j->prev = number;
		j->octets += JOURNAL_RECORD + record.len;
	}
	if (j->gathers) {
		j->pace.latest = loop_clock();
		j->pace.puts++;
	}
	task_want(j->task);
	return number;
}

uint64_t
journal_put(struct journal *j, struct slice record, journal_cb *cb, void *arg)
{
	return journal_put_then(j, record, NULL, cb, arg);
}

void
journal_keep_spares(struct journal *j, size_t files)
{
	MUST(files <= JOURNAL_SPARES_MAX);
	j->spares.most = files;
	task_want(j->task);
}

void
journal_gather(struct journal *j)
{
	j->gathers = true;
}

/* --- failing and trying again --------------------------------------------- */

static void
retry_run(void *arg)
{
	struct journal *j = arg;
	struct work *w = &j->work;

	w->failed = true;
	if (w->file.fd != -1 && journal_file_cut(&w->file, &w->err) == -1)
		return;
	/* Other blocks of the disk may be better. */
	if (work_create(w, j->dirfd, &w->err) == 0)
		w->failed = false;
}

static void
retry_end(struct journal *j)
{
	if (j->work.created)
		journal_segment_add(&j->disk, j->work.first, j->work.prev);
	if (j->work.failed)
		failed_enter(j);
	else
		j->state = STATE_IDLE;
}

static void
retry_done(void *arg)
{
	struct journal *j = journal_of(arg);

	MUST(j->state == STATE_RETRYING);
	/* What was put meanwhile has been promised to nobody. */
	waiting_fail(j);
	if (!j->closed)
		retry_end(j);
}

void
journal_retry(struct journal *j)
{
	struct work *w = &j->work;

	if (j->state != STATE_FAILED)
		return;
	w->created = false;
	w->spare[0] = '\0';
	w->first = j->last + 1;
	w->prev = j->durable;
	j->state = STATE_RETRYING;
	jobs_put(j->jobs, retry_run, retry_done, j);
}

bool
journal_failed(const struct journal *j)
{
	return j->state == STATE_FAILED || j->state == STATE_RETRYING;
}

const char *
journal_error(const struct journal *j)
{
	return journal_failed(j) ? j->why.text : NULL;
}

/* --- opening and closing -------------------------------------------------- */

/* The directory must survive as surely as what will be in it. */
static int
dir_open(const char *dir, int *fdp, struct err *err)
{
	int up, r = 0;

	if (mkdir(dir, 0700) == -1 && errno != EEXIST)
		return err_sys(err, "making it");
	*fdp = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fdp == -1)
		return err_sys(err, "opening it");
	if (flock(*fdp, LOCK_EX | LOCK_NB) == -1)
		return err_sys(err, "locking it: does another process use it?");
	up = openat(*fdp, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up != -1) { /* else not ours to look into, so not made by us */
		r = fsync(up);
		close(up);
	}
	return r == -1 ? err_sys(err, "syncing its parent") : 0;
}

static int
disk_open(struct journal *j, const char *dir, const struct journal_wish *wish,
    struct err *err)
{
	if (dir_open(dir, &j->dirfd, err) == -1 ||
	    journal_disk_load(&j->disk, j->dirfd, wish, err) == -1)
		return -1;
	j->durable = j->prev = j->disk.last;
	j->last = j->disk.used;
	j->dropped = wish->after;
	j->octets = octets_up_to(j, j->durable);
	return 0;
}

static void
journal_release(void *arg)
{
	struct journal *j = journal_of(arg);

	j->magic = 0;
	journal_disk_fini(&j->disk);
	batch_fini(&j->waiting);
	batch_fini(&j->flight);
	batch_fini(&j->told);
	free(j);
}

int
journal_open(struct journal **jp, struct loop *l, struct jobs *jobs,
    const char *dir, uint64_t after, journal_replay *replay, void *arg,
    struct err *err)
{
	struct journal *j = xcalloc(1, sizeof(*j));
	struct journal_wish wish = { after, replay, arg };

	j->magic = MAGIC;
	j->loop = l;
	j->jobs = jobs;
	j->dirfd = j->work.file.fd = -1;
	if (disk_open(j, dir, &wish, err) == -1) {
		if (j->dirfd != -1)
			close(j->dirfd);
		journal_release(j);
		return err_add(err, "journal %s", dir);
	}
	j->task = j->dropper.task = task_new(l, journal_advance, j);
	*jp = j;
	return 0;
}

void
journal_close(struct journal **jp)
{
	struct journal *j = *jp;

	if (j == NULL)
		return;
	jobs_settle(j->jobs, j);
	if (j->state == STATE_COMMITTING)
		commit_end(j);
	if (j->state == STATE_IDLE && j->waiting.len > 0) {
		commit_begin(j);
		commit_write(j);
	}
	jobs_settle(j->jobs, &j->dropper);
	dropper_clear(&j->dropper);
	journal_file_close(&j->work.file);
	close(j->dirfd);
	task_free(&j->task);
	/* It may be one of our call backs that closes. */
	j->closed = true;
	loop_at_end(j->loop, journal_release, j);
	*jp = NULL;
}

uint64_t
journal_last(const struct journal *j)
{
	return j->last;
}

uint64_t
journal_durable(const struct journal *j)
{
	return j->durable;
}

uint64_t
journal_octets(const struct journal *j)
{
	uint64_t gone = octets_up_to(j, j->dropped);

	return j->octets > gone ? j->octets - gone : 0;
}

void
journal_drop(struct journal *j, uint64_t number)
{
	MUST(number <= j->durable);
	if (number > j->dropped)
		j->dropped = number;
	task_want(j->task);
}
