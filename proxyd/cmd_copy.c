/*
 * COPY and MOVE: to a mailbox on the same backend as they are, across backends
 * by copy_across.
 */
#include <string.h>

#include "imap/value.h"
#include "lib/buf.h"
#include "proxyd/copy_across.h"
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
		    "The server of the selected mailbox was lost");
	else
		session_passed(ss);
}

static void
forward(struct session *ss)
{
	struct write w = leg_ask(ss->selected, ss->cmd.tag,
	    &(struct ask_use){ .policy = ASK_PASS,
	        .refused = trip_refused,
	        .answer = answered });

	trip_write(ss, &w);
	leg_flush(ss->selected);
}

static void
go_across(struct session *ss, const char *server)
{
	struct copy_across *c = arena_alloc(&ss->arena, sizeof(*c));
	enum command_id id = ss->cmd.what->id;

	c->set = ss->cmd.trip->args;
	c->dest = c->set->next;
	c->server = arena_string(&ss->arena, slice_str(server));
	c->by_uid = id == COMMAND_UID_COPY || id == COMMAND_UID_MOVE;
	c->move = id == COMMAND_MOVE || id == COMMAND_UID_MOVE;
	copy_across(ss, c);
}

static void
go(struct session *ss, const char *server)
{
	if (strcmp(server, ss->selected->server) == 0)
		forward(ss);
	else
		go_across(ss, server);
}

static void
copy(struct session *ss)
{
	struct trip *t = trip_new(ss, go);

	if (t == NULL)
		return;
	if (t->args == NULL || t->args->kind != VALUE_ATOM ||
	    !trip_is_name(t->args->next) || t->args->next->next != NULL) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "A sequence set and a mailbox name are expected");
		return;
	}
	t->none = RESPCODE_TRYCREATE;
	trip_find_named(ss, t->args->next->text);
}

void
proxyd_COPY(struct session *ss)
{
	copy(ss);
}

void
proxyd_MOVE(struct session *ss)
{
	copy(ss);
}

void
proxyd_UID_COPY(struct session *ss)
{
	copy(ss);
}

void
proxyd_UID_MOVE(struct session *ss)
{
	copy(ss);
}
