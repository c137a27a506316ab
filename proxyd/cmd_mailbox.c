/*
 * Commands about one mailbox that change nothing in the list: there and back.
 */
#include "imap/mboxname.h"
#include "imap/value.h"
#include "proxyd/handlers.h"
#include "proxyd/leg.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"
#include "proxyd/worker.h"

static void
answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	(void)g;
	if (a->lost)
		session_unavailable(ss,
		    "The server of this mailbox was lost, try again later");
	else
		session_passed(ss);
}

static void
send_trip(struct session *ss, struct leg *g)
{
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS,
	        .refused = trip_refused,
	        .answer = answered });

	trip_write(ss, &w);
	leg_flush(g);
}

static void
go(struct session *ss, const char *server)
{
	leg_when_open(session_leg(ss, server), send_trip);
}

void
proxyd_STATUS(struct session *ss)
{
	struct trip *t = trip_begin(ss, go);

	if (t != NULL)
		trip_find_named(ss, t->args->text);
}

/* What is said to be absent is what is named, not the user's INBOX. */
static void
send_home(struct session *ss, struct leg *g)
{
	struct write w = leg_ask(g, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS, .answer = answered });

	trip_write(ss, &w);
	leg_flush(g);
}

static void
go_home(struct session *ss, const char *server)
{
	leg_when_open(session_leg(ss, server), send_home);
}

/* To the server of the user's INBOX. */
static void
to_home(struct session *ss)
{
	struct slice name;

	if (trip_begin(ss, go_home) == NULL)
		return;
	if (mboxname_of_user(&ss->arena, &ss->worker->layout,
	        slice_str(ss->user), &name) != NULL) {
		session_done(ss, WRITE_NO, RESPCODE_CANNOT,
		    "You have no INBOX, so there is no place for this");
		return;
	}
	trip_find(ss, name);
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
