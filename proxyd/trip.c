#include <stdio.h>
#include <string.h>

#include "imap/acl.h"
#include "imap/mboxrec.h"
#include "imap/reply.h"
#include "imap/value.h"
#include "lib/log.h"
#include "proxyd/handlers.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"
#include "proxyd/worker.h"

/* --- arguments ---------------------------------------------------------------- */

struct trip *
trip_new(struct session *ss, trip_go *go)
{
	struct trip *t = arena_alloc(&ss->arena, sizeof(*t));

	*t = (struct trip){ .go = go, .none = RESPCODE_NONEXISTENT };
	parse_sp(&ss->cmd.args);
	t->args = value_parse_all(&ss->cmd.args);
	ss->cmd.trip = t;
	return session_bad_args(ss) ? NULL : t;
}

bool
trip_is_name(const struct value *v)
{
	return v != NULL && (v->kind == VALUE_ATOM || v->kind == VALUE_STRING);
}

struct trip *
trip_begin(struct session *ss, trip_go *go)
{
	struct trip *t = trip_new(ss, go);

	if (t == NULL || trip_is_name(t->args))
		return t;
	session_done(ss, WRITE_BAD, RESPCODE_NONE,
	    "A mailbox name is expected");
	return NULL;
}

/* --- where it is -------------------------------------------------------------- */

bool
trip_is_found(struct session *ss, enum route_answer answer, enum respcode none)
{
	switch (answer) {
	case ROUTE_FOUND:
		return true;
	case ROUTE_NONE:
		session_done(ss, WRITE_NO, none, "No such mailbox");
		return false;
	case ROUTE_UNKNOWN:
		session_unavailable(ss,
		    "It is not known now where this mailbox is, try again "
		    "later");
		return false;
	}
	return false;
}

static void
found(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;
	struct trip *t = ss->cmd.trip;

	ss->cmd.wait = NULL;
	t->server[0] = '\0';
	if (answer == ROUTE_FOUND)
		route_server(rec, t->server);
	if (t->looked != NULL)
		t->looked(ss, t->server);
	if (trip_is_found(ss, answer, t->none))
		t->go(ss, t->server);
}

void
trip_find(struct session *ss, struct slice name)
{
	ss->cmd.trip->name = name;
	ss->cmd.wait =
	    route_find(ss->worker->route, &ss->rate, name, found, ss);
}

void
trip_find_named(struct session *ss, struct slice external)
{
	struct slice name = session_name(ss, external);

	if (name.ptr != NULL)
		trip_find(ss, name);
}

void
trip_find_current(struct session *ss, struct slice name)
{
	ss->cmd.trip->name = name;
	ss->cmd.wait =
	    route_find_current(ss->worker->route, &ss->rate, name, found, ss);
}

/* --- where it is not ---------------------------------------------------------- */

/* Cyrus IMAP 3.6 has no codes for it, but these words. */
bool
trip_is_absence(const struct reply_text *t)
{
	switch (t->code) {
	case RESPCODE_NONEXISTENT:
	case RESPCODE_TRYCREATE:
		return true;
	case RESPCODE_NONE:
		return slice_is_nocase(t->text, "Mailbox does not exist") ||
		       slice_is_nocase(t->text,
		           "Mailbox has been moved to another server");
	default:
		return false;
	}
}

/* It is where we were told, says the list. */
static void
not_there(struct session *ss, const struct mboxrec *rec)
{
	struct trip *t = ss->cmd.trip;

	if (!(session_rights(ss, t->name, rec->acl) & ACL_LOOKUP)) {
		session_done(ss, WRITE_NO, t->code, t->text);
		return;
	}
	log_warn(ss->worker->log, "mailbox is not where the list says", "sid",
	    ss->sid, "user", ss->user, "mailbox", LOG_SLICE(t->name), "backend",
	    t->server, NULL);
	session_unavailable(ss,
	    "This mailbox is not where it is said to be, try again later");
}

static void
looked_again(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;
	struct trip *t = ss->cmd.trip;
	char server[MBOXREC_HOST];

	ss->cmd.wait = NULL;
	if (!trip_is_found(ss, answer, t->none))
		return;
	route_server(rec, server);
	if (t->again || strcmp(server, t->server) == 0) {
		not_there(ss, rec);
		return;
	}
	t->again = true;
	snprintf(t->server, sizeof(t->server), "%s", server);
	t->go(ss, t->server);
}

bool
trip_refused(struct session *ss, struct leg *g, const struct reply_text *text)
{
	struct trip *t = ss->cmd.trip;

	(void)g;
	if (t->name.ptr == NULL || !trip_is_absence(text))
		return false;
	t->code = text->code;
	t->text = arena_string(&ss->arena, text->text);
	ss->cmd.wait = route_find_current(ss->worker->route, &ss->rate, t->name,
	    looked_again, ss);
	return true;
}

/* --- the command -------------------------------------------------------------- */

void
trip_write(struct session *ss, struct write *w)
{
	write_word(w, ss->cmd.what->name);
	write_sp(w);
	value_write_all(w, ss->cmd.trip->args);
	write_end(w);
}
