#include <stdlib.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/pages.h"
#include "lib/pages_cache.h"
#include "lib/pages_disk.h"
#include "lib/pages_memory.h"
#include "lib/xalloc.h"

/* One of three: in memory, of a db that we write, of one that we only read. */
struct pages {
	struct memory *memory;
	struct cache *cache;
	struct db *db;
	unsigned shards;
	bool in_transaction;
	uint64_t undone; /* transactions */
};

struct pages *
pages_new(unsigned shards)
{
	struct pages *p = xcalloc(1, sizeof(*p));

	MUST(shards > 0 && shards <= PAGES_SHARDS_MAX);
	p->shards = shards;
	p->memory = memory_new(shards);
	return p;
}

struct pages *
pages_over(struct db *db, bool reader)
{
	struct pages *p = xcalloc(1, sizeof(*p));

	p->db = db;
	p->shards = db_shards(db);
	if (!reader)
		p->cache = cache_new(db);
	return p;
}

void
pages_free(struct pages **pp)
{
	struct pages *p = *pp;

	if (p == NULL)
		return;
	MUST(!p->in_transaction);
	memory_free(&p->memory);
	cache_free(&p->cache);
	free(p);
	*pp = NULL;
}

unsigned
pages_shards(const struct pages *p)
{
	return p->shards;
}

bool
pages_are_memory(const struct pages *p)
{
	return p->memory != NULL;
}

uint64_t
pages_version(const struct pages *p)
{
	return p->memory == NULL ? 0 : memory_version(p->memory);
}

/* --- reading ----------------------------------------------------------------- */

static bool
is_reader(const struct pages *p)
{
	return p->memory == NULL && p->cache == NULL;
}

int
pages_hold(struct pages *p, unsigned shard, struct err *err)
{
	return is_reader(p) ? db_hold(p->db, shard, err) : 0;
}

void
pages_release(struct pages *p, unsigned shard)
{
	if (is_reader(p))
		db_release(p->db, shard);
}

int
pages_root(struct pages *p, struct pages_set set, struct pages_root *root,
    struct err *err)
{
	struct pages_disk_root r;

	if (p->memory != NULL) {
		*root = memory_root(p->memory, set);
		return 0;
	}
	if (p->cache != NULL) {
		/* Whoever asks for a root holds nothing of another page. */
		if (!p->in_transaction)
			cache_trim(p->cache);
		return cache_root(p->cache, set, root, err);
	}
	if (pages_disk_root(p->db, set, &r, err) == -1)
		return -1;
	*root = r.root;
	return 0;
}

int
pages_get(struct pages *p, struct pages_set set, uint64_t number,
    struct buf *room, struct slice *octets, struct err *err)
{
	int found;

	if (p->memory != NULL) {
		found = memory_get(p->memory, set, number, octets);
	} else if (p->cache != NULL) {
		return cache_get(p->cache, set, number, octets, err);
	} else {
		buf_clear(room);
		found = pages_disk_get(p->db, set, number, room, err);
		*octets = buf_slice(room);
	}
	if (found == 0)
		return err_set(err, "a page of a tree is missing");
	return found == -1 ? -1 : 0;
}

/* --- transactions ------------------------------------------------------------ */

int
pages_begin(struct pages *p, struct err *err)
{
	MUST(!p->in_transaction && !is_reader(p));
	if (p->memory != NULL)
		memory_begin(p->memory);
	else if (db_begin(p->db, err) == -1)
		return -1;
	p->in_transaction = true;
	return 0;
}

int
pages_commit(struct pages *p, struct err *err)
{
	MUST(p->in_transaction);
	if (p->memory != NULL) {
		memory_commit(p->memory);
		p->in_transaction = false;
		return 0;
	}
	if (cache_write(p->cache, err) == -1) {
		pages_cancel(p);
		return -1;
	}
	p->in_transaction = false;
	if (db_commit(p->db, err) == -1) {
		p->undone++;
		cache_forget(p->cache);
		return -1;
	}
	cache_trim(p->cache);
	return 0;
}

void
pages_cancel(struct pages *p)
{
	MUST(p->in_transaction);
	p->in_transaction = false;
	p->undone++;
	if (p->memory != NULL) {
		memory_cancel(p->memory);
		return;
	}
	db_cancel(p->db);
	cache_forget(p->cache);
}

uint64_t
pages_undone(const struct pages *p)
{
	return p->undone;
}

int
pages_root_put(struct pages *p, struct pages_set set, struct pages_root root,
    struct err *err)
{
	MUST(p->in_transaction);
	if (p->cache != NULL)
		return cache_root_put(p->cache, set, root, err);
	memory_root_put(p->memory, set, root);
	return 0;
}

int
pages_add(struct pages *p, struct pages_set set, struct slice octets,
    uint64_t *number, struct err *err)
{
	MUST(p->in_transaction);
	if (p->cache != NULL)
		return cache_add(p->cache, set, octets, number, err);
	*number = memory_add(p->memory, set, octets);
	return 0;
}

int
pages_change(struct pages *p, struct pages_set set, uint64_t number,
    size_t from, size_t to, struct slice octets, struct err *err)
{
	MUST(p->in_transaction);
	if (p->cache != NULL)
		return cache_change(p->cache, set, number, from, to, octets,
		    err);
	memory_change(p->memory, set, number, from, to, octets);
	return 0;
}

int
pages_remove(struct pages *p, struct pages_set set, uint64_t number,
    struct err *err)
{
	MUST(p->in_transaction);
	if (p->cache != NULL)
		return cache_remove(p->cache, set, number, err);
	memory_remove(p->memory, set, number);
	return 0;
}

/* --- memory and disk --------------------------------------------------------- */

uint64_t
pages_octets(const struct pages *p)
{
	MUST(p->memory != NULL);
	return memory_octets(p->memory);
}

struct pages_snapshot *
pages_snapshot(struct pages *p)
{
	MUST(p->memory != NULL && !p->in_transaction);
	return memory_snapshot(p->memory);
}

void
pages_snapshot_end(struct pages *p, struct pages_snapshot **sp, bool written)
{
	MUST(p->memory != NULL && !p->in_transaction);
	memory_snapshot_end(p->memory, sp, written);
}

int
pages_load(struct pages *p, struct db *db, struct err *err)
{
	MUST(p->memory != NULL && p->shards == db_shards(db));
	for (unsigned i = 0; i < p->shards; i++) {
		int rc;

		if (db_hold(db, i, err) == -1)
			return -1;
		rc = memory_load(p->memory, i, db, err);
		db_release(db, i);
		if (rc == -1)
			return -1;
	}
	return 0;
}
