#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/*
 * Messages gone whose delivery may still be tried again keep their slots, and
 * so do those that may be brought back.
 */
static bool
stays(const struct compaction *c, const struct store_msg *m)
{
	static const uint8_t none[16];

	if ((m->flags & SPOOL_GONE) == 0 || scan_is_held(m, c->held_since))
		return true;
	return memcmp(m->key, none, 16) != 0 && m->added >= c->keys_since;
}

int
compact_write(int dirfd, const char *path, const void *p, size_t n, uint64_t at,
    struct err *err)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int result;

	if (fd == -1)
		return err_sys(err, "making %s", path);
	result = spool_write(fd, p, n, at, err);
	if (result == 0 && fdatasync(fd) == -1)
		result = err_sys(err, "syncing %s", path);
	close(fd);
	return result;
}

/* index.new, with its slots behind the header. */
static int
write_fresh(int dirfd, const char *id, const void *slots, size_t n,
    struct err *err)
{
	char fresh[SPOOL_PATH], dead[SPOOL_PATH];

	spool_path(fresh, id, SPOOL_FRESH, 0);
	if (unlinkat(dirfd, fresh, 0) == -1 && errno != ENOENT)
		return err_sys(err, "removing %s", fresh);
	/* Slots are others then; before the sync of what they are. */
	spool_path(dead, id, SPOOL_DEAD, 0);
	if (unlinkat(dirfd, dead, 0) == -1 && errno != ENOENT)
		return err_sys(err, "removing %s", dead);
	return compact_write(dirfd, fresh, slots, n * SPOOL_SLOT, 0, err);
}

static int
name_fresh(int dirfd, const char *id, struct err *err)
{
	char path[SPOOL_PATH], fresh[SPOOL_PATH];

	spool_path(path, id, SPOOL_INDEX, 0);
	spool_path(fresh, id, SPOOL_FRESH, 0);
	if (renameat(dirfd, fresh, dirfd, path) == -1)
		return err_sys(err, "renaming %s", fresh);
	return 0;
}

int
compact_replace(int dirfd, const char *id, const void *slots, size_t n,
    struct err *err)
{
	if (write_fresh(dirfd, id, slots, n, err) == -1)
		return -1;
	return name_fresh(dirfd, id, err);
}

/* ---- the cache ---- */

enum {
	FRESH_ROOM = SPOOL_PATH + 4,
	CACHE_WRITE = 256 * 1024 /* octets written at once, about */
};

struct cache_copy {
	const struct compaction *compaction;
	int from, to;
	uint8_t *area;
	struct buf records; /* not written yet */
	uint64_t at;        /* where they go */
};

static void
cache_paths(const struct compaction *c, char path[SPOOL_PATH],
    char fresh[FRESH_ROOM])
{
	spool_path(path, c->id, SPOOL_CACHE, 0);
	snprintf(fresh, FRESH_ROOM, "%s.new", path);
}

static int
write_records(struct cache_copy *cc, struct err *err)
{
	size_t n = buf_len(&cc->records);

	MUST(!buf_failed(&cc->records));
	if (spool_write(cc->to, buf_data(&cc->records), n, cc->at, err) == -1)
		return -1;
	cc->at += n;
	buf_clear(&cc->records);
	return 0;
}

/* m gets its new place; none if its record is not whole. */
static int
copy_record(struct cache_copy *cc, struct store_msg *m, struct err *err)
{
	static const uint8_t zeros[8];
	struct spool_place p;
	uint64_t at = cc->at + buf_len(&cc->records);
	size_t len = 0, room;

	spool_place_of(&p, cc->compaction->id, m);
	if ((m->flags & SPOOL_GONE) == 0 && p.cache_len > 0 &&
	    p.cache_len <= STORE_CACHE_MAX)
		len = spool_cache_read(cc->from, &p, cc->area);
	m->place[2] = len == 0 ? 0 : spool_cache_place(at, len);
	if (len == 0)
		return 0;
	room = (size_t)spool_cache_room(m);
	len += SPOOL_CACHE_HEAD;
	buf_put(&cc->records, cc->area, len);
	buf_put(&cc->records, zeros, room - len);
	return buf_len(&cc->records) < CACHE_WRITE ? 0 : write_records(cc, err);
}

static int
copy_records(struct cache_copy *cc, struct store_msg *slots, uint32_t n,
    struct err *err)
{
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < n; i++)
		result = copy_record(cc, &slots[i], err);
	if (result == 0)
		result = write_records(cc, err);
	if (result == 0 && fdatasync(cc->to) == -1)
		result = err_sys(err, "syncing the cache");
	return result;
}

/* cache.new; *end is where it ends. */
static int
copy_cache(const struct compaction *c, struct store_msg *slots, uint32_t n,
    uint64_t *end, struct err *err)
{
	struct cache_copy cc = { .compaction = c };
	char path[SPOOL_PATH], fresh[FRESH_ROOM];
	int result = -1;

	cache_paths(c, path, fresh);
	cc.from = openat(c->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (cc.from == -1)
		return err_sys(err, "opening %s", path);
	cc.to = openat(c->dirfd, fresh,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (cc.to == -1) {
		close(cc.from);
		return err_sys(err, "making %s", fresh);
	}
	cc.area = xmalloc(SPOOL_CACHE_HEAD + STORE_CACHE_MAX);
	buf_init(&cc.records,
	    CACHE_WRITE + SPOOL_CACHE_HEAD + STORE_CACHE_MAX + 8);
	result = copy_records(&cc, slots, n, err);
	*end = cc.at;
	buf_fini(&cc.records);
	free(cc.area);
	close(cc.from);
	close(cc.to);
	return result;
}

static int
name_cache(const struct compaction *c, struct err *err)
{
	char path[SPOOL_PATH], fresh[FRESH_ROOM];

	cache_paths(c, path, fresh);
	if (renameat(c->dirfd, fresh, c->dirfd, path) == -1)
		return err_sys(err, "renaming %s", fresh);
	return 0;
}

/* ---- the index ---- */

/* The slots sorted into the new index and the list of what has gone. */
struct division {
	const struct compaction *compaction;
	struct store_msg *keep;
	struct spool_expunged *gone;
	uint32_t nkept, ngone;
};

static int
divide(void *arg, uint32_t s, const struct store_msg *m, struct err *err)
{
	struct division *d = arg;
	struct spool_expunged *x;

	(void)s, (void)err;
	if (stays(d->compaction, m)) {
		d->keep[d->nkept++] = *m;
		return 0;
	}
	x = &d->gone[d->ngone++];
	*x = (struct spool_expunged){ .modseq = m->modseq, .uid = m->uid };
	spool_expunged_seal(x);
	return 0;
}

static int
write_both(const struct compaction *c, const struct spool_header *old,
    struct store_msg *slots, const struct division *d, struct err *err)
{
	struct spool_header h = *old;
	char path[SPOOL_PATH];

	h.nslots = d->nkept;
	h.ndead -= d->ngone;
	h.nexpunged += d->ngone;
	h.base = c->base;
	if (c->cache) {
		h.cache_dead = 0;
		if (copy_cache(c, slots + 1, d->nkept, &h.cache_end, err) == -1)
			return -1;
	}
	spool_header_seal(&h);
	memcpy(slots, &h, sizeof h);
	spool_path(path, c->id, SPOOL_EXPUNGED, 0);
	if (compact_write(c->dirfd, path, d->gone, d->ngone * sizeof *d->gone,
	        old->nexpunged * sizeof *d->gone, err) == -1)
		return -1;
	if (write_fresh(c->dirfd, c->id, slots, (size_t)d->nkept + 1, err) ==
	        -1 ||
	    (c->cache && name_cache(c, err) == -1))
		return -1;
	return name_fresh(c->dirfd, c->id, err);
}

int
compact_index(const struct compaction *c, const struct spool_header *old,
    int fd, struct err *err)
{
	/* The header goes into the first slot. */
	struct store_msg *slots =
	    xcalloc((size_t)old->nslots + 1, sizeof *slots);
	struct division d = { .compaction = c,
		.keep = slots + 1,
		.gone = xcalloc((size_t)old->nslots + 1, sizeof *d.gone) };
	int result = scan_index(fd, old, divide, &d, err);

	if (result == 0 && d.ngone >= c->least)
		result = write_both(c, old, slots, &d, err) == -1 ? -1 : 1;
	free(slots);
	free(d.gone);
	return result;
}
