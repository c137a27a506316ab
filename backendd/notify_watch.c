/*
 * Which mailboxes the rules of a session mean.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/mblist.h"
#include "backendd/notify_state.h"
#include "backendd/server.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/xalloc.h"

bool
notify_is_personal(const struct session *ss, const char *name)
{
	return mboxname_is_owned_by(&ss->bd->layout, slice_str(name),
	    slice_str(session_user(ss)));
}

static bool
is_meant(const struct session *ss, const struct notify_rule *r,
    const char *name)
{
	struct slice s = slice_str(name);

	switch (r->kind) {
	case MBOXFILTER_INBOXES:
	case MBOXFILTER_PERSONAL:
		return notify_is_personal(ss, name);
	case MBOXFILTER_SUBSCRIBED:
		return users_is_subscribed(ss->bd->users, session_user(ss),
		    name);
	case MBOXFILTER_SUBTREE:
		for (size_t i = 0; i < r->nnames; i++)
			if (mboxname_is_below(s, slice_str(r->names[i])) ||
			    strcmp(name, r->names[i]) == 0)
				return true;
		return false;
	case MBOXFILTER_MAILBOXES:
		for (size_t i = 0; i < r->nnames; i++)
			if (strcmp(name, r->names[i]) == 0)
				return true;
		return false;
	case MBOXFILTER_SELECTED:
	case MBOXFILTER_SELECTED_DELAYED:
	case MBOXFILTER_SUBTREE_ONE:
		break;
	}
	return false;
}

unsigned
notify_events_of(const struct notify *n, const char *name)
{
	unsigned events = 0;

	for (size_t i = 0; i < n->wish.nrules; i++)
		if (is_meant(n->ss, &n->wish.rules[i], name))
			events |= n->wish.rules[i].events;
	return events;
}

bool
notify_watches_messages(const struct notify *n)
{
	for (size_t i = 0; i < n->wish.nrules; i++)
		if (n->wish.rules[i].events & NOTIFY_MESSAGES)
			return true;
	return false;
}

/* --- the mailboxes they mean ------------------------------------------------ */

static void
drop_watch(struct watch *w)
{
	struct notify *n = w->n;
	struct bulletin *b = n->ss->bd->bulletin;
	struct watched *all;

	TAILQ_REMOVE(&n->watches, w, link);
	if (w->pending != 0)
		TAILQ_REMOVE(&n->pending, w, waiting);
	LIST_REMOVE(w, same);
	all = map_find(&b->watched, w->id);
	if (LIST_EMPTY(&all->watches)) {
		map_remove(&b->watched, w->id);
		free(all);
	}
	free(w);
}

void
notify_drop_watches(struct notify *n)
{
	struct watch *w;

	while ((w = TAILQ_FIRST(&n->watches)) != NULL)
		drop_watch(w);
}

static void
add_watch(struct notify *n, const char *name, const struct mboxrec *rec,
    unsigned events)
{
	struct bulletin *b = n->ss->bd->bulletin;
	size_t len = strlen(name) + 1;
	struct watch *w = xcalloc(1, sizeof(*w) + len + rec->mailboxid.len);
	struct watched *all;

	memcpy(w->name, name, len);
	memcpy(w->name + len, rec->mailboxid.ptr, rec->mailboxid.len);
	w->id = slice_of(w->name + len, rec->mailboxid.len);
	w->n = n;
	w->store = backendd_store(n->ss->bd, rec);
	w->events = events;
	all = map_find(&b->watched, w->id);
	if (all == NULL) {
		all = xcalloc(1, sizeof(*all));
		LIST_INIT(&all->watches);
		map_put(&b->watched, w->id, all);
	}
	LIST_INSERT_HEAD(&all->watches, w, same);
	TAILQ_INSERT_TAIL(&n->watches, w, link);
	n->nwatches++;
}

unsigned
notify_rights_of(struct session *ss, const char *name, struct slice acl)
{
	struct arena a;
	unsigned rights;

	arena_init(&a);
	rights = session_rights(ss, name, arena_string(&a, acl));
	arena_reset(&a);
	return rights;
}

static struct watch *
find_watch(const struct notify *n, struct slice id, bool old)
{
	const struct watched *all = map_find(&n->ss->bd->bulletin->watched, id);
	struct watch *w;

	if (all != NULL)
		LIST_FOREACH(w, &all->watches, same)
	if (w->n == n && w->old == old)
		return w;
	return NULL;
}

void
notify_note_news(struct watch *w, unsigned events)
{
	if (events == 0)
		return;
	if (w->pending == 0)
		TAILQ_INSERT_TAIL(&w->n->pending, w, waiting);
	w->pending |= events;
	session_wake(w->n->ss);
}

/* Rights that any event needs (RFC 5465 5). */
enum {
	WATCHING = ACL_LOOKUP | ACL_READ
};

struct resolving {
	struct notify *n;
	bool too_many;
};

static bool
resolve_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct resolving *re = arg;
	struct notify *n = re->n;
	unsigned events, rights;

	events = notify_events_of(n, name) & NOTIFY_MESSAGES;
	if (events == 0 || (mblist_is_aside(name) && !n->ss->admin))
		return true;
	rights = notify_rights_of(n->ss, name, rec->acl);
	if ((rights & WATCHING) != WATCHING)
		return true;
	if (find_watch(n, rec->mailboxid, false) != NULL)
		return true; /* two rules mean it */
	if (n->nwatches == NOTIFY_MAILBOXES_MAX) {
		re->too_many = true;
		return false;
	}
	add_watch(n, name, rec, events);
	return true;
}

static bool
resolve_name(void *arg, const char *name)
{
	struct resolving *re = arg;
	struct arena a;
	const struct mboxrec *rec;
	bool more = true;

	arena_init(&a);
	rec = mblist_get(re->n->ss->bd->list, name, &a);
	if (rec != NULL)
		more = resolve_one(re, name, rec);
	arena_reset(&a);
	return more;
}

static void
resolve_tree(struct resolving *re, const char *top)
{
	struct arena a;

	if (!resolve_name(re, top))
		return;
	arena_init(&a);
	mblist_each(re->n->ss->bd->list, arena_printf(&a, "%s.", top),
	    resolve_one, re);
	arena_reset(&a);
}

static void
resolve_own(struct resolving *re)
{
	struct session *ss = re->n->ss;
	struct arena a;
	struct slice inbox;

	arena_init(&a);
	if (mboxname_of_user(&a, &ss->bd->layout, slice_str(session_user(ss)),
	        &inbox) == NULL)
		resolve_tree(re, arena_string(&a, inbox));
	arena_reset(&a);
}

static void
resolve_rule(struct resolving *re, const struct notify_rule *r)
{
	struct session *ss = re->n->ss;

	switch (r->kind) {
	case MBOXFILTER_INBOXES:
	case MBOXFILTER_PERSONAL:
		resolve_own(re);
		break;
	case MBOXFILTER_SUBSCRIBED:
		users_each_subscription(ss->bd->users, session_user(ss),
		    resolve_name, re);
		break;
	case MBOXFILTER_SUBTREE:
		for (size_t i = 0; i < r->nnames && !re->too_many; i++)
			resolve_tree(re, r->names[i]);
		break;
	case MBOXFILTER_MAILBOXES:
		for (size_t i = 0; i < r->nnames && !re->too_many; i++)
			(void)resolve_name(re, r->names[i]);
		break;
	case MBOXFILTER_SELECTED:
	case MBOXFILTER_SELECTED_DELAYED:
	case MBOXFILTER_SUBTREE_ONE:
		break;
	}
}

/* False: they are too many. */
bool
notify_resolve(struct notify *n)
{
	struct resolving re = { n, false };
	struct watch *w, *next, *same;

	TAILQ_FOREACH (w, &n->watches, link)
		w->old = true;
	n->nwatches = 0;
	for (size_t i = 0; i < n->wish.nrules && !re.too_many; i++)
		if (n->wish.rules[i].events & NOTIFY_MESSAGES)
			resolve_rule(&re, &n->wish.rules[i]);
	TAILQ_FOREACH_SAFE (w, &n->watches, link, next) {
		if (!w->old)
			continue;
		same = find_watch(n, w->id, false);
		if (same != NULL)
			notify_note_news(same, w->pending & same->events);
		drop_watch(w);
	}
	return !re.too_many;
}
