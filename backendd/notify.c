#include <stdlib.h>
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/listline.h"
#include "backendd/mblist.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "backendd/store.h"
#include "backendd/users.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	STATUS_ROOM = 2 * 1024
};

/* A mailbox that a session watches. */
struct watch {
	LIST_ENTRY(watch) same;     /* of the same mailbox */
	TAILQ_ENTRY(watch) link;    /* notify.watches */
	TAILQ_ENTRY(watch) waiting; /* notify.pending */
	struct notify *n;
	struct store *store;
	unsigned events;
	unsigned pending; /* of them */
	bool old;         /* the list is being made anew */
	struct slice id;  /* behind the name */
	char name[];
};

TAILQ_HEAD(watch_list, watch);

struct watched {
	LIST_HEAD(, watch) watches;
};

struct notify {
	TAILQ_ENTRY(notify) link;
	struct session *ss;
	struct arena arena; /* of the wish */
	struct notify_wish wish;
	struct watch_list watches, pending;
	size_t nwatches;
	bool overflow;        /* to be said */
	const char *own;      /* a name the running command changes; its own */
	uint32_t fetched_uid; /* new messages up to it were fetched, or were
	                         there before; UINT32_MAX: look */
};

TAILQ_HEAD(notify_list, notify);

/* All of them. */
struct bulletin {
	struct notify_list list;
	struct map watched; /* MAILBOXID: struct watched */
};

/* --- rules ---------------------------------------------------------------- */

static bool
is_personal(const struct session *ss, const char *name)
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
		return is_personal(ss, name);
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

static unsigned
events_of(const struct notify *n, const char *name)
{
	unsigned events = 0;

	for (size_t i = 0; i < n->wish.nrules; i++)
		if (is_meant(n->ss, &n->wish.rules[i], name))
			events |= n->wish.rules[i].events;
	return events;
}

static bool
watches_messages(const struct notify *n)
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

static void
drop_watches(struct notify *n)
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

static unsigned
rights_of(struct session *ss, const char *name, struct slice acl)
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

static void
note_news(struct watch *w, unsigned events)
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

	events = events_of(n, name) & NOTIFY_MESSAGES;
	if (events == 0 || (mblist_is_aside(name) && !n->ss->admin))
		return true;
	rights = rights_of(n->ss, name, rec->acl);
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
static bool
resolve(struct notify *n)
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
			note_news(same, w->pending & same->events);
		drop_watch(w);
	}
	return !re.too_many;
}

/* --- for the session -------------------------------------------------------- */

static void
copy_wish(struct notify *n, const struct notify_wish *w)
{
	struct arena *a = &n->arena;

	n->wish = *w;
	n->wish.rules = arena_array(a, w->nrules + 1, sizeof(*w->rules));
	for (size_t i = 0; i < w->nrules; i++) {
		struct notify_rule *r = &n->wish.rules[i];

		*r = w->rules[i];
		r->names = arena_array(a, r->nnames + 1, sizeof(*r->names));
		for (size_t k = 0; k < r->nnames; k++)
			r->names[k] =
			    arena_string(a, slice_str(w->rules[i].names[k]));
	}
	if (w->fetch != NULL)
		n->wish.fetch = arena_string(a, slice_str(w->fetch));
}

static void
show_all(struct session *ss)
{
	if (ss->view != NULL)
		view_set_says(ss->view, session_says(ss));
}

const char *
notify_set(struct session *ss, const struct notify_wish *w)
{
	struct notify *n = xcalloc(1, sizeof(*n));
	struct notify *old = session_has(ss)->notify;

	n->ss = ss;
	arena_init(&n->arena);
	TAILQ_INIT(&n->watches);
	TAILQ_INIT(&n->pending);
	copy_wish(n, w);
	n->fetched_uid = UINT32_MAX;
	session_extras(ss)->notify = n;
	TAILQ_INSERT_TAIL(&ss->bd->bulletin->list, n, link);
	if (watches_messages(n) && !resolve(n)) {
		notify_end(ss);
		session_extras(ss)->notify = old;
		return "These are too many mailboxes";
	}
	session_extras(ss)->notify = old;
	notify_end(ss);
	session_extras(ss)->notify = n;
	notices_begin(ss);
	show_all(ss);
	return NULL;
}

void
notify_end(struct session *ss)
{
	struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return;
	session_extras(ss)->notify = NULL;
	drop_watches(n);
	TAILQ_REMOVE(&ss->bd->bulletin->list, n, link);
	arena_reset(&n->arena);
	free(n);
	show_all(ss);
}

void
notify_each(const struct session *ss, notify_visit *visit, void *arg)
{
	const struct watch *w;

	const struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return;
	TAILQ_FOREACH (w, &n->watches, link)
		if (!visit(arg, w->name, w->events))
			return;
}

bool
notify_view(const struct session *ss, enum notify_selected *how,
    unsigned *events)
{
	const struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return false;
	*how = n->wish.selected;
	*events = n->wish.selected_events;
	return true;
}

const char *
notify_fetch(struct session *ss, uint32_t *first, uint32_t *last)
{
	struct notify *n = session_has(ss)->notify;

	if (n == NULL || n->wish.fetch == NULL || !session_view_is_there(ss))
		return NULL;
	*last = view_last_uid(ss->view);
	if (*last <= n->fetched_uid)
		return NULL;
	*first = n->fetched_uid + 1;
	n->fetched_uid = *last;
	return n->wish.fetch;
}

void
notify_reselected(struct session *ss)
{
	struct notify *n = session_has(ss)->notify;

	if (n != NULL)
		n->fetched_uid = UINT32_MAX;
}

void
notify_own(struct session *ss, const char *name)
{
	struct notify *n = session_has(ss)->notify;

	if (n != NULL)
		n->own = name;
}

void
notify_own_done(struct session *ss)
{
	notify_own(ss, NULL);
}

/* --- telling ---------------------------------------------------------------- */

static void
put_number(struct write *w, bool *first, const char *name, uint64_t n)
{
	if (!*first)
		write_sp(w);
	*first = false;
	write_word(w, name);
	write_sp(w);
	write_number(w, n);
}

/* RFC 5465 5.1 to 5.3. */
static void
put_status(struct session *ss, const struct watch *w, struct slice external,
    const struct store_numbers *numbers, struct buf *out)
{
	bool condstore = ss->enabled & ENABLED_CONDSTORE, first = true;
	bool flags = w->pending & NOTIFY_FLAG_CHANGE;
	struct write wr;

	write_init(&wr, out, WRITE_SERVER);
	wr.utf8 = session_is_utf8(ss);
	write_untagged(&wr, "STATUS");
	write_sp(&wr);
	write_mailbox(&wr, external);
	write_sp(&wr);
	write_open(&wr);
	put_number(&wr, &first, "UIDVALIDITY", numbers->uidvalidity);
	if (w->pending & (NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE)) {
		put_number(&wr, &first, "UIDNEXT", numbers->uidnext);
		put_number(&wr, &first, "MESSAGES", numbers->exists);
	}
	if (flags && is_personal(ss, w->name))
		put_number(&wr, &first, "UNSEEN", numbers->unseen);
	if (condstore)
		put_number(&wr, &first, "HIGHESTMODSEQ",
		    numbers->highestmodseq);
	write_close(&wr);
	write_end(&wr);
}

static bool
is_selected(const struct session *ss, const char *name)
{
	return ss->view != NULL && strcmp(view_name(ss->view), name) == 0;
}

/* What is not known any more was asked for by nobody for long. */
static void
tell_one(struct session *ss, struct watch *w, struct buf *out)
{
	struct mboxname_view names = session_names(ss);
	const struct ledger_page *p =
	    ledger_find(ss->bd->ledger, w->store, w->id);
	struct slice external;
	struct arena a;

	if (p == NULL || !p->known || is_selected(ss, w->name))
		return;
	arena_init(&a);
	external = mboxname_to_external(&a, &names, slice_str(w->name));
	if (external.ptr != NULL)
		put_status(ss, w, external, &p->numbers, out);
	arena_reset(&a);
}

bool
notify_tell(struct session *ss, struct buf *out)
{
	struct notify *n = session_has(ss)->notify;
	struct watch *w;

	if (n == NULL)
		return true;
	if (n->fetched_uid == UINT32_MAX && session_view_is_there(ss))
		n->fetched_uid = view_last_uid(ss->view);
	if (n->overflow) {
		if (buf_room(out) < STATUS_ROOM)
			return false;
		buf_puts(out, "* OK [NOTIFICATIONOVERFLOW] "
		              "Too much is happening\r\n");
		drop_watches(n);
		n->wish = (struct notify_wish){ .nrules = 0 };
		n->overflow = false;
		show_all(ss);
		return true;
	}
	while ((w = TAILQ_FIRST(&n->pending)) != NULL) {
		if (buf_room(out) < STATUS_ROOM)
			return false;
		tell_one(ss, w, out);
		TAILQ_REMOVE(&n->pending, w, waiting);
		w->pending = 0;
	}
	return true;
}

/* --- what there is to tell -------------------------------------------------- */

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
	note_news(w, w->events & events);
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
	return acl.ptr != NULL && (rights_of(ss, name, acl) & ACL_LOOKUP);
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
	       (events_of(n, name) & NOTIFY_MAILBOX_NAME) != 0;
}

/* A user's own mailboxes stand beside INBOX, as clients see them. */
static bool
stands_beside(struct session *ss, const char *parent)
{
	return session_layout(ss)->altnamespace &&
	       mboxname_is_inbox(slice_str(parent)) && is_personal(ss, parent);
}

/* The level above has got a child, or has lost one. */
static void
tell_parent(struct notify *n, const char *name)
{
	struct arena a;
	const char *parent;

	arena_init(&a);
	parent = arena_string(&a, mboxname_parent(slice_str(name)));
	if (parent[0] != '\0' && !stands_beside(n->ss, parent) &&
	    wants_name(n, parent) && sees_now(n->ss, parent))
		put_line(n, &(struct listline){ .name = parent,
		                .with_subscribed = true });
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
		    !(events_of(n, c->name) & NOTIFY_MAILBOX_NAME))
			put_line(n, &(struct listline){ .name = c->name,
			                .no_access = true });
}

/* May the list of those it watches be another now? */
static bool
matters(const struct notify *n, const struct notify_change *c)
{
	return watches_messages(n) &&
	       (((events_of(n, c->name) |
	             (c->was != NULL ? events_of(n, c->was) : 0)) &
	            NOTIFY_MESSAGES) != 0 ||
	           c->was != NULL);
}

static void
resolve_again(struct notify *n)
{
	if (resolve(n))
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
		if ((events_of(n, name) & NOTIFY_SUBSCRIPTION_CHANGE) &&
		    !is_own(n, name))
			put_line(n, &(struct listline){ .name = name,
			                .with_subscribed = true });
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
		return (events_of(n, name) & NOTIFY_MAILBOX_METADATA) != 0;
	for (size_t i = 0; i < n->wish.nrules; i++)
		if (n->wish.rules[i].events & NOTIFY_SERVER_METADATA)
			return true;
	return false;
}
