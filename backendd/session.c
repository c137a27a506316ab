#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/append_run.h"
#include "backendd/conf.h"
#include "backendd/context.h"
#include "backendd/handlers.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/session_state.h"
#include "backendd/store.h"
#include "backendd/view.h"
#include "imap/write.h"
#include "lib/blob.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"

enum {
	TURN_COMMANDS = 64,
	BEFORE_TEXT = 16 * 1024, /* before login */
	BEFORE_LITERAL = 8 * 1024,
	BEFORE_LITERALS = 8,
	AFTER_LITERALS = 1000 + STORE_ITEMS_MAX,
	IN_SPARE = 16 * 1024,
	FINISH_SECONDS = 5,
	FIRST_BLOBS = 4,
	SKIP_TIMES = 4,    /* a message too big is taken and dropped up to so
	                   many times the limit */
	STREAM_TEXT = 512, /* flags and date of one message of many */
	LITERAL_MINUS = 4096
};

static const struct collect_extras literal_plus = { .stream_text =
	                                                STREAM_TEXT };
static const struct collect_extras literal_minus = { .nonsync_max =
	                                                 LITERAL_MINUS,
	.stream_text = STREAM_TEXT };

static const char *const end_texts[] = {
	[END_NONE] = "none",
	[END_LOGOUT] = "logout",
	[END_DISCONNECT] = "disconnected",
	[END_LOGIN_TIMEOUT] = "login timeout",
	[END_IDLE_TIMEOUT] = "idle timeout",
	[END_INPUT] = "malformed input",
	[END_OUTPUT] = "output overflow",
	[END_BAD_COMMANDS] = "too many bad commands",
	[END_MAILBOX_LOST] = "mailbox deleted",
	[END_DRAIN] = "shutdown",
	[END_TLS] = "tls failed",
	[END_BYE] = "bye",
};

static struct session *
session_of(void *arg)
{
	struct session *ss = arg;

	MUST(ss->magic == SESSION_MAGIC);
	return ss;
}

static void
release(void *arg)
{
	struct session *ss = arg;

	ss->magic = 0;
	free(ss);
}

static void
free_blobs(struct session *ss)
{
	if (ss->w->unasked.runs) /* what it waits for may have some */
		ss->w->cmd = ss->w->unasked.cmd;
	if (ss->w->cmd == NULL)
		return;
	for (size_t i = 0; i < ss->w->cmd->nblobs; i++)
		blob_free(&ss->w->cmd->blobs[i]);
	ss->w->cmd->nblobs = 0;
	ss->w->blobs_open = 0;
	ss->bd->held -= ss->w->held;
	ss->w->held = 0;
}

/* Nothing of a command is left: as before the first octet. */
static void
drop_work(struct session *ss)
{
	if (ss->w == NULL)
		return;
	free_blobs(ss);
	session_unwake(ss);
	arena_reset(&ss->w->arena);
	buf_fini(&ss->w->sink);
	free(ss->w);
	ss->w = NULL;
}

static void
set_limits(struct session *ss)
{
	static const struct collect_limits before = { BEFORE_TEXT,
		BEFORE_LITERAL, BEFORE_LITERALS };
	struct collect_limits after = { (size_t)ss->bd->conf->command_size,
		(size_t)ss->bd->conf->literal_size, AFTER_LITERALS };

	collect_set_limits(&ss->w->collect,
	    ss->user == NULL ? &before : &after);
	collect_set_extras(&ss->w->collect,
	    session_may_pipeline(ss) ? &literal_plus : &literal_minus);
}

/* Something of a command has come, or is to be said. */
void
session_need_work(struct session *ss)
{
	static const struct collect_limits none = { 0, 0, 0 };

	if (ss->w != NULL)
		return;
	ss->w = xcalloc(1, sizeof(*ss->w));
	ss->w->ss = ss;
	arena_init(&ss->w->arena);
	buf_init(&ss->w->sink, SIZE_MAX / 4);
	collect_init(&ss->w->collect, COLLECT_IMAP, &none, &ss->w->arena);
	set_limits(ss);
	if (ss->state == SESSION_IDLING)
		collect_want_line(&ss->w->collect);
}

/* No command is running.  Frees at the end of the turn. */
static void
go(struct session *ss)
{
	struct backendd *bd = ss->bd;

	MUST(ss->state != SESSION_GONE && ss->state != SESSION_RUNNING &&
	     ss->state != SESSION_LOST);
	log_info(bd->log, "session closed", "sid", session_sid(ss), "user",
	    ss->user, "reason", end_texts[ss->end], "client",
	    session_has(ss)->client != NULL ? session_has(ss)->client->address
	                                    : NULL,
	    "in", LOG_NUM(stream_octets_in(ss->stream)), "out",
	    LOG_NUM(stream_octets_out(ss->stream)), NULL);
	ss->state = SESSION_GONE;
	drop_work(ss);
	session_forget_contexts(ss);
	view_free(&ss->view);
	notify_end(ss);
	notices_end(ss);
	session_forget_saved(ss);
	stream_free(&ss->stream);
	session_unlist(ss);
	free(session_has(ss)->client);
	free(ss->extras);
	ss->extras = NULL;
	free(ss->user);
	bd->nsessions--;
	loop_at_end(bd->loop, release, ss);
	backendd_session_gone(bd);
}

/*
 * The connection is over.  A running command goes on to its end; what it waits
 * for comes at the next step.
 */
static void
lose(struct session *ss, enum session_end why)
{
	if (ss->end == END_NONE)
		ss->end = (uint8_t)why;
	switch ((enum session_state)ss->state) {
	case SESSION_GONE:
	case SESSION_LOST:
	case SESSION_OVER:
		break;
	case SESSION_RUNNING:
		ss->state = SESSION_LOST;
		session_wake(ss);
		break;
	case SESSION_TAKING:
	case SESSION_IDLING:
	case SESSION_GATHERED:
	case SESSION_ENDING:
	case SESSION_HANDSHAKE:
	case SESSION_FINISHING:
		go(ss);
		break;
	}
}

static void
finish(struct session *ss)
{
	ss->state = SESSION_FINISHING;
	stream_flush(ss->stream);
	stream_finish(ss->stream, FINISH_SECONDS);
}

static void
put_status(struct session *ss, struct slice tag, enum write_status status,
    const char *code, const char *text)
{
	struct write w;

	write_init(&w, stream_out(ss->stream), WRITE_SERVER);
	write_status(&w, tag, status);
	if (code != NULL)
		write_code_text(&w, code);
	write_text(&w, text);
	write_end(&w);
}

/* "* BYE [code] text", and no more. */
static void
say_bye(struct session *ss, enum session_end why, const char *code,
    const char *text)
{
	if (ss->end == END_NONE)
		ss->end = (uint8_t)why;
	put_status(ss, slice_of(NULL, 0), WRITE_BYE, code, text);
	finish(ss);
}

/* --- from octets to a command ---------------------------------------------- */

static enum command_state
imap_state(const struct session *ss)
{
	if (ss->user == NULL)
		return STATE_NOT_AUTHENTICATED;
	return ss->view != NULL ? STATE_SELECTED : STATE_AUTHENTICATED;
}

/*
 * Ends the command with this reply: refused before a handler saw it, or by
 * its handler.
 */
static void
answer(struct session *ss, enum session_result r, const char *code,
    const char *text)
{
	ss->w->result = r;
	ss->w->code = code;
	ss->w->text = text;
	ss->state = SESSION_ENDING;
}

/* Tag and name; ss->w->cmd if they are in order, else the BAD's text. */
static const char *
parse_head(struct session *ss)
{
	const char *why;
	struct cmd *cmd = ss->w->cmd;

	if (cmd == NULL)
		cmd = arena_alloc(&ss->w->arena, sizeof(*cmd));
	parse_init(&ss->w->args, &ss->w->arena,
	    collect_pieces(&ss->w->collect));
	if (session_is_utf8(ss))
		parse_want_utf8(&ss->w->args);
	cmd->arena = &ss->w->arena;
	cmd->args = &ss->w->args;
	cmd->tag = parse_tag(&ss->w->args);
	parse_sp(&ss->w->args);
	cmd->what = parse_command(&ss->w->args);
	if (cmd->what == NULL)
		return parse_error(&ss->w->args);
	why = command_refusal(cmd->what, imap_state(ss));
	if (why != NULL)
		return why;
	if ((ss->enabled & ENABLED_UIDONLY) && (cmd->what->flags & CMD_USES)) {
		ss->w->refused_code = "UIDREQUIRED";
		return SESSION_ONLY_UIDS;
	}
	(void)parse_try(&ss->w->args, ' '); /* a missing one is found by what
	                                    should follow it */
	ss->w->cmd = cmd;
	return NULL;
}

static void
start_command(struct session *ss)
{
	const char *why = ss->w->refused;

	if (why != NULL) {
		answer(ss, ss->w->refused_bad ? SESSION_BAD : SESSION_NO,
		    ss->w->refused_code, why);
		return;
	}
	why = parse_head(ss);
	if (why != NULL) {
		answer(ss, SESSION_BAD, ss->w->refused_code, why);
		return;
	}
	log_debug(ss->bd->log, "command", "sid", session_sid(ss), "name",
	    ss->w->cmd->what->name, NULL);
	ss->state = SESSION_RUNNING;
	backendd_handler_of(ss->w->cmd->what)(ss, ss->w->cmd);
}

/* --- messages on their way in ---------------------------------------------- */

static void
blob_changed(void *arg)
{
	session_advance(session_of(arg));
}

static void
blob_ended(void *arg, const char *why)
{
	struct session *ss = session_of(arg);

	MUST(ss->w->blobs_open > 0);
	ss->w->blobs_open--;
	if (why != NULL) {
		log_err(ss->bd->log, "message not kept", "sid", session_sid(ss),
		    "why", why, NULL);
		ss->w->refused = "Cannot store the message now";
		ss->w->refused_code = "UNAVAILABLE";
	}
	session_advance(ss);
}

static bool
blob_is_busy(struct session *ss)
{
	return ss->w->left > 0 && ss->w->cmd != NULL &&
	       ss->w->cmd->nblobs > 0 && ss->w->refused == NULL &&
	       blob_busy(ss->w->cmd->blobs[ss->w->cmd->nblobs - 1],
	           blob_changed, ss);
}

static void
end_blob(struct session *ss)
{
	struct cmd *cmd = ss->w->cmd;
	struct blob *b = cmd->blobs[cmd->nblobs - 1];

	if (ss->w->refused == NULL && ss->w->left == 0 && !blob_end_here(b)) {
		ss->w->blobs_open++;
		blob_end(b, blob_ended, ss);
	}
}

/* May this message come?  NULL, or the NO. */
static const char *
refuse_message(struct session *ss, uint64_t size)
{
	const struct backendd_conf *conf = ss->bd->conf;

	if (size > conf->message_size) {
		ss->w->refused_code = "TOOBIG";
		return "Message too big";
	}
	if (ss->w->cmd->nblobs == conf->append_messages ||
	    ss->w->streamed > conf->append_size ||
	    size > conf->append_size - ss->w->streamed) {
		ss->w->refused_code = "LIMIT";
		return "Too many messages at once";
	}
	return NULL;
}

/* Many small ones may not fill the memory either. */
static size_t
memory_for(struct session *ss, uint64_t size)
{
	const struct backendd_conf *conf = ss->bd->conf;
	struct backendd *bd = ss->bd;

	if (size > conf->message_memory)
		return (size_t)conf->message_memory;
	if (size > conf->append_memory || bd->held > conf->append_memory - size)
		return 0;
	bd->held += size;
	ss->w->held += size;
	return (size_t)conf->message_memory;
}

static void
add_blob(struct session *ss, uint64_t size)
{
	const struct backendd_conf *conf = ss->bd->conf;
	struct cmd *cmd = ss->w->cmd;
	size_t n = cmd->nblobs;
	struct blob **more;

	if (n == 0 || (n >= FIRST_BLOBS && (n & (n - 1)) == 0)) {
		more = arena_array(&ss->w->arena, n == 0 ? FIRST_BLOBS : n * 2,
		    sizeof(*more));
		if (n > 0)
			memcpy(more, cmd->blobs, n * sizeof(*more));
		cmd->blobs = more;
	}
	cmd->blobs[cmd->nblobs++] =
	    blob_new(ss->bd->jobs, conf->temp_directory, memory_for(ss, size));
}

static void
take_message(struct session *ss, const struct collect_item *item)
{
	collect_accept(&ss->w->collect);
	add_blob(ss, item->size);
	ss->w->streamed += item->size;
	ss->w->left = item->size;
	if (item->sync) {
		struct write w;

		write_init(&w, stream_out(ss->stream), WRITE_SERVER);
		write_continue(&w, slice_str("OK"));
	}
	end_blob(ss);
}

/* A message is announced: the command so far tells whether it may come. */
static void
take_stream(struct session *ss, const struct collect_item *item)
{
	const char *why = ss->w->refused;
	bool bad = false;

	if (why == NULL) {
		why = parse_head(ss);
		bad = why != NULL;
	}
	if (why == NULL && item->too_big) {
		why = "Literals above 4096 octets have to wait for \"+\"";
		ss->w->refused_bad = true;
		ss->w->refused_code = "TOOBIG";
	}
	if (why == NULL)
		why = refuse_message(ss, item->size);
	if (why == NULL && ss->w->cmd->nblobs == 0) {
		struct append_no no = append_refusal(ss, item->size);

		why = no.why;
		ss->w->refused_code = no.code;
		bad = no.bad;
	}
	if (why == NULL) {
		take_message(ss, item);
		return;
	}
	if (item->sync) {
		collect_refuse(&ss->w->collect);
		answer(ss, bad || ss->w->refused_bad ? SESSION_BAD : SESSION_NO,
		    ss->w->refused_code, why);
	} else if (ss->user == NULL ||
	           item->size > ss->bd->conf->message_size * SKIP_TIMES) {
		say_bye(ss, END_INPUT, "TOOBIG", why);
	} else {
		ss->w->refused = why;
		ss->w->refused_bad |= bad;
		collect_skip(&ss->w->collect);
	}
}

static void
take_data(struct session *ss, struct slice octets)
{
	struct cmd *cmd = ss->w->cmd;

	MUST(octets.len <= ss->w->left && cmd->nblobs > 0);
	blob_put(cmd->blobs[cmd->nblobs - 1], octets);
	ss->w->left -= octets.len;
	end_blob(ss);
}

static void
take_line(struct session *ss, struct slice line)
{
	session_line_cb *cb = ss->w->line_cb;

	if (ss->state == SESSION_IDLING) {
		if (slice_is_nocase(line, "DONE"))
			answer(ss, SESSION_OK, NULL, "Idle completed");
		else
			answer(ss, SESSION_BAD, NULL, "Expected DONE");
		return;
	}
	MUST(cb != NULL);
	ss->w->line_cb = NULL;
	cb(ss, ss->w->line_arg, line);
}

static void
take_event(struct session *ss, enum collect_event ev,
    const struct collect_item *item)
{
	const char *code;
	struct write w;

	switch (ev) {
	case COLLECT_ERROR:
		code = item->too_big ? "TOOBIG" : NULL;
		if (ss->state == SESSION_RUNNING)
			session_bye(ss, code, collect_error(&ss->w->collect));
		else
			say_bye(ss, END_INPUT, code,
			    collect_error(&ss->w->collect));
		break;
	case COLLECT_MORE:
	case COLLECT_GATHERED:
		break;
	case COLLECT_CONTINUE:
		write_init(&w, stream_out(ss->stream), WRITE_SERVER);
		write_continue(&w, slice_str("OK"));
		break;
	case COLLECT_REFUSED:
		answer(ss, item->too_big ? SESSION_NO : SESSION_BAD,
		    item->too_big ? "TOOBIG" : NULL, item->why);
		break;
	case COLLECT_STREAM:
		take_stream(ss, item);
		break;
	case COLLECT_DATA:
		take_data(ss, item->octets);
		break;
	case COLLECT_COMMAND:
		ss->state = SESSION_GATHERED;
		break;
	case COLLECT_LINE:
		take_line(ss, item->octets);
		break;
	}
}

/* An event of what has come in.  False: there is none. */
static bool
take(struct session *ss)
{
	struct buf *in = stream_in(ss->stream);
	struct collect_item item;
	enum collect_event ev;

	ev = collect_next(&ss->w->collect, buf_data(in), buf_len(in), &item);
	take_event(ss, ev, &item);
	if (ss->state != SESSION_GONE)
		buf_drop(in, item.taken);
	return ev != COLLECT_MORE;
}

/* --- the end of a command --------------------------------------------------- */

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

	put_status(ss,
	    ss->idles ? slice_str(idle_tag(ss)) : collect_tag(&ss->w->collect),
	    statuses[ss->w->result], ss->w->code, ss->w->text);
}

/* Ready for the next command. */
static void
reset_command(struct session *ss)
{
	free_blobs(ss);
	notify_own_done(ss);
	ss->idles = false;
	collect_done(&ss->w->collect);
	ss->w->cmd = NULL;
	ss->w->refused = ss->w->refused_code = NULL;
	ss->w->refused_bad = false;
	ss->w->code = ss->w->text = NULL;
	ss->w->streamed = ss->w->left = 0;
	set_limits(ss);
	ss->state = SESSION_TAKING;
}

static void
start_tls(struct session *ss)
{
	struct err err;

	ss->tls_next = false;
	drop_work(ss);
	stream_flush(ss->stream);
	if (stream_start_tls(ss->stream, ss->bd->tls, NULL, &err) == -1) {
		log_info(ss->bd->log, "tls refused", "sid", session_sid(ss),
		    "why", err.text, NULL);
		lose(ss, END_TLS);
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
	set_limits(ss);
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
static void
fetch_unasked(struct session *ss, const char *items, const char *uids)
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
static bool
fetch_for_contexts(struct session *ss)
{
	const char *items, *uids;

	if (session_contexts(ss) == NULL || !session_view_is_there(ss))
		return false;
	session_need_work(ss);
	items = contexts_fetch(session_contexts(ss), &ss->w->arena, &uids);
	if (items == NULL)
		return false;
	fetch_unasked(ss, items, uids);
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
		say_bye(ss, END_BYE, w->bye_code, w->bye_text);
	else if (ss->bd->draining)
		say_bye(ss, END_DRAIN, "UNAVAILABLE", "Shutting down");
	return true;
}

/* False: what is new has not all been said yet. */
static bool
end_command(struct session *ss)
{
	if (ss->w->unasked.runs)
		return end_unasked(ss);
	if (!session_tell_news(ss))
		return fetch_for_contexts(ss);
	if (ss->w->result != SESSION_BAD)
		ss->bad = 0;
	else if (ss->bad < UINT16_MAX)
		ss->bad++;
	put_reply(ss);
	if (ss->w->bye_text != NULL) {
		say_bye(ss, END_BYE, ss->w->bye_code, ss->w->bye_text);
		return true;
	}
	reset_command(ss);
	if (ss->end != END_NONE)
		finish(ss);
	else if (ss->tls_next)
		start_tls(ss);
	else if (ss->log_out_next)
		log_out(ss);
	else if (ss->deflate_next)
		start_deflate(ss);
	else if (ss->bad >= ss->bd->conf->bad_commands)
		say_bye(ss, END_BAD_COMMANDS, NULL, "Too many bad commands");
	else if (ss->bd->draining)
		say_bye(ss, END_DRAIN, "UNAVAILABLE", "Shutting down");
	return true;
}

/* --- what moves ------------------------------------------------------------- */

/* A running command that waits for something which is there now. */
static bool
step_running(struct session *ss)
{
	bool over = ss->state == SESSION_LOST || ss->w->bye_text != NULL;
	session_cb *room = ss->w->room_cb;
	session_line_cb *line = ss->w->line_cb;

	if (room != NULL &&
	    (ss->state == SESSION_LOST ||
	        buf_room(stream_out(ss->stream)) >= ss->w->room)) {
		ss->w->room_cb = NULL;
		room(ss, ss->w->room_arg);
		return true;
	}
	if (line == NULL)
		return false;
	if (!over)
		return take(ss);
	ss->w->line_cb = NULL;
	line(ss, ss->w->line_arg, slice_of(NULL, 0));
	return true;
}

/* An event of what has come in, if anything has and may be answered. */
static bool
step_taking(struct session *ss)
{
	if (buf_len(stream_in(ss->stream)) == 0 ||
	    buf_room(stream_out(ss->stream)) < SESSION_REPLY_ROOM ||
	    session_resume(ss))
		return false;
	session_need_work(ss);
	return !blob_is_busy(ss) && take(ss);
}

/* Is there nothing of a command? */
bool
session_rests(const struct session *ss)
{
	switch ((enum session_state)ss->state) {
	case SESSION_TAKING:
		return ss->w == NULL || collect_is_idle(&ss->w->collect);
	case SESSION_IDLING:
	case SESSION_HANDSHAKE:
		return true;
	case SESSION_GATHERED:
	case SESSION_RUNNING:
	case SESSION_ENDING:
	case SESSION_FINISHING:
	case SESSION_LOST:
	case SESSION_OVER:
	case SESSION_GONE:
		break;
	}
	return false;
}

/* In IDLE, or with NOTIFY: is it told of what is new at once? */
static bool
listens(const struct session *ss)
{
	return ss->idles || session_has(ss)->notify != NULL;
}

/* True if a FETCH was begun. */
static bool
step_unasked(struct session *ss)
{
	uint32_t first, last;
	const char *items;

	if (!session_rests(ss))
		return false;
	session_tell_unasked(ss);
	if (fetch_for_contexts(ss))
		return true;
	items = notify_fetch(ss, &first, &last);
	if (items == NULL)
		return false;
	session_need_work(ss);
	fetch_unasked(ss, items,
	    arena_printf(&ss->w->arena, "%u:%u", first, last));
	return true;
}

/* Something may have moved: true if it did. */
static bool
step(struct session *ss)
{
	switch ((enum session_state)ss->state) {
	case SESSION_TAKING:
	case SESSION_IDLING:
		return (listens(ss) && step_unasked(ss)) || step_taking(ss);
	case SESSION_GATHERED:
		if (ss->w->blobs_open > 0)
			return false;
		start_command(ss);
		return true;
	case SESSION_RUNNING:
	case SESSION_LOST:
		return step_running(ss);
	case SESSION_ENDING:
		return end_command(ss);
	case SESSION_OVER:
		go(ss);
		break;
	case SESSION_HANDSHAKE:
	case SESSION_FINISHING:
	case SESSION_GONE:
		break;
	}
	return false;
}

static bool
wants_read(struct session *ss)
{
	switch ((enum session_state)ss->state) {
	case SESSION_TAKING:
		return ss->w == NULL || !blob_is_busy(ss);
	case SESSION_RUNNING:
		return ss->w->line_cb != NULL;
	case SESSION_GATHERED:
	case SESSION_ENDING:
	case SESSION_FINISHING:
	case SESSION_LOST:
	case SESSION_OVER:
	case SESSION_GONE:
		break;
	case SESSION_HANDSHAKE:
	case SESSION_IDLING:
		return true;
	}
	return false;
}

void
session_advance(struct session *ss)
{
	unsigned steps = 0;

	if (ss->inside || ss->state == SESSION_GONE)
		return;
	ss->inside = true;
	while (step(ss))
		if (++steps >= TURN_COMMANDS) {
			session_wake(ss);
			break;
		}
	ss->inside = false;
	if (ss->state == SESSION_GONE)
		return;
	if (ss->state == SESSION_LOST) {
		stream_want_read(ss->stream, false);
		return;
	}
	if (buf_failed(stream_out(ss->stream))) {
		lose(ss, END_OUTPUT);
		return;
	}
	if (session_rests(ss) && buf_len(stream_in(ss->stream)) == 0 &&
	    !ss->woken)
		drop_work(ss);
	stream_flush(ss->stream);
	stream_want_read(ss->stream, wants_read(ss));
	if (ss->w == NULL)
		stream_rest(ss->stream);
}

static void
greet(struct session *ss)
{
	struct arena *a;

	session_need_work(ss);
	a = &ss->w->arena;
	ss->greeted = true;
	put_status(ss, slice_of(NULL, 0), WRITE_OK,
	    arena_printf(a, "CAPABILITY %s", session_capabilities(ss)),
	    arena_printf(a, "%s murder ready", ss->bd->hostname));
	arena_reset(a);
}

static void
event(void *arg, enum stream_event ev)
{
	struct session *ss = session_of(arg);

	if (ss->state == SESSION_GONE)
		return;
	if (ss->user != NULL) {
		session_unlist(ss);
		session_enlist(ss);
	}
	switch (ev) {
	case STREAM_CLOSED:
		lose(ss,
		    ss->state == SESSION_HANDSHAKE ? END_TLS : END_DISCONNECT);
		return;
	case STREAM_SECURE:
		if (ss->state == SESSION_HANDSHAKE) {
			ss->state = SESSION_TAKING;
			if (!ss->greeted)
				greet(ss);
		}
		break;
	case STREAM_READ:
	case STREAM_WRITTEN:
		break;
	}
	session_advance(ss);
}

/* Busy with something that is neither input nor output. */
static bool
is_working(const struct session *ss)
{
	return ss->state == SESSION_LOST || ss->state == SESSION_OVER ||
	       ss->state == SESSION_GATHERED ||
	       (ss->state == SESSION_RUNNING && ss->w->line_cb == NULL &&
	           ss->w->room_cb == NULL);
}

static void
time_out(struct session *ss, enum session_end why)
{
	if (ss->state == SESSION_HANDSHAKE || ss->state == SESSION_ENDING) {
		lose(ss, why);
	} else if (ss->state == SESSION_RUNNING) {
		put_status(ss, slice_of(NULL, 0), WRITE_BYE, "UNAVAILABLE",
		    "Idle for too long");
		stream_flush(ss->stream);
		lose(ss, why);
	} else {
		say_bye(ss, why, "UNAVAILABLE", "Idle for too long");
	}
}

void
session_expire(struct session *ss)
{
	if (ss->state == SESSION_FINISHING || is_working(ss))
		return; /* the former has a deadline of its own */
	time_out(ss, ss->user == NULL ? END_LOGIN_TIMEOUT : END_IDLE_TIMEOUT);
}

static void
make_sid(struct session *ss)
{
	uint64_t n = rand_u64();

	snprintf(ss->sid, sizeof(ss->sid), "%016llx", (unsigned long long)n);
}

void
session_new(struct backendd *bd, int fd, enum session_port port)
{
	struct stream_limits limits = {
		.in = (size_t)bd->conf->command_size + IN_SPARE,
		.out = (size_t)bd->conf->output_size,
	};
	struct session *ss = xcalloc(1, sizeof(*ss));
	struct err err;

	ss->magic = SESSION_MAGIC;
	ss->bd = bd;
	ss->stream = stream_new(bd->loop, fd, &limits, event, ss);
	make_sid(ss);
	session_enlist(ss);
	bd->nsessions++;
	log_debug(bd->log, "session opened", "sid", session_sid(ss), "peer",
	    stream_peer(ss->stream), NULL);
	if (port == SESSION_PLAIN) {
		greet(ss);
		session_advance(ss);
		return;
	}
	ss->state = SESSION_HANDSHAKE;
	if (stream_start_tls(ss->stream, bd->tls, NULL, &err) == -1)
		lose(ss, END_TLS);
	else
		stream_want_read(ss->stream, true);
}

/* --- what handlers say ------------------------------------------------------ */

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
		answer(ss, r,
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
		say_bye(ss, END_BYE, code, text);
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
	lose(ss, END_OUTPUT);
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
	reset_command(ss);
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
