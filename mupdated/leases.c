#include <stdlib.h>

#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"
#include "mupdated/leases.h"
#include "mupdated/list.h"

enum {
	SLICE_ENTRIES = 4096, /* looked at in a turn */
	SLICE_ENDS = 64,      /* leases that end in one */
	AGAIN_MS = 5000       /* after the disk has refused */
};

struct owner {
	unsigned sessions;
	struct mono gone; /* if there are none: since when */
};

struct leases {
	struct loop *loop;
	struct log *log;
	struct list *list;
	int64_t lease_ms;
	struct map owners;
	struct timer *timer; /* the next one who has been away for too long */
	struct task *sweep;
	bool sweeping, refused;
	struct buf at;
	uint64_t ended;
};

/* --- who has been away ----------------------------------------------------- */

static bool
is_over(const struct leases *l, const struct owner *o)
{
	return o->sessions == 0 &&
	       mono_reached(mono_after(o->gone, l->lease_ms),
	           loop_now(l->loop));
}

struct looking {
	struct leases *l;
	bool any, over;
	int64_t next_ms;
};

/* Who has reserved nothing is forgotten. */
static bool
look_at_owner(void *arg, struct slice user, void *value)
{
	struct looking *k = arg;
	struct leases *l = k->l;
	struct owner *o = value;
	int64_t left = o->gone.ms + l->lease_ms - loop_now(l->loop).ms;

	if (o->sessions > 0)
		return true;
	if (is_over(l, o)) {
		if (holders_reserved(list_holders(l->list), user) > 0) {
			k->over = true;
		} else {
			map_remove(&l->owners, user);
			free(o);
		}
		return true;
	}
	if (!k->any || left < k->next_ms)
		k->next_ms = left;
	k->any = true;
	return true;
}

/* Sweeps if somebody's time is over, else waits for the next one's. */
static void
look(struct leases *l)
{
	struct looking k = { .l = l };

	if (l->sweeping)
		return;
	map_each(&l->owners, look_at_owner, &k);
	if (k.over && l->refused) {
		timer_set(l->timer, AGAIN_MS);
	} else if (k.over) {
		l->sweeping = true;
		buf_clear(&l->at);
		task_want(l->sweep);
	} else if (k.any) {
		timer_set(l->timer, k.next_ms > 0 ? k.next_ms : 0);
	} else {
		timer_stop(l->timer);
	}
}

static struct owner *
obtain(struct leases *l, struct slice user)
{
	struct owner *o = map_find(&l->owners, user);

	if (o == NULL) {
		o = xcalloc(1, sizeof(*o));
		o->gone = loop_now(l->loop);
		map_put(&l->owners, user, o);
	}
	return o;
}

static void
expect_owner(void *arg, struct slice owner)
{
	obtain(arg, owner);
}

static void
timer_rings(void *arg)
{
	struct leases *l = arg;

	l->refused = false;
	/* Whoever was forgotten, and has something again after a failure. */
	holders_each_owner(list_holders(l->list), expect_owner, l);
	look(l);
}

/* --- ending them ------------------------------------------------------------ */

struct ending {
	struct leases *l;
	unsigned seen;
	size_t count;
	struct buf names;
	struct {
		size_t end; /* in names */
		uint64_t generation;
	} found[SLICE_ENDS];
};

static bool
gather_ended(void *arg, struct slice name, const struct mboxrec *r)
{
	struct ending *e = arg;
	struct owner *o;

	if (r->state == MBOXREC_RESERVED &&
	    (o = map_find(&e->l->owners, r->owner)) != NULL &&
	    is_over(e->l, o)) {
		buf_put_slice(&e->names, name);
		e->found[e->count].end = buf_len(&e->names);
		e->found[e->count++].generation = r->generation;
	}
	return ++e->seen < SLICE_ENTRIES && e->count < SLICE_ENDS;
}

/* LIST:lease, in t/model/murder.pml. */
static void
end_one(struct leases *l, struct slice name, uint64_t generation)
{
	static const struct conf_list none;
	const struct rules_who who = { .hosts = &none, .everything = true };
	struct rules_request rq = { .id = MUPDATE_CMD_XBREAK, .name = name };
	struct list_answer a;

	rq.wanted.generation = generation;
	a = list_change(l->list, &rq, &who);
	if (!a.done) {
		l->refused = true;
		return;
	}
	l->ended++;
	log_info(l->log, "lease ended", "mailbox", LOG_SLICE(name),
	    "generation", LOG_NUM(generation), NULL);
}

static void
sweep(void *arg)
{
	struct leases *l = arg;
	struct ending e = { .l = l };
	struct err err;
	int more;

	buf_init(&e.names, SLICE_ENDS * TREEDB_KEY_MAX);
	more = list_walk(l->list, &l->at, gather_ended, &e, &err);
	if (more == -1) {
		log_err(l->log, "list: cannot read", "why", err.text, NULL);
		l->refused = true;
	}
	for (size_t i = 0, begin = 0; i < e.count; i++) {
		struct slice names = buf_slice(&e.names);

		end_one(l,
		    slice_skip(slice_first(names, e.found[i].end), begin),
		    e.found[i].generation);
		begin = e.found[i].end;
	}
	buf_fini(&e.names);
	if (more == 1 && !l->refused) {
		task_want(l->sweep);
		return;
	}
	l->sweeping = false;
	look(l);
}

/* --- coming and going -------------------------------------------------------- */

void
leases_come(struct leases *l, struct slice user)
{
	obtain(l, user)->sessions++;
}

void
leases_go(struct leases *l, struct slice user)
{
	struct owner *o = map_find(&l->owners, user);

	MUST(o != NULL && o->sessions > 0);
	if (--o->sessions > 0)
		return;
	o->gone = loop_now(l->loop);
	/* All wait equally long, so the first to go is the next. */
	if (!timer_is_set(l->timer) && !l->sweeping)
		timer_set(l->timer, l->lease_ms);
}

struct mupdate_lease
leases_describe(const struct leases *l, struct slice name,
    const struct mboxrec *r)
{
	struct mupdate_lease lease = { .name = name,
		.location = r->location,
		.owner = r->owner,
		.since = r->since,
		.generation = r->generation,
		.ends = MUPDATE_LEASE_NEVER };
	const struct owner *o = map_find(&l->owners, r->owner);
	int64_t left;

	MUST(r->state != MBOXREC_ACTIVE);
	if (r->state == MBOXREC_MOVING)
		return lease;
	lease.ends = MUPDATE_LEASE_HELD;
	if (o == NULL || o->sessions > 0)
		return lease;
	left = o->gone.ms + l->lease_ms - loop_now(l->loop).ms;
	lease.ends = MUPDATE_LEASE_ENDING;
	lease.expires = (uint64_t)(loop_wall(l->loop).ms + left) / 1000;
	return lease;
}

const uint64_t *
leases_ended(const struct leases *l)
{
	return &l->ended;
}

/* --- birth and death ---------------------------------------------------------- */

struct leases *
leases_new(struct loop *loop, struct log *log, struct list *list,
    uint64_t lease_ms)
{
	struct leases *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->log = log;
	l->list = list;
	l->lease_ms = (int64_t)lease_ms;
	map_init(&l->owners);
	buf_init(&l->at, TREEDB_KEY_MAX + 1);
	l->timer = timer_new(loop, timer_rings, l);
	l->sweep = task_new(loop, sweep, l);
	timer_rings(l);
	return l;
}

static bool
free_owner(void *arg, struct slice key, void *value)
{
	(void)arg;
	(void)key;
	free(value);
	return true;
}

void
leases_free(struct leases **lp)
{
	struct leases *l = *lp;

	if (l == NULL)
		return;
	map_each(&l->owners, free_owner, NULL);
	map_fini(&l->owners);
	timer_free(&l->timer);
	task_free(&l->sweep);
	buf_fini(&l->at);
	free(l);
	*lp = NULL;
}

void
leases_reload(struct leases *l, uint64_t lease_ms)
{
	l->lease_ms = (int64_t)lease_ms;
	look(l);
}

void
leases_check(struct leases *l)
{
	timer_set(l->timer, AGAIN_MS);
}
