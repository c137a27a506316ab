#include <stdlib.h>
#include <string.h>

#include "backendd/mblist_op.h"
#include "backendd/mblist_sync.h"
#include "backendd/server.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	WINDOW = 64 /* commands under way */
};

enum step {
	STEP_DELETE,  /* there and not here */
	STEP_RESERVE, /* here and not there: is it free? */
	STEP_ACTIVATE /* ours, and not as it should be */
};

struct action {
	TAILQ_ENTRY(action) link;
	struct sync *sync;
	enum step step;
	struct mboxrec rec; /* as told */
	struct arena arena;
	char name[];
};

TAILQ_HEAD(action_list, action);

/* Counted: answers that are due hold it, and find it dropped. */
struct sync {
	struct mblist *list; /* NULL: dropped */
	size_t holds;
	struct map there; /* name: struct entry */
	struct action_list todo;
	size_t running;
	uint64_t deleted, activated, conflicts;
};

struct entry {
	bool active, seen;
	char *acl, *location;
};

static void
free_entry(struct entry *e)
{
	free(e->acl);
	free(e->location);
	free(e);
}

static void
free_action(struct action *a)
{
	arena_reset(&a->arena);
	free(a);
}

static bool
drop_entry(void *arg, struct slice key, void *value)
{
	(void)arg; /* every one */
	(void)key;
	free_entry(value);
	return true;
}

static void
let_go(struct sync *s)
{
	struct action *a;

	if (--s->holds > 0)
		return;
	while ((a = TAILQ_FIRST(&s->todo)) != NULL) {
		TAILQ_REMOVE(&s->todo, a, link);
		free_action(a);
	}
	map_each(&s->there, drop_entry, NULL);
	map_fini(&s->there);
	free(s);
}

void
sync_free(struct sync **sp)
{
	struct sync *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	s->list = NULL;
	let_go(s);
}

/* --- acting ------------------------------------------------------------------- */

static void pump(struct sync *s);

static void
finish_action(struct action *a)
{
	struct sync *s = a->sync;

	free_action(a);
	s->running--;
	if (s->list != NULL)
		pump(s);
	let_go(s);
}

static void
told(void *arg, enum announce_result r, const char *text)
{
	struct action *a = arg;
	struct sync *s = a->sync;

	if (s->list != NULL && r == ANNOUNCE_REFUSED)
		log_err(s->list->bd->log, "update server refuses", "name",
		    a->name, "text", text, NULL);
	if (s->list != NULL && r == ANNOUNCE_OK && a->step != STEP_DELETE) {
		s->activated++;
		op_told(s->list, a->name, &a->rec);
	}
	if (r == ANNOUNCE_OK && a->step == STEP_DELETE)
		s->deleted++;
	finish_action(a);
}

/*
 * As it is now: it may have changed since the comparison, and while a change
 * is under way that change does the telling.
 */
static const struct mboxrec *
current(struct action *a)
{
	struct mblist *l = a->sync->list;

	if (l == NULL || op_is_busy(l, a->name, OP_NAME))
		return NULL;
	return mblist_get(l, a->name, &a->arena);
}

static void
activate(struct action *a)
{
	const struct mboxrec *rec = current(a);

	if (rec == NULL) {
		finish_action(a);
		return;
	}
	a->rec = *rec;
	announce_activate(a->sync->list->bd->announce, a->name,
	    op_str(&a->arena, rec->location), op_str(&a->arena, rec->acl), told,
	    a);
}

static void
reserved(void *arg, enum announce_result r, const char *text)
{
	struct action *a = arg;
	struct sync *s = a->sync;

	if (r == ANNOUNCE_OK && s->list != NULL) {
		activate(a);
		return;
	}
	if (r == ANNOUNCE_REFUSED && s->list != NULL) {
		s->conflicts++;
		log_err(s->list->bd->log, "mailbox is also on another server",
		    "name", a->name, "text", text, NULL);
	}
	finish_action(a);
}

static void
act(struct action *a)
{
	struct announce *announce = a->sync->list->bd->announce;
	const struct mboxrec *rec = current(a);

	switch (a->step) {
	case STEP_DELETE:
		if (rec != NULL || op_is_busy(a->sync->list, a->name, OP_NAME))
			finish_action(a);
		else
			announce_delete(announce, a->name, told, a);
		break;
	case STEP_RESERVE:
		if (rec == NULL)
			finish_action(a);
		else
			announce_reserve(announce, a->name,
			    op_str(&a->arena, rec->location), reserved, a);
		break;
	case STEP_ACTIVATE:
		activate(a);
		break;
	}
}

static void
pump(struct sync *s)
{
	struct action *a;

	while (s->list != NULL && s->running < WINDOW &&
	       (a = TAILQ_FIRST(&s->todo)) != NULL) {
		TAILQ_REMOVE(&s->todo, a, link);
		s->running++;
		s->holds++;
		act(a);
	}
	if (s->list == NULL || s->running > 0 || !TAILQ_EMPTY(&s->todo))
		return;
	log_info(s->list->bd->log, "mailbox list compared", "activated",
	    LOG_NUM(s->activated), "deleted", LOG_NUM(s->deleted), "conflicts",
	    LOG_NUM(s->conflicts), NULL);
	s->list->sync = NULL;
	s->list = NULL;
	let_go(s);
}

/* --- comparing ---------------------------------------------------------------- */

static void
want(struct sync *s, const char *name, enum step step)
{
	struct action *a = xcalloc(1, sizeof(*a) + strlen(name) + 1);

	a->sync = s;
	a->step = step;
	arena_init(&a->arena);
	memcpy(a->name, name, strlen(name) + 1);
	TAILQ_INSERT_TAIL(&s->todo, a, link);
}

static bool
compare_here(void *arg, const char *name, const struct mboxrec *rec)
{
	struct sync *s = arg;
	struct entry *e = map_find(&s->there, slice_str(name));

	if (e == NULL) {
		want(s, name, STEP_RESERVE);
		return true;
	}
	e->seen = true;
	if (!e->active || rec->pending != PENDING_NOTHING ||
	    !slice_is(rec->acl, e->acl) ||
	    !slice_is(rec->location, e->location))
		want(s, name, STEP_ACTIVATE);
	return true;
}

static bool
compare_there(void *arg, struct slice key, void *value)
{
	struct sync *s = arg;
	struct entry *e = value;
	char *name;

	if (!e->seen) {
		name = xstrndup(key.ptr, key.len);
		want(s, name, STEP_DELETE);
		free(name);
	}
	return true;
}

static void
take_entry(void *arg, const struct announce_entry *e)
{
	struct sync *s = arg;
	struct entry *mine = xcalloc(1, sizeof(*mine));
	struct entry *old;

	mine->active = e->acl != NULL;
	mine->acl = xstrdup(e->acl != NULL ? e->acl : "");
	mine->location = xstrdup(e->location != NULL ? e->location : "");
	old = map_put(&s->there, slice_str(e->name), mine);
	if (old != NULL)
		free_entry(old);
}

static void
listed(void *arg, enum announce_result r, const char *text)
{
	struct sync *s = arg;

	if (s->list == NULL || r != ANNOUNCE_OK) {
		if (s->list != NULL) {
			log_warn(s->list->bd->log, "mailbox list not compared",
			    "why", text, NULL);
			s->list->sync = NULL;
			s->list = NULL;
			let_go(s);
		}
		let_go(s);
		return;
	}
	mblist_each(s->list, "", compare_here, s);
	map_each(&s->there, compare_there, s);
	pump(s);
	let_go(s);
}

struct sync *
sync_new(struct mblist *l)
{
	struct sync *s = xcalloc(1, sizeof(*s));
	char prefix[LOCATION_MAX];

	s->list = l;
	s->holds = 2; /* the list's, and the answer's */
	map_init(&s->there);
	TAILQ_INIT(&s->todo);
	backendd_location(l->bd, "", prefix);
	announce_list(l->bd->announce, prefix, take_entry, listed, s);
	return s;
}
