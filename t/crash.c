#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/crash.h"

enum {
	TIES_MAX = 64,
	KILLED = 42, /* the child's status */
	SAY_MAX = 3  /* lines */
};

#define TIES "ties" /* in the shadow: pairs of directories */

static int calls_left; /* before the armed one */
static int calls_made;
static int calls_errno; /* 0: it ends the process */
static bool reads_count;
static const char *shadow;
static void (*on_sync)(int fd);

/* Of directories: those of renames. */
static int ties[TIES_MAX][2];
static size_t nties;

/* Of two syncs of a file the one that looked later must be kept. */
static pthread_mutex_t shadow_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the armed call ---- */

void
crash_arm(int n, int errnum)
{
	calls_made = 0;
	calls_errno = errnum;
	calls_left = n > 0 ? n : 0;
}

int
crash_calls(void)
{
	return __atomic_load_n(&calls_made, __ATOMIC_SEQ_CST);
}

bool
crash_fired(void)
{
	return calls_left == 0;
}

void
crash_on_sync(void (*cb)(int fd))
{
	on_sync = cb;
}

void
crash_reads(bool count)
{
	reads_count = count;
}

/* True: it is the armed call. */
static bool
armed(void)
{
	__atomic_add_fetch(&calls_made, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&calls_left, __ATOMIC_SEQ_CST) == 0 ||
	    __atomic_sub_fetch(&calls_left, 1, __ATOMIC_SEQ_CST) != 0)
		return false;
	if (calls_errno == 0)
		_exit(KILLED);
	return true;
}

/* True: the call is to fail. */
static bool
tick(void)
{
	if (!armed() || calls_errno == CRASH_SHORT)
		return false;
	errno = calls_errno;
	return true;
}

/* As that, for a write, which may be made shorter. */
static bool
tick_write(size_t *n)
{
	if (!armed())
		return false;
	if (calls_errno == CRASH_SHORT) {
		*n = (*n + 1) / 2;
		return false;
	}
	errno = calls_errno;
	return true;
}

/* ---- the shadow: DIR/INODE is a file, or a directory's list ---- */

void
crash_shadow(const char *dir)
{
	shadow = dir;
}

/*
 * A file that loses a name stays until the process ends: else its number would
 * be given to another, and in the shadow they would be the same.
 */
static void
hold(int dirfd, const char *name)
{
	if (shadow != NULL)
		(void)openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

#define REAL(type, name, args)   \
	static type(*real) args; \
	if (real == NULL)        \
	*(void **)&real = dlsym(RTLD_NEXT, name)

static ssize_t
real_pwrite(int fd, const void *p, size_t n, off_t off)
{
	REAL(ssize_t, "pwrite", (int, const void *, size_t, off_t));
	return real(fd, p, n, off);
}

static int
real_rename(const char *from, const char *to)
{
	REAL(int, "rename", (const char *, const char *));
	return real(from, to);
}

static int
real_open(const char *name, int flags)
{
	REAL(int, "open", (const char *, int, ...));
	return real(name, flags | O_CLOEXEC, 0600);
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
copy_list(const char *path, int to)
{
	DIR *d = opendir(path);
	struct dirent *e;
	FILE *out = fdopen(dup(to), "w");

	MUST(d != NULL && out != NULL);
	while ((e = readdir(d)) != NULL) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
		        -1)
			continue;
		fprintf(out, "%c %lu %s\n", S_ISDIR(st.st_mode) ? 'd' : 'f',
		    (unsigned long)st.st_ino, e->d_name);
	}
	closedir(d);
	MUST(fclose(out) == 0);
}

/* Before the sync: what is there now is what it promises. */
static void
shadow_take(int fd, char fresh[CRASH_PATH], char path[CRASH_PATH])
{
	char self[64];
	struct stat st;
	int to, from;

	MUST(fstat(fd, &st) == 0);
	snprintf(path, CRASH_PATH, "%s/%lu", shadow, (unsigned long)st.st_ino);
	snprintf(fresh, CRASH_PATH, "%s/new", shadow);
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	to = real_open(fresh, O_RDWR | O_CREAT | O_TRUNC);
	MUST(to != -1);
	if (S_ISDIR(st.st_mode)) {
		copy_list(self, to);
	} else {
		from = real_open(self, O_RDONLY);
		MUST(from != -1);
		copy_octets(from, to);
		close(from);
	}
	close(to);
}

static void
shadow_sync(int fd)
{
	char fresh[CRASH_PATH], path[CRASH_PATH];

	shadow_take(fd, fresh, path);
	MUST(real_rename(fresh, path) == 0);
}

/* Whose renames of directories are on the disk with it, and so on. */
static void
shadow_tied(int fd)
{
	struct stat st, ends[2];

	MUST(fstat(fd, &st) == 0);
	for (size_t i = 0; i < nties; i++) {
		int other = -1;

		for (int k = 0; k < 2; k++) {
			MUST(fstat(ties[i][k], &ends[k]) == 0);
			if (ends[k].st_ino == st.st_ino)
				other = ties[i][!k];
		}
		if (other == -1)
			continue;
		nties--;
		memcpy(ties[i], ties[nties], sizeof ties[i]);
		shadow_sync(other);
		shadow_tied(other);
		i = (size_t)-1; /* they are others now */
	}
}

/* The disk itself is of no interest. */
static int
sync_call(int fd)
{
	if (tick())
		return -1;
	if (shadow != NULL) {
		pthread_mutex_lock(&shadow_lock);
		shadow_sync(fd);
		shadow_tied(fd);
		pthread_mutex_unlock(&shadow_lock);
	}
	if (on_sync != NULL)
		on_sync(fd);
	return 0;
}

/* A directory and what is below it; as deep as what is tested makes them. */
static void
shadow_tree(int dir)
{
	char fresh[CRASH_PATH], path[CRASH_PATH], self[64];
	struct dirent *e;
	DIR *d;

	snprintf(self, sizeof self, "/proc/self/fd/%d", dir);
	d = opendir(self);
	MUST(d != NULL);
	while ((e = readdir(d)) != NULL) {
		struct stat st;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%.200s", self, e->d_name);
		fd = real_open(path, O_RDONLY | O_NOFOLLOW);
		if (fd == -1)
			continue; /* somebody has just removed it */
		MUST(fstat(fd, &st) == 0);
		if (S_ISDIR(st.st_mode)) {
			shadow_tree(fd);
		} else {
			shadow_take(fd, fresh, path);
			MUST(real_rename(fresh, path) == 0);
		}
		close(fd);
	}
	closedir(d);
	shadow_take(dir, fresh, path);
	MUST(real_rename(fresh, path) == 0);
}

/* Of the file system, but only what is below fd is of interest. */
int
syncfs(int fd)
{
	if (tick())
		return -1;
	if (shadow != NULL) {
		pthread_mutex_lock(&shadow_lock);
		shadow_tree(fd);
		pthread_mutex_unlock(&shadow_lock);
	}
	return 0;
}

/* ---- the calls ---- */

#define WRAP(type, name, params, before, ...) \
	type name params                      \
	{                                     \
		REAL(type, #name, params);    \
		if (tick())                   \
			return -1;            \
		before;                       \
		return real(__VA_ARGS__);     \
	}
#define NOTHING (void)0

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	REAL(ssize_t, "pwrite", (int, const void *, size_t, off_t));

	return tick_write(&n) ? -1 : real(fd, p, n, off);
}

ssize_t
pread(int fd, void *p, size_t n, off_t off)
{
	REAL(ssize_t, "pread", (int, void *, size_t, off_t));

	return reads_count && tick() ? -1 : real(fd, p, n, off);
}

WRAP(int, ftruncate, (int fd, off_t n), NOTHING, fd, n)
WRAP(int, msync, (void *p, size_t n, int flags), NOTHING, p, n, flags)
WRAP(int, mkdir, (const char *name, mode_t mode), NOTHING, name, mode)
WRAP(int, mkdirat, (int fd, const char *name, mode_t mode), NOTHING, fd, name,
    mode)
WRAP(int, unlink, (const char *name), hold(AT_FDCWD, name), name)
WRAP(int, unlinkat, (int fd, const char *name, int flags), hold(fd, name), fd,
    name, flags)
WRAP(int, rename, (const char *from, const char *to), hold(AT_FDCWD, to), from,
    to)
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags),
    NOTHING, a, from, b, to, flags)
WRAP(int, futimens, (int fd, const struct timespec times[2]), NOTHING, fd,
    times)

/* The directory that the directory of that name is in; -1: it is none. */
static int
above(int dirfd, const char *name)
{
	char path[CRASH_PATH];
	REAL(int, "openat", (int, const char *, int, ...));

	MUST(snprintf(path, sizeof path, "%s/..", name) < CRASH_PATH);
	return real(dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* They stay open: to sync the one is to sync the other. */
static void
tie(int from, int to)
{
	char path[CRASH_PATH], line[64];
	struct stat a, b, st;
	int fd, n;

	MUST(nties < TIES_MAX && fstat(from, &a) == 0 && fstat(to, &b) == 0);
	ties[nties][0] = from;
	ties[nties++][1] = to;
	n = snprintf(line, sizeof line, "%lu %lu\n", (unsigned long)a.st_ino,
	    (unsigned long)b.st_ino);
	MUST(snprintf(path, sizeof path, "%s/" TIES, shadow) < CRASH_PATH);
	fd = real_open(path, O_WRONLY | O_CREAT);
	MUST(fd != -1 && fstat(fd, &st) == 0);
	MUST(real_pwrite(fd, line, (size_t)n, st.st_size) == n);
	close(fd);
}

int
renameat(int a, const char *from, int b, const char *to)
{
	int was, is, result;
	REAL(int, "renameat", (int, const char *, int, const char *));

	if (tick())
		return -1;
	hold(b, to);
	if (shadow == NULL)
		return real(a, from, b, to);
	pthread_mutex_lock(&shadow_lock);
	was = above(a, from);
	result = real(a, from, b, to);
	is = was != -1 && result == 0 ? above(b, to) : -1;
	if (is != -1)
		tie(was, is);
	else if (was != -1)
		close(was);
	pthread_mutex_unlock(&shadow_lock);
	return result;
}

/* It says why by what it returns. */
int
posix_fallocate(int fd, off_t at, off_t n)
{
	REAL(int, "posix_fallocate", (int, off_t, off_t));

	return tick() ? errno : real(fd, at, n);
}

int
fsync(int fd)
{
	return sync_call(fd);
}

int
fdatasync(int fd)
{
	return sync_call(fd);
}

/* Only to files: a loop wakes itself by this, and we report by it. */
ssize_t
write(int fd, const void *p, size_t n)
{
	struct stat st;
	REAL(ssize_t, "write", (int, const void *, size_t));

	if (fd != STDOUT_FILENO && fd != STDERR_FILENO && fstat(fd, &st) == 0 &&
	    S_ISREG(st.st_mode) && tick_write(&n))
		return -1;
	return real(fd, p, n);
}

static mode_t
mode_given(int flags, va_list ap)
{
	return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

int
open(const char *name, int flags, ...)
{
	mode_t mode;
	va_list ap;
	REAL(int, "open", (const char *, int, ...));

	va_start(ap, flags);
	mode = mode_given(flags, ap);
	va_end(ap);
	if ((reads_count || (flags & (O_CREAT | O_TRUNC))) && tick())
		return -1;
	return real(name, flags, mode);
}

int
openat(int dirfd, const char *name, int flags, ...)
{
	mode_t mode;
	va_list ap;
	REAL(int, "openat", (int, const char *, int, ...));

	va_start(ap, flags);
	mode = mode_given(flags, ap);
	va_end(ap);
	if ((reads_count || (flags & (O_CREAT | O_TRUNC))) && tick())
		return -1;
	return real(dirfd, name, flags, mode);
}

/* ---- what a power failure leaves ---- */

/* Where a file or directory is at the end. */
struct found {
	unsigned long ino;
	char path[CRASH_PATH];
};

struct loss {
	const char *shadow;
	uint32_t mix;
	struct found *found;
	size_t nfound, max;
	unsigned long ties[TIES_MAX][2];
	size_t nties;
};

/* As deep as what is tested makes directories. */
static void
find_all(struct loss *l, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;

	MUST(d != NULL);
	while ((e = readdir(d)) != NULL) {
		struct found *f;

		if (strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
		        -1)
			continue;
		if (l->nfound == l->max) {
			l->max = l->max * 2 + 64;
			l->found =
			    xreallocarray(l->found, l->max, sizeof *l->found);
		}
		f = &l->found[l->nfound++];
		f->ino = (unsigned long)st.st_ino;
		MUST(snprintf(f->path, CRASH_PATH, "%s/%s", dir, e->d_name) <
		     CRASH_PATH);
		if (S_ISDIR(st.st_mode) && strcmp(e->d_name, ".") != 0) {
			char sub[CRASH_PATH];

			memcpy(sub, f->path, sizeof sub);
			l->nfound--;
			find_all(l, sub);
		}
	}
	closedir(d);
}

static const char *
found_path(const struct loss *l, unsigned long ino)
{
	for (size_t i = 0; i < l->nfound; i++)
		if (l->found[i].ino == ino)
			return l->found[i].path;
	return NULL;
}

static void
read_ties(struct loss *l)
{
	char path[CRASH_PATH];
	FILE *f;

	MUST(snprintf(path, sizeof path, "%s/" TIES, l->shadow) < CRASH_PATH);
	f = fopen(path, "r");
	while (f != NULL && l->nties < TIES_MAX &&
	       fscanf(f, "%lu %lu\n", &l->ties[l->nties][0],
	           &l->ties[l->nties][1]) == 2)
		l->nties++;
	MUST(l->nties < TIES_MAX);
	if (f != NULL)
		fclose(f);
}

/* The least of those that it is tied to, by any number of ties. */
static unsigned long
least_tied(const struct loss *l, unsigned long ino)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < l->nties; i++) {
			const unsigned long *t = l->ties[i];

			again |= t[0] == ino && t[1] < ino;
			again |= t[1] == ino && t[0] < ino;
			if (t[0] == ino || t[1] == ino)
				ino = t[0] < t[1] ? t[0] : t[1];
		}
	}
	return ino;
}

/* Has it reached the disk as it was at the end? */
static bool
is_lucky(const struct loss *l, unsigned long ino)
{
	uint32_t x =
	    (uint32_t)least_tied(l, ino) * 2654435761u ^ l->mix * 2246822519u;

	x ^= x >> 15;
	x *= 2654435761u;
	return l->mix != 0 && (x >> 16 & 1) != 0;
}

/* Content of ino: a file's octets or a directory's list. -1: never synced. */
static int
content_open(const struct loss *l, unsigned long ino, char kind)
{
	const char *now = is_lucky(l, ino) ? found_path(l, ino) : NULL;
	char path[CRASH_PATH];
	int fd;

	if (now == NULL) {
		snprintf(path, sizeof path, "%s/%lu", l->shadow, ino);
		return real_open(path, O_RDONLY);
	}
	if (kind == 'f')
		return real_open(now, O_RDONLY);
	fd = real_open(l->shadow, O_RDWR | O_TMPFILE);
	MUST(fd != -1);
	copy_list(now, fd);
	MUST(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void
make_file(const struct loss *l, unsigned long ino, const char *to)
{
	int in = content_open(l, ino, 'f');
	int out = real_open(to, O_RDWR | O_CREAT | O_TRUNC);

	MUST(out != -1);
	if (in != -1) {
		copy_octets(in, out);
		close(in);
	}
	close(out);
}

static void
make_dir(const struct loss *l, unsigned long ino, const char *to)
{
	int fd = content_open(l, ino, 'd');
	char name[256], path[CRASH_PATH];
	unsigned long child;
	char kind;
	FILE *f;

	MUST(mkdir(to, 0700) == 0 || errno == EEXIST);
	if (fd == -1)
		return; /* never synced: it is empty */
	f = fdopen(fd, "r");
	MUST(f != NULL);
	while (fscanf(f, "%c %lu %255s\n", &kind, &child, name) == 3) {
		MUST(snprintf(path, sizeof path, "%s/%s", to, name) <
		     CRASH_PATH);
		if (kind == 'd')
			make_dir(l, child, path);
		else
			make_file(l, child, path);
	}
	fclose(f);
}

void
crash_lose(const char *shadow_dir, const char *from, const char *to,
    uint32_t mix)
{
	struct loss l = { .shadow = shadow_dir, .mix = mix };
	struct stat st;

	MUST(stat(from, &st) == 0);
	read_ties(&l);
	if (mix != 0)
		find_all(&l, from);
	make_dir(&l, (unsigned long)st.st_ino, to);
	free(l.found);
}

/* ---- children ---- */

bool
crash_fork(struct crash_child *c)
{
	int fds[2];

	MUST(pipe(fds) == 0);
	fflush(stdout);
	c->pid = fork();
	MUST(c->pid != -1);
	c->fd = fds[c->pid == 0 ? 1 : 0];
	close(fds[c->pid == 0 ? 0 : 1]);
	return c->pid == 0;
}

bool
crash_wait(struct crash_child *c)
{
	int status;

	close(c->fd);
	MUST(waitpid(c->pid, &status, 0) == c->pid);
	MUST(WIFEXITED(status));
	MUST(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED);
	return WEXITSTATUS(status) == KILLED;
}

/* ---- standard error ---- */

static int quiet_fd = -1, loud_fd = -1;
static char quiet_path[CRASH_PATH];

/* On an abort: only what a signal handler may call. */
static void
show_all(int sig)
{
	static char room[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(quiet_fd, room, sizeof room, at)) > 0) {
		if (write(loud_fd, room, (size_t)n) != n)
			break;
		at += n;
	}
	signal(sig, SIG_DFL);
}

void
crash_quiet(const char *dir)
{
	snprintf(quiet_path, sizeof quiet_path, "%s/stderr", dir);
	quiet_fd = real_open(quiet_path, O_RDWR | O_CREAT | O_APPEND);
	loud_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	MUST(quiet_fd != -1 && loud_fd != -1);
	MUST(dup2(quiet_fd, STDERR_FILENO) != -1);
	signal(SIGABRT, show_all);
}

void
crash_hush(void)
{
	int fd;

	if (quiet_fd == -1)
		return;
	fd = real_open(quiet_path, O_WRONLY | O_TRUNC);
	MUST(fd != -1);
	close(fd);
}

static FILE *
open_said(void)
{
	FILE *f;

	MUST(lseek(quiet_fd, 0, SEEK_SET) == 0);
	f = fdopen(dup(quiet_fd), "r");
	MUST(f != NULL);
	return f;
}

bool
crash_said(const char *text)
{
	FILE *f = open_said();
	bool said = false;
	char line[300];

	while (!said && fgets(line, sizeof line, f) != NULL)
		said = strstr(line, text) != NULL;
	fclose(f);
	return said;
}

void
crash_say(void)
{
	char line[300];
	FILE *f;

	if (quiet_fd == -1)
		return;
	f = open_said();
	for (int i = 0; i < SAY_MAX && fgets(line, sizeof line, f) != NULL; i++)
		printf("#   %.*s\n", (int)strcspn(line, "\n"), line);
	fclose(f);
}

void
crash_loud(void)
{
	signal(SIGABRT, SIG_DFL);
	MUST(dup2(loud_fd, STDERR_FILENO) != -1);
	close(loud_fd);
	close(quiet_fd);
	quiet_fd = -1;
}
