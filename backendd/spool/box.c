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
	MUST(mb->draft != NULL && s < mb->room);
	return (struct store_msg *)(void *)(mb->draft +
	                                    ((size_t)s + 1) * SPOOL_SLOT);
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
	return box_slot(mb, i + low);
}

void
box_hold(struct spool_mailbox *mb)
{
	mb->busy++;
	mb->sp->busy++;
}

static void
box_free(struct spool_mailbox *mb)
{
	map_remove(&mb->sp->open, slice_str(mb->store.id));
	MUST(mb->draft == NULL);
	if (mb->map != NULL)
		munmap(mb->map, mb->map_size);
	free(mb->store.names);
	free(mb->dead);
	mb->magic = 0;
	free(mb);
}

void
box_release(struct spool_mailbox *mb)
{
	MUST(mb->busy > 0);
	mb->sp->busy--;
	if (--mb->busy == 0 && mb->closed)
		box_free(mb);
}

void
box_close(struct store_mailbox *store)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);

	MUST(!mb->closed);
	mb->closed = true;
	if (mb->busy == 0)
		box_free(mb);
}

/* ---- opening: a job reads, the loop takes over what it made ---- */

struct opening {
	struct spool_mailbox *mb; /* the job writes to what it made only */
	int dirfd;
	char id[STORE_ID_MAX + 1];
	store_open_cb *cb;
	void *arg;

	struct spool_header header;
	struct store_names *names;
	uint8_t *map;
	size_t map_size;
	uint32_t room;
	uint32_t *dead;
	struct compaction compaction;
	uint32_t compact_dead;  /* 0: not now */
	bool compacted, unsure; /* which index a crash would leave */
	bool failed;
	struct err err;
};

static size_t
size_to_map(size_t file)
{
	size_t n = file + file / 2 + HEADROOM;

	return n - n % HEADROOM;
}

static int
check_index(struct opening *o, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_sys(&o->err, "index");
	if (spool_read(fd, &o->header, SPOOL_SLOT, 0, &o->err) == -1)
		return -1;
	if (!spool_header_good(&o->header))
		return err_set(&o->err, "the index is damaged");
	if ((size_t)st.st_size / SPOOL_SLOT < (size_t)o->header.nslots + 1)
		return err_set(&o->err, "the index is cut");
	o->room = (uint32_t)(st.st_size / SPOOL_SLOT - 1);
	o->map_size = size_to_map((size_t)st.st_size);
	o->map = mmap(NULL, o->map_size, PROT_READ, MAP_SHARED, fd, 0);
	if (o->map == MAP_FAILED) {
		o->map = NULL;
		return err_sys(&o->err, "mapping the index");
	}
	return 0;
}

static int
find_dead(struct opening *o)
{
	uint32_t n = 0;

	if (o->header.ndead == 0)
		return 0;
	o->dead = xcalloc(o->header.ndead, sizeof *o->dead);
	for (uint32_t s = 0; s < o->header.nslots; s++) {
		if ((slot_at(o->map, s)->flags & SPOOL_GONE) == 0)
			continue;
		if (n == o->header.ndead)
			return err_set(&o->err, "the index is damaged");
		o->dead[n++] = s;
	}
	if (n != o->header.ndead)
		return err_set(&o->err, "the index is damaged");
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
		return -1;
	o->names = spool_names_get(slice_of(p, n));
	free(p);
	if (o->names == NULL)
		return err_set(&o->err, "names are damaged");
	return 0;
}

static int
open_index(struct opening *o)
{
	char path[SPOOL_PATH];
	int fd, result;

	spool_path(path, o->id, SPOOL_INDEX, 0);
	fd = openat(o->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(&o->err, "opening the index");
	result = check_index(o, fd);
	close(fd);
	return result == -1 ? -1 : find_dead(o);
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
 * its slots as they were.
 */
static int
compact(struct opening *o)
{
	struct err err;

	if (o->compact_dead == 0 || o->header.ndead < o->compact_dead ||
	    o->header.ndead < o->header.nslots / 4 ||
	    compact_index(&o->compaction, &o->header, slot_at(o->map, 0),
	        &err) == -1)
		return 0;
	o->compacted = true;
	drop_index(o);
	if (spool_sync_dirs(o->dirfd, o->id, &o->err) == -1) {
		o->unsure = true;
		return -1;
	}
	return open_index(o);
}

static void
opening_run(void *arg)
{
	struct opening *o = arg;

	o->failed =
	    open_index(o) == -1 || compact(o) == -1 || read_names(o) == -1;
}

/*
 * A checkpoint that began before would sync the new index by its name, and
 * drop the log while the name is not synced yet; so one of the two at a time.
 */
static void
plan_compaction(struct opening *o, struct spool *sp)
{
	o->compaction = (struct compaction){ .dirfd = sp->dirfd,
		.base = sp->applied,
		.keys_since = loop_wall(sp->env.loop).ms / 1000 -
		              (int64_t)sp->env.key_days * 86400 };
	memcpy(o->compaction.id, o->id, sizeof o->id);
	o->compact_dead = sp->checkpointing ? 0 : sp->compact_dead;
	sp->compacting++;
}

static void
end_compaction(struct opening *o, struct spool *sp)
{
	struct dirty *d;

	sp->compacting--;
	if (!o->compacted)
		return;
	d = dirty_mark(sp, o->id);
	d->index = d->dirs = true;
	if (o->unsure)
		sp->ailing = true;
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

	log_err(mb->sp->env.log, "spool: mailbox cannot be opened", "dir",
	    mb->sp->dir, "mailboxid", o->id, "why", o->err.text, NULL);
	drop_index(o);
	free(o->names);
	mb->closed = true;
	box_release(mb);
	o->cb(o->arg, NULL, "Mailbox cannot be opened");
}

static void
opening_done(void *arg)
{
	struct opening *o = arg;
	struct spool_mailbox *mb = o->mb;

	end_compaction(o, mb->sp);
	if (o->failed) {
		opening_failed(o);
	} else {
		mb->now = mb->next = o->header;
		mb->map = o->map;
		mb->map_size = o->map_size;
		mb->room = o->room;
		mb->dead = o->dead;
		mb->data_no = o->header.data_no;
		mb->data_end = o->header.data_end;
		mb->cache_end = o->header.cache_end;
		mb->store.names = o->names;
		mb->store.recent = o->header.recent;
		mb->store.numbers = box_numbers(&mb->now);
		box_release(mb);
		o->cb(o->arg, &mb->store, NULL);
	}
	free(o);
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

	box_release(o->mb);
	o->cb(o->arg, &o->mb->store, NULL);
	free(o);
}

void
box_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct spool *sp = spool_of(st);
	struct spool_mailbox *mb = map_find(&sp->open, slice_str(id));
	struct opening *o = xcalloc(1, sizeof *o);

	o->dirfd = sp->dirfd;
	o->cb = cb;
	o->arg = arg;
	memcpy(o->id, id, strlen(id) + 1);
	if (mb != NULL) {
		MUST(mb->closed);
		mb->closed = false;
		o->mb = mb;
		box_hold(mb);
		jobs_put(sp->env.jobs, reopen_run, reopen_done, o);
		return;
	}
	mb = xcalloc(1, sizeof *mb);
	mb->magic = MAILBOX_MAGIC;
	mb->sp = sp;
	mb->store.module = &spool_module;
	mb->store.store = &sp->store;
	memcpy(mb->store.id, id, strlen(id) + 1);
	map_put(&sp->open, slice_str(id), mb);
	o->mb = mb;
	box_hold(mb);
	plan_compaction(o, sp);
	jobs_put(sp->env.jobs, opening_run, opening_done, o);
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

	if (map == MAP_FAILED)
		return err_sys(err, "mapping the index");
	munmap(mb->map, mb->map_size);
	mb->map = map;
	mb->map_size = size;
	return 0;
}

static int
draft_again(struct spool_mailbox *mb, int fd, size_t size, struct err *err)
{
	size_t used = ((size_t)mb->next.nslots + 1) * SPOOL_SLOT;
	uint8_t *draft =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (draft == MAP_FAILED)
		return err_sys(err, "mapping the index");
	/* Only what differs, since what is written is not shared any more. */
	for (size_t at = 0; mb->draft != NULL && at < used; at += SPOOL_SLOT)
		if (memcmp(draft + at, mb->draft + at, SPOOL_SLOT) != 0)
			memcpy(draft + at, mb->draft + at, SPOOL_SLOT);
	if (mb->draft != NULL)
		munmap(mb->draft, mb->draft_size);
	mb->draft = draft;
	mb->draft_size = size;
	return 0;
}

static int
make_draft(struct spool_mailbox *mb, int fd, uint32_t want, struct err *err)
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
	if (file > mb->map_size &&
	    map_again(mb, fd, size_to_map(file), err) == -1)
		return -1;
	if ((mb->draft == NULL || file > mb->draft_size) &&
	    draft_again(mb, fd, size_to_map(file), err) == -1)
		return -1;
	return 0;
}

int
box_draft(struct spool_mailbox *mb, uint32_t n, struct err *err)
{
	uint32_t want = mb->next.nslots + n;
	char path[SPOOL_PATH];
	int fd, result;

	if (mb->draft != NULL && want <= mb->room)
		return 0;
	spool_path(path, mb->store.id, SPOOL_INDEX, 0);
	fd = openat(mb->sp->dirfd, path, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		return err_sys(err, "opening the index");
	result = make_draft(mb, fd, want, err);
	close(fd);
	return result;
}

uint32_t
box_draft_find(struct spool_mailbox *mb, uint32_t uid)
{
	uint32_t low = 0, high = mb->next.nslots;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (slot_at(mb->draft, mid)->uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < mb->next.nslots && slot_at(mb->draft, low)->uid == uid)
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
