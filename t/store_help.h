/*
 * store_help: what the tests of stores share.
 *
 * A store run by a loop that a helper turns until the answer is there; a model
 * of what a store should hold; and a workload that is the same for the same
 * seed, done to both.  The state of either is put into words, so that equal is
 * strcmp().
 */
#ifndef T_STORE_HELP_H
#define T_STORE_HELP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/store.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/hash.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

struct rig {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct store *store;
	size_t due;    /* call backs to come */
	char why[200]; /* the last refusal; empty: none */
	struct store_mailbox *opened;
	struct store_chunk *chunk;
	struct store_gone gone[64];
	size_t ngone;
	struct store_held *held; /* who asked frees it */
	size_t nheld;
};

static inline int
rig_start_with(struct rig *r, const struct store_module *module,
    const struct store_options *options, const struct store_naming *naming,
    const char *dir)
{
	struct store_env env;
	struct err err;

	memset(r, 0, sizeof *r);
	r->loop = loop_new();
	r->jobs = jobs_new(r->loop, 2);
	r->log = log_new("test", LOG_LEVEL_ERR, true);
	env = (struct store_env){ .loop = r->loop,
		.jobs = r->jobs,
		.log = r->log,
		.naming = naming,
		.key_days = 3,
		.options = *options };
	if (store_start(&r->store, module, &env, dir, &err) == -1) {
		printf("# %s\n", err.text);
		return -1;
	}
	return 0;
}

static inline int
rig_start(struct rig *r, const struct store_module *module, const char *dir)
{
	static const struct store_options plain;

	return rig_start_with(r, module, &plain, NULL, dir);
}

static inline void
rig_turn(struct rig *r)
{
	if (r->due > 0)
		loop_run(r->loop);
}

static inline void
rig_came(struct rig *r)
{
	MUST(r->due > 0);
	if (--r->due == 0)
		loop_stop(r->loop);
}

static inline void
rig_poll(void *arg)
{
	loop_stop(arg);
}

/* Until what it does by itself is done, too. */
static inline void
rig_idle(struct rig *r)
{
	struct timer *t = timer_new(r->loop, rig_poll, r->loop);

	while (r->store != NULL && store_busy(r->store) > 0) {
		timer_set(t, 1);
		loop_run(r->loop);
	}
	timer_free(&t);
}

static inline void
rig_stop(struct rig *r)
{
	rig_idle(r);
	store_stop(&r->store);
	jobs_free(&r->jobs);
	loop_free(&r->loop);
	log_free(&r->log);
}

/* When rig_start() failed. */
static inline void
rig_stop_failed(struct rig *r)
{
	jobs_free(&r->jobs);
	loop_free(&r->loop);
	log_free(&r->log);
}

static inline void
rig_cb(void *arg, const char *why)
{
	struct rig *r = arg;

	if (why != NULL)
		snprintf(r->why, sizeof r->why, "%s", why);
	rig_came(r);
}

static inline void
rig_open_cb(void *arg, struct store_mailbox *mb, const char *why)
{
	struct rig *r = arg;

	r->opened = mb;
	rig_cb(r, why);
}

static inline void
rig_read_cb(void *arg, struct store_chunk *chunk)
{
	struct rig *r = arg;

	r->chunk = chunk;
	rig_came(r);
}

static inline void
rig_gone_cb(void *arg, const struct store_gone *gone, size_t n, const char *why)
{
	struct rig *r = arg;

	MUST(n <= NITEMS(r->gone));
	if (n > 0)
		memcpy(r->gone, gone, n * sizeof *gone);
	r->ngone = n;
	rig_cb(r, why);
}

static inline void
rig_held_cb(void *arg, const struct store_held *held, size_t n, const char *why)
{
	struct rig *r = arg;

	r->nheld = n;
	r->held = xmalloc((n + 1) * sizeof *held);
	if (n > 0)
		memcpy(r->held, held, n * sizeof *held);
	rig_cb(r, why);
}

/* Expects an answer: to be followed by the call that gives it, and rig_wait. */
static inline void
rig_ask(struct rig *r)
{
	if (r->due++ == 0)
		r->why[0] = '\0';
}

/* NULL, or why not. */
static inline const char *
rig_wait(struct rig *r)
{
	rig_turn(r);
	return r->why[0] != '\0' ? r->why : NULL;
}

static inline const char *
rig_create(struct rig *r, const char *id, const char *meta)
{
	struct store_create c = { .id = id,
		.uidvalidity = 77,
		.meta = slice_str(meta) };

	rig_ask(r);
	store_create(r->store, &c, rig_cb, r);
	return rig_wait(r);
}

static inline struct store_mailbox *
rig_open(struct rig *r, const char *id)
{
	rig_ask(r);
	store_open(r->store, id, rig_open_cb, r);
	rig_wait(r);
	return r->opened;
}

static inline const char *
rig_append(struct rig *r, struct store_mailbox *mb, struct store_append *a,
    size_t n)
{
	rig_ask(r);
	store_append(mb, a, n, rig_cb, r);
	return rig_wait(r);
}

static inline const char *
rig_append_text(struct rig *r, struct store_mailbox *mb, const char *text,
    uint32_t flags)
{
	struct store_append a = { .octets = slice_str(text), .flags = flags };

	return rig_append(r, mb, &a, 1);
}

static inline const char *
rig_change(struct rig *r, struct store_mailbox *mb, struct store_change *c,
    size_t n)
{
	rig_ask(r);
	store_change(mb, c, n, UINT64_MAX, rig_cb, r);
	return rig_wait(r);
}

static inline const char *
rig_expunge(struct rig *r, struct store_mailbox *mb, const uint32_t *uids,
    size_t n)
{
	rig_ask(r);
	store_expunge(mb, uids, n, 0, rig_cb, r);
	return rig_wait(r);
}

/* Borrowed until the next call. */
static inline struct slice
rig_read(struct rig *r, struct store_mailbox *mb, struct store_part *p)
{
	store_chunk_free(&r->chunk);
	rig_ask(r);
	store_read(mb, p, 1, rig_read_cb, r);
	rig_wait(r);
	return p->octets;
}

/* Octets that differ from message to message and place to place. */
static inline uint8_t *
octets_new(uint32_t seed, size_t n)
{
	uint8_t *p = xmalloc(n + 1);
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
	return p;
}

static inline uint32_t
octets_crc(uint32_t seed, size_t n)
{
	uint8_t *p = octets_new(seed, n);
	uint32_t crc = hash_crc32c(0, p, n);

	free(p);
	return crc;
}

/* ---- the model ---- */

enum {
	MODEL_BOXES = 3,
	MODEL_MSGS = 400,
	MODEL_HELD = 400,
	MODEL_ITEMS = 4
};

struct model_msg {
	uint32_t uid, flags;
	uint64_t keywords, modseq;
	uint32_t crc;
	uint64_t size;
};

struct model_box {
	bool there;
	char id[16], meta[16];
	uint32_t uidnext;
	uint64_t modseq;
	size_t n, nheld;
	struct model_msg msgs[MODEL_MSGS];
	struct model_msg held[MODEL_HELD]; /* expunged, by UID */
};

struct model {
	uint32_t x; /* the workload's randomness */
	unsigned made, seed;
	bool hold; /* what is expunged can be brought back */
	struct model_box box[MODEL_BOXES];
};

enum op_kind {
	OP_APPEND,
	OP_CHANGE,
	OP_EXPUNGE,
	OP_UNDELETE,
	OP_COPY,
	OP_MOVE,
	OP_META,
	OP_REOPEN,
	OP_CREATE,
	OP_DESTROY
};

struct op {
	enum op_kind kind;
	unsigned box, to;
	size_t n;
	uint32_t uids[MODEL_ITEMS], seeds[MODEL_ITEMS], sizes[MODEL_ITEMS];
	uint32_t clear, set;
	uint64_t set_keywords;
	char text[16];
	char meta[16]; /* of CREATE */
	bool alone;    /* nothing beside it: its order is not given by asking */
};

static inline uint32_t
model_rand(struct model *m, uint32_t below)
{
	m->x = m->x * 1664525u + 1013904223u;
	return (m->x >> 8) % below;
}

static inline void
op_pick(struct model *m, struct op *op)
{
	struct model_box *b = &m->box[op->box];
	size_t at = 0;

	for (op->n = 0; op->n < MODEL_ITEMS && at < b->n; op->n++) {
		at += model_rand(m, (uint32_t)b->n);
		if (at >= b->n)
			break;
		op->uids[op->n] = b->msgs[at++].uid;
	}
}

static inline void
op_pick_held(struct model *m, struct op *op)
{
	struct model_box *b = &m->box[op->box];
	size_t at = model_rand(m, (uint32_t)b->nheld);

	for (op->n = 0; op->n < MODEL_ITEMS && at < b->nheld; at++)
		op->uids[op->n++] = b->held[at].uid;
}

static inline void
op_sizes(struct model *m, struct op *op)
{
	op->n = 1 + model_rand(m, MODEL_ITEMS);
	for (size_t i = 0; i < op->n; i++) {
		op->seeds[i] = ++m->seed;
		op->sizes[i] = model_rand(m, 3000);
		if (model_rand(m, 16) == 0) {
			op->sizes[i] = 60000 + model_rand(m, 90000);
			op->alone = true;
		}
	}
}

static inline void
model_next(struct model *m, struct op *op)
{
	struct model_box *b;
	uint32_t dice = model_rand(m, 100);

	memset(op, 0, sizeof *op);
	op->box = model_rand(m, MODEL_BOXES);
	op->to = (op->box + 1) % MODEL_BOXES;
	b = &m->box[op->box];
	op->set = model_rand(m, 32);
	op->clear = model_rand(m, 32);
	op->set_keywords = model_rand(m, 8);
	if (!b->there || dice < 2) {
		op->kind = b->there ? OP_DESTROY : OP_CREATE;
		snprintf(op->text, sizeof op->text, "Box-%u", m->made++);
		op->alone = true;
		return;
	}
	op_pick(m, op);
	if (m->hold && dice >= 95 && b->nheld > 0) {
		op->kind = OP_UNDELETE;
		op->alone = true;
		op_pick_held(m, op);
	} else if (dice < 5) {
		op->kind = OP_REOPEN;
		op->alone = true;
	} else if (dice < 8) {
		op->kind = OP_META;
		snprintf(op->text, sizeof op->text, "meta %u", m->x & 0xffff);
	} else if (dice < 30 && op->n > 0) {
		op->kind = OP_CHANGE;
	} else if (dice < 40 && op->n > 0) {
		op->kind = OP_EXPUNGE;
	} else if (dice < 52 && op->n > 0 && m->box[op->to].there) {
		op->kind = dice < 46 ? OP_COPY : OP_MOVE;
		op->alone = true;
	} else {
		op->kind = OP_APPEND;
		op_sizes(m, op);
	}
}

static inline size_t
model_find(const struct model_box *b, uint32_t uid)
{
	size_t i = 0;

	while (i < b->n && b->msgs[i].uid != uid)
		i++;
	MUST(i < b->n);
	return i;
}

static inline void
model_hold(struct model_box *b, const struct model_msg *x)
{
	size_t at = b->nheld++;

	MUST(at < MODEL_HELD);
	for (; at > 0 && b->held[at - 1].uid > x->uid; at--)
		b->held[at] = b->held[at - 1];
	b->held[at] = *x;
}

static inline void
model_expunge(struct model_box *b, const uint32_t *uids, size_t n, bool hold)
{
	b->modseq += n > 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = model_find(b, uids[i]);

		if (hold)
			model_hold(b, &b->msgs[at]);
		memmove(&b->msgs[at], &b->msgs[at + 1],
		    (--b->n - at) * sizeof b->msgs[0]);
	}
}

static inline void
model_change(struct model_box *b, const struct op *op)
{
	bool some = false;

	for (size_t i = 0; i < op->n; i++) {
		struct model_msg *x = &b->msgs[model_find(b, op->uids[i])];
		uint32_t flags = (x->flags & ~op->clear) | op->set;
		uint64_t keywords = x->keywords | op->set_keywords;

		if (flags == x->flags && keywords == x->keywords)
			continue;
		x->flags = flags;
		x->keywords = keywords;
		x->modseq = b->modseq + 1;
		some = true;
	}
	b->modseq += some;
}

static inline void
model_add(struct model_box *b, const struct op *op, uint32_t crc, uint64_t size)
{
	MUST(b->n < MODEL_MSGS);
	b->msgs[b->n++] = (struct model_msg){ .uid = b->uidnext++,
		.flags = op->set,
		.keywords = op->set_keywords,
		.modseq = b->modseq,
		.crc = crc,
		.size = size };
}

static inline void
model_copy(struct model *m, const struct op *op)
{
	struct model_box *from = &m->box[op->box], *to = &m->box[op->to];

	to->modseq++;
	for (size_t i = 0; i < op->n; i++) {
		struct model_msg *x =
		    &from->msgs[model_find(from, op->uids[i])];

		model_add(to, op, x->crc, x->size);
	}
	if (op->kind == OP_MOVE)
		model_expunge(from, op->uids, op->n, false);
}

static inline void
model_undelete(struct model_box *b, const struct op *op)
{
	b->modseq++;
	for (size_t i = 0; i < op->n; i++) {
		size_t at = 0;

		while (b->held[at].uid != op->uids[i])
			at++;
		model_add(b, op, b->held[at].crc, b->held[at].size);
		memmove(&b->held[at], &b->held[at + 1],
		    (--b->nheld - at) * sizeof b->held[0]);
	}
}

static inline void
model_apply(struct model *m, const struct op *op)
{
	struct model_box *b = &m->box[op->box];

	switch (op->kind) {
	case OP_APPEND:
		b->modseq++;
		for (size_t i = 0; i < op->n; i++)
			model_add(b, op, octets_crc(op->seeds[i], op->sizes[i]),
			    op->sizes[i]);
		break;
	case OP_CHANGE:
		model_change(b, op);
		break;
	case OP_EXPUNGE:
		model_expunge(b, op->uids, op->n, m->hold);
		break;
	case OP_UNDELETE:
		model_undelete(b, op);
		break;
	case OP_COPY:
	case OP_MOVE:
		model_copy(m, op);
		break;
	case OP_META:
		memcpy(b->meta, op->text, sizeof b->meta);
		break;
	case OP_REOPEN:
		break;
	case OP_CREATE:
		memset(b, 0, sizeof *b);
		b->there = true;
		b->uidnext = 1;
		b->modseq = 1;
		memcpy(b->id, op->text, sizeof b->id);
		memcpy(b->meta, op->meta, sizeof b->meta);
		break;
	case OP_DESTROY:
		b->there = false;
		break;
	}
}

/* ---- the same, to a store ---- */

struct doing { /* what must live until the answer */
	struct rig *r;
	struct store_append appends[MODEL_ITEMS];
	struct store_change changes[MODEL_ITEMS];
	uint32_t uids[MODEL_ITEMS];
	uint8_t *octets[MODEL_ITEMS];
	void (*told)(void *arg);
	void *told_arg;
};

struct work {
	struct rig rig;
	struct model model;
	struct store_mailbox *box[MODEL_BOXES];
	const struct store_module *module;
	struct store_options options;
	const struct store_naming *naming;
	char dir[512];
};

static inline void
doing_cb(void *arg, const char *why)
{
	struct doing *d = arg;
	struct rig *r = d->r;

	for (size_t i = 0; i < MODEL_ITEMS; i++)
		free(d->octets[i]);
	if (why == NULL && d->told != NULL)
		d->told(d->told_arg);
	free(d);
	rig_cb(r, why);
}

static inline void
doing_open(void *arg, struct store_mailbox *mb, const char *why)
{
	struct doing *d = arg;

	d->r->opened = mb;
	doing_cb(d, why);
}

static inline void
doing_append(struct work *w, struct doing *d, const struct op *op)
{
	struct store_mailbox *mb = w->box[op->box];
	bool copy = op->kind != OP_APPEND;

	for (size_t i = 0; i < op->n; i++) {
		struct store_append *a = &d->appends[i];

		*a = (struct store_append){ .flags = op->set,
			.keywords = { op->set_keywords } };
		if (copy) {
			a->from = mb;
			a->from_uid = op->uids[i];
			a->undelete = op->kind == OP_UNDELETE;
			continue;
		}
		d->octets[i] = octets_new(op->seeds[i], op->sizes[i]);
		a->octets = slice_of(d->octets[i], op->sizes[i]);
	}
	if (op->kind == OP_APPEND || op->kind == OP_UNDELETE)
		store_append(mb, d->appends, op->n, doing_cb, d);
	else if (op->kind == OP_COPY)
		store_append(w->box[op->to], d->appends, op->n, doing_cb, d);
	else
		store_move(mb, w->box[op->to], d->appends, op->n, doing_cb, d);
}

static inline void
work_open(struct work *w, unsigned i)
{
	static const char *const words[] = { "$Forwarded", "Junk", "x-a" };

	w->box[i] = rig_open(&w->rig, w->model.box[i].id);
	for (size_t k = 0; w->box[i] != NULL && k < 3; k++)
		MUST(store_keyword_add(w->box[i], slice_str(words[k])) ==
		     (int)k);
}

static inline void
doing_start(struct work *w, struct doing *d, const struct op *op)
{
	struct store_mailbox *mb = w->box[op->box];

	switch (op->kind) {
	case OP_APPEND:
	case OP_UNDELETE:
	case OP_COPY:
	case OP_MOVE:
		doing_append(w, d, op);
		break;
	case OP_CHANGE:
		for (size_t i = 0; i < op->n; i++)
			d->changes[i] =
			    (struct store_change){ .uid = op->uids[i],
				    .clear = op->clear,
				    .set = op->set,
				    .set_keywords = { op->set_keywords } };
		store_change(mb, d->changes, op->n, UINT64_MAX, doing_cb, d);
		break;
	case OP_EXPUNGE:
		memcpy(d->uids, op->uids, sizeof d->uids);
		store_expunge(mb, d->uids, op->n, 0, doing_cb, d);
		break;
	case OP_META:
		store_set_meta(mb, slice_str(op->text), doing_cb, d);
		break;
	case OP_REOPEN:
		store_close(&w->box[op->box]);
		store_open(w->rig.store, w->model.box[op->box].id, doing_open,
		    d);
		break;
	case OP_CREATE:
		store_create(w->rig.store,
		    &(struct store_create){ .id = op->text,
		        .uidvalidity = 77,
		        .meta = slice_str(op->meta) },
		    doing_cb, d);
		break;
	case OP_DESTROY:
		store_close(&w->box[op->box]);
		store_destroy(w->rig.store, w->model.box[op->box].id, doing_cb,
		    d);
		break;
	}
}

/*
 * Does op to the store, and then to the model.  told: when it is answered.
 * Returns what went wrong so far, or NULL.
 */
static inline const char *
work_do(struct work *w, const struct op *op, void (*told)(void *), void *arg)
{
	struct doing *d = xcalloc(1, sizeof *d);
	const char *why = NULL;

	d->r = &w->rig;
	d->told = told;
	d->told_arg = arg;
	if (op->alone && w->rig.due > 0)
		why = rig_wait(&w->rig);
	rig_ask(&w->rig);
	doing_start(w, d, op);
	model_apply(&w->model, op);
	if (op->alone && why == NULL)
		why = rig_wait(&w->rig);
	if (op->kind == OP_CREATE && why == NULL)
		work_open(w, op->box);
	if (op->kind == OP_REOPEN)
		w->box[op->box] = w->rig.opened;
	return why;
}

/* ---- either in words ---- */

static inline void
words_msg(struct buf *b, const struct model_msg *x)
{
	buf_printf(b, " %lu:%lx:%llx:%llu:%llu:%08lx\n", (unsigned long)x->uid,
	    (unsigned long)x->flags, (unsigned long long)x->keywords,
	    (unsigned long long)x->modseq, (unsigned long long)x->size,
	    (unsigned long)x->crc);
}

static inline void
words_held(struct buf *b, uint32_t uid, uint64_t size)
{
	buf_printf(b, " held %lu:%llu\n", (unsigned long)uid,
	    (unsigned long long)size);
}

static inline void
words_numbers(struct buf *b, const char *id, struct slice meta,
    const struct store_numbers *n)
{
	buf_printf(b, "%s \"", id);
	buf_put_slice(b, meta);
	buf_printf(b,
	    "\" next %lu modseq %llu exists %lu unseen %lu "
	    "deleted %lu size %llu\n",
	    (unsigned long)n->uidnext, (unsigned long long)n->highestmodseq,
	    (unsigned long)n->exists, (unsigned long)n->unseen,
	    (unsigned long)n->deleted, (unsigned long long)n->size);
}

static inline char *
words_end(struct buf *b)
{
	char *s;

	MUST(!buf_failed(b));
	s = xstrndup(buf_data(b), buf_len(b));
	buf_fini(b);
	return s;
}

static inline char *
model_words(const struct model *m)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < MODEL_BOXES; i++) {
		const struct model_box *x = &m->box[i];
		struct store_numbers n = { .uidnext = x->uidnext,
			.highestmodseq = x->modseq,
			.exists = (uint32_t)x->n };

		if (!x->there)
			continue;
		for (size_t k = 0; k < x->n; k++) {
			n.unseen += (x->msgs[k].flags & STORE_SEEN) == 0;
			n.deleted += (x->msgs[k].flags & STORE_DELETED) != 0;
			n.size += x->msgs[k].size;
		}
		words_numbers(&b, x->id, slice_str(x->meta), &n);
		for (size_t k = 0; k < x->n; k++)
			words_msg(&b, &x->msgs[k]);
		for (size_t k = 0; m->hold && k < x->nheld; k++)
			words_held(&b, x->held[k].uid, x->held[k].size);
	}
	return words_end(&b);
}

static inline void
words_box(struct rig *r, struct buf *b, struct store_mailbox *mb)
{
	const struct store_numbers *n = store_numbers(mb);
	struct store_part *parts = xcalloc(n->exists + 1, sizeof *parts);

	words_numbers(b, store_id(mb), store_meta(mb), n);
	for (uint32_t i = 0; i < n->exists; i++)
		parts[i] = (struct store_part){ .uid = store_at(mb, i)->uid,
			.what = STORE_OCTETS,
			.len = UINT64_MAX };
	rig_ask(r);
	store_read(mb, parts, n->exists, rig_read_cb, r);
	rig_wait(r);
	for (uint32_t i = 0; i < n->exists; i++) {
		const struct store_msg *m = store_at(mb, i);

		if (parts[i].why != NULL)
			buf_printf(b, "%s\n", parts[i].why);
		words_msg(b, &(struct model_msg){ .uid = m->uid,
		                 .flags = m->flags,
		                 .keywords = m->keywords[0],
		                 .modseq = m->modseq,
		                 .size = m->size,
		                 .crc = hash_crc32c(0, parts[i].octets.ptr,
		                     parts[i].octets.len) });
	}
	store_chunk_free(&r->chunk);
	free(parts);
}

static inline void
words_box_held(struct rig *r, struct buf *b, struct store_mailbox *mb)
{
	rig_ask(r);
	store_held(mb, rig_held_cb, r);
	rig_wait(r);
	for (size_t i = 0; i < r->nheld; i++)
		words_held(b, r->held[i].uid, r->held[i].size);
	free(r->held);
	r->held = NULL;
}

static inline void
work_words_box(struct work *w, struct buf *b, struct store_mailbox *mb)
{
	words_box(&w->rig, b, mb);
	if (w->model.hold)
		words_box_held(&w->rig, b, mb);
}

static inline char *
work_words(struct work *w)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < MODEL_BOXES; i++)
		if (w->box[i] != NULL)
			work_words_box(w, &b, w->box[i]);
		else if (w->model.box[i].there)
			buf_printf(&b, "%s is not there\n", w->model.box[i].id);
	return words_end(&b);
}

/* Is the store what the model says? */
static inline bool
work_is_right(struct work *w)
{
	char *want = model_words(&w->model), *got = work_words(w);
	bool equal = strcmp(want, got) == 0;

	if (!equal)
		printf("# want:\n# %s\n# got:\n# %s\n", want, got);
	free(want);
	free(got);
	return equal;
}

static inline void
work_close(struct work *w)
{
	for (size_t i = 0; i < MODEL_BOXES; i++)
		store_close(&w->box[i]);
}

/* A fresh store, or the one that is in dir already; w->options are set. */
static inline int
work_start(struct work *w, const struct store_module *module, const char *dir)
{
	w->module = module;
	snprintf(w->dir, sizeof w->dir, "%s", dir);
	w->model.hold = w->options.hold_seconds > 0;
	return rig_start_with(&w->rig, module, &w->options, w->naming, dir);
}

static inline void
work_restart(struct work *w)
{
	work_close(w);
	rig_stop(&w->rig);
	MUST(rig_start_with(&w->rig, w->module, &w->options, w->naming,
	         w->dir) == 0);
	for (unsigned i = 0; i < MODEL_BOXES; i++)
		if (w->model.box[i].there)
			work_open(w, i);
}

#endif
