#include <stdlib.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/pages_block.h"
#include "lib/pages_disk.h"
#include "lib/pages_memory.h"
#include "lib/xalloc.h"

/*
 * A transaction changes a copy of a page and keeps the page as it was, to put
 * it back.  So a page that a snapshot holds is not changed under it either:
 * the snapshot goes on with the page, the set with the copy.
 */

enum {
	NUMBER_MAX = 1 << 30 /* of a page: more than any memory holds */
};

struct slot {
	struct block *block; /* NULL: no such page */
	bool changed;        /* since the last snapshot; in the set's list */
};

struct numbers {
	uint64_t *list;
	size_t count, max;
};

struct set {
	struct slot *slots; /* by number; 0 is none's */
	size_t nslots, max;
	struct numbers unused, changed;
	struct pages_root root;
	bool root_changed;
};

/* What was in a slot before the transaction; or a root. */
struct undo {
	struct set *set;
	uint64_t number; /* 0: the root */
	struct block *block;
	struct pages_root root;
};

struct memory {
	unsigned shards;
	uint64_t turn, octets, version;
	struct undo *undo;
	size_t nundo, maxundo;
	struct pages_snapshot *snapshot;
	struct set sets[];
};

struct pages_snapshot_page {
	uint64_t number;
	const struct block *block; /* NULL: it is gone */
};

struct pages_snapshot_set {
	struct pages_snapshot_page *pages;
	size_t count;
	struct pages_disk_root root;
	bool root_changed;
};

struct pages_snapshot {
	unsigned shards;
	struct pages_snapshot_set sets[];
};

/* --- lists ------------------------------------------------------------------- */

static void
numbers_put(struct numbers *n, uint64_t number)
{
	if (n->count == n->max) {
		n->max = n->max == 0 ? 16 : n->max * 2;
		n->list = xreallocarray(n->list, n->max, sizeof(n->list[0]));
	}
	n->list[n->count++] = number;
}

static void
numbers_fini(struct numbers *n)
{
	free(n->list);
	*n = (struct numbers){ NULL, 0, 0 };
}

static struct set *
set_of(const struct memory *m, struct pages_set set)
{
	MUST(set.shard < m->shards);
	return (struct set *)(uintptr_t)&m
	    ->sets[set.shard * PAGES_LETTERS + (unsigned)set.letter];
}

static struct slot *
slot_of(const struct memory *m, struct pages_set set, uint64_t number)
{
	struct set *s = set_of(m, set);

	return number < s->nslots ? &s->slots[number] : NULL;
}

static void
set_grow(struct set *s, size_t n)
{
	if (n > s->max) {
		s->max = s->max * 2 > n ? s->max * 2 : n + 16;
		s->slots = xreallocarray(s->slots, s->max, sizeof(struct slot));
	}
	while (s->nslots < n)
		s->slots[s->nslots++] = (struct slot){ NULL, false };
}

static void
note_changed(struct set *s, uint64_t number)
{
	if (!s->slots[number].changed)
		numbers_put(&s->changed, number);
	s->slots[number].changed = true;
}

/* --- reading ----------------------------------------------------------------- */

struct pages_root
memory_root(const struct memory *m, struct pages_set set)
{
	return set_of(m, set)->root;
}

bool
memory_get(const struct memory *m, struct pages_set set, uint64_t number,
    struct slice *octets)
{
	const struct slot *s = slot_of(m, set, number);

	if (s == NULL || s->block == NULL)
		return false;
	*octets = block_slice(s->block);
	return true;
}

uint64_t
memory_version(const struct memory *m)
{
	return m->version;
}

uint64_t
memory_octets(const struct memory *m)
{
	return m->octets;
}

/* --- changing ---------------------------------------------------------------- */

static struct undo *
undo_put(struct memory *m)
{
	if (m->nundo == m->maxundo) {
		m->maxundo = m->maxundo == 0 ? 16 : m->maxundo * 2;
		m->undo =
		    xreallocarray(m->undo, m->maxundo, sizeof(m->undo[0]));
	}
	return &m->undo[m->nundo++];
}

static void
save(struct memory *m, struct set *s, uint64_t number, struct block *block)
{
	*undo_put(m) =
	    (struct undo){ .set = s, .number = number, .block = block };
	note_changed(s, number);
}

void
memory_begin(struct memory *m)
{
	MUST(m->nundo == 0);
	m->turn++;
}

void
memory_commit(struct memory *m)
{
	m->version += m->nundo > 0;
	for (size_t i = 0; i < m->nundo; i++) {
		struct undo *u = &m->undo[i];

		if (u->number == 0)
			continue;
		/* A snapshot frees what it held in the end. */
		if (u->block != NULL && !u->block->frozen)
			free(u->block);
		if (u->set->slots[u->number].block == NULL)
			numbers_put(&u->set->unused, u->number);
	}
	m->nundo = 0;
}

static void
block_drop(struct memory *m, struct block *b)
{
	if (b == NULL)
		return;
	m->octets -= b->len;
	free(b);
}

void
memory_cancel(struct memory *m)
{
	m->version++;
	while (m->nundo > 0) {
		struct undo *u = &m->undo[--m->nundo];

		if (u->number == 0) {
			u->set->root = u->root;
			continue;
		}
		block_drop(m, u->set->slots[u->number].block);
		u->set->slots[u->number].block = u->block;
		if (u->block != NULL)
			m->octets += u->block->len;
		else
			numbers_put(&u->set->unused, u->number);
	}
}

void
memory_root_put(struct memory *m, struct pages_set set, struct pages_root root)
{
	struct set *s = set_of(m, set);

	*undo_put(m) = (struct undo){ .set = s, .root = s->root };
	m->version++;
	s->root = root;
	s->root_changed = true;
}

uint64_t
memory_add(struct memory *m, struct pages_set set, struct slice octets)
{
	struct set *s = set_of(m, set);
	uint64_t number;
	struct block *b = block_new(octets);

	b->turn = m->turn;
	m->version++;
	if (s->unused.count > 0) {
		number = s->unused.list[--s->unused.count];
	} else {
		if (s->nslots == 0)
			set_grow(s, 1);
		number = s->nslots;
		set_grow(s, number + 1);
		/* The number is the root's to keep. */
		s->root_changed = true;
	}
	save(m, s, number, NULL);
	s->slots[number].block = b;
	m->octets += b->len;
	return number;
}

void
memory_change(struct memory *m, struct pages_set set, uint64_t number,
    size_t from, size_t to, struct slice octets)
{
	struct slot *slot = slot_of(m, set, number);
	struct block *b;

	MUST(slot != NULL && slot->block != NULL);
	m->version++;
	b = slot->block;
	if (b->turn != m->turn || b->frozen) {
		save(m, set_of(m, set), number, b);
		b = block_copy(b);
		b->turn = m->turn;
	}
	m->octets -= b->len;
	block_change(&b, from, to, octets);
	m->octets += b->len;
	slot->block = b;
}

void
memory_remove(struct memory *m, struct pages_set set, uint64_t number)
{
	struct slot *slot = slot_of(m, set, number);
	struct block *b;

	MUST(slot != NULL && slot->block != NULL);
	m->version++;
	b = slot->block;
	m->octets -= b->len;
	if (b->turn != m->turn || b->frozen)
		save(m, set_of(m, set), number, b);
	else
		free(b);
	slot->block = NULL;
}

/* --- snapshots --------------------------------------------------------------- */

static void
snapshot_set(struct set *s, struct pages_snapshot_set *t)
{
	t->pages = xcalloc(s->changed.count + 1, sizeof(t->pages[0]));
	for (; t->count < s->changed.count; t->count++) {
		uint64_t number = s->changed.list[t->count];
		struct slot *slot = &s->slots[number];

		if (slot->block != NULL)
			slot->block->frozen = true;
		slot->changed = false;
		t->pages[t->count] =
		    (struct pages_snapshot_page){ number, slot->block };
	}
	numbers_fini(&s->changed);
	t->root =
	    (struct pages_disk_root){ s->root, s->nslots == 0 ? 1 : s->nslots };
	t->root_changed = s->root_changed;
	s->root_changed = false;
}

struct pages_snapshot *
memory_snapshot(struct memory *m)
{
	size_t n = m->shards * PAGES_LETTERS;
	struct pages_snapshot *t;

	MUST(m->snapshot == NULL && m->nundo == 0);
	t = xcalloc(1, sizeof(*t) + n * sizeof(t->sets[0]));
	t->shards = m->shards;
	for (size_t i = 0; i < n; i++)
		snapshot_set(&m->sets[i], &t->sets[i]);
	m->snapshot = t;
	return t;
}

static int
write_set(const struct pages_snapshot_set *t, struct pages_set set,
    struct db *db, struct err *err)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct pages_snapshot_page *p = &t->pages[i];
		int rc;

		if (p->block == NULL)
			rc = pages_disk_delete(db, set, p->number, err);
		else
			rc = pages_disk_put(db, set, p->number,
			    block_slice(p->block), err);
		if (rc == -1)
			return -1;
	}
	return t->root_changed ? pages_disk_root_put(db, set, &t->root, err)
	                       : 0;
}

int
pages_snapshot_write(const struct pages_snapshot *s, unsigned shard,
    struct db *db, struct err *err)
{
	MUST(shard < s->shards);
	for (unsigned i = 0; i < PAGES_LETTERS; i++) {
		struct pages_set set = { shard, (enum pages_letter)i };

		if (write_set(&s->sets[shard * PAGES_LETTERS + i], set, db,
		        err) == -1)
			return -1;
	}
	return 0;
}

/* Its pages are the set's again, or nobody's. */
static void
end_set(struct set *s, struct pages_snapshot_set *t, bool written)
{
	for (size_t i = 0; i < t->count; i++) {
		struct pages_snapshot_page *p = &t->pages[i];
		struct slot *slot = &s->slots[p->number];

		if (!written)
			note_changed(s, p->number);
		if (p->block == NULL)
			continue;
		if (slot->block == p->block)
			slot->block->frozen = false;
		else
			free((void *)(uintptr_t)p->block);
	}
	if (!written && t->root_changed)
		s->root_changed = true;
	free(t->pages);
}

void
memory_snapshot_end(struct memory *m, struct pages_snapshot **sp, bool written)
{
	struct pages_snapshot *t = *sp;

	MUST(t == m->snapshot && m->nundo == 0);
	m->version++;
	for (size_t i = 0; i < m->shards * PAGES_LETTERS; i++)
		end_set(&m->sets[i], &t->sets[i], written);
	free(t);
	m->snapshot = NULL;
	*sp = NULL;
}

/* --- loading ----------------------------------------------------------------- */

static int
load_set(struct memory *m, struct pages_set set, struct db *db, struct err *err)
{
	struct set *s = set_of(m, set);
	struct pages_disk_root root;
	struct buf b;
	int rc = pages_disk_root(db, set, &root, err);

	MUST(s->nslots == 0);
	if (rc != 1)
		return rc;
	s->root = root.root;
	if (root.next > NUMBER_MAX)
		return err_set(err, "the root of a tree is damaged");
	set_grow(s, root.next);
	buf_init(&b, PAGES_OCTETS_MAX);
	for (uint64_t i = 1; i < root.next && rc != -1; i++) {
		buf_clear(&b);
		rc = pages_disk_get(db, set, i, &b, err);
		if (rc == 0)
			numbers_put(&s->unused, i);
		if (rc == 1)
			s->slots[i].block = block_new(buf_slice(&b));
		m->octets += buf_len(&b);
	}
	buf_fini(&b);
	return rc == -1 ? -1 : 0;
}

int
memory_load(struct memory *m, unsigned shard, struct db *db, struct err *err)
{
	for (unsigned i = 0; i < PAGES_LETTERS; i++) {
		struct pages_set set = { shard, (enum pages_letter)i };

		if (load_set(m, set, db, err) == -1)
			return -1;
	}
	return 0;
}

/* --- birth and death --------------------------------------------------------- */

struct memory *
memory_new(unsigned shards)
{
	struct memory *m = xcalloc(1,
	    sizeof(*m) + shards * PAGES_LETTERS * sizeof(struct set));

	m->shards = shards;
	m->version = 1;
	return m;
}

static void
set_fini(struct set *s)
{
	for (size_t i = 0; i < s->nslots; i++)
		free(s->slots[i].block);
	free(s->slots);
	numbers_fini(&s->unused);
	numbers_fini(&s->changed);
}

void
memory_free(struct memory **mp)
{
	struct memory *m = *mp;

	if (m == NULL)
		return;
	MUST(m->snapshot == NULL && m->nundo == 0);
	for (size_t i = 0; i < m->shards * PAGES_LETTERS; i++)
		set_fini(&m->sets[i]);
	free(m->undo);
	free(m);
	*mp = NULL;
}
