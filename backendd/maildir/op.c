#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/maildir/maildir.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SCAN_COST = 20, /* a scan is not again before so many times as long */
	RACY_MS = 1000  /* a directory's time is not finer, with some disks */
};

static const char *
refusal_of(const struct box *b)
{
	return b != NULL && b->hurt
	           ? "The disk is full or failing, try again later"
	           : NULL;
}

bool
md_op_idle(const struct box *b)
{
	return !b->running && TAILQ_EMPTY(&b->ops);
}

/* ---- the end ---- */

static void
effect_free(struct effect *e)
{
	buf_fini(&e->record);
	buf_fini(&e->cached);
	free(e->changed);
	free(e->expunged);
}

static void
op_free(struct md_op *op)
{
	for (size_t i = 0; op->pieces != NULL && i < op->n; i++)
		free(op->pieces[i].name);
	for (unsigned i = 0; i < op->scan.nwanted; i++)
		free(op->scan.wanted[i]);
	free(op->scan.changed);
	free(op->scan.expunged);
	free(op->pieces);
	free(op->meta);
	effect_free(&op->in);
	effect_free(&op->out);
	free(op);
}

static void
apply(struct effect *e)
{
	struct box *b = e->box;
	struct err err;

	if (b == NULL || !e->logged)
		return;
	b->x.end = e->end;
	MUST(md_index_apply(&b->x, buf_slice(&e->record), &err) == 0);
	b->store.numbers = md_index_numbers(&b->x);
}

static void
tell(struct effect *e)
{
	struct box *b = e->box;
	struct store_news news = { .first_uid = e->first_uid,
		.last_uid = e->last_uid,
		.changed = e->changed,
		.nchanged = e->nchanged,
		.expunged = e->expunged,
		.nexpunged = e->nexpunged };

	if (b == NULL || !e->logged || b->store.observer == NULL ||
	    (news.first_uid == 0 && news.nchanged == 0 && news.nexpunged == 0 &&
	        e->highest < e->modseq))
		return;
	news.modseq = b->x.highestmodseq;
	b->store.observer(b->store.observer_arg, &news);
}

static void
scan_done(struct md_op *op)
{
	struct box *b = op->box;
	struct md_scan *s = &op->scan;
	int64_t now = loop_wall(b->md->env.loop).ms;

	if (op->failed)
		return;
	md_box_say_unread(b, s->nunread, &s->unread);
	b->times = s->times;
	/* Once more, if what came just after would not be seen. */
	if (b->wd[0] != -1)
		b->own_ms = 0; /* it is told */
	else if (now - (int64_t)s->times.cur.tv_sec * 1000 < 2 * RACY_MS ||
	         now - (int64_t)s->times.new.tv_sec * 1000 < 2 * RACY_MS)
		b->times.cur.tv_nsec = -1;
	b->scan_after_ms = loop_now(b->md->env.loop).ms +
	                   SCAN_COST * (now - s->times.looked_ms);
	for (unsigned i = 0; i < s->nwanted; i++)
		if (store_keyword_add(&b->store, slice_str(s->wanted[i])) == -1)
			return;
	if (s->nwanted > 0)
		md_op_scan(b);
	op->in.first_uid = s->first_uid;
	op->in.last_uid = s->last_uid;
	free(op->in.changed);
	free(op->in.expunged);
	op->in.changed = s->changed;
	op->in.expunged = s->expunged;
	op->in.nchanged = s->nchanged;
	op->in.nexpunged = s->nexpunged;
	s->changed = s->expunged = NULL;
}

/* What is asked to be synced, behind one that has failed. */
static void
fail_syncs(struct box *b, const char *why)
{
	struct slot *s;

	TAILQ_FOREACH (s, &b->ops, entry)
		if (s->op->kind == MD_OP_SYNC)
			s->op->why = why;
}

static void
leave(struct md_op *op)
{
	TAILQ_REMOVE(&op->box->ops, &op->slots[0], entry);
	op->box->running = false;
	if (op->to == NULL || op->to == op->box)
		return;
	TAILQ_REMOVE(&op->to->ops, &op->slots[1], entry);
	op->to->running = false;
}

static void
meta_done(struct md_op *op)
{
	struct maildir *md = op->md;
	struct box *b = op->box;
	char *old;

	if (op->failed || op->why != NULL)
		return;
	if (op->kind == MD_OP_META)
		md_box_set_meta(b, slice_of(op->meta, op->meta_len));
	old = map_put(&md->paths, slice_str(b->store.id), xstrdup(op->path));
	free(old);
}

static void
failed(struct md_op *op)
{
	log_err(op->md->env.log, "maildir: change not made", "dir", op->md->dir,
	    "mailboxid", op->box->store.id, "why", op->err.text, NULL);
	op->why = "The disk is full or failing, try again later";
	/* A look at the files is nobody's change. */
	if (op->kind != MD_OP_SCAN && op->kind != MD_OP_CACHE)
		fail_syncs(op->box, op->why);
}

static void
done(void *arg)
{
	struct md_op *op = arg;
	struct maildir *md = op->md;
	struct box *b = op->box, *to = op->to;
	store_cb *cb = op->cb;
	void *cb_arg = op->arg;
	const char *why;

	leave(op);
	b->own_ms = loop_now(md->env.loop).ms;
	if (to != NULL)
		to->own_ms = b->own_ms;
	if (op->kind == MD_OP_SCAN)
		scan_done(op);
	if (op->kind == MD_OP_META || op->kind == MD_OP_EVICT)
		meta_done(op);
	if (op->failed)
		failed(op);
	apply(&op->in);
	apply(&op->out);
	tell(&op->in);
	tell(&op->out);
	if (op->in.unsettled)
		md_box_hurt(op->in.box);
	if (op->out.unsettled)
		md_box_hurt(op->out.box);
	why = op->why;
	op_free(op);
	if (cb != NULL)
		cb(cb_arg, why);
	md_op_pump(b);
	if (to != NULL && to != b)
		md_op_pump(to);
	if (to != NULL && to != b)
		md_box_release(to);
	md_box_release(b);
	md->busy--;
}

/* ---- the beginning ---- */

static void
begin_effect(struct effect *e, struct box *b)
{
	e->box = b;
	e->nkeywords = b->names.nkeywords;
	e->recent = b->store.recent;
	buf_put_slice(&e->cached, buf_slice(&b->cached));
	buf_clear(&b->cached);
	buf_trim(&b->cached);
}

static uint64_t
allocate_cache(struct box *b, size_t len)
{
	uint64_t at = b->cache_end;

	b->cache_end += MD_CACHE_HEAD + len;
	return md_cache_place(at, len);
}

static void
take_source(struct md_op *op, struct store_append *a, struct piece *p)
{
	struct box *from = md_box_of(a->from);
	const struct md_msg *m = md_index_find(&from->x, a->from_uid);
	size_t len;

	p->from = true;
	if (m == NULL) {
		p->gone = true;
		return;
	}
	p->fromfd = from->dirfd;
	p->name = xstrdup(m->name);
	p->letters = m->m.place[0];
	p->size = m->m.size;
	p->file = m->m.place[1];
	memcpy(p->emailid, m->m.emailid, 16);
	if (a->internaldate == 0) {
		a->internaldate = m->m.internaldate;
		a->zone = m->m.zone;
	}
	len = md_cache_len(m->cache);
	if (len > 0 && a->cache.len == 0) {
		p->cache_from = m->cache;
		p->cache_to = allocate_cache(op->in.box, len);
	}
}

static void
begin_append(struct md_op *op)
{
	op->pieces = xcalloc(op->n + 1, sizeof *op->pieces);
	for (size_t i = 0; i < op->n; i++) {
		struct store_append *a = &op->appends[i];
		struct piece *p = &op->pieces[i];

		if (a->from != NULL)
			take_source(op, a, p);
		if (a->cache.len > 0)
			p->cache_to = allocate_cache(op->in.box, a->cache.len);
	}
}

static void
begin_meta(struct md_op *op)
{
	struct maildir *md = op->md;
	const char *was = map_find(&md->paths, slice_str(op->box->store.id));

	MUST(was != NULL);
	memcpy(op->was, was, strlen(was) + 1);
	if (op->kind == MD_OP_EVICT)
		snprintf(op->path, sizeof op->path, ".by-id/%s",
		    op->box->store.id);
	else if (maildir_path(md, op->box->store.id,
	             slice_of(op->meta, op->meta_len), op->path) == -1)
		memcpy(op->path, op->was, sizeof op->path);
}

static uint64_t
octets_of(const struct md_op *op)
{
	uint64_t n = 0;

	for (size_t i = 0; op->appends != NULL && i < op->n; i++)
		n += op->appends[i].octets.len;
	return n;
}

static void
run_op(void *arg)
{
	md_op_run(arg);
}

static void
begin(struct md_op *op, bool two)
{
	const char *path;

	begin_effect(&op->in, two ? op->to : op->box);
	if (two) {
		begin_effect(&op->out, op->box);
		path = map_find(&op->md->paths, slice_str(op->to->store.id));
		MUST(path != NULL);
		memcpy(op->to_path, path, strlen(path) + 1);
	}
	if (op->appends != NULL)
		begin_append(op);
	if (op->kind == MD_OP_META || op->kind == MD_OP_EVICT)
		begin_meta(op);
}

static void
start(struct md_op *op)
{
	struct maildir *md = op->md;
	bool two = op->to != NULL && op->to != op->box;

	op->box->running = true;
	if (two)
		op->to->running = true;
	if (op->why == NULL)
		op->why = refusal_of(op->box);
	if (op->why == NULL && op->kind != MD_OP_SYNC)
		op->why = refusal_of(op->to);
	if (op->why == NULL && op->appends != NULL)
		op->why = maildir_refusal(md, octets_of(op));
	op->now = loop_wall(md->env.loop).ms / 1000;
	op->scan.times.looked_ms = loop_wall(md->env.loop).ms;
	if (op->why == NULL && op->kind != MD_OP_SYNC)
		begin(op, two);
	jobs_put(md->env.jobs, run_op, done, op);
}

static bool
is_first(struct md_op *op, struct box *b)
{
	return !b->running && TAILQ_FIRST(&b->ops)->op == op;
}

void
md_op_pump(struct box *b)
{
	struct slot *s = TAILQ_FIRST(&b->ops);

	if (s == NULL || b->running)
		return;
	if (is_first(s->op, s->op->box) &&
	    (s->op->to == NULL || is_first(s->op, s->op->to)))
		start(s->op);
}

static struct md_op *
op_new(struct box *b, struct box *to, enum md_op_kind kind, store_cb *cb,
    void *arg)
{
	struct md_op *op = xcalloc(1, sizeof *op);

	op->kind = kind;
	op->md = b->md;
	op->box = b;
	op->to = to;
	op->rootfd = b->md->dirfd;
	op->key_days = b->md->env.key_days;
	op->cb = cb;
	op->arg = arg;
	op->slots[0].op = op->slots[1].op = op;
	buf_init(&op->in.record, 1);
	buf_init(&op->out.record, 1);
	buf_init(&op->in.cached, MD_RECORD_MAX);
	buf_init(&op->out.cached, MD_RECORD_MAX);
	b->md->busy++;
	md_box_hold(b);
	TAILQ_INSERT_TAIL(&b->ops, &op->slots[0], entry);
	if (to != NULL && to != b) {
		md_box_hold(to);
		TAILQ_INSERT_TAIL(&to->ops, &op->slots[1], entry);
	}
	return op;
}

/* ---- what is asked ---- */

void
md_op_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg)
{
	struct box *b = md_box_of(mb);
	struct md_op *op = op_new(b, NULL, MD_OP_APPEND, cb, arg);

	op->appends = a;
	op->n = n;
	md_op_pump(b);
}

void
md_op_move(struct store_mailbox *mb, struct store_mailbox *to,
    struct store_append *a, size_t n, store_cb *cb, void *arg)
{
	struct box *b = md_box_of(mb);
	struct md_op *op = op_new(b, md_box_of(to), MD_OP_MOVE, cb, arg);

	op->appends = a;
	op->n = n;
	md_op_pump(b);
}

void
md_op_change(struct store_mailbox *mb, struct store_change *c, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg)
{
	struct box *b = md_box_of(mb);
	struct md_op *op = op_new(b, NULL, MD_OP_CHANGE, cb, arg);

	op->changes = c;
	op->n = n;
	op->unchanged_since = unchanged_since;
	md_op_pump(b);
}

void
md_op_expunge(struct store_mailbox *mb, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg)
{
	struct box *b = md_box_of(mb);
	struct md_op *op = op_new(b, NULL, MD_OP_EXPUNGE, cb, arg);

	op->uids = uids;
	op->n = n;
	op->if_flags = if_flags;
	md_op_pump(b);
}

void
md_op_set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb,
    void *arg)
{
	struct box *b = md_box_of(mb);
	struct md_op *op = op_new(b, NULL, MD_OP_META, cb, arg);

	op->meta = (uint8_t *)xstrndup(meta.ptr, meta.len);
	op->meta_len = meta.len;
	md_op_pump(b);
}

void
md_op_sync(struct store_mailbox *mb, store_cb *cb, void *arg)
{
	struct box *b = md_box_of(mb);

	op_new(b, NULL, MD_OP_SYNC, cb, arg);
	md_op_pump(b);
}

void
md_op_scan(struct box *b)
{
	op_new(b, NULL, MD_OP_SCAN, NULL, NULL);
	md_op_pump(b);
}

void
md_op_evict(struct box *b, store_cb *cb, void *arg)
{
	op_new(b, NULL, MD_OP_EVICT, cb, arg);
	md_op_pump(b);
}

void
md_op_flush_cache(struct box *b)
{
	op_new(b, NULL, MD_OP_CACHE, NULL, NULL);
	md_op_pump(b);
}
