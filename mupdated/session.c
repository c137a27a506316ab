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
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"

#define SESSION_MAGIC 0x3656ca11u

enum {
	IN_MAX = 16 * 1024,
	OUT_SPARE = 256 * 1024, /* beyond the backlog: answers, a BYE */
	OUT_FULL = 1024 * 1024, /* then no more is read */
	HELD_MAX = 1024 * 1024,
	TURN = 64, /* commands */
	FINISH_SECONDS = 5
};

/* Waits until commit number is durable. */
struct reply {
	TAILQ_ENTRY(reply) link;
	uint64_t number;
	bool write, failed;
	char tag[MUPDATE_TAG_MAX + 1];
	size_t len;
	uint8_t octets[];
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
	    BIT(LISTING) | BIT(SYNCING) | BIT(LEAVING) | BIT(CLOSING), true },
	[SESSION_LISTING] = { "listing", BIT(READY) | BIT(CLOSING), false },
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

static void
reply_drop(struct session *ss, struct reply *r)
{
	TAILQ_REMOVE(&ss->replies, r, link);
	ss->held -= sizeof(*r) + r->len;
	free(r);
}

static void
hold(struct session *ss, struct slice octets, uint64_t number, bool write)
{
	const struct mupdate_message *m = mupdate_message(ss->parser);
	struct reply *r = xmalloc(sizeof(*r) + octets.len);

	*r = (struct reply){ .number = number,
		.write = write,
		.len = octets.len };
	snprintf(r->tag, sizeof(r->tag), "%.*s", (int)m->tag.len,
	    (const char *)m->tag.ptr);
	memcpy(r->octets, octets.ptr, octets.len);
	ss->held += sizeof(*r) + r->len;
	TAILQ_INSERT_TAIL(&ss->replies, r, link);
	set_waiting(ss, true);
}

static void
give(struct session *ss, struct slice octets, uint64_t number, bool write)
{
	if (TAILQ_EMPTY(&ss->replies) &&
	    number <= list_durable(ss->server->list))
		buf_put_slice(stream_out(ss->stream), octets);
	else
		hold(ss, octets, number, write);
}

void
session_answer(struct session *ss, enum mupdate_response id, const char *text,
    uint64_t number, bool write)
{
	struct buf b;

	buf_init(&b, 1024);
	mupdate_put_reply(&b, mupdate_message(ss->parser)->tag, id, text);
	MUST(!buf_failed(&b));
	give(ss, buf_slice(&b), number, write);
	buf_fini(&b);
}

void
session_answer_lines(struct session *ss, struct slice lines, uint64_t number)
{
	if (lines.len > 0)
		give(ss, lines, number, false);
}

void
session_end_walk(struct session *ss, bool syncing)
{
	session_answer(ss, MUPDATE_OK,
	    syncing ? "streaming starts" : "list complete",
	    list_last(ss->server->list), false);
	session_enter(ss, syncing ? SESSION_SYNCED : SESSION_READY);
}

void
session_logout(struct session *ss)
{
	session_enter(ss, SESSION_LEAVING);
}

/* What is durable now goes out. */
static void
settle(struct session *ss)
{
	struct buf *out = stream_out(ss->stream);
	struct reply *r;

	while ((r = TAILQ_FIRST(&ss->replies)) != NULL) {
		if (r->failed && !r->write) {
			session_close(ss, SESSION_END_STORAGE,
			    "the list cannot be stored now");
			return;
		}
		if (r->failed)
			mupdate_put_reply(out, slice_str(r->tag), MUPDATE_NO,
			    "cannot store the change now");
		else if (r->number <= list_durable(ss->server->list))
			buf_put(out, r->octets, r->len);
		else
			break;
		reply_drop(ss, r);
	}
	set_waiting(ss, !TAILQ_EMPTY(&ss->replies));
}

/* Later reads may have seen it; later writes fail by themselves. */
void
session_commit_failed(struct session *ss, uint64_t number)
{
	struct reply *r;

	TAILQ_FOREACH (r, &ss->replies, link)
		if (r->number == number || (!r->write && r->number > number))
			r->failed = true;
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
	struct reply *r;

	log_info(sv->log, "session closed", "peer", stream_peer(ss->stream),
	    "user", ss->user, "reason", end_names[ss->end], "why",
	    ss->end == SESSION_END_PEER ? stream_error(ss->stream) : NULL,
	    "commands", LOG_NUM(ss->commands), "in",
	    LOG_NUM(stream_octets_in(ss->stream)), "out",
	    LOG_NUM(stream_octets_out(ss->stream)), NULL);
	while ((r = TAILQ_FIRST(&ss->replies)) != NULL)
		reply_drop(ss, r);
	set_waiting(ss, false);
	auth_cancel(&ss->exchange);
	feed_leave(&sv->feed, &ss->subscriber);
	TAILQ_REMOVE(&sv->sessions, ss, link);
	sv->nsessions--;
	task_free(&ss->task);
	timer_free(&ss->login);
	stream_free(&ss->stream);
	mupdate_free(&ss->parser);
	buf_fini(&ss->walk_at);
	free((void *)(uintptr_t)ss->walk_prefix.ptr);
	free(ss->user);
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
	size_t full = ss->state == SESSION_STREAMING
	                  ? ss->server->conf->max_backlog + OUT_SPARE / 2
	                  : OUT_FULL;

	return ss->held < HELD_MAX && buf_len(stream_out(ss->stream)) < full;
}

/* One step.  False: there is nothing to do now. */
static bool
step(struct session *ss)
{
	bool held;

	settle(ss);
	held = !TAILQ_EMPTY(&ss->replies);
	if (ss->state == SESSION_CLOSING)
		return false;
	if (ss->subscriber.lost) {
		session_close(ss, SESSION_END_BEHIND, "too far behind");
		return false;
	}
	if (ss->state == SESSION_LISTING || ss->state == SESSION_SYNCING) {
		if (held || !has_room(ss))
			return false;
		session_walk(ss);
		return true;
	}
	if (ss->state == SESSION_SYNCED && !held) {
		feed_live(&ss->subscriber);
		session_enter(ss, SESSION_STREAMING);
		return true;
	}
	if (ss->state == SESSION_LEAVING && !held) {
		session_close(ss, SESSION_END_LOGOUT, NULL);
		return false;
	}
	if (!states[ss->state].reads || !has_room(ss))
		return false;
	if (ss->state == SESSION_HANDSHAKE)
		return false;
	return take(ss);
}

void
session_advance(struct session *ss)
{
	unsigned turn = 0;

	while (turn < TURN && step(ss))
		turn++;
	if (ss->state == SESSION_CLOSING)
		return;
	if (turn == TURN)
		task_want(ss->task);
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

	if (ss->user == NULL)
		session_close(ss, SESSION_END_LOGIN, "too long to log in");
}

/* --- birth ----------------------------------------------------------------- */

static struct session *
make(struct server *sv, int fd)
{
	const struct mupdated_conf *c = sv->conf;
	struct mupdate_limits limits = mupdate_defaults();
	struct stream_limits stream = { .in = IN_MAX,
		.out = c->max_backlog + OUT_SPARE,
		.idle = (unsigned)(c->login_ms / 1000) };
	struct session *ss = xcalloc(1, sizeof(*ss));

	limits.line = c->max_line;
	limits.literal = c->max_literal;
	limits.message = c->max_line + 3 * c->max_literal;
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
	TAILQ_INIT(&ss->replies);
	buf_init(&ss->walk_at, 2048);
	TAILQ_INSERT_TAIL(&sv->sessions, ss, link);
	sv->nsessions++;
	return ss;
}

void
session_new(struct server *sv, int fd, bool tls)
{
	struct session *ss = make(sv, fd);
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
	if (sv->nsessions > sv->conf->max_sessions)
		session_close(ss, SESSION_END_FULL, "too many connections");
	else if (!tls)
		put_banner(ss);
	session_advance(ss);
}
