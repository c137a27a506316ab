#include <stdio.h>
#include <stdlib.h>

#include "backendd/conf.h"
#include "backendd/lmtp.h"
#include "backendd/lmtp_state.h"
#include "backendd/server.h"
#include "imap/trace.h"
#include "lib/auth_line.h"
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

/* --- the end ---------------------------------------------------------------------- */

/* A transaction is over, or was never one. */
static void
reset(struct lmtp_session *ls)
{
	timer_stop(ls->timer);
	blob_free(&ls->blob);
	letter_free(&ls->letter);
	arena_reset(&ls->arena);
	ls->recipients = NULL;
	ls->last = &ls->recipients;
}

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
	reset(ls);
	auth_line_cancel(&ls->exchange);
	timer_free(&ls->timer);
	task_free(&ls->turn);
	lmtp_server_fini(&ls->server);
	free(ls->proxy);
	TAILQ_REMOVE(&bd->deliveries, ls, link);
	bd->ndeliveries--;
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
	timer_stop(ls->timer);
	auth_line_cancel(&ls->exchange);
	if (ls->pending == 0)
		go(ls);
}

static void
finish(struct lmtp_session *ls)
{
	timer_stop(ls->timer);
	auth_line_cancel(&ls->exchange);
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

/* --- answers ------------------------------------------------------------------------ */

void
lmtp_reply(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	if (ls->stream != NULL)
		lmtp_server_reply(&ls->server, stream_out(ls->stream), code,
		    enhanced, text);
}

void
lmtp_answer(struct recipient *r, int code, const char *enhanced,
    const char *text)
{
	struct lmtp_session *ls = r->session;

	if (ls->stream != NULL)
		lmtp_server_answer(&ls->server, stream_out(ls->stream), r->nth,
		    code, enhanced, text);
}

void
lmtp_settle(struct lmtp_session *ls)
{
	if (ls->server.state != LMTP_SERVER_DELIVERING)
		reset(ls);
}

/* --- the message --------------------------------------------------------------------- */

/* RFC 5321 4.4, when it is us who receive it; a frontend has done it before. */
static void
put_trace(struct lmtp_session *ls)
{
	const struct trace t = { .from = slice_str(ls->sender),
		.lhlo = ls->server.lhlo,
		.peer = stream_peer(ls->stream),
		.host = ls->bd->hostname,
		.sid = ls->sid,
		.secure = stream_is_secure(ls->stream),
		.seconds = loop_wall(ls->bd->loop).ms / 1000 };
	struct buf b;

	buf_init(&b, TRACE_MAX);
	trace_put(&b, &t);
	if (!buf_failed(&b))
		blob_put(ls->blob, buf_slice(&b));
	buf_fini(&b);
}

static void
begin_message(struct lmtp_session *ls)
{
	const struct backendd_conf *conf = ls->bd->conf;

	ls->blob = blob_new(ls->bd->jobs, conf->temp_directory,
	    (size_t)conf->message_memory);
	if (ls->proxy == NULL)
		put_trace(ls);
}

static void
blob_changed(void *arg)
{
	lmtp_advance(session_of(arg));
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
	if (why == NULL) {
		lmtp_deliver(ls);
	} else {
		lmtp_server_answer_all(&ls->server, stream_out(ls->stream), 451,
		    "4.3.0", "Cannot be stored now, try again later");
		lmtp_settle(ls);
	}
	lmtp_advance(ls);
}

static void
end_message(struct lmtp_session *ls)
{
	timer_stop(ls->timer);
	if (blob_end_here(ls->blob)) {
		lmtp_deliver(ls);
		return;
	}
	lmtp_pending(ls);
	blob_end(ls->blob, blob_ended, ls);
}

/* --- what moves ------------------------------------------------------------------------ */

static void
greet(struct lmtp_session *ls)
{
	bool has_tls = ls->bd->tls != NULL && !stream_is_secure(ls->stream);

	reset(ls);
	lmtp_server_offer(&ls->server, stream_out(ls->stream), has_tls,
	    lmtp_mechanisms(ls));
}

static void
start_tls(struct lmtp_session *ls)
{
	struct err err;

	reset(ls);
	stream_flush(ls->stream);
	if (stream_start_tls(ls->stream, ls->bd->tls, NULL, &err) == 0)
		return;
	log_info(ls->bd->log, "tls refused", "sid", ls->sid, "why", err.text,
	    NULL);
	finish(ls);
}

/* False: there is nothing more to do now. */
static bool
act(struct lmtp_session *ls, enum lmtp_server_event ev,
    const struct lmtp_server_item *item)
{
	switch (ev) {
	case LMTP_SERVER_MORE:
		return false;
	case LMTP_SERVER_ANSWERED:
	case LMTP_SERVER_OCTETS:
		break;
	case LMTP_SERVER_LHLO:
		greet(ls);
		break;
	case LMTP_SERVER_STARTTLS:
		start_tls(ls);
		break;
	case LMTP_SERVER_AUTH:
		lmtp_start_auth(ls, item->command);
		break;
	case LMTP_SERVER_AUTH_LINE:
		auth_line_put(ls->exchange, item->line);
		break;
	case LMTP_SERVER_SENDER:
		lmtp_mail(ls, item->command);
		break;
	case LMTP_SERVER_RECIPIENT:
		lmtp_rcpt(ls, item->command);
		break;
	case LMTP_SERVER_MESSAGE:
		begin_message(ls);
		break;
	case LMTP_SERVER_END:
		end_message(ls);
		break;
	case LMTP_SERVER_RESET:
		reset(ls);
		break;
	case LMTP_SERVER_FINISH:
		finish(ls);
		return false;
	}
	return true;
}

static bool
is_blocked(struct lmtp_session *ls)
{
	return ls->server.state == LMTP_SERVER_RECEIVING &&
	       blob_busy(ls->blob, blob_changed, ls);
}

static bool
step(struct lmtp_session *ls)
{
	struct buf *in = stream_in(ls->stream);
	struct lmtp_server_item item;
	enum lmtp_server_event ev;

	if (is_blocked(ls))
		return false;
	ev = lmtp_server_next(&ls->server, buf_data(in), buf_len(in),
	    stream_out(ls->stream), &item);
	if (ev == LMTP_SERVER_OCTETS)
		blob_put(ls->blob, item.octets);
	buf_drop(in, item.taken);
	return act(ls, ev, &item);
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
	stream_flush(ls->stream);
	stream_want_read(ls->stream,
	    lmtp_server_wants_octets(&ls->server) && !is_blocked(ls));
}

static void
turn(void *arg)
{
	lmtp_advance(session_of(arg));
}

static void
on_timer(void *arg)
{
	struct lmtp_session *ls = session_of(arg);

	lmtp_server_abort(&ls->server, stream_out(ls->stream), "4.4.2",
	    "The message takes too long");
	lmtp_advance(ls);
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
		lmtp_server_secure(&ls->server);
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

	ls->magic = LMTP_MAGIC;
	ls->bd = bd;
	ls->last = &ls->recipients;
	arena_init(&ls->arena);
	snprintf(ls->sid, sizeof(ls->sid), "%016llx",
	    (unsigned long long)rand_u64());
	ls->stream = stream_new(bd->loop, fd, &limits, event, ls);
	ls->timer = timer_new(bd->loop, on_timer, ls);
	ls->turn = task_new(bd->loop, turn, ls);
	TAILQ_INSERT_TAIL(&bd->deliveries, ls, link);
	bd->ndeliveries++;
	lmtp_server_init(&ls->server,
	    &(struct lmtp_server_conf){ .hostname = bd->hostname,
	        .message_max = bd->conf->message_size,
	        .recipients_max = bd->conf->max_recipients,
	        .bad_max = bd->conf->bad_commands,
	        .has_xmurder = true },
	    stream_out(ls->stream));
	if (bd->draining)
		lmtp_server_drain(&ls->server);
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
	lmtp_server_drain(&ls->server);
	lmtp_advance(ls);
}
