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
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/loop.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	OPS = 60,
	OPS_AFTER = 10,
	CHECKPOINT = 40000,
	CRASHED = 42,
	PATH_ROOM = 512
};

static int calls_left = -1; /* before this process ends, or the call fails */
static int calls_errno;     /* 0: end */
static int calls_made;
static const char *shadow; /* where copies of what is synced go */

/* True: the call is to fail. */
static bool
tick(void)
{
	__atomic_add_fetch(&calls_made, 1, __ATOMIC_SEQ_CST);
	if (calls_left <= 0 ||
	    __atomic_sub_fetch(&calls_left, 1, __ATOMIC_SEQ_CST) != 0)
		return false;
	if (calls_errno == 0)
		_exit(CRASHED);
	errno = calls_errno;
	return true;
}

/* ---- the shadow: S/INODE is the file, or the list of the directory ---- */

static ssize_t
real_pwrite(int fd, const void *p, size_t n, off_t off)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	return real(fd, p, n, off);
}

static void
copy_octets(int from, int to)
{
	static _Thread_local uint8_t room[65536];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, room, sizeof room, at)) > 0) {
		MUST(real_pwrite(to, room, (size_t)n, at) == n);
		at += n;
	}
	MUST(n == 0);
}

static void
copy_list(int fd, int to)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY);
	struct dirent *e;
	DIR *d;

	MUST(again != -1 && (d = fdopendir(again)) != NULL);
	while ((e = readdir(d)) != NULL) {
		struct stat st;

		if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, 0) == -1)
			continue;
		dprintf(to, "%c %lu %s\n", S_ISDIR(st.st_mode) ? 'd' : 'f',
		    (unsigned long)st.st_ino, e->d_name);
	}
	closedir(d);
}

/* Before the sync: what is there now is what it promises. */
static void
shadow_take(int fd, char fresh[PATH_ROOM], char path[PATH_ROOM])
{
	static int serial;
	struct stat st;
	int to;

	MUST(fstat(fd, &st) == 0);
	snprintf(path, PATH_ROOM, "%s/%lu", shadow, (unsigned long)st.st_ino);
	snprintf(fresh, PATH_ROOM, "%s.%d", path,
	    __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST));
	to = open(fresh, O_RDWR | O_CREAT | O_TRUNC, 0600);
	MUST(to != -1);
	if (S_ISDIR(st.st_mode))
		copy_list(fd, to);
	else {
		int from;
		char proc[64];

		snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
		from = open(proc, O_RDONLY);
		MUST(from != -1);
		copy_octets(from, to);
		close(from);
	}
	close(to);
}

static int
real_rename(const char *from, const char *to)
{
	static int (*real)(int, const char *, int, const char *);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "renameat");
	return real(AT_FDCWD, from, AT_FDCWD, to);
}

#define WRAP(type, name, args, ...)                                \
	type name args                                             \
	{                                                          \
		static type(*real) args;                           \
		if (real == NULL)                                  \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		if (tick())                                        \
			return -1;                                 \
		return real(__VA_ARGS__);                          \
	}

WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t off), fd, p, n,
    off)
WRAP(int, ftruncate, (int fd, off_t n), fd, n)
WRAP(int, unlinkat, (int fd, const char *name, int flags), fd, name, flags)
WRAP(int, mkdir, (const char *name, mode_t mode), name, mode)
WRAP(int, mkdirat, (int fd, const char *name, mode_t mode), fd, name, mode)
WRAP(int, renameat, (int a, const char *from, int b, const char *to), a, from,
    b, to)

#define WRAP_SYNC(name)                                            \
	int name(int fd)                                           \
	{                                                          \
		static int (*real)(int);                           \
		char fresh[PATH_ROOM], path[PATH_ROOM];            \
		int result;                                        \
		if (real == NULL)                                  \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		if (tick())                                        \
			return -1;                                 \
		if (shadow == NULL)                                \
			return real(fd);                           \
		shadow_take(fd, fresh, path);                      \
		result = real(fd);                                 \
		if (result == 0)                                   \
			MUST(real_rename(fresh, path) == 0);       \
		return result;                                     \
	}

WRAP_SYNC(fdatasync)
WRAP_SYNC(fsync)

int
openat(int dirfd, const char *name, int flags, ...)
{
	static int (*real)(int, const char *, int, ...);
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "openat");
	if ((flags & O_CREAT) && tick())
		return -1;
	return real(dirfd, name, flags, mode);
}

/* What a directory was, made anew from the shadow. */
static void
make_as_synced(const char *from, unsigned long ino, const char *to)
{
	char list[PATH_ROOM], name[PATH_ROOM], path[PATH_ROOM * 2];
	unsigned long child;
	char kind;
	FILE *f;

	MUST(mkdir(to, 0700) == 0 || errno == EEXIST);
	snprintf(list, sizeof list, "%s/%lu", from, ino);
	f = fopen(list, "r");
	if (f == NULL)
		return; /* never synced: it is empty */
	while (fscanf(f, "%c %lu %200s\n", &kind, &child, name) == 3) {
		snprintf(path, sizeof path, "%s/%s", to, name);
		if (kind == 'd') {
			make_as_synced(from, child, path);
		} else {
			int in, out = open(path, O_RDWR | O_CREAT, 0600);

			snprintf(list, sizeof list, "%s/%lu", from, child);
			in = open(list, O_RDONLY);
			MUST(out != -1);
			if (in != -1)
				copy_octets(in, out);
			close(out);
			if (in != -1)
				close(in);
		}
	}
	fclose(f);
}

/* ---- the scenario ---- */

static int report_fd = -1;

static void
told(void *arg)
{
	(void)arg;
	MUST(write(report_fd, "d", 1) == 1);
}

static void
rig_quiet(struct rig *r)
{
	/* What is said of failures we make is of no use to a reader. */
	log_set_level(r->log, LOG_LEVEL_ERR);
}

static void
scenario(const char *dir, uint32_t seed, size_t checkpoint)
{
	struct work *w = xcalloc(1, sizeof *w);

	MUST(work_start(w, &spool_module, dir) == 0);
	spool_of(w->rig.store)->checkpoint_octets = checkpoint;
	spool_of(w->rig.store)->compact_dead = 2;
	w->model.x = seed;
	for (unsigned i = 0; i < OPS; i++) {
		struct op op;

		model_next(&w->model, &op);
		MUST(work_do(w, &op, told, NULL) == NULL);
		if (i % 8 == 7)
			MUST(rig_wait(&w->rig) == NULL);
	}
	MUST(rig_wait(&w->rig) == NULL);
}

/* How many were answered; -1 in *end if it came to its end. */
static unsigned
crash_at(const char *dir, const char *shadow_dir, uint32_t seed, int n,
    size_t checkpoint, bool *crashed)
{
	unsigned answered = 0;
	int fds[2], status;
	pid_t pid;
	char c;

	MUST(pipe(fds) == 0);
	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		report_fd = fds[1];
		shadow = shadow_dir;
		calls_left = n;
		scenario(dir, seed, checkpoint);
		_exit(0);
	}
	close(fds[1]);
	while (read(fds[0], &c, 1) == 1)
		answered++;
	close(fds[0]);
	MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	*crashed = WEXITSTATUS(status) == CRASHED;
	MUST(*crashed || WEXITSTATUS(status) == 0);
	return answered;
}

static bool
count_entries(void *arg, const struct store_entry *e)
{
	unsigned *n = arg;

	*n += e->damage != NULL ? 1000 : 1;
	return true;
}

static bool
is_now(struct work *w)
{
	char *want, *got;
	unsigned there = 0, entries = 0;
	struct err err;
	bool same;

	for (unsigned i = 0; i < MODEL_BOXES; i++)
		there += w->model.box[i].there;
	if (store_each(w->rig.store, count_entries, &entries, &err) == -1 ||
	    there != entries)
		return false;
	for (unsigned i = 0; i < MODEL_BOXES; i++)
		if (w->model.box[i].there)
			work_open(w, i);
	want = model_words(&w->model);
	got = work_words(w);
	same = strcmp(want, got) == 0;
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
	work_restart(w);
	want = model_words(&w->model);
	got = work_words(w);
	same = why == NULL && strcmp(want, got) == 0;
	free(want);
	free(got);
	return same;
}

/* After how many changes dir is what it is; -1: it never was like that. */
static int
recovered(const char *dir, uint32_t seed, unsigned answered)
{
	struct work *w = xcalloc(1, sizeof *w);
	struct op op;
	int result = -1;

	w->model.x = seed;
	if (work_start(w, &spool_module, dir) == -1) {
		rig_stop_failed(&w->rig);
		free(w);
		return -1;
	}
	rig_quiet(&w->rig);
	for (unsigned j = 0; j <= OPS && result == -1; j++) {
		if (j > 0) {
			model_next(&w->model, &op);
			model_apply(&w->model, &op);
		}
		if (j >= answered && is_now(w))
			result = (int)j;
	}
	if (result != -1 && !goes_on(w))
		result = -1;
	work_close(w);
	rig_stop(&w->rig);
	free(w);
	return result;
}

static void
clean(const char *top, char dir[PATH_ROOM], char sync[PATH_ROOM],
    char lost[PATH_ROOM])
{
	snprintf(dir, PATH_ROOM, "%s/disk", top);
	snprintf(sync, PATH_ROOM, "%s/synced", top);
	snprintf(lost, PATH_ROOM, "%s/lost", top);
	tempdir_remove(dir);
	tempdir_remove(sync);
	tempdir_remove(lost);
	MUST(mkdir(dir, 0700) == 0 && mkdir(sync, 0700) == 0);
}

static unsigned long
inode(const char *path)
{
	struct stat st;

	MUST(stat(path, &st) == 0);
	return (unsigned long)st.st_ino;
}

/* In steps that no number of calls in a change divides. */
static void
test_crashes(const char *top, uint32_t seed, int step)
{
	char dir[PATH_ROOM], sync[PATH_ROOM], lost[PATH_ROOM];
	unsigned n = 0, bad = 0;
	bool crashed = true;

	for (int at = 1; crashed; at += step) {
		unsigned answered;
		int kept, left;

		clean(top, dir, sync, lost);
		answered = crash_at(dir, sync, seed, at, CHECKPOINT, &crashed);
		make_as_synced(sync, inode(dir), lost);
		kept = recovered(dir, seed, answered);
		left = recovered(lost, seed, answered);
		if (kept == -1 || left == -1) {
			bad++;
			printf("# seed %u, call %d: answered %u, killed %d, "
			       "lost %d\n",
			    seed, at, answered, kept, left);
		}
		n++;
	}
	ok(bad == 0 && n > 20, "seed %u: died at %u calls", seed, n);
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
	char dir[PATH_ROOM], sync[PATH_ROOM], lost[PATH_ROOM];
	int status;
	pid_t pid;

	clean(top, dir, sync, lost);
	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		shadow = sync;
		compact_and_die(dir);
	}
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	make_as_synced(sync, inode(dir), lost);
	ok(has_uids(dir), "a compacted index is not written over");
	ok(has_uids(lost), "nor is one whose name was lost half");
}

/* ---- the log cut ---- */

static void
copy_tree(const char *from, const char *to)
{
	char a[PATH_ROOM * 2], b[PATH_ROOM * 2];
	struct dirent *e;
	DIR *d = opendir(from);

	MUST(d != NULL && (mkdir(to, 0700) == 0 || errno == EEXIST));
	while ((e = readdir(d)) != NULL) {
		struct stat st;
		int in, out;

		if (e->d_name[0] == '.')
			continue;
		snprintf(a, sizeof a, "%s/%s", from, e->d_name);
		snprintf(b, sizeof b, "%s/%s", to, e->d_name);
		MUST(stat(a, &st) == 0);
		if (S_ISDIR(st.st_mode)) {
			copy_tree(a, b);
			continue;
		}
		in = open(a, O_RDONLY);
		out = open(b, O_RDWR | O_CREAT | O_TRUNC, 0600);
		MUST(in != -1 && out != -1);
		copy_octets(in, out);
		close(in);
		close(out);
	}
	closedir(d);
}

/* The last file of the log; gives its length. */
static off_t
last_log(const char *dir, char path[PATH_ROOM * 2])
{
	char log[PATH_ROOM + 8], best[PATH_ROOM] = "";
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
	snprintf(path, PATH_ROOM * 2, "%.500s/%.500s", log, best);
	MUST(best[0] != '\0' && stat(path, &st) == 0);
	return st.st_size;
}

static void
test_cuts(const char *top, uint32_t seed)
{
	char dir[PATH_ROOM], sync[PATH_ROOM], lost[PATH_ROOM];
	char log[PATH_ROOM * 2], whole[PATH_ROOM];
	int most = -1, bad = 0, cuts = 0;
	bool crashed;
	off_t len;

	clean(top, dir, sync, lost);
	snprintf(whole, sizeof whole, "%s/whole", top);
	crash_at(dir, sync, seed, -1, SIZE_MAX, &crashed);
	make_as_synced(sync, inode(dir), whole);
	len = last_log(whole, log);
	for (off_t at = 0; at <= len; at += at < 600 ? 23 : len / 61) {
		int j;

		tempdir_remove(lost);
		copy_tree(whole, lost);
		last_log(lost, log);
		MUST(truncate(log, at) == 0);
		j = recovered(lost, seed, 0);
		if (j < most) {
			bad++;
			printf("# seed %u cut at %ld: %d, before %d\n", seed,
			    (long)at, j, most);
		}
		most = j > most ? j : most;
		cuts++;
	}
	tempdir_remove(lost);
	copy_tree(whole, lost);
	most = recovered(lost, seed, 0);
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

/* The first line that differs. */
static void
show_difference(const char *want, const char *got)
{
	size_t at = 0;

	for (size_t i = 0; want[i] != '\0' && want[i] == got[i]; i++)
		if (want[i] == '\n')
			at = i + 1;
	printf("# want %.*s\n# got %.*s\n", (int)strcspn(want + at, "\n"),
	    want + at, (int)strcspn(got + at, "\n"), got + at);
}

/* One at a time; one that is refused has not happened. */
static bool
fail_at(const char *dir, uint32_t seed, int at, int errnum, unsigned *refused)
{
	struct work *w = xcalloc(1, sizeof *w);
	struct model before;
	char *want, *got;
	bool good;

	MUST(work_start(w, &spool_module, dir) == 0);
	w->model.x = seed;
	spool_of(w->rig.store)->compact_dead = 2;
	calls_made = 0;
	calls_left = at;
	calls_errno = errnum;
	for (unsigned i = 0; i < OPS / 2; i++) {
		const char *why;
		struct op op;

		before = w->model;
		model_next(&w->model, &op);
		before.x = w->model.x;
		before.seed = w->model.seed;
		before.made = w->model.made;
		op.alone = true;
		why = work_do(w, &op, NULL, NULL);
		if (!spool_of(w->rig.store)->ailing)
			wait_for_health(&w->rig);
		if (why == NULL)
			continue;
		++*refused;
		w->model = before;
		/* After a sync of a name that failed only a start helps. */
		if (spool_of(w->rig.store)->ailing)
			work_restart(w);
		else if (op.kind == OP_DESTROY || op.kind == OP_REOPEN)
			work_open(w, op.box);
	}
	calls_left = -1;
	calls_errno = 0;
	work_restart(w);
	want = model_words(&w->model);
	got = work_words(w);
	good = strcmp(want, got) == 0;
	if (!good)
		show_difference(want, got);
	free(want);
	free(got);
	work_close(w);
	rig_stop(&w->rig);
	free(w);
	return good;
}

static void
test_failures(const char *top, uint32_t seed, int errnum, int step)
{
	char dir[PATH_ROOM], sync[PATH_ROOM], lost[PATH_ROOM];
	unsigned refused = 0, bad = 0, n = 0;

	for (int at = 1; at == 1 || calls_made >= at; at += step) {
		clean(top, dir, sync, lost);
		if (!fail_at(dir, seed, at, errnum, &refused)) {
			bad++;
			printf("# seed %u, call %d fails\n", seed, at);
		}
		n++;
	}
	ok(bad == 0 && refused > 5, "seed %u: %u calls fail, %u refused", seed,
	    n, refused);
}

int
main(void)
{
	char top[64];

	tempdir_make(top);
	test_crashes(top, 11, 7);
	test_crashes(top, 10, 11);
	test_compaction(top);
	test_cuts(top, 3);
	test_failures(top, 4, ENOSPC, 5);
	test_failures(top, 5, EIO, 11);
	tempdir_remove(top);
	return done_testing();
}
