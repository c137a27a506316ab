/*
 * Commands about one mailbox, whichever backend it is on.
 *
 * All go the same way (struct trip): name, route, leg, ask.  Those that change
 * the list then wait until our copy has the change, so that the client finds
 * it here and, the update server being ahead of us, anywhere.
 */
#include <string.h>

#include "imap/mboxname.h"
#include "imap/value.h"
#include "lib/buf.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/worker.h"

/* A command on its way; in the arena. */
struct trip {
	struct value *args;
	struct slice name; /* CREATE's, internal */
	bool changes_list;
	enum write_status status; /* the backend's answer, while we sync */
	char *code;               /* with its arguments; NULL: none */
	char *text;
};

/* --- the answer --------------------------------------------------------------- */

/* As the backend gave it. */
static void
repeat_answer(struct session *ss)
{
	struct trip *t = ss->cmd.state;
	struct write w = session_write(ss);

	write_status(&w, ss->cmd.tag, t->status);
	if (t->code != NULL)
		write_code_text(&w, t->code);
	write_text(&w, t->text);
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

static void
answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct trip *t = ss->cmd.state;

	(void)g;
	if (a->lost) {
		session_unavailable(ss,
		    "The server of this mailbox was lost; what became of the "
		    "command is not known");
		return;
	}
	if (a->text == NULL) {
		session_passed(ss);
		return;
	}
	t->status = a->status;
	t->code = code_text(ss, a->text);
	t->text = arena_string(&ss->arena, a->text->text);
	if (t->changes_list && a->status == WRITE_OK)
		ss->cmd.wait = route_sync(ss->worker->route, synced, ss);
	else
		repeat_answer(ss);
}

/* --- the way there --------------------------------------------------------------- */

static void
send_trip(struct session *ss, struct leg *g)
{
	struct trip *t = ss->cmd.state;
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy =
	                           t->changes_list ? ASK_ANSWER : ASK_PASS,
	        .answer = answered });

	write_word(&w, ss->cmd.what->name);
	write_sp(&w);
	value_write_all(&w, t->args);
	write_end(&w);
	leg_flush(g);
}

static void
go_to(struct session *ss, const char *server)
{
	leg_when_open(session_leg(ss, server), send_trip);
}

static void
found(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;
	char server[64];

	ss->cmd.wait = NULL;
	switch (answer) {
	case ROUTE_FOUND:
		route_server(rec, server);
		go_to(ss, server);
		return;
	case ROUTE_NONE:
		session_done(ss, WRITE_NO, RESPCODE_NONEXISTENT,
		    "There is no such mailbox");
		return;
	case ROUTE_UNKNOWN:
		session_unavailable(ss,
		    "It is not known now where this mailbox is, try again "
		    "later");
		return;
	}
}

/* The arguments as values; NULL, and answered, if they are none. */
static struct trip *
begin(struct session *ss, bool changes_list)
{
	struct trip *t = arena_alloc(&ss->arena, sizeof(*t));

	parse_sp(&ss->cmd.args);
	t->args = value_parse_all(&ss->cmd.args);
	t->changes_list = changes_list;
	ss->cmd.state = t;
	if (session_bad_args(ss))
		return NULL;
	if (t->args == NULL ||
	    (t->args->kind != VALUE_ATOM && t->args->kind != VALUE_STRING)) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "A mailbox name is expected");
		return NULL;
	}
	return t;
}

/* To the server of the mailbox that the first argument names. */
static void
to_mailbox(struct session *ss, bool changes_list)
{
	struct trip *t = begin(ss, changes_list);
	struct slice name;

	if (t == NULL)
		return;
	name = session_name(ss, t->args->text);
	if (name.ptr != NULL)
		ss->cmd.wait =
		    route_find(ss->worker->route, &ss->rate, name, found, ss);
}

/* To the server of the user's INBOX. */
static void
to_home(struct session *ss)
{
	struct trip *t = begin(ss, false);
	struct slice name;

	if (t == NULL)
		return;
	if (mboxname_of_user(&ss->arena, &ss->worker->layout,
	        slice_str(ss->user), &name) != NULL) {
		session_done(ss, WRITE_NO, RESPCODE_CANNOT,
		    "You have no INBOX, so there is no place for this");
		return;
	}
	ss->cmd.wait =
	    route_find(ss->worker->route, &ss->rate, name, found, ss);
}

void
proxyd_STATUS(struct session *ss)
{
	to_mailbox(ss, false);
}

void
proxyd_DELETE(struct session *ss)
{
	to_mailbox(ss, true);
}

void
proxyd_SETACL(struct session *ss)
{
	to_mailbox(ss, true);
}

void
proxyd_DELETEACL(struct session *ss)
{
	to_mailbox(ss, true);
}

void
proxyd_SUBSCRIBE(struct session *ss)
{
	to_home(ss);
}

void
proxyd_UNSUBSCRIBE(struct session *ss)
{
	to_home(ss);
}

/* --- CREATE and RENAME -------------------------------------------------------------- */

/*
 * An admin may say where: "server", or "server!partition", as Cyrus's admins
 * do.  The server is taken out of the arguments, a partition stays.
 */
static bool
placed_by_admin(struct session *ss, struct trip *t, char server[64])
{
	struct value *v = t->args->next;
	struct mboxrec where = { 0 };

	if (!ss->admin || v == NULL || v->kind == VALUE_LIST)
		return false;
	where.location = v->text;
	route_server(&where, server);
	v->text = mboxrec_partition(v->text);
	if (v->text.len == 0)
		t->args->next = v->next;
	return true;
}

static void
place(struct session *ss)
{
	struct trip *t = ss->cmd.state;
	char server[64];

	if (!placed_by_admin(ss, t, server))
		route_place(ss->worker->route, t->name, server);
	if (server[0] == '\0') {
		session_done(ss, WRITE_NO, RESPCODE_CANNOT,
		    "No backend is configured to take new mailboxes");
		return;
	}
	go_to(ss, server);
}

/* The copy was being filled for the first time. */
static void
filled(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;

	(void)answer;
	(void)rec;
	ss->cmd.wait = NULL;
	if (route_list(ss->worker->route) != NULL)
		place(ss);
	else
		session_unavailable(ss,
		    "The mailbox list is not available, try again later");
}

void
proxyd_CREATE(struct session *ss)
{
	struct trip *t = begin(ss, true);

	if (t == NULL)
		return;
	t->name = session_name(ss, t->args->text);
	if (t->name.ptr == NULL)
		return;
	/* Without a list nobody knows where the parent is. */
	if (route_list(ss->worker->route) != NULL)
		place(ss);
	else
		ss->cmd.wait = route_sync(ss->worker->route, filled, ss);
}

/*
 * Stays on its server, wherever the new name's parent is.
 */
void
proxyd_RENAME(struct session *ss)
{
	to_mailbox(ss, true);
}

/* Private to the two of us: never offered to a client. */
void
proxyd_XSCRIPT(struct session *ss)
{
	session_done(ss, WRITE_BAD, RESPCODE_NONE, "Unknown command");
}

void
proxyd_XREMEMBER(struct session *ss)
{
	session_done(ss, WRITE_BAD, RESPCODE_NONE, "Unknown command");
}
