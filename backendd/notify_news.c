/*
 * What there is to tell, and to whom.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/listline.h"
#include "backendd/mblist.h"
#include "backendd/notices.h"
#include "backendd/notify_state.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

void
notify_start(struct backendd *bd)
{
	bd->bulletin = xcalloc(1, sizeof(*bd->bulletin));
	TAILQ_INIT(&bd->bulletin->list);
	map_init(&bd->bulletin->watched);
}

void
notify_stop(struct backendd *bd)
{
	MUST(TAILQ_EMPTY(&bd->bulletin->list));
	map_fini(&bd->bulletin->watched);
	free(bd->bulletin);
	bd->bulletin = NULL;
}

void
notify_messages(void *arg, struct slice mailboxid,
    const struct store_news *news)
{
	struct backendd *bd = arg;
	struct watched *all = map_find(&bd->bulletin->watched, mailboxid);
	unsigned events = 0;
	struct watch *w;

	if (all == NULL)
		return;
	if (news->first_uid != 0)
		events |= NOTIFY_MESSAGE_NEW;
	if (news->nexpunged > 0)
		events |= NOTIFY_MESSAGE_EXPUNGE;
	if (news->nchanged > 0)
		events |= NOTIFY_FLAG_CHANGE;
	LIST_FOREACH(w, &all->watches, same)
	notify_note_news(w, w->events & events);
}

/* A line that does not fit means that too much was to be told. */
static void
put_line(struct notify *n, const struct listline *l)
{
	struct notices *lines = session_has(n->ss)->notices;

	listline_write(n->ss, notices_lines(lines), l);
	if (buf_failed(notices_lines(lines)))
		n->overflow = true;
	notices_put(lines);
}

static bool
may_see(struct session *ss, const char *name, struct slice acl)
{
	return acl.ptr != NULL &&
	       (notify_rights_of(ss, name, acl) & ACL_LOOKUP);
}

static bool
sees_now(struct session *ss, const char *name)
{
	const struct mboxrec *rec;
	struct arena a;
	bool sees;

	arena_init(&a);
	rec = mblist_get(ss->bd->list, name, &a);
	sees = rec != NULL && may_see(ss, name, rec->acl);
	arena_reset(&a);
	return sees;
}

/* A change that this session makes itself. */
static bool
is_own(const struct notify *n, const char *name)
{
	return n->own != NULL && strcmp(n->own, name) == 0;
}

static bool
wants_name(const struct notify *n, const char *name)
{
	return !is_own(n, name) &&
	       (notify_events_of(n, name) & NOTIFY_MAILBOX_NAME) != 0;
}

/* A user's own mailboxes stand beside INBOX, as clients see them. */
static bool
stands_beside(struct session *ss, const char *parent)
{
	return session_layout(ss)->altnamespace &&
	       mboxname_is_inbox(slice_str(parent)) &&
	       notify_is_personal(ss, parent);
}

/* The level above, a mailbox or not, has got a child, or has lost one. */
static void
tell_parent(struct notify *n, const char *name)
{
	struct arena a;
	const char *parent;

	arena_init(&a);
	parent = arena_string(&a, mboxname_parent(slice_str(name)));
	if (parent[0] != '\0' && !stands_beside(n->ss, parent) &&
	    wants_name(n, parent))
		put_line(n, &(struct listline){ .name = parent,
		                .with_subscribed = true,
		                .not_there = !sees_now(n->ss, parent) });
	arena_reset(&a);
}

static void
tell_listed(struct notify *n, const struct notify_change *c)
{
	bool now = sees_now(n->ss, c->name);
	bool before = may_see(n->ss, c->name, c->old_acl);

	if (c->was != NULL) {
		if (now && !is_own(n, c->name) &&
		    (wants_name(n, c->name) || wants_name(n, c->was)))
			put_line(n, &(struct listline){ .name = c->name,
			                .was = c->was,
			                .with_subscribed = true });
		return;
	}
	if (now == before || !wants_name(n, c->name))
		return;
	put_line(n, &(struct listline){ .name = c->name,
	                .with_subscribed = true,
	                .not_there = !now });
	tell_parent(n, c->name);
}

/* Its messages were watched: that ends. */
static void
tell_no_access(struct notify *n, const struct notify_change *c)
{
	const struct watch *w;

	if (c->old_acl.ptr == NULL || sees_now(n->ss, c->name))
		return;
	TAILQ_FOREACH (w, &n->watches, link)
		if (strcmp(w->name, c->name) == 0 &&
		    !(notify_events_of(n, c->name) & NOTIFY_MAILBOX_NAME))
			put_line(n, &(struct listline){ .name = c->name,
			                .no_access = true });
}

/* May the list of those it watches be another now? */
static bool
matters(const struct notify *n, const struct notify_change *c)
{
	return notify_watches_messages(n) &&
	       (((notify_events_of(n, c->name) |
	             (c->was != NULL ? notify_events_of(n, c->was) : 0)) &
	            NOTIFY_MESSAGES) != 0 ||
	           c->was != NULL);
}

static void
resolve_again(struct notify *n)
{
	if (notify_resolve(n))
		return;
	n->overflow = true;
	session_wake(n->ss);
}

void
notify_listed(struct backendd *bd, const struct notify_change *c)
{
	struct notify *n;

	if (bd->bulletin == NULL) /* at the start */
		return;
	TAILQ_FOREACH (n, &bd->bulletin->list, link) {
		tell_no_access(n, c);
		tell_listed(n, c);
		if (matters(n, c))
			resolve_again(n);
	}
}

static bool
has_subscribed(const struct notify *n)
{
	for (size_t i = 0; i < n->wish.nrules; i++)
		if (n->wish.rules[i].kind == MBOXFILTER_SUBSCRIBED)
			return true;
	return false;
}

void
notify_subscribed(struct backendd *bd, const char *user, const char *name)
{
	struct notify *n;

	if (bd->bulletin == NULL)
		return;
	TAILQ_FOREACH (n, &bd->bulletin->list, link) {
		if (strcmp(session_user(n->ss), user) != 0)
			continue;
		if ((notify_events_of(n, name) & NOTIFY_SUBSCRIPTION_CHANGE) &&
		    !is_own(n, name))
			put_line(n, &(struct listline){ .name = name,
			                .with_subscribed = true,
			                .not_there = !sees_now(n->ss, name) });
		if (has_subscribed(n))
			resolve_again(n);
	}
}

bool
notify_hears_metadata(const struct session *ss, const char *name)
{
	const struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return false;
	if (name != NULL)
		return (notify_events_of(n, name) & NOTIFY_MAILBOX_METADATA) !=
		       0;
	for (size_t i = 0; i < n->wish.nrules; i++)
		if (n->wish.rules[i].events & NOTIFY_SERVER_METADATA)
			return true;
	return false;
}
