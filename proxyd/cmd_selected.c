/*
 * Commands about the selected mailbox: SELECT itself, and those that go to the
 * leg it is on, written anew from their parsed arguments, the answers passed
 * through.
 */
#include <string.h>

#include "imap/value.h"
#include "lib/buf.h"
#include "lib/stream.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"
#include "proxyd/worker.h"

/* --- to the selected mailbox ------------------------------------------------------ */

static void
passed(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	(void)g;
	if (a->lost)
		session_unavailable(ss,
		    "The server of the selected mailbox was lost");
	else
		session_passed(ss);
}

static void
forward(struct session *ss, struct leg *g, struct value *args,
    void (*answer)(struct session *, struct leg *, const struct ask_answer *))
{
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS, .answer = answer });

	write_word(&w, ss->cmd.what->name);
	if (args != NULL) {
		write_sp(&w);
		value_write_all(&w, args);
	}
	write_end(&w);
	leg_flush(g);
}

/* With whatever arguments the client gave. */
static void
to_selected(struct session *ss)
{
	struct value *args = NULL;

	if (parse_peek(&ss->cmd.args) != PARSE_END) {
		parse_sp(&ss->cmd.args);
		args = value_parse_all(&ss->cmd.args);
	}
	if (session_bad_args(ss))
		return;
	forward(ss, ss->selected, args, passed);
}

void
proxyd_SEARCH(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_FETCH(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_STORE(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_EXPUNGE(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_CHECK(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_UID_EXPUNGE(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_UID_SEARCH(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_UID_FETCH(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_UID_STORE(struct session *ss)
{
	to_selected(ss);
}

void
proxyd_NOOP(struct session *ss)
{
	if (ss->selected != NULL) {
		to_selected(ss);
		return;
	}
	parse_end(&ss->cmd.args);
	if (!session_bad_args(ss))
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
}

/* --- CLOSE and UNSELECT --------------------------------------------------------------- */

static void
closed(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	if (!a->lost && a->status == WRITE_OK)
		session_unselect(ss);
	passed(ss, g, a);
}

static void
close_selected(struct session *ss)
{
	parse_end(&ss->cmd.args);
	if (!session_bad_args(ss))
		forward(ss, ss->selected, NULL, closed);
}

void
proxyd_CLOSE(struct session *ss)
{
	close_selected(ss);
}

void
proxyd_UNSELECT(struct session *ss)
{
	close_selected(ss);
}

/* --- SELECT and EXAMINE ------------------------------------------------------------------ */

static void
selected(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	if (!a->lost && a->status == WRITE_OK) {
		ss->selected = g;
		ss->state = STATE_SELECTED;
	}
	passed(ss, g, a);
}

static void
send_select(struct session *ss, struct leg *g)
{
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS,
	        .refused = trip_refused,
	        .answer = selected });

	trip_write(ss, &w);
	leg_flush(g);
}

static void
go_select(struct session *ss, const char *server)
{
	leg_when_open(session_leg(ss, server), send_select);
}

/* RFC 9051 6.3.2: whatever comes of it, the old one is closed. */
static void
leave(struct session *ss, const char *server)
{
	struct leg *old = ss->selected;

	session_unselect(ss);
	if (old != NULL && strcmp(old->server, server) != 0)
		leg_ask_text(old, "UNSELECT",
		    &(struct ask_use){ .policy = ASK_DROP });
}

static void
select_mailbox(struct session *ss)
{
	struct trip *t = trip_begin(ss, go_select);

	if (t == NULL)
		return;
	t->looked = leave;
	trip_find_named(ss, t->args->text);
}

void
proxyd_SELECT(struct session *ss)
{
	select_mailbox(ss);
}

void
proxyd_EXAMINE(struct session *ss)
{
	select_mailbox(ss);
}

/* --- IDLE ------------------------------------------------------------------------------------ */

/* DONE, or whatever the client says instead: RFC 2177 knows no other line. */
static void
idle_over(struct session *ss, struct slice line)
{
	struct leg *g = ss->selected;
	struct write w;

	if (!slice_is_nocase(line, "DONE")) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE, "DONE was expected");
		if (g != NULL)
			session_lost_selection(ss);
		return;
	}
	if (g == NULL) {
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Idle ended");
		return;
	}
	write_init(&w, link_out(g->link), WRITE_CLIENT);
	write_line(&w, slice_str("DONE"));
	leg_new_deadline(g);
	leg_flush(g);
}

static void
idling(struct session *ss, struct leg *g)
{
	struct write w = session_write(ss);

	leg_no_deadline(g);
	write_continue(&w, slice_str("idling"));
	session_want_line(ss, idle_over);
}

void
proxyd_IDLE(struct session *ss)
{
	struct write w = session_write(ss);

	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	if (ss->selected == NULL) {
		write_continue(&w, slice_str("idling"));
		session_want_line(ss, idle_over);
		return;
	}
	w = leg_ask(ss->selected, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS,
	        .go_ahead = idling,
	        .answer = passed });
	write_word(&w, "IDLE");
	write_end(&w);
	leg_flush(ss->selected);
}
