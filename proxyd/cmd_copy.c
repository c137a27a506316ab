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
#include "proxyd/route.h"
#include "proxyd/session.h"
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
	    &(struct ask_use){ .policy = ASK_PASS, .answer = answered });

	write_word(&w, ss->cmd.what->name);
	write_sp(&w);
	value_write_all(&w, ss->cmd.state);
	write_end(&w);
	leg_flush(ss->selected);
}

static void
go_across(struct session *ss, const char *server)
{
	struct copy_across *c = arena_alloc(&ss->arena, sizeof(*c));
	enum command_id id = ss->cmd.what->id;

	c->set = ss->cmd.state;
	c->dest = c->set->next;
	c->server = arena_string(&ss->arena, slice_str(server));
	c->by_uid = id == COMMAND_UID_COPY || id == COMMAND_UID_MOVE;
	c->move = id == COMMAND_MOVE || id == COMMAND_UID_MOVE;
	copy_across(ss, c);
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
		if (strcmp(server, ss->selected->server) == 0)
			forward(ss);
		else
			go_across(ss, server);
		return;
	case ROUTE_NONE:
		session_done(ss, WRITE_NO, RESPCODE_TRYCREATE,
		    "There is no such mailbox");
		return;
	case ROUTE_UNKNOWN:
		session_unavailable(ss,
		    "It is not known now where that mailbox is, try again "
		    "later");
		return;
	}
}

static void
copy(struct session *ss)
{
	struct value *args;
	struct slice name;

	parse_sp(&ss->cmd.args);
	args = value_parse_all(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	if (args == NULL || args->kind != VALUE_ATOM || args->next == NULL ||
	    args->next->next != NULL ||
	    (args->next->kind != VALUE_ATOM &&
	        args->next->kind != VALUE_STRING)) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "A sequence set and a mailbox name are expected");
		return;
	}
	ss->cmd.state = args;
	name = session_name(ss, args->next->text);
	if (name.ptr != NULL)
		ss->cmd.wait =
		    route_find(ss->worker->route, &ss->rate, name, found, ss);
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
