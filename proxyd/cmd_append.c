/*
 * APPEND: the message goes through as it comes, never held whole.  A client
 * that waits for "+" gets it when the backend has said so, so that a refusal
 * (no such right, over quota, too big) costs it no upload.  Nor does it where
 * the list was behind and the mailbox is elsewhere; who does not wait is told
 * to try again, as the octets are gone.
 */
#include "imap/reply.h"
#include "imap/value.h"
#include "lib/buf.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"
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

static void
too_late(struct session *ss, const char *server)
{
	(void)server;
	session_unavailable(ss,
	    "This mailbox has moved to another server, try again");
}

/* While octets flow the refusal is kept until they are through. */
static bool
refused(struct session *ss, struct leg *g, const struct reply_text *text)
{
	struct reply_text *kept;

	if (ss->phase != PHASE_HELD)
		ss->cmd.trip->go = too_late;
	if (ss->phase != PHASE_DATA)
		return trip_refused(ss, g, text);
	if (!trip_is_absence(text))
		return false;
	kept = arena_alloc(&ss->arena, sizeof(*kept));
	*kept = (struct reply_text){ .code = text->code,
		.text = arena_copy(&ss->arena, text->text) };
	ss->cmd.state = kept;
	return true;
}

/* What came before the last octet did. */
static void
early_answer(struct session *ss, struct leg *g)
{
	const struct reply_text *kept = ss->cmd.state;

	if (kept == NULL)
		session_passed(ss);
	else if (g == NULL)
		session_unavailable(ss, "The server of this mailbox was lost");
	else
		(void)trip_refused(ss, g, kept);
}

/* End the line, the answer comes. */
static void
streamed(struct session *ss)
{
	struct leg *g = ss->cmd.stream_to;
	struct write w;

	ss->cmd.stream_to = NULL;
	if (g != NULL) {
		write_init(&w, link_out(g->link), WRITE_CLIENT);
		write_end(&w);
		leg_flush(g);
	}
	if (g == NULL || ss->cmd.stream_answered || ss->cmd.state != NULL)
		early_answer(ss, g);
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
	        .refused = refused,
	        .answer = answered });

	write_word(&w, "APPEND ");
	/* The last value is the message: its head, and the octets follow. */
	for (struct value *v = ss->cmd.trip->args; v->kind != VALUE_STREAM;
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
go(struct session *ss, const char *server)
{
	leg_when_open(session_leg(ss, server), send_append);
}

/* Mailbox, then up to two of flags and date, then the message. */
static bool
is_well_formed(const struct value *v)
{
	if (!trip_is_name(v))
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
	struct trip *t = trip_new(ss, go);

	if (t == NULL)
		return;
	if (ss->phase != PHASE_HELD || !is_well_formed(t->args)) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "APPEND mailbox [(flags)] [\"date\"] {size} is expected");
		return;
	}
	t->none = RESPCODE_TRYCREATE;
	trip_find_named(ss, t->args->text);
}
