#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	ROOM_STEP = 32,        /* slots a file grows by, at least: a page */
	HEADROOM = 256 * 1024, /* octets mapped beyond the file, at least */
	PAGE_SLOTS = SPOOL_PAGE / SPOOL_SLOT
};

struct spool_mailbox *
spool_mailbox_of(struct store_mailbox *store)
{
	struct spool_mailbox *mb = (struct spool_mailbox *)store;

	MUST(mb->magic == SPOOL_MAILBOX_MAGIC);
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

void
box_want_told(struct spool_mailbox *mb)
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
	box_want_told(mb);
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

void
box_unchecked(struct spool_mailbox *mb, size_t before)
{
	size_t was = before / (SPOOL_PAGE) / 8 + 1;
	size_t n = mb->map_size / (SPOOL_PAGE) / 8 + 1;

	mb->checked = xreallocarray(mb->checked, n, 1);
	memset(mb->checked + (before == 0 ? 0 : was), 0,
	    n - (before == 0 ? 0 : was));
}

/* Are that many dead slots before the i-th message? */
static bool
are_before(const struct spool_mailbox *mb, uint32_t n, uint32_t i)
{
	return n <= mb->now.ndead &&
	       (n == 0 || mb->dead[n - 1] - (n - 1) <= i) &&
	       (n == mb->now.ndead || mb->dead[n] - n > i);
}

/*
 * Before dead[k] there are dead[k] - k live slots; find how many dead ones come
 * before the i-th message: mostly as many as before the one looked at last.
 */
static uint32_t
dead_before(const struct spool_mailbox *mb, uint32_t i)
{
	uint32_t low = 0, high = mb->now.ndead;

	if (are_before(mb, mb->finger, i))
		return mb->finger;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (mb->dead[mid] - mid <= i)
			low = mid + 1;
		else
			high = mid;
	}
	/* Who reads the index does not change what it says. */
	((struct spool_mailbox *)(uintptr_t)mb)->finger = low;
	return low;
}

const struct store_msg *
box_at(const struct store_mailbox *store, uint32_t i)
{
	const struct spool_mailbox *mb =
	    (const struct spool_mailbox *)(const void *)store;
	uint32_t s = i + dead_before(mb, i);

	check(mb, s);
	return box_slot(mb, s);
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
	flags_keep_recent(mb);
	mb->closed = true;
	free_if_done(mb);
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

/* ---- the draft ---- */

size_t
box_map_size(size_t file)
{
	size_t n = file + file / 2 + HEADROOM;

	return n - n % HEADROOM;
}

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
	box_unchecked(mb, before);
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
		return map_again(mb, fd, box_map_size(file), err);
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
			result = draft_again(mb, fd, box_map_size(file), err);
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
