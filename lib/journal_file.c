#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/hash.h"
#include "lib/journal_file.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

static const char magic[8] = { 'm', 'u', 'r', 'd', 'e', 'r', 'J', '1' };

enum { /* offsets in a header, in a record's head */
	HEADER_FIRST = 8,
	HEADER_PREV = 16,
	HEADER_SALT = 24,
	HEADER_CRC = 28,
	HEAD_SIZE = 0,
	HEAD_NUMBER = 4,
	HEAD_PREV = 12,
	HEAD_DURABLE = 20,
	HEAD_CRC = 28,
	HEAD_HEADCRC = 32
};

enum {
	AHEAD = 256 * 1024, /* of room: for some hundred records */
	SMALL = 32 * 1024   /* a batch for which zeros are worth writing */
};

struct head {
	uint32_t size, crc;
	uint64_t number, prev, durable;
};

static void
put_number(uint8_t *p, uint64_t v, size_t octets)
{
	for (size_t i = octets; i > 0; i--) {
		p[i - 1] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t
get_number(const uint8_t *p, size_t octets)
{
	uint64_t v = 0;

	for (size_t i = 0; i < octets; i++)
		v = v << 8 | p[i];
	return v;
}

void
journal_file_name(char name[JOURNAL_NAME_MAX], uint64_t first)
{
	snprintf(name, JOURNAL_NAME_MAX, "%016" PRIx64, first);
}

static int
write_all(int fd, const uint8_t *p, size_t n, uint64_t at, struct err *err)
{
	ssize_t done;

	while (n > 0) {
		done = pwrite(fd, p, n, (off_t)at);
		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return err_sys(err, "writing");
		p += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
	return 0;
}

/* Durable, but for the file's name. */
static int
header_write(struct journal_file *f, uint64_t first, uint64_t prev,
    struct err *err)
{
	uint8_t h[JOURNAL_HEADER];

	memcpy(h, magic, sizeof(magic));
	put_number(h + HEADER_FIRST, first, 8);
	put_number(h + HEADER_PREV, prev, 8);
	put_number(h + HEADER_SALT, f->salt, 4);
	put_number(h + HEADER_CRC, hash_crc32c(0, h, HEADER_CRC), 4);
	if (write_all(f->fd, h, sizeof(h), 0, err) == -1)
		return -1;
	return fdatasync(f->fd) == -1 ? err_sys(err, "syncing") : 0;
}

static int
name_sync(int dirfd, struct err *err)
{
	return fsync(dirfd) == -1 ? err_sys(err, "syncing the directory") : 0;
}

int
journal_file_create(struct journal_file *f, int dirfd, uint64_t first,
    uint64_t prev, struct err *err)
{
	char name[JOURNAL_NAME_MAX];

	MUST(first > prev);
	journal_file_name(name, first);
	f->salt = (uint32_t)rand_u64();
	f->end = f->room = JOURNAL_HEADER;
	/* One may be there that never came to hold a record. */
	f->fd =
	    openat(dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (f->fd == -1)
		return err_sys(err, "making %s", name);
	if (header_write(f, first, prev, err) == 0 &&
	    name_sync(dirfd, err) == 0)
		return 0;
	journal_file_close(f);
	unlinkat(dirfd, name, 0); /* if it stays, it holds no record */
	return err_add(err, "making %s", name);
}

static int
size_of(int fd, uint64_t *size, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_sys(err, "stat");
	*size = (uint64_t)st.st_size;
	return 0;
}

/* Its header is that of the new file before it has the new file's name. */
int
journal_file_reuse(struct journal_file *f, int dirfd, const char *old,
    uint64_t first, uint64_t prev, struct err *err)
{
	char name[JOURNAL_NAME_MAX];

	MUST(first > prev);
	journal_file_name(name, first);
	f->salt = (uint32_t)rand_u64();
	f->end = f->room = JOURNAL_HEADER;
	f->fd = openat(dirfd, old, O_RDWR | O_CLOEXEC);
	if (f->fd == -1)
		return err_sys(err, "opening %s", old);
	if (size_of(f->fd, &f->room, err) == 0 &&
	    header_write(f, first, prev, err) == 0) {
		if (renameat(dirfd, old, dirfd, name) == -1)
			err_sys(err, "renaming");
		else if (name_sync(dirfd, err) == 0)
			return 0;
		else
			unlinkat(dirfd, name, 0);
	}
	journal_file_close(f);
	unlinkat(dirfd, old, 0);
	return err_add(err, "making %s of %s", name, old);
}

void
journal_record_head(uint8_t head[JOURNAL_RECORD], size_t size, uint64_t number,
    uint64_t prev)
{
	MUST(size <= UINT32_MAX && number > prev);
	memset(head, 0, JOURNAL_RECORD);
	put_number(head + HEAD_SIZE, size, 4);
	put_number(head + HEAD_NUMBER, number, 8);
	put_number(head + HEAD_PREV, prev, 8);
}

static void
head_complete(uint8_t *p, size_t size, uint64_t durable, uint32_t salt)
{
	put_number(p + HEAD_DURABLE, durable, 8);
	put_number(p + HEAD_CRC, hash_crc32c(salt, p + JOURNAL_RECORD, size),
	    4);
	put_number(p + HEAD_HEADCRC, hash_crc32c(salt, p, HEAD_HEADCRC), 4);
}

/*
 * Blocks that have been written before: then a sync writes octets and nothing
 * about the file, which takes half the time or so.
 */
static int
write_zeros(struct journal_file *f, uint64_t upto)
{
	static const uint8_t zeros[16 * 1024];
	struct err err;

	for (uint64_t at = f->end; at < upto; at += sizeof(zeros)) {
		size_t n = sizeof(zeros);

		if (n > upto - at)
			n = (size_t)(upto - at);
		if (write_all(f->fd, zeros, n, at, &err) == -1)
			return -1;
	}
	return 0;
}

/* A disk that has no such thing, or no such place, may do for the octets. */
static void
make_room(struct journal_file *f, size_t len)
{
	uint64_t upto = f->end + len;

	if (upto <= f->room)
		return;
	upto += AHEAD - upto % AHEAD;
	if ((len <= SMALL && write_zeros(f, upto) == 0) ||
	    posix_fallocate(f->fd, (off_t)f->end, (off_t)(upto - f->end)) == 0)
		f->room = upto;
}

/* What is behind the durable octets goes, if the disk lets it. */
static void
trim(struct journal_file *f)
{
	if (ftruncate(f->fd, (off_t)f->end) == 0)
		f->room = f->end;
}

int
journal_file_append(struct journal_file *f, uint8_t *batch, size_t len,
    uint64_t durable, struct err *err)
{
	size_t at = 0, size;

	while (at < len) {
		size = (size_t)get_number(batch + at + HEAD_SIZE, 4);
		MUST(len - at >= JOURNAL_RECORD &&
		     len - at - JOURNAL_RECORD >= size);
		head_complete(batch + at, size, durable, f->salt);
		at += JOURNAL_RECORD + size;
	}
	make_room(f, len);
	if (write_all(f->fd, batch, len, f->end, err) == 0) {
		if (fdatasync(f->fd) == 0) {
			f->end += len;
			return 0;
		}
		err_sys(err, "syncing");
	}
	/*
	 * Its owners are about to be told that it is not there.  If this
	 * fails too there is nothing left to try but journal_file_cut().
	 */
	trim(f);
	return -1;
}

int
journal_file_cut(struct journal_file *f, struct err *err)
{
	f->room = f->end;
	if (ftruncate(f->fd, (off_t)f->end) == -1)
		return err_sys(err, "truncating");
	if (fdatasync(f->fd) == -1)
		return err_sys(err, "syncing");
	return 0;
}

void
journal_file_close(struct journal_file *f)
{
	if (f->fd == -1)
		return;
	if (f->room > f->end)
		trim(f);
	close(f->fd);
	f->fd = -1;
}

static int
read_all(struct journal_text *t, int fd, size_t most, struct err *err)
{
	struct stat st;
	ssize_t n;
	size_t size;

	if (fstat(fd, &st) == -1)
		return err_sys(err, "stat");
	size = (uint64_t)st.st_size < most ? (size_t)st.st_size : most;
	t->octets = xmalloc(size + 1);
	while (t->len < size) {
		n = pread(fd, t->octets + t->len, size - t->len, (off_t)t->len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_sys(err, "reading");
		if (n == 0)
			return err_set(err, "reading: it shrinks");
		t->len += (size_t)n;
	}
	return 0;
}

static void
header_parse(struct journal_text *t)
{
	const uint8_t *h = t->octets;

	if (t->len < JOURNAL_HEADER || memcmp(h, magic, sizeof(magic)) != 0 ||
	    get_number(h + HEADER_CRC, 4) != hash_crc32c(0, h, HEADER_CRC))
		return;
	t->whole_header = true;
	t->first = get_number(h + HEADER_FIRST, 8);
	t->prev = get_number(h + HEADER_PREV, 8);
	t->salt = (uint32_t)get_number(h + HEADER_SALT, 4);
}

int
journal_text_read(struct journal_text *t, int dirfd, const char *name,
    size_t most, struct err *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC), r;

	*t = (struct journal_text){ .octets = NULL };
	if (fd == -1)
		return err_sys(err, "opening %s", name);
	r = read_all(t, fd, most, err);
	close(fd);
	if (r == -1) {
		free(t->octets);
		*t = (struct journal_text){ .octets = NULL };
		return err_add(err, "%s", name);
	}
	header_parse(t);
	return 0;
}

void
journal_scan_init(struct journal_scan *s, const struct journal_text *t)
{
	MUST(t->whole_header);
	*s = (struct journal_scan){ t, JOURNAL_HEADER, t->prev };
}

/* Is there the head of a record, whatever may be behind it? */
static bool
head_parse(const struct journal_text *t, size_t at, struct head *h)
{
	const uint8_t *p = t->octets + at;

	if (t->len - at < JOURNAL_RECORD)
		return false;
	h->size = (uint32_t)get_number(p + HEAD_SIZE, 4);
	h->number = get_number(p + HEAD_NUMBER, 8);
	h->prev = get_number(p + HEAD_PREV, 8);
	h->durable = get_number(p + HEAD_DURABLE, 8);
	h->crc = (uint32_t)get_number(p + HEAD_CRC, 4);
	/* Cheap things first: a search asks this at every octet. */
	return h->number > h->prev && h->prev >= h->durable &&
	       get_number(p + HEAD_HEADCRC, 4) ==
	           hash_crc32c(t->salt, p, HEAD_HEADCRC);
}

bool
journal_scan_next(struct journal_scan *s, uint64_t *number,
    struct slice *record)
{
	const struct journal_text *t = s->text;
	const uint8_t *octets;
	struct head h;

	if (!head_parse(t, s->at, &h) || h.prev != s->last ||
	    h.size > t->len - s->at - JOURNAL_RECORD)
		return false;
	octets = t->octets + s->at + JOURNAL_RECORD;
	if (hash_crc32c(t->salt, octets, h.size) != h.crc)
		return false;
	*number = h.number;
	*record = slice_of(octets, h.size);
	s->at += JOURNAL_RECORD + h.size;
	s->last = h.number;
	return true;
}

/* Without the zeros at its end; every record's head has another octet. */
static size_t
text_end(const struct journal_text *t)
{
	size_t end = t->len;

	while (end > 0 && t->octets[end - 1] == 0)
		end--;
	return end;
}

/*
 * Might it be a head that calls records durable which are not here?  In a file
 * that is written again there may be much behind the last record that is none:
 * numbers that no record will have are passed over before any checksum.
 */
static bool
might_prove(const struct journal_scan *s, const uint8_t *p)
{
	uint64_t durable;

	if (p[HEAD_DURABLE] != 0)
		return false;
	durable = get_number(p + HEAD_DURABLE, 8);
	return durable > s->last && durable - s->last <= UINT32_MAX;
}

bool
journal_scan_damaged(const struct journal_scan *s)
{
	const struct journal_text *t = s->text;
	size_t end = text_end(t);
	struct head h;

	for (size_t at = s->at; at < end && t->len - at >= JOURNAL_RECORD; at++)
		if (might_prove(s, t->octets + at) && head_parse(t, at, &h))
			return true;
	return false;
}
