/* Mailboxes are opened: a job reads, and the loop takes over what it made. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	NAMES_MAX = 256 * 1024 /* octets of the file */
};

struct opening {
	TAILQ_ENTRY(opening) entry; /* in spool.held_up */
	struct spool_mailbox *mb;   /* the job writes to what it made only */
	int dirfd;
	char id[STORE_ID_MAX + 1];
	store_open_cb *cb; /* its user's, if it is one who opens it */
	void *arg;
	open_pinned *pinned; /* or the spool itself */
	void *pinned_arg;

	struct spool_header header;
	struct store_names *names;
	uint8_t *map;
	size_t map_size;
	uint32_t room;
	uint32_t *dead;
	bool listed;
	struct compaction compaction;
	uint32_t compact_dead; /* 0: not now */
	uint64_t cache_min;    /* the same */
	bool look_only;
	bool may_rebuild;
	bool again;   /* it has waited for a checkpoint */
	bool counted; /* in spool.compacting */
	bool rebuild; /* it must be */
	bool damaged; /* it should be */
	bool rebuilt, compacted;
	bool unsure; /* which index a crash would leave */
	bool failed;
	struct rebuilding rebuilding;
	struct err err;
};

/* Damage, as far as making it anew may help. */
static int
damage(struct opening *o, const char *what)
{
	o->damaged = true;
	return what == NULL ? -1 : err_set(&o->err, "%s", what);
}

/*
 * What is looked at first is the last message: its page is on its way while
 * names are read, and there when the loop wants it.
 */
static uint64_t
last_page(const struct opening *o)
{
	uint64_t at = (uint64_t)o->header.nslots * SPOOL_SLOT;

	return at - at % SPOOL_PAGE;
}

static int
check_index(struct opening *o, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_sys(&o->err, "index");
	if (spool_read(fd, &o->header, SPOOL_SLOT, 0, &o->err) == -1)
		return damage(o, NULL);
	if (!spool_header_good(&o->header))
		return damage(o, "the index is damaged");
	if ((size_t)st.st_size / SPOOL_SLOT < (size_t)o->header.nslots + 1)
		return damage(o, "the index is cut");
	o->room = (uint32_t)(st.st_size / SPOOL_SLOT - 1);
	o->map_size = box_map_size((size_t)st.st_size);
	o->map = mmap(NULL, o->map_size, PROT_READ, MAP_SHARED, fd, 0);
	if (o->map == MAP_FAILED) {
		o->map = NULL;
		return err_sys(&o->err, "mapping the index");
	}
	/* A hint: whatever comes of it.  The first page is here already. */
	if (last_page(o) > 0)
		(void)posix_fadvise(fd, (off_t)last_page(o), SPOOL_PAGE,
		    POSIX_FADV_WILLNEED);
	return 0;
}

/* It is waited for here, not in the loop.  What is wrong with it is seen when
 * it is looked at. */
static void
await_last_page(const struct opening *o, int fd)
{
	uint8_t octets[SPOOL_SLOT];

	if (last_page(o) > 0)
		(void)!pread(fd, octets, sizeof octets, (off_t)last_page(o));
}

static int
find_dead(struct opening *o, int fd)
{
	if (dead_find(o->dirfd, o->id, fd, &o->header, &o->dead, &o->listed,
	        &o->err) == -1)
		return damage(o, NULL);
	return 0;
}

static int
read_names(struct opening *o)
{
	char path[SPOOL_PATH];
	uint8_t *p;
	size_t n;

	spool_path(path, o->id, SPOOL_NAMES, 0);
	if (spool_read_file(o->dirfd, path, NAMES_MAX, &p, &n, &o->err) == -1)
		return damage(o, NULL);
	o->names = spool_names_get(slice_of(p, n));
	free(p);
	return o->names == NULL ? damage(o, "names are damaged") : 0;
}

static void
drop_index(struct opening *o)
{
	if (o->map != NULL)
		munmap(o->map, o->map_size);
	o->map = NULL;
	free(o->dead);
	o->dead = NULL;
}

/*
 * What cannot be compacted, on a full disk, is opened as it is.  The new name
 * is synced before any change, which counts slots as they are now; with all
 * directories above it, since a mailbox that is made again from the log has
 * its slots as they were.  1: the index is another one.
 */
static int
compact(struct opening *o, int fd)
{
	const struct spool_header *h = &o->header;
	bool slots = o->compact_dead > 0 && h->ndead >= o->compact_dead &&
	             h->ndead >= h->nslots / 4;
	bool cache = o->cache_min > 0 && h->cache_dead >= o->cache_min &&
	             h->cache_dead > h->cache_end / 2;
	struct err err;

	if (!slots && !cache)
		return 0;
	o->compaction.cache = cache;
	o->compaction.least = cache ? 0
	                      : h->nslots / 4 < o->compact_dead
	                          ? o->compact_dead
	                          : h->nslots / 4;
	if (compact_index(&o->compaction, h, fd, &err) != 1)
		return 0;
	o->compacted = true;
	o->compact_dead = 0;
	o->cache_min = 0;
	if (spool_sync_dirs(o->dirfd, o->id, &o->err) == -1) {
		o->unsure = true;
		return -1;
	}
	return 1;
}

/* There may be records behind its end, put since the last change. */
static void
find_cache_end(struct opening *o)
{
	char path[SPOOL_PATH];
	struct stat st;
	uint64_t end;

	spool_path(path, o->id, SPOOL_CACHE, 0);
	if (fstatat(o->dirfd, path, &st, 0) == -1)
		return; /* whoever writes to it, or reads, will tell */
	end = ((uint64_t)st.st_size + 7) & ~(uint64_t)7;
	if (end > o->header.cache_end)
		o->header.cache_end = end;
}

static int
open_index(struct opening *o)
{
	char path[SPOOL_PATH];
	int fd, result;

	spool_path(path, o->id, SPOOL_INDEX, 0);
	fd = openat(o->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		err_sys(&o->err, "opening the index");
		return errno == ENOENT ? damage(o, NULL) : -1;
	}
	result = check_index(o, fd);
	if (result == 0)
		result = find_dead(o, fd);
	if (result == 0)
		result = compact(o, fd);
	if (result != 0)
		drop_index(o);
	else if ((result = read_names(o)) == 0)
		await_last_page(o, fd);
	if (result == 0)
		find_cache_end(o);
	close(fd);
	return result;
}

static bool
is_there(struct opening *o)
{
	char path[SPOOL_PATH];

	spool_dir_path(path, o->id);
	return faccessat(o->dirfd, path, F_OK, 0) == 0;
}

static int
rebuild(struct opening *o)
{
	struct err why = o->err;

	drop_index(o);
	o->rebuilding.dirfd = o->dirfd;
	memcpy(o->rebuilding.id, o->id, sizeof o->id);
	o->rebuilding.base = o->compaction.base;
	if (rebuild_index(&o->rebuilding, &o->err) == -1) {
		if (o->damaged)
			err_add(&o->err, "%s; rebuilding", why.text);
		return -1;
	}
	o->rebuilt = true;
	o->rebuild = o->damaged = false;
	return 0;
}

static void
opening_run(void *arg)
{
	struct opening *o = arg;
	int result = 0;

	/* Without a directory there is no mailbox, and none is made. */
	if (o->rebuild && is_there(o))
		result = o->may_rebuild ? rebuild(o) : -1;
	if (result == 0)
		result = open_index(o);
	if (result == 1)
		result = open_index(o);
	if (result == -1 && o->damaged && !o->rebuild && !o->rebuilt &&
	    !o->look_only && is_there(o)) {
		o->rebuild = true;
		if (o->may_rebuild && rebuild(o) == 0)
			result = open_index(o);
	}
	o->failed = result == -1;
}

/*
 * A checkpoint that began before would sync the new index by its name, and
 * drop the log while the name is not synced yet; so one of the two at a time.
 * One that is due comes first: there may always be somebody who opens.
 */
static void
plan_compaction(struct opening *o, struct spool *sp)
{
	bool may = !sp->checkpointing && (o->again || !checkpoint_is_due(sp));
	int64_t now = loop_wall(sp->env.loop).ms / 1000;

	o->compaction = (struct compaction){ .dirfd = sp->dirfd,
		.base = sp->applied,
		.keys_since = now - (int64_t)sp->env.key_days * 86400,
		.held_since = scan_held_since(sp) };
	memcpy(o->compaction.id, o->id, sizeof o->id);
	o->look_only = sp->options.look_only;
	o->compact_dead = !may || o->look_only ? 0 : sp->compact_dead;
	o->cache_min = o->compact_dead > 0 ? sp->cache_min : 0;
	o->may_rebuild = o->counted = may;
	o->rebuilding.uidvalidity = (uint32_t)now;
	sp->compacting += may;
}

static void
end_compaction(struct opening *o, struct spool *sp)
{
	struct dirty *d;

	sp->compacting -= o->counted;
	if (o->unsure || o->rebuilding.unsure)
		change_unsynced(sp, o->err.text);
	if (o->compacted || o->rebuilt) {
		d = dirty_mark(sp, o->id);
		d->index = d->dirs = true;
	}
	checkpoint_want(sp);
}

static void
say_rebuilt(struct opening *o, struct spool *sp)
{
	const struct rebuilding *r = &o->rebuilding;

	map_remove(&sp->ill, slice_str(o->id));
	sp->store.counts.rebuilt++;
	log_warn(sp->env.log, "spool: mailbox was damaged and is rebuilt",
	    "dir", sp->dir, "mailboxid", o->id, "kept", LOG_NUM(r->kept),
	    "found", LOG_NUM(r->found), "lost", LOG_NUM(r->lost), "header",
	    r->no_header ? "lost" : "kept", "names",
	    r->no_names ? "lost" : "kept", NULL);
	if (!r->no_names)
		return;
	sp->store.counts.names_lost++;
	log_err(sp->env.log, "spool: keywords and name of a mailbox are lost",
	    "dir", sp->dir, "mailboxid", o->id, NULL);
}

static void
opening_failed(struct opening *o)
{
	struct spool_mailbox *mb = o->mb;
	struct spool *sp = mb->sp;

	log_err(sp->env.log, "spool: mailbox cannot be opened", "dir", sp->dir,
	    "mailboxid", o->id, "why", o->err.text, NULL);
	if (o->damaged)
		sp->store.counts.damaged_mailboxes++;
	drop_index(o);
	free(o->names);
	mb->closed = true;
	box_release(mb);
	if (o->cb != NULL)
		o->cb(o->arg, NULL, "Mailbox cannot be opened");
	if (o->pinned != NULL)
		o->pinned(o->pinned_arg, NULL);
}

static void
take_over(struct opening *o)
{
	struct spool_mailbox *mb = o->mb;

	mb->now = mb->next = o->header;
	mb->map = o->map;
	mb->map_size = o->map_size;
	box_unchecked(mb, 0);
	mb->room = o->room;
	mb->dead = o->dead;
	mb->listed = o->listed;
	mb->kept = o->listed ? o->header.ndead : 0;
	mb->data_no = o->header.data_no;
	mb->data_end = o->header.data_end;
	mb->cache_end = o->header.cache_end;
	mb->cache_dead = o->header.cache_dead;
	mb->store.names = o->names;
	mb->store.recent = o->header.recent;
	mb->store.seen_below = o->header.seen_below;
	mb->store.numbers = box_numbers(&mb->now);
	if (o->pinned != NULL)
		mb->pins++;
	box_release(mb);
	if (o->cb != NULL)
		o->cb(o->arg, &mb->store, NULL);
	if (o->pinned != NULL)
		o->pinned(o->pinned_arg, mb);
}

static void opening_done(void *arg);

static void
opening_start(struct opening *o)
{
	struct spool *sp = o->mb->sp;

	plan_compaction(o, sp);
	jobs_put(sp->env.jobs, opening_run, opening_done, o);
}

static void
opening_done(void *arg)
{
	struct opening *o = arg;
	struct spool_mailbox *mb = o->mb;
	struct spool *sp = mb->sp;

	end_compaction(o, sp);
	if (o->rebuilt)
		say_rebuilt(o, sp);
	if (o->failed && o->rebuild && !o->may_rebuild) {
		/* Once more, when the checkpoint is over. */
		free(o->names);
		o->names = NULL;
		o->failed = o->damaged = false;
		o->again = true;
		if (sp->checkpointing)
			TAILQ_INSERT_TAIL(&sp->held_up, o, entry);
		else
			opening_start(o);
		return;
	}
	mb->opening = NULL;
	if (o->failed)
		opening_failed(o);
	else
		take_over(o);
	free(o);
}

void
open_checkpointed(struct spool *sp)
{
	struct opening *o;

	while ((o = TAILQ_FIRST(&sp->held_up)) != NULL) {
		TAILQ_REMOVE(&sp->held_up, o, entry);
		opening_start(o);
	}
}

/* Closed and not gone yet: it is as it was, and open again. */
static void
reopen_run(void *arg)
{
	(void)arg;
}

static void
reopen_done(void *arg)
{
	struct opening *o = arg;
	struct spool_mailbox *mb = o->mb;

	if (o->pinned != NULL)
		mb->pins++;
	box_release(mb);
	if (o->cb != NULL && mb->store.damaged)
		box_want_told(mb);
	if (o->cb != NULL)
		o->cb(o->arg, &mb->store, NULL);
	if (o->pinned != NULL)
		o->pinned(o->pinned_arg, mb);
	free(o);
}

static struct opening *
opening_new(struct spool *sp, const char *id)
{
	struct opening *o = xcalloc(1, sizeof *o);

	o->dirfd = sp->dirfd;
	memcpy(o->id, id, strlen(id) + 1);
	return o;
}

static void
reopen(struct opening *o, struct spool_mailbox *mb)
{
	o->mb = mb;
	box_hold(mb);
	jobs_put(mb->sp->env.jobs, reopen_run, reopen_done, o);
}

static struct spool_mailbox *
open_first(struct opening *o, struct spool *sp)
{
	struct spool_mailbox *mb = xcalloc(1, sizeof *mb);

	mb->magic = SPOOL_MAILBOX_MAGIC;
	mb->sp = sp;
	mb->store.module = &spool_module;
	mb->store.store = &sp->store;
	memcpy(mb->store.id, o->id, sizeof o->id);
	map_put(&sp->open, slice_str(o->id), mb);
	mb->opening = o;
	o->mb = mb;
	o->rebuild = map_find(&sp->ill, slice_str(o->id)) != NULL;
	box_hold(mb);
	opening_start(o);
	return mb;
}

void
open_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct spool *sp = spool_of(st);
	struct spool_mailbox *mb = map_find(&sp->open, slice_str(id));
	struct opening *o;

	MUST(mb == NULL || mb->closed);
	if (mb != NULL)
		mb->closed = false;
	o = mb != NULL && mb->opening != NULL ? mb->opening
	                                      : opening_new(sp, id);
	o->cb = cb;
	o->arg = arg;
	if (mb == NULL)
		open_first(o, sp);
	else if (mb->opening == NULL)
		reopen(o, mb);
}

void
open_pin(struct spool *sp, const char *id, open_pinned *cb, void *arg)
{
	struct spool_mailbox *mb = map_find(&sp->open, slice_str(id));
	struct opening *o;

	o = mb != NULL && mb->opening != NULL ? mb->opening
	                                      : opening_new(sp, id);
	MUST(o->pinned == NULL);
	o->pinned = cb;
	o->pinned_arg = arg;
	if (mb == NULL)
		open_first(o, sp)->closed = true;
	else if (mb->opening == NULL)
		reopen(o, mb);
}
