#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/acl.h"
#include "imap/mboxname.h"
#include "lib/auth_line.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/cmd_auth.h"
#include "proxyd/conf.h"
#include "proxyd/imapd.h"
#include "proxyd/leg.h"
#include "proxyd/route.h"
#include "proxyd/session_state.h"
#include "proxyd/worker.h"

enum {
	IN_MORE = 8 * 1024, /* in the in buffer, than a line may be long */
	OUT_MAX = 256 * 1024,
	BEFORE_LOGIN_MAX = 8 * 1024, /* of text and of literals */
	SLACK_SECONDS = 30, /* behind the timer, if BYE cannot be sent */
	BYE_SECONDS = 5,
	TURN_COMMANDS = 64
};

static struct session *
session_of(void *arg)
{
	struct session *ss = arg;

	MUST(ss->magic == SESSION_MAGIC);
	return ss;
}

const char *
session_close_name(enum session_close reason)
{
	switch (reason) {
	case CLOSE_LOGOUT:
		return "logout";
	case CLOSE_CLIENT:
		return "client";
	case CLOSE_TIMEOUT:
		return "timeout";
	case CLOSE_PROTOCOL:
		return "protocol";
	case CLOSE_BACKEND:
		return "backend";
	case CLOSE_DRAIN:
		return "drain";
	}
	must_fail("a reason", __FILE__, __LINE__, __func__);
}

/* --- ending ----------------------------------------------------------------- */

static void
release(void *arg)
{
	struct session *ss = arg;

	arena_reset(&ss->arena);
	free(ss->user);
	free(ss);
}

/* No call back of anything comes after this. */
static void
let_go(struct session *ss)
{
	struct leg *g;

	session_forget_command(ss);
	auth_line_cancel(&ss->exchange);
	ss->selected = NULL;
	while ((g = TAILQ_FIRST(&ss->legs)) != NULL) {
		TAILQ_REMOVE(&ss->legs, g, entry);
		leg_free(&g);
	}
}

void
session_free(struct session *ss, enum session_close reason)
{
	struct imapd *imapd = ss->imapd;

	MUST(ss->magic == SESSION_MAGIC);
	if (ss->phase == PHASE_CLOSING)
		reason = ss->reason;
	log_info(ss->worker->log, "session closed", "sid", ss->sid, "user",
	    ss->user, "reason", session_close_name(reason), "in",
	    LOG_NUM(stream_octets_in(ss->client)), "out",
	    LOG_NUM(stream_octets_out(ss->client)), NULL);
	let_go(ss);
	timer_free(&ss->timer);
	stream_free(&ss->client);
	TAILQ_REMOVE(&imapd->sessions, ss, entry);
	imapd->nsessions--;
	ss->magic = 0;
	loop_at_end(ss->worker->loop, release, ss);
	imapd_session_gone(imapd);
}

void
session_close_after(struct session *ss, enum session_close reason)
{
	let_go(ss);
	ss->phase = PHASE_CLOSING;
	ss->reason = reason;
	stream_flush(ss->client);
	stream_finish(ss->client, BYE_SECONDS);
}

void
session_bye(struct session *ss, enum session_close reason, enum respcode code,
    const char *text)
{
	struct write w = session_write(ss);

	if (ss->phase == PHASE_CLOSING)
		return;
	if (ss->passing == NULL)
		write_reply(&w, slice_of(NULL, 0), WRITE_BYE, code, text);
	session_close_after(ss, reason);
}

void
session_drain(struct session *ss)
{
	ss->draining = true;
	if (ss->cmd.what == NULL || ss->phase == PHASE_LINE)
		session_bye(ss, CLOSE_DRAIN, RESPCODE_UNAVAILABLE,
		    "The server is going down, come back in a moment");
}

void
session_lost_selection(struct session *ss)
{
	if (ss->magic != SESSION_MAGIC)
		return;
	ss->state = STATE_AUTHENTICATED;
	session_bye(ss, CLOSE_BACKEND, RESPCODE_UNAVAILABLE,
	    "The server of the selected mailbox is gone, come back");
}

void
session_unselect(struct session *ss)
{
	ss->selected = NULL;
	ss->state = STATE_AUTHENTICATED;
}

/* --- later ------------------------------------------------------------------ */

static void
advance_soon(void *arg)
{
	struct session *ss = arg;

	if (ss->magic == SESSION_MAGIC)
		session_advance(ss);
}

void
session_soon(struct session *ss)
{
	loop_at_end(ss->worker->loop, advance_soon, ss);
}

/* --- for handlers -------------------------------------------------------------- */

struct write
session_write(struct session *ss)
{
	struct write w;

	write_init(&w, stream_out(ss->client), WRITE_SERVER);
	return w;
}

void
session_flush(struct session *ss)
{
	if (ss->phase == PHASE_CLOSING)
		return;
	if (buf_failed(stream_out(ss->client)))
		session_soon(ss);
	stream_flush(ss->client);
}

size_t
session_room(struct session *ss)
{
	return buf_room(stream_out(ss->client));
}

void
session_when_room(struct session *ss, size_t n,
    void (*room)(struct session *ss))
{
	ss->cmd.room = room;
	ss->cmd.room_wanted = n;
	session_flush(ss);
	session_soon(ss);
}

/* Whoever waits for the client to read has his turn. */
static void
give_room(struct session *ss)
{
	void (*room)(struct session *) = ss->cmd.room;
	struct leg *g, *next;

	if (room != NULL && session_room(ss) >= ss->cmd.room_wanted) {
		ss->cmd.room = NULL;
		room(ss);
	}
	if (ss->magic != SESSION_MAGIC)
		return;
	TAILQ_FOREACH_SAFE (g, &ss->legs, entry, next)
		if (g->wants_room && g->ss != NULL)
			leg_advance(g);
}

const struct mboxname_layout *
session_layout(const struct session *ss)
{
	return ss->admin ? &ss->worker->admin_layout : &ss->worker->layout;
}

struct slice
session_name(struct session *ss, struct slice external)
{
	const struct mboxname_view view = { .layout = session_layout(ss),
		.user = slice_str(ss->user) };
	struct slice name = { NULL, 0 };
	const char *why;

	why = mboxname_from_external(&ss->arena, &view, external, &name);
	if (why == NULL)
		return name;
	session_done(ss, WRITE_NO, RESPCODE_CANNOT, why);
	return slice_of(NULL, 0);
}

unsigned
session_rights(struct session *ss, struct slice name, struct slice acl)
{
	struct mboxname_view who = { .layout = &ss->worker->layout,
		.user = slice_str(ss->user) };

	return acl_of_user(&who, ss->admin, name, acl);
}

struct leg *
session_leg(struct session *ss, const char *server)
{
	struct leg *g;

	TAILQ_FOREACH (g, &ss->legs, entry)
		if (strcmp(g->server, server) == 0)
			return g;
	g = leg_new(ss, server);
	TAILQ_INSERT_TAIL(&ss->legs, g, entry);
	return g;
}

void
session_logged_in(struct session *ss, const char *user)
{
	const struct proxyd_conf *conf = ss->worker->conf;
	const struct collect_limits limits = { conf->max_line,
		conf->max_literal, 1000 };

	ss->user = xstrdup(user);
	ss->admin = proxyd_is_admin(conf, user);
	ss->state = STATE_AUTHENTICATED;
	ss->active = loop_now(ss->worker->loop);
	timer_set(ss->timer, (int64_t)conf->idle_ms);
	stream_set_idle(ss->client,
	    (unsigned)(conf->idle_ms / 1000) + SLACK_SECONDS);
	collect_set_limits(&ss->collect, &limits);
	log_info(ss->worker->log, "logged in", "sid", ss->sid, "user", user,
	    "client", stream_peer(ss->client), "tls",
	    stream_tls_text(ss->client), NULL);
}

/* --- events ------------------------------------------------------------------- */

void
session_advance(struct session *ss)
{
	unsigned turn = 0;

	if (buf_failed(stream_out(ss->client))) {
		/* Something is missing in the midst of what we said. */
		session_free(ss, CLOSE_CLIENT);
		return;
	}
	while (ss->magic == SESSION_MAGIC && turn < TURN_COMMANDS &&
	       session_step(ss))
		turn++;
	if (ss->magic != SESSION_MAGIC)
		return;
	if (turn >= TURN_COMMANDS)
		session_soon(ss);
	give_room(ss);
	if (ss->magic != SESSION_MAGIC || ss->phase == PHASE_CLOSING)
		return;
	stream_want_read(ss->client, session_wants_input(ss));
}

static void
on_client(void *arg, enum stream_event ev)
{
	struct session *ss = session_of(arg);

	switch (ev) {
	case STREAM_CLOSED:
		session_free(ss, CLOSE_CLIENT);
		return;
	case STREAM_SECURE:
		/* STARTTLS, or a TLS port: only the latter awaits it. */
		if (!ss->greeted)
			cmd_auth_greet(ss);
		break;
	case STREAM_READ:
		ss->active = loop_now(ss->worker->loop);
		break;
	case STREAM_WRITTEN:
		break;
	}
	session_advance(ss);
}

/* Set once and looked at when it is due, so that commands need not move it. */
static void
on_timer(void *arg)
{
	struct session *ss = session_of(arg);
	int64_t idle = (int64_t)ss->worker->conf->idle_ms, passed;

	if (ss->phase == PHASE_CLOSING)
		return;
	if (ss->user == NULL) {
		session_bye(ss, CLOSE_TIMEOUT, RESPCODE_NONE,
		    "Log in sooner next time");
		return;
	}
	passed = loop_now(ss->worker->loop).ms - ss->active.ms;
	if (passed >= idle && (ss->cmd.what == NULL || ss->phase == PHASE_LINE))
		session_bye(ss, CLOSE_TIMEOUT, RESPCODE_NONE,
		    "You were idle for too long");
	else
		timer_set(ss->timer, passed < idle ? idle - passed : idle);
}

void
session_new(struct imapd *imapd, int fd, bool tls)
{
	static const struct collect_limits limits = { BEFORE_LOGIN_MAX,
		BEFORE_LOGIN_MAX, 8 };
	const struct proxyd_conf *conf = imapd->worker.conf;
	const struct stream_limits stream_limits = { conf->max_line + IN_MORE,
		OUT_MAX, (unsigned)(conf->login_ms / 1000) + 1 };
	struct session *ss = xcalloc(1, sizeof(*ss));
	struct err err;

	ss->magic = SESSION_MAGIC;
	ss->rate = ROUTE_RATE_CLIENT;
	ss->imapd = imapd;
	ss->worker = &imapd->worker;
	ss->state = STATE_NOT_AUTHENTICATED;
	TAILQ_INIT(&ss->legs);
	arena_init(&ss->arena);
	collect_init(&ss->collect, COLLECT_IMAP, &limits, &ss->arena);
	worker_new_sid(ss->sid);
	ss->client =
	    stream_new(ss->worker->loop, fd, &stream_limits, on_client, ss);
	ss->timer = timer_new(ss->worker->loop, on_timer, ss);
	timer_set(ss->timer, (int64_t)conf->login_ms);
	TAILQ_INSERT_TAIL(&imapd->sessions, ss, entry);
	imapd->nsessions++;
	if (tls && stream_start_tls(ss->client, ss->worker->server_tls, NULL,
	               &err) == -1) {
		log_warn(ss->worker->log, "TLS not started", "sid", ss->sid,
		    "why", err.text, NULL);
		session_free(ss, CLOSE_PROTOCOL);
		return;
	}
	if (!tls)
		cmd_auth_greet(ss);
	stream_want_read(ss->client, true);
}
