/*
 * LIST with RFC 5258, 5819 and 6154; LSUB.
 */
#include "backendd/handlers.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/status.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/listing.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

enum {
	LINE_ROOM = 8 * 1024,
	TURN_ROOM = 64 * 1024
};

/* In the command's arena. */
struct list {
	struct session *ss;
	struct listing_request request;
	unsigned status_items;
	struct mboxname_view view;
	struct listing *listing;
};

/* --- what the user may see ----------------------------------------------------- */

static bool
add_mailbox(void *arg, const char *name, const struct mboxrec *rec)
{
	struct list *l = arg;

	if (mblist_is_aside(name) && !session_is_admin(l->ss))
		return true;
	return listing_add(l->listing, slice_str(name), rec);
}

static void
add_tree(struct list *l, struct slice top)
{
	struct mblist *list = session_server(l->ss)->list;
	struct arena *a = session_cmd(l->ss)->arena;
	const char *name = arena_string(a, top);
	const struct mboxrec *rec = mblist_get(list, name, a);

	if (rec == NULL || add_mailbox(l, name, rec))
		mblist_each(list, arena_printf(a, "%s.", name), add_mailbox, l);
}

static void
add_mailboxes(struct list *l)
{
	struct mblist *list = session_server(l->ss)->list;
	struct arena *a = session_cmd(l->ss)->arena;
	struct listing_walk walks[LISTING_WALKS_MAX];
	size_t n = listing_plan(l->listing, session_is_admin(l->ss), walks);

	for (size_t i = 0; i < n; i++)
		if (walks[i].identifier.len > 0)
			mblist_each_shared(list,
			    arena_string(a, walks[i].identifier), add_mailbox,
			    l);
		else if (walks[i].below.len > 0)
			add_tree(l, walks[i].below);
		else
			mblist_each(list, "", add_mailbox, l);
}

static bool
add_subscription(void *arg, const char *name)
{
	struct list *l = arg;
	struct slice external = mboxname_to_external(session_cmd(l->ss)->arena,
	    &l->view, slice_str(name));

	if (external.ptr != NULL)
		listing_add_subscription(l->listing, external);
	return true;
}

/* --- the answer ------------------------------------------------------------------ */

static void list_go_on(struct session *ss, void *arg);

static void
status_done(struct session *ss, void *arg, const char *why)
{
	(void)why; /* RFC 5819: then there is no STATUS for this one */
	list_go_on(ss, arg);
}

/* false: it is gone meanwhile, or the user may not read it. */
static bool
put_status(struct list *l, struct slice external)
{
	struct session *ss = l->ss;
	struct arena *a = session_cmd(ss)->arena;
	const struct mboxrec *rec;
	struct slice internal;
	const char *name;

	if (mboxname_from_external(a, &l->view, external, &internal) != NULL)
		return false;
	name = arena_string(a, internal);
	rec = mblist_get(session_server(ss)->list, name, a);
	if (rec == NULL ||
	    !(session_rights(ss, name, arena_string(a, rec->acl)) & ACL_READ))
		return false;
	status_put(ss, name, rec, l->status_items, status_done, l);
	return true;
}

static void
finish(struct list *l)
{
	if (listing_is_cut(l->listing))
		session_done(l->ss, SESSION_NO, "LIMIT",
		    "These are not all: there are too many mailboxes");
	else
		session_done(l->ss, SESSION_OK, NULL, "Done");
}

static void
list_go_on(struct session *ss, void *arg)
{
	struct list *l = arg;
	struct listing_item item;
	struct write w;

	for (;;) {
		if (session_room(ss) < LINE_ROOM + STATUS_ROOM) {
			session_flush(ss);
			session_wait_room(ss, TURN_ROOM, list_go_on, l);
			return;
		}
		if (!listing_next(l->listing, &item)) {
			finish(l);
			return;
		}
		session_write(ss, &w);
		listing_write(&w, l->listing, &item);
		if (item.exists && l->request.status != NULL &&
		    put_status(l, item.external))
			return;
	}
}

static void
answer_separator(struct list *l)
{
	struct write w;

	write_init(&w, session_out(l->ss), WRITE_SERVER);
	listing_write_separator(&w, l->view.layout, &l->request);
	session_done(l->ss, SESSION_OK, NULL, "Done");
}

static void
answer(struct list *l)
{
	struct session *ss = l->ss;

	l->listing = listing_new(session_cmd(ss)->arena, &l->view, &l->request);
	add_mailboxes(l);
	if (listing_wants_subscriptions(&l->request))
		users_each_subscription(session_server(ss)->users,
		    session_user(ss), add_subscription, l);
	listing_end(l->listing);
	list_go_on(ss, l);
}

static void
list(struct session *ss, struct cmd *cmd, bool lsub)
{
	struct list *l = arena_alloc(cmd->arena, sizeof(*l));

	l->ss = ss;
	l->view = session_names(ss);
	listing_parse(cmd->args, lsub, &l->request);
	if (l->request.status != NULL)
		l->status_items = status_items(cmd->args, l->request.status);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else if (listing_is_separator_only(&l->request))
		answer_separator(l);
	else
		answer(l);
}

void
backendd_LIST(struct session *ss, struct cmd *cmd)
{
	list(ss, cmd, false);
}

void
backendd_LSUB(struct session *ss, struct cmd *cmd)
{
	list(ss, cmd, true);
}
