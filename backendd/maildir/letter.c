/*
 * Messages as files: most programs keep LF where mail has CRLF, and so does
 * this for all that comes out as it went in.  What would not (a bare LF, a
 * CR before a CRLF) is kept octet for octet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	PIECE = 64 * 1024
};

/*
 * Only a file: who may write to the directory need not be allowed to read what
 * a link is to, and to open a FIFO could take for ever.
 */
static int
open_file(int dirfd, const char *path)
{
	int fd = openat(dirfd, path,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	if (fd == -1 && (errno == ELOOP || errno == ENXIO))
		errno = ENOENT;
	return fd;
}

int
md_open(int dirfd, const char *name, uint64_t letters, char path[MD_FILE])
{
	int fd;

	/* It may be renamed meanwhile, once and perhaps twice. */
	for (int i = 0; i < 3; i++) {
		md_file(path, name, letters);
		fd = open_file(dirfd, path);
		if (fd != -1 || errno != ENOENT)
			return fd;
		if (!md_locate(dirfd, name, path)) {
			errno = ENOENT;
			continue;
		}
		fd = open_file(dirfd, path);
		if (fd != -1 || errno != ENOENT)
			return fd;
	}
	return -1;
}

static ssize_t
read_some(int fd, void *p, size_t n, uint64_t at)
{
	ssize_t got;

	do
		got = pread(fd, p, n, (off_t)at);
	while (got == -1 && errno == EINTR);
	return got;
}

static int
read_raw(int fd, uint64_t offset, size_t len, uint8_t *out, size_t *got,
    struct err *err)
{
	while (*got < len) {
		ssize_t n =
		    read_some(fd, out + *got, len - *got, offset + *got);

		if (n == -1)
			return err_sys(err, "reading");
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return 0;
}

/* Octets as they are served, one after another. */
struct serving {
	uint64_t at, offset; /* of what is served; where out begins */
	size_t len, got;
	uint8_t *out;
};

static void
serve(struct serving *s, uint8_t c)
{
	if (s->at++ >= s->offset && s->got < s->len)
		s->out[s->got++] = c;
}

static int
read_lines(int fd, struct serving *s, struct md_finger *f, struct err *err)
{
	uint8_t *piece = xmalloc(PIECE), last = f->last;
	uint64_t at = f->file;
	ssize_t n = 1;

	s->at = f->served;
	while (s->got < s->len && n > 0) {
		*f = (struct md_finger){ at, s->at, last };
		n = read_some(fd, piece, PIECE, at);
		if (n == -1)
			err_sys(err, "reading");
		for (ssize_t i = 0; i < n; i++) {
			if (piece[i] == '\n' && last != '\r')
				serve(s, '\r');
			serve(s, last = piece[i]);
		}
		at += (uint64_t)(n > 0 ? n : 0);
	}
	free(piece);
	return n == -1 ? -1 : 0;
}

int
md_read(int fd, bool raw, struct md_finger *finger, uint64_t offset, size_t len,
    uint8_t *out, size_t *got, struct err *err)
{
	struct serving s = { .offset = offset, .len = len, .out = out };
	int result;

	*got = 0;
	if (raw)
		return read_raw(fd, offset, len, out, got, err);
	if (finger->served > offset)
		*finger = (struct md_finger){ 0 };
	result = read_lines(fd, &s, finger, err);
	*got = s.got;
	return result;
}

int
md_measure(int fd, uint64_t *file, uint64_t *size, struct err *err)
{
	uint8_t *piece = xmalloc(PIECE), last = 0;
	ssize_t n;

	*file = *size = 0;
	while ((n = read_some(fd, piece, PIECE, *file)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			*size += piece[i] == '\n' && last != '\r';
			last = piece[i];
		}
		*file += (uint64_t)n;
		*size += (uint64_t)n;
	}
	free(piece);
	return n == -1 ? err_sys(err, "reading") : 0;
}

/* ---- writing ---- */

/* Octets without the CRs of CRLFs; those.len is SIZE_MAX if that cannot be. */
static uint8_t *
without_cr(struct slice s, size_t *len)
{
	uint8_t *out = xmalloc(s.len + 1);

	*len = 0;
	for (size_t i = 0; i < s.len; i++) {
		bool ends =
		    s.ptr[i] == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n';

		if (s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r'))
			break;
		if (ends && i > 0 && s.ptr[i - 1] == '\r')
			break;
		if (!ends)
			out[(*len)++] = s.ptr[i];
		if (i + 1 == s.len)
			return out;
	}
	if (s.len == 0)
		return out;
	free(out);
	return NULL;
}

void
md_make_name(char name[MD_NAME + 1], int64_t now)
{
	char host[65] = "localhost";

	gethostname(host, sizeof host - 1);
	for (char *p = host; *p != '\0'; p++)
		if (*p == '/' || *p == ':' || *p == ',')
			*p = '_';
	MUST(snprintf(name, MD_NAME + 1, "%lld.R%016llx.%s", (long long)now,
	         (unsigned long long)rand_u64(), host) <= MD_NAME);
}

static void
make_name(struct md_draft *d, int64_t now)
{
	char name[MD_NAME + 1];

	md_make_name(name, now);
	MUST(snprintf(d->name, sizeof d->name, "%s,S=%llu,W=%llu", name,
	         (unsigned long long)d->file,
	         (unsigned long long)d->size) < (int)sizeof d->name);
}

/* INTERNALDATE is the file's time, as with Dovecot. */
static int
finish_draft(int fd, int64_t internaldate, const char *path, struct err *err)
{
	const struct timespec times[2] = { { .tv_sec = internaldate },
		{ .tv_sec = internaldate } };

	if (futimens(fd, times) == -1)
		return err_sys(err, "the time of %s", path);
	return fsync(fd) == -1 ? err_sys(err, "syncing %s", path) : 0;
}

static int
begin_draft(int dirfd, const char *path, struct err *err)
{
	int fd =
	    openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd == -1 ? err_sys(err, "making %s", path) : fd;
}

/* result: so far.  What failed is not there. */
static int
end_draft(int fd, int dirfd, const char *path, int64_t internaldate, int result,
    struct err *err)
{
	if (result == 0)
		result = finish_draft(fd, internaldate, path, err);
	close(fd);
	if (result == -1)
		unlinkat(dirfd, path, 0);
	return result;
}

int
md_write_draft(int dirfd, struct slice octets, int64_t internaldate,
    int64_t now, struct md_draft *d, struct err *err)
{
	size_t len = 0;
	uint8_t *shorter = without_cr(octets, &len);
	char path[MD_FILE];
	int fd, result;

	d->size = octets.len;
	if (shorter != NULL)
		octets = slice_of(shorter, len);
	d->file = octets.len;
	make_name(d, now);
	md_file_in(path, "tmp", d->name);
	result = fd = begin_draft(dirfd, path, err);
	if (fd != -1) {
		result = md_write(fd, octets, 0, err);
		result = end_draft(fd, dirfd, path, internaldate, result, err);
	}
	free(shorter);
	return result;
}

/* Another date means another file. */
static int
copy_draft(int from, int dirfd, int64_t internaldate, const char *path,
    struct err *err)
{
	uint8_t *piece;
	uint64_t at = 0;
	int fd = begin_draft(dirfd, path, err), result = 0;
	ssize_t n = 1;

	if (fd == -1)
		return -1;
	piece = xmalloc(PIECE);
	while (result == 0 && n > 0) {
		n = read_some(from, piece, PIECE, at);
		if (n == -1)
			result = err_sys(err, "reading");
		else
			result =
			    md_write(fd, slice_of(piece, (size_t)n), at, err);
		at += n > 0 ? (uint64_t)n : 0;
	}
	free(piece);
	return end_draft(fd, dirfd, path, internaldate, result, err);
}

int
md_link_draft(int fromfd, const char *name, uint64_t letters, int dirfd,
    int64_t internaldate, int64_t now, struct md_draft *d, struct err *err)
{
	char from[MD_FILE], path[MD_FILE];
	int fd = md_open(fromfd, name, letters, from), result;
	struct stat st;

	if (fd == -1 && errno == ENOENT)
		return 1;
	if (fd == -1 || fstat(fd, &st) == -1) {
		err_sys(err, "opening %s", from);
		if (fd != -1)
			close(fd);
		return -1;
	}
	make_name(d, now);
	md_file_in(path, "tmp", d->name);
	if (st.st_mtim.tv_sec == internaldate &&
	    linkat(fromfd, from, dirfd, path, 0) == 0)
		result = fsync(fd) == -1 ? err_sys(err, "syncing %s", from) : 0;
	else
		result = copy_draft(fd, dirfd, internaldate, path, err);
	close(fd);
	return result;
}
