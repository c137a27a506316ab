#include <string.h>

#include "imap/value.h"
#include "proxyd/handlers.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"
#include "proxyd/worker.h"

void *
trip_begin(struct session *ss, size_t size,
    void (*go)(struct session *ss, const char *server))
{
	struct trip *t = arena_alloc(&ss->arena, size);

	memset(t, 0, size);
	parse_sp(&ss->cmd.args);
	t->args = value_parse_all(&ss->cmd.args);
	t->go = go;
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

static void
found(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;
	struct trip *t = ss->cmd.state;
	char server[64];

	ss->cmd.wait = NULL;
	switch (answer) {
	case ROUTE_FOUND:
		route_server(rec, server);
		t->go(ss, server);
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

void
trip_find(struct session *ss, struct slice name)
{
	ss->cmd.wait =
	    route_find(ss->worker->route, &ss->rate, name, found, ss);
}

void
trip_write(struct session *ss, struct write *w)
{
	struct trip *t = ss->cmd.state;

	write_word(w, ss->cmd.what->name);
	write_sp(w);
	value_write_all(w, t->args);
	write_end(w);
}
