#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/keeper.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

/* A change is a row of these.  They are what the journal's records hold. */
enum op {
	OP_PUT = 1, /* key, whole */
	OP_DELETE,  /* key */
	OP_FACT     /* name, value */
};

enum {
	RECORD_VERSION = 1,
	/* Checkpoints that fail may fall so many behind before commits are
	 * refused. */
	BEHIND_MAX = 8
};

/* In the tree on disk: the last journal record that is in it. */
static const char number_fact[] = "keeper.number";

/* One op's opposite. */
struct undo {
	struct undo *next;
	size_t len;
	uint8_t octets[];
};

/* Committed, not durable yet. */
struct change {
	TAILQ_ENTRY(change) link;
	struct keeper *keeper;
	uint64_t number;
	keeper_cb *cb;
	void *arg;
	struct undo *undo; /* latest first */
	size_t len;
	uint8_t record[];
};

TAILQ_HEAD(changes, change);

/* Ops on their way into the tree on disk, in a job thread. */
struct checkpoint {
	struct keeper *keeper;
	struct treedb *disk;
	struct buf records; /* each with its length before it */
	uint64_t number;    /* of the last */
	bool failed;
	struct err err;
};

struct keeper {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct keeper_limits limits;
	struct treedb *tree; /* memory */
	struct treedb *disk; /* the job's, while one runs */
	struct journal *journal;
	struct timer *retry;
	struct buf gathered;
	struct changes pending;
	size_t pending_octets;
	uint64_t last, durable;
	struct buf since; /* durable records since the last checkpoint began */
	struct checkpoint checkpoint;
	bool running;     /* a checkpoint's job */
	bool try_again;   /* the checkpoint failed and waits for the timer */
	bool failed;      /* the journal */
	bool rolled_back; /* what is pending has been taken back */
	bool closed;
};

struct keeper_limits
keeper_defaults(void)
{
	return (struct keeper_limits){
		.shards = 16,
		.change_octets = 16 * 1024 * 1024,
		.pending_octets = 64 * 1024 * 1024,
		.checkpoint_octets = 16 * 1024 * 1024,
		.retry_ms = 5000,
	};
}

/* --- ops ------------------------------------------------------------------- */

struct parsed {
	enum op op;
	struct slice key, value;
};

/* 1, 0 at the end, -1 if it is nonsense. */
static int
op_next(struct wire *w, struct parsed *p)
{
	if (w->rest.len == 0)
		return w->failed ? -1 : 0;
	p->op = (enum op)wire_u8(w);
	p->key = wire_slice(w);
	p->value = slice_of(NULL, 0);
	switch (p->op) {
	case OP_PUT:
	case OP_FACT:
		p->value = wire_slice(w);
		return w->failed ? -1 : 1;
	case OP_DELETE:
		return w->failed ? -1 : 1;
	}
	return -1;
}

static int
op_apply(struct treedb *t, const struct parsed *p, struct err *err)
{
	char name[64];

	switch (p->op) {
	case OP_PUT:
		return treedb_put_whole(t, p->key, p->value, err);
	case OP_DELETE:
		return treedb_delete(t, p->key, err);
	case OP_FACT:
		snprintf(name, sizeof(name), "%.*s", (int)p->key.len,
		    (const char *)p->key.ptr);
		return treedb_put_fact(t, name, p->value, err);
	}
	return err_set(err, "an unknown kind of change");
}

static int
record_begin(struct wire *w, struct slice record, struct err *err)
{
	wire_init(w, record);
	if (wire_u8(w) != RECORD_VERSION)
		return err_set(err, "a change of a version not known");
	return 0;
}

/* --- the tree on disk ------------------------------------------------------ */

/* The ops of one record that are for a shard; for facts, shard is -1. */
static int
apply_part(struct treedb *t, struct slice record, int shard, struct err *err)
{
	struct parsed p;
	struct wire w;
	int more;

	if (record_begin(&w, record, err) == -1)
		return -1;
	while ((more = op_next(&w, &p)) == 1) {
		int in = p.op == OP_FACT ? -1 : (int)treedb_shard(t, p.key);

		if (in == shard && op_apply(t, &p, err) == -1)
			return -1;
	}
	if (more == -1)
		return err_set(err, "a damaged change");
	return 0;
}

static int
apply_all(struct checkpoint *c, int shard, struct err *err)
{
	struct wire w;

	wire_init(&w, buf_slice(&c->records));
	while (w.rest.len > 0)
		if (apply_part(c->disk, wire_slice(&w), shard, err) == -1)
			return -1;
	MUST(wire_done(&w));
	return 0;
}

static int
put_number(struct checkpoint *c, struct err *err)
{
	struct buf b;
	int rc;

	buf_init(&b, 8);
	wire_put_u64(&b, c->number);
	rc = treedb_put_fact(c->disk, number_fact, buf_slice(&b), err);
	buf_fini(&b);
	return rc;
}

/*
 * A transaction for each shard, the number last: a crash in between leaves
 * some changes in the tree that the journal brings again, to the same effect.
 */
static int
write_checkpoint(struct checkpoint *c, struct err *err)
{
	struct db *db = treedb_db(c->disk);

	for (int shard = (int)db_shards(db) - 1; shard >= -1; shard--) {
		if (db_begin(db, err) == -1)
			return -1;
		if (apply_all(c, shard, err) == -1 ||
		    (shard == -1 && put_number(c, err) == -1)) {
			db_cancel(db);
			return -1;
		}
		if (db_commit(db, err) == -1)
			return -1;
	}
	return 0;
}

static int
read_number(struct treedb *t, uint64_t *n, struct err *err)
{
	struct buf b;
	struct wire w;
	int found;

	buf_init(&b, 64);
	found = treedb_get_fact(t, number_fact, &b, err);
	wire_init(&w, buf_slice(&b));
	*n = found == 1 ? wire_u64(&w) : 0;
	if (found == 1 && !wire_done(&w))
		found = err_set(err, "damaged number of the last change");
	buf_fini(&b);
	return found == -1 ? -1 : 0;
}

/* --- checkpoints ----------------------------------------------------------- */

static void start_checkpoint(struct keeper *k);

static void
keeper_end(struct keeper *k)
{
	treedb_close(&k->disk);
	buf_fini(&k->since);
	buf_fini(&k->checkpoint.records);
	free(k);
}

static void
checkpoint_run(void *arg)
{
	struct checkpoint *c = arg;

	c->failed = write_checkpoint(c, &c->err) == -1;
}

static void
checkpoint_done(void *arg)
{
	struct checkpoint *c = arg;
	struct keeper *k = c->keeper;

	k->running = false;
	if (k->closed) {
		keeper_end(k);
		return;
	}
	if (c->failed) {
		log_err(k->log, "keeper: cannot write a checkpoint", "why",
		    c->err.text, NULL);
		k->try_again = true;
		timer_set(k->retry, k->limits.retry_ms);
		return;
	}
	buf_fini(&c->records);
	journal_drop(k->journal, c->number);
	start_checkpoint(k);
}

/* If there is enough for one; also from checkpoint_done(). */
static void
start_checkpoint(struct keeper *k)
{
	struct checkpoint *c = &k->checkpoint;

	if (k->running || k->try_again || k->closed ||
	    buf_len(&k->since) < k->limits.checkpoint_octets)
		return;
	MUST(buf_len(&c->records) == 0);
	c->keeper = k;
	c->disk = k->disk;
	c->records = k->since;
	c->number = k->durable;
	buf_init(&k->since, SIZE_MAX / 2);
	k->running = true;
	jobs_put(k->jobs, checkpoint_run, checkpoint_done, c);
}

/* The disk, or the journal's, may be better by now. */
static void
retry(void *arg)
{
	struct keeper *k = arg;

	if (k->try_again) {
		k->try_again = false;
		k->running = true;
		jobs_put(k->jobs, checkpoint_run, checkpoint_done,
		    &k->checkpoint);
	}
	if (k->failed && TAILQ_EMPTY(&k->pending)) {
		journal_retry(k->journal);
		k->failed = journal_failed(k->journal);
		if (!k->failed)
			log_warn(k->log, "keeper: the journal works again",
			    NULL);
	}
	if (k->failed)
		timer_set(k->retry, k->limits.retry_ms);
}

/* --- gathering ------------------------------------------------------------- */

static void
gather(struct keeper *k, enum op op, struct slice key)
{
	if (buf_len(&k->gathered) == 0)
		wire_put_u8(&k->gathered, RECORD_VERSION);
	wire_put_u8(&k->gathered, (uint8_t)op);
	wire_put_slice(&k->gathered, key);
}

void
keeper_put(struct keeper *k, struct slice key, struct slice value,
    const struct slice *tags, size_t ntags)
{
	struct buf whole;

	MUST(key.len > 0 && key.len <= TREEDB_KEY_MAX);
	gather(k, OP_PUT, key);
	buf_init(&whole, k->limits.change_octets);
	treedb_whole(&whole, value, tags, ntags);
	if (buf_failed(&whole)) /* then this is too large, too */
		buf_put(&k->gathered, NULL, k->limits.change_octets + 1);
	else
		wire_put_slice(&k->gathered, buf_slice(&whole));
	buf_fini(&whole);
}

void
keeper_delete(struct keeper *k, struct slice key)
{
	gather(k, OP_DELETE, key);
}

void
keeper_put_fact(struct keeper *k, const char *name, struct slice value)
{
	MUST(strlen(name) < 64);
	gather(k, OP_FACT, slice_str(name));
	wire_put_slice(&k->gathered, value);
}

void
keeper_cancel(struct keeper *k)
{
	buf_clear(&k->gathered);
}

/* --- changing memory ------------------------------------------------------- */

static int
add_undo(struct change *c, struct treedb *t, const struct parsed *p,
    struct buf *b, struct err *err)
{
	struct buf old;
	char name[64];
	struct undo *u;
	int found;

	buf_init(&old, SIZE_MAX / 2);
	if (p->op == OP_FACT) {
		snprintf(name, sizeof(name), "%.*s", (int)p->key.len,
		    (const char *)p->key.ptr);
		found = treedb_get_fact(t, name, &old, err);
	} else {
		found = treedb_get_whole(t, p->key, &old, err);
	}
	buf_clear(b);
	if (p->op == OP_FACT)
		wire_put_u8(b, OP_FACT);
	else
		wire_put_u8(b, found == 1 ? OP_PUT : OP_DELETE);
	wire_put_slice(b, p->key);
	if (p->op == OP_FACT || found == 1)
		wire_put_slice(b, buf_slice(&old));
	buf_fini(&old);
	if (found == -1)
		return -1;
	u = xmalloc(sizeof(*u) + buf_len(b));
	u->next = c->undo;
	u->len = buf_len(b);
	memcpy(u->octets, buf_data(b), u->len);
	c->undo = u;
	return 0;
}

static void
drop_undo(struct change *c)
{
	struct undo *u;

	while ((u = c->undo) != NULL) {
		c->undo = u->next;
		free(u);
	}
}

static int
apply_ops(struct change *c, struct treedb *t, struct err *err)
{
	struct parsed p;
	struct wire w;
	struct buf b;
	int rc = 0, more;

	if (record_begin(&w, slice_of(c->record, c->len), err) == -1)
		return -1;
	buf_init(&b, SIZE_MAX / 2);
	while (rc == 0 && (more = op_next(&w, &p)) != 0) {
		MUST(more == 1);
		rc = add_undo(c, t, &p, &b, err);
		if (rc == 0)
			rc = op_apply(t, &p, err);
	}
	buf_fini(&b);
	return rc;
}

/* Memory cannot refuse to be what it was before. */
static void
undo_change(struct change *c, struct treedb *t)
{
	struct err err;

	MUST(db_begin(treedb_db(t), &err) == 0);
	for (struct undo *u = c->undo; u != NULL; u = u->next) {
		struct parsed p;
		struct wire w;

		wire_init(&w, slice_of(u->octets, u->len));
		MUST(op_next(&w, &p) == 1);
		MUST(op_apply(t, &p, &err) == 0);
	}
	MUST(db_commit(treedb_db(t), &err) == 0);
}

/* --- committing ------------------------------------------------------------ */

static void
change_free(struct keeper *k, struct change *c)
{
	TAILQ_REMOVE(&k->pending, c, link);
	k->pending_octets -= c->len;
	drop_undo(c);
	free(c);
}

/* The first failure fails all that is pending: take it back, latest first. */
static void
roll_back(struct keeper *k)
{
	struct change *c;

	if (k->rolled_back)
		return;
	k->rolled_back = true;
	k->failed = true;
	log_err(k->log, "keeper: the journal refuses changes", "why",
	    journal_error(k->journal), NULL);
	TAILQ_FOREACH_REVERSE(c, &k->pending, changes, link)
	undo_change(c, k->tree);
	timer_set(k->retry, k->limits.retry_ms);
}

static void
written(void *arg, uint64_t number, bool failed)
{
	struct change *c = arg;
	struct keeper *k = c->keeper;
	keeper_cb *cb = c->cb;
	void *cb_arg = c->arg;

	MUST(c == TAILQ_FIRST(&k->pending) && c->number == number);
	if (failed) {
		roll_back(k);
	} else {
		MUST(!k->rolled_back);
		k->durable = number;
		wire_put_slice(&k->since, slice_of(c->record, c->len));
	}
	change_free(k, c);
	if (TAILQ_EMPTY(&k->pending))
		k->rolled_back = false;
	start_checkpoint(k);
	if (cb != NULL)
		cb(cb_arg, number, failed);
}

static int
refuse(struct keeper *k, struct err *err)
{
	size_t n = buf_len(&k->gathered);

	if (buf_failed(&k->gathered))
		return err_set(err, "the change is too large");
	if (k->failed)
		return err_set(err, "the disk refuses changes");
	if (n > k->limits.pending_octets - k->pending_octets)
		return err_set(err, "too many changes wait for the disk");
	if (buf_len(&k->since) / BEHIND_MAX > k->limits.checkpoint_octets)
		return err_set(err, "checkpoints do not keep up");
	return 0;
}

static int
apply(struct keeper *k, struct change *c, struct err *err)
{
	struct db *db = treedb_db(k->tree);

	if (db_begin(db, err) == -1)
		return -1;
	if (apply_ops(c, k->tree, err) == -1) {
		db_cancel(db);
		return -1;
	}
	return db_commit(db, err);
}

int
keeper_commit(struct keeper *k, keeper_cb *cb, void *arg, struct err *err)
{
	struct change *c;
	size_t n;

	MUST(!k->closed);
	if (buf_len(&k->gathered) == 0)
		wire_put_u8(&k->gathered, RECORD_VERSION);
	n = buf_len(&k->gathered);
	if (refuse(k, err) == -1) {
		buf_clear(&k->gathered);
		return -1;
	}
	c = xcalloc(1, sizeof(*c) + n);
	c->keeper = k;
	c->cb = cb;
	c->arg = arg;
	c->len = n;
	memcpy(c->record, buf_data(&k->gathered), n);
	buf_clear(&k->gathered);
	if (apply(k, c, err) == -1) {
		drop_undo(c);
		free(c);
		return -1;
	}
	c->number = journal_put(k->journal, slice_of(c->record, n), written, c);
	MUST(c->number > k->last);
	k->last = c->number;
	k->pending_octets += n;
	TAILQ_INSERT_TAIL(&k->pending, c, link);
	return 0;
}

uint64_t
keeper_last(const struct keeper *k)
{
	return k->last;
}

uint64_t
keeper_durable(const struct keeper *k)
{
	return k->durable;
}

bool
keeper_failed(const struct keeper *k)
{
	return k->failed;
}

struct treedb *
keeper_tree(struct keeper *k)
{
	return k->tree;
}

/* --- opening and closing --------------------------------------------------- */

/* At opening: into the tree on disk, in pieces of a checkpoint's size. */
static int
replay(void *arg, uint64_t number, struct slice record, struct err *err)
{
	struct keeper *k = arg;
	struct checkpoint *c = &k->checkpoint;

	wire_put_slice(&c->records, record);
	c->number = number;
	if (buf_len(&c->records) < k->limits.checkpoint_octets)
		return 0;
	if (write_checkpoint(c, err) == -1)
		return -1;
	buf_clear(&c->records);
	return 0;
}

static int
recover(struct keeper *k, const char *dir, struct err *err)
{
	struct checkpoint *c = &k->checkpoint;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tree", dir);
	if (treedb_open(&k->disk, path, k->limits.shards, DB_DURABLE, err) ==
	        -1 ||
	    read_number(k->disk, &k->last, err) == -1)
		return -1;
	c->disk = k->disk;
	c->number = k->last;
	snprintf(path, sizeof(path), "%s/journal", dir);
	if (journal_open(&k->journal, k->loop, k->jobs, path, k->last, replay,
	        k, err) == -1)
		return -1;
	if (buf_len(&c->records) > 0 && write_checkpoint(c, err) == -1)
		return -1;
	buf_fini(&c->records);
	k->last = k->durable = c->number;
	journal_drop(k->journal, k->last);
	if (treedb_open(&k->tree, NULL, db_shards(treedb_db(k->disk)),
	        DB_MEMORY, err) == -1)
		return -1;
	return db_copy(treedb_db(k->tree), treedb_db(k->disk), err);
}

int
keeper_open(struct keeper **kp, struct loop *l, struct jobs *jobs,
    struct log *log, const char *dir, const struct keeper_limits *limits,
    struct err *err)
{
	struct keeper *k = xcalloc(1, sizeof(*k));

	k->loop = l;
	k->jobs = jobs;
	k->log = log;
	k->limits = limits == NULL ? keeper_defaults() : *limits;
	TAILQ_INIT(&k->pending);
	buf_init(&k->gathered, k->limits.change_octets);
	buf_init(&k->since, SIZE_MAX / 2);
	buf_init(&k->checkpoint.records, SIZE_MAX / 2);
	k->retry = timer_new(l, retry, k);
	*kp = k;
	if (mkdir(dir, 0750) == -1 && errno != EEXIST)
		err_sys(err, "%s", dir);
	else if (recover(k, dir, err) == 0)
		return 0;
	keeper_close(kp);
	return err_add(err, "opening %s", dir);
}

void
keeper_close(struct keeper **kp)
{
	struct keeper *k = *kp;
	struct change *c;

	if (k == NULL)
		return;
	*kp = NULL;
	journal_close(&k->journal);
	while ((c = TAILQ_FIRST(&k->pending)) != NULL)
		change_free(k, c);
	treedb_close(&k->tree);
	timer_free(&k->retry);
	buf_fini(&k->gathered);
	k->closed = true;
	if (!k->running)
		keeper_end(k);
}
