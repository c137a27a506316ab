/*
 * APPEND: the message goes through as it comes, never held whole.  A client
 * that waits for "+" gets it when the backend has said so, so that a refusal
 * (no such right, over quota, too big) costs it no upload.
 */
#include "imap/value.h"
#include "lib/buf.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/worker.h"

static void
answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	(void)g;
	if (a->lost) {
		ss->cmd.stream_to = NULL;
		session_unavailable(ss,
		    "The server of this mailbox was lost; whether it took "
		    "the message is not known");
	} else if (ss->phase == PHASE_DATA)
		ss->cmd.stream_answered = true; /* the rest is to be sent */
	else
		session_passed(ss);
}

/* All octets are through: end the line, the answer comes. */
static void
streamed(struct session *ss)
{
	struct leg *g = ss->cmd.stream_to;
	struct write w;

	ss->cmd.stream_to = NULL;
	write_init(&w, link_out(g->link), WRITE_CLIENT);
	write_end(&w);
	leg_flush(g);
	if (ss->cmd.stream_answered)
		session_passed(ss);
}

/* The backend is ready for the octets. */
static void
go_ahead(struct session *ss, struct leg *g)
{
	if (ss->phase == PHASE_HELD)
		session_accept_stream(ss, g, streamed);
}

static void
send_append(struct session *ss, struct leg *g)
{
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS,
	        .go_ahead = go_ahead,
	        .answer = answered });

	write_word(&w, "APPEND ");
	/* The last value is the message: its head, and the octets follow. */
	for (struct value *v = ss->cmd.state; v->kind != VALUE_STREAM;
	     v = v->next) {
		value_write(&w, v);
		write_sp(&w);
	}
	if (ss->cmd.stream_sync)
		write_sync_literal_head(&w, ss->cmd.stream_size);
	else
		write_literal_head(&w, ss->cmd.stream_size);
	leg_flush(g);
	if (!ss->cmd.stream_sync)
		session_accept_stream(ss, g, streamed);
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
		leg_when_open(session_leg(ss, server), send_append);
		return;
	case ROUTE_NONE:
		session_done(ss, WRITE_NO, RESPCODE_TRYCREATE,
		    "There is no such mailbox");
		return;
	case ROUTE_UNKNOWN:
		session_unavailable(ss,
		    "It is not known now where this mailbox is, try again "
		    "later");
		return;
	}
}

/* Mailbox, then up to two of flags and date, then the message. */
static bool
is_well_formed(const struct value *v)
{
	if (v == NULL || (v->kind != VALUE_ATOM && v->kind != VALUE_STRING))
		return false;
	v = v->next;
	if (v != NULL && v->kind == VALUE_LIST)
		v = v->next;
	if (v != NULL && v->kind == VALUE_STRING)
		v = v->next;
	return v != NULL && v->kind == VALUE_STREAM && v->next == NULL;
}

void
proxyd_APPEND(struct session *ss)
{
	struct value *args;
	struct slice name;

	parse_sp(&ss->cmd.args);
	args = value_parse_all(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	if (ss->phase != PHASE_HELD || !is_well_formed(args)) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "APPEND mailbox [(flags)] [\"date\"] {size} is expected");
		return;
	}
	ss->cmd.state = args;
	name = session_name(ss, args->text);
	if (name.ptr != NULL)
		ss->cmd.wait =
		    route_find(ss->worker->route, &ss->rate, name, found, ss);
}
