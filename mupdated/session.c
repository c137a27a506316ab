#include <stdio.h>
#include <stdlib.h>

#include "imap/mupdate.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "mupdated/conf.h"
#include "mupdated/leases.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"
#include "mupdated/walk.h"

#define SESSION_MAGIC 0x3656ca11u

enum {
	IN_MAX = 64 * 1024,
	OUT_FULL = 512 * 1024,     /* then no more is read */
	OUT_MAX = 4 * 1024 * 1024, /* what a step may put beyond that, too */
	HELD_FULL = 512 * 1024,    /* answers: then no more is read */
	HELD_MAX = 4 * 1024 * 1024,
	STRANGERS_LITERAL = 64 * 1024,
	TURN = 64, /* commands */
	FINISH_SECONDS = 5
};

#define BIT(state) (1u << SESSION_##state)

/* The states that may follow, and whether octets are taken meanwhile. */
static const struct {
	const char *name;
	unsigned next;
	bool reads;
} states[SESSION_STATES] = {
	[SESSION_HANDSHAKE] = { "handshake", BIT(LOGIN) | BIT(CLOSING), true },
	[SESSION_LOGIN] = { "login",
	    BIT(HANDSHAKE) | BIT(CHECKING) | BIT(LEAVING) | BIT(CLOSING),
	    true },
	[SESSION_CHECKING] = { "checking",
	    BIT(LOGIN) | BIT(RESPONSE) | BIT(LAST_WORD) | BIT(READY) |
	        BIT(CLOSING),
	    false },
	[SESSION_RESPONSE] = { "response",
	    BIT(LOGIN) | BIT(CHECKING) | BIT(CLOSING), true },
	[SESSION_LAST_WORD] = { "last word",
	    BIT(LOGIN) | BIT(READY) | BIT(CLOSING), true },
	[SESSION_READY] = { "ready",
	    BIT(WALKING) | BIT(SYNCING) | BIT(LEAVING) | BIT(CLOSING), true },
	[SESSION_WALKING] = { "walking", BIT(READY) | BIT(CLOSING), false },
	[SESSION_SYNCING] = { "syncing", BIT(SYNCED) | BIT(CLOSING), false },
	[SESSION_SYNCED] = { "synced", BIT(STREAMING) | BIT(CLOSING), false },
	[SESSION_STREAMING] = { "streaming", BIT(LEAVING) | BIT(CLOSING),
	    true },
	[SESSION_LEAVING] = { "leaving", BIT(CLOSING), false },
	[SESSION_CLOSING] = { "closing", 0, false },
};

static const char *const end_names[] = {
	[SESSION_END_LOGOUT] = "logout",
	[SESSION_END_PEER] = "peer",
	[SESSION_END_PROTOCOL] = "protocol",
	[SESSION_END_LOGIN] = "login timeout",
	[SESSION_END_BEHIND] = "behind",
	[SESSION_END_FULL] = "full",
	[SESSION_END_SUPERSEDED] = "superseded",
	[SESSION_END_TAKEN] = "taken over",
	[SESSION_END_DRAIN] = "drain",
	[SESSION_END_STORAGE] = "storage",
};

static struct session *
session_of(void *arg)
{
	struct session *ss = arg;

	MUST(ss->magic == SESSION_MAGIC);
	return ss;
}

void
session_enter(struct session *ss, enum session_state state)
{
	const struct mupdated_conf *c = ss->server->conf;

	MUST(states[ss->state].next & 1u << state);
	log_debug(ss->server->log, "session state", "peer",
	    stream_peer(ss->stream), "from", states[ss->state].name, "to",
	    states[state].name, NULL);
	ss->state = state;
	if (state == SESSION_READY)
		stream_set_idle(ss->stream, (unsigned)(c->idle_ms / 1000));
}

/* --- answers --------------------------------------------------------------- */

static void
set_waiting(struct session *ss, bool wait)
{
	if (wait == ss->waiting)
		return;
	ss->waiting = wait;
	if (wait)
		TAILQ_INSERT_TAIL(&ss->server->waiting, ss, waiting_link);
	else
		TAILQ_REMOVE(&ss->server->waiting, ss, waiting_link);
}

/* Is all so, and told, that an answer of this commit depends on? */
static bool
is_settled(struct session *ss, uint64_t number)
{
	if (answers_empty(&ss->answers) && feed_behind(&ss->subscriber, number))
		feed_take(&ss->server->feed, &ss->subscriber, FEED_NOW);
	return answers_empty(&ss->answers) &&
	       number <= list_durable(ss->server->list) &&
	       !feed_behind(&ss->subscriber, number);
}

struct session_room
session_begin(struct session *ss, uint64_t number, bool write)
{
	struct session_room room = { .ss = ss,
		.number = number,
		.write = write };

	room.held = !is_settled(ss, number);
	room.out =
	    room.held ? answers_room(&ss->answers) : stream_out(ss->stream);
	room.from = buf_len(room.out);
	return room;
}

void
session_end(const struct session_room *room)
{
	struct session *ss = room->ss;
	size_t len = buf_len(room->out) - room->from;

	if (!room->held || len == 0)
		return;
	answers_mark(&ss->answers, len, room->number, room->write);
	set_waiting(ss, true);
}

void
session_answer(struct session *ss, enum mupdate_response id, const char *text,
    uint64_t number, bool write)
{
	struct session_room room = session_begin(ss, number, write);

	mupdate_put_reply(room.out, mupdate_message(ss->parser)->tag, id, text);
	session_end(&room);
}

void
session_refuse(struct session *ss, enum mupdate_code code, const char *text)
{
	char line[128];

	snprintf(line, sizeof(line), "%s%s", mupdate_ext_code_text(code), text);
	session_answer(ss, MUPDATE_NO, line, 0, true);
}

/* What is durable now goes out. */
static void
settle(struct session *ss)
{
	uint64_t number = list_durable(ss->server->list);

	/* An answer comes behind the changes it depends on. */
	feed_take(&ss->server->feed, &ss->subscriber,
	    answers_empty(&ss->answers) ? FEED_IN_TIME : FEED_NOW);
	if (feed_behind(&ss->subscriber, number))
		number = feed_before(&ss->subscriber);
	if (!answers_settle(&ss->answers, stream_out(ss->stream), number))
		session_close(ss, SESSION_END_STORAGE,
		    "the list cannot be stored now");
	set_waiting(ss, !answers_empty(&ss->answers));
}

void
session_commit_failed(struct session *ss, uint64_t number)
{
	answers_failed(&ss->answers, number);
}

void
session_unreadable(struct session *ss, const struct err *err)
{
	log_err(ss->server->log, "list: cannot read", "why", err->text, NULL);
	session_close(ss, SESSION_END_STORAGE, "the list cannot be read now");
}

/* --- the beginning and the end --------------------------------------------- */

static void
put_banner(struct session *ss)
{
	struct server *sv = ss->server;
	bool secure = stream_is_secure(ss->stream);
	struct auth_peer peer = { "mupdate", stream_peer(ss->stream),
		stream_tls_peer(ss->stream),
		secure || stream_is_loopback(ss->stream) };
	struct mupdate_banner banner = { .server = sv->conf->hostname,
		.starttls = !secure && sv->tls != NULL,
		.xmurder = true,
		.mechanisms = auth_mechanisms(sv->auth, &peer),
		.implementation = "Murder",
		.version = "1",
		.master = "(master)" };

	mupdate_put_banner(stream_out(ss->stream), &banner);
}

void
session_close(struct session *ss, enum session_end end, const char *text)
{
	if (ss->state == SESSION_CLOSING)
		return;
	if (end != SESSION_END_LOGOUT)
		mupdate_put_reply(stream_out(ss->stream), slice_str("*"),
		    MUPDATE_BYE, text);
	ss->end = end;
	answers_fini(&ss->answers);
	walk_free(&ss->walk);
	auth_cancel(&ss->exchange);
	feed_leave(&ss->server->feed, &ss->subscriber);
	session_enter(ss, SESSION_CLOSING);
	stream_want_read(ss->stream, false);
	stream_flush(ss->stream);
	stream_finish(ss->stream, FINISH_SECONDS);
}

void
session_free(struct session *ss)
{
	struct server *sv = ss->server;

	log_info(sv->log, "session closed", "peer", stream_peer(ss->stream),
	    "user", ss->user, "reason", end_names[ss->end], "why",
	    ss->end == SESSION_END_PEER ? stream_error(ss->stream) : NULL,
	    "commands", LOG_NUM(ss->commands), "in",
	    LOG_NUM(stream_octets_in(ss->stream)), "out",
	    LOG_NUM(stream_octets_out(ss->stream)), NULL);
	set_waiting(ss, false);
	auth_cancel(&ss->exchange);
	feed_leave(&sv->feed, &ss->subscriber);
	if (ss->known)
		leases_go(sv->leases, slice_str(ss->user));
	server_remove(sv, ss);
	task_free(&ss->task);
	timer_free(&ss->login);
	stream_free(&ss->stream);
	mupdate_free(&ss->parser);
	answers_fini(&ss->answers);
	walk_free(&ss->walk);
	free(ss->user);
	free(ss->host);
	ss->magic = 0;
	free(ss);
}

/* --- octets ---------------------------------------------------------------- */

/* Takes one event from what has come.  False: there is none. */
static bool
take(struct session *ss)
{
	struct buf *in = stream_in(ss->stream);
	enum mupdate_event ev;
	size_t taken;

	ev = mupdate_next(ss->parser, buf_data(in), buf_len(in), &taken);
	/* STARTTLS will discard what is left, so it goes first. */
	buf_drop(in, taken);
	switch (ev) {
	case MUPDATE_MORE:
		return false;
	case MUPDATE_ERROR:
		session_close(ss, SESSION_END_PROTOCOL,
		    mupdate_error(ss->parser));
		return false;
	case MUPDATE_GO_AHEAD:
		mupdate_put_go_ahead(stream_out(ss->stream));
		return true;
	case MUPDATE_LINE:
		session_response(ss, mupdate_line(ss->parser));
		return true;
	case MUPDATE_MESSAGE:
		ss->commands++;
		session_command(ss, mupdate_message(ss->parser));
		return true;
	}
	return false;
}

static bool
has_room(const struct session *ss)
{
	return answers_held(&ss->answers) < HELD_FULL &&
	       buf_len(stream_out(ss->stream)) < OUT_FULL;
}

/* Takes commands, as many as a turn has. */
static void
take_turn(struct session *ss)
{
	unsigned turn = 0;

	while (states[ss->state].reads && ss->state != SESSION_HANDSHAKE &&
	       has_room(ss) && take(ss))
		if (++turn == TURN) {
			task_want(ss->task);
			return;
		}
}

/* What the state asks for, once. */
static void
step(struct session *ss)
{
	bool held = !answers_empty(&ss->answers);

	if (ss->subscriber.lost) {
		session_close(ss, SESSION_END_BEHIND, "too far behind");
	} else if (ss->walk != NULL) {
		if (held || !has_room(ss))
			return;
		walk_advance(ss);
		/* Another slice, or another state, behind everybody else. */
		task_want(ss->task);
	} else if (ss->state == SESSION_SYNCED && !held) {
		feed_live(&ss->subscriber);
		session_enter(ss, SESSION_STREAMING);
		feed_take(&ss->server->feed, &ss->subscriber, FEED_IN_TIME);
	} else if (ss->state == SESSION_LEAVING && !held) {
		session_close(ss, SESSION_END_LOGOUT, NULL);
	}
}

void
session_advance(struct session *ss)
{
	if (ss->state == SESSION_CLOSING) {
		set_waiting(ss, false);
		return;
	}
	settle(ss);
	if (ss->state != SESSION_CLOSING)
		step(ss);
	if (ss->state != SESSION_CLOSING)
		take_turn(ss);
	if (ss->state == SESSION_LEAVING || ss->state == SESSION_SYNCED)
		step(ss);
	if (ss->state == SESSION_CLOSING)
		return;
	stream_flush(ss->stream);
	stream_want_read(ss->stream, states[ss->state].reads && has_room(ss));
}

static void
session_turn(void *arg)
{
	session_advance(session_of(arg));
}

static void
session_wake(void *arg)
{
	task_want(session_of(arg)->task);
}

static void
session_event(void *arg, enum stream_event ev)
{
	struct session *ss = session_of(arg);

	switch (ev) {
	case STREAM_CLOSED:
		session_free(ss);
		return;
	case STREAM_SECURE:
		if (ss->state == SESSION_CLOSING)
			return; /* what was put meanwhile goes out now */
		log_info(ss->server->log, "session secured", "peer",
		    stream_peer(ss->stream), "tls", stream_tls_text(ss->stream),
		    NULL);
		mupdate_reset(ss->parser);
		session_enter(ss, SESSION_LOGIN);
		put_banner(ss);
		break;
	case STREAM_READ:
	case STREAM_WRITTEN:
		break;
	}
	session_advance(ss);
}

/* An octet now and then does not keep a connection that nobody has proven. */
static void
login_late(void *arg)
{
	struct session *ss = session_of(arg);

	if (!ss->known)
		session_close(ss, SESSION_END_LOGIN, "too long to log in");
}

/* --- birth ----------------------------------------------------------------- */

/* Of a message; strangers have nothing long to say but SASL's first word. */
static struct mupdate_limits
limits_of(const struct mupdated_conf *c, bool known)
{
	struct mupdate_limits limits = { .line = c->max_line,
		.literal = known ? c->max_literal : STRANGERS_LITERAL };

	limits.message = limits.line + 4 * limits.literal;
	return limits;
}

void
session_is_known(struct session *ss)
{
	const struct mupdate_limits limits = limits_of(ss->server->conf, true);

	server_known(ss->server, ss);
	mupdate_set_limits(ss->parser, &limits);
}

static struct session *
make(struct server *sv, int fd)
{
	const struct mupdated_conf *c = sv->conf;
	const struct mupdate_limits limits = limits_of(c, false);
	struct stream_limits stream = { .in = IN_MAX,
		.out = OUT_MAX,
		.idle = (unsigned)(c->login_ms / 1000) };
	struct session *ss = xcalloc(1, sizeof(*ss));

	ss->magic = SESSION_MAGIC;
	ss->server = sv;
	ss->state = SESSION_LOGIN;
	ss->end = SESSION_END_PEER;
	ss->parser = mupdate_new(MUPDATE_SERVER, &limits);
	ss->task = task_new(sv->loop, session_turn, ss);
	ss->login = timer_new(sv->loop, login_late, ss);
	timer_set(ss->login, (int64_t)c->login_ms);
	ss->stream = stream_new(sv->loop, fd, &stream, session_event, ss);
	ss->subscriber.wake = session_wake;
	ss->subscriber.arg = ss;
	answers_init(&ss->answers, HELD_MAX);
	server_add(sv, ss);
	return ss;
}

void
session_new(struct server *sv, int fd, bool tls)
{
	struct session *ss = make(sv, fd);
	const char *full = server_full(sv, ss);
	struct err err;

	log_info(sv->log, "session opened", "peer", stream_peer(ss->stream),
	    "local", stream_local(ss->stream), NULL);
	if (tls && stream_start_tls(ss->stream, sv->tls, NULL, &err) == -1) {
		log_warn(sv->log, "session: cannot begin TLS", "peer",
		    stream_peer(ss->stream), "why", err.text, NULL);
		session_free(ss);
		return;
	}
	if (tls)
		session_enter(ss, SESSION_HANDSHAKE);
	if (full != NULL)
		sv->refused++;
	if (full != NULL)
		session_close(ss, SESSION_END_FULL, full);
	else if (!tls)
		put_banner(ss);
	session_advance(ss);
}
