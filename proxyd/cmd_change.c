/*
 * Commands that change the list: CREATE, DELETE, RENAME, SETACL, DELETEACL.
 *
 * When the backend has answered OK they wait until our copy has the change, so
 * that the client finds it here and, the update server being ahead of us,
 * anywhere.
 *
 * If the backend is lost meanwhile it is not known what became of the command,
 * and NO would say that nothing changed.  So it is asked again, for a while
 * (outcome_timeout): these commands may be repeated.  To OK there is nothing to
 * add; of NO, which the second gets if the first was done, the list has the
 * last word: what was to be there is there, what was to go is gone.  Of ACLs
 * it says nothing: NO, for want of a right, may come of the first try.  If it
 * cannot be found out the client is told BYE without an answer, which is what
 * it would see had it been connected to that backend itself.
 *
 * RENAME, and DELETE of a user, are one backend's change of a whole tree.  If
 * parts of the tree are elsewhere the answer is NO, and says which: a change
 * of several backends' lists could be left half made by any of them.
 */
#include <stdio.h>
#include <string.h>

#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/value.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "proxyd/conf.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/spread.h"
#include "proxyd/trip.h"
#include "proxyd/worker.h"

enum {
	PAUSE_MS = 250 /* between two attempts */
};

enum change_state {
	CHANGE_FIRST, /* asked for the first time */
	CHANGE_PAUSE, /* the outcome is not known: soon again */
	CHANGE_AGAIN  /* asked again, or on the way to it */
};

/* In the arena, but for the timer. */
struct change {
	enum change_state state;
	char server[MBOXREC_HOST];
	struct slice old, fresh; /* names to go and to come; .ptr may be NULL */
	bool had_fresh;          /* before */
	bool tree;               /* all below old goes, too */
	bool denied;             /* NO, for want of a right */
	bool absent;             /* NO, it is not there */
	bool exists;             /* NO, what is to come is there */
	struct timer *timer;     /* CHANGE_PAUSE, CHANGE_AGAIN */
	struct mono until;

	/* The backend's answer, while we sync. */
	enum write_status status;
	char *code; /* with its arguments; NULL: none */
	char *text;
};

static void send_change(struct session *ss, struct leg *g);

static void
fini(struct session *ss)
{
	struct change *c = ss->cmd.state;

	timer_free(&c->timer);
}

/* --- the answer ------------------------------------------------------------- */

/* As the backend gave it. */
static void
repeat_answer(struct session *ss)
{
	struct change *c = ss->cmd.state;
	struct write w = session_write(ss);

	write_status(&w, ss->cmd.tag, c->status);
	if (c->code != NULL)
		write_code_text(&w, c->code);
	write_text(&w, c->text);
	write_end(&w);
	session_passed(ss);
}

/* Whether or not the copy is current by now, the change is made. */
static void
synced(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;

	(void)answer;
	(void)rec;
	ss->cmd.wait = NULL;
	repeat_answer(ss);
}

static char *
code_text(struct session *ss, const struct reply_text *t)
{
	if (t->code_name.len == 0)
		return NULL;
	return arena_printf(&ss->arena, "%.*s%s%.*s", (int)t->code_name.len,
	    (const char *)t->code_name.ptr, t->code_args.len > 0 ? " " : "",
	    (int)t->code_args.len, (const char *)t->code_args.ptr);
}

/* --- what became of it ------------------------------------------------------ */

static void
pause_a_moment(struct session *ss)
{
	struct change *c = ss->cmd.state;

	c->state = CHANGE_PAUSE;
	timer_set(c->timer, PAUSE_MS);
}

static void
try_failed(struct session *ss, struct leg *g)
{
	(void)g;
	pause_a_moment(ss);
}

static void
give_up(struct session *ss)
{
	struct change *c = ss->cmd.state;

	log_warn(ss->worker->log, "outcome of a change not known", "sid",
	    ss->sid, "user", ss->user, "command", ss->cmd.what->name, "backend",
	    c->server, NULL);
	session_bye(ss, CLOSE_BACKEND, RESPCODE_UNAVAILABLE,
	    "The server of this mailbox was lost; what became of the command "
	    "is not known");
}

static void
on_timer(void *arg)
{
	struct session *ss = arg;
	struct change *c = ss->cmd.state;
	struct mono now = loop_now(ss->worker->loop);

	if (mono_reached(c->until, now)) {
		give_up(ss);
		return;
	}
	MUST(c->state == CHANGE_PAUSE);
	c->state = CHANGE_AGAIN;
	timer_set(c->timer, c->until.ms - now.ms);
	leg_try_open(session_leg(ss, c->server), send_change, try_failed);
}

static void
lost(struct session *ss)
{
	struct change *c = ss->cmd.state;
	struct loop *loop = ss->worker->loop;

	if (c->timer == NULL) {
		c->timer = timer_new(loop, on_timer, ss);
		c->until = mono_after(loop_now(loop),
		    (int64_t)ss->worker->conf->outcome_ms);
		ss->cmd.fini = fini;
	}
	pause_a_moment(ss);
}

static bool
is_there(struct session *ss, struct slice name)
{
	struct mboxrec rec;

	return route_look(ss->worker->route, name, &rec) == ROUTE_FOUND;
}

static bool
names_nothing(const struct change *c)
{
	return c->old.ptr == NULL && c->fresh.ptr == NULL;
}

/* The list is current: was it done the first time? */
static bool
was_done(struct session *ss)
{
	struct change *c = ss->cmd.state;

	if (names_nothing(c))
		return false;
	/* RENAME of INBOX moves what is in it, and leaves it. */
	if (c->old.ptr != NULL && is_there(ss, c->old) &&
	    (c->fresh.ptr == NULL || !mboxname_is_inbox(c->old)))
		return false;
	return c->fresh.ptr == NULL ||
	       (!c->had_fresh && is_there(ss, c->fresh));
}

/*
 * What the backend says is gone is listed for a while yet, or what it says is
 * there is not listed yet: it has still to tell the update server.
 */
static bool
is_ahead(struct session *ss)
{
	struct change *c = ss->cmd.state;

	return (c->absent && c->old.ptr != NULL && is_there(ss, c->old)) ||
	       (c->exists && c->fresh.ptr != NULL && !is_there(ss, c->fresh));
}

static void
looked(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;
	struct change *c = ss->cmd.state;

	(void)rec;
	ss->cmd.wait = NULL;
	if (names_nothing(c) && c->denied)
		give_up(ss);
	else if (answer != ROUTE_FOUND)
		pause_a_moment(ss);
	else if (was_done(ss))
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Completed");
	else if (is_ahead(ss))
		pause_a_moment(ss);
	else
		repeat_answer(ss);
}

static bool
is_temporary(enum respcode code)
{
	return code == RESPCODE_UNAVAILABLE || code == RESPCODE_INUSE ||
	       code == RESPCODE_SERVERBUG;
}

static void
answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct change *c = ss->cmd.state;
	struct route *route = ss->worker->route;

	if (a->lost) {
		lost(ss);
		return;
	}
	if (c->state == CHANGE_FIRST && a->status == WRITE_NO &&
	    trip_refused(ss, g, a->text))
		return;
	c->status = a->status;
	c->denied = a->text->code == RESPCODE_NOPERM ||
	            a->text->code == RESPCODE_NONEXISTENT;
	c->absent = a->text->code == RESPCODE_NONEXISTENT;
	c->exists = a->text->code == RESPCODE_ALREADYEXISTS;
	c->code = code_text(ss, a->text);
	c->text = arena_string(&ss->arena, a->text->text);
	if (a->status == WRITE_OK)
		ss->cmd.wait = route_sync(route, synced, ss);
	else if (c->state == CHANGE_FIRST)
		repeat_answer(ss);
	else if (is_temporary(a->text->code))
		pause_a_moment(ss);
	else
		ss->cmd.wait = route_sync(route, looked, ss);
	if (ss->cmd.wait != NULL && c->timer != NULL)
		timer_stop(c->timer); /* a barrier has a deadline of its own */
}

/* --- the way there ---------------------------------------------------------- */

static void
send_change(struct session *ss, struct leg *g)
{
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_ANSWER, .answer = answered });

	trip_write(ss, &w);
	leg_flush(g);
}

/* What is elsewhere, as far as this user may know. */
static const char *
spread_text(struct session *ss, const struct spread *s)
{
	const struct mboxname_view view = { session_layout(ss),
		.user = slice_str(ss->user) };
	const char *verb =
	    ss->cmd.what->id == COMMAND_DELETE ? "delete" : "rename";
	struct slice name = { NULL, 0 };

	if (session_rights(ss, s->name, s->acl) & ACL_LOOKUP)
		name = mboxname_to_external(&ss->arena, &view, s->name);
	if (name.ptr == NULL)
		return "A mailbox below this one is on another server";
	return arena_printf(&ss->arena,
	    "The mailbox %.*s is on another server, %s: %s it first",
	    (int)name.len, (const char *)name.ptr, s->server, verb);
}

/* RFC 4314 8: who may not look must not learn that it exists. */
static bool
is_hidden(struct session *ss, struct slice name)
{
	struct mboxrec rec;

	return route_look(ss->worker->route, name, &rec) != ROUTE_FOUND ||
	       !(session_rights(ss, name, rec.acl) & ACL_LOOKUP);
}

/* Has the tree a part elsewhere?  Then this is answered. */
static bool
is_spread(struct session *ss, const char *server)
{
	struct change *c = ss->cmd.state;
	struct spread s;
	enum spread_answer answer =
	    spread_look(ss->worker->route, &ss->arena, c->old, server, &s);

	if (answer == SPREAD_NONE)
		return false;
	if (is_hidden(ss, c->old))
		(void)trip_is_found(ss, ROUTE_NONE, RESPCODE_NONEXISTENT);
	else if (answer == SPREAD_ELSEWHERE)
		session_done(ss, WRITE_NO, RESPCODE_CANNOT,
		    spread_text(ss, &s));
	else if (answer == SPREAD_MANY)
		session_done(ss, WRITE_NO, RESPCODE_LIMIT,
		    "There are too many mailboxes below this one to be changed "
		    "at once: go part by part");
	else
		session_unavailable(ss,
		    "What is below this mailbox is being changed, try again "
		    "later");
	return true;
}

static void
go(struct session *ss, const char *server)
{
	struct change *c = ss->cmd.state;

	if (c->tree && is_spread(ss, server))
		return;
	snprintf(c->server, sizeof(c->server), "%s", server);
	if (c->fresh.ptr != NULL)
		c->had_fresh = is_there(ss, c->fresh);
	leg_when_open(session_leg(ss, server), send_change);
}

/* The mailbox that the first argument names; NULL, and answered. */
static struct change *
begin(struct session *ss, struct slice *name)
{
	struct trip *t = trip_begin(ss, go);
	struct change *c;

	if (t == NULL)
		return NULL;
	c = arena_alloc(&ss->arena, sizeof(*c));
	ss->cmd.state = c;
	*name = session_name(ss, t->args->text);
	return name->ptr == NULL ? NULL : c;
}

static void
find(struct session *ss)
{
	struct change *c = ss->cmd.state;

	if (c->tree)
		trip_find_current(ss, c->old);
	else
		trip_find(ss, c->old);
}

void
proxyd_DELETE(struct session *ss)
{
	struct slice name;
	struct change *c = begin(ss, &name);

	if (c == NULL)
		return;
	c->old = name;
	/* A user's, by an administrator: see backendd. */
	c->tree = ss->admin && mboxname_is_inbox(name);
	find(ss);
}

void
proxyd_SETACL(struct session *ss)
{
	struct slice name;

	if (begin(ss, &name) != NULL)
		trip_find(ss, name);
}

void
proxyd_DELETEACL(struct session *ss)
{
	struct slice name;

	if (begin(ss, &name) != NULL)
		trip_find(ss, name);
}

/* Stays on its server, wherever the new name's parent is. */
void
proxyd_RENAME(struct session *ss)
{
	const struct mboxname_view view = { .layout = session_layout(ss),
		.user = slice_str(ss->user) };
	struct slice name;
	struct change *c = begin(ss, &name);
	const struct value *v;

	if (c == NULL)
		return;
	v = ss->cmd.trip->args->next;
	c->old = name;
	/* If it cannot be a name the backend will say so. */
	if (v == NULL || v->kind == VALUE_LIST ||
	    mboxname_from_external(&ss->arena, &view, v->text, &c->fresh) !=
	        NULL)
		c->fresh = slice_of(NULL, 0);
	/* An INBOX that gets no INBOX's name leaves what is below. */
	c->tree = !mboxname_is_inbox(name) || c->fresh.ptr == NULL ||
	          mboxname_is_inbox(c->fresh);
	find(ss);
}

/* --- CREATE ----------------------------------------------------------------- */

/*
 * An admin may say where: "server", or "server!partition", as Cyrus's admins
 * do.  The server is taken out of the arguments, a partition stays.
 */
static bool
placed_by_admin(struct session *ss, char server[MBOXREC_HOST])
{
	struct value *v = ss->cmd.trip->args->next;
	struct mboxrec where = { 0 };

	if (!ss->admin || v == NULL || v->kind == VALUE_LIST)
		return false;
	where.location = v->text;
	route_server(&where, server);
	v->text = mboxrec_partition(v->text);
	if (v->text.len == 0)
		ss->cmd.trip->args->next = v->next;
	return true;
}

static void
place(struct session *ss)
{
	struct change *c = ss->cmd.state;
	char server[MBOXREC_HOST];

	if (!placed_by_admin(ss, server))
		route_place(ss->worker->route, c->fresh, server);
	if (server[0] == '\0')
		session_done(ss, WRITE_NO, RESPCODE_CANNOT,
		    "No backend is configured to take new mailboxes");
	else
		go(ss, server);
}

/* The copy is current, or cannot be made so. */
static void
filled(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;

	(void)rec;
	ss->cmd.wait = NULL;
	if (answer == ROUTE_FOUND && route_list(ss->worker->route) != NULL)
		place(ss);
	else
		session_unavailable(ss,
		    "The mailbox list is not available, try again later");
}

static bool
parent_is_listed(struct session *ss, struct slice name)
{
	struct route *route = ss->worker->route;
	struct mboxrec rec;

	name = mboxname_parent(name);
	return route_list(route) != NULL && name.len > 0 &&
	       route_look(route, name, &rec) == ROUTE_FOUND;
}

void
proxyd_CREATE(struct session *ss)
{
	struct slice name;
	struct change *c = begin(ss, &name);

	if (c == NULL)
		return;
	c->fresh = name;
	/* A parent may have been made elsewhere a moment ago. */
	if (parent_is_listed(ss, name))
		place(ss);
	else
		ss->cmd.wait = route_sync(ss->worker->route, filled, ss);
}
