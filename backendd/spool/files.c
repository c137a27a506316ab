#define _GNU_SOURCE /* sync_file_range(), syncfs() */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	NAMES_VERSION = 1,
	BLOCK = 4096, /* of a disk */
	INDEX_VERSION = 2
};

/* The hash only spreads: IDs are ours. */
void
spool_dir_path(char path[SPOOL_PATH], const char *id)
{
	uint32_t h = hash_crc32c(0, id, strlen(id));

	snprintf(path, SPOOL_PATH, "m/%02x/%02x/%s", h & 0xff, h >> 8 & 0xff,
	    id);
}

void
spool_path(char path[SPOOL_PATH], const char *id, enum spool_file file,
    uint32_t no)
{
	static const char *const names[] = { "/index", "/data", "/cache",
		"/names", "/expunged", "/index.new", "/dead" };
	size_t len;

	MUST(file < NITEMS(names));
	spool_dir_path(path, id);
	len = strlen(path);
	if (file == SPOOL_DATA)
		snprintf(path + len, SPOOL_PATH - len, "/data.%04u",
		    (unsigned)no);
	else
		snprintf(path + len, SPOOL_PATH - len, "%s", names[file]);
}

int
spool_write(int fd, const void *p, size_t n, uint64_t at, struct err *err)
{
	const uint8_t *from = p;

	while (n > 0) {
		ssize_t w = pwrite(fd, from, n, (off_t)at);

		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1)
			return err_sys(err, "writing");
		from += w;
		at += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

void
spool_write_early(int fd, uint64_t at, size_t n)
{
	(void)sync_file_range(fd, (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

int
spool_read(int fd, void *p, size_t n, uint64_t at, struct err *err)
{
	uint8_t *to = p;

	while (n > 0) {
		ssize_t r = pread(fd, to, n, (off_t)at);

		if (r == -1 && errno == EINTR)
			continue;
		if (r == -1)
			return err_sys(err, "reading");
		if (r == 0)
			return err_set(err, "file too short");
		to += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

int
spool_read_file(int dirfd, const char *path, size_t max, uint8_t **p, size_t *n,
    struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC), result = -1;
	struct stat st;

	*p = NULL;
	if (fd == -1)
		return err_sys(err, "opening %s", path);
	if (fstat(fd, &st) == -1) {
		err_sys(err, "%s", path);
	} else if (st.st_size > (off_t)max) {
		err_set(err, "%s is too long", path);
	} else {
		*n = (size_t)st.st_size;
		*p = xmalloc(*n + 1);
		result = spool_read(fd, *p, *n, 0, err);
	}
	close(fd);
	if (result == -1) {
		free(*p);
		*p = NULL;
	}
	return result;
}

int
spool_sync_disk(int dirfd, struct err *err)
{
	return syncfs(dirfd) == -1 ? err_sys(err, "syncing the disk") : 0;
}

int
spool_sync(int dirfd, const char *path, struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	int result = 0;

	if (fd == -1 && errno == ENOENT)
		return 0;
	/* Many connections may have taken all descriptors. */
	if (fd == -1)
		return spool_sync_disk(dirfd, err);
	if (fdatasync(fd) == -1)
		result = err_sys(err, "syncing %s", path);
	close(fd);
	return result;
}

int
spool_sync_dirs(int dirfd, const char *id, struct err *err)
{
	char path[SPOOL_PATH];
	char *slash;

	spool_dir_path(path, id);
	for (;;) {
		if (spool_sync(dirfd, path, err) == -1)
			return -1;
		slash = strrchr(path, '/');
		if (slash == NULL)
			return 0;
		*slash = '\0';
	}
}

int
spool_make_dirs(int dirfd, const char *id, struct err *err)
{
	char path[SPOOL_PATH];

	spool_dir_path(path, id);
	for (char *p = path; p != NULL;) {
		char *slash = strchr(p, '/');

		if (slash != NULL)
			*slash = '\0';
		if (mkdirat(dirfd, path, 0700) == -1 && errno != EEXIST)
			return err_sys(err, "making %s", path);
		if (slash != NULL)
			*slash++ = '/';
		p = slash;
	}
	return 0;
}

DIR *
spool_opendir(int dirfd, const char *path, struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);

	if (d == NULL)
		err_sys(err, "opening %s", path);
	if (d == NULL && fd != -1)
		close(fd);
	return d;
}

int
spool_remove(int top, const char *path, struct err *err)
{
	struct dirent *e;
	DIR *d;

	if (unlinkat(top, path, 0) == 0 || errno == ENOENT)
		return 0;
	d = spool_opendir(top, path, err);
	if (d == NULL)
		return -1;
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			/* What cannot be removed makes rmdir fail below. */
			(void)unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	if (unlinkat(top, path, AT_REMOVEDIR) == -1 && errno != ENOENT)
		return err_sys(err, "removing %s", path);
	return 0;
}

static uint32_t
header_crc(const struct spool_header *h)
{
	return hash_crc32c(0, &h->magic,
	    sizeof *h - offsetof(struct spool_header, magic));
}

void
spool_header_seal(struct spool_header *h)
{
	_Static_assert(sizeof *h == SPOOL_SLOT, "the header is a slot");
	h->magic = SPOOL_MAGIC;
	h->version = INDEX_VERSION;
	h->crc = header_crc(h);
}

bool
spool_header_good(const struct spool_header *h)
{
	return h->magic == SPOOL_MAGIC && h->version == INDEX_VERSION &&
	       h->crc == header_crc(h) && h->ndead <= h->nslots &&
	       h->exists == h->nslots - h->ndead;
}

/* The cache's place may change without the log: it is left out. */
static uint32_t
msg_crc(const struct store_msg *m)
{
	return hash_crc32c(0, &m->flags,
	    offsetof(struct store_msg, place[2]) -
	        offsetof(struct store_msg, flags));
}

void
spool_msg_seal(struct store_msg *m)
{
	_Static_assert(sizeof *m == SPOOL_SLOT, "a message is a slot");
	m->crc = msg_crc(m);
}

bool
spool_msg_good(const struct store_msg *m)
{
	return m->crc == msg_crc(m);
}

void
spool_expunged_seal(struct spool_expunged *x)
{
	x->crc = hash_crc32c(0, x, offsetof(struct spool_expunged, crc));
}

bool
spool_expunged_good(const struct spool_expunged *x)
{
	return x->crc ==
	       hash_crc32c(0, x, offsetof(struct spool_expunged, crc));
}

/* A keyword more, unless add is empty. */
struct store_names *
spool_names_new(char *const *keywords, unsigned n, struct slice add,
    struct slice meta)
{
	size_t size = sizeof(struct store_names) + (n + 1) * sizeof(char *) +
	              add.len + 1 + meta.len;
	struct store_names *names;
	char **list;
	char *p;

	MUST(n + (add.len > 0) <= STORE_KEYWORDS);
	for (unsigned i = 0; i < n; i++)
		size += strlen(keywords[i]) + 1;
	names = xcalloc(1, size);
	list = (char **)(void *)(names + 1); /* follows it, aligned as it */
	p = (char *)(list + n + 1);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(keywords[i]) + 1;

		list[i] = memcpy(p, keywords[i], len);
		p += len;
	}
	if (add.len > 0) {
		list[n++] = memcpy(p, add.ptr, add.len);
		p += add.len + 1; /* zeroed */
	}
	if (meta.len > 0)
		memcpy(p, meta.ptr, meta.len);
	names->meta = slice_of(p, meta.len);
	names->keywords = list;
	names->nkeywords = n;
	return names;
}

void
spool_names_put(struct buf *b, const struct store_names *names)
{
	size_t start = buf_len(b);

	wire_put_u8(b, NAMES_VERSION);
	wire_put_u16(b, (uint16_t)names->nkeywords);
	for (unsigned i = 0; i < names->nkeywords; i++)
		wire_put_str(b, names->keywords[i]);
	wire_put_slice(b, names->meta);
	wire_put_u32(b,
	    hash_crc32c(0, buf_data(b) + start, buf_len(b) - start));
}

/* What s begins with. */
static struct store_names *
names_get(struct slice s)
{
	struct store_names *names = NULL;
	char *keywords[STORE_KEYWORDS];
	unsigned n = 0, count = 0;
	struct slice meta;
	struct wire w;
	size_t len;

	wire_init(&w, s);
	if (wire_u8(&w) == NAMES_VERSION)
		count = wire_u16(&w);
	for (; n < count && n < STORE_KEYWORDS && !w.failed; n++) {
		struct slice k = wire_slice(&w);

		keywords[n] = xstrndup(k.ptr, k.len);
	}
	meta = wire_slice(&w);
	len = s.len - w.rest.len;
	if (wire_u32(&w) == hash_crc32c(0, s.ptr, len) && !w.failed &&
	    n == count)
		names = spool_names_new(keywords, n, slice_of(NULL, 0), meta);
	while (n > 0)
		free(keywords[--n]);
	return names;
}

uint64_t
spool_names_second(size_t len)
{
	return ((uint64_t)len + BLOCK - 1) / BLOCK * BLOCK;
}

void
spool_names_put_file(struct buf *b, const struct store_names *names)
{
	static const uint8_t zeros[BLOCK];
	uint64_t second;

	MUST(buf_len(b) == 0);
	spool_names_put(b, names);
	second = spool_names_second(buf_len(b));
	buf_put(b, zeros, second - buf_len(b));
	spool_names_put(b, names);
}

/* If the first is damaged, so may be its length. */
struct store_names *
spool_names_get(struct slice s)
{
	struct store_names *names = names_get(s);

	for (size_t at = BLOCK; names == NULL && at < s.len; at += BLOCK)
		names = names_get(slice_skip(s, at));
	return names;
}
