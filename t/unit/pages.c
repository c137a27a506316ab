/*
 * pages: a snapshot is what was when it was taken, whatever is done meanwhile;
 * what is loaded from disk is what the last one written had.
 */
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/pages.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	SHARDS = 2,
	PAGES = 60,
	ROUNDS = 40,
	OCTETS = 3000
};

/* Pages by their numbers; len 0: there is none. */
struct model {
	size_t len[PAGES + 1];
	uint8_t octet[PAGES + 1];
	struct pages_root root;
};

struct world {
	struct pages *pages;
	struct model now[SHARDS], taken[SHARDS];
	uint32_t seed;
	size_t left_out; /* pages that could not be made: numbers ran out */
};

static uint32_t
roll(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (w->seed >> 8) % n;
}

static struct pages_set
set_of(unsigned shard)
{
	return (struct pages_set){ shard, PAGES_NAMES };
}

static void
change_one(struct world *w, unsigned shard)
{
	struct pages_set set = set_of(shard);
	struct model *m = &w->now[shard];
	uint64_t number = 1 + roll(w, PAGES);
	size_t len = 1 + roll(w, OCTETS);
	uint8_t octets[OCTETS];
	struct err err;

	memset(octets, (int)roll(w, 256), sizeof(octets));
	if (m->len[number] == 0) {
		MUST(pages_add(w->pages, set, slice_of(octets, len), &number,
		         &err) == 0);
		if (number > PAGES) { /* as if it had not been */
			MUST(pages_remove(w->pages, set, number, &err) == 0);
			w->left_out++;
			return;
		}
		MUST(m->len[number] == 0);
	} else if (roll(w, 3) == 0) {
		MUST(pages_remove(w->pages, set, number, &err) == 0);
		m->len[number] = 0;
		return;
	} else {
		MUST(pages_change(w->pages, set, number, 0, m->len[number],
		         slice_of(octets, len), &err) == 0);
	}
	m->len[number] = len;
	m->octet[number] = octets[0];
	m->root.top = number;
	m->root.count++;
	MUST(pages_root_put(w->pages, set, m->root, &err) == 0);
}

static void
transaction(struct world *w)
{
	struct model before[SHARDS];
	bool keep = roll(w, 4) > 0;
	struct err err;

	memcpy(before, w->now, sizeof(before));
	MUST(pages_begin(w->pages, &err) == 0);
	for (uint32_t n = roll(w, 12); n > 0; n--)
		change_one(w, roll(w, SHARDS));
	if (keep) {
		MUST(pages_commit(w->pages, &err) == 0);
	} else {
		pages_cancel(w->pages);
		memcpy(w->now, before, sizeof(before));
	}
}

static bool
is_model(struct pages *p, const struct model *m, unsigned shard)
{
	struct pages_set set = set_of(shard);
	struct pages_root root;
	struct slice octets;
	struct buf room;
	struct err err;
	bool good;

	MUST(pages_root(p, set, &root, &err) == 0);
	good = root.top == m->root.top && root.count == m->root.count;
	buf_init(&room, OCTETS);
	for (uint64_t i = 1; i <= PAGES && good; i++) {
		int rc = pages_get(p, set, i, &room, &octets, &err);

		good = rc == (m->len[i] > 0 ? 0 : -1) &&
		       (rc == -1 ||
		           (octets.len == m->len[i] &&
		               octets.ptr[0] == m->octet[i] &&
		               octets.ptr[octets.len - 1] == m->octet[i]));
	}
	buf_fini(&room);
	return good;
}

/* A snapshot, written while changing goes on; or not written in the end. */
static void
snapshot(struct world *w, struct db *db, bool written)
{
	struct pages_snapshot *s = pages_snapshot(w->pages);
	struct err err;

	if (written)
		memcpy(w->taken, w->now, sizeof(w->taken));
	for (unsigned i = 0; i < SHARDS; i++) {
		transaction(w);
		transaction(w);
		if (!written && i > 0)
			continue;
		MUST(db_begin(db, &err) == 0);
		MUST(pages_snapshot_write(s, i, db, &err) == 0);
		if (written)
			MUST(db_commit(db, &err) == 0);
		else
			db_cancel(db);
	}
	pages_snapshot_end(w->pages, &s, written);
}

static void
test_law(void)
{
	struct world w = { .seed = 1 };
	unsigned bad = 0;
	struct db *db;
	char dir[64];
	struct err err;

	tempdir_make(dir);
	MUST(db_open(&db, dir, SHARDS, DB_CACHE, &err) == 0);
	w.pages = pages_new(SHARDS);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pages *loaded;

		for (unsigned n = 0; n < 4; n++)
			transaction(&w);
		snapshot(&w, db, roll(&w, 3) > 0);
		loaded = pages_new(SHARDS);
		MUST(pages_load(loaded, db, &err) == 0);
		for (unsigned shard = 0; shard < SHARDS; shard++) {
			bad += !is_model(loaded, &w.taken[shard], shard);
			bad += !is_model(w.pages, &w.now[shard], shard);
		}
		pages_free(&loaded);
		/* What was loaded can be gone on with, too. */
		if (i % 10 == 9) {
			pages_free(&w.pages);
			w.pages = pages_new(SHARDS);
			MUST(pages_load(w.pages, db, &err) == 0);
			memcpy(w.now, w.taken, sizeof(w.now));
		}
	}
	ok(bad == 0, "snapshots and memory are as the model, but for %u", bad);
	ok(w.now[0].root.count > 50 && w.left_out < 50, "and much was changed");
	pages_free(&w.pages);
	db_close(&db);
	tempdir_remove(dir);
}

int
main(void)
{
	test_law();
	return done_testing();
}
