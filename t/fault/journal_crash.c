/*
 * journal_crash: kill a journal's process at every system call that changes
 * its directory, with and without losing what was not synced, and let every
 * such call fail once.
 *
 * The child tells the parent by a pipe what its call backs told it, and what
 * it synced.  The law: what is replayed is a beginning of what was put, and
 * everything that was called durable is in it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/journal_file.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/crash.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	ROUNDS = 5,
	SPARE_ROUNDS = 7,
	PER_ROUND = 3,
	MAX_SYNCS = 64,
	MIXES = 4
};

/* What comes down the pipe. */
struct news {
	char what; /* 'd'urable, 'x' dropped, 's'ynced */
	uint64_t number;
	uint64_t file; /* of 's': its name; number is its octets then */
	uint64_t size; /* and this is how long it was, with zeros behind them */
};

struct told {
	uint64_t durable, dropped;
	struct news syncs[MAX_SYNCS];
	size_t nsyncs;
};

static int report_fd = -1;

static void
report(const struct news *n)
{
	if (report_fd != -1)
		MUST(write(report_fd, n, sizeof(*n)) == sizeof(*n));
}

/* The last octet of a record is none; the header's may be. */
static uint64_t
octets_without_zeros(int fd, uint64_t size)
{
	uint8_t room[4096];
	uint64_t end = 0;
	ssize_t n;

	for (uint64_t at = 0; at < size; at += (uint64_t)n) {
		n = pread(fd, room, sizeof(room), (off_t)at);
		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (room[i] != 0)
				end = at + (uint64_t)i + 1;
	}
	return end < JOURNAL_HEADER && size >= JOURNAL_HEADER ? JOURNAL_HEADER
	                                                      : end;
}

/* Not its inode: a removed file's may be a new one's soon. */
static uint64_t
file_of(int fd)
{
	char link[64], path[CRASH_PATH];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	MUST(n > 0);
	path[n] = '\0';
	return strtoull(strrchr(path, '/') + 1, NULL, 16);
}

static void
synced(int fd)
{
	struct news n = { .what = 's' };
	struct stat st;

	if (report_fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return;
	n.size = (uint64_t)st.st_size;
	n.number = octets_without_zeros(fd, n.size);
	n.file = file_of(fd);
	report(&n);
}

/* --- the scenario --------------------------------------------------------- */

struct world {
	const char *dir;
	struct loop *loop;
	struct jobs *jobs;
	struct journal *journal;
	struct timer *timer;
	uint64_t target;   /* stop when this was called back */
	uint64_t good[64]; /* numbers called durable */
	size_t ngood;
	uint64_t replayed; /* last number */
	size_t nreplayed;
	bool right;
};

static struct slice
content(uint64_t number, uint8_t room[512])
{
	size_t n = (size_t)(number * 137 % 401);

	MUST(n > 0);
	for (size_t i = 0; i < n; i++)
		room[i] = (uint8_t)(number * 7 + i);
	room[n - 1] |= 1;
	return slice_of(room, n);
}

static int
replay(void *arg, uint64_t number, struct slice record, struct err *err)
{
	struct world *w = arg;
	uint8_t room[512];

	(void)err;
	if (number <= w->replayed ||
	    !slice_equal(record, content(number, room)))
		w->right = false;
	/* With failures: exactly those that did not fail. */
	if (w->ngood > 0 &&
	    (w->nreplayed >= w->ngood || w->good[w->nreplayed] != number))
		w->right = false;
	w->replayed = number;
	w->nreplayed++;
	return 0;
}

static void
called_back(void *arg, uint64_t number, bool failed)
{
	struct world *w = arg;

	struct news n = { .what = 'd', .number = number };

	if (!failed) {
		report(&n);
		MUST(w->ngood < NITEMS(w->good));
		w->good[w->ngood++] = number;
	}
	if (number == w->target)
		loop_stop(w->loop);
}

static void
look_again(void *arg)
{
	struct world *w = arg;

	journal_retry(w->journal);
	if (journal_failed(w->journal))
		timer_set(w->timer, 1);
	else
		loop_stop(w->loop);
}

static void
round_run(struct world *w)
{
	uint64_t first = journal_last(w->journal) + 1;
	uint8_t room[512];

	w->target = first + PER_ROUND - 1;
	for (uint64_t i = first; i <= w->target; i++)
		journal_put(w->journal, content(i, room), called_back, w);
	loop_run(w->loop);
	if (journal_failed(w->journal)) {
		timer_set(w->timer, 0);
		loop_run(w->loop);
	}
}

static void
world_init(struct world *w, const char *dir)
{
	*w = (struct world){ .dir = dir, .right = true };
	w->loop = loop_new();
	w->jobs = jobs_new(w->loop, 1);
	w->timer = timer_new(w->loop, look_again, w);
}

static void
world_fini(struct world *w)
{
	journal_close(&w->journal);
	jobs_free(&w->jobs);
	timer_free(&w->timer);
	loop_free(&w->loop);
}

static int
world_open(struct world *w, uint64_t after, journal_replay *with)
{
	struct err err;

	if (journal_open(&w->journal, w->loop, w->jobs, w->dir, after, with, w,
	        &err) == 0)
		return 0;
	printf("# %s\n", err.text);
	return -1;
}

static void
scenario(const char *dir)
{
	struct news drop = { .what = 'x', .number = 2 * PER_ROUND };
	struct world w;

	for (int i = 0; i < 2; i++) {
		world_init(&w, dir);
		MUST(world_open(&w, i == 0 ? 0 : 2 * PER_ROUND, NULL) == 0);
		for (int r = 0; r < ROUNDS; r++) {
			round_run(&w);
			if (i == 0 && r == 1) {
				report(&drop);
				journal_drop(w.journal, 2 * PER_ROUND);
			}
		}
		world_fini(&w);
	}
}

/* Whose files are written again, when what they had is dropped. */
static void
scenario_spares(const char *dir)
{
	struct news drop = { .what = 'x' };
	struct world w;

	for (int i = 0; i < 2; i++) {
		world_init(&w, dir);
		MUST(world_open(&w, drop.number, NULL) == 0);
		journal_keep_spares(w.journal, 2);
		for (int r = 0; r < SPARE_ROUNDS; r++) {
			round_run(&w);
			if (r % 2 == 0)
				continue;
			drop.number = journal_durable(w.journal);
			report(&drop);
			journal_drop(w.journal, drop.number);
		}
		world_fini(&w);
	}
}

static void
listen_to(int fd, struct told *t)
{
	struct news n;

	*t = (struct told){ .durable = 0 };
	while (read(fd, &n, sizeof(n)) == sizeof(n)) {
		if (n.what == 'd')
			t->durable = n.number;
		else if (n.what == 'x')
			t->dropped = n.number;
		else if (t->nsyncs < MAX_SYNCS)
			t->syncs[t->nsyncs++] = n;
	}
	MUST(t->nsyncs < MAX_SYNCS);
}

static bool
crash_at(const char *dir, int n, struct told *t)
{
	struct crash_child child;

	if (crash_fork(&child)) {
		report_fd = child.fd;
		crash_on_sync(synced);
		crash_arm(n, 0);
		scenario(dir);
		_exit(0);
	}
	listen_to(child.fd, t);
	return crash_wait(&child);
}

/* --- what a power failure leaves ------------------------------------------ */

enum loss {
	LOSS_NONE, /* the process died, the kernel lives */
	LOSS_TAIL, /* files are as they were synced */
	LOSS_ZERO, /* they are as long as they were, but what was not is zeros */
	LOSS_HEAD, /* the later half of what was not synced is there */
	LOSS_MAX
};

/* The last of a file, or one of nothing. */
static struct news
sync_of(const struct told *t, uint64_t file)
{
	for (size_t i = t->nsyncs; i > 0; i--)
		if (t->syncs[i - 1].file == file)
			return t->syncs[i - 1];
	return (struct news){ .number = 0 };
}

static void
file_lose(int dirfd, const char *name, const struct told *t, enum loss loss)
{
	static const uint8_t zeros[4096];
	struct stat st;
	struct news kept;
	uint64_t end, gone;
	int fd = openat(dirfd, name, O_RDWR);

	MUST(fd != -1 && fstat(fd, &st) == 0);
	kept = sync_of(t, strtoull(name, NULL, 16));
	end = octets_without_zeros(fd, (uint64_t)st.st_size);
	gone = end > kept.number ? end - kept.number : 0;
	MUST(gone < sizeof(zeros));
	if (loss == LOSS_HEAD)
		gone /= 2;
	MUST(pwrite(fd, zeros, gone, (off_t)kept.number) == (ssize_t)gone);
	if (loss == LOSS_TAIL)
		MUST(ftruncate(fd, (off_t)kept.size) == 0);
	if (loss == LOSS_TAIL && kept.size == 0)
		MUST(unlinkat(dirfd, name, 0) == 0);
	close(fd);
}

static void
each_file(const char *dir, const struct told *t, enum loss loss, bool remove)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d == NULL)
		return; /* it was not made */
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (remove)
			MUST(unlinkat(dirfd(d), e->d_name, 0) == 0);
		else
			file_lose(dirfd(d), e->d_name, t, loss);
	}
	closedir(d);
}

/* A beginning, no shorter than what was told; and it goes on from there. */
static bool
intact(const char *dir, const struct told *t)
{
	struct world w;
	uint64_t end;
	bool good;

	world_init(&w, dir);
	w.replayed = t->dropped;
	if (world_open(&w, t->dropped, replay) == -1) {
		world_fini(&w);
		return false;
	}
	end = w.replayed;
	good = w.right && end >= t->durable && w.nreplayed == end - t->dropped;
	round_run(&w);
	world_fini(&w);

	world_init(&w, dir);
	w.replayed = t->dropped;
	good = world_open(&w, t->dropped, replay) == 0 && good && w.right &&
	       w.replayed == end + PER_ROUND;
	world_fini(&w);
	return good;
}

static void
crashes(const char *dir)
{
	struct told t;
	bool crashed = true, good;
	int n;

	for (n = 1; crashed; n++) {
		good = true;
		for (int loss = 0; loss < LOSS_MAX; loss++) {
			crashed = crash_at(dir, n, &t);
			if (loss != LOSS_NONE)
				each_file(dir, &t, loss, false);
			if (!intact(dir, &t)) {
				good = false;
				printf("# loss %d\n", loss);
			}
			each_file(dir, &t, 0, true);
			rmdir(dir);
		}
		ok(good, "died at call %d, %u were durable", n,
		    (unsigned)t.durable);
	}
	ok(n > 30, "the wrappers were called");
}

/* Here what is behind the records may be anything, so all is as it was. */
static bool
spares_crash_at(const char *top, const char *dir, int n, struct told *t)
{
	char synced[80], lost[80];
	struct crash_child child;
	bool crashed, good = true;

	snprintf(synced, sizeof(synced), "%s/synced", top);
	snprintf(lost, sizeof(lost), "%s/lost", top);
	MUST(mkdir(dir, 0700) == 0 && mkdir(synced, 0700) == 0);
	if (crash_fork(&child)) {
		report_fd = child.fd;
		crash_shadow(synced);
		crash_arm(n, 0);
		scenario_spares(dir);
		_exit(0);
	}
	listen_to(child.fd, t);
	crashed = crash_wait(&child);
	for (uint32_t mix = 0; mix < MIXES; mix++) {
		crash_lose(synced, dir, lost, mix * (uint32_t)n);
		good = intact(lost, t) && good;
		tempdir_remove(lost);
	}
	good = intact(dir, t) && good;
	ok(good, "died at call %d with spare files, %u were durable", n,
	    (unsigned)t->durable);
	tempdir_remove(dir);
	tempdir_remove(synced);
	return crashed;
}

static void
spares_crash(const char *top, const char *dir)
{
	struct told t;
	int n = 1;

	while (spares_crash_at(top, dir, n, &t))
		n++;
	ok(n > 60, "the wrappers were called");
	ok(t.durable == 2 * SPARE_ROUNDS * PER_ROUND, "all were written");
}

/* --- failures ------------------------------------------------------------- */

static bool
fail_at(const char *dir, int n, int error, bool *failed)
{
	struct world w, again;
	struct told t = { .durable = 0 };
	bool good = true;

	crash_arm(n, error);
	world_init(&w, dir);
	if (world_open(&w, 0, NULL) == -1) {
		*failed = true;
	} else {
		for (int r = 0; r < ROUNDS; r++)
			round_run(&w);
		*failed = crash_fired();
	}
	crash_arm(0, 0);
	world_fini(&w);

	world_init(&again, dir);
	memcpy(again.good, w.good, sizeof(w.good));
	again.ngood = w.ngood;
	good = world_open(&again, 0, replay) == 0 && again.right &&
	       again.nreplayed == w.ngood;
	world_fini(&again);
	each_file(dir, &t, 0, true);
	rmdir(dir);
	return good;
}

static void
failures(const char *dir, int error)
{
	bool failed = true;
	int n;

	for (n = 1; failed; n++)
		ok(fail_at(dir, n, error, &failed), "call %d: %s", n,
		    strerror(error));
	ok(n > 10, "the wrappers were called");
}

int
main(void)
{
	char top[64], dir[80];

	tempdir_make(top);
	snprintf(dir, sizeof(dir), "%s/log", top);
	crashes(dir);
	spares_crash(top, dir);
	failures(dir, ENOSPC);
	failures(dir, EIO);
	rmdir(top);
	return done_testing();
}
