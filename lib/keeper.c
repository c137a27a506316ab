#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/keeper.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/pages.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

/* A change is a row of these.  They are what the journal's records hold. */
enum op {
	OP_PUT = 1, /* key, whole */
	OP_DELETE,  /* key */
	OP_FACT,    /* name, value */
	OP_NO_FACT  /* name; only to take a change back */
};

enum {
	RECORD_VERSION = 1,
	/* Checkpoints that fail may fall so many behind before commits are
	 * refused. */
	BEHIND_MAX = 8,
	/* A checkpoint writes whole pages: with so much of the tree in the
	 * journal most of them have changed anyway. */
	PART_OF_TREE = 8
};

/* In the db of pages: the last journal record that is in them. */
static const char number_key[] = "keeper.number";

/* Committed, not durable yet. */
struct change {
	TAILQ_ENTRY(change) link;
	struct keeper *keeper;
	uint64_t number;
	keeper_cb *cb;
	void *arg;
	size_t len; /* of its record */
	size_t undo_len;
	uint8_t undo[]; /* opposite ops, each with its length behind it */
};

TAILQ_HEAD(changes, change);

enum checkpoint_state {
	CHECKPOINT_NONE,
	CHECKPOINT_WAITING, /* until what is in it is durable */
	CHECKPOINT_WRITING, /* in a job */
	CHECKPOINT_RESTING /* it failed, and is made again when the timer says */
};

/* Pages on their way to the disk. */
struct checkpoint {
	enum checkpoint_state state;
	struct pages_snapshot *pages;
	uint64_t number; /* of the last change in them */
	size_t octets;   /* of changes, since the last */
	bool failed;
	struct err err;
};

struct keeper {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct keeper_limits limits;
	struct treedb *tree; /* memory */
	struct db *disk;     /* the job's, while one runs */
	struct journal *journal;
	struct timer *retry;
	struct buf gathered, undo;
	struct changes pending;
	size_t pending_octets;
	uint64_t last, durable;
	size_t since; /* octets of changes since the last snapshot */
	struct checkpoint checkpoint;
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
		.retry_ms = 1000,
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
	case OP_NO_FACT:
		return w->failed ? -1 : 1;
	}
	return -1;
}

/* *old: what was there, if the answer is 1. */
static int
op_apply(struct treedb *t, const struct parsed *p, struct slice *old,
    struct err *err)
{
	switch (p->op) {
	case OP_PUT:
		return treedb_swap_whole(t, p->key, &p->value, old, err);
	case OP_DELETE:
		return treedb_swap_whole(t, p->key, NULL, old, err);
	case OP_FACT:
		return treedb_swap_fact(t, p->key, &p->value, old, err);
	case OP_NO_FACT:
		return treedb_swap_fact(t, p->key, NULL, old, err);
	}
	return err_set(err, "an unknown kind of change");
}

static bool
op_is_sane(const struct parsed *p)
{
	return p->key.len > 0 && p->key.len <= TREEDB_KEY_MAX;
}

/* The op that makes it as it was. */
static void
put_opposite(struct buf *b, const struct parsed *p, int found, struct slice old)
{
	bool fact = p->op == OP_FACT || p->op == OP_NO_FACT;
	size_t begin = buf_len(b);

	if (found == 1) {
		wire_put_u8(b, fact ? OP_FACT : OP_PUT);
		wire_put_slice(b, p->key);
		wire_put_slice(b, old);
	} else {
		wire_put_u8(b, fact ? OP_NO_FACT : OP_DELETE);
		wire_put_slice(b, p->key);
	}
	wire_put_u32(b, (uint32_t)(buf_len(b) - begin));
}

/* Inside a transaction.  The opposite ops go to undo unless that is NULL. */
static int
apply_ops(struct treedb *t, struct slice record, struct buf *undo,
    struct err *err)
{
	struct parsed p;
	struct slice old;
	struct wire w;
	int found, more;

	wire_init(&w, record);
	if (wire_u8(&w) != RECORD_VERSION)
		return err_set(err, "a change of a version not known");
	while ((more = op_next(&w, &p)) == 1) {
		if (!op_is_sane(&p))
			return err_set(err, "a damaged change");
		found = op_apply(t, &p, &old, err);
		if (found == -1)
			return -1;
		if (undo != NULL)
			put_opposite(undo, &p, found, old);
	}
	return more == 0 ? 0 : err_set(err, "a damaged change");
}

static int
apply(struct keeper *k, struct slice record, struct buf *undo, struct err *err)
{
	if (treedb_begin(k->tree, err) == -1)
		return -1;
	if (apply_ops(k->tree, record, undo, err) == -1) {
		treedb_cancel(k->tree);
		return -1;
	}
	return treedb_commit(k->tree, err);
}

/* Memory cannot refuse to be what it was before. */
static void
undo_change(struct change *c, struct treedb *t)
{
	struct slice rest = slice_of(c->undo, c->undo_len), old;
	struct parsed p;
	struct wire w;
	struct err err;

	MUST(treedb_begin(t, &err) == 0);
	while (rest.len > 0) {
		size_t len;

		wire_init(&w, slice_skip(rest, rest.len - 4));
		len = wire_u32(&w);
		MUST(len <= rest.len - 4);
		wire_init(&w, slice_of(rest.ptr + rest.len - 4 - len, len));
		MUST(op_next(&w, &p) == 1);
		MUST(op_apply(t, &p, &old, &err) != -1);
		rest = slice_first(rest, rest.len - 4 - len);
	}
	MUST(treedb_commit(t, &err) == 0);
}

/* --- checkpoints ----------------------------------------------------------- */

static int
put_number(struct keeper *k, struct err *err)
{
	struct buf b;
	int rc;

	buf_init(&b, 8);
	wire_put_u64(&b, k->checkpoint.number);
	rc = db_put(k->disk, 0, slice_str(number_key), buf_slice(&b), err);
	buf_fini(&b);
	return rc;
}

/*
 * A transaction for each shard, the number with the last: a crash in between
 * leaves some changes in the pages that the journal brings again, to the same
 * effect.
 */
static int
write_checkpoint(struct keeper *k, struct err *err)
{
	for (unsigned i = db_shards(k->disk); i-- > 0;) {
		if (db_begin(k->disk, err) == -1)
			return -1;
		if (pages_snapshot_write(k->checkpoint.pages, i, k->disk,
		        err) == -1 ||
		    (i == 0 && put_number(k, err) == -1)) {
			db_cancel(k->disk);
			return -1;
		}
		if (db_commit(k->disk, err) == -1)
			return -1;
	}
	return 0;
}

static int
read_number(struct keeper *k, struct err *err)
{
	struct buf b;
	struct wire w;
	int found;

	buf_init(&b, 64);
	found = db_get(k->disk, 0, slice_str(number_key), &b, err);
	wire_init(&w, buf_slice(&b));
	k->last = found == 1 ? wire_u64(&w) : 0;
	if (found == 1 && !wire_done(&w))
		found = err_set(err, "damaged number of the last change");
	buf_fini(&b);
	return found == -1 ? -1 : 0;
}

static void
keeper_end(struct keeper *k)
{
	treedb_close(&k->tree);
	db_close(&k->disk);
	free(k);
}

static void
checkpoint_run(void *arg)
{
	struct keeper *k = arg;

	k->checkpoint.failed = write_checkpoint(k, &k->checkpoint.err) == -1;
}

static void
snapshot_end(struct keeper *k, bool written)
{
	struct checkpoint *c = &k->checkpoint;

	pages_snapshot_end(treedb_pages(k->tree), &c->pages, written);
	if (!written)
		k->since += c->octets;
	c->state = CHECKPOINT_NONE;
}

static void advance_checkpoint(struct keeper *k);

static void
checkpoint_done(void *arg)
{
	struct keeper *k = arg;
	struct checkpoint *c = &k->checkpoint;

	MUST(c->state == CHECKPOINT_WRITING);
	snapshot_end(k, !c->failed);
	if (k->closed) {
		keeper_end(k);
		return;
	}
	if (c->failed) {
		log_err(k->log, "keeper: cannot write a checkpoint", "why",
		    c->err.text, NULL);
		c->state = CHECKPOINT_RESTING;
		timer_set(k->retry, k->limits.retry_ms);
		return;
	}
	journal_drop(k->journal, c->number);
	advance_checkpoint(k);
}

static bool
is_due(const struct keeper *k)
{
	return k->since >= k->limits.checkpoint_octets &&
	       k->since >= pages_octets(treedb_pages(k->tree)) / PART_OF_TREE;
}

/* Begins one if it is due, goes on with one that waits. */
static void
advance_checkpoint(struct keeper *k)
{
	struct checkpoint *c = &k->checkpoint;

	if (c->state == CHECKPOINT_NONE && !k->failed && is_due(k)) {
		c->pages = pages_snapshot(treedb_pages(k->tree));
		c->number = TAILQ_EMPTY(&k->pending) ? k->durable : k->last;
		c->octets = k->since;
		k->since = 0;
		c->state = CHECKPOINT_WAITING;
	}
	/* What the journal may still refuse must not reach the pages. */
	if (c->state == CHECKPOINT_WAITING && k->durable >= c->number) {
		c->state = CHECKPOINT_WRITING;
		jobs_put(k->jobs, checkpoint_run, checkpoint_done, k);
	}
}

/* The disk, or the journal's, may be better by now. */
static void
retry(void *arg)
{
	struct keeper *k = arg;

	if (k->checkpoint.state == CHECKPOINT_RESTING)
		k->checkpoint.state = CHECKPOINT_NONE;
	if (k->failed && TAILQ_EMPTY(&k->pending)) {
		journal_retry(k->journal);
		k->failed = journal_failed(k->journal);
		if (!k->failed)
			log_warn(k->log, "keeper: the journal works again",
			    NULL);
	}
	if (k->failed)
		timer_set(k->retry, k->limits.retry_ms);
	advance_checkpoint(k);
}

/* --- gathering ------------------------------------------------------------- */

static void
gather(struct keeper *k, enum op op, struct slice key)
{
	MUST(key.len > 0 && key.len <= TREEDB_KEY_MAX);
	if (buf_len(&k->gathered) == 0)
		wire_put_u8(&k->gathered, RECORD_VERSION);
	wire_put_u8(&k->gathered, (uint8_t)op);
	wire_put_slice(&k->gathered, key);
}

void
keeper_put(struct keeper *k, struct slice key, struct slice value,
    const struct slice *tags, size_t ntags)
{
	gather(k, OP_PUT, key);
	wire_put_u32(&k->gathered,
	    (uint32_t)treedb_whole_size(value, tags, ntags));
	treedb_whole(&k->gathered, value, tags, ntags);
}

void
keeper_delete(struct keeper *k, struct slice key)
{
	gather(k, OP_DELETE, key);
}

void
keeper_put_fact(struct keeper *k, const char *name, struct slice value)
{
	gather(k, OP_FACT, slice_str(name));
	wire_put_slice(&k->gathered, value);
}

void
keeper_cancel(struct keeper *k)
{
	buf_clear(&k->gathered);
}

/* --- committing ------------------------------------------------------------ */

static void
change_free(struct keeper *k, struct change *c)
{
	TAILQ_REMOVE(&k->pending, c, link);
	k->pending_octets -= c->len;
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
	if (k->checkpoint.state == CHECKPOINT_WAITING)
		snapshot_end(k, false);
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
	}
	change_free(k, c);
	/* What was taken back is not there to be waited for. */
	if (TAILQ_EMPTY(&k->pending) && k->rolled_back) {
		k->rolled_back = false;
		k->last = k->durable;
	}
	advance_checkpoint(k);
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
	if (is_due(k) && k->since / BEHIND_MAX > k->limits.checkpoint_octets &&
	    k->checkpoint.state != CHECKPOINT_NONE)
		return err_set(err, "checkpoints do not keep up");
	return 0;
}

static struct change *
change_new(struct keeper *k, keeper_cb *cb, void *arg)
{
	size_t n = buf_len(&k->undo);
	struct change *c = xmalloc(sizeof(*c) + n);

	MUST(!buf_failed(&k->undo));
	*c = (struct change){ .keeper = k,
		.cb = cb,
		.arg = arg,
		.len = buf_len(&k->gathered),
		.undo_len = n };
	if (n > 0)
		memcpy(c->undo, buf_data(&k->undo), n);
	return c;
}

int
keeper_commit(struct keeper *k, keeper_cb *cb, void *arg, struct err *err)
{
	struct change *c;
	struct slice record;

	MUST(!k->closed);
	if (buf_len(&k->gathered) == 0)
		wire_put_u8(&k->gathered, RECORD_VERSION);
	record = buf_slice(&k->gathered);
	buf_clear(&k->undo);
	if (refuse(k, err) == -1 || apply(k, record, &k->undo, err) == -1) {
		buf_clear(&k->gathered);
		return -1;
	}
	c = change_new(k, cb, arg);
	c->number = journal_put(k->journal, record, written, c);
	MUST(c->number > k->last);
	k->last = c->number;
	k->pending_octets += record.len;
	k->since += record.len;
	TAILQ_INSERT_TAIL(&k->pending, c, link);
	buf_clear(&k->gathered);
	return 0;
}

struct waiter {
	keeper_done *done;
	void *arg;
};

static void
ended(void *arg, uint64_t number, bool failed)
{
	struct waiter *w = arg;

	(void)number; /* order is enough here */
	w->done(w->arg, failed);
	free(w);
}

static void
refused(void *arg)
{
	ended(arg, 0, true);
}

void
keeper_commit_for(struct keeper *k, const char *what, const char *whom,
    keeper_done *done, void *arg)
{
	struct waiter *w = xcalloc(1, sizeof(*w));
	struct err err;

	*w = (struct waiter){ done, arg };
	if (keeper_commit(k, ended, w, &err) == 0)
		return;
	log_err(k->log, what, "of", whom, "why", err.text, NULL);
	loop_at_end(k->loop, refused, w);
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

static int
replay(void *arg, uint64_t number, struct slice record, struct err *err)
{
	struct keeper *k = arg;

	if (apply(k, record, NULL, err) == -1)
		return -1;
	k->last = number;
	k->since += record.len;
	return 0;
}

static int
recover(struct keeper *k, const char *dir, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tree", dir);
	if (db_open(&k->disk, path, k->limits.shards, DB_DURABLE, err) == -1 ||
	    treedb_open(&k->tree, NULL, db_shards(k->disk), DB_MEMORY, err) ==
	        -1 ||
	    pages_load(treedb_pages(k->tree), k->disk, err) == -1 ||
	    read_number(k, err) == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/journal", dir);
	if (journal_open(&k->journal, k->loop, k->jobs, path, k->last, replay,
	        k, err) == -1)
		return -1;
	k->durable = k->last;
	advance_checkpoint(k);
	return 0;
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
	buf_init(&k->undo, SIZE_MAX / 2);
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
	if (k->checkpoint.state == CHECKPOINT_WAITING)
		snapshot_end(k, false);
	timer_free(&k->retry);
	buf_fini(&k->gathered);
	buf_fini(&k->undo);
	k->closed = true;
	if (k->checkpoint.state != CHECKPOINT_WRITING)
		keeper_end(k);
}
