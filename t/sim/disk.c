#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/list.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/disk.h"
#include "t/sim/net.h"
#include "t/sim/world.h"
#include "t/sim/wrap.h"

#define ROOT "/sim/"

enum {
	NAME_MAX_ = 64,
	PATH_ROOM = 160,
	SLOW_PER_MILLE = 8
};

struct octets {
	uint8_t *p;
	size_t len, max;
};

/* A change that is not synced: octets at a place; or, p NULL, a length. */
struct write {
	STAILQ_ENTRY(write) link;
	size_t at, len;
	bool cuts;
	uint8_t octets[];
};

STAILQ_HEAD(writes, write);

struct file {
	struct octets now, synced;
	struct writes writes;
	unsigned names, opens;
};

/* A name in a directory, or one that is not there any more. */
struct entry {
	LIST_ENTRY(entry) link;
	char name[NAME_MAX_];
	struct file *file;
	uint64_t made, gone; /* which change of the directory; 0: synced, no */
};

struct dir {
	LIST_ENTRY(dir) link;
	char path[PATH_ROOM];
	LIST_HEAD(, entry) entries;
	uint64_t changes;
};

struct open {
	LIST_ENTRY(open) link;
	struct proc *proc;
	struct file *file;
	struct dir *dir;
	int fd;
	struct entry *at; /* of readdir() */
	struct dirent dirent;
};

static struct {
	LIST_HEAD(, dir) dirs;
	LIST_HEAD(, open) opens;
	bool refuses[NET_HOSTS], lies;
} disk;

void
disk_begin(void)
{
	memset(&disk, 0, sizeof(disk));
	db_begin_all();
}

int64_t
disk_delay(unsigned host)
{
	(void)host;
	if (world_chance(SLOW_PER_MILLE))
		return world_between(5 * MS, 300 * MS);
	return world_between(20, 400);
}

void
disk_tick(void)
{
	struct proc *p = proc_current();

	if (p != NULL && p->crash_in > 0 && --p->crash_in == 0)
		proc_die(p, p->crash_how);
}

void
disk_refuse(unsigned host, bool refuses)
{
	disk.refuses[host] = refuses;
}

bool
disk_refuses(void)
{
	struct proc *p = proc_current();

	return p != NULL && disk.refuses[p->host] && world_chance(700);
}

void
disk_lie(bool lies)
{
	disk.lies = lies;
}

/* --- files ----------------------------------------------------------------- */

static void
octets_put(struct octets *o, size_t at, const void *p, size_t n)
{
	if (at + n > o->max) {
		o->max = (at + n) * 2;
		o->p = xrealloc(o->p, o->max);
	}
	if (at > o->len)
		memset(o->p + o->len, 0, at - o->len);
	if (n > 0)
		memcpy(o->p + at, p, n);
	if (at + n > o->len)
		o->len = at + n;
}

static void
octets_copy(struct octets *to, const struct octets *from)
{
	to->len = 0;
	if (from->len > 0)
		octets_put(to, 0, from->p, from->len);
}

static void
writes_drop(struct writes *w)
{
	struct write *one;

	while ((one = STAILQ_FIRST(w)) != NULL) {
		STAILQ_REMOVE_HEAD(w, link);
		free(one);
	}
}

static void
file_put(struct file *f)
{
	if (f->names > 0 || f->opens > 0)
		return;
	writes_drop(&f->writes);
	free(f->now.p);
	free(f->synced.p);
	free(f);
}

static struct file *
file_new(void)
{
	struct file *f = xcalloc(1, sizeof(*f));

	STAILQ_INIT(&f->writes);
	return f;
}

static void
apply(struct octets *o, const struct write *w, size_t n)
{
	if (!w->cuts)
		octets_put(o, w->at, w->octets, n);
	else if (w->at < o->len)
		o->len = w->at;
	else
		octets_put(o, w->at, NULL, 0);
}

static void
file_write(struct file *f, size_t at, const void *p, size_t n, bool cuts)
{
	struct write *w = xmalloc(sizeof(*w) + n);

	*w = (struct write){ .at = at, .len = n, .cuts = cuts };
	if (n > 0)
		memcpy(w->octets, p, n);
	apply(&f->now, w, n);
	STAILQ_INSERT_TAIL(&f->writes, w, link);
}

static void
file_sync(struct file *f)
{
	if (disk.lies)
		return;
	octets_copy(&f->synced, &f->now);
	writes_drop(&f->writes);
}

/* Each write has reached the disk, or not, or its beginning has. */
static void
file_lose(struct file *f)
{
	struct write *w;
	unsigned luck = (unsigned)world_below(3);

	STAILQ_FOREACH(w, &f->writes, link)
	{
		size_t n = w->len;

		if (luck == 0 || (luck == 1 && world_chance(500)))
			continue;
		if (luck == 1 && !w->cuts && world_chance(500))
			n = (size_t)world_below(n + 1);
		apply(&f->synced, w, n);
	}
	octets_copy(&f->now, &f->synced);
	writes_drop(&f->writes);
}

/* --- directories ----------------------------------------------------------- */

static struct dir *
dir_find(const char *path)
{
	struct dir *d;

	LIST_FOREACH(d, &disk.dirs, link)
	if (strcmp(d->path, path) == 0)
		return d;
	return NULL;
}

static struct entry *
entry_find(struct dir *d, const char *name)
{
	struct entry *e;

	LIST_FOREACH(e, &d->entries, link)
	if (e->gone == 0 && strcmp(e->name, name) == 0)
		return e;
	return NULL;
}

static struct entry *
entry_new(struct dir *d, const char *name)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	MUST(strlen(name) < NAME_MAX_);
	memcpy(e->name, name, strlen(name) + 1);
	e->file = file_new();
	e->file->names = 1;
	e->made = ++d->changes;
	LIST_INSERT_HEAD(&d->entries, e, link);
	return e;
}

static void
entry_drop(struct entry *e)
{
	LIST_REMOVE(e, link);
	e->file->names--;
	file_put(e->file);
	free(e);
}

static void
dir_sync(struct dir *d)
{
	struct entry *e, *next;

	if (disk.lies)
		return;
	for (e = LIST_FIRST(&d->entries); e != NULL; e = next) {
		next = LIST_NEXT(e, link);
		e->made = 0;
		if (e->gone > 0)
			entry_drop(e);
	}
}

/* Changes up to one of them have reached the disk. */
static void
dir_lose(struct dir *d)
{
	uint64_t kept = world_below(d->changes + 1);
	struct entry *e, *next;

	for (e = LIST_FIRST(&d->entries); e != NULL; e = next) {
		next = LIST_NEXT(e, link);
		if (e->made > kept || (e->gone > 0 && e->gone <= kept)) {
			entry_drop(e);
			continue;
		}
		e->made = e->gone = 0;
		file_lose(e->file);
	}
}

static bool
is_below(const char *path, const char *host)
{
	size_t n = strlen(ROOT), h = strlen(host);

	return strncmp(path, ROOT, n) == 0 && strncmp(path + n, host, h) == 0 &&
	       path[n + h] == '/';
}

void
disk_lose(const char *name)
{
	struct dir *d;

	LIST_FOREACH(d, &disk.dirs, link)
	if (is_below(d->path, name))
		dir_lose(d);
	db_lose(name);
}

void
disk_died(struct proc *p)
{
	struct open *o, *next;

	for (o = LIST_FIRST(&disk.opens); o != NULL; o = next) {
		next = LIST_NEXT(o, link);
		if (o->proc == p)
			disk_close(o->fd);
	}
	db_died(p);
}

/* --- copies ---------------------------------------------------------------- */

struct kept {
	struct kept *next;
	char path[PATH_ROOM], name[NAME_MAX_]; /* "": the directory */
	struct octets octets;
};

struct disk_copy {
	struct kept *kept;
	struct db_copy *db;
};

static void
keep(struct disk_copy *c, const struct dir *d, const struct entry *e)
{
	struct kept *k = xcalloc(1, sizeof(*k));

	memcpy(k->path, d->path, sizeof(k->path));
	if (e != NULL) {
		memcpy(k->name, e->name, sizeof(k->name));
		octets_copy(&k->octets, &e->file->now);
	}
	k->next = c->kept;
	c->kept = k;
}

struct disk_copy *
disk_copy(const char *name)
{
	struct disk_copy *c = xcalloc(1, sizeof(*c));
	struct entry *e;
	struct dir *d;

	LIST_FOREACH(d, &disk.dirs, link)
	{
		if (!is_below(d->path, name))
			continue;
		LIST_FOREACH(e, &d->entries, link)
		if (e->gone == 0)
			keep(c, d, e);
		keep(c, d, NULL);
	}
	c->db = db_copy_of(name);
	return c;
}

void
disk_wipe(const char *name)
{
	struct dir *d, *next;
	struct entry *e;

	for (d = LIST_FIRST(&disk.dirs); d != NULL; d = next) {
		next = LIST_NEXT(d, link);
		if (!is_below(d->path, name))
			continue;
		while ((e = LIST_FIRST(&d->entries)) != NULL)
			entry_drop(e);
		LIST_REMOVE(d, link);
		free(d);
	}
	db_wipe(name);
}

static struct dir *
dir_new(const char *path)
{
	struct dir *d = xcalloc(1, sizeof(*d));

	MUST(strlen(path) < PATH_ROOM);
	memcpy(d->path, path, strlen(path) + 1);
	LIST_INSERT_HEAD(&disk.dirs, d, link);
	return d;
}

void
disk_restore(const char *name, const struct disk_copy *c)
{
	disk_wipe(name);
	for (const struct kept *k = c->kept; k != NULL; k = k->next) {
		struct dir *d = dir_find(k->path);
		struct entry *e;

		if (d == NULL)
			d = dir_new(k->path);
		if (k->name[0] == '\0')
			continue;
		e = entry_new(d, k->name);
		e->made = 0;
		octets_copy(&e->file->now, &k->octets);
		octets_copy(&e->file->synced, &k->octets);
	}
	db_restore(name, c->db);
}

void
disk_make(const char *format, ...)
{
	char path[PATH_ROOM];
	va_list ap;

	va_start(ap, format);
	vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (dir_find(path) == NULL)
		(void)dir_new(path);
}

void
disk_copy_free(struct disk_copy **cp)
{
	struct disk_copy *c = *cp;
	struct kept *k;

	if (c == NULL)
		return;
	while ((k = c->kept) != NULL) {
		c->kept = k->next;
		free(k->octets.p);
		free(k);
	}
	db_copy_free(&c->db);
	free(c);
	*cp = NULL;
}

/* --- calls ----------------------------------------------------------------- */

static bool
is_ours(const char *path)
{
	return strncmp(path, ROOT, strlen(ROOT)) == 0;
}

static int
open_new(struct file *f, struct dir *d)
{
	struct open *o = xcalloc(1, sizeof(*o));

	o->proc = NULL;
	o->file = f;
	o->dir = d;
	if (f != NULL)
		f->opens++;
	o->fd = fd_new(f != NULL ? FD_FILE : FD_DIR, o);
	LIST_INSERT_HEAD(&disk.opens, o, link);
	return o->fd;
}

static struct open *
open_of(int fd)
{
	enum fd_kind kind = fd_kind(fd);

	MUST(kind == FD_FILE || kind == FD_DIR);
	return fd_object(fd, kind);
}

void
disk_close(int fd)
{
	struct open *o = open_of(fd);

	if (o->file != NULL) {
		o->file->opens--;
		file_put(o->file);
	}
	LIST_REMOVE(o, link);
	fd_free(fd);
	free(o);
}

static int
refused(int error)
{
	errno = error;
	return -1;
}

/* The directory of a path, and the name in it. */
static struct dir *
split(const char *path, char name[NAME_MAX_])
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_ROOM];

	MUST(slash != NULL && (size_t)(slash - path) < sizeof(dir));
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	snprintf(name, NAME_MAX_, "%s", slash + 1);
	return dir_find(dir);
}

static int
open_file(struct dir *d, const char *name, int flags)
{
	struct entry *e = entry_find(d, name);

	if (e == NULL && (flags & O_CREAT) == 0)
		return refused(ENOENT);
	if (e == NULL)
		e = entry_new(d, name);
	if (flags & O_TRUNC)
		file_write(e->file, 0, NULL, 0, true);
	return open_new(e->file, NULL);
}

void
disk_touch(const char *path)
{
	char name[NAME_MAX_];
	struct dir *d = split(path, name);

	if (d != NULL && entry_find(d, name) == NULL)
		(void)entry_new(d, name);
}

/* As nobody; the descriptor is the current process's. */
static int
owned(int fd, struct proc *p)
{
	if (fd != -1)
		open_of(fd)->proc = p;
	return fd;
}

static int
open_path(const char *path, int flags)
{
	char name[NAME_MAX_];
	struct dir *d = dir_find(path);

	if (d != NULL)
		return open_new(NULL, d);
	d = split(path, name);
	return d == NULL ? refused(ENOENT) : open_file(d, name, flags);
}

static int
open_at(int dirfd, const char *path, int flags)
{
	struct dir *d = open_of(dirfd)->dir, *up;
	char name[NAME_MAX_];

	if (strcmp(path, ".") == 0)
		return open_new(NULL, d);
	if (strcmp(path, "..") == 0) {
		up = split(d->path, name);
		return up == NULL ? refused(ENOENT) : open_new(NULL, up);
	}
	return open_file(d, path, flags);
}

int
__wrap_open(const char *path, int flags, ...)
{
	struct proc *p = proc_current();
	va_list ap;
	int mode, fd;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (!is_ours(path))
		return __real_open(path, flags, mode);
	if (flags & (O_CREAT | O_TRUNC))
		disk_tick();
	(void)proc_leave();
	fd = owned(open_path(path, flags), p);
	proc_return(p);
	return fd;
}

int
__wrap_openat(int dirfd, const char *path, int flags, ...)
{
	struct proc *p = proc_current();
	va_list ap;
	int mode, fd;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (fd_kind(dirfd) == FD_NONE)
		return __real_openat(dirfd, path, flags, mode);
	if (flags & (O_CREAT | O_TRUNC)) {
		disk_tick();
		if (disk_refuses())
			return refused(ENOSPC);
	}
	(void)proc_leave();
	fd = owned(open_at(dirfd, path, flags), p);
	proc_return(p);
	return fd;
}

ssize_t
__wrap_pread(int fd, void *p, size_t n, off_t at)
{
	const struct octets *o;

	if (fd_kind(fd) == FD_NONE)
		return __real_pread(fd, p, n, at);
	o = &open_of(fd)->file->now;
	if ((size_t)at >= o->len)
		return 0;
	if (n > o->len - (size_t)at)
		n = o->len - (size_t)at;
	memcpy(p, o->p + at, n);
	return (ssize_t)n;
}

/* In pieces now and then, as a signal would have it: it may die in between. */
ssize_t
__wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	struct proc *was;

	if (fd_kind(fd) == FD_NONE)
		return __real_pwrite(fd, p, n, at);
	disk_tick();
	if (disk_refuses())
		return refused(ENOSPC);
	if (n > 1 && world_chance(30))
		n = (size_t)world_between(1, (int64_t)n - 1);
	was = proc_leave();
	file_write(open_of(fd)->file, (size_t)at, p, n, false);
	proc_return(was);
	return (ssize_t)n;
}

int
__wrap_ftruncate(int fd, off_t size)
{
	struct proc *was;

	if (fd_kind(fd) == FD_NONE)
		return __real_ftruncate(fd, size);
	disk_tick();
	was = proc_leave();
	file_write(open_of(fd)->file, (size_t)size, NULL, 0, true);
	proc_return(was);
	return 0;
}

/* Not every disk can; if it can, the file is longer, with zeros. */
int
__wrap_posix_fallocate(int fd, off_t at, off_t n)
{
	struct proc *was;
	struct file *f;

	if (fd_kind(fd) == FD_NONE)
		return __real_posix_fallocate(fd, at, n);
	disk_tick();
	f = open_of(fd)->file;
	if (disk_refuses() || world_chance(300))
		return ENOSPC;
	was = proc_leave();
	if ((size_t)(at + n) > f->now.len)
		file_write(f, (size_t)(at + n), NULL, 0, true);
	proc_return(was);
	return 0;
}

int
__wrap_fsync(int fd)
{
	struct proc *was;
	struct open *o;

	if (fd_kind(fd) == FD_NONE)
		return __real_fsync(fd);
	disk_tick();
	if (disk_refuses())
		return refused(EIO);
	o = open_of(fd);
	was = proc_leave();
	if (o->dir != NULL)
		dir_sync(o->dir);
	else
		file_sync(o->file);
	proc_return(was);
	disk_tick();
	return 0;
}

int
__wrap_fdatasync(int fd)
{
	return fd_kind(fd) == FD_NONE ? __real_fdatasync(fd) : __wrap_fsync(fd);
}

int
__wrap_fstat(int fd, struct stat *st)
{
	struct open *o;

	if (fd_kind(fd) == FD_NONE)
		return __real_fstat(fd, st);
	o = open_of(fd);
	memset(st, 0, sizeof(*st));
	st->st_mode = o->dir != NULL ? S_IFDIR : S_IFREG;
	if (o->file != NULL)
		st->st_size = (off_t)o->file->now.len;
	return 0;
}

/* One process writes a directory of ours: nobody else asks. */
int
__wrap_flock(int fd, int operation)
{
	return fd_kind(fd) == FD_NONE ? __real_flock(fd, operation) : 0;
}

/* Durable at once: it is done at start-up only. */
int
__wrap_mkdir(const char *path, mode_t mode)
{
	struct proc *was;

	if (!is_ours(path))
		return __real_mkdir(path, mode);
	if (dir_find(path) != NULL)
		return refused(EEXIST);
	was = proc_leave();
	(void)dir_new(path);
	proc_return(was);
	return 0;
}

static int
remove_name(struct dir *d, const char *name)
{
	struct entry *e = d == NULL ? NULL : entry_find(d, name);

	if (e == NULL)
		return refused(ENOENT);
	disk_tick();
	e->gone = ++d->changes;
	return 0;
}

int
__wrap_unlink(const char *path)
{
	char name[NAME_MAX_];
	struct dir *d;

	if (!is_ours(path))
		return __real_unlink(path);
	d = split(path, name);
	return remove_name(d, name);
}

int
__wrap_unlinkat(int dirfd, const char *path, int flags)
{
	if (fd_kind(dirfd) == FD_NONE)
		return __real_unlinkat(dirfd, path, flags);
	return remove_name(open_of(dirfd)->dir, path);
}

/* --- reading a directory: the DIR is the struct open ----------------------- */

DIR *
__wrap_fdopendir(int fd)
{
	struct open *o;

	if (fd_kind(fd) == FD_NONE)
		return __real_fdopendir(fd);
	o = open_of(fd);
	o->at = LIST_FIRST(&o->dir->entries);
	return (DIR *)o;
}

static struct open *
open_of_dir(DIR *d)
{
	struct open *o;

	LIST_FOREACH(o, &disk.opens, link)
	if ((DIR *)o == d)
		return o;
	return NULL;
}

struct dirent *
__wrap_readdir(DIR *d)
{
	struct open *o = open_of_dir(d);

	if (o == NULL)
		return __real_readdir(d);
	while (o->at != NULL && o->at->gone > 0)
		o->at = LIST_NEXT(o->at, link);
	if (o->at == NULL)
		return NULL;
	snprintf(o->dirent.d_name, sizeof(o->dirent.d_name), "%s", o->at->name);
	o->at = LIST_NEXT(o->at, link);
	return &o->dirent;
}

int
__wrap_closedir(DIR *d)
{
	struct open *o = open_of_dir(d);

	if (o == NULL)
		return __real_closedir(d);
	disk_close(o->fd);
	return 0;
}
