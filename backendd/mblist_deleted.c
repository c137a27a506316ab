#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "backendd/conf.h"
#include "backendd/mblist_deleted.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/server.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/xalloc.h"

#define PLACE "deleted."

enum {
	TICK_MS = 60 * 1000,
	RETRY_S = 10 * 60, /* one that cannot go */
	AT_ONCE = 16       /* that go for good */
};

struct one {
	TAILQ_ENTRY(one) link;
	struct deleted *deleted;
	uint64_t since; /* seconds */
	uint64_t again; /* not before: it could not go */
	bool going;     /* asked for */
	char *name, *id;
};

TAILQ_HEAD(one_list, one);

struct deleted {
	struct mblist *list;
	struct timer *timer;
	struct one_list all;
	struct map ids; /* the newest of each mailbox */
	size_t going;
};

bool
deleted_is(struct slice name)
{
	return slice_starts(mboxname_local(name), slice_str(PLACE));
}

bool
deleted_keeps(const struct mblist *l, const char *name)
{
	return l->bd->conf->delete_delay_ms > 0 &&
	       !quarantine_is(slice_str(name));
}

static uint64_t
now_seconds(const struct mblist *l)
{
	return (uint64_t)loop_wall(l->bd->loop).ms / 1000;
}

const char *
deleted_name(struct mblist *l, struct arena *a, const char *name,
    const struct mboxrec *rec)
{
	const char *prefix = quarantine_domain(a, slice_str(name));
	const char *local = arena_string(a, mboxname_local(slice_str(name)));
	unsigned long long now = now_seconds(l);
	const char *to =
	    arena_printf(a, "%s" PLACE "%s.%llx", prefix, local, now);

	if (mboxname_invalid(slice_str(to)) == NULL &&
	    mblist_raw(l, to, a) == NULL)
		return to;
	return arena_printf(a, "%s" PLACE "%s.%llx", prefix,
	    arena_string(a, rec->mailboxid), now);
}

/* 0: an administrator's own invention, and kept. */
static uint64_t
since_of(const char *name)
{
	const char *last = strrchr(name, '.');
	uint64_t since = 0;

	if (last == NULL || strlen(last + 1) > 15)
		return 0;
	for (const char *p = last + 1; *p != '\0'; p++) {
		const char *digit = strchr("0123456789abcdef", *p);

		if (digit == NULL)
			return 0;
		since = since * 16 + (uint64_t)(digit - "0123456789abcdef");
	}
	return since;
}

void
deleted_add(struct deleted *d, const char *name, struct slice mailboxid)
{
	uint64_t since = since_of(name);
	struct one *o;

	if (since == 0)
		return;
	o = xcalloc(1, sizeof(*o));
	o->deleted = d;
	o->since = since;
	o->name = xstrdup(name);
	o->id = xstrndup((const char *)mailboxid.ptr, mailboxid.len);
	(void)map_put(&d->ids, mailboxid,
	    o); /* an older one was brought back */
	TAILQ_INSERT_TAIL(&d->all, o, link);
	if (!timer_is_set(d->timer))
		timer_set(d->timer, TICK_MS / 60);
}

static void
drop(struct one *o)
{
	struct deleted *d = o->deleted;

	TAILQ_REMOVE(&d->all, o, link);
	if (map_find(&d->ids, slice_str(o->id)) == o)
		(void)map_remove(&d->ids, slice_str(o->id)); /* freed here */
	free(o->id);
	free(o->name);
	free(o);
}

bool
deleted_has(const struct deleted *d, struct slice mailboxid)
{
	const struct one *o = map_find(&d->ids, mailboxid);
	const struct mboxrec *rec;
	struct arena a;
	bool has;

	if (o == NULL)
		return false;
	arena_init(&a);
	rec = mblist_raw(d->list, o->name, &a);
	has = rec != NULL && slice_equal(rec->mailboxid, mailboxid);
	arena_reset(&a);
	return has;
}

static void
gone(void *arg, enum mblist_result r, const char *text)
{
	struct one *o = arg;
	struct log *log = o->deleted->list->bd->log;
	const char *why = text[0] != '\0' ? text : mblist_text(r);

	o->deleted->going--;
	o->going = false;
	if (r != MBLIST_OK && r != MBLIST_NONE) {
		log_err(log, "deleted mailbox not removed", "name", o->name,
		    "why", why, NULL);
		o->again = now_seconds(o->deleted->list) + RETRY_S;
		return;
	}
	if (r == MBLIST_OK) /* else it was brought back */
		log_info(log, "deleted mailbox removed", "name", o->name, NULL);
	drop(o);
}

static void
tick(void *arg)
{
	struct deleted *d = arg;
	uint64_t delay = d->list->bd->conf->delete_delay_ms / 1000;
	uint64_t now = now_seconds(d->list);
	struct one *o;

	TAILQ_FOREACH (o, &d->all, link) {
		if (o->going || o->since + delay > now || o->again > now)
			continue;
		if (d->going == AT_ONCE)
			break;
		o->going = true;
		d->going++;
		mblist_delete(d->list, o->name, gone, o);
	}
	if (!TAILQ_EMPTY(&d->all))
		timer_set(d->timer, o == NULL ? TICK_MS : TICK_MS / 60);
}

void
deleted_configured(struct deleted *d)
{
	if (!TAILQ_EMPTY(&d->all))
		timer_set(d->timer, TICK_MS / 60);
}

struct deleted *
deleted_new(struct mblist *l)
{
	struct deleted *d = xcalloc(1, sizeof(*d));

	d->list = l;
	TAILQ_INIT(&d->all);
	map_init(&d->ids);
	d->timer = timer_new(l->bd->loop, tick, d);
	return d;
}

void
deleted_free(struct deleted **dp)
{
	struct deleted *d = *dp;
	struct one *o;

	*dp = NULL;
	if (d == NULL)
		return;
	while ((o = TAILQ_FIRST(&d->all)) != NULL)
		drop(o);
	map_fini(&d->ids);
	timer_free(&d->timer);
	free(d);
}
