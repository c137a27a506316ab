#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/deliver.h"
#include "proxyd/lmtp.h"
#include "proxyd/lmtp_state.h"
#include "proxyd/lmtpd.h"
#include "proxyd/notice.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"

enum {
	LMTP_MAGIC = 0x6c6d7470,
	IN_MAX = 128 * 1024,
	OUT_MAX = 1024 * 1024, /* answers for the most recipients at once */
	REPLY_ROOM = 4 * 1024,
	BLOB_MEMORY = 256 * 1024, /* octets of a message not yet in a file */
	TURN_STEPS = 256,
	BAD_MAX = 20,
	FINISH_SECONDS = 5,
	LHLO_ROOM = 1024
};

static struct lmtp_session *
session_of(void *arg)
{
	struct lmtp_session *ls = arg;

	MUST(ls->magic == LMTP_MAGIC);
	return ls;
}

void
lmtp_answer(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	lmtp_put_reply(stream_out(ls->stream), code, enhanced, text);
}

/* --- the end ---------------------------------------------------------------------- */

static void
reset(struct lmtp_session *ls)
{
	delivery_leave(&ls->delivery);
	blob_free(&ls->blob);
	arena_reset(&ls->arena);
	timer_stop(ls->timer);
}

static void
release(void *arg)
{
	free(arg);
}

/* What has begun to be delivered goes on; nobody hears of it. */
static void
session_free(struct lmtp_session *ls, const char *why)
{
	struct lmtpd *d = ls->lmtpd;

	log_info(ls->worker->log, "lmtp session closed", "sid", ls->sid,
	    "client", stream_peer(ls->stream), "reason", why, "in",
	    LOG_NUM(stream_octets_in(ls->stream)), NULL);
	route_cancel(&ls->wait);
	reset(ls);
	timer_free(&ls->timer);
	task_free(&ls->turn);
	stream_free(&ls->stream);
	arena_reset(&ls->line_arena);
	TAILQ_REMOVE(&d->sessions, ls, entry);
	d->nsessions--;
	ls->magic = 0;
	loop_at_end(ls->worker->loop, release, ls);
	lmtpd_gone(d);
}

static void
finish(struct lmtp_session *ls)
{
	ls->phase = LMTP_PHASE_FINISHING;
	stream_flush(ls->stream);
	stream_finish(ls->stream, FINISH_SECONDS);
}

static void
on_timer(void *arg)
{
	struct lmtp_session *ls = session_of(arg);

	lmtp_answer(ls, 421, "4.4.2", "The message takes too long");
	finish(ls);
}

/* --- the message --------------------------------------------------------------------- */

static void
command_data(struct lmtp_session *ls)
{
	if (ls->delivery == NULL || delivery_count(ls->delivery) == 0) {
		lmtp_answer(ls, 503, "5.5.1", "No valid recipients");
		return;
	}
	ls->blob = blob_new(ls->worker->jobs, ls->worker->conf->spool_directory,
	    BLOB_MEMORY);
	ls->undot = (struct lmtp_undot){ 0 };
	ls->size = 0;
	lmtp_answer(ls, 354, NULL, "Send it, and end with a dot on a line");
	ls->phase = LMTP_PHASE_DATA;
}

static void
blob_changed(void *arg)
{
	lmtp_advance(session_of(arg));
}

static void
answer_all(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	for (size_t i = 0; i < delivery_count(ls->delivery); i++)
		lmtp_answer(ls, code, enhanced, text);
	reset(ls);
	ls->phase = LMTP_PHASE_COMMAND;
}

static void
delivered(void *arg)
{
	struct lmtp_session *ls = session_of(arg);

	for (size_t i = 0; i < delivery_count(ls->delivery); i++) {
		struct delivery_answer a = delivery_answer(ls->delivery, i);

		lmtp_answer(ls, a.code, a.enhanced, a.text);
	}
	reset(ls);
	ls->phase = LMTP_PHASE_COMMAND;
	lmtp_advance(ls);
}

static void
deliver(struct lmtp_session *ls)
{
	const struct notice_trace trace = { .from = ls->from,
		.lhlo = ls->lhlo,
		.peer = stream_peer(ls->stream),
		.host = ls->worker->conf->hostname,
		.sid = ls->sid,
		.secure = stream_is_secure(ls->stream),
		.seconds = loop_wall(ls->worker->loop).ms / 1000 };

	ls->phase = LMTP_PHASE_DELIVERING;
	delivery_run(ls->delivery, &trace, ls->blob, delivered, ls);
	blob_free(&ls->blob);
}

static void
message_came(struct lmtp_session *ls)
{
	if (notice_loops(blob_slice(ls->blob))) {
		log_info(ls->worker->log, "mail loop", "sid", ls->sid, "from",
		    LOG_SLICE(ls->from), NULL);
		answer_all(ls, 554, "5.4.6", "Too many hops: a mail loop");
	} else
		deliver(ls);
}

static void
blob_ended(void *arg, const char *why)
{
	struct lmtp_session *ls = session_of(arg);

	if (why != NULL) {
		log_err(ls->worker->log, "message not kept", "sid", ls->sid,
		    "why", why, NULL);
		answer_all(ls, 451, "4.3.0",
		    "Cannot be taken now, try again later");
	} else
		message_came(ls);
	lmtp_advance(ls);
}

static void
end_data(struct lmtp_session *ls)
{
	timer_stop(ls->timer);
	if (ls->size > ls->worker->conf->max_message) {
		answer_all(ls, 552, "5.3.4", "Message too big");
		return;
	}
	if (blob_end_here(ls->blob)) {
		message_came(ls);
		return;
	}
	ls->phase = LMTP_PHASE_ENDING;
	blob_end(ls->blob, blob_ended, ls);
}

/* Beyond the limit it is taken to its end, and thrown away. */
static void
take_octets(struct lmtp_session *ls, struct slice octets)
{
	ls->size += octets.len;
	if (ls->size <= ls->worker->conf->max_message)
		blob_put(ls->blob, octets);
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
	if (ev == LMTP_DATA_OCTETS)
		take_octets(ls, octets);
	buf_drop(in, taken);
	switch (ev) {
	case LMTP_DATA_ERROR:
		lmtp_answer(ls, 550, "5.6.0",
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
	struct worker *w = ls->worker;
	char text[LHLO_ROOM];

	reset(ls);
	snprintf(ls->lhlo, sizeof(ls->lhlo), "%.*s",
	    (int)(c->arg.len < 255 ? c->arg.len : 255),
	    (const char *)c->arg.ptr);
	for (char *p = ls->lhlo; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f)
			*p = '?';
	snprintf(text, sizeof(text),
	    "%.255s\nPIPELINING\n8BITMIME\nENHANCEDSTATUSCODES\nSIZE %llu%s",
	    w->conf->hostname, (unsigned long long)w->conf->max_message,
	    w->server_tls != NULL && !stream_is_secure(ls->stream)
	        ? "\nSTARTTLS"
	        : "");
	lmtp_answer(ls, 250, NULL, text);
	ls->greeted = true;
}

static void
command_starttls(struct lmtp_session *ls)
{
	struct err err;

	if (ls->worker->server_tls == NULL || stream_is_secure(ls->stream)) {
		lmtp_answer(ls, 503, "5.5.1", "TLS is on, or not to be had");
		return;
	}
	lmtp_answer(ls, 220, "2.0.0", "Begin TLS");
	stream_flush(ls->stream);
	reset(ls);
	ls->greeted = false;
	ls->lines = (struct lmtp_lines){ 0 };
	ls->phase = LMTP_PHASE_HANDSHAKE;
	if (stream_start_tls(ls->stream, ls->worker->server_tls, NULL, &err) ==
	    -1) {
		log_warn(ls->worker->log, "TLS not started", "sid", ls->sid,
		    "why", err.text, NULL);
		finish(ls);
	}
}

static void
command(struct lmtp_session *ls, const struct lmtp_command *c)
{
	switch (c->verb) {
	case LMTP_LHLO:
		command_lhlo(ls, c);
		break;
	case LMTP_MAIL:
		lmtp_mail(ls, c);
		break;
	case LMTP_RCPT:
		lmtp_rcpt(ls, c);
		break;
	case LMTP_DATA:
		command_data(ls);
		break;
	case LMTP_RSET:
		reset(ls);
		lmtp_answer(ls, 250, "2.0.0", "Done");
		break;
	case LMTP_NOOP:
		lmtp_answer(ls, 250, "2.0.0", "Done");
		break;
	case LMTP_VRFY:
		lmtp_answer(ls, 252, "2.5.0", "Try to deliver");
		break;
	case LMTP_HELP:
		lmtp_answer(ls, 214, "2.0.0", "See RFC 2033");
		break;
	case LMTP_STARTTLS:
		command_starttls(ls);
		break;
	case LMTP_QUIT:
		lmtp_answer(ls, 221, "2.0.0", "Goodbye");
		finish(ls);
		break;
	case LMTP_AUTH:
		lmtp_answer(ls, 502, "5.5.1", "No need to log in here");
		break;
	case LMTP_HELO:
	case LMTP_UNKNOWN:
		lmtp_answer(ls, 500, "5.5.1", "Unknown command");
		break;
	}
}

static bool
needs_lhlo(enum lmtp_verb verb)
{
	return verb == LMTP_MAIL || verb == LMTP_RCPT || verb == LMTP_DATA;
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
	if (c->code == 0 && c->verb != LMTP_UNKNOWN) {
		ls->bad = 0;
		command(ls, c);
		return;
	}
	if (c->code != 0)
		lmtp_answer(ls, c->code, NULL, c->why);
	else
		command(ls, c);
	if (++ls->bad >= BAD_MAX) {
		lmtp_answer(ls, 421, "4.7.0", "Too many bad commands");
		finish(ls);
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
		lmtp_answer(ls, 500, "5.5.2", "Line too long, or malformed");
		finish(ls);
		return false;
	case LMTP_LINE_MORE:
		return false;
	case LMTP_LINE:
		break;
	}
	line = arena_copy(&ls->line_arena, line);
	buf_drop(in, taken);
	take_command(ls, line);
	return true;
}

/* --- what moves ------------------------------------------------------------------------ */

static bool
step(struct lmtp_session *ls)
{
	switch (ls->phase) {
	case LMTP_PHASE_COMMAND:
		arena_reset(&ls->line_arena);
		return take_line(ls);
	case LMTP_PHASE_DATA:
		return take_data(ls);
	case LMTP_PHASE_ROUTING:
	case LMTP_PHASE_ENDING:
	case LMTP_PHASE_DELIVERING:
	case LMTP_PHASE_HANDSHAKE:
	case LMTP_PHASE_FINISHING:
		break;
	}
	return false;
}

static bool
wants_read(struct lmtp_session *ls)
{
	switch (ls->phase) {
	case LMTP_PHASE_COMMAND:
	case LMTP_PHASE_HANDSHAKE:
		return true;
	case LMTP_PHASE_DATA:
		return !blob_busy(ls->blob, blob_changed, ls);
	case LMTP_PHASE_ROUTING:
	case LMTP_PHASE_ENDING:
	case LMTP_PHASE_DELIVERING:
	case LMTP_PHASE_FINISHING:
		break;
	}
	return false;
}

void
lmtp_advance(struct lmtp_session *ls)
{
	unsigned steps = 0;

	while (step(ls))
		if (++steps >= TURN_STEPS) {
			task_want(ls->turn);
			break;
		}
	if (buf_failed(stream_out(ls->stream))) {
		session_free(ls, "output overflow");
		return;
	}
	if (ls->draining && ls->phase == LMTP_PHASE_COMMAND &&
	    ls->delivery == NULL) {
		lmtp_answer(ls, 421, "4.3.2", "Shutting down");
		finish(ls);
	}
	stream_flush(ls->stream);
	stream_want_read(ls->stream, wants_read(ls));
}

static void
on_turn(void *arg)
{
	lmtp_advance(session_of(arg));
}

static void
on_stream(void *arg, enum stream_event ev)
{
	struct lmtp_session *ls = session_of(arg);

	switch (ev) {
	case STREAM_CLOSED:
		session_free(ls, stream_error(ls->stream));
		return;
	case STREAM_SECURE:
		if (ls->phase == LMTP_PHASE_HANDSHAKE)
			ls->phase = LMTP_PHASE_COMMAND;
		break;
	case STREAM_READ:
	case STREAM_WRITTEN:
		break;
	}
	lmtp_advance(ls);
}

void
lmtp_session_new(struct lmtpd *d, int fd)
{
	const struct proxyd_conf *conf = d->worker.conf;
	const struct stream_limits limits = { IN_MAX, OUT_MAX,
		(unsigned)(conf->idle_ms / 1000) };
	struct lmtp_session *ls = xcalloc(1, sizeof(*ls));
	char text[300];

	ls->magic = LMTP_MAGIC;
	ls->lmtpd = d;
	ls->worker = &d->worker;
	arena_init(&ls->arena);
	arena_init(&ls->line_arena);
	worker_new_sid(ls->sid);
	ls->stream = stream_new(d->worker.loop, fd, &limits, on_stream, ls);
	ls->timer = timer_new(d->worker.loop, on_timer, ls);
	ls->turn = task_new(d->worker.loop, on_turn, ls);
	TAILQ_INSERT_TAIL(&d->sessions, ls, entry);
	d->nsessions++;
	snprintf(text, sizeof(text), "%.255s murder LMTP ready",
	    conf->hostname);
	lmtp_answer(ls, 220, NULL, text);
	lmtp_advance(ls);
}

struct lmtp_session *
lmtp_session_next(struct lmtp_session *ls)
{
	return TAILQ_NEXT(ls, entry);
}

void
lmtp_session_drain(struct lmtp_session *ls)
{
	ls->draining = true;
	lmtp_advance(ls);
}
