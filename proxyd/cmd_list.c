/*
 * LIST and LSUB: answered here, from the copy of the list, at the cost of what
 * the user sees: the user's own tree, and the mailboxes whose ACL names the
 * user or anyone.  Subscriptions and special uses are asked of the user's home
 * backend, STATUS of each mailbox's own, all at once; a backend that is down
 * costs its mailboxes' lines.
 */
#include <string.h>

#include "imap/acl.h"
#include "imap/listing.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/value.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/mirror.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/worker.h"

enum {
	ROOM = 8 * 1024,  /* for a line of the answer, with ease */
	STATUS_BATCH = 32 /* under way at a time */
};

/* A mailbox whose STATUS is wanted. */
struct wanted {
	struct slice external;
	struct wanted *next;
};

/* Those of one server. */
struct target {
	const char *server;
	struct wanted *first, **last; /* still to ask */
	unsigned asked;
	struct target *next;
};

/* In the arena. */
struct list {
	struct listing_request request;
	struct mboxname_view view;
	struct listing *listing;
	unsigned pending;       /* answers of the home server */
	struct target *targets; /* of STATUS */
	unsigned open;          /* targets that are not done */
	bool incomplete;

	/* What the user may see is looked for in turns. */
	struct task *turn;
	struct listing_walk walks[LISTING_WALKS_MAX];
	size_t nwalks, walk; /* the one under way */
	struct slice from;   /* where it goes on */
	unsigned seen, looks;
	bool looked;       /* that is over */
	uint64_t removals; /* before the look under way */
};

static struct list *
list_of(struct session *ss)
{
	return ss->cmd.state;
}

/* --- STATUS ------------------------------------------------------------------------- */

static void
finish(struct session *ss)
{
	if (listing_is_cut(list_of(ss)->listing))
		session_done(ss, WRITE_NO, RESPCODE_LIMIT,
		    "These are not all: there are too many mailboxes");
	else if (list_of(ss)->incomplete)
		session_done(ss, WRITE_OK, RESPCODE_UNAVAILABLE,
		    "Done, but some servers did not answer");
	else
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
}

static struct target *
target_get(struct session *ss, const char *server)
{
	struct list *l = list_of(ss);
	struct target *t;

	for (t = l->targets; t != NULL; t = t->next)
		if (strcmp(t->server, server) == 0)
			return t;
	t = arena_alloc(&ss->arena, sizeof(*t));
	t->server = arena_string(&ss->arena, slice_str(server));
	t->last = &t->first;
	t->next = l->targets;
	l->targets = t;
	l->open++;
	return t;
}

static void
target_done(struct session *ss)
{
	struct list *l = list_of(ss);

	MUST(l->open > 0);
	if (--l->open == 0)
		finish(ss);
}

/* Its mailboxes go without STATUS, and the client is told. */
static void
server_failed(struct session *ss, struct leg *g)
{
	struct write w = session_write(ss);

	(void)g;
	list_of(ss)->incomplete = true;
	write_reply(&w, slice_of(NULL, 0), WRITE_NO, RESPCODE_UNAVAILABLE,
	    "A server of some mailboxes does not answer");
	session_flush(ss);
	target_done(ss);
}

static void send_status(struct session *ss, struct leg *g);

static void
status_answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct target *t = target_get(ss, g->server);

	if (a->lost) {
		server_failed(ss, g);
		return;
	}
	/* NO: it went away meanwhile, or the user may not read it. */
	MUST(t->asked > 0);
	if (--t->asked > 0)
		return;
	if (t->first == NULL)
		target_done(ss);
	else
		leg_when_room(g, 2 * ROOM, send_status);
}

static void
send_status(struct session *ss, struct leg *g)
{
	struct target *t = target_get(ss, g->server);
	struct wanted *v;
	struct write w;

	while ((v = t->first) != NULL && t->asked < STATUS_BATCH &&
	       buf_room(link_out(g->link)) > ROOM) {
		w = leg_ask(g, slice_of(NULL, 0),
		    &(struct ask_use){ .policy = ASK_ANSWER,
		        .answer = status_answered });
		write_word(&w, "STATUS ");
		write_mailbox(&w, v->external);
		write_sp(&w);
		value_write(&w, list_of(ss)->request.status);
		write_end(&w);
		t->first = v->next;
		t->asked++;
	}
	if (t->asked == 0)
		leg_when_room(g, 2 * ROOM, send_status);
	else
		leg_flush(g);
}

/* All servers at once; a link never calls back from inside. */
static void
ask_status(struct session *ss)
{
	struct list *l = list_of(ss);

	if (l->targets == NULL) {
		finish(ss);
		return;
	}
	for (struct target *t = l->targets; t != NULL; t = t->next)
		leg_try_open(session_leg(ss, t->server), send_status,
		    server_failed);
}

static void
want_status(struct session *ss, struct slice external)
{
	struct list *l = list_of(ss);
	struct target *t;
	struct wanted *v;
	struct mboxrec rec;
	struct slice name;
	char server[MBOXREC_HOST];

	if (mboxname_from_external(&ss->arena, &l->view, external, &name) !=
	        NULL ||
	    route_look(ss->worker->route, name, &rec) != ROUTE_FOUND)
		return;
	route_server(&rec, server);
	t = target_get(ss, server);
	v = arena_alloc(&ss->arena, sizeof(*v));
	v->external = external;
	*t->last = v;
	t->last = &v->next;
}

/* --- lines ---------------------------------------------------------------------------- */

static void
write_lines(struct session *ss)
{
	struct list *l = list_of(ss);
	struct write w = session_write(ss);
	struct listing_item item;

	while (session_room(ss) >= ROOM) {
		if (!listing_next(l->listing, &item)) {
			session_flush(ss);
			ask_status(ss);
			return;
		}
		listing_write(&w, l->listing, &item);
		if (item.exists && item.selected && l->request.status != NULL)
			want_status(ss, item.external);
	}
	session_when_room(ss, ROOM * 4, write_lines);
}

/* --- what the user may see -------------------------------------------------------------- */

enum {
	LOOKS = 4,             /* at a list that changes */
	LOOK_AGAIN_MAX = 5000, /* records that are no trouble to see again */
	SLICE = 1000           /* records a turn */
};

/* What a turn sees. */
struct slice_walk {
	struct session *ss;
	unsigned n;
	bool full; /* there may be more */
};

static enum treedb_next
see(void *arg, struct slice key, struct slice value)
{
	struct slice_walk *w = arg;
	struct list *l = list_of(w->ss);
	struct mboxrec rec;
	struct err err;

	if (w->n == SLICE) {
		w->full = true;
		l->from = arena_copy(&w->ss->arena, key);
		return TREEDB_STOP;
	}
	w->n++;
	if (mboxrec_parse(&rec, value, &err) == -1)
		return TREEDB_NEXT;
	return listing_add(l->listing, mboxname_of_key_in(&w->ss->arena, key),
	           &rec)
	           ? TREEDB_NEXT
	           : TREEDB_STOP;
}

/* 1: there may be more; 0; -1 and *err. */
static int
see_some(struct session *ss, struct treedb *t, struct err *err)
{
	struct list *l = list_of(ss);
	const struct listing_walk *walk = &l->walks[l->walk];
	struct slice_walk w = { ss, 0, false };
	int r = walk->identifier.len > 0
	            ? treedb_walk_tag_from(t, walk->identifier, l->from, see,
	                  &w, err)
	            : treedb_walk_tree_from(t,
	                  mboxname_key_in(&ss->arena, walk->below), l->from,
	                  see, &w, err);

	l->seen += w.n;
	if (r == -1 || w.full)
		return r == -1 ? -1 : 1;
	l->from = slice_of(NULL, 0);
	return ++l->walk < l->nwalks;
}

/*
 * A walk is no snapshot: of a mailbox that is renamed meanwhile it may see
 * neither name.  So it looks again if names went while it looked, unless that
 * takes long: who sees so many mailboxes is an administrator.  Returns as
 * see_some() does.
 */
static int
see_well(struct session *ss, struct err *err)
{
	struct list *l = list_of(ss);
	struct treedb *t = route_list(ss->worker->route);
	uint64_t before = l->removals;
	int more;

	if (t == NULL)
		return err_set(err, "there is no complete list yet");
	more = l->walk < l->nwalks ? see_some(ss, t, err) : 0;
	if (more != 0)
		return more;
	if (mirror_removals(t, &l->removals, err) == -1)
		return -1;
	if (l->removals == before || l->seen > LOOK_AGAIN_MAX ||
	    ++l->looks == LOOKS)
		return 0;
	l->walk = 0;
	l->seen = 0;
	return 1;
}

static void
look(void *arg)
{
	struct session *ss = arg;
	struct list *l = list_of(ss);
	struct err err;
	int more = l->looked ? 0 : see_well(ss, &err);

	if (more != -1) {
		l->looked = more == 0;
		if (!l->looked || !listing_settle(l->listing)) {
			task_want(l->turn);
			return;
		}
		task_free(&l->turn);
		write_lines(ss);
		return;
	}
	log_err(ss->worker->log, "mailbox list not readable", "sid", ss->sid,
	    "why", err.text, NULL);
	session_unavailable(ss,
	    "The mailbox list is not available, try again later");
}

static void
fini(struct session *ss)
{
	task_free(&list_of(ss)->turn);
}

static void
answer(struct session *ss)
{
	struct list *l = list_of(ss);
	struct treedb *t = route_list(ss->worker->route);
	struct err err;

	l->turn = task_new(ss->worker->loop, look, ss);
	ss->cmd.fini = fini;
	l->nwalks = listing_plan(l->listing, ss->admin, l->walks);
	/* If it cannot be had, that will show. */
	if (t != NULL && mirror_removals(t, &l->removals, &err) == -1)
		l->removals = 0;
	look(ss);
}

/* --- what only the user's home knows ------------------------------------------------------ */

/*
 * Subscriptions, and the special uses of mailboxes, which the copy has only if
 * both the update server and the mailbox's backend have XMURDER.  Without the
 * former there is no answer, nor if special uses are what is selected by; any
 * other LIST does without when home is down.
 */
static bool
needs_home(const struct list *l)
{
	return listing_wants_subscriptions(&l->request) ||
	       (l->request.select & LISTING_SELECT_SPECIAL_USE) != 0;
}

static void
home_failed(struct session *ss, struct leg *g)
{
	(void)g;
	if (needs_home(list_of(ss)))
		session_unavailable(ss,
		    "The server of your INBOX does not answer, try again "
		    "later");
	else
		answer(ss);
}

/* (attributes) "/" name; NULL if it is malformed. */
static struct value *
parse_listed(struct leg *g, const struct piece *pieces, struct slice *name)
{
	struct value *attributes;
	struct parse p;

	reply_parse_data(&p, &g->arena, pieces);
	parse_sp(&p);
	attributes = value_parse(&p);
	parse_sp(&p);
	(void)parse_nstring(&p);
	parse_sp(&p);
	*name = parse_mailbox(&p);
	return parse_error(&p) == NULL ? attributes : NULL;
}

static void
take_subscription(struct session *ss, struct leg *g,
    const struct reply_head *head, const struct piece *pieces)
{
	struct value *attributes;
	struct slice name;

	if (!slice_is_nocase(head->name, "LSUB"))
		return;
	attributes = parse_listed(g, pieces, &name);
	if (attributes == NULL)
		return;
	for (struct value *v = attributes->items; v != NULL; v = v->next)
		if (value_is(v, "\\Noselect"))
			return;
	listing_add_subscription(list_of(ss)->listing, name);
}

static void
take_special_use(struct session *ss, struct leg *g,
    const struct reply_head *head, const struct piece *pieces)
{
	struct value *attributes;
	struct slice name;

	if (!slice_is_nocase(head->name, "LIST"))
		return;
	attributes = parse_listed(g, pieces, &name);
	if (attributes == NULL)
		return;
	for (struct value *v = attributes->items; v != NULL; v = v->next)
		listing_add_attribute(list_of(ss)->listing, name, v->text);
}

static void
home_answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct list *l = list_of(ss);

	if (a->lost || (a->status != WRITE_OK && needs_home(l)))
		home_failed(ss, g);
	else if (--l->pending == 0)
		answer(ss);
}

static void
ask_home(struct session *ss, struct leg *g)
{
	struct list *l = list_of(ss);

	if (listing_wants_subscriptions(&l->request)) {
		l->pending++;
		leg_ask_text(g, "LSUB \"\" \"*\"",
		    &(struct ask_use){ .policy = ASK_SHOW,
		        .data = take_subscription,
		        .answer = home_answered });
	}
	if (!l->request.lsub && link_has(g->link, "SPECIAL-USE")) {
		l->pending++;
		leg_ask_text(g, "LIST (SPECIAL-USE) \"\" \"*\"",
		    &(struct ask_use){ .policy = ASK_SHOW,
		        .data = take_special_use,
		        .answer = home_answered });
	}
	if (l->pending == 0)
		answer(ss);
}

static void
go_home(struct session *ss, const struct mboxrec *rec)
{
	char server[MBOXREC_HOST];

	route_server(rec, server);
	leg_try_open(session_leg(ss, server), ask_home, home_failed);
}

static void
home_found(void *arg, enum route_answer found, const struct mboxrec *rec)
{
	struct session *ss = arg;

	ss->cmd.wait = NULL;
	switch (found) {
	case ROUTE_FOUND:
		go_home(ss, rec);
		return;
	case ROUTE_NONE: /* no home, no subscriptions */
		answer(ss);
		return;
	case ROUTE_UNKNOWN:
		home_failed(ss, NULL);
		return;
	}
}

static void
find_home(struct session *ss)
{
	struct slice name;
	struct mboxrec rec;

	if (mboxname_of_user(&ss->arena, &ss->worker->layout,
	        slice_str(ss->user), &name) != NULL)
		answer(ss);
	else if (needs_home(list_of(ss)))
		ss->cmd.wait = route_find(ss->worker->route, &ss->rate, name,
		    home_found, ss);
	else if (route_look(ss->worker->route, name, &rec) == ROUTE_FOUND)
		go_home(ss, &rec);
	else
		answer(ss);
}

/* The copy was being filled for the first time. */
static void
filled(void *arg, enum route_answer answered, const struct mboxrec *rec)
{
	struct session *ss = arg;

	(void)answered; /* look() sees whether there is a list now */
	(void)rec;
	ss->cmd.wait = NULL;
	find_home(ss);
}

static void
list(struct session *ss, bool lsub)
{
	struct list *l = arena_alloc(&ss->arena, sizeof(*l));
	struct write w = session_write(ss);

	parse_sp(&ss->cmd.args);
	listing_parse(&ss->cmd.args, lsub, &l->request);
	if (l->request.returns &
	    (LISTING_RETURN_MYRIGHTS | LISTING_RETURN_METADATA))
		parse_fail(&ss->cmd.args, "Unknown LIST return option");
	if (session_bad_args(ss))
		return;
	if (listing_is_separator_only(&l->request)) {
		listing_write_separator(&w, session_layout(ss), &l->request);
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
		return;
	}
	ss->cmd.state = l;
	l->view = (struct mboxname_view){ .layout = session_layout(ss),
		.user = slice_str(ss->user) };
	l->listing = listing_new(&ss->arena, &l->view, &l->request);
	if (route_list(ss->worker->route) == NULL)
		ss->cmd.wait = route_sync(ss->worker->route, filled, ss);
	else
		find_home(ss);
}

void
proxyd_LIST(struct session *ss)
{
	list(ss, false);
}

void
proxyd_LSUB(struct session *ss)
{
	list(ss, true);
}
