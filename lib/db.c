#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tdb.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	DB_HASH = 4093, /* chains of a shard's file: records are large */
	DB_FORMAT = 2,  /* of a state file, and of what its users keep */
	DB_INTENT_MAX = 1024 * 1024 * 1024,
	DB_STATE_MAX = 512
};

/* Begins with a NUL, as no caller's key does. */
static const struct slice intent_key = { (const uint8_t *)"\0intent", 7 };

struct shard {
	struct tdb_context *tdb;
	bool in_transaction;
};

struct db {
	enum db_mode mode;
	char *dir;
	int lock_fd;
	unsigned nshards, begun; /* shards with a tdb transaction open */
	struct shard shards[DB_SHARDS_MAX];
	bool in_transaction, emptied, half_done;
	bool made; /* opening may not make files: tdb would make a new one
	              in place of a damaged one, without a word */
	struct map touched; /* shard and key of this transaction's changes */
	struct buf scratch;
};

static TDB_DATA
datum(struct slice s)
{
	/* tdb only reads it, but has no const to say so. */
	return (TDB_DATA){ (unsigned char *)(uintptr_t)s.ptr, s.len };
}

static int
shard_error(struct db *db, unsigned shard, const char *what, struct err *err)
{
	return err_set(err, "%s: shard %u: %s: %s", db->dir, shard, what,
	    tdb_errorstr(db->shards[shard].tdb));
}

/* --- the state file: how many shards, and may a cache be trusted ----------- */

struct state {
	uint64_t shards;
	char boot[40]; /* of the machine, when a cache was last written */
	bool clean;    /* it was closed and synced */
	bool made;     /* all shards have a file */
	uint64_t format;
};

static void
path_in(struct db *db, const char *name, char *path, size_t n)
{
	snprintf(path, n, "%s/%s", db->dir, name);
}

static void
boot_id(char id[40])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f == NULL || fgets(id, 40, f) == NULL)
		snprintf(id, 40, "unknown");
	if (f != NULL)
		fclose(f);
	id[strcspn(id, "\n")] = '\0';
}

/* Takes "NAME VALUE\n" off the front. */
static struct slice
state_value(struct slice *text, const char *name)
{
	size_t n = strlen(name), end = slice_find(*text, '\n');
	struct slice value = { NULL, 0 };

	if (end == text->len || end <= n ||
	    !slice_starts(*text, slice_str(name)) || text->ptr[n] != ' ')
		return value;
	value = slice_of(text->ptr + n + 1, end - n - 1);
	*text = slice_skip(*text, end + 1);
	return value;
}

static bool
state_parse(struct state *st, struct slice text)
{
	struct slice version = state_value(&text, "murder-db");
	struct slice shards = state_value(&text, "shards");
	struct slice boot = state_value(&text, "boot");
	struct slice clean = state_value(&text, "clean");
	struct slice made = state_value(&text, "made");

	if (!ascii_number(version, UINT32_MAX, &st->format) ||
	    !ascii_number(shards, DB_SHARDS_MAX, &st->shards) ||
	    st->shards == 0 || boot.len >= sizeof(st->boot))
		return false;
	memset(st->boot, 0, sizeof(st->boot));
	if (boot.len > 0)
		memcpy(st->boot, boot.ptr, boot.len);
	st->clean = slice_is(clean, "yes");
	st->made = slice_is(made, "yes");
	return true;
}

/* 1, 0 if there is none, -1 and *err. */
static int
state_read(struct db *db, struct state *st, struct err *err)
{
	char path[PATH_MAX], text[DB_STATE_MAX];
	size_t n;
	FILE *f;

	path_in(db, "state", path, sizeof(path));
	f = fopen(path, "re");
	if (f == NULL)
		return errno == ENOENT ? 0 : err_sys(err, "%s", path);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	if (!state_parse(st, slice_of(text, n)))
		return err_set(err, "%s: not a database's state file", path);
	return 1;
}

static int
sync_dir(struct db *db, struct err *err)
{
	int fd = open(db->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd == -1)
		return err_sys(err, "%s", db->dir);
	rc = fsync(fd);
	if (rc == -1)
		err_sys(err, "%s: fsync", db->dir);
	close(fd);
	return rc;
}

static int
state_write(struct db *db, const struct state *st, struct err *err)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	bool good;
	FILE *f;

	path_in(db, "state", path, sizeof(path));
	path_in(db, "state.new", fresh, sizeof(fresh));
	f = fopen(fresh, "we");
	if (f == NULL)
		return err_sys(err, "%s", fresh);
	good =
	    fprintf(f, "murder-db %u\nshards %u\nboot %s\nclean %s\nmade %s\n",
	        (unsigned)DB_FORMAT, (unsigned)st->shards, st->boot,
	        st->clean ? "yes" : "no", st->made ? "yes" : "no") > 0;
	good = fflush(f) == 0 && fsync(fileno(f)) == 0 && good;
	if (!good)
		err_sys(err, "%s", fresh);
	fclose(f);
	if (!good)
		return -1;
	if (rename(fresh, path) == -1)
		return err_sys(err, "%s", path);
	return sync_dir(db, err);
}

/* A cache is not synced, so after the machine died it may be anything. */
static bool
may_trust(const struct db *db, const struct state *st)
{
	char now[40];

	if (db->mode == DB_DURABLE || st->clean || st->boot[0] == '\0')
		return true;
	boot_id(now);
	return strcmp(now, st->boot) == 0;
}

/* --- opening --------------------------------------------------------------- */

static void
shard_path(struct db *db, unsigned i, char *path, size_t n)
{
	snprintf(path, n, "%s/%02x.tdb", db->dir, i);
}

static int
open_shard(struct db *db, unsigned i, struct err *err)
{
	int flags = TDB_INCOMPATIBLE_HASH | TDB_DISALLOW_NESTING;
	/* tdb has no locks for who cannot write, so readers open to write;
	 * they also recover what a writer left when it died. */
	int how = db->made ? O_RDWR : O_RDWR | O_CREAT;
	char path[PATH_MAX];

	shard_path(db, i, path, sizeof(path));
	if (db->mode == DB_CACHE)
		flags |= TDB_NOSYNC;
	db->shards[i].tdb =
	    tdb_open(path, DB_HASH, flags, how | O_CLOEXEC, 0640);
	if (db->shards[i].tdb == NULL)
		return err_sys(err, "%s", path);
	return 0;
}

static void
close_shards(struct db *db)
{
	for (unsigned i = 0; i < db->nshards; i++) {
		if (db->shards[i].tdb != NULL)
			tdb_close(db->shards[i].tdb);
		db->shards[i].tdb = NULL;
	}
}

static int
open_shards(struct db *db, struct err *err)
{
	for (unsigned i = 0; i < db->nshards; i++) {
		if (open_shard(db, i, err) == -1) {
			close_shards(db);
			return -1;
		}
	}
	return 0;
}

static void
remove_shards(struct db *db)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < db->nshards; i++) {
		shard_path(db, i, path, sizeof(path));
		unlink(path); /* one that stays fails to open, which is said */
	}
	db->emptied = true;
	db->made = false;
}

/* One process writes.  The lock goes with the process. */
static int
lock_writer(struct db *db, struct err *err)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];

	path_in(db, "lock", path, sizeof(path));
	db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (db->lock_fd == -1)
		return err_sys(err, "%s", path);
	if (fcntl(db->lock_fd, F_SETLK, &fl) == -1)
		return err_set(err, "%s: another process writes here", path);
	return 0;
}

static bool
state_is(const struct state *a, const struct state *b)
{
	return a->format == b->format && a->shards == b->shards &&
	       a->clean == b->clean && a->made == b->made &&
	       strcmp(a->boot, b->boot) == 0;
}

/*
 * The state while it is open; had: what the file says, or NULL.  What it says
 * already is not written: the disk may be full.
 */
static int
begin_state(struct db *db, const struct state *had, struct err *err)
{
	struct state st = { .shards = db->nshards,
		.made = db->made,
		.format = DB_FORMAT };

	if (db->mode == DB_CACHE)
		boot_id(st.boot);
	if (had != NULL && state_is(had, &st))
		return 0;
	return state_write(db, &st, err);
}

static int
sync_shards(struct db *db, struct err *err)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < db->nshards; i++) {
		int fd, rc;

		shard_path(db, i, path, sizeof(path));
		fd = open(path, O_RDONLY | O_CLOEXEC);
		rc = fd == -1 ? -1 : fsync(fd);
		if (rc == -1)
			err_sys(err, "syncing %s", path);
		if (fd != -1)
			close(fd);
		if (rc == -1)
			return -1;
	}
	return 0;
}

static int
open_for_writing(struct db *db, struct err *err)
{
	struct state st = { .shards = db->nshards };
	int had;

	if (mkdir(db->dir, 0750) == -1 && errno != EEXIST)
		return err_sys(err, "%s", db->dir);
	if (lock_writer(db, err) == -1)
		return -1;
	had = state_read(db, &st, err);
	if (had == -1)
		return -1;
	db->nshards = (unsigned)st.shards;
	db->made = had == 1 && st.made;
	if (had == 1 && st.format != DB_FORMAT && db->mode == DB_DURABLE)
		return err_set(err,
		    "%s: format %u, but this version has format %u: open it "
		    "with the version that made it, or move it away to begin "
		    "without it",
		    db->dir, (unsigned)st.format, (unsigned)DB_FORMAT);
	if (had == 1 && (st.format != DB_FORMAT || !may_trust(db, &st)))
		remove_shards(db);
	/* Before the shards: files of which the state knows nothing would be
	 * taken for those of another number of shards. */
	if (begin_state(db, had == 1 ? &st : NULL, err) == -1)
		return -1;
	if (open_shards(db, err) == -1) {
		if (db->mode != DB_CACHE)
			return -1;
		remove_shards(db);
		if (begin_state(db, NULL, err) == -1 ||
		    open_shards(db, err) == -1)
			return -1;
	}
	if (db->made)
		return 0;
	/* What the state calls made must be there after a power failure. */
	if (db->mode == DB_DURABLE && sync_shards(db, err) == -1)
		return -1;
	db->made = true;
	return begin_state(db, NULL, err);
}

static int
open_for_reading(struct db *db, struct err *err)
{
	struct state st;

	switch (state_read(db, &st, err)) {
	case -1:
		return -1;
	case 0:
		return err_set(err, "%s: no database yet", db->dir);
	}
	db->nshards = (unsigned)st.shards;
	if (!st.made || st.format != DB_FORMAT || !may_trust(db, &st))
		return err_set(err, "%s: not ready yet", db->dir);
	db->made = true;
	return open_shards(db, err);
}

/* --- reading --------------------------------------------------------------- */

struct parse {
	struct buf *out;
	bool full;
};

static int
parse_value(TDB_DATA key, TDB_DATA value, void *arg)
{
	struct parse *p = arg;

	(void)key;
	if (value.dsize > buf_room(p->out)) {
		p->full = true;
		return -1;
	}
	buf_put(p->out, value.dptr, value.dsize);
	return 0;
}

static int
get(struct db *db, unsigned shard, struct slice key, struct buf *out,
    struct err *err)
{
	struct parse p = { .out = out };
	struct tdb_context *tdb = db->shards[shard].tdb;

	if (tdb_parse_record(tdb, datum(key), parse_value, &p) == 0)
		return 1;
	if (p.full)
		return err_set(err, "a record is larger than its buffer");
	if (tdb_error(tdb) == TDB_ERR_NOEXIST)
		return 0;
	return shard_error(db, shard, "reading", err);
}

int
db_get(struct db *db, unsigned shard, struct slice key, struct buf *out,
    struct err *err)
{
	MUST(shard < db->nshards);
	MUST(key.len > 0 && key.ptr[0] != '\0');
	return get(db, shard, key, out, err);
}

int
db_hold(struct db *db, unsigned shard, struct err *err)
{
	MUST(shard < db->nshards);
	if (db->mode == DB_READ && tdb_lockall_read(db->shards[shard].tdb) != 0)
		return shard_error(db, shard, "locking", err);
	return 0;
}

void
db_release(struct db *db, unsigned shard)
{
	if (db->mode == DB_READ)
		tdb_unlockall_read(db->shards[shard].tdb);
}

/* --- changing -------------------------------------------------------------- */

static int
enter_shard(struct db *db, unsigned i, struct err *err)
{
	struct shard *s = &db->shards[i];

	if (s->in_transaction)
		return 0;
	if (tdb_transaction_start(s->tdb) != 0)
		return shard_error(db, i, "beginning", err);
	s->in_transaction = true;
	db->begun++;
	return 0;
}

/* For an intent: which records to copy into it. */
static void
touch(struct db *db, unsigned shard, struct slice key)
{
	buf_clear(&db->scratch);
	wire_put_u16(&db->scratch, (uint16_t)shard);
	buf_put_slice(&db->scratch, key);
	map_put(&db->touched, buf_slice(&db->scratch), db);
}

static int
prepare_change(struct db *db, unsigned shard, struct slice key, struct err *err)
{
	MUST(db->in_transaction && shard < db->nshards);
	MUST(key.len > 0 && key.ptr[0] != '\0');
	if (enter_shard(db, shard, err) == -1)
		return -1;
	touch(db, shard, key);
	return 0;
}

static int
store(struct db *db, unsigned shard, struct slice key, struct slice value,
    struct err *err)
{
	struct tdb_context *tdb = db->shards[shard].tdb;

	if (tdb_store(tdb, datum(key), datum(value), TDB_REPLACE) != 0)
		return shard_error(db, shard, "writing", err);
	return 0;
}

static int delete (struct db *db, unsigned shard, struct slice key,
    struct err *err)
{
	struct tdb_context *tdb = db->shards[shard].tdb;

	if (tdb_delete(tdb, datum(key)) != 0 &&
	    tdb_error(tdb) != TDB_ERR_NOEXIST)
		return shard_error(db, shard, "deleting", err);
	return 0;
}

int
db_put(struct db *db, unsigned shard, struct slice key, struct slice value,
    struct err *err)
{
	if (prepare_change(db, shard, key, err) == -1)
		return -1;
	return store(db, shard, key, value, err);
}

int
db_delete(struct db *db, unsigned shard, struct slice key, struct err *err)
{
	if (prepare_change(db, shard, key, err) == -1)
		return -1;
	return delete (db, shard, key, err);
}

static void
end_transaction(struct db *db)
{
	for (unsigned i = 0; i < db->nshards; i++)
		MUST(!db->shards[i].in_transaction);
	if (map_count(&db->touched) > 0) {
		map_fini(&db->touched);
		map_init(&db->touched);
	}
	db->in_transaction = false;
	MUST(db->begun == 0);
}

static void
cancel_shards(struct db *db)
{
	for (unsigned i = 0; i < db->nshards; i++) {
		if (!db->shards[i].in_transaction)
			continue;
		tdb_transaction_cancel(db->shards[i].tdb);
		db->shards[i].in_transaction = false;
		db->begun--;
	}
}

static int
commit_shard(struct db *db, unsigned i, struct err *err)
{
	struct shard *s = &db->shards[i];

	if (!s->in_transaction)
		return 0;
	s->in_transaction = false;
	db->begun--;
	if (tdb_transaction_commit(s->tdb) != 0)
		return shard_error(db, i, "committing", err);
	return 0;
}

/* --- transactions over several shards -------------------------------------- */

struct gather {
	struct db *db;
	struct buf *out;
	struct err *err;
	int failed;
};

/* One record of an intent: shard, key, is it there, value. */
static bool
gather_record(void *arg, struct slice k, void *value)
{
	struct gather *g = arg;
	unsigned shard = (unsigned)(k.ptr[0] << 8 | k.ptr[1]);
	struct slice key = slice_skip(k, 2);
	int found;

	(void)value;
	buf_clear(&g->db->scratch);
	found = get(g->db, shard, key, &g->db->scratch, g->err);
	if (found == -1) {
		g->failed = -1;
		return false;
	}
	wire_put_u16(g->out, (uint16_t)shard);
	wire_put_slice(g->out, key);
	wire_put_u8(g->out, found == 1);
	wire_put_slice(g->out, buf_slice(&g->db->scratch));
	return true;
}

static int
put_intent(struct db *db, struct err *err)
{
	struct buf out;
	struct gather g = { .db = db, .out = &out, .err = err };
	int rc = -1;

	buf_init(&out, DB_INTENT_MAX);
	map_each(&db->touched, gather_record, &g);
	if (g.failed == 0 && buf_failed(&out))
		g.failed = err_set(err, "transaction too large");
	if (g.failed == 0 && enter_shard(db, 0, err) == 0)
		rc = store(db, 0, intent_key, buf_slice(&out), err);
	buf_fini(&out);
	return rc;
}

static int
redo_record(struct db *db, struct wire *w, struct err *err)
{
	unsigned shard = wire_u16(w);
	struct slice key = wire_slice(w);
	bool exists = wire_u8(w) != 0;
	struct slice value = wire_slice(w);

	if (w->failed || shard >= db->nshards || key.len == 0)
		return err_set(err, "%s: damaged intent", db->dir);
	if (enter_shard(db, shard, err) == -1)
		return -1;
	if (exists)
		return store(db, shard, key, value, err);
	return delete (db, shard, key, err);
}

static int
commit_shards(struct db *db, struct err *err)
{
	for (unsigned i = 0; i < db->nshards; i++) {
		if (commit_shard(db, i, err) == -1) {
			cancel_shards(db);
			return -1;
		}
	}
	return 0;
}

/* The transaction that took the intent away must not come before its shards. */
static int
drop_intent(struct db *db, struct err *err)
{
	if (enter_shard(db, 0, err) == -1)
		return -1;
	if (delete (db, 0, intent_key, err) == -1) {
		cancel_shards(db);
		return -1;
	}
	return commit_shard(db, 0, err);
}

/* Once more what the intent says: the same puts and deletes, or the rest. */
static int
finish_intent(struct db *db, struct err *err)
{
	struct buf intent;
	struct wire w;
	int rc;

	buf_init(&intent, DB_INTENT_MAX);
	rc = get(db, 0, intent_key, &intent, err);
	if (rc == 1) {
		wire_init(&w, buf_slice(&intent));
		while (rc == 1 && w.rest.len > 0)
			if (redo_record(db, &w, err) == -1)
				rc = -1;
		if (rc == -1)
			cancel_shards(db);
		else if (commit_shards(db, err) == -1 ||
		         drop_intent(db, err) == -1)
			rc = -1;
	}
	buf_fini(&intent);
	if (rc == -1)
		return -1;
	db->half_done = false;
	return 0;
}

static int
commit_several(struct db *db, struct err *err)
{
	if (put_intent(db, err) == -1 || commit_shard(db, 0, err) == -1) {
		cancel_shards(db);
		return -1;
	}
	db->half_done = true; /* from here on it will be, crash or not */
	if (commit_shards(db, err) == 0 && drop_intent(db, err) == 0) {
		db->half_done = false;
		return 0;
	}
	return finish_intent(db, err);
}

/* --- transactions ---------------------------------------------------------- */

int
db_begin(struct db *db, struct err *err)
{
	MUST(!db->in_transaction && db->mode != DB_READ);
	if (db->half_done && finish_intent(db, err) == -1)
		return -1;
	db->in_transaction = true;
	return 0;
}

int
db_commit(struct db *db, struct err *err)
{
	int rc;

	MUST(db->in_transaction);
	rc = db->begun > 1 ? commit_several(db, err) : commit_shards(db, err);
	end_transaction(db);
	return rc;
}

void
db_cancel(struct db *db)
{
	MUST(db->in_transaction);
	cancel_shards(db);
	end_transaction(db);
}

/* --- birth and death ------------------------------------------------------- */

int
db_open(struct db **dbp, const char *dir, unsigned shards, enum db_mode mode,
    struct err *err)
{
	struct db *db = xcalloc(1, sizeof(*db));
	int rc = -1;

	MUST(shards > 0 && shards <= DB_SHARDS_MAX);
	MUST(mode != DB_MEMORY);
	db->mode = mode;
	db->dir = xstrdup(dir);
	db->nshards = shards;
	db->lock_fd = -1;
	map_init(&db->touched);
	buf_init(&db->scratch, DB_INTENT_MAX);
	switch (mode) {
	case DB_DURABLE:
	case DB_CACHE:
		rc = open_for_writing(db, err);
		if (rc == 0)
			rc = finish_intent(db, err);
		break;
	case DB_READ:
		rc = open_for_reading(db, err);
		break;
	case DB_MEMORY:
		break;
	}
	*dbp = db;
	if (rc == -1) {
		db->mode = DB_READ; /* nothing to note at closing */
		db_close(dbp);
	}
	return rc;
}

/* A cache that is whole on disk need not be fetched again after a reboot. */
static void
note_clean(struct db *db)
{
	struct state st = { .shards = db->nshards,
		.clean = true,
		.made = true };
	struct err err;

	/* If it cannot be said it is not said, and the next opening empties. */
	if (sync_shards(db, &err) == 0 && state_write(db, &st, &err) == -1)
		return;
}

void
db_close(struct db **dbp)
{
	struct db *db = *dbp;

	if (db == NULL)
		return;
	MUST(!db->in_transaction);
	close_shards(db);
	if (db->mode == DB_CACHE && !db->half_done)
		note_clean(db);
	if (db->lock_fd != -1)
		close(db->lock_fd);
	map_fini(&db->touched);
	buf_fini(&db->scratch);
	free(db->dir);
	free(db);
	*dbp = NULL;
}

unsigned
db_shards(const struct db *db)
{
	return db->nshards;
}

bool
db_was_emptied(const struct db *db)
{
	return db->emptied;
}
