/*
 * What a handler says to its session: the reply, BYE, what it waits for, and
 * output.
 */
#include <string.h>

#include "backendd/conf.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

void
session_done(struct session *ss, enum session_result r, const char *code,
    const char *text)
{
	MUST(ss->magic == SESSION_MAGIC);
	MUST(ss->w != NULL && ss->w->cmd != NULL);
	MUST(ss->state == SESSION_RUNNING || ss->state == SESSION_LOST);
	MUST(ss->w->line_cb == NULL && ss->w->room_cb == NULL);
	if (ss->state == SESSION_LOST)
		ss->state = SESSION_OVER;
	else
		session_answer(ss, r,
		    code == NULL ? NULL
		                 : arena_string(&ss->w->arena, slice_str(code)),
		    arena_string(&ss->w->arena, slice_str(text)));
	if (!ss->inside || ss->state == SESSION_OVER)
		session_wake(ss);
}

void
session_bye(struct session *ss, const char *code, const char *text)
{
	switch ((enum session_state)ss->state) {
	case SESSION_TAKING:
	case SESSION_IDLING:
	case SESSION_GATHERED:
	case SESSION_HANDSHAKE:
		session_say_bye(ss, END_BYE, code, text);
		break;
	case SESSION_RUNNING:
	case SESSION_ENDING:
		ss->w->bye_code = code;
		ss->w->bye_text = text;
		session_wake(ss);
		break;
	case SESSION_FINISHING:
	case SESSION_LOST:
	case SESSION_OVER:
	case SESSION_GONE:
		break;
	}
}

void
session_cut(struct session *ss)
{
	MUST(ss->state == SESSION_RUNNING || ss->state == SESSION_LOST);
	session_lose(ss, END_OUTPUT);
}

void
session_end(struct session *ss)
{
	if (ss->end == END_NONE)
		ss->end = END_LOGOUT;
}

void
session_drain(struct session *ss)
{
	if (session_rests(ss) ||
	    (ss->state == SESSION_RUNNING && ss->w->line_cb != NULL))
		session_bye(ss, "UNAVAILABLE", "Shutting down");
}

void
session_idle(struct session *ss)
{
	struct slice tag = collect_tag(&ss->w->collect);
	size_t n = strlen(ss->user) + 1;

	MUST(ss->state == SESSION_RUNNING);
	ss->user = xrealloc(ss->user, n + tag.len + 1);
	memcpy(ss->user + n, tag.ptr, tag.len);
	ss->user[n + tag.len] = '\0';
	session_continue(ss, "idling");
	session_reset_command(ss);
	ss->idles = true;
	ss->state = SESSION_IDLING;
	collect_want_line(&ss->w->collect);
}

void
session_want_line(struct session *ss, session_line_cb *cb, void *arg)
{
	MUST(ss->w->cmd != NULL && ss->w->line_cb == NULL);
	ss->w->line_cb = cb;
	ss->w->line_arg = arg;
	if (ss->state == SESSION_RUNNING)
		collect_want_line(&ss->w->collect);
	if (!ss->inside || ss->state == SESSION_LOST)
		session_wake(ss);
}

struct buf *
session_out(struct session *ss)
{
	return ss->state == SESSION_LOST ? &ss->w->sink
	                                 : stream_out(ss->stream);
}

void
session_flush(struct session *ss)
{
	if (ss->state == SESSION_LOST)
		buf_clear(&ss->w->sink);
	else if (!buf_failed(stream_out(ss->stream)))
		stream_flush(ss->stream);
	else
		session_wake(ss);
}

size_t
session_room(const struct session *ss)
{
	return ss->state == SESSION_LOST ? (size_t)ss->bd->conf->output_size
	                                 : buf_room(stream_out(ss->stream));
}

void
session_wait_room(struct session *ss, size_t room, session_cb *cb, void *arg)
{
	MUST(ss->w->cmd != NULL && ss->w->room_cb == NULL);
	MUST(room <= ss->bd->conf->output_size);
	ss->w->room_cb = cb;
	ss->w->room_arg = arg;
	ss->w->room = room;
	session_wake(ss);
}

bool
session_dead(const struct session *ss)
{
	return ss->state == SESSION_LOST;
}
