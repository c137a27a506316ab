#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/hash.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	NUMBER_OCTETS = 16,
	OLD_OCTETS = 12, /* without a UIDVALIDITY */
	SHORT_PART = 4,  /* of the ballast: the log, when the disk is full */
	AGAIN_MS = 1000  /* after one that found no room for its number */
};

struct dirty *
dirty_mark(struct spool *sp, const char *id)
{
	struct dirty *d = map_find(&sp->dirty, slice_str(id));

	if (d == NULL) {
		d = xcalloc(1, sizeof *d);
		d->data_low = UINT32_MAX;
		map_put(&sp->dirty, slice_str(id), d);
	}
	return d;
}

static bool
free_entry(void *arg, struct slice key, void *value)
{
	(void)arg, (void)key;
	free(value);
	return true;
}

void
dirty_free(struct map *m)
{
	map_each(m, free_entry, NULL);
	map_fini(m);
}

/* What a job syncs, copied from the loop's. */
struct checkpoint {
	struct spool *sp; /* the job reads dirfd only */
	int dirfd;
	size_t few; /* mailboxes; more are synced with all the disk */
	struct map dirty;
	uint64_t number;
	uint32_t uidvalidity;
	bool failed;
	bool unnumbered; /* all is synced, its number could not be written */
	struct err err;
};

static int
sync_file(struct checkpoint *c, const char *id, enum spool_file file,
    uint32_t no)
{
	char path[SPOOL_PATH];

	spool_path(path, id, file, no);
	return spool_sync(c->dirfd, path, &c->err);
}

static int
sync_mailbox(struct checkpoint *c, const char *id, const struct dirty *d)
{
	if (d->data_low <= d->data_high)
		for (uint32_t no = d->data_low; no <= d->data_high; no++)
			if (sync_file(c, id, SPOOL_DATA, no) == -1)
				return -1;
	if (d->cache && sync_file(c, id, SPOOL_CACHE, 0) == -1)
		return -1;
	if (d->index && sync_file(c, id, SPOOL_INDEX, 0) == -1)
		return -1;
	if (d->names && sync_file(c, id, SPOOL_NAMES, 0) == -1)
		return -1;
	if ((d->dirs || d->gone) &&
	    spool_sync_dirs(c->dirfd, id, &c->err) == -1)
		return -1;
	return d->gone ? spool_sync(c->dirfd, "trash", &c->err) : 0;
}

static bool
sync_entry(void *arg, struct slice key, void *value)
{
	struct checkpoint *c = arg;
	char id[STORE_ID_MAX + 1];

	memcpy(id, key.ptr, key.len);
	id[key.len] = '\0';
	c->failed = sync_mailbox(c, id, value) == -1;
	return !c->failed;
}

static int
write_fresh(struct checkpoint *c)
{
	int fd = openat(c->dirfd, "checkpoint.new",
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int result;
	struct buf b;

	if (fd == -1)
		return err_sys(&c->err, "making checkpoint.new");
	buf_init(&b, NUMBER_OCTETS);
	wire_put_u64(&b, c->number);
	wire_put_u32(&b, c->uidvalidity);
	wire_put_u32(&b, hash_crc32c(0, buf_data(&b), buf_len(&b)));
	MUST(!buf_failed(&b));
	result = spool_write(fd, buf_data(&b), buf_len(&b), 0, &c->err);
	if (result == 0 && fdatasync(fd) == -1)
		result = err_sys(&c->err, "syncing checkpoint.new");
	close(fd);
	buf_fini(&b);
	return result;
}

/*
 * Before the log drops them, so that it can tell what it dropped from what it
 * has lost.
 */
static void
write_number(struct checkpoint *c)
{
	c->unnumbered = write_fresh(c) == -1;
	if (c->unnumbered)
		return;
	if (renameat(c->dirfd, "checkpoint.new", c->dirfd, "checkpoint") == -1)
		c->unnumbered =
		    err_sys(&c->err, "renaming checkpoint.new") == -1;
	else
		c->failed = spool_sync(c->dirfd, ".", &c->err) == -1;
}

int
checkpoint_read(int dirfd, uint64_t *number, uint32_t *uidvalidity,
    struct err *err)
{
	struct wire w;
	uint8_t *p;
	size_t n;

	*number = 0;
	*uidvalidity = 0;
	if (faccessat(dirfd, "checkpoint", F_OK, 0) == -1 && errno == ENOENT)
		return 0;
	if (spool_read_file(dirfd, "checkpoint", NUMBER_OCTETS, &p, &n, err) ==
	    -1)
		return -1;
	wire_init(&w, slice_of(p, n));
	*number = wire_u64(&w);
	if (n > OLD_OCTETS)
		*uidvalidity = wire_u32(&w);
	if (wire_u32(&w) != hash_crc32c(0, p, n < 4 ? 0 : n - 4) ||
	    !wire_done(&w)) {
		free(p);
		return err_set(err, "checkpoint is damaged");
	}
	free(p);
	return 0;
}

/*
 * One by one costs a flush of the disk for each file; all at once costs one,
 * whatever else there is to be written.
 */
static void
sync_all(struct checkpoint *c)
{
	if (map_count(&c->dirty) <= c->few)
		map_each(&c->dirty, sync_entry, c);
	else
		c->failed = spool_sync_disk(c->dirfd, &c->err) == -1;
}

static void
checkpoint_run(void *arg)
{
	struct checkpoint *c = arg;

	sync_all(c);
	if (!c->failed)
		write_number(c);
}

static struct checkpoint *
checkpoint_new(struct spool *sp)
{
	struct checkpoint *c = xcalloc(1, sizeof *c);

	c->sp = sp;
	c->dirfd = sp->dirfd;
	c->few = sp->checkpoint_few;
	c->dirty = sp->dirty;
	c->number = sp->applied;
	c->uidvalidity = sp->store.uidvalidity;
	map_init(&sp->dirty);
	return c;
}

/*
 * The kernel reports a failed write back once and may call the page clean
 * after, so a sync that succeeds later proves nothing.  The log still has all
 * of it: keep that, and have the next start write it again.
 */
static int
checkpoint_end(struct checkpoint *c, struct err *err)
{
	struct spool *sp = c->sp;
	int result = c->failed || c->unnumbered ? -1 : 0;

	if (result == -1) {
		*err = c->err;
		if (c->failed)
			change_unsynced(sp, err->text);
	} else {
		sp->checkpointed = c->number;
		journal_drop(sp->journal, c->number);
	}
	dirty_free(&c->dirty);
	free(c);
	return result;
}

static void
checkpoint_done(void *arg)
{
	struct checkpoint *c = arg;
	struct spool *sp = c->sp;
	struct err err;

	sp->checkpointing = false;
	sp->busy--;
	open_checkpointed(sp);
	if (checkpoint_end(c, &err) == 0) {
		checkpoint_want(sp);
	} else if (!sp->ailing) {
		log_err(sp->env.log, "spool: no checkpoint", "dir", sp->dir,
		    "why", err.text, NULL);
		(void)room_give(sp);
		sp->checkpoint_after_ms = loop_now(sp->env.loop).ms + AGAIN_MS;
	}
}

/* What there is of log when one is due. */
static uint64_t
octets_due(const struct spool *sp)
{
	uint64_t few = sp->ballast_octets / SHORT_PART;

	return sp->pinched && few < sp->checkpoint_octets
	           ? few
	           : sp->checkpoint_octets;
}

bool
checkpoint_is_due(const struct spool *sp)
{
	return (sp->tight && sp->applied > sp->checkpointed) ||
	       journal_octets(sp->journal) >= octets_due(sp) ||
	       sp->applied - sp->checkpointed >= sp->checkpoint_records;
}

void
checkpoint_want(struct spool *sp)
{
	if (sp->checkpointing || sp->compacting > 0 || sp->ailing ||
	    !checkpoint_is_due(sp) ||
	    loop_now(sp->env.loop).ms < sp->checkpoint_after_ms)
		return;
	sp->checkpointing = true;
	sp->busy++;
	jobs_put(sp->env.jobs, checkpoint_run, checkpoint_done,
	    checkpoint_new(sp));
}

int
checkpoint_now(struct spool *sp, struct err *err)
{
	struct checkpoint *c = checkpoint_new(sp);

	MUST(!sp->checkpointing);
	checkpoint_run(c);
	return checkpoint_end(c, err);
}

struct emptying {
	struct spool *sp;
	int dirfd;
	char path[SPOOL_PATH];
};

static void
emptying_run(void *arg)
{
	struct emptying *e = arg;
	struct err err;

	/* What is left is removed at the next start, or it says why not. */
	if (spool_remove(e->dirfd, e->path, &err) == -1)
		return;
}

static void
emptying_done(void *arg)
{
	struct emptying *e = arg;

	e->sp->busy--;
	free(e);
}

void
trash_empty(struct spool *sp, const char *path)
{
	struct emptying *e = xcalloc(1, sizeof *e);

	e->sp = sp;
	e->dirfd = sp->dirfd;
	snprintf(e->path, sizeof e->path, "%s", path);
	sp->busy++;
	jobs_put(sp->env.jobs, emptying_run, emptying_done, e);
}
