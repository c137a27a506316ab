#include <stdlib.h>

#include "imap/collect.h"
#include "imap/managesieve.h"
#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/auth_line.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/imapd.h"
#include "proxyd/managesieve.h"
#include "proxyd/managesieve_state.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

enum {
	SIEVE_MAGIC = 0x73696576,
	IN_MAX = 64 * 1024,
	BAD_MAX = 20,
	UNREAD_MAX = 16 * 1024 /* octets of answers, then no more commands */
};

static void advance(struct sieve_session *ss);

struct sieve_session *
managesieve_session_of(void *arg)
{
	struct sieve_session *ss = arg;

	MUST(ss->magic == SIEVE_MAGIC);
	return ss;
}

/* --- ending --------------------------------------------------------------------- */

static void
release(void *arg)
{
	struct sieve_session *ss = arg;

	arena_reset(&ss->arena);
	free(ss->user);
	free(ss);
}

static void
let_go(struct sieve_session *ss)
{
	auth_line_cancel(&ss->exchange);
	route_cancel(&ss->wait);
	xcall_cancel(&ss->call);
	buf_fini(&ss->answer);
}

void
managesieve_free(struct sieve_session *ss)
{
	log_info(ss->worker->log, "sieve session closed", "sid", ss->sid,
	    "user", ss->user, NULL);
	let_go(ss);
	timer_free(&ss->timer);
	stream_free(&ss->client);
	TAILQ_REMOVE(&ss->imapd->sieve_sessions, ss, entry);
	ss->imapd->nsessions--;
	ss->magic = 0;
	loop_at_end(ss->worker->loop, release, ss);
	imapd_session_gone(ss->imapd);
}

void
managesieve_reply(struct sieve_session *ss, enum managesieve_status status,
    const char *code, const char *text)
{
	managesieve_put_reply(stream_out(ss->client), status, code,
	    slice_str(text));
}

static void
say_bye(struct sieve_session *ss, const char *code, const char *text)
{
	if (ss->phase == MANAGESIEVE_PHASE_CLOSING)
		return;
	let_go(ss);
	managesieve_reply(ss, MANAGESIEVE_BYE, code, text);
	ss->phase = MANAGESIEVE_PHASE_CLOSING;
	stream_flush(ss->client);
	stream_finish(ss->client, MANAGESIEVE_BYE_SECONDS);
}

static void
drain(struct sieve_session *ss)
{
	ss->draining = true;
	if (ss->phase == MANAGESIEVE_PHASE_READ ||
	    ss->phase == MANAGESIEVE_PHASE_SASL)
		say_bye(ss, "TRYLATER", "The server is going down");
}

void
managesieve_soon(void *arg)
{
	struct sieve_session *ss = arg;

	if (ss->magic == SIEVE_MAGIC)
		advance(ss);
}

/* The command is answered. */
void
managesieve_end(struct sieve_session *ss)
{
	buf_fini(&ss->answer);
	collect_done(&ss->collect);
	ss->cmd = (struct managesieve_command){ 0 };
	ss->phase = MANAGESIEVE_PHASE_READ;
	stream_flush(ss->client);
	if (ss->draining)
		drain(ss);
	loop_at_end(ss->worker->loop, managesieve_soon, ss);
}

void
managesieve_done(struct sieve_session *ss, enum managesieve_status status,
    const char *code, const char *text)
{
	ss->bad = status == MANAGESIEVE_OK ? 0 : ss->bad + 1;
	managesieve_reply(ss, status, code, text);
	managesieve_end(ss);
	if (ss->bad >= BAD_MAX)
		say_bye(ss, NULL, "Too many bad commands");
}

/* --- input -------------------------------------------------------------------- */

static void
run_command(struct sieve_session *ss)
{
	unsigned now =
	    ss->user == NULL ? MANAGESIEVE_BEFORE : MANAGESIEVE_AFTER;
	const char *why;

	if (ss->phase == MANAGESIEVE_PHASE_SASL) {
		managesieve_response(ss);
		return;
	}
	ss->phase = MANAGESIEVE_PHASE_RUN;
	why = managesieve_parse(&ss->arena, collect_pieces(&ss->collect),
	    &ss->cmd);
	if (why == NULL && (managesieve_states(ss->cmd.verb) & now) == 0)
		why = ss->user == NULL ? "Log in first" : "Already logged in";
	if (why != NULL)
		managesieve_done(ss, MANAGESIEVE_NO, NULL, why);
	else
		managesieve_run(ss);
}

static void
take_event(struct sieve_session *ss, enum collect_event ev,
    const struct collect_item *item)
{
	switch (ev) {
	case COLLECT_ERROR:
		say_bye(ss, NULL, collect_error(&ss->collect));
		return;
	case COLLECT_REFUSED:
		ss->phase = MANAGESIEVE_PHASE_RUN;
		managesieve_done(ss, MANAGESIEVE_NO,
		    item->too_big ? "QUOTA/MAXSIZE" : NULL, item->why);
		return;
	case COLLECT_COMMAND:
		run_command(ss);
		return;
	case COLLECT_STREAM: /* IMAP's alone */
	case COLLECT_DATA:
	case COLLECT_LINE:
	case COLLECT_CONTINUE:
	case COLLECT_GATHERED:
	case COLLECT_MORE:
		return;
	}
}

/* An answer always fits behind so little. */
static bool
may_take(struct sieve_session *ss)
{
	return (ss->phase == MANAGESIEVE_PHASE_READ ||
	           ss->phase == MANAGESIEVE_PHASE_SASL) &&
	       buf_len(stream_out(ss->client)) <= UNREAD_MAX;
}

static void
advance(struct sieve_session *ss)
{
	struct buf *in = stream_in(ss->client);
	struct collect_item item;
	enum collect_event ev;

	while (ss->magic == SIEVE_MAGIC && may_take(ss)) {
		ev = collect_next(&ss->collect, buf_data(in), buf_len(in),
		    &item);
		buf_drop(in, item.taken);
		if (ev == COLLECT_MORE)
			break;
		take_event(ss, ev, &item);
	}
	if (ss->magic == SIEVE_MAGIC && ss->phase != MANAGESIEVE_PHASE_CLOSING)
		stream_want_read(ss->client, may_take(ss));
}

static void
on_client(void *arg, enum stream_event ev)
{
	struct sieve_session *ss = managesieve_session_of(arg);

	if (ev == STREAM_CLOSED) {
		managesieve_free(ss);
		return;
	}
	if (ev == STREAM_SECURE && !ss->greeted)
		managesieve_greet(ss);
	ss->active = loop_now(ss->worker->loop);
	advance(ss);
}

/* Set once and looked at when it is due, so that commands need not move it. */
static void
on_timer(void *arg)
{
	struct sieve_session *ss = managesieve_session_of(arg);
	int64_t idle = (int64_t)ss->worker->conf->idle_ms, passed;

	if (ss->user == NULL) {
		say_bye(ss, NULL, "Log in sooner next time");
		return;
	}
	passed = loop_now(ss->worker->loop).ms - ss->active.ms;
	if (passed >= idle && ss->phase != MANAGESIEVE_PHASE_RUN)
		say_bye(ss, NULL, "You were idle for too long");
	else
		timer_set(ss->timer, passed < idle ? idle - passed : idle);
}

void
sieve_session_new(struct imapd *imapd, int fd)
{
	static const struct collect_limits limits = {
		MANAGESIEVE_BEFORE_LOGIN_MAX, MANAGESIEVE_BEFORE_LOGIN_MAX, 8
	};
	const struct proxyd_conf *conf = imapd->worker.conf;
	const struct stream_limits stream_limits = { IN_MAX,
		2 * conf->script_max + IN_MAX,
		(unsigned)(conf->login_ms / 1000) + 1 };
	struct sieve_session *ss = xcalloc(1, sizeof(*ss));

	ss->magic = SIEVE_MAGIC;
	ss->rate = ROUTE_RATE_CLIENT;
	ss->imapd = imapd;
	ss->worker = &imapd->worker;
	arena_init(&ss->arena);
	buf_init(&ss->answer, 2 * conf->script_max + IN_MAX / 2);
	collect_init(&ss->collect, COLLECT_SIEVE, &limits, &ss->arena);
	worker_new_sid(ss->sid);
	ss->client =
	    stream_new(ss->worker->loop, fd, &stream_limits, on_client, ss);
	ss->timer = timer_new(ss->worker->loop, on_timer, ss);
	timer_set(ss->timer, (int64_t)conf->login_ms);
	TAILQ_INSERT_TAIL(&imapd->sieve_sessions, ss, entry);
	imapd->nsessions++;
	managesieve_greet(ss);
	stream_want_read(ss->client, true);
}

void
sieve_sessions_drain(struct imapd *imapd)
{
	struct sieve_session *ss, *next;

	TAILQ_FOREACH_SAFE (ss, &imapd->sieve_sessions, entry, next)
		drain(ss);
}
