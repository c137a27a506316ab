#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/adm/remote.h"
#include "backendd/adm_wire.h"
#include "backendd/mblist_meta.h"
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	WHY_MAX = 256,
	PAYLOAD_MAX = IPC_MAX
};

/* A part of an answer.  False: it is not understood. */
typedef bool part_cb(void *arg, struct wire *w);

struct remote {
	struct loop *loop;
	struct ipc *ipc;
	uint64_t id; /* of the request under way */
	part_cb *part;
	void *arg;
	struct buf last; /* what came with ADM_DONE */
	bool answered, refused, over;
	char why[WHY_MAX];
	struct map names;       /* MAILBOXID: name */
	char part_why[WHY_MAX]; /* of the last part that failed */
};

struct remote_store {
	struct store store; /* first */
	struct remote *remote;
	const char *partition;
};

struct remote_box {
	struct store_mailbox store; /* first */
	struct remote *remote;
	struct store_msg *msgs;
	size_t room;
	struct store_names names;
	char *keywords[STORE_KEYWORDS];
	struct store_held *held;
	size_t nheld;
};

static struct remote_box *
box_of(const struct store_mailbox *mb)
{
	return (struct remote_box *)(uintptr_t)mb;
}

/* ---- asking ---- */

static void
on_message(void *arg, const struct ipc_message *m)
{
	struct remote *r = arg;
	struct wire w;
	bool good = m != NULL && m->fd == -1;

	if (good && m->type == ADM_PART) {
		wire_init(&w, m->payload);
		good = r->part != NULL && r->part(r->arg, &w);
		if (good)
			return;
	} else if (good && (m->type == ADM_DONE || m->type == ADM_REFUSED)) {
		buf_clear(&r->last);
		buf_put_slice(&r->last, m->payload);
		r->refused = m->type == ADM_REFUSED;
		r->answered = true;
		loop_stop(r->loop);
		return;
	}
	r->over = true;
	ipc_free(&r->ipc);
	loop_stop(r->loop);
}

static const char *
ask(struct remote *r, enum adm_request type, struct buf *payload, part_cb *part,
    void *arg)
{
	bool failed = buf_failed(payload);

	r->part = part;
	r->arg = arg;
	r->id++;
	r->answered = false;
	if (failed)
		return "that is too long";
	/* If it cannot be sent the end comes, after what it said before. */
	if (!r->over)
		(void)!ipc_send(r->ipc, type, r->id, buf_slice(payload), -1);
	if (!r->over)
		loop_run(r->loop);
	if (!r->answered)
		return "backendd has gone, and what it was doing is done or "
		       "not: look, and ask again";
	if (!r->refused)
		return NULL;
	snprintf(r->why, sizeof r->why, "%.*s", (int)buf_len(&r->last),
	    (const char *)buf_data(&r->last));
	return r->why;
}

/* ...and no more need be said. */
static const char *
ask_and_fini(struct remote *r, enum adm_request type, struct buf *payload,
    part_cb *part, void *arg)
{
	const char *why = ask(r, type, payload, part, arg);

	buf_fini(payload);
	return why;
}

static bool
last_u8(struct remote *r)
{
	struct wire w;

	wire_init(&w, buf_slice(&r->last));
	return wire_u8(&w) != 0;
}

/* ---- which mailboxes there are ---- */

struct listing {
	struct remote *remote;
	store_visit *visit;
	void *arg;
	bool stopped;
};

static bool
list_part(void *arg, struct wire *w)
{
	struct listing *l = arg;
	struct slice id = wire_slice(w), name = wire_slice(w);
	struct mboxrec rec = { .state = MBOXREC_ACTIVE };
	struct store_entry e = { .damage = NULL };
	char *key, *text;
	struct buf meta;

	if (!wire_done(w))
		return false;
	key = xstrndup(id.ptr, id.len);
	text = xstrndup(name.ptr, name.len);
	buf_init(&meta, STORE_META_MAX);
	meta_put(&meta, text, &rec);
	e.id = key;
	e.meta = buf_slice(&meta);
	if (!l->stopped)
		l->stopped = !l->visit(l->arg, &e);
	buf_fini(&meta);
	free(map_put(&l->remote->names, id, text));
	free(key);
	return true;
}

static int
remote_each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	struct remote_store *rs = (struct remote_store *)st;
	struct remote *r = rs->remote;
	struct listing l = { r, visit, arg, false };
	const char *why;
	bool first = true;
	struct buf b;

	do {
		buf_init(&b, PAYLOAD_MAX);
		wire_put_str(&b, rs->partition);
		wire_put_u8(&b, first);
		why = ask_and_fini(r, ADM_LIST, &b, list_part, &l);
		first = false;
	} while (why == NULL && !l.stopped && last_u8(r));
	return why == NULL ? 0 : err_set(err, "%s", why);
}

/* ---- one of them ---- */

static void
add_keyword(struct remote_box *box, struct slice name)
{
	struct store_names *n = &box->names;

	box->keywords[n->nkeywords++] = xstrndup(name.ptr, name.len);
}

static struct store_msg
get_row(struct wire *w)
{
	struct store_msg m = { .uid = wire_u32(w) };

	m.flags = wire_u32(w) & STORE_FLAGS;
	for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++)
		m.keywords[i] = wire_u64(w);
	m.internaldate = (int64_t)wire_u64(w);
	m.zone = (int16_t)wire_u16(w);
	m.size = wire_u64(w);
	return m;
}

struct rows {
	struct remote_box *box;
	bool names_came;
};

static bool
rows_part(void *arg, struct wire *w)
{
	struct rows *rows = arg;
	struct remote_box *box = rows->box;
	struct store_numbers *n = &box->store.numbers;

	while (!rows->names_came && w->rest.len > 0 && !w->failed) {
		if (box->names.nkeywords == STORE_KEYWORDS)
			return false;
		add_keyword(box, wire_slice(w));
	}
	while (rows->names_came && w->rest.len > 0 && !w->failed) {
		if (n->exists == box->room) {
			box->room = box->room * 2 + ADM_ROWS_MAX;
			box->msgs = xreallocarray(box->msgs, box->room,
			    sizeof *box->msgs);
		}
		box->msgs[n->exists++] = get_row(w);
	}
	rows->names_came = true;
	return wire_done(w);
}

static const char *
get_rows(struct remote_box *box)
{
	struct store_numbers *n = &box->store.numbers;
	struct remote *r = box->remote;
	const char *why;
	struct buf b;

	do {
		struct rows rows = { box, false };
		uint32_t uid =
		    n->exists > 0 ? box->msgs[n->exists - 1].uid + 1 : 1;

		buf_init(&b, PAYLOAD_MAX);
		wire_put_u32(&b, uid);
		wire_put_u32(&b, box->names.nkeywords);
		why = ask_and_fini(r, ADM_ROWS, &b, rows_part, &rows);
	} while (why == NULL && last_u8(r));
	return why;
}

static void
remote_close(struct store_mailbox *mb)
{
	struct remote_box *box = box_of(mb);

	for (unsigned i = 0; i < box->names.nkeywords; i++)
		free(box->keywords[i]);
	free(box->msgs);
	free(box->held);
	free(box);
}

static void
remote_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct remote_store *rs = (struct remote_store *)st;
	struct remote_box *box = xcalloc(1, sizeof *box);
	const char *why, *name;
	struct buf b;

	box->remote = rs->remote;
	box->store.module = st->module;
	box->store.store = st;
	box->store.names = &box->names;
	box->names.keywords = box->keywords;
	snprintf(box->store.id, sizeof box->store.id, "%s", id);
	name = map_find(&rs->remote->names, slice_str(id));
	buf_init(&b, PAYLOAD_MAX);
	wire_put_str(&b, name == NULL ? "" : name);
	why = ask_and_fini(rs->remote, ADM_OPEN, &b, NULL, NULL);
	if (why == NULL)
		why = get_rows(box);
	if (why != NULL) {
		remote_close(&box->store);
		cb(arg, NULL, why);
	} else {
		cb(arg, &box->store, NULL);
	}
}

static const struct store_msg *
remote_at(const struct store_mailbox *mb, uint32_t i)
{
	return &box_of(mb)->msgs[i];
}

static int
remote_keyword_add(struct store_mailbox *mb, struct slice name)
{
	add_keyword(box_of(mb), name);
	return (int)box_of(mb)->names.nkeywords - 1;
}

static void
remote_sync(struct store_mailbox *mb, store_cb *cb, void *arg)
{
	(void)mb; /* what was answered is durable */
	cb(arg, NULL);
}

/* ---- octets ---- */

/* What is asked for at once: pieces of parts. */
struct request {
	struct remote_box *box;
	struct store_part *parts;
	uint8_t **ends; /* where the next octets of each go */
	bool check;
	size_t n;
	size_t of[ADM_PARTS_MAX]; /* which part each piece is of */
	uint64_t octets;
	struct buf pieces;
};

static uint64_t
size_of(struct remote_box *box, const struct store_part *p)
{
	const struct store_msg *m;

	for (size_t i = 0; p->held && i < box->nheld; i++)
		if (box->held[i].uid == p->uid)
			return box->held[i].size;
	m = p->held ? NULL : store_find(&box->store, p->uid);
	return m == NULL ? 0 : m->size;
}

/* Octets that there are of it. */
static uint64_t
length_of(struct remote_box *box, const struct store_part *p)
{
	uint64_t size = size_of(box, p);
	uint64_t left = p->offset < size ? size - p->offset : 0;

	return p->len < left ? p->len : left;
}

static bool
read_part(void *arg, struct wire *w)
{
	struct request *q = arg;
	uint32_t which = wire_u32(w);
	bool failed = wire_u8(w) != 0;
	struct slice octets = wire_slice(w);
	struct remote *r = q->box->remote;
	struct store_part *p;
	size_t i;

	if (!wire_done(w) || which >= q->n)
		return false;
	i = q->of[which];
	p = &q->parts[i];
	if (failed) {
		snprintf(r->part_why, sizeof r->part_why, "%.*s",
		    (int)octets.len, (const char *)octets.ptr);
		p->why = r->part_why;
		return true;
	}
	if (q->check || octets.len > q->octets)
		return false;
	memcpy(q->ends[i], octets.ptr, octets.len);
	q->ends[i] += octets.len;
	q->octets -= octets.len;
	return true;
}

static const char *
request_send(struct request *q)
{
	const char *why = NULL;
	struct buf b;

	if (q->n == 0)
		return NULL;
	buf_init(&b, PAYLOAD_MAX);
	wire_put_u8(&b, q->check);
	wire_put_u32(&b, (uint32_t)q->n);
	buf_put_slice(&b, buf_slice(&q->pieces));
	why = ask_and_fini(q->box->remote, ADM_READ, &b, read_part, q);
	q->n = 0;
	q->octets = 0;
	buf_clear(&q->pieces);
	return why;
}

/* All of part i, in as many pieces as it takes. */
static const char *
request_add(struct request *q, size_t i, uint64_t len)
{
	const struct store_part *p = &q->parts[i];
	uint64_t most = q->check ? ADM_CHECK_MAX : ADM_READ_MAX, at = 0;
	const char *why;

	do {
		uint64_t n = len - at;

		if (q->n == ADM_PARTS_MAX || q->octets == most) {
			why = request_send(q);
			if (why != NULL)
				return why;
		}
		if (n > most - q->octets)
			n = most - q->octets;
		wire_put_u32(&q->pieces, p->uid);
		wire_put_u8(&q->pieces, p->held);
		wire_put_u64(&q->pieces, p->offset + at);
		wire_put_u64(&q->pieces, n);
		q->of[q->n++] = i;
		q->octets += n;
		at += n;
	} while (at < len);
	return NULL;
}

static const char *
read_all(struct request *q, size_t n)
{
	const char *why = NULL;

	buf_init(&q->pieces, PAYLOAD_MAX);
	for (size_t i = 0; i < n; i++)
		q->parts[i].why = NULL;
	for (size_t i = 0; why == NULL && i < n; i++)
		why = request_add(q, i, length_of(q->box, &q->parts[i]));
	if (why == NULL)
		why = request_send(q);
	buf_fini(&q->pieces);
	return why;
}

const char *
remote_check(struct store_mailbox *mb, struct store_part *parts, size_t n)
{
	struct request q = { .box = box_of(mb), .parts = parts, .check = true };

	return read_all(&q, n);
}

static void
remote_read(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg)
{
	struct request q = { .box = box_of(mb), .parts = parts };
	struct store_chunk *chunk;
	uint64_t sum = 0;
	const char *why;
	uint8_t *area;

	MUST(look == NULL); /* no command has one */
	for (size_t i = 0; i < n; i++)
		sum += length_of(q.box, &parts[i]);
	chunk = xmalloc(sizeof *chunk + sum);
	chunk->len = sum;
	area = chunk->octets;
	q.ends = xcalloc(n, sizeof *q.ends);
	for (size_t i = 0; i < n; i++) {
		q.ends[i] = area;
		parts[i].octets.ptr = area;
		area += length_of(q.box, &parts[i]);
	}
	why = read_all(&q, n);
	for (size_t i = 0; i < n; i++) {
		parts[i].octets.len = (size_t)(q.ends[i] - parts[i].octets.ptr);
		if (parts[i].why == NULL)
			parts[i].why = why;
	}
	free(q.ends);
	cb(arg, chunk);
}

/* ---- what was expunged ---- */

static bool
held_part(void *arg, struct wire *w)
{
	struct remote_box *box = arg;

	while (w->rest.len > 0 && !w->failed) {
		struct store_msg m = get_row(w);

		box->held =
		    xreallocarray(box->held, box->nheld + 1, sizeof *box->held);
		box->held[box->nheld++] = (struct store_held){ .uid = m.uid,
			.flags = m.flags,
			.keywords = { m.keywords[0], m.keywords[1] },
			.internaldate = m.internaldate,
			.zone = m.zone,
			.size = m.size,
			.expunged = (int64_t)wire_u64(w) };
	}
	return wire_done(w);
}

static void
remote_held(struct store_mailbox *mb, store_held_cb *cb, void *arg)
{
	struct remote_box *box = box_of(mb);
	const char *why;
	struct buf b;

	box->nheld = 0;
	do {
		buf_init(&b, PAYLOAD_MAX);
		wire_put_u32(&b,
		    box->nheld > 0 ? box->held[box->nheld - 1].uid : 0);
		why = ask_and_fini(box->remote, ADM_HELD, &b, held_part, box);
	} while (why == NULL && last_u8(box->remote));
	cb(arg, box->held, why == NULL ? box->nheld : 0, why);
}

static const char *
undelete(struct remote_box *box, struct store_append *a, size_t n)
{
	const char *why;
	struct wire w;
	struct buf b;

	MUST(n <= ADM_PARTS_MAX);
	buf_init(&b, PAYLOAD_MAX);
	wire_put_u32(&b, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		MUST(a[i].undelete);
		wire_put_u32(&b, a[i].from_uid);
		wire_put_u32(&b, a[i].flags);
		for (size_t k = 0; k < STORE_KEYWORD_WORDS; k++)
			wire_put_u64(&b, a[i].keywords[k]);
	}
	why = ask_and_fini(box->remote, ADM_UNDELETE, &b, NULL, NULL);
	wire_init(&w, buf_slice(&box->remote->last));
	for (size_t i = 0; why == NULL && i < n; i++) {
		a[i].outcome = (enum store_outcome)wire_u8(&w);
		a[i].new_uid = wire_u32(&w);
	}
	return why;
}

/* ---- messages that come in ---- */

static const char *
append_one(struct remote_box *box, struct store_append *a)
{
	struct slice left = a->octets;
	const char *why = NULL;
	unsigned n = 0;
	struct buf b;

	do {
		size_t piece = left.len < ADM_PIECE ? left.len : ADM_PIECE;

		buf_init(&b, PAYLOAD_MAX);
		buf_put_slice(&b, slice_first(left, piece));
		why = ask_and_fini(box->remote, ADM_OCTETS, &b, NULL, NULL);
		left = slice_skip(left, piece);
	} while (why == NULL && left.len > 0);
	if (why != NULL)
		return why;
	for (unsigned k = 0; k < box->names.nkeywords; k++)
		n += (a->keywords[k / 64] >> k % 64 & 1) != 0;
	buf_init(&b, PAYLOAD_MAX);
	wire_put_u32(&b, a->flags);
	wire_put_u64(&b, (uint64_t)a->internaldate);
	wire_put_u32(&b, n);
	for (unsigned k = 0; k < box->names.nkeywords; k++)
		if (a->keywords[k / 64] >> k % 64 & 1)
			wire_put_str(&b, box->keywords[k]);
	return ask_and_fini(box->remote, ADM_APPEND, &b, NULL, NULL);
}

static void
remote_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg)
{
	struct remote_box *box = box_of(mb);

	if (a[0].undelete) {
		cb(arg, undelete(box, a, n));
		return;
	}
	MUST(n == 1);
	a->outcome = STORE_DONE;
	cb(arg, append_one(box, a));
}

/* ---- mailboxes that were deleted ---- */

const char *
remote_restore(struct remote *r, const char *from, const char *to)
{
	struct buf b;

	buf_init(&b, PAYLOAD_MAX);
	wire_put_str(&b, from);
	wire_put_str(&b, to);
	return ask_and_fini(r, ADM_RESTORE, &b, NULL, NULL);
}

/* ---- life ---- */

static void
remote_stop(struct store **stp)
{
	free(*stp);
	*stp = NULL;
}

static size_t
remote_busy(const struct store *st)
{
	(void)st;
	return 0;
}

static const struct store_module remote_module = {
	.name = "remote",
	.stop = remote_stop,
	.busy = remote_busy,
	.each = remote_each,
	.open = remote_open,
	.close = remote_close,
	.at = remote_at,
	.keyword_add = remote_keyword_add,
	.append = remote_append,
	.sync = remote_sync,
	.read = remote_read,
	.held = remote_held,
};

struct store *
remote_store(struct remote *r, const char *partition)
{
	struct remote_store *rs = xcalloc(1, sizeof *rs);

	rs->store.module = &remote_module;
	rs->remote = r;
	rs->partition = partition;
	return &rs->store;
}

struct remote *
remote_new(struct loop *loop, int fd, struct err *err)
{
	struct remote *r = xcalloc(1, sizeof *r);
	const char *why;
	struct buf b;

	r->loop = loop;
	r->ipc = ipc_new(loop, fd, on_message, r);
	buf_init(&r->last, PAYLOAD_MAX);
	map_init(&r->names);
	buf_init(&b, sizeof(uint32_t));
	wire_put_u32(&b, ADM_VERSION);
	why = ask_and_fini(r, ADM_HELLO, &b, NULL, NULL);
	if (why == NULL)
		return r;
	(void)err_set(err, "%s", why); /* NULL says so */
	remote_free(&r);
	return NULL;
}

static bool
free_name(void *arg, struct slice key, void *name)
{
	(void)arg, (void)key;
	free(name);
	return true;
}

void
remote_free(struct remote **rp)
{
	struct remote *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	ipc_free(&r->ipc);
	map_each(&r->names, free_name, NULL);
	map_fini(&r->names);
	buf_fini(&r->last);
	free(r);
}
