#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/lmtp.h"
#include "backendd/lmtp_state.h"
#include "backendd/server.h"
#include "imap/date.h"
#include "imap/lmtp.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

enum {
	IN_MAX = 128 * 1024,
	OUT_MAX = 1024 * 1024, /* replies to the most recipients at once */
	TURN_STEPS = 256,
	REPLY_ROOM = 4 * 1024,
	FINISH_SECONDS = 5,
	TRACE_MAX = 4096
};

static struct lmtp_session *
session_of(void *arg)
{
	struct lmtp_session *ls = arg;

	MUST(ls->magic == LMTP_MAGIC);
	return ls;
}

void
lmtp_reply(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	if (ls->stream != NULL)
		lmtp_put_reply(stream_out(ls->stream), code, enhanced, text);
}

/* --- the end ---------------------------------------------------------------------- */

static void
release(void *arg)
{
	struct lmtp_session *ls = arg;

	ls->magic = 0;
	free(ls);
}

static void
go(struct lmtp_session *ls)
{
	struct backendd *bd = ls->bd;

	MUST(ls->pending == 0 && ls->stream == NULL);
	lmtp_reset(ls);
	auth_cancel(&ls->exchange);
	task_free(&ls->turn);
	arena_reset(&ls->line_arena);
	free(ls->proxy);
	TAILQ_REMOVE(&bd->deliveries, ls, link);
	bd->ndeliveries--;
	ls->state = LMTP_GONE;
	loop_at_end(bd->loop, release, ls);
	backendd_session_gone(bd);
}

/* What is under way goes on; nobody hears of it. */
static void
lose(struct lmtp_session *ls, const char *why)
{
	if (ls->stream == NULL)
		return;
	log_debug(ls->bd->log, "lmtp session closed", "sid", ls->sid, "reason",
	    why, "in", LOG_NUM(stream_octets_in(ls->stream)), NULL);
	stream_free(&ls->stream);
	auth_cancel(&ls->exchange);
	if (ls->pending == 0)
		go(ls);
}

static void
finish(struct lmtp_session *ls)
{
	ls->state = LMTP_FINISHING;
	stream_flush(ls->stream);
	stream_finish(ls->stream, FINISH_SECONDS);
}

void
lmtp_pending(struct lmtp_session *ls)
{
	ls->pending++;
}

bool
lmtp_arrived(struct lmtp_session *ls)
{
	MUST(ls->magic == LMTP_MAGIC && ls->pending > 0);
	ls->pending--;
	if (ls->stream != NULL || ls->pending > 0)
		return ls->stream != NULL;
	go(ls);
	return false;
}

/* A transaction is over, or was never one. */
void
lmtp_reset(struct lmtp_session *ls)
{
	blob_free(&ls->blob);
	letter_free(&ls->letter);
	arena_reset(&ls->arena);
	ls->has_mail = false;
	ls->recipients = NULL;
	ls->last = &ls->recipients;
	ls->nrecipients = 0;
	ls->too_big = false;
}

/* --- data -------------------------------------------------------------------------- */

/* RFC 5321 4.4, when it is us who receive it; a frontend has done it before. */
static void
put_trace(struct lmtp_session *ls)
{
	struct date_time now = { loop_wall(ls->bd->loop).ms / 1000, 0 };
	struct buf b;

	buf_init(&b, TRACE_MAX);
	buf_puts(&b, "Return-Path: <");
	buf_puts(&b, ls->sender);
	buf_puts(&b, ">\r\nReceived: from ");
	buf_puts(&b, ls->lhlo);
	buf_puts(&b, " ([");
	buf_puts(&b, stream_peer(ls->stream));
	buf_puts(&b, "])\r\n\tby ");
	buf_puts(&b, ls->bd->hostname);
	buf_puts(&b, stream_is_secure(ls->stream) ? " with LMTPS id "
	                                          : " with LMTP id ");
	buf_puts(&b, ls->sid);
	buf_puts(&b, ";\r\n\t");
	date_put_mail(&b, &now);
	buf_puts(&b, "\r\n");
	if (!buf_failed(&b))
		blob_put(ls->blob, buf_slice(&b));
	buf_fini(&b);
}

static void
command_data(struct lmtp_session *ls)
{
	const struct backendd_conf *conf = ls->bd->conf;

	if (ls->nrecipients == 0) {
		lmtp_reply(ls, 503, "5.5.1", "No valid recipients");
		return;
	}
	ls->blob = blob_new(ls->bd->jobs, conf->temp_directory,
	    (size_t)conf->message_memory);
	ls->undot = (struct lmtp_undot){ 0 };
	ls->size = 0;
	if (ls->proxy == NULL)
		put_trace(ls);
	lmtp_reply(ls, 354, NULL, "Send it, and end with a dot on a line");
	ls->state = LMTP_DATA_STATE;
}

static void
blob_changed(void *arg)
{
	lmtp_advance(session_of(arg));
}

static void
reply_to_all(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	for (struct recipient *r = ls->recipients; r != NULL; r = r->next)
		lmtp_reply(ls, code, enhanced, text);
	lmtp_reset(ls);
	ls->state = LMTP_COMMAND;
}

static void
blob_ended(void *arg, const char *why)
{
	struct lmtp_session *ls = session_of(arg);

	if (why != NULL)
		log_err(ls->bd->log, "message not kept", "sid", ls->sid, "why",
		    why, NULL);
	if (!lmtp_arrived(ls))
		return;
	if (why != NULL)
		reply_to_all(ls, 451, "4.3.0",
		    "Cannot be stored now, try again later");
	else
		lmtp_deliver(ls);
	lmtp_advance(ls);
}

static void
end_data(struct lmtp_session *ls)
{
	if (ls->too_big) {
		reply_to_all(ls, 552, "5.3.4", "Message too big");
		return;
	}
	ls->state = LMTP_STORING;
	lmtp_pending(ls);
	blob_end(ls->blob, blob_ended, ls);
}

static bool
take_data(struct lmtp_session *ls)
{
	struct buf *in = stream_in(ls->stream);
	struct slice octets;
	size_t taken = 0;
	enum lmtp_data_event ev;

	if (blob_busy(ls->blob, blob_changed, ls))
		return false;
	ev = lmtp_undot(&ls->undot, buf_data(in), buf_len(in), &octets, &taken);
	if (ev == LMTP_DATA_OCTETS) {
		ls->size += octets.len;
		if (ls->size > ls->bd->conf->message_size)
			ls->too_big = true; /* it is taken to its end */
		if (!ls->too_big)
			blob_put(ls->blob, octets);
	}
	buf_drop(in, taken);
	switch (ev) {
	case LMTP_DATA_ERROR:
		lmtp_reply(ls, 550, "5.6.0",
		    "A NUL, or a lone CR or LF, in it");
		finish(ls);
		return false;
	case LMTP_DATA_MORE:
		return false;
	case LMTP_DATA_OCTETS:
		break;
	case LMTP_DATA_END:
		end_data(ls);
		break;
	}
	return true;
}

/* --- small commands ------------------------------------------------------------------ */

static void
command_lhlo(struct lmtp_session *ls, const struct lmtp_command *c)
{
	struct auth_peer peer = lmtp_peer(ls);
	const char *mechanisms = auth_mechanisms(ls->bd->auth, &peer);
	struct buf b;

	lmtp_reset(ls);
	snprintf(ls->lhlo, sizeof(ls->lhlo), "%.*s",
	    (int)(c->arg.len < 255 ? c->arg.len : 255),
	    (const char *)c->arg.ptr);
	for (char *p = ls->lhlo; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f)
			*p = '?';
	buf_init(&b, 4096);
	buf_printf(&b,
	    "%s\nPIPELINING\n8BITMIME\nENHANCEDSTATUSCODES\nXMURDER\nSIZE "
	    "%llu",
	    ls->bd->hostname, (unsigned long long)ls->bd->conf->message_size);
	if (ls->bd->tls != NULL && !stream_is_secure(ls->stream))
		buf_puts(&b, "\nSTARTTLS");
	if (mechanisms[0] != '\0' && ls->proxy == NULL)
		buf_printf(&b, "\nAUTH %s", mechanisms);
	buf_putc(&b, '\0');
	MUST(!buf_failed(&b));
	lmtp_reply(ls, 250, NULL, (const char *)buf_data(&b));
	ls->greeted = true;
	buf_fini(&b);
}

static void
command_starttls(struct lmtp_session *ls)
{
	struct err err;

	if (ls->bd->tls == NULL || stream_is_secure(ls->stream)) {
		lmtp_reply(ls, 503, "5.5.1", "TLS is on, or not to be had");
		return;
	}
	lmtp_reply(ls, 220, "2.0.0", "Begin TLS");
	stream_flush(ls->stream);
	lmtp_reset(ls);
	ls->greeted = false;
	ls->lines = (struct lmtp_lines){ 0 };
	ls->state = LMTP_HANDSHAKE;
	if (stream_start_tls(ls->stream, ls->bd->tls, NULL, &err) == -1) {
		log_info(ls->bd->log, "tls refused", "sid", ls->sid, "why",
		    err.text, NULL);
		finish(ls);
	}
}

static void
command_mail(struct lmtp_session *ls, const struct lmtp_command *c)
{
	const char *why = lmtp_check_mail(ls, c);

	if (why != NULL)
		return;
	lmtp_reset(ls);
	ls->sender = arena_string(&ls->arena, c->raw_path);
	ls->has_mail = true;
	lmtp_reply(ls, 250, "2.1.0", "Sender accepted");
}

static void
command(struct lmtp_session *ls, const struct lmtp_command *c)
{
	switch (c->verb) {
	case LMTP_LHLO:
		command_lhlo(ls, c);
		break;
	case LMTP_MAIL:
		command_mail(ls, c);
		break;
	case LMTP_RCPT:
		if (!ls->has_mail)
			lmtp_reply(ls, 503, "5.5.1", "MAIL first");
		else
			lmtp_add_recipient(ls, c);
		break;
	case LMTP_DATA:
		command_data(ls);
		break;
	case LMTP_RSET:
		lmtp_reset(ls);
		lmtp_reply(ls, 250, "2.0.0", "Done");
		break;
	case LMTP_NOOP:
		lmtp_reply(ls, 250, "2.0.0", "Done");
		break;
	case LMTP_VRFY:
		lmtp_reply(ls, 252, "2.5.0", "Try to deliver");
		break;
	case LMTP_HELP:
		lmtp_reply(ls, 214, "2.0.0", "See RFC 2033");
		break;
	case LMTP_STARTTLS:
		command_starttls(ls);
		break;
	case LMTP_AUTH:
		lmtp_start_auth(ls, c);
		break;
	case LMTP_QUIT:
		lmtp_reply(ls, 221, "2.0.0", "Goodbye");
		finish(ls);
		break;
	case LMTP_HELO:
	case LMTP_UNKNOWN:
		lmtp_reply(ls, 500, "5.5.1", "Unknown command");
		break;
	}
}

static bool
needs_lhlo(enum lmtp_verb verb)
{
	return verb == LMTP_MAIL || verb == LMTP_RCPT || verb == LMTP_DATA ||
	       verb == LMTP_AUTH;
}

static void
take_command(struct lmtp_session *ls, struct slice line)
{
	struct lmtp_command *c = arena_alloc(&ls->line_arena, sizeof(*c));

	lmtp_parse_command(&ls->line_arena, line, c);
	if (c->code == 0 && needs_lhlo(c->verb) && !ls->greeted) {
		c->code = 503;
		c->why = "5.5.1 LHLO first";
	}
	if (c->code == 0) {
		ls->bad = 0;
		command(ls, c);
	} else {
		lmtp_reply(ls, c->code, NULL, c->why);
		if (++ls->bad >= ls->bd->conf->bad_commands) {
			lmtp_reply(ls, 421, "4.7.0", "Too many bad commands");
			finish(ls);
		}
	}
}

static bool
take_line(struct lmtp_session *ls)
{
	struct buf *in = stream_in(ls->stream);
	struct slice line;
	size_t taken = 0;

	if (buf_room(stream_out(ls->stream)) < REPLY_ROOM)
		return false;
	switch (
	    lmtp_line(&ls->lines, buf_data(in), buf_len(in), &line, &taken)) {
	case LMTP_LINE_ERROR:
		lmtp_reply(ls, 500, "5.5.2", "Line too long, or malformed");
		finish(ls);
		return false;
	case LMTP_LINE_MORE:
		return false;
	case LMTP_LINE:
		break;
	}
	/* A copy: the buffer may go, with the connection. */
	line = arena_copy(&ls->line_arena, line);
	buf_drop(in, taken);
	if (ls->state == LMTP_AUTH_LINE)
		lmtp_auth_line(ls, line);
	else
		take_command(ls, line);
	return true;
}

/* --- what moves ------------------------------------------------------------------------ */

static bool
step(struct lmtp_session *ls)
{
	switch (ls->state) {
	case LMTP_COMMAND:
	case LMTP_AUTH_LINE:
		arena_reset(&ls->line_arena);
		return take_line(ls);
	case LMTP_DATA_STATE:
		return take_data(ls);
	case LMTP_WAITING:
	case LMTP_STORING:
	case LMTP_HANDSHAKE:
	case LMTP_FINISHING:
	case LMTP_GONE:
		break;
	}
	return false;
}

static bool
wants_read(struct lmtp_session *ls)
{
	switch (ls->state) {
	case LMTP_COMMAND:
	case LMTP_AUTH_LINE:
	case LMTP_HANDSHAKE:
		return true;
	case LMTP_DATA_STATE:
		return !blob_busy(ls->blob, blob_changed, ls);
	case LMTP_WAITING:
	case LMTP_STORING:
	case LMTP_FINISHING:
	case LMTP_GONE:
		break;
	}
	return false;
}

void
lmtp_advance(struct lmtp_session *ls)
{
	unsigned steps = 0;

	if (ls->inside || ls->stream == NULL)
		return;
	ls->inside = true;
	while (ls->stream != NULL && step(ls))
		if (++steps >= TURN_STEPS) {
			task_want(ls->turn);
			break;
		}
	ls->inside = false;
	if (ls->stream == NULL)
		return;
	if (buf_failed(stream_out(ls->stream))) {
		lose(ls, "output overflow");
		return;
	}
	if (ls->bd->draining && ls->state == LMTP_COMMAND && !ls->has_mail) {
		lmtp_reply(ls, 421, "4.3.2", "Shutting down");
		finish(ls);
	}
	stream_flush(ls->stream);
	stream_want_read(ls->stream, wants_read(ls));
}

static void
turn(void *arg)
{
	lmtp_advance(session_of(arg));
}

static void
event(void *arg, enum stream_event ev)
{
	struct lmtp_session *ls = session_of(arg);

	switch (ev) {
	case STREAM_CLOSED:
		lose(ls, stream_error(ls->stream));
		return;
	case STREAM_SECURE:
		if (ls->state == LMTP_HANDSHAKE)
			ls->state = LMTP_COMMAND;
		break;
	case STREAM_READ:
	case STREAM_WRITTEN:
		break;
	}
	lmtp_advance(ls);
}

void
lmtp_session_new(struct backendd *bd, int fd)
{
	struct stream_limits limits = { IN_MAX, OUT_MAX,
		(unsigned)(bd->conf->lmtp_idle_ms / 1000) };
	struct lmtp_session *ls = xcalloc(1, sizeof(*ls));
	char text[300];

	ls->magic = LMTP_MAGIC;
	ls->bd = bd;
	ls->last = &ls->recipients;
	arena_init(&ls->arena);
	arena_init(&ls->line_arena);
	snprintf(ls->sid, sizeof(ls->sid), "%016llx",
	    (unsigned long long)rand_u64());
	ls->stream = stream_new(bd->loop, fd, &limits, event, ls);
	ls->turn = task_new(bd->loop, turn, ls);
	TAILQ_INSERT_TAIL(&bd->deliveries, ls, link);
	bd->ndeliveries++;
	snprintf(text, sizeof(text), "%s murder LMTP ready", bd->hostname);
	lmtp_reply(ls, 220, NULL, text);
	lmtp_advance(ls);
}

struct lmtp_session *
lmtp_session_next(struct lmtp_session *ls)
{
	return TAILQ_NEXT(ls, link);
}

void
lmtp_session_drain(struct lmtp_session *ls)
{
	lmtp_advance(ls);
}
