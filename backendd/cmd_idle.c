#include "backendd/handlers.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"

/*
 * A mailbox's news come from inside of whatever made them, so they are said in
 * a turn of their own; that also gathers those of one turn.
 */
struct idling {
	struct session *ss;
	struct task *turn;
	bool waits; /* for room */
	bool ended; /* DONE, or what came instead of it, */
	bool good;  /* was it DONE? */
};

static void tell(struct idling *id);

static void
end(struct idling *id)
{
	if (session_view(id->ss) != NULL)
		view_watch(session_view(id->ss), NULL, NULL);
	task_free(&id->turn);
	if (id->good)
		session_done(id->ss, SESSION_OK, NULL, "Idle completed");
	else
		session_done(id->ss, SESSION_BAD, NULL, "Expected DONE");
}

static void
on_room(struct session *ss, void *arg)
{
	struct idling *id = arg;

	(void)ss;
	id->waits = false;
	if (id->ended)
		end(id);
	else
		tell(id);
}

static void
tell(struct idling *id)
{
	struct view *v = session_view(id->ss);

	if (v == NULL || id->waits || id->ended)
		return;
	if (!view_tell(v, VIEW_EVERYTHING, session_out(id->ss))) {
		if (session_room(id->ss) >= VIEW_ROOM) {
			task_want(id->turn);
			return;
		}
		id->waits = true;
		session_wait_room(id->ss, VIEW_ROOM, on_room, id);
	}
	session_flush(id->ss);
}

static void
on_turn(void *arg)
{
	tell(arg);
}

static void
on_change(void *arg)
{
	struct idling *id = arg;

	task_want(id->turn);
}

static void
on_line(struct session *ss, void *arg, struct slice line)
{
	struct idling *id = arg;

	(void)ss;
	id->ended = true;
	id->good = line.ptr != NULL && slice_is_nocase(line, "DONE");
	if (!id->waits)
		end(id);
}

void
backendd_IDLE(struct session *ss, struct cmd *cmd)
{
	struct idling *id;

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	id = arena_alloc(cmd->arena, sizeof(*id));
	id->ss = ss;
	id->turn = task_new(session_server(ss)->loop, on_turn, id);
	session_want_line(ss, on_line, id);
	session_continue(ss, "idling");
	if (session_view(ss) != NULL)
		view_watch(session_view(ss), on_change, id);
	task_want(id->turn);
}

static void
nothing(struct session *ss, struct cmd *cmd, const char *text)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else
		session_done(ss, SESSION_OK, NULL, text);
}

/* What is new is said before every tagged reply. */
void
backendd_NOOP(struct session *ss, struct cmd *cmd)
{
	nothing(ss, cmd, "Noop completed");
}

void
backendd_CHECK(struct session *ss, struct cmd *cmd)
{
	nothing(ss, cmd, "Check completed");
}
