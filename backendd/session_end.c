/*
 * The end of a command: what is new is said, then the reply, and what follows
 * from it is done.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/context.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "imap/write.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/stream.h"

static const char *
idle_tag(const struct session *ss)
{
	return ss->user + strlen(ss->user) + 1;
}

static void
put_reply(struct session *ss)
{
	static const enum write_status statuses[] = {
		[SESSION_OK] = WRITE_OK,
		[SESSION_NO] = WRITE_NO,
		[SESSION_BAD] = WRITE_BAD,
	};

	session_put_status(ss,
	    ss->idles ? slice_str(idle_tag(ss)) : collect_tag(&ss->w->collect),
	    statuses[ss->w->result], ss->w->code, ss->w->text);
}

/* Ready for the next command. */
void
session_reset_command(struct session *ss)
{
	session_free_blobs(ss);
	notify_own_done(ss);
	ss->idles = false;
	collect_done(&ss->w->collect);
	ss->w->cmd = NULL;
	ss->w->refused = ss->w->refused_code = NULL;
	ss->w->refused_bad = false;
	ss->w->code = ss->w->text = NULL;
	ss->w->streamed = ss->w->left = 0;
	session_set_limits(ss);
	ss->state = SESSION_TAKING;
}

static void
start_tls(struct session *ss)
{
	struct err err;

	ss->tls_next = false;
	session_drop_work(ss);
	stream_flush(ss->stream);
	if (stream_start_tls(ss->stream, ss->bd->tls, NULL, &err) == -1) {
		log_info(ss->bd->log, "tls refused", "sid", session_sid(ss),
		    "why", err.text, NULL);
		session_lose(ss, END_TLS);
		return;
	}
	ss->state = SESSION_HANDSHAKE;
}

/* As after the greeting, but for TLS (RFC 8437 3). */
static void
log_out(struct session *ss)
{
	ss->log_out_next = false;
	stream_end_deflate(ss->stream); /* RFC 8437 4 */
	log_info(ss->bd->log, "logged out", "sid", session_sid(ss), "user",
	    ss->user, NULL);
	free(ss->user);
	ss->user = NULL;
	ss->admin = ss->proxy = ss->trusted = false;
	ss->enabled = 0;
	ss->failures = 0;
	notify_end(ss);
	notices_end(ss);
	free(session_has(ss)->client);
	free(ss->extras);
	ss->extras = NULL;
	session_set_limits(ss);
	session_unlist(ss);
	session_enlist(ss);
}

static void
start_deflate(struct session *ss)
{
	ss->deflate_next = false;
	stream_start_deflate(ss->stream);
}

/* What a client wants of new messages without asking each time. */
void
session_fetch_unasked(struct session *ss, const char *items, const char *uids)
{
	struct session_work *w = ss->w;

	w->unasked =
	    (struct session_unasked){ true, ss->state == SESSION_ENDING, w->cmd,
		    w->result, w->code, w->text };
	w->cmd = arena_alloc(&w->arena, sizeof(*w->cmd));
	w->cmd->what = command_get(COMMAND_UID_FETCH);
	w->cmd->arena = &w->arena;
	w->cmd->args = &w->args;
	ss->state = SESSION_RUNNING;
	session_fetch_news(ss, w->cmd, items, uids);
}

/* Before a context can tell that it has them.  False: nothing is wanted. */
bool
session_fetch_for_contexts(struct session *ss)
{
	const char *items, *uids;

	if (session_contexts(ss) == NULL || !session_view_is_there(ss))
		return false;
	session_need_work(ss);
	items = contexts_fetch(session_contexts(ss), &ss->w->arena, &uids);
	if (items == NULL)
		return false;
	session_fetch_unasked(ss, items, uids);
	return true;
}

/* It has no reply, but the command that waits for it may. */
static bool
end_unasked(struct session *ss)
{
	struct session_work *w = ss->w;
	bool answers = w->unasked.answers;

	w->cmd = w->unasked.cmd;
	w->result = w->unasked.result;
	w->code = w->unasked.code;
	w->text = w->unasked.text;
	w->unasked = (struct session_unasked){ .runs = false };
	if (answers)
		return true;
	arena_reset(&w->arena);
	ss->state = ss->idles ? SESSION_IDLING : SESSION_TAKING;
	if (w->bye_text != NULL)
		session_say_bye(ss, END_BYE, w->bye_code, w->bye_text);
	else if (ss->bd->draining)
		session_say_bye(ss, END_DRAIN, "UNAVAILABLE", "Shutting down");
	return true;
}

/* False: what is new has not all been said yet. */
bool
session_end_command(struct session *ss)
{
	if (ss->w->unasked.runs)
		return end_unasked(ss);
	if (!session_tell_news(ss))
		return session_fetch_for_contexts(ss);
	if (ss->w->result != SESSION_BAD)
		ss->bad = 0;
	else if (ss->bad < UINT16_MAX)
		ss->bad++;
	put_reply(ss);
	if (ss->w->bye_text != NULL) {
		session_say_bye(ss, END_BYE, ss->w->bye_code, ss->w->bye_text);
		return true;
	}
	session_reset_command(ss);
	if (ss->end != END_NONE)
		session_finish(ss);
	else if (ss->tls_next)
		start_tls(ss);
	else if (ss->log_out_next)
		log_out(ss);
	else if (ss->deflate_next)
		start_deflate(ss);
	else if (ss->bad >= ss->bd->conf->bad_commands)
		session_say_bye(ss, END_BAD_COMMANDS, NULL,
		    "Too many bad commands");
	else if (ss->bd->draining)
		session_say_bye(ss, END_DRAIN, "UNAVAILABLE", "Shutting down");
	return true;
}
