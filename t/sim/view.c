#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/mblist.h"
#include "backendd/server.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"
#include "mupdated/list.h"
#include "proxyd/route.h"
#include "t/sim/child.h"
#include "t/sim/murder.h"
#include "t/sim/view.h"
#include "t/sim/world.h"

void
view_fini(struct view *v)
{
	free(v->boxes);
	*v = (struct view){ .boxes = NULL };
}

void
view_add(struct view *v, const struct box *b)
{
	struct proc *was = proc_leave();

	if (v->count == v->max) {
		v->max = v->max * 2 + 64;
		v->boxes = xreallocarray(v->boxes, v->max, sizeof(struct box));
	}
	v->boxes[v->count++] = *b;
	proc_return(was);
}

const struct box *
view_find(const struct view *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->boxes[i].name, name) == 0)
			return &v->boxes[i];
	return NULL;
}

bool
view_is_quarantined(const char *name)
{
	return strncmp(name, "quarantine.", 11) == 0;
}

static void
put_text(char *to, size_t n, struct slice s)
{
	MUST(s.len < n);
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	to[s.len] = '\0';
}

static void
take(struct view *v, struct slice name, const struct mboxrec *r)
{
	struct box b = { .active = r->state != MBOXREC_RESERVED,
		.generation = r->generation };

	put_text(b.name, sizeof(b.name), name);
	put_text(b.place, sizeof(b.place), r->location);
	put_text(b.acl, sizeof(b.acl), r->acl);
	put_text(b.id, sizeof(b.id), r->mailboxid);
	view_add(v, &b);
}

/* --- the update server ----------------------------------------------------- */

static bool
take_listed(void *arg, struct slice name, const struct mboxrec *r)
{
	take(arg, name, r);
	return true;
}

static void
walk_update(void *arg)
{
	struct buf at;
	struct err err;

	buf_init(&at, TREEDB_KEY_MAX);
	MUST(list_walk(murder_list(), &at, take_listed, arg, &err) == 0);
	buf_fini(&at);
}

bool
view_update(struct view *v)
{
	return murder_list() != NULL &&
	       proc_enter(child_proc(murder_update_child()), walk_update, v);
}

struct asked {
	const char *name;
	unsigned i;
	bool has;
	struct view_state state;
};

static void
ask_update(void *arg)
{
	struct asked *a = arg;
	struct list *l = murder_list();
	struct mboxrec r;
	struct buf room;
	struct err err;
	int found;

	buf_init(&room, 1 << 20);
	found = list_find(l, slice_str(a->name), &r, &room, &err);
	MUST(found != -1);
	a->state = (struct view_state){ true,
		found == 1 && r.state != MBOXREC_RESERVED, list_last(l),
		list_durable(l) };
	buf_fini(&room);
}

struct view_state
view_update_state(const char *name)
{
	struct asked a = { .name = name };

	if (murder_list() != NULL)
		(void)proc_enter(child_proc(murder_update_child()), ask_update,
		    &a); /* if it died, nothing is known */
	return a.state;
}

/* --- a backend ------------------------------------------------------------- */

struct walk {
	struct view *view;
	unsigned i;
	const char *prefix;
	bool there;
};

static bool
take_local(void *arg, const char *name, const struct mboxrec *r)
{
	take(arg, slice_str(name), r);
	return true;
}

static void
walk_backend(void *arg)
{
	struct walk *w = arg;

	mblist_each(murder_backend(w->i)->list, w->prefix, take_local, w->view);
}

bool
view_backend(struct view *v, unsigned i, const char *prefix)
{
	struct walk w = { v, i, prefix, true };

	return murder_backend(i) != NULL &&
	       proc_enter(child_proc(murder_backend_child(i)), walk_backend,
	           &w);
}

static void
ask_backend(void *arg)
{
	struct asked *a = arg;
	struct arena arena;

	arena_init(&arena);
	a->has =
	    mblist_get(murder_backend(a->i)->list, a->name, &arena) != NULL;
	arena_reset(&arena);
}

bool
view_backend_has(unsigned i, const char *name)
{
	struct asked a = { .name = name, .i = i };

	if (murder_backend(i) != NULL)
		(void)proc_enter(child_proc(murder_backend_child(i)),
		    ask_backend, &a); /* reading kills nobody */
	return a.has;
}

/* --- a frontend's copy ----------------------------------------------------- */

static enum treedb_next
take_copied(void *arg, struct slice key, struct slice value)
{
	struct mboxrec r;
	struct buf name;
	struct err err;

	MUST(mboxrec_parse(&r, value, &err) == 0);
	buf_init(&name, TREEDB_KEY_MAX + 1);
	mboxname_of_key(&name, key);
	take(arg, buf_slice(&name), &r);
	buf_fini(&name);
	return TREEDB_NEXT;
}

static void
walk_front(void *arg)
{
	struct walk *w = arg;
	struct treedb *t = route_list(murder_route(w->i));
	struct buf key;
	struct err err;

	w->there = t != NULL;
	if (t == NULL)
		return;
	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, slice_str(w->prefix));
	MUST(treedb_walk(t, buf_slice(&key), buf_slice(&key), take_copied,
	         w->view, &err) == 0);
	buf_fini(&key);
}

bool
view_front(struct view *v, unsigned i, const char *prefix)
{
	struct walk w = { v, i, prefix, false };

	return murder_route(i) != NULL &&
	       proc_enter(child_proc(murder_worker_child(i)), walk_front, &w) &&
	       w.there;
}

static void
ask_front(void *arg)
{
	struct asked *a = arg;
	struct mboxrec r;

	a->has = route_look(murder_route(a->i), slice_str(a->name), &r) ==
	         ROUTE_FOUND;
}

bool
view_front_has(unsigned i, const char *name)
{
	struct asked a = { .name = name, .i = i };

	if (murder_route(i) != NULL)
		(void)proc_enter(child_proc(murder_worker_child(i)), ask_front,
		    &a); /* reading kills nobody */
	return a.has;
}
