/*
 * NOTIFY (RFC 5465).
 */
#include <stdlib.h>

#include "backendd/fetch_run.h"
#include "backendd/handlers.h"
#include "backendd/listline.h"
#include "backendd/mblist.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/status.h"
#include "imap/acl.h"
#include "imap/fetch.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "lib/arena.h"

static const struct {
	const char *name;
	unsigned bit;
} events[] = {
	{ "MessageNew", NOTIFY_MESSAGE_NEW },
	{ "MessageExpunge", NOTIFY_MESSAGE_EXPUNGE },
	{ "FlagChange", NOTIFY_FLAG_CHANGE },
	{ "MailboxName", NOTIFY_MAILBOX_NAME },
	{ "SubscriptionChange", NOTIFY_SUBSCRIPTION_CHANGE },
	{ "MailboxMetadataChange", NOTIFY_MAILBOX_METADATA },
	{ "ServerMetadataChange", NOTIFY_SERVER_METADATA },
};

#define BADEVENT                                                      \
	"BADEVENT (MessageNew MessageExpunge FlagChange MailboxName " \
	"SubscriptionChange MailboxMetadataChange ServerMetadataChange)"

struct group {
	struct mboxfilter filter;
	unsigned events;
	const char *fetch; /* of MessageNew; or NULL */
};

/* In the command's arena. */
struct notifying {
	struct session *ss;
	struct notify_wish wish;
	bool status, bad_event;
	const char **names; /* STATUS is to be said of */
	unsigned *items;
	size_t n, next;
};

/* --- what is asked for ------------------------------------------------------ */

static bool
is_of_selected(const struct group *g)
{
	return g->filter.kind == MBOXFILTER_SELECTED ||
	       g->filter.kind == MBOXFILTER_SELECTED_DELAYED;
}

static unsigned
parse_event(struct notifying *no, struct parse *p)
{
	struct slice word = parse_atom(p);

	for (size_t i = 0; i < NITEMS(events); i++)
		if (slice_is_nocase(word, events[i].name))
			return events[i].bit;
	no->bad_event = true;
	return 0;
}

/* "(UID FLAGS)", and its text, to be parsed again for each new message. */
static void
parse_fetch(struct notifying *no, struct parse *p, struct group *g)
{
	struct fetch *f = arena_alloc(session_cmd(no->ss)->arena, sizeof(*f));
	struct parse before = *p;
	struct slice text;

	fetch_parse_items(p, f);
	text = parse_between(&before, p);
	if (text.ptr == NULL && parse_error(p) == NULL)
		parse_fail(p, "No literals here");
	if (parse_error(p) == NULL)
		g->fetch = arena_string(session_cmd(no->ss)->arena, text);
}

static void
parse_events(struct notifying *no, struct parse *p, struct group *g)
{
	unsigned last = 0;

	if (parse_try_word(p, "NONE"))
		return;
	parse_open(p);
	while (parse_more(p)) {
		if (parse_peek(p) != '(') {
			last = parse_event(no, p);
			g->events |= last;
			continue;
		}
		if (last != NOTIFY_MESSAGE_NEW)
			parse_fail(p, "Only MessageNew has a list");
		parse_fetch(no, p, g);
		last = 0;
	}
}

/* RFC 5465 5 and 6.1. */
static void
check_group(struct parse *p, const struct group *g)
{
	unsigned both = NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE;

	if ((g->events & NOTIFY_MESSAGES) != 0 && (g->events & both) != both)
		parse_fail(p, "MessageNew and MessageExpunge go together");
	if (is_of_selected(g) && (g->events & ~(unsigned)NOTIFY_MESSAGES) != 0)
		parse_fail(p, "That event is not the selected mailbox's");
	if (!is_of_selected(g) && g->fetch != NULL)
		parse_fail(p, "FETCH is for the selected mailbox");
	if (g->filter.kind == MBOXFILTER_SUBTREE_ONE)
		parse_fail(p, "Unknown way to name mailboxes");
}

/* Those that are none are as those that do not exist. */
static void
take_names(struct notifying *no, const struct group *g, struct notify_rule *r)
{
	struct mboxname_view view = session_names(no->ss);
	struct arena *a = session_cmd(no->ss)->arena;

	r->names = arena_array(a, g->filter.nnames + 1, sizeof(*r->names));
	for (size_t i = 0; i < g->filter.nnames; i++) {
		struct slice name;

		if (mboxname_from_external(a, &view, g->filter.names[i],
		        &name) == NULL)
			r->names[r->nnames++] = arena_string(a, name);
	}
}

static void
take_group(struct notifying *no, struct parse *p, const struct group *g)
{
	struct notify_wish *w = &no->wish;

	if (!is_of_selected(g)) {
		struct notify_rule *r = &w->rules[w->nrules++];

		*r = (struct notify_rule){ .kind = g->filter.kind,
			.events = g->events };
		take_names(no, g, r);
		return;
	}
	if (w->selected != NOTIFY_SELECTED_NONE)
		parse_fail(p, "The selected mailbox is named twice");
	w->selected = g->filter.kind == MBOXFILTER_SELECTED
	                  ? NOTIFY_SELECTED_NOW
	                  : NOTIFY_SELECTED_DELAYED;
	w->selected_events = g->events;
	w->fetch = g->fetch;
}

static void
parse_group(struct notifying *no, struct parse *p)
{
	struct group g = { .events = 0 };

	if (no->wish.nrules == NOTIFY_RULES_MAX)
		parse_fail(p, "Too many groups");
	parse_char(p, '(');
	mboxfilter_parse(p, &g.filter);
	parse_sp(p);
	parse_events(no, p, &g);
	parse_char(p, ')');
	check_group(p, &g);
	if (parse_error(p) == NULL)
		take_group(no, p, &g);
}

static void
parse_notify(struct notifying *no, struct parse *p)
{
	no->wish.rules = arena_array(session_cmd(no->ss)->arena,
	    NOTIFY_RULES_MAX, sizeof(*no->wish.rules));
	if (parse_try_word(p, "NONE")) {
		parse_end(p);
		return;
	}
	parse_word(p, "SET");
	parse_sp(p);
	if (parse_try_word(p, "STATUS")) {
		no->status = true;
		parse_sp(p);
	}
	do
		parse_group(no, p);
	while (parse_try(p, ' '));
	if (no->wish.selected_events == 0)
		no->wish.selected = NOTIFY_SELECTED_NONE;
	parse_end(p);
}

/* --- the answer ------------------------------------------------------------- */

static void put_status(struct session *ss, void *arg);

static void
on_status(struct session *ss, void *arg, const char *why)
{
	(void)why; /* as with LIST: then there is none of this one */
	put_status(ss, arg);
}

/* True: it is said, or there is nothing to say. */
static bool
put_one(struct notifying *no, const char *name, unsigned items)
{
	struct session *ss = no->ss;
	struct arena *a = session_cmd(ss)->arena;
	struct mboxname_view names = session_names(ss);
	struct status_of *of = arena_alloc(a, sizeof(*of));

	of->name = name;
	of->external = mboxname_to_external(a, &names, slice_str(name));
	of->rec = mblist_get(session_server(ss)->list, name, a);
	return of->rec == NULL || of->external.ptr == NULL ||
	       session_has_selected(ss, of->rec->mailboxid) ||
	       status_put(ss, of, items, on_status, no);
}

static void
put_status(struct session *ss, void *arg)
{
	struct notifying *no = arg;

	while (no->next < no->n) {
		size_t i = no->next;

		if (session_room(ss) < STATUS_ROOM) {
			session_flush(ss);
			session_wait_room(ss, STATUS_ROOM, put_status, no);
			return;
		}
		no->next++;
		if (!put_one(no, no->names[i], no->items[i]))
			return;
	}
	session_flush(ss);
	session_done(ss, SESSION_OK, NULL, "Notify completed");
}

static bool
gather(void *arg, const char *name, unsigned of)
{
	struct notifying *no = arg;
	unsigned items = 0;

	if (of & NOTIFY_MESSAGE_NEW)
		items |= STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_UIDVALIDITY;
	if (of & NOTIFY_FLAG_CHANGE)
		items |= STATUS_UIDVALIDITY | STATUS_HIGHESTMODSEQ;
	no->names[no->n] =
	    arena_string(session_cmd(no->ss)->arena, slice_str(name));
	no->items[no->n++] = items;
	return true;
}

/* Seen, but not to be read (RFC 5465 3.1). */
static void
put_no_access(struct notifying *no)
{
	struct session *ss = no->ss;
	struct arena *a = session_cmd(ss)->arena;

	for (size_t i = 0; i < no->wish.nrules; i++) {
		const struct notify_rule *r = &no->wish.rules[i];

		for (size_t k = 0; k < r->nnames; k++) {
			const struct mboxrec *rec =
			    mblist_get(session_server(ss)->list, r->names[k],
			        a);
			unsigned rights = rec == NULL
			                      ? 0
			                      : session_rights(ss, r->names[k],
			                            arena_string(a, rec->acl));

			if (r->events != 0 && (rights & ACL_LOOKUP) &&
			    !(rights & ACL_READ) &&
			    session_room(ss) >= LISTLINE_ROOM)
				listline_put(ss,
				    &(struct listline){ .name = r->names[k],
				        .no_access = true });
		}
	}
}

void
backendd_NOTIFY(struct session *ss, struct cmd *cmd)
{
	struct notifying *no = arena_alloc(cmd->arena, sizeof(*no));
	const char *why;

	no->ss = ss;
	parse_notify(no, cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (no->bad_event) {
		session_done(ss, SESSION_NO, BADEVENT, "Unknown event");
		return;
	}
	why = notify_set(ss, &no->wish);
	if (why != NULL) {
		session_done(ss, SESSION_NO, "NOTIFICATIONOVERFLOW", why);
		return;
	}
	put_no_access(no);
	if (no->status) {
		no->names = arena_array(cmd->arena, NOTIFY_MAILBOXES_MAX,
		    sizeof(*no->names));
		no->items = arena_array(cmd->arena, NOTIFY_MAILBOXES_MAX,
		    sizeof(*no->items));
		notify_each(ss, gather, no);
	}
	put_status(ss, no);
}

/* --- new messages of the selected mailbox ------------------------------------ */

/* They were parsed before. */
void
session_fetch_news(struct session *ss, struct cmd *cmd, const char *items,
    const char *uids)
{
	struct arena *a = cmd->arena;
	struct fetch *f = arena_alloc(a, sizeof(*f));
	struct msgset *set = arena_alloc(a, sizeof(*set));
	struct parse *p = arena_alloc(a, sizeof(*p));
	const char *why;

	parse_init_text(p, a, slice_str(uids));
	msgset_parse(set, p, true);
	parse_init_text(p, a, slice_str(items));
	fetch_parse_items(p, f);
	f->sets_seen = false;
	if (!(session_enabled(ss) & ENABLED_UIDONLY))
		fetch_want_uid(f);
	why = msgset_begin(set, ss);
	if (why != NULL)
		session_done(ss, SESSION_OK, NULL, why);
	else
		fetch_run(ss, f, set);
}
