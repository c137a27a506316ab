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

#define MAILBOX_MAGIC 0x6d624f78u

enum {
	ROOM_STEP = 32,        /* slots a file grows by, at least: a page */
	HEADROOM = 256 * 1024, /* octets mapped beyond the file, at least */
	PAGE_SLOTS = 32,       /* checked together */
	PAGE = PAGE_SLOTS * SPOOL_SLOT,
	NAMES_MAX = 256 * 1024 /* octets of the file */
};

struct spool_mailbox *
spool_mailbox_of(struct store_mailbox *store)
{
	struct spool_mailbox *mb = (struct spool_mailbox *)store;

	MUST(mb->magic == MAILBOX_MAGIC);
	return mb;
}

static const struct store_msg *
slot_at(const uint8_t *map, uint32_t s)
{
	/* A mapping is aligned, and slot s follows the header. */
	return (const struct store_msg *)(const void *)(map + ((size_t)s + 1) *
	                                                          SPOOL_SLOT);
}

const struct store_msg *
box_slot(const struct spool_mailbox *mb, uint32_t s)
{
	return slot_at(mb->map, s);
}

struct store_msg *
box_draft_slot(struct spool_mailbox *mb, uint32_t s)
{
	MUST(s < mb->room);
	if (mb->draft == NULL) {
		MUST(
		    s >= mb->added_from && s - mb->added_from < mb->added_room);
		return &mb->added[s - mb->added_from];
	}
	return (struct store_msg *)(void *)(mb->draft +
	                                    ((size_t)s + 1) * SPOOL_SLOT);
}

const struct store_msg *
box_draft_look(const struct spool_mailbox *mb, uint32_t s)
{
	if (mb->draft != NULL)
		return slot_at(mb->draft, s);
	return s < mb->added_from ? box_slot(mb, s)
	                          : &mb->added[s - mb->added_from];
}

static void
want_told(struct spool_mailbox *mb)
{
	if (!mb->untold)
		TAILQ_INSERT_TAIL(&mb->sp->hurt, mb, hurt);
	mb->untold = true;
	task_want(mb->sp->task);
}

void
box_damaged(const struct spool_mailbox *seen, const char *what)
{
	/* Whoever reads it finds out. */
	struct spool_mailbox *mb = (struct spool_mailbox *)(uintptr_t)seen;
	struct spool *sp = mb->sp;

	if (mb->reported)
		return;
	mb->reported = mb->store.damaged = true;
	want_told(mb);
	map_put(&sp->ill, slice_str(mb->store.id), sp);
	sp->store.counts.damaged_mailboxes++;
	log_err(sp->env.log, "spool: index is damaged", "dir", sp->dir,
	    "mailboxid", mb->store.id, "what", what, NULL);
}

/* The first of the dead slots that is not before s. */
static uint32_t
dead_from(const struct spool_mailbox *mb, uint32_t s)
{
	uint32_t low = 0, high = mb->now.ndead;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (mb->dead[mid] < s)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Are those slots dead of which a file said so, and no others? */
static bool
are_as_listed(const struct spool_mailbox *mb, uint32_t from, uint32_t end)
{
	uint32_t k = dead_from(mb, from);

	/* What a disk in trouble let be applied by half is not in the list. */
	if (!mb->listed || mb->sp->troubled)
		return true;
	for (uint32_t s = from; s < end; s++) {
		bool dead = k < mb->now.ndead && mb->dead[k] == s;

		if (dead != ((box_slot(mb, s)->flags & SPOOL_GONE) != 0))
			return false;
		k += dead;
	}
	return true;
}

/* All slots of the page that slot s is in, once. */
static void
check_page(const struct spool_mailbox *mb, uint32_t s)
{
	size_t page = ((size_t)s + 1) / PAGE_SLOTS;
	size_t first = page == 0 ? 0 : page * PAGE_SLOTS - 1;
	size_t end = (page + 1) * PAGE_SLOTS - 1;

	if (end > mb->now.nslots)
		end = mb->now.nslots;
	for (size_t i = first; i < end; i++)
		if (!spool_msg_good(box_slot(mb, (uint32_t)i))) {
			box_damaged(mb, "slot");
			return;
		}
	if (!are_as_listed(mb, (uint32_t)first, (uint32_t)end)) {
		box_damaged(mb, "list of the dead");
		return;
	}
	/* It is no part of what the mailbox is. */
	mb->checked[page / 8] |= (uint8_t)(1u << page % 8);
}

static void
check(const struct spool_mailbox *mb, uint32_t s)
{
	size_t page = ((size_t)s + 1) / PAGE_SLOTS;

	if ((mb->checked[page / 8] >> page % 8 & 1) == 0)
		check_page(mb, s);
	if (mb->store.damaged) /* a page of it cannot be read, perhaps */
		box_damaged(mb, "page");
}

/* Pages added have not been checked. */
static void
make_checked(struct spool_mailbox *mb, size_t before)
{
	size_t was = before / (PAGE_SLOTS * SPOOL_SLOT) / 8 + 1;
	size_t n = mb->map_size / (PAGE_SLOTS * SPOOL_SLOT) / 8 + 1;

	mb->checked = xreallocarray(mb->checked, n, 1);
	memset(mb->checked + (before == 0 ? 0 : was), 0,
	    n - (before == 0 ? 0 : was));
}

/*
 * Slot of the i-th message that is not dead.  Before dead[k] there are
 * dead[k] - k live slots; find how many dead ones come before the i-th.
 */
const struct store_msg *
box_at(const struct store_mailbox *store, uint32_t i)
{
	const struct spool_mailbox *mb =
	    (const struct spool_mailbox *)(const void *)store;
	uint32_t low = 0, high = mb->now.ndead;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (mb->dead[mid] - mid <= i)
			low = mid + 1;
		else
			high = mid;
	}
	check(mb, i + low);
	return box_slot(mb, i + low);
}

const struct store_msg *
box_find_gone(const struct spool_mailbox *mb, uint32_t uid)
{
	uint32_t low = 0, high = mb->now.ndead;
	const struct store_msg *m;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (box_slot(mb, mb->dead[mid])->uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == mb->now.ndead)
		return NULL;
	m = box_slot(mb, mb->dead[low]);
	if (!spool_msg_good(m))
		box_damaged(mb, "slot");
	return m->uid == uid ? m : NULL;
}

struct covering {
	const uint8_t *at;
	bool found, writable;
};

static bool
covers_one(void *arg, struct slice id, void *value)
{
	struct covering *c = arg;
	struct spool_mailbox *mb = value;

	(void)id;
	if (mb->map != NULL && c->at >= mb->map &&
	    c->at < mb->map + mb->map_size)
		c->found = true;
	if (mb->draft != NULL && c->at >= mb->draft &&
	    c->at < mb->draft + mb->draft_size)
		c->found = c->writable = true;
	if (c->found) /* box_damaged() is called by who looks next */
		mb->store.damaged = true;
	return !c->found;
}

bool
box_covers(void *arg, const void *at, bool *writable)
{
	struct spool *sp = arg;
	struct covering c = { .at = at };

	map_each(&sp->open, covers_one, &c);
	*writable = c.writable;
	return c.found;
}

unsigned
epoch_enter(struct epoch *e)
{
	e->here[e->now]++;
	return e->now;
}

void
epoch_leave(struct epoch *e, unsigned side)
{
	MUST(e->here[side] > 0);
	e->here[side]--;
}

void
box_hold(struct spool_mailbox *mb)
{
	mb->busy++;
	mb->sp->busy++;
}

/* Slots of a long index need not all be looked at when it is opened again. */
static void
keep_dead(struct spool_mailbox *mb)
{
	if (mb->now.nslots < mb->sp->dead_slots || mb->now.ndead == mb->kept ||
	    mb->store.damaged || mb->destroyed || mb->sp->options.look_only ||
	    map_find(&mb->sp->ill, slice_str(mb->store.id)) != NULL)
		return;
	dead_keep(mb->sp, mb->store.id, &mb->now, mb->dead);
	mb->dead = NULL;
}

static void
box_free(struct spool_mailbox *mb)
{
	map_remove(&mb->sp->open, slice_str(mb->store.id));
	MUST(mb->draft == NULL && mb->added == NULL);
	redo_close_files(mb);
	if (mb->untold)
		TAILQ_REMOVE(&mb->sp->hurt, mb, hurt);
	if (mb->wanted)
		TAILQ_REMOVE(&mb->sp->want, mb, want);
	if (mb->map != NULL)
		munmap(mb->map, mb->map_size);
	free(mb->store.names);
	keep_dead(mb);
	free(mb->dead);
	free(mb->checked);
	mb->magic = 0;
	free(mb);
}

static void
free_if_done(struct spool_mailbox *mb)
{
	if (mb->busy == 0 && mb->pins == 0 && mb->closed)
		box_free(mb);
}

void
box_release(struct spool_mailbox *mb)
{
	MUST(mb->busy > 0);
	mb->sp->busy--;
	mb->busy--;
	free_if_done(mb);
}

void
box_unpin(struct spool_mailbox *mb)
{
	MUST(mb->pins > 0);
	mb->pins--;
	free_if_done(mb);
}

void
box_close(struct store_mailbox *store)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);

	MUST(!mb->closed);
	mb->closed = true;
	free_if_done(mb);
}

/* ---- opening: a job reads, the loop takes over what it made ---- */

struct opening {
	TAILQ_ENTRY(opening) entry; /* in spool.held_up */
	struct spool_mailbox *mb;   /* the job writes to what it made only */
	int dirfd;
	char id[STORE_ID_MAX + 1];
	store_open_cb *cb; /* its user's, if it is one who opens it */
	void *arg;
	box_pinned *pinned; /* or the spool itself */
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
	bool rebuild; /* it must be */
	bool damaged; /* it should be */
	bool rebuilt, compacted;
	bool unsure; /* which index a crash would leave */
	bool failed;
	struct rebuilding rebuilding;
	struct err err;
};

static size_t
size_to_map(size_t file)
{
	size_t n = file + file / 2 + HEADROOM;

	return n - n % HEADROOM;
}

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

	return at - at % PAGE;
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
	o->map_size = size_to_map((size_t)st.st_size);
	o->map = mmap(NULL, o->map_size, PROT_READ, MAP_SHARED, fd, 0);
	if (o->map == MAP_FAILED) {
		o->map = NULL;
		return err_sys(&o->err, "mapping the index");
	}
	/* A hint: whatever comes of it. */
	(void)posix_fadvise(fd, (off_t)last_page(o), PAGE, POSIX_FADV_WILLNEED);
	return 0;
}

/* It is waited for here, not in the loop.  What is wrong with it is seen when
 * it is looked at. */
static void
await_last_page(const struct opening *o, int fd)
{
	uint8_t octets[SPOOL_SLOT];

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
 */
static void
plan_compaction(struct opening *o, struct spool *sp)
{
	int64_t now = loop_wall(sp->env.loop).ms / 1000;

	o->compaction = (struct compaction){ .dirfd = sp->dirfd,
		.base = sp->applied,
		.keys_since = now - (int64_t)sp->env.key_days * 86400,
		.held_since = scan_held_since(sp) };
	memcpy(o->compaction.id, o->id, sizeof o->id);
	o->look_only = sp->options.look_only;
	o->compact_dead =
	    sp->checkpointing || o->look_only ? 0 : sp->compact_dead;
	o->cache_min = o->compact_dead > 0 ? sp->cache_min : 0;
	o->may_rebuild = !sp->checkpointing;
	o->rebuilding.uidvalidity = (uint32_t)now;
	sp->compacting++;
}

static void
end_compaction(struct opening *o, struct spool *sp)
{
	struct dirty *d;

	sp->compacting--;
	if (o->unsure || o->rebuilding.unsure)
		sp->ailing = true;
	if (!o->compacted && !o->rebuilt)
		return;
	d = dirty_mark(sp, o->id);
	d->index = d->dirs = true;
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

struct store_numbers
box_numbers(const struct spool_header *h)
{
	return (struct store_numbers){
		.uidvalidity = h->uidvalidity,
		.uidnext = h->uidnext,
		.highestmodseq = h->highestmodseq,
		.exists = h->exists,
		.unseen = h->unseen,
		.deleted = h->deleted,
		.size = h->size,
	};
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
	make_checked(mb, 0);
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
box_checkpointed(struct spool *sp)
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
		want_told(mb);
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

	mb->magic = MAILBOX_MAGIC;
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
box_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
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
box_pin(struct spool *sp, const char *id, box_pinned *cb, void *arg)
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

/* ---- the draft ---- */

/* A full disk is met here, where a change can still be refused. */
static int
grow_file(int fd, uint32_t room, uint32_t want, struct err *err)
{
	size_t n = (size_t)(want - room) * SPOOL_SLOT;
	uint8_t *zeros = xcalloc(1, n);
	int result;

	result =
	    spool_write(fd, zeros, n, ((uint64_t)room + 1) * SPOOL_SLOT, err);
	free(zeros);
	return result;
}

static int
map_again(struct spool_mailbox *mb, int fd, size_t size, struct err *err)
{
	uint8_t *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	size_t before;

	if (map == MAP_FAILED)
		return err_sys(err, "mapping the index");
	munmap(mb->map, mb->map_size);
	before = mb->map_size;
	mb->map = map;
	mb->map_size = size;
	make_checked(mb, before);
	return 0;
}

static int
draft_again(struct spool_mailbox *mb, int fd, size_t size, struct err *err)
{
	uint8_t *draft =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (draft == MAP_FAILED)
		return err_sys(err, "mapping the index");
	/* Only what differs, since what is written is not shared any more. */
	for (uint32_t s = 0; mb->drafts > 0 && s < mb->next.nslots; s++) {
		const struct store_msg *m = box_draft_look(mb, s);
		uint8_t *to = draft + ((size_t)s + 1) * SPOOL_SLOT;

		if (memcmp(to, m, SPOOL_SLOT) != 0)
			memcpy(to, m, SPOOL_SLOT);
	}
	if (mb->draft != NULL)
		munmap(mb->draft, mb->draft_size);
	mb->draft = draft;
	mb->draft_size = size;
	return 0;
}

static int
make_room(struct spool_mailbox *mb, int fd, uint32_t want, struct err *err)
{
	size_t file;

	if (want > mb->room) {
		want += want / 8 + ROOM_STEP;
		want -= (want + 1) % ROOM_STEP;
		if (grow_file(fd, mb->room, want, err) == -1)
			return -1;
		mb->room = want;
	}
	file = ((size_t)mb->room + 1) * SPOOL_SLOT;
	if (file > mb->map_size)
		return map_again(mb, fd, size_to_map(file), err);
	return 0;
}

/* In memory, for n more; a draft has them, if there is one. */
static void
make_added(struct spool_mailbox *mb, uint32_t n)
{
	size_t want;

	if (mb->draft != NULL)
		return;
	if (mb->drafts == 0)
		mb->added_from = mb->next.nslots;
	want = (size_t)(mb->next.nslots - mb->added_from) + n;
	if (want <= mb->added_room)
		return;
	mb->added_room = want + want / 2;
	mb->added = xreallocarray(mb->added, mb->added_room, sizeof *mb->added);
}

int
box_draft(struct spool_mailbox *mb, uint32_t n, bool whole, struct err *err)
{
	uint32_t want = mb->next.nslots + n;
	char path[SPOOL_PATH];
	int fd, result;
	size_t file;

	if (want > mb->room || (whole && mb->draft == NULL)) {
		spool_path(path, mb->store.id, SPOOL_INDEX, 0);
		fd = openat(mb->sp->dirfd, path, O_RDWR | O_CLOEXEC);
		if (fd == -1)
			return err_sys(err, "opening the index");
		result = make_room(mb, fd, want, err);
		file = ((size_t)mb->room + 1) * SPOOL_SLOT;
		if (result == 0 && (whole || mb->draft != NULL) &&
		    file > mb->draft_size)
			result = draft_again(mb, fd, size_to_map(file), err);
		close(fd);
		if (result == -1)
			return -1;
	}
	make_added(mb, n);
	return 0;
}

uint32_t
box_draft_find(struct spool_mailbox *mb, uint32_t uid)
{
	uint32_t low = 0, high = mb->next.nslots;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct store_msg *m = box_draft_look(mb, mid);

		if (!spool_msg_good(m))
			box_damaged(mb, "slot");
		if (m->uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < mb->next.nslots && box_draft_look(mb, low)->uid == uid)
		return low;
	return mb->next.nslots;
}

void
box_draft_done(struct spool_mailbox *mb)
{
	MUST(mb->drafts > 0);
	if (--mb->drafts > 0)
		return;
	if (mb->draft != NULL)
		munmap(mb->draft, mb->draft_size);
	mb->draft = NULL;
	mb->draft_size = 0;
	free(mb->added);
	mb->added = NULL;
	mb->added_room = 0;
	mb->next = mb->now;
	free(mb->meta);
	mb->meta = NULL;
}

void
box_become(struct spool_mailbox *mb, const struct spool_header *h,
    const uint32_t *slots, size_t n)
{
	uint32_t old = mb->now.ndead;

	if (n > 0) {
		uint32_t *dead = xreallocarray(mb->dead, old + n, sizeof *dead);
		size_t to = old + n, from = old;

		mb->dead = dead;
		while (n > 0)
			if (from > 0 && dead[from - 1] > slots[n - 1])
				dead[--to] = dead[--from];
			else
				dead[--to] = slots[--n];
	}
	mb->now = *h;
	MUST(mb->now.ndead >= old);
	mb->store.numbers = box_numbers(&mb->now);
}

/* ---- names ---- */

static struct meta *
meta_new(struct slice s)
{
	struct meta *m = xmalloc(sizeof *m + s.len);

	m->len = s.len;
	if (s.len > 0)
		memcpy(m->octets, s.ptr, s.len);
	return m;
}

static void
names_replace(struct spool_mailbox *mb, struct slice add, struct slice meta)
{
	struct store_names *old = mb->store.names;

	mb->store.names =
	    spool_names_new(old->keywords, old->nkeywords, add, meta);
	free(old);
	mb->names_dirty = true;
}

struct meta *
box_meta_set(struct spool_mailbox *mb, struct slice meta)
{
	if (mb->meta == NULL)
		mb->meta = meta_new(mb->store.names->meta);
	names_replace(mb, slice_of(NULL, 0), meta);
	return meta_new(meta);
}

void
box_meta_undo(struct spool_mailbox *mb)
{
	MUST(mb->meta != NULL);
	names_replace(mb, slice_of(NULL, 0),
	    slice_of(mb->meta->octets, mb->meta->len));
}

void
box_meta_done(struct spool_mailbox *mb, struct meta **meta)
{
	free(mb->meta);
	mb->meta = *meta;
	*meta = NULL;
}

int
box_keyword_add(struct store_mailbox *store, struct slice name)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);

	names_replace(mb, name, store->names->meta);
	return (int)store->names->nkeywords - 1;
}

uint32_t
box_claim_recent(struct store_mailbox *store)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	uint32_t from = store->recent;

	store->recent = mb->now.uidnext;
	return from;
}
