#include <stdlib.h>
#include <string.h>

#include "imap/trace.h"
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
	OUT_MAX = 1024 * 1024,    /* answers for the most recipients at once */
	BLOB_MEMORY = 256 * 1024, /* octets of a message not yet in a file */
	TURN_STEPS = 256,
	BAD_MAX = 20,
	FINISH_SECONDS = 5
};

static struct lmtp_session *
session_of(void *arg)
{
	struct lmtp_session *ls = arg;

	MUST(ls->magic == LMTP_MAGIC);
	return ls;
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
	lmtp_server_fini(&ls->server);
	TAILQ_REMOVE(&d->sessions, ls, entry);
	d->nsessions--;
	ls->magic = 0;
	loop_at_end(ls->worker->loop, release, ls);
	lmtpd_gone(d);
}

static void
finish(struct lmtp_session *ls)
{
	timer_stop(ls->timer);
	route_cancel(&ls->wait);
	stream_flush(ls->stream);
	stream_finish(ls->stream, FINISH_SECONDS);
}

/* --- the message --------------------------------------------------------------------- */

static void
begin_message(struct lmtp_session *ls)
{
	ls->blob = blob_new(ls->worker->jobs, ls->worker->conf->spool_directory,
	    BLOB_MEMORY);
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
	lmtp_server_answer_all(&ls->server, stream_out(ls->stream), code,
	    enhanced, text);
	reset(ls);
}

static void
delivered(void *arg)
{
	struct lmtp_session *ls = session_of(arg);

	for (size_t i = 0; i < delivery_count(ls->delivery); i++) {
		struct delivery_answer a = delivery_answer(ls->delivery, i);

		lmtp_server_answer(&ls->server, stream_out(ls->stream), i,
		    a.code, a.enhanced, a.text);
	}
	reset(ls);
	lmtp_advance(ls);
}

static void
deliver(struct lmtp_session *ls)
{
	const struct trace trace = { .from = ls->from,
		.lhlo = ls->server.lhlo,
		.peer = stream_peer(ls->stream),
		.host = ls->worker->conf->hostname,
		.sid = ls->sid,
		.secure = stream_is_secure(ls->stream),
		.seconds = loop_wall(ls->worker->loop).ms / 1000 };

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
end_message(struct lmtp_session *ls)
{
	timer_stop(ls->timer);
	if (blob_end_here(ls->blob))
		message_came(ls);
	else
		blob_end(ls->blob, blob_ended, ls);
}

/* --- what moves ------------------------------------------------------------------------ */

void
lmtp_reply(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	lmtp_server_reply(&ls->server, stream_out(ls->stream), code, enhanced,
	    text);
}

static void
start_tls(struct lmtp_session *ls)
{
	struct err err;

	reset(ls);
	stream_flush(ls->stream);
	if (stream_start_tls(ls->stream, ls->worker->server_tls, NULL, &err) ==
	    0)
		return;
	log_warn(ls->worker->log, "TLS not started", "sid", ls->sid, "why",
	    err.text, NULL);
	finish(ls);
}

/* Nobody logs in here: who may connect is the network's to say. */
static void
greet(struct lmtp_session *ls)
{
	bool has_tls =
	    ls->worker->server_tls != NULL && !stream_is_secure(ls->stream);

	reset(ls);
	lmtp_server_offer(&ls->server, stream_out(ls->stream), has_tls, "");
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
	case LMTP_SERVER_AUTH: /* was not offered */
	case LMTP_SERVER_AUTH_LINE:
		break;
	case LMTP_SERVER_LHLO:
		greet(ls);
		break;
	case LMTP_SERVER_STARTTLS:
		start_tls(ls);
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

	while (step(ls))
		if (++steps >= TURN_STEPS) {
			task_want(ls->turn);
			break;
		}
	if (buf_failed(stream_out(ls->stream))) {
		session_free(ls, "output overflow");
		return;
	}
	stream_flush(ls->stream);
	stream_want_read(ls->stream,
	    lmtp_server_wants_octets(&ls->server) && !is_blocked(ls));
}

static void
on_turn(void *arg)
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
on_stream(void *arg, enum stream_event ev)
{
	struct lmtp_session *ls = session_of(arg);

	switch (ev) {
	case STREAM_CLOSED:
		session_free(ls, stream_error(ls->stream));
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
lmtp_session_new(struct lmtpd *d, int fd)
{
	const struct proxyd_conf *conf = d->worker.conf;
	const struct stream_limits limits = { IN_MAX, OUT_MAX,
		(unsigned)(conf->idle_ms / 1000) };
	struct lmtp_session *ls = xcalloc(1, sizeof(*ls));

	ls->magic = LMTP_MAGIC;
	ls->rate = ROUTE_RATE_MX;
	ls->lmtpd = d;
	ls->worker = &d->worker;
	arena_init(&ls->arena);
	worker_new_sid(ls->sid);
	ls->stream = stream_new(d->worker.loop, fd, &limits, on_stream, ls);
	ls->timer = timer_new(d->worker.loop, on_timer, ls);
	ls->turn = task_new(d->worker.loop, on_turn, ls);
	TAILQ_INSERT_TAIL(&d->sessions, ls, entry);
	d->nsessions++;
	lmtp_server_init(&ls->server,
	    &(struct lmtp_server_conf){ .hostname = conf->hostname,
	        .message_max = conf->max_message,
	        .recipients_max = conf->max_recipients,
	        .bad_max = BAD_MAX },
	    stream_out(ls->stream));
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
	lmtp_server_drain(&ls->server);
	lmtp_advance(ls);
}
