/*
 * A Maildir as Dovecot lays it out: flags behind ":2,", keywords as small
 * letters that the file dovecot-keywords explains, INTERNALDATE as the time of
 * the file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/adm/adm.h"
#include "imap/flag.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/whole.h"
#include "lib/xalloc.h"

enum {
	PATH_MAX_OCTETS = 1024,
	LETTERS = 26,
	KEYWORDS_FILE_MAX = 64 * 1024
};

static const struct {
	char letter;
	uint32_t flag;
} letters[] = { { 'D', STORE_DRAFT }, { 'F', STORE_FLAGGED },
	{ 'R', STORE_ANSWERED }, { 'S', STORE_SEEN }, { 'T', STORE_DELETED } };

/* ---- out ---- */

struct adm_maildir {
	int dirfd;
	char *keywords[LETTERS];
	unsigned nkeywords;
};

struct adm_maildir *
adm_maildir_new(const char *dir, struct err *err)
{
	static const char *const below[] = { "tmp", "new", "cur" };
	struct adm_maildir *d;
	int fd;

	if (mkdir(dir, 0700) == -1) {
		err_sys(err, "making %s", dir);
		return NULL;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; fd != -1 && i < NITEMS(below); i++)
		if (mkdirat(fd, below[i], 0700) == -1) {
			close(fd);
			fd = -1;
		}
	if (fd == -1) {
		err_sys(err, "making %s", dir);
		return NULL;
	}
	d = xcalloc(1, sizeof *d);
	d->dirfd = fd;
	return d;
}

/* 0: there are too many. */
static char
letter_of(struct adm_maildir *d, const char *keyword)
{
	unsigned i = 0;

	while (i < d->nkeywords && strcmp(d->keywords[i], keyword) != 0)
		i++;
	if (i == LETTERS)
		return '\0';
	if (i == d->nkeywords)
		d->keywords[d->nkeywords++] = xstrdup(keyword);
	return (char)('a' + i);
}

static void
put_name(struct adm_maildir *d, struct buf *name, const struct adm_message *m)
{
	char used[LETTERS + 1] = "";
	size_t n = 0;

	buf_printf(name, "%lld.U%lu.backendadm,S=%zu:2,",
	    (long long)m->internaldate, (unsigned long)m->uid, m->octets.len);
	for (size_t i = 0; i < NITEMS(letters); i++)
		if (m->flags & letters[i].flag)
			buf_putc(name, (uint8_t)letters[i].letter);
	for (size_t i = 0; i < m->nkeywords && n < LETTERS; i++) {
		char c = letter_of(d, m->keywords[i]);

		if (c != '\0' && strchr(used, c) == NULL)
			used[n++] = c;
	}
	for (char c = 'a'; c <= 'z'; c++)
		if (memchr(used, c, n) != NULL)
			buf_putc(name, (uint8_t)c);
	buf_putc(name, '\0');
}

static int
write_file(int dirfd, const char *path, struct slice octets, int64_t when,
    struct err *err)
{
	struct timespec times[2] = { { .tv_sec = when }, { .tv_sec = when } };
	int fd =
	    openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result = 0;

	if (fd == -1)
		return err_sys(err, "making %s", path);
	if (whole_write(fd, octets, err) == -1)
		result = err_add(err, "%s", path);
	else if (futimens(fd, times) == -1 || fsync(fd) == -1)
		result = err_sys(err, "writing %s", path);
	close(fd);
	return result;
}

int
adm_maildir_put(struct adm_maildir *d, const struct adm_message *m,
    struct err *err)
{
	struct buf name;
	struct arena a;
	const char *tmp, *cur;
	int result;

	arena_init(&a);
	buf_init(&name, PATH_MAX_OCTETS);
	put_name(d, &name, m);
	tmp = arena_printf(&a, "tmp/%s", (const char *)buf_data(&name));
	cur = arena_printf(&a, "cur/%s", (const char *)buf_data(&name));
	result = write_file(d->dirfd, tmp, m->octets, m->internaldate, err);
	if (result == 0 && renameat(d->dirfd, tmp, d->dirfd, cur) == -1)
		result = err_sys(err, "renaming %s", tmp);
	buf_fini(&name);
	arena_reset(&a);
	return result;
}

static int
sync_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result;

	if (fd == -1)
		return -1;
	result = fsync(fd);
	close(fd);
	return result;
}

int
adm_maildir_end(struct adm_maildir **dp, struct err *err)
{
	struct adm_maildir *d = *dp;
	int result = 0;
	struct buf b;

	*dp = NULL;
	buf_init(&b, KEYWORDS_FILE_MAX);
	for (unsigned i = 0; i < d->nkeywords; i++) {
		buf_printf(&b, "%u %s\n", i, d->keywords[i]);
		free(d->keywords[i]);
	}
	if (d->nkeywords > 0)
		result = write_file(d->dirfd, "dovecot-keywords", buf_slice(&b),
		    0, err);
	if (result == 0 && sync_dir(d->dirfd, "cur") == -1)
		result = err_sys(err, "syncing cur");
	if (result == 0 && fsync(d->dirfd) == -1)
		result = err_sys(err, "syncing it");
	buf_fini(&b);
	close(d->dirfd);
	free(d);
	return result;
}

/* ---- in ---- */

struct names {
	char **list;
	size_t n, room;
};

static int
by_name(const void *x, const void *y)
{
	char *const *a = x, *const *b = y;
	/* Behind cur/ or new/: they begin with when they came. */
	return strcmp(*a + 4, *b + 4);
}

static int
list_dir(int dirfd, const char *sub, struct names *names, struct err *err)
{
	int fd = openat(dirfd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL)
		return err_sys(err, "opening %s: is it a Maildir?", sub);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(sub) + strlen(e->d_name) + 2;

		if (e->d_name[0] == '.')
			continue;
		if (names->n == names->room) {
			names->room = names->room * 2 + 64;
			names->list = xreallocarray(names->list, names->room,
			    sizeof *names->list);
		}
		names->list[names->n] = xmalloc(len);
		snprintf(names->list[names->n++], len, "%s/%s", sub, e->d_name);
	}
	closedir(d);
	return 0;
}

/* Even a FIFO, which nobody need ever write to. */
static int
open_now(int dirfd, const char *path)
{
	return openat(dirfd, path,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* "0 $Forwarded": index and name, a line each. */
static void
read_keywords(int dirfd, struct arena *a, const char *keywords[LETTERS])
{
	int fd = open_now(dirfd, "dovecot-keywords");
	uint8_t *octets;
	ssize_t n;
	struct slice s;

	if (fd == -1)
		return;
	octets = arena_alloc(a, KEYWORDS_FILE_MAX);
	n = read(fd, octets, KEYWORDS_FILE_MAX);
	close(fd);
	s = slice_of(octets, n > 0 ? (size_t)n : 0);
	while (s.len > 0) {
		size_t end = slice_find(s, '\n');
		struct slice line = slice_first(s, end);
		size_t space = slice_find(line, ' ');
		uint64_t i;

		if (space < line.len &&
		    ascii_number(slice_first(line, space), LETTERS - 1, &i) &&
		    flag_is_keyword(slice_skip(line, space + 1)))
			keywords[i] =
			    arena_string(a, slice_skip(line, space + 1));
		s = slice_skip(s, end < s.len ? end + 1 : end);
	}
}

struct reading {
	int dirfd;
	uint64_t most;
	const char *keywords[LETTERS];
	const char *found[LETTERS]; /* of a message */
};

static void
read_flags(struct reading *r, const char *name, struct adm_message *m)
{
	const char *info = strstr(name, ":2,");

	m->keywords = r->found;
	if (info == NULL)
		return;
	for (const char *p = info + 3; *p != '\0' && *p != ','; p++) {
		for (size_t i = 0; i < NITEMS(letters); i++)
			if (*p == letters[i].letter)
				m->flags |= letters[i].flag;
		if (*p >= 'a' && *p <= 'z' && r->keywords[*p - 'a'] != NULL &&
		    m->nkeywords < LETTERS)
			r->found[m->nkeywords++] = r->keywords[*p - 'a'];
	}
}

static int
read_octets(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = read(fd, p, n);

		if (r == -1 && errno != EINTR)
			return -1;
		if (r == 0) {
			errno = EIO; /* it got shorter meanwhile */
			return -1;
		}
		p += r > 0 ? r : 0;
		n -= r > 0 ? (size_t)r : 0;
	}
	return 0;
}

/* 1: go on; 0: enough; -1. */
static int
read_one(struct reading *r, const char *path, adm_take *take, void *arg,
    struct err *err)
{
	struct adm_message m = { .flags = 0 };
	int fd = open_now(r->dirfd, path), result = -1;
	uint8_t *octets = NULL;
	struct stat st;

	if (fd == -1 && errno == ENOENT)
		return 1; /* somebody has renamed it */
	if (fd == -1 || fstat(fd, &st) == -1) {
		err_sys(err, "opening %s", path);
	} else if (!S_ISREG(st.st_mode)) {
		result = 1;
	} else if ((uint64_t)st.st_size > r->most) {
		err_set(err, "%s: longer than max_message", path);
	} else {
		octets = xmalloc((size_t)st.st_size + 1);
		result = read_octets(fd, octets, (size_t)st.st_size) == -1
		             ? err_sys(err, "reading %s", path)
		             : 1;
		m.octets = slice_of(octets, (size_t)st.st_size);
		m.internaldate = st.st_mtime;
		read_flags(r, path, &m);
	}
	if (octets != NULL && result == 1 && !take(arg, &m))
		result = 0;
	if (fd != -1)
		close(fd);
	free(octets);
	return result;
}

int
adm_maildir_each(const char *dir, uint64_t most, adm_take *take, void *arg,
    struct err *err)
{
	struct reading r = { .most = most,
		.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	struct names names = { .n = 0 };
	struct arena a;
	int more = 1;

	if (r.dirfd == -1)
		return err_sys(err, "opening %s", dir);
	arena_init(&a);
	read_keywords(r.dirfd, &a, r.keywords);
	if (list_dir(r.dirfd, "new", &names, err) == -1 ||
	    list_dir(r.dirfd, "cur", &names, err) == -1)
		more = -1;
	if (names.n > 1)
		qsort(names.list, names.n, sizeof *names.list, by_name);
	for (size_t i = 0; i < names.n; i++) {
		if (more == 1)
			more = read_one(&r, names.list[i], take, arg, err);
		free(names.list[i]);
	}
	free(names.list);
	arena_reset(&a);
	close(r.dirfd);
	return more == -1 ? -1 : 0;
}
