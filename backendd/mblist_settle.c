#include <stdlib.h>
#include <string.h>

#include "backendd/announce.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/mblist_settle.h"
#include "backendd/server.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define NAME_MAGIC 0x5e771e5au

enum {
	WINDOW = 256, /* names asked about at a time */
	PAUSE_FIRST_MS = 100,
	PAUSE_LAST_MS = 5 * 1000
};

enum state {
	STATE_READY,  /* to be said */
	STATE_ASKING, /* said, or asked about; the answer is due */
	STATE_RESTING /* till the link is back, or a pause is over */
};

TAILQ_HEAD(wait_list, settle_wait);

struct settle_name {
	unsigned magic;
	TAILQ_ENTRY(settle_name) link; /* of the list for its state */
	TAILQ_ENTRY(settle_name) link_all;
	uint64_t number;
	struct settle *settle;
	enum state state;
	enum announce_title title;
	bool again;           /* wanted since it was said */
	bool complained;      /* that it is refused */
	struct arena arena;   /* of what is being asked */
	struct mboxrec told;  /* as activated; in the arena */
	struct mboxrec found; /* what FIND says; location is in the arena */
	struct wait_list waiters;
	char name[];
};

TAILQ_HEAD(name_list, settle_name);

struct settle {
	struct mblist *list;
	struct map names;
	struct name_list ready, asking, resting;
	struct name_list all; /* as they were wanted */
	uint64_t last;        /* number given */
	size_t nasking, nresting;
	struct task *pump;
	struct timer *pause;
	unsigned pause_ms;
};

/* --- states ---------------------------------------------------------------- */

static struct name_list *
list_of(struct settle *s, enum state state)
{
	switch (state) {
	case STATE_READY:
		return &s->ready;
	case STATE_ASKING:
		return &s->asking;
	case STATE_RESTING:
		break;
	}
	return &s->resting;
}

static void
leave(struct settle_name *n)
{
	struct settle *s = n->settle;

	TAILQ_REMOVE(list_of(s, n->state), n, link);
	s->nasking -= n->state == STATE_ASKING;
	s->nresting -= n->state == STATE_RESTING;
}

static void
enter(struct settle_name *n, enum state state)
{
	struct settle *s = n->settle;

	leave(n);
	n->state = state;
	s->nasking += n->state == STATE_ASKING;
	s->nresting += n->state == STATE_RESTING;
	TAILQ_INSERT_TAIL(list_of(s, n->state), n, link);
	if (state == STATE_READY)
		task_want(s->pump);
}

/* Said again later: after the pause, if there is a link at all. */
static void
rest(struct settle_name *n)
{
	struct settle *s = n->settle;

	enter(n, STATE_RESTING);
	if (timer_is_set(s->pause))
		return;
	timer_set(s->pause, s->pause_ms);
	s->pause_ms *= 2;
	if (s->pause_ms > PAUSE_LAST_MS)
		s->pause_ms = PAUSE_LAST_MS;
}

static void
wake(struct settle *s)
{
	struct settle_name *n;

	timer_stop(s->pause);
	while ((n = TAILQ_FIRST(&s->resting)) != NULL)
		enter(n, STATE_READY);
}

static void
pause_over(void *arg)
{
	wake(arg);
}

static void
drop(struct settle_name *n)
{
	struct settle *s = n->settle;

	leave(n);
	TAILQ_REMOVE(&s->all, n, link_all);
	(void)map_remove(&s->names, slice_str(n->name)); /* that one */
	arena_reset(&n->arena);
	n->magic = 0;
	free(n);
	task_want(s->pump); /* there is room for another */
}

/* Wanted while it was asked about: as if it were wanted now. */
static void
renew(struct settle_name *n)
{
	n->again = false;
	n->complained = false;
	enter(n, STATE_READY);
}

/*
 * Those who wait may begin other changes, of this name too, which then is
 * wanted anew: so the name goes first.
 */
static void
finish(struct settle_name *n, enum settled how)
{
	struct wait_list waiters = TAILQ_HEAD_INITIALIZER(waiters);
	struct settle *s = n->settle;
	struct settle_wait *w;

	s->pause_ms = PAUSE_FIRST_MS;
	if (n->again && how == SETTLED) {
		n->again = false;
		enter(n, STATE_READY);
		return;
	}
	TAILQ_CONCAT(&waiters, &n->waiters, link);
	if (n->again)
		renew(n);
	else
		drop(n);
	TAILQ_FOREACH (w, &waiters, link)
		w->of = NULL;
	while ((w = TAILQ_FIRST(&waiters)) != NULL) {
		TAILQ_REMOVE(&waiters, w, link);
		w->cb(w->arg, how);
	}
}

/* --- another has it --------------------------------------------------------- */

/*
 * Whatever the generations: what the update server calls taken it knows to be
 * the other's.  But the same grant under another host is this server's own,
 * which was called otherwise.
 */
static bool
is_overtaken(const struct settle_name *n)
{
	if (n->found.generation > 0)
		return n->found.generation != n->told.generation;
	return !slice_equal(mboxrec_host(n->found.location),
	    mboxrec_host(n->told.location));
}

/*
 * SETTLE:conflict.  Set aside (SETTLE:aside) when nobody waits for it, who
 * would know better what to do.
 */
static void
conflict(struct settle_name *n)
{
	struct mblist *l = n->settle->list;
	bool aside = n->found.state != MBOXREC_RESERVED && is_overtaken(n) &&
	             TAILQ_EMPTY(&n->waiters);
	struct arena a;
	const char *name;
	struct slice id;

	if (!n->complained) {
		log_err(l->bd->log, "mailbox is also on another server", "name",
		    n->name, "where", op_str(&n->arena, n->found.location),
		    "generation", LOG_NUM(n->told.generation), "other",
		    LOG_NUM(n->found.generation), NULL);
		l->counts.conflicts++;
	}
	n->complained = true;
	if (n->found.state == MBOXREC_RESERVED && TAILQ_EMPTY(&n->waiters)) {
		rest(n);
		return;
	}
	arena_init(&a);
	name = op_str(&a, slice_str(n->name));
	id = arena_copy(&a, n->told.mailboxid);
	finish(n, SETTLED_TAKEN);
	if (aside)
		mblist_quarantine(l, name, id);
	arena_reset(&a);
}

static void
change_generation(struct mblist *l, const char *name, struct slice mailboxid,
    uint64_t generation)
{
	struct arena a;
	const struct mboxrec *now;
	struct mboxrec rec;

	arena_init(&a);
	now = mblist_raw(l, name, &a);
	if (now != NULL && slice_equal(now->mailboxid, mailboxid) &&
	    now->generation < generation) {
		rec = *now;
		rec.generation = generation;
		rec.pending |= PENDING_META;
		op_put(l, name, &rec);
		op_commit_later(l);
	}
	arena_reset(&a);
}

static void
found(void *arg, struct slice name, const struct mboxrec *rec)
{
	struct settle_name *n = arg;

	(void)name; /* as asked */
	n->found = op_copy(&n->arena, rec);
}

/* What the update server has granted to this server since, this one takes. */
static void
looked_up(void *arg, const struct announce_answer *answer)
{
	struct settle_name *n = arg;
	struct settle *s = n->settle;
	struct slice host;

	MUST(n->magic == NAME_MAGIC);
	if (answer->result != ANNOUNCE_OK || n->found.location.len == 0) {
		rest(n);
		return;
	}
	host = slice_str(s->list->bd->hostname);
	if (!slice_equal(mboxrec_host(n->found.location), host)) {
		conflict(n);
		return;
	}
	if (n->found.generation > n->told.generation) {
		log_warn(s->list->bd->log,
		    "mailbox is older than what was published", "name", n->name,
		    NULL);
		change_generation(s->list, n->name, n->told.mailboxid,
		    n->found.generation);
		enter(n, STATE_READY);
		return;
	}
	rest(n);
}

/* --- saying ----------------------------------------------------------------- */

static void
refused(struct settle_name *n, const char *text)
{
	if (!n->complained)
		log_err(n->settle->list->bd->log, "update server refuses",
		    "name", n->name, "text", text, NULL);
	n->complained = true;
	rest(n);
}

static void
answered(void *arg, const struct announce_answer *answer)
{
	struct settle_name *n = arg;
	struct mblist *l = n->settle->list;

	MUST(n->magic == NAME_MAGIC);
	switch (answer->result) {
	case ANNOUNCE_OK:
		if (answer->generation > n->told.generation)
			change_generation(l, n->name, n->told.mailboxid,
			    answer->generation);
		finish(n, SETTLED);
		break;
	case ANNOUNCE_TAKEN:
	case ANNOUNCE_FENCED:
		n->found = (struct mboxrec){ 0 };
		announce_find(l->bd->announce, n->name, found, looked_up, n);
		break;
	case ANNOUNCE_REFUSED:
		refused(n, answer->text);
		break;
	case ANNOUNCE_UNAVAILABLE:
		rest(n);
		break;
	}
}

/* SETTLE:say */
static void
say(struct settle_name *n)
{
	struct mblist *l = n->settle->list;
	const struct mboxrec *rec;
	char location[LOCATION_MAX];

	if (TAILQ_EMPTY(&n->waiters) && op_is_busy(l, n->name, OP_NAME)) {
		rest(n);
		return;
	}
	if (!op_is_public(l, n->name)) {
		finish(n, SETTLED);
		return;
	}
	enter(n, STATE_ASKING);
	n->again = false;
	arena_reset(&n->arena);
	n->told = (struct mboxrec){ 0 };
	rec = mblist_raw(l, n->name, &n->arena);
	if (rec != NULL) {
		n->told = *rec;
		announce_activate(l->bd->announce, n->name, rec, n->title,
		    answered, n);
	} else {
		backendd_location(l->bd, "", location);
		announce_delete(l->bd->announce, n->name, location, answered,
		    n);
	}
	/* The title is for once: by the next time much may have happened. */
	n->title = ANNOUNCE_UNSURE;
}

static void
pump(void *arg)
{
	struct settle *s = arg;
	struct settle_name *n;

	while (s->nasking < WINDOW && (n = TAILQ_FIRST(&s->ready)) != NULL) {
		if (announce_is_up(s->list->bd->announce))
			say(n);
		else
			enter(n, STATE_RESTING);
	}
}

/* --- wanting ---------------------------------------------------------------- */

/* SETTLE:want, as the model (t/model/murder.pml) calls the steps. */
static struct settle_name *
want(struct settle *s, const char *name, enum announce_title title)
{
	struct settle_name *n = map_find(&s->names, slice_str(name));

	if (n != NULL) {
		n->again = n->state == STATE_ASKING;
		return n;
	}
	n = xcalloc(1, sizeof(*n) + strlen(name) + 1);
	n->magic = NAME_MAGIC;
	n->settle = s;
	n->title = title;
	arena_init(&n->arena);
	TAILQ_INIT(&n->waiters);
	memcpy(n->name, name, strlen(name) + 1);
	MUST(map_put(&s->names, slice_str(name), n) == NULL);
	n->number = ++s->last;
	TAILQ_INSERT_TAIL(&s->ready, n, link);
	TAILQ_INSERT_TAIL(&s->all, n, link_all);
	task_want(s->pump);
	return n;
}

void
settle_want(struct settle *s, const char *name)
{
	(void)want(s, name, ANNOUNCE_UNSURE); /* nobody waits */
}

void
settle_await(struct settle *s, const char *name, enum announce_title title,
    struct settle_wait *w, settle_cb *cb, void *arg)
{
	struct settle_name *n = want(s, name, title);

	MUST(w->of == NULL);
	*w = (struct settle_wait){ .of = n, .cb = cb, .arg = arg };
	TAILQ_INSERT_TAIL(&n->waiters, w, link);
	if (n->state == STATE_RESTING)
		enter(n, STATE_READY);
}

void
settle_cancel(struct settle_wait *w)
{
	if (w->of == NULL)
		return;
	TAILQ_REMOVE(&w->of->waiters, w, link);
	w->of = NULL;
}

void
settle_connected(struct settle *s)
{
	s->pause_ms = PAUSE_FIRST_MS;
	wake(s);
}

size_t
settle_count(const struct settle *s)
{
	return map_count(&s->names);
}

size_t
settle_moving(const struct settle *s)
{
	return map_count(&s->names) - s->nresting;
}

uint64_t
settle_last(const struct settle *s)
{
	return s->last;
}

bool
settle_is_done(const struct settle *s, uint64_t number)
{
	const struct settle_name *oldest = TAILQ_FIRST(&s->all);

	return oldest == NULL || oldest->number > number;
}

struct settle *
settle_new(struct mblist *l)
{
	struct settle *s = xcalloc(1, sizeof(*s));

	s->list = l;
	s->pause_ms = PAUSE_FIRST_MS;
	map_init(&s->names);
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->asking);
	TAILQ_INIT(&s->resting);
	TAILQ_INIT(&s->all);
	s->pump = task_new(l->bd->loop, pump, s);
	s->pause = timer_new(l->bd->loop, pause_over, s);
	return s;
}

static bool
drop_one(void *arg, struct slice key, void *value)
{
	struct settle_name *n = value;

	(void)arg; /* every one */
	(void)key;
	arena_reset(&n->arena);
	free(n);
	return true;
}

void
settle_free(struct settle **sp)
{
	struct settle *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	map_each(&s->names, drop_one, NULL);
	map_fini(&s->names);
	task_free(&s->pump);
	timer_free(&s->pause);
	free(s);
}
