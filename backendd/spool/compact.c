#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/xalloc.h"

/* Messages gone whose delivery may still be tried again keep their slots. */
static bool
stays(const struct compaction *c, const struct store_msg *m)
{
	static const uint8_t none[16];

	if ((m->flags & SPOOL_GONE) == 0)
		return true;
	return memcmp(m->key, none, 16) != 0 && m->added >= c->keys_since;
}

static int
write_new(const struct compaction *c, const char *path, const void *p, size_t n,
    uint64_t at, struct err *err)
{
	int fd = openat(c->dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int result;

	if (fd == -1)
		return err_sys(err, "making %s", path);
	result = spool_write(fd, p, n, at, err);
	if (result == 0 && fdatasync(fd) == -1)
		result = err_sys(err, "syncing %s", path);
	close(fd);
	return result;
}

/* Sorts the slots into the new index and the list of what has gone. */
static void
divide(const struct compaction *c, struct spool_header *h,
    const struct store_msg *slots, struct store_msg *keep,
    struct spool_expunged *gone)
{
	uint32_t n = h->nslots, kept = 0, went = 0;

	for (uint32_t s = 0; s < n; s++)
		if (stays(c, &slots[s]))
			keep[kept++] = slots[s];
		else
			gone[went++] =
			    (struct spool_expunged){ .modseq = slots[s].modseq,
				    .uid = slots[s].uid };
	h->nslots = kept;
	h->ndead -= went;
	h->nexpunged += went;
	h->base = c->base;
	spool_header_seal(h);
}

int
compact_index(const struct compaction *c, const struct spool_header *old,
    const struct store_msg *slots, struct err *err)
{
	struct spool_header h = *old;
	/* The header goes into the first slot. */
	struct store_msg *keep = xcalloc((size_t)h.nslots + 1, sizeof *keep);
	struct spool_expunged *gone =
	    xcalloc((size_t)h.nslots + 1, sizeof *gone);
	char path[SPOOL_PATH], fresh[SPOOL_PATH];
	int result = -1;

	divide(c, &h, slots, keep + 1, gone);
	memcpy(keep, &h, sizeof h);
	spool_path(path, c->id, SPOOL_EXPUNGED, 0);
	if (write_new(c, path, gone,
	        (size_t)(h.nexpunged - old->nexpunged) * sizeof *gone,
	        old->nexpunged * sizeof *gone, err) == -1)
		goto out;
	spool_path(path, c->id, SPOOL_INDEX, 0);
	spool_path(fresh, c->id, SPOOL_FRESH, 0);
	if (unlinkat(c->dirfd, fresh, 0) == -1 && errno != ENOENT) {
		err_sys(err, "removing %s", fresh);
		goto out;
	}
	if (write_new(c, fresh, keep, ((size_t)h.nslots + 1) * SPOOL_SLOT, 0,
	        err) == -1)
		goto out;
	result = renameat(c->dirfd, fresh, c->dirfd, path);
	if (result == -1)
		err_sys(err, "renaming %s", fresh);
out:
	free(keep);
	free(gone);
	return result;
}
