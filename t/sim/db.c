/*
 * db: lib/db.h on the simulated disks.
 *
 * What a transaction has written is aside until the commit, so a process that
 * dies in between has written nothing.  A commit is durable when it returns;
 * that the real one is, t/fault/db_crash.c shows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/disk.h"

enum {
	CHAINS = 64, /* at first */
	PATH_ROOM = 160
};

struct record {
	struct record *next;
	uint64_t hash;
	bool gone; /* aside: it is to be deleted */
	uint32_t key_len, len;
	uint8_t octets[]; /* key, value */
};

struct table {
	struct record **chains;
	size_t size, count;
};

/* What is on the disk, or in memory, under a path. */
struct files {
	LIST_ENTRY(files) link;
	char path[PATH_ROOM];
	unsigned nshards;
	bool cache, spoilt; /* spoilt: power failed under a cache */
	struct table shards[];
};

struct db {
	LIST_ENTRY(db) link;
	struct proc *proc;
	struct files *files;
	enum db_mode mode;
	bool in_transaction, emptied;
	struct table *aside; /* one a shard */
};

static struct {
	LIST_HEAD(, files) files;
	LIST_HEAD(, db) dbs;
} all;

void
db_begin_all(void)
{
	memset(&all, 0, sizeof(all));
}

/* --- tables ---------------------------------------------------------------- */

static uint64_t
hash_of(struct slice key)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.ptr[i]) * 0x100000001b3u;
	return h ^ h >> 29;
}

static struct record **
find(const struct table *t, struct slice key, uint64_t hash)
{
	struct record **rp;

	if (t->size == 0)
		return NULL;
	for (rp = &t->chains[hash % t->size]; *rp != NULL; rp = &(*rp)->next)
		if ((*rp)->hash == hash && (*rp)->key_len == key.len &&
		    memcmp((*rp)->octets, key.ptr, key.len) == 0)
			return rp;
	return NULL;
}

static void
table_grow(struct table *t)
{
	struct table wider = { .size = t->size == 0 ? CHAINS : t->size * 4 };

	wider.chains = xcalloc(wider.size, sizeof(struct record *));
	wider.count = t->count;
	for (size_t i = 0; i < t->size; i++) {
		struct record *r, *next;

		for (r = t->chains[i]; r != NULL; r = next) {
			struct record **to =
			    &wider.chains[r->hash % wider.size];

			next = r->next;
			r->next = *to;
			*to = r;
		}
	}
	free(t->chains);
	*t = wider;
}

static void
table_remove(struct table *t, struct slice key, uint64_t hash)
{
	struct record **rp = find(t, key, hash), *r;

	if (rp == NULL)
		return;
	r = *rp;
	*rp = r->next;
	free(r);
	t->count--;
}

/* Takes r. */
static void
table_put(struct table *t, struct record *r)
{
	table_remove(t, slice_of(r->octets, r->key_len), r->hash);
	if (t->count >= t->size)
		table_grow(t);
	r->next = t->chains[r->hash % t->size];
	t->chains[r->hash % t->size] = r;
	t->count++;
}

static struct record *
record_new(struct slice key, struct slice value)
{
	struct record *r = xmalloc(sizeof(*r) + key.len + value.len);

	*r = (struct record){ .hash = hash_of(key),
		.key_len = (uint32_t)key.len,
		.len = (uint32_t)value.len };
	memcpy(r->octets, key.ptr, key.len);
	if (value.len > 0)
		memcpy(r->octets + key.len, value.ptr, value.len);
	return r;
}

static void
table_clear(struct table *t)
{
	struct record *r;

	for (size_t i = 0; i < t->size; i++)
		while ((r = t->chains[i]) != NULL) {
			t->chains[i] = r->next;
			free(r);
		}
	free(t->chains);
	*t = (struct table){ .chains = NULL };
}

static void
table_copy(struct table *to, const struct table *from)
{
	for (size_t i = 0; i < from->size; i++)
		for (struct record *r = from->chains[i]; r != NULL; r = r->next)
			table_put(to,
			    record_new(slice_of(r->octets, r->key_len),
			        slice_of(r->octets + r->key_len, r->len)));
}

/* --- files ----------------------------------------------------------------- */

static struct files *
files_new(const char *path, unsigned nshards, bool cache)
{
	struct files *f =
	    xcalloc(1, sizeof(*f) + nshards * sizeof(f->shards[0]));

	f->nshards = nshards;
	f->cache = cache;
	snprintf(f->path, sizeof(f->path), "%s", path);
	return f;
}

static struct files *
files_find(const char *path)
{
	struct files *f;

	LIST_FOREACH(f, &all.files, link)
	if (strcmp(f->path, path) == 0)
		return f;
	return NULL;
}

static void
files_clear(struct files *f)
{
	for (unsigned i = 0; i < f->nshards; i++)
		table_clear(&f->shards[i]);
}

static bool
is_below(const struct files *f, const char *host)
{
	size_t n = strlen(host);

	return strncmp(f->path, "/sim/", 5) == 0 &&
	       strncmp(f->path + 5, host, n) == 0 && f->path[5 + n] == '/';
}

void
db_lose(const char *prefix)
{
	struct files *f;

	LIST_FOREACH(f, &all.files, link)
	if (is_below(f, prefix) && f->cache)
		f->spoilt = true;
}

void
db_wipe(const char *prefix)
{
	struct files *f, *next;

	for (f = LIST_FIRST(&all.files); f != NULL; f = next) {
		next = LIST_NEXT(f, link);
		if (!is_below(f, prefix))
			continue;
		LIST_REMOVE(f, link);
		files_clear(f);
		free(f);
	}
}

struct db_copy {
	LIST_HEAD(, files) files;
};

static struct files *
files_copy(const struct files *f)
{
	struct files *copy = files_new(f->path, f->nshards, f->cache);

	for (unsigned i = 0; i < f->nshards; i++)
		table_copy(&copy->shards[i], &f->shards[i]);
	return copy;
}

struct db_copy *
db_copy_of(const char *prefix)
{
	struct db_copy *c = xcalloc(1, sizeof(*c));
	struct files *f, *copy;

	LIST_FOREACH(f, &all.files, link)
	if (is_below(f, prefix)) {
		copy = files_copy(f);
		LIST_INSERT_HEAD(&c->files, copy, link);
	}
	return c;
}

void
db_restore(const char *prefix, const struct db_copy *c)
{
	struct files *f, *copy;

	db_wipe(prefix);
	LIST_FOREACH(f, &c->files, link)
	{
		copy = files_copy(f);
		LIST_INSERT_HEAD(&all.files, copy, link);
	}
}

void
db_copy_free(struct db_copy **cp)
{
	struct db_copy *c = *cp;
	struct files *f;

	if (c == NULL)
		return;
	while ((f = LIST_FIRST(&c->files)) != NULL) {
		LIST_REMOVE(f, link);
		files_clear(f);
		free(f);
	}
	free(c);
	*cp = NULL;
}

/* --- opening and closing --------------------------------------------------- */

static int
open_files(struct db *db, const char *dir, unsigned shards, struct err *err)
{
	struct files *f = files_find(dir);
	struct db *other;

	if (db->mode == DB_READ && (f == NULL || f->spoilt))
		return err_set(err, "%s: no database yet", dir);
	if (f == NULL) {
		f = files_new(dir, shards, db->mode == DB_CACHE);
		LIST_INSERT_HEAD(&all.files, f, link);
	}
	LIST_FOREACH(other, &all.dbs, link)
	MUST(
	    other->files != f || other->mode == DB_READ || db->mode == DB_READ);
	if (f->spoilt) {
		files_clear(f);
		f->spoilt = false;
		db->emptied = true;
	}
	db->files = f;
	return 0;
}

int
db_open(struct db **dbp, const char *dir, unsigned shards, enum db_mode mode,
    struct err *err)
{
	struct proc *p = proc_leave();
	struct db *db = xcalloc(1, sizeof(*db));
	int r;

	db->proc = p;
	db->mode = mode;
	MUST(mode != DB_MEMORY);
	r = open_files(db, dir, shards, err);
	if (r == 0) {
		db->aside = xcalloc(db->files->nshards, sizeof(struct table));
		LIST_INSERT_HEAD(&all.dbs, db, link);
	} else {
		free(db);
	}
	*dbp = r == 0 ? db : NULL;
	proc_return(p);
	return r;
}

static void
drop_aside(struct db *db)
{
	for (unsigned i = 0; i < db->files->nshards; i++)
		table_clear(&db->aside[i]);
	db->in_transaction = false;
}

static void
close_one(struct db *db)
{
	drop_aside(db);
	free(db->aside);
	LIST_REMOVE(db, link);
	free(db);
}

void
db_close(struct db **dbp)
{
	if (*dbp == NULL)
		return;
	MUST(!(*dbp)->in_transaction);
	close_one(*dbp);
	*dbp = NULL;
}

void
db_died(struct proc *p)
{
	struct db *db, *next;

	for (db = LIST_FIRST(&all.dbs); db != NULL; db = next) {
		next = LIST_NEXT(db, link);
		if (db->proc == p)
			close_one(db);
	}
}

unsigned
db_shards(const struct db *db)
{
	return db->files->nshards;
}

bool
db_was_emptied(const struct db *db)
{
	return db->emptied;
}

/* --- reading --------------------------------------------------------------- */

int
db_get(struct db *db, unsigned shard, struct slice key, struct buf *out,
    struct err *err)
{
	uint64_t hash = hash_of(key);
	struct record **rp = find(&db->aside[shard], key, hash);

	MUST(shard < db->files->nshards);
	MUST(key.len > 0 && key.ptr[0] != '\0');
	if (rp == NULL)
		rp = find(&db->files->shards[shard], key, hash);
	if (rp == NULL || (*rp)->gone)
		return 0;
	if ((*rp)->len > buf_room(out))
		return err_set(err, "a record is larger than its buffer");
	buf_put(out, (*rp)->octets + (*rp)->key_len, (*rp)->len);
	return 1;
}

int
db_hold(struct db *db, unsigned shard, struct err *err)
{
	(void)db, (void)shard, (void)err; /* nobody else runs meanwhile */
	return 0;
}

void
db_release(struct db *db, unsigned shard)
{
	(void)db, (void)shard;
}

/* --- changing -------------------------------------------------------------- */

int
db_begin(struct db *db, struct err *err)
{
	(void)err;
	MUST(!db->in_transaction && db->mode != DB_READ);
	db->in_transaction = true;
	return 0;
}

static int
put_aside(struct db *db, unsigned shard, struct slice key, struct slice value,
    bool gone)
{
	struct proc *was = proc_leave();
	struct record *r = record_new(key, value);

	MUST(db->in_transaction && shard < db->files->nshards);
	MUST(key.len > 0 && key.ptr[0] != '\0');
	r->gone = gone;
	table_put(&db->aside[shard], r);
	proc_return(was);
	return 0;
}

int
db_put(struct db *db, unsigned shard, struct slice key, struct slice value,
    struct err *err)
{
	(void)err;
	return put_aside(db, shard, key, value, false);
}

int
db_delete(struct db *db, unsigned shard, struct slice key, struct err *err)
{
	(void)err;
	return put_aside(db, shard, key, slice_of(NULL, 0), true);
}

static void
take_in(struct table *t, struct table *aside)
{
	for (size_t i = 0; i < aside->size; i++) {
		struct record *r;

		while ((r = aside->chains[i]) != NULL) {
			aside->chains[i] = r->next;
			if (!r->gone) {
				table_put(t, r);
				continue;
			}
			table_remove(t, slice_of(r->octets, r->key_len),
			    r->hash);
			free(r);
		}
	}
	aside->count = 0;
}

int
db_commit(struct db *db, struct err *err)
{
	struct proc *was;

	MUST(db->in_transaction);
	if (db->mode == DB_DURABLE) {
		disk_tick();
		if (disk_refuses()) {
			drop_aside(db);
			return err_set(err, "No space left on device");
		}
	}
	was = proc_leave();
	for (unsigned i = 0; i < db->files->nshards; i++)
		take_in(&db->files->shards[i], &db->aside[i]);
	db->in_transaction = false;
	proc_return(was);
	disk_tick();
	return 0;
}

void
db_cancel(struct db *db)
{
	MUST(db->in_transaction);
	drop_aside(db);
}
