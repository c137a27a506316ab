/*
 * spool_full: a disk without room.  What is asked of the spool is answered
 * soon, what was answered well is there, what frees octets still works, and
 * when there is room again all does.
 *
 * The disk is a count of what the spool's files have, kept by standing between
 * it and the kernel.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	BLOCK = 4096,
	SIZE = 10000, /* of a message */
	BALLAST = 1536 * 1024,
	DISK = 6 * 1024 * 1024,
	LOG = 2 * 1024 * 1024, /* and a checkpoint is due */
	CHANGES = 6000, /* of flags: their log is larger than the ballast */
	GUARD_MS = 120000
};

static char top[64];
static struct rig rig;

/* ---- the disk ---- */

static uint64_t disk_size = UINT64_MAX;

#define REAL(type, name, args)   \
	static type(*real) args; \
	if (real == NULL)        \
	*(void **)&real = dlsym(RTLD_NEXT, name)

static uint64_t
blocks(uint64_t octets)
{
	return (octets + BLOCK - 1) / BLOCK * BLOCK;
}

/* As deep as a spool is. */
static uint64_t
used(int dirfd)
{
	REAL(int, "openat", (int, const char *, int, ...));
	int fd = real(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	uint64_t sum = BLOCK;
	struct dirent *e;

	if (d == NULL)
		return 0; /* a job has just removed it */
	while ((e = readdir(d)) != NULL) {
		struct stat st;

		if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, 0) == -1)
			continue; /* a job has just removed it */
		if (S_ISDIR(st.st_mode)) {
			int below = real(fd, e->d_name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			sum += below == -1 ? 0 : used(below);
			if (below != -1)
				close(below);
		} else {
			sum += blocks((uint64_t)st.st_size);
		}
	}
	closedir(d);
	return sum;
}

static uint64_t
used_all(void)
{
	REAL(int, "openat", (int, const char *, int, ...));
	int fd = real(AT_FDCWD, top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t sum;

	MUST(fd != -1);
	sum = used(fd);
	close(fd);
	return sum;
}

/* May the file become so long? */
static bool
fits(int fd, uint64_t end)
{
	struct stat st;
	uint64_t more;

	if (disk_size == UINT64_MAX || fstat(fd, &st) == -1 ||
	    !S_ISREG(st.st_mode) || end <= (uint64_t)st.st_size)
		return true;
	more = blocks(end) - blocks((uint64_t)st.st_size);
	return more == 0 || used_all() + more <= disk_size;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	REAL(ssize_t, "pwrite", (int, const void *, size_t, off_t));

	if (fits(fd, (uint64_t)at + n))
		return real(fd, p, n, at);
	errno = ENOSPC;
	return -1;
}

int
ftruncate(int fd, off_t n)
{
	REAL(int, "ftruncate", (int, off_t));

	if (fits(fd, (uint64_t)n))
		return real(fd, n);
	errno = ENOSPC;
	return -1;
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	REAL(int, "posix_fallocate", (int, off_t, off_t));

	return fits(fd, (uint64_t)at + (uint64_t)n) ? real(fd, at, n) : ENOSPC;
}

int
mkdirat(int dirfd, const char *name, mode_t mode)
{
	REAL(int, "mkdirat", (int, const char *, mode_t));

	if (disk_size == UINT64_MAX || faccessat(dirfd, name, F_OK, 0) == 0 ||
	    used_all() + BLOCK <= disk_size)
		return real(dirfd, name, mode);
	errno = ENOSPC;
	return -1;
}

int
fstatvfs(int fd, struct statvfs *v)
{
	REAL(int, "fstatvfs", (int, struct statvfs *));
	uint64_t n;

	if (disk_size == UINT64_MAX)
		return real(fd, v);
	n = used_all();
	*v = (struct statvfs){ .f_frsize = 1,
		.f_bavail = disk_size > n ? disk_size - n : 0 };
	return 0;
}

/* Others write to it, too. */
static void
disk_fill(uint64_t but)
{
	disk_size = used_all() + but;
}

/* ---- the spool ---- */

static void
on_guard(void *arg)
{
	(void)arg;
	printf("Bail out! a change is not answered\n");
	disk_size = UINT64_MAX;
	tempdir_remove(top);
	exit(1);
}

static struct timer *guard;

static void
start(uint64_t reserve)
{
	struct store_options o = { .reserve = reserve };
	struct spool *sp;

	MUST(rig_start_with(&rig, &spool_module, &o, NULL, top) == 0);
	sp = spool_of(rig.store);
	sp->ballast_octets = BALLAST;
	sp->checkpoint_octets = LOG;
	guard = timer_new(rig.loop, on_guard, NULL);
	timer_set(guard, GUARD_MS);
}

static void
stop(void)
{
	timer_free(&guard);
	rig_stop(&rig);
}

/* So that it looks at the disk again, or has tried to write to it. */
static void
pass_time(void)
{
	struct timer *t = timer_new(rig.loop, rig_poll, rig.loop);

	spool_of(rig.store)->looked_ms = 0;
	while (store_trouble(rig.store) != NULL) {
		timer_set(t, 1);
		loop_run(rig.loop);
	}
	timer_free(&t);
	rig_idle(&rig);
}

static const char *
append(struct store_mailbox *mb, uint32_t seed)
{
	uint8_t *p = octets_new(seed, SIZE);
	struct store_append a = { .octets = slice_of(p, SIZE) };
	const char *why = rig_append(&rig, mb, &a, 1);

	free(p);
	return why;
}

/* Until one is refused, and *why; how many were not. */
static uint32_t
append_all(struct store_mailbox *mb, uint32_t from, const char **why)
{
	static char text[sizeof rig.why];
	uint32_t n = from;

	while ((*why = append(mb, n + 1)) == NULL)
		n++;
	snprintf(text, sizeof text, "%s", *why);
	*why = text;
	return n;
}

/* n messages, of those seeds; not one more. */
static bool
is_right(struct store_mailbox *mb, uint32_t n)
{
	bool good = store_numbers(mb)->exists == n;

	for (uint32_t uid = 1; good && uid <= n; uid++) {
		struct store_part part = { .uid = uid,
			.what = STORE_OCTETS,
			.len = UINT64_MAX };
		struct slice s = rig_read(&rig, mb, &part);

		good = part.why == NULL &&
		       hash_crc32c(0, s.ptr, s.len) == octets_crc(uid, SIZE);
	}
	store_chunk_free(&rig.chunk);
	return good;
}

/* Changes of flags, as many as take several times what is left. */
static unsigned
flag(struct store_mailbox *mb, unsigned n)
{
	unsigned refused = 0;

	for (unsigned i = 0; i < n; i++) {
		struct store_change c = { .uid = 1,
			.set = i % 2 == 0 ? STORE_FLAGGED : 0,
			.clear = i % 2 == 0 ? 0 : STORE_FLAGGED };

		if (rig_change(&rig, mb, &c, 1) == NULL)
			continue;
		refused++;
		pass_time();
	}
	return refused;
}

/* Flags, expunges and deletes are taken while the disk is full. */
static void
frees(struct store_mailbox *mb, uint32_t n, const char *how)
{
	unsigned refused = flag(mb, CHANGES);
	const char *why;

	ok(refused <= CHANGES / 100, "%s: flags can be set (not %u)", how,
	    refused);
	pass_time();
	why = rig_expunge(&rig, mb, &n, 1);
	ok(why == NULL && store_numbers(mb)->exists == n - 1,
	    "%s: messages can be expunged%s%s", how, why == NULL ? "" : ": ",
	    why == NULL ? "" : why);
	rig_ask(&rig);
	store_destroy(rig.store, "other", rig_cb, &rig);
	ok(rig_wait(&rig) == NULL, "%s: mailboxes can be deleted", how);
}

/* It fills the disk itself: with and without a reserve. */
static void
test_own(uint64_t reserve)
{
	struct store_mailbox *mb;
	const char *why;
	uint32_t n;

	disk_size = DISK;
	start(reserve);
	rig_create(&rig, "box", "");
	rig_create(&rig, "other", "");
	mb = rig_open(&rig, "box");
	n = append_all(mb, 0, &why);
	ok(n > 30 && is_right(mb, n),
	    "reserve %lu: %u messages, then no more: %s",
	    (unsigned long)reserve, n, why);
	frees(mb, n, "full");
	disk_size += 4 * BALLAST;
	pass_time();
	ok(append(mb, n + 1) == NULL, "there is room again");
	store_close(&mb);
	disk_fill(0);
	stop();

	start(reserve);
	mb = rig_open(&rig, "box");
	ok(mb != NULL && store_numbers(mb)->exists == n,
	    "started on a full disk, all is there");
	store_close(&mb);
	stop();
	tempdir_remove(top);
	MUST(mkdir(top, 0700) == 0);
}

/* Files of the log. */
static unsigned
log_files(void)
{
	char path[80];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof path, "%s/log", top);
	d = opendir(path);
	MUST(d != NULL);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* One or more that are kept to be written again. */
static void
make_spares(struct store_mailbox *mb)
{
	struct err err;

	for (unsigned i = 0; i < 2; i++) {
		MUST(checkpoint_now(spool_of(rig.store), &err) == 0);
		MUST(flag(mb, 2) == 0);
	}
	rig_idle(&rig);
	MUST(log_files() > 1);
}

/* Such files have gone, or the guard will say so. */
static void
wait_for_spares(struct store_mailbox *mb)
{
	struct timer *t = timer_new(rig.loop, rig_poll, rig.loop);
	struct err err;

	MUST(checkpoint_now(spool_of(rig.store), &err) == 0);
	(void)flag(mb, 2);
	while (log_files() > 1) {
		timer_set(t, 1);
		loop_run(rig.loop);
	}
	timer_free(&t);
}

/* Others take what is left at once, or all but so much. */
static void
test_others(uint64_t but)
{
	struct store_mailbox *mb;
	const char *why;
	uint32_t n;

	disk_size = UINT64_MAX;
	start(0);
	rig_create(&rig, "box", "");
	rig_create(&rig, "other", "");
	mb = rig_open(&rig, "box");
	for (n = 0; n < 20; n++)
		MUST(append(mb, n + 1) == NULL);
	make_spares(mb);
	rig_idle(&rig); /* the ballast is there */
	disk_fill(but);
	n = append_all(mb, n, &why);
	ok(n < 40 && is_right(mb, n), "%lu left: %u messages: %s",
	    (unsigned long)but, n, why);
	pass_time();
	frees(mb, n, "filled");
	pass_time();
	wait_for_spares(mb);
	disk_fill(8 * BALLAST);
	pass_time();
	ok(append(mb, n + 1) == NULL, "there is room again");
	rig_idle(&rig);
	ok(spool_of(rig.store)->ballast == BALLAST_HELD,
	    "and some of it is held again");
	store_close(&mb);
	stop();
	tempdir_remove(top);
	MUST(mkdir(top, 0700) == 0);
}

static void
learn(struct spool *sp, struct buf *record)
{
	MUST(!buf_failed(record));
	gone_learn(sp, buf_slice(record));
	buf_clear(record);
}

/* What a replay may leave out: what is gone when the log ends. */
static void
test_gone(void)
{
	struct slice octets = slice_str("octets");
	struct spool sp = { .magic = 0 };
	struct buf b;

	map_init(&sp.gone);
	buf_init(&b, 4096);
	redo_mailbox(&b, "a");
	redo_write(&b, SPOOL_DATA, 1, 0, octets);
	redo_drop(&b, 1);
	redo_write(&b, SPOOL_DATA, 2, 0, octets);
	redo_mailbox(&b, "b");
	redo_destroy(&b);
	learn(&sp, &b);
	ok(gone_has_data(&sp, "a", 1) && !gone_has_data(&sp, "a", 2) &&
	        !gone_has_data(&sp, "b", 1),
	    "a data file");
	ok(gone_has(&sp, "b") && !gone_has(&sp, "a"), "a mailbox");
	redo_mailbox(&b, "a");
	redo_write(&b, SPOOL_DATA, 1, 0, octets);
	learn(&sp, &b);
	ok(!gone_has_data(&sp, "a", 1), "not if it is written to again");
	gone_learn(&sp, slice_str("\x01nonsense"));
	gone_learn(&sp, slice_str("\xff"));
	ok(gone_has(&sp, "b"), "nonsense is none");
	gone_forget(&sp);
	ok(!gone_has(&sp, "b"), "forgotten");
	map_fini(&sp.gone);
	buf_fini(&b);
}

static void
set_meta(struct store_mailbox *mb, const char *meta)
{
	rig_ask(&rig);
	store_set_meta(mb, slice_str(meta), rig_cb, &rig);
	MUST(rig_wait(&rig) == NULL);
}

/* While it is down others take all there is, and there is no ballast. */
static void
test_start(void)
{
	struct store_mailbox *mb;

	disk_size = UINT64_MAX;
	start(0);
	rig_create(&rig, "box", "one");
	mb = rig_open(&rig, "box");
	MUST(append(mb, 1) == NULL && append(mb, 2) == NULL);
	set_meta(mb, "another");
	set_meta(mb, "two");
	MUST(flag(mb, 3) == 0);
	store_close(&mb);
	rig_create(&rig, "other", "which goes");
	mb = rig_open(&rig, "other");
	MUST(append(mb, 1) == NULL);
	store_close(&mb);
	rig_ask(&rig);
	store_destroy(rig.store, "other", rig_cb, &rig);
	MUST(rig_wait(&rig) == NULL);
	rig_idle(&rig);
	MUST(room_give(spool_of(rig.store)));
	stop();

	disk_fill(0);
	start(0);
	mb = rig_open(&rig, "box");
	ok(mb != NULL && is_right(mb, 2) && slice_is(store_meta(mb), "two") &&
	        (store_find(mb, 1)->flags & STORE_FLAGGED),
	    "started on a disk without any room, all is there");
	ok(rig_open(&rig, "other") == NULL, "and not what is gone");
	ok(append(mb, 3) != NULL, "and no more is taken");
	disk_size = UINT64_MAX;
	pass_time();
	ok(append(mb, 3) == NULL && is_right(mb, 3), "until there is room");
	store_close(&mb);
	stop();
	tempdir_remove(top);
	MUST(mkdir(top, 0700) == 0);
}

/* A checkpoint that finds no room for its number is made later. */
static void
test_checkpoint(void)
{
	struct store_mailbox *mb;
	struct spool *sp;
	struct err err;

	disk_size = UINT64_MAX;
	start(0);
	sp = spool_of(rig.store);
	rig_create(&rig, "box", "");
	mb = rig_open(&rig, "box");
	MUST(append(mb, 1) == NULL);
	rig_idle(&rig);
	MUST(room_give(sp));
	disk_size = 1;
	ok(checkpoint_now(sp, &err) == -1 && !sp->ailing,
	    "no room for a checkpoint: %s", err.text);
	disk_size = UINT64_MAX;
	pass_time();
	ok(checkpoint_now(sp, &err) == 0 && append(mb, 2) == NULL,
	    "and the next one has it");
	store_close(&mb);
	stop();
}

/* No descriptor is to be had: only what is lost would be a reason to stop. */
static void
test_descriptors(void)
{
	struct rlimit all, few;
	struct store_mailbox *mb;
	struct spool *sp;
	struct err err;

	start(0);
	sp = spool_of(rig.store);
	rig_create(&rig, "box", "");
	mb = rig_open(&rig, "box");
	MUST(append(mb, 1) == NULL && getrlimit(RLIMIT_NOFILE, &all) == 0);
	rig_idle(&rig);
	few = all;
	few.rlim_cur = 3;
	MUST(setrlimit(RLIMIT_NOFILE, &few) == 0);
	ok(checkpoint_now(sp, &err) == -1 && !sp->ailing,
	    "no descriptor for a checkpoint: %s", err.text);
	MUST(setrlimit(RLIMIT_NOFILE, &all) == 0);
	pass_time();
	ok(checkpoint_now(sp, &err) == 0 && append(mb, 2) == NULL,
	    "and the next one has it");
	store_close(&mb);
	stop();
}

int
main(void)
{
	tempdir_make(top);
	test_own(0);
	test_own(64 * 1024);
	for (uint64_t but = 0; but < 100000; but += 52000)
		test_others(but);
	test_gone();
	test_start();
	test_checkpoint();
	test_descriptors();
	tempdir_remove(top);
	return done_testing();
}
