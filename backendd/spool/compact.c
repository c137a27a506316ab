#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
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

int
compact_replace(int dirfd, const char *id, const void *slots, size_t n,
    struct err *err)
{
	char path[SPOOL_PATH], fresh[SPOOL_PATH];

	spool_path(path, id, SPOOL_INDEX, 0);
	spool_path(fresh, id, SPOOL_FRESH, 0);
	if (unlinkat(dirfd, fresh, 0) == -1 && errno != ENOENT)
		return err_sys(err, "removing %s", fresh);
	if (compact_write(dirfd, fresh, slots, n * SPOOL_SLOT, 0, err) == -1)
		return -1;
	if (renameat(dirfd, fresh, dirfd, path) == -1)
		return err_sys(err, "renaming %s", fresh);
	return 0;
}

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
	spool_header_seal(&h);
	memcpy(slots, &h, sizeof h);
	spool_path(path, c->id, SPOOL_EXPUNGED, 0);
	if (compact_write(c->dirfd, path, d->gone, d->ngone * sizeof *d->gone,
	        old->nexpunged * sizeof *d->gone, err) == -1)
		return -1;
	return compact_replace(c->dirfd, c->id, slots, (size_t)d->nkept + 1,
	    err);
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
