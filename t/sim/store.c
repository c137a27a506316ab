/*
 * store: a mail store (backendd/store.h) of mailboxes without mail, in place of
 * the spool: which there are, durably, and which half-made ones a crash left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/store.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/disk.h"
#include "t/sim/loop.h"
#include "t/sim/store.h"
#include "t/sim/world.h"

enum {
	DIR_ROOM = 160
};

enum kept {
	KEPT_MAKING, /* not durable */
	KEPT_HERE,
	KEPT_GOING /* its removal is not durable */
};

struct one {
	LIST_ENTRY(one) link;
	char id[STORE_ID_MAX + 1];
	enum kept kept;
	uint32_t uidvalidity;
	struct slice meta;
};

/* A directory of the simulated disk. */
struct shelf {
	LIST_ENTRY(shelf) link;
	char dir[DIR_ROOM];
	LIST_HEAD(, one) all;
};

static LIST_HEAD(, shelf) shelves = LIST_HEAD_INITIALIZER(shelves);

struct sim_store {
	struct store store;
	struct shelf *shelf;
	struct loop *loop;
	size_t busy;
};

/* Something that takes a while. */
struct work {
	struct sim_store *store;
	struct event event;
	struct ready ready;
	enum kept end;
	char id[STORE_ID_MAX + 1];
	const char *why;
	store_cb *cb;
	store_open_cb *opened;
	store_peek_cb *peeked;
	void *arg;
};

static struct shelf *
shelf_find(const char *dir)
{
	struct shelf *s;

	LIST_FOREACH(s, &shelves, link)
	if (strcmp(s->dir, dir) == 0)
		return s;
	return NULL;
}

static struct one *
one_find(const struct shelf *s, const char *id)
{
	struct one *o;

	LIST_FOREACH(o, &s->all, link)
	if (strcmp(o->id, id) == 0)
		return o;
	return NULL;
}

static void
one_drop(struct one *o)
{
	LIST_REMOVE(o, link);
	free((void *)(uintptr_t)o->meta.ptr);
	free(o);
}

/* --- for the simulator ----------------------------------------------------- */

void
sim_store_each(const char *dir, bool (*visit)(void *arg, const char *id),
    void *arg)
{
	struct shelf *s = shelf_find(dir);
	struct one *o;

	if (s == NULL)
		return;
	LIST_FOREACH(o, &s->all, link)
	if (o->kept != KEPT_MAKING && !visit(arg, o->id))
		return;
}

bool
sim_store_has(const char *dir, const char *id)
{
	struct shelf *s = shelf_find(dir);
	struct one *o = s == NULL ? NULL : one_find(s, id);

	return o != NULL && o->kept != KEPT_MAKING;
}

void
sim_store_crash(const char *dir)
{
	struct shelf *s = shelf_find(dir);
	struct one *o, *next;

	if (s == NULL)
		return;
	for (o = LIST_FIRST(&s->all); o != NULL; o = next) {
		next = LIST_NEXT(o, link);
		if (o->kept != KEPT_HERE && world_chance(500))
			one_drop(o);
		else
			o->kept = KEPT_HERE;
	}
}

/* --- the module ------------------------------------------------------------- */

static struct sim_store *
store_here(struct store *st)
{
	return (struct sim_store *)st;
}

static int
start(struct store **stp, const struct store_env *env, const char *dir,
    struct err *err)
{
	struct sim_store *s = xcalloc(1, sizeof(*s));
	struct proc *was = proc_leave();

	(void)err;
	s->shelf = shelf_find(dir);
	if (s->shelf == NULL) {
		s->shelf = xcalloc(1, sizeof(*s->shelf));
		snprintf(s->shelf->dir, DIR_ROOM, "%s", dir);
		LIST_INSERT_HEAD(&shelves, s->shelf, link);
	}
	proc_return(was);
	s->store.module = &spool_module;
	s->loop = env->loop;
	*stp = &s->store;
	return 0;
}

static void
stop(struct store **stp)
{
	free(*stp);
	*stp = NULL;
}

static size_t
busy(const struct store *st)
{
	return ((const struct sim_store *)st)->busy;
}

static void
configure(struct store *st, const struct store_options *o)
{
	(void)st, (void)o; /* without mail there is nothing to take care of */
}

static bool
is_full(const struct store *st)
{
	(void)st;
	return false;
}

static const char *
trouble(const struct store *st)
{
	(void)st;
	return NULL;
}

static int
each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	struct one *o;

	(void)err;
	LIST_FOREACH(o, &store_here(st)->shelf->all, link)
	{
		struct store_entry e = { .id = o->id,
			.uidvalidity = o->uidvalidity,
			.meta = o->meta };

		if (!visit(arg, &e))
			return 0;
	}
	return 0;
}

static void
tell(void *arg)
{
	struct work *w = arg;

	w->store->busy--;
	w->cb(w->arg, w->why);
	free(w);
}

static void
durable(void *arg)
{
	struct work *w = arg;
	struct one *o;

	disk_tick();
	o = one_find(w->store->shelf, w->id);
	if (o != NULL && w->end == KEPT_HERE && w->why == NULL)
		o->kept = KEPT_HERE;
	else if (o != NULL && w->end == KEPT_GOING)
		one_drop(o);
	disk_tick();
	ready_want(&w->ready);
}

static struct work *
work_new(struct store *st, const char *id, store_cb *cb, void *arg)
{
	struct sim_store *s = store_here(st);
	struct work *w = xcalloc(1, sizeof(*w));

	w->store = s;
	snprintf(w->id, sizeof(w->id), "%s", id);
	w->cb = cb;
	w->arg = arg;
	w->event.proc = proc_current();
	w->event.fn = durable;
	w->event.arg = w;
	ready_init(&w->ready, s->loop, tell, w);
	s->busy++;
	event_set(&w->event, 2 * disk_delay(w->event.proc->host));
	return w;
}

static void
create(struct store *st, const struct store_create *c, store_cb *cb, void *arg)
{
	struct work *w = work_new(st, c->id, cb, arg);
	struct shelf *s = store_here(st)->shelf;
	struct proc *was;
	struct one *o;

	w->end = KEPT_HERE;
	if (one_find(s, c->id) != NULL)
		w->why = "it is there";
	else if (disk_refuses())
		w->why = "No space left on device";
	if (w->why != NULL)
		return;
	was = proc_leave();
	o = xcalloc(1, sizeof(*o));
	snprintf(o->id, sizeof(o->id), "%s", c->id);
	o->kept = KEPT_MAKING;
	o->uidvalidity = c->uidvalidity;
	o->meta = slice_of(xmemdup(c->meta.ptr, c->meta.len), c->meta.len);
	LIST_INSERT_HEAD(&s->all, o, link);
	proc_return(was);
}

static void
destroy(struct store *st, const char *id, store_cb *cb, void *arg)
{
	struct work *w = work_new(st, id, cb, arg);
	struct one *o = one_find(store_here(st)->shelf, id);

	w->end = KEPT_GOING;
	if (o != NULL)
		o->kept = KEPT_GOING;
}

/* --- an open mailbox, with nothing in it ------------------------------------ */

static void
tell_opened(void *arg)
{
	struct work *w = arg;
	struct one *o = one_find(w->store->shelf, w->id);
	struct store_mailbox *mb = NULL;

	w->store->busy--;
	if (o != NULL) {
		mb = xcalloc(1, sizeof(*mb));
		mb->module = &spool_module;
		mb->store = &w->store->store;
		mb->numbers.uidvalidity = o->uidvalidity;
		mb->numbers.uidnext = 1;
		mb->numbers.highestmodseq = 1;
		mb->names = xcalloc(1, sizeof(*mb->names));
		mb->names->meta =
		    slice_of(xmemdup(o->meta.ptr, o->meta.len), o->meta.len);
		snprintf(mb->id, sizeof(mb->id), "%s", o->id);
	}
	w->opened(w->arg, mb, mb == NULL ? "No such mailbox" : NULL);
	free(w);
}

static void
open_one(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct work *w = work_new(st, id, NULL, arg);

	w->end = KEPT_MAKING;
	w->opened = cb;
	w->ready.fn = tell_opened;
}

static void
tell_peeked(void *arg)
{
	struct work *w = arg;

	w->store->busy--;
	w->peeked(w->arg);
	free(w);
}

static void
peek(struct store *st, struct store_peek *p, size_t n, store_peek_cb *cb,
    void *arg)
{
	struct work *w = work_new(st, "", NULL, arg);

	w->end = KEPT_MAKING;
	w->peeked = cb;
	w->ready.fn = tell_peeked;
	for (size_t i = 0; i < n; i++) {
		struct one *o = one_find(store_here(st)->shelf, p[i].id);

		p[i].recent = 0;
		p[i].why = o == NULL ? "No such mailbox" : NULL;
		if (o != NULL)
			p[i].numbers = (struct store_numbers){ .uidnext = 1,
				.highestmodseq = 1,
				.uidvalidity = o->uidvalidity };
	}
}

static void
close_one(struct store_mailbox *mb)
{
	free((void *)(uintptr_t)mb->names->meta.ptr);
	free(mb->names);
	free(mb);
}

static void
set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb, void *arg)
{
	struct work *w = work_new(mb->store, mb->id, cb, arg);

	(void)meta; /* nobody rebuilds a list from it here */
	w->end = KEPT_MAKING;
}

static void
sync_one(struct store_mailbox *mb, store_cb *cb, void *arg)
{
	set_meta(mb, slice_of(NULL, 0), cb, arg);
}

const struct store_module spool_module = {
	.name = "sim",
	.start = start,
	.stop = stop,
	.configure = configure,
	.busy = busy,
	.trouble = trouble,
	.is_full = is_full,
	.each = each,
	.create = create,
	.destroy = destroy,
	.peek = peek,
	.open = open_one,
	.close = close_one,
	.set_meta = set_meta,
	.sync = sync_one,
};

/* There is none in the simulator. */
const struct store_module maildir_module = {
	.name = "none",
};
