#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/uplink.h"
#include "imap/mupdate.h"
#include "imap/mupdate_login.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/endpoint.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

#define UPLINK_MAGIC 0x0b11e4c5u

enum {
	DIAL_SECONDS = 10,
	LOGIN_MS = 15 * 1000,
	KEEPALIVE_MS = 60 * 1000,
	IN_MAX = 64 * 1024,
	OUT_MAX = 8 * 1024 * 1024,
	COMMAND_MAX = 384 * 1024, /* three strings of the grammar's limit */
	TURN_MESSAGES = 256,
	STRING_MAX = 200,
	TAG_MAX = 24
};

enum state {
	STATE_DOWN,  /* waiting for the next attempt */
	STATE_DIAL,  /* connecting */
	STATE_TLS,   /* shaking hands */
	STATE_LOGIN, /* banner to "Authenticated" */
	STATE_UP
};

static const char *const state_names[] = { "down", "dial", "tls", "login",
	"up" };

/* What may follow; anything may fail. */
static const unsigned state_next[] = {
	[STATE_DOWN] = 1u << STATE_DIAL,
	[STATE_DIAL] = 1u << STATE_DOWN | 1u << STATE_TLS | 1u << STATE_LOGIN,
	[STATE_TLS] = 1u << STATE_DOWN | 1u << STATE_LOGIN,
	[STATE_LOGIN] = 1u << STATE_DOWN | 1u << STATE_TLS | 1u << STATE_UP,
	[STATE_UP] = 1u << STATE_DOWN,
};

struct request {
	TAILQ_ENTRY(request) link;
	uint64_t number;
	uplink_line *line;
	uplink_done *done;
	void *arg;
};

TAILQ_HEAD(request_list, request);

struct uplink {
	unsigned magic;
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	const struct uplink_conf *conf;
	struct auth_secret secret;
	void (*changed)(void *arg, bool up);
	void *arg;

	enum state state;
	struct dial *dial;
	struct stream *stream;
	struct mupdate *mupdate;
	struct mupdate_login *login;
	struct timer *timer; /* the state's deadline or pause */
	struct task *turn;   /* more input than one turn takes */
	bool xmurder;        /* of the banner */
	unsigned pause_ms;
	uint64_t number;            /* of the last request */
	struct request_list sent;   /* in order; the head is answered next */
	struct request_list failed; /* to be answered UNAVAILABLE, soon */
	struct task *failing;
};

/* --- states ---------------------------------------------------------------- */

static void
enter(struct uplink *u, enum state state)
{
	MUST(state_next[u->state] & 1u << state);
	log_debug(u->log, "update server link", "state", state_names[state],
	    NULL);
	u->state = state;
}

static void
drop_connection(struct uplink *u)
{
	dial_free(&u->dial);
	stream_free(&u->stream);
	mupdate_free(&u->mupdate);
	mupdate_login_free(&u->login);
}

/* Half to all of the pause, so that many backends do not come at once. */
static void
schedule(struct uplink *u)
{
	unsigned half = u->pause_ms / 2;

	timer_set(u->timer, half + (unsigned)rand_below(half + 1));
	u->pause_ms *= 2;
	if (u->pause_ms > u->conf->last_ms)
		u->pause_ms = u->conf->last_ms;
}

static void
fail(struct uplink *u, const char *why)
{
	bool was_up = u->state == STATE_UP;

	log_warn(u->log, "update server link down", "server", u->conf->server,
	    "state", state_names[u->state], "why", why, NULL);
	drop_connection(u);
	enter(u, STATE_DOWN);
	TAILQ_CONCAT(&u->failed, &u->sent, link);
	if (!TAILQ_EMPTY(&u->failed))
		task_want(u->failing);
	schedule(u);
	if (was_up)
		u->changed(u->arg, false);
}

static void
answer_failed(void *arg)
{
	struct uplink *u = arg;
	struct request *r;

	while ((r = TAILQ_FIRST(&u->failed)) != NULL) {
		TAILQ_REMOVE(&u->failed, r, link);
		r->done(r->arg, UPLINK_LOST,
		    "the update server cannot be reached");
		free(r);
	}
}

/* --- requests -------------------------------------------------------------- */

static void
arm(struct uplink *u)
{
	timer_set(u->timer,
	    TAILQ_EMPTY(&u->sent) ? KEEPALIVE_MS : u->conf->answer_ms);
}

static void
tag_of(const struct request *r, char tag[TAG_MAX])
{
	snprintf(tag, TAG_MAX, "B%llu", (unsigned long long)r->number);
}

void
uplink_ask(struct uplink *u, uplink_put *put, uplink_line *line,
    uplink_done *done, void *arg)
{
	struct request *r = xcalloc(1, sizeof(*r));
	struct buf command;
	char tag[TAG_MAX];

	*r = (struct request){ .line = line, .done = done, .arg = arg };
	r->number = ++u->number;
	tag_of(r, tag);
	buf_init(&command, COMMAND_MAX);
	if (u->state == STATE_UP)
		put(arg, &command, tag);
	if (u->state == STATE_UP && !buf_failed(&command) &&
	    buf_len(&command) <= buf_room(stream_out(u->stream))) {
		buf_put_slice(stream_out(u->stream), buf_slice(&command));
		TAILQ_INSERT_TAIL(&u->sent, r, link);
		if (TAILQ_FIRST(&u->sent) == r)
			arm(u);
		stream_flush(u->stream);
	} else {
		TAILQ_INSERT_TAIL(&u->failed, r, link);
		task_want(u->failing);
	}
	buf_fini(&command);
}

static void
put_noop(void *arg, struct buf *out, const char *tag)
{
	(void)arg; /* nothing to say */
	mupdate_put_command(out, tag, MUPDATE_CMD_NOOP, NULL, 0);
}

static void
kept_alive(void *arg, enum uplink_end end, const char *text)
{
	(void)arg; /* the timer watches over it */
	(void)end;
	(void)text;
}

/* --- answers --------------------------------------------------------------- */

static void
take_end(struct uplink *u, struct request *r, const struct mupdate_message *msg)
{
	struct slice text = msg->nargs > 0 ? msg->args[0] : slice_str("");
	char *copy =
	    xstrndup(text.ptr, text.len < STRING_MAX ? text.len : STRING_MAX);

	TAILQ_REMOVE(&u->sent, r, link);
	arm(u);
	r->done(r->arg, msg->id == MUPDATE_OK ? UPLINK_OK : UPLINK_NO, copy);
	free(copy);
	free(r);
}

static void
take_message(struct uplink *u)
{
	const struct mupdate_message *msg = mupdate_message(u->mupdate);
	struct request *r = TAILQ_FIRST(&u->sent);
	char tag[TAG_MAX];

	if (msg->id == -1) {
		fail(u, msg->error);
		return;
	}
	if (slice_is(msg->tag, "*")) {
		if (msg->id == MUPDATE_BYE)
			fail(u, "the server says BYE");
		return;
	}
	if (r != NULL)
		tag_of(r, tag);
	if (r == NULL || !slice_is(msg->tag, tag)) {
		fail(u, "an answer to what was not asked");
		return;
	}
	switch (msg->id) {
	case MUPDATE_OK:
	case MUPDATE_NO:
	case MUPDATE_BAD:
		take_end(u, r, msg);
		return;
	case MUPDATE_BYE:
		fail(u, "an answer that is none");
		return;
	default:
		arm(u); /* a long list is no silence */
		if (r->line != NULL)
			r->line(r->arg, msg);
	}
}

static void
start_tls(struct uplink *u)
{
	char host[ENDPOINT_HOST], port[ENDPOINT_PORT];
	const char *name = host;
	struct err err;

	enter(u, STATE_TLS);
	/* A path has no name that a certificate could bear. */
	if (endpoint_is_path(u->conf->server) ||
	    endpoint_split(u->conf->server, host, port, &err) == -1)
		name = NULL;
	if (u->conf->tls == NULL)
		fail(u, "TLS is not set up here");
	else if (stream_start_tls(u->stream, u->conf->tls, name, &err) == -1)
		fail(u, err.text);
}

static void
take_login(struct uplink *u, enum mupdate_event ev)
{
	struct err err;

	switch (mupdate_login_take(u->login, u->mupdate, ev,
	    stream_out(u->stream), &err)) {
	case MUPDATE_LOGIN_WAIT:
		stream_flush(u->stream);
		return;
	case MUPDATE_LOGIN_TLS:
		stream_flush(u->stream);
		start_tls(u);
		return;
	case MUPDATE_LOGIN_FAILED:
		fail(u, err.text);
		return;
	case MUPDATE_LOGIN_DONE:
		break;
	}
	u->xmurder = mupdate_login_xmurder(u->login);
	mupdate_login_free(&u->login);
	enter(u, STATE_UP);
	u->pause_ms = u->conf->first_ms;
	arm(u);
	log_info(u->log, "update server link up", "server", u->conf->server,
	    "extension", u->xmurder ? "XMURDER" : "none", NULL);
	u->changed(u->arg, true);
}

/* --- the connection -------------------------------------------------------- */

static void
advance(struct uplink *u)
{
	enum mupdate_event ev;
	struct buf *in;
	size_t taken;

	for (int i = 0; u->state == STATE_LOGIN || u->state == STATE_UP; i++) {
		if (i == TURN_MESSAGES) {
			task_want(u->turn);
			return;
		}
		in = stream_in(u->stream);
		ev =
		    mupdate_next(u->mupdate, buf_data(in), buf_len(in), &taken);
		buf_drop(in, taken);
		if (ev == MUPDATE_MORE)
			break;
		if (ev == MUPDATE_ERROR)
			fail(u, mupdate_error(u->mupdate));
		else if (u->state == STATE_LOGIN)
			take_login(u, ev);
		else if (ev == MUPDATE_MESSAGE)
			take_message(u);
	}
	if (u->stream != NULL)
		stream_want_read(u->stream, u->state != STATE_TLS);
}

static void
stream_event(void *arg, enum stream_event ev)
{
	struct uplink *u = arg;

	MUST(u->magic == UPLINK_MAGIC);
	if (ev == STREAM_CLOSED) {
		fail(u, stream_error(u->stream));
		return;
	}
	if (ev == STREAM_SECURE) {
		MUST(u->state == STATE_TLS && u->login != NULL);
		enter(u, STATE_LOGIN);
	}
	advance(u);
}

static void
dialled(void *arg, int fd, const char *why)
{
	struct uplink *u = arg;
	struct stream_limits limits = { IN_MAX, OUT_MAX, 0 };
	struct mupdate_limits grammar = mupdate_defaults();
	struct mupdate_login_want want = { &u->secret, u->conf->server,
		u->conf->starttls && !u->conf->implicit, u->conf->external };

	MUST(u->magic == UPLINK_MAGIC && u->state == STATE_DIAL);
	dial_free(&u->dial);
	if (fd == -1) {
		fail(u, why);
		return;
	}
	u->stream = stream_new(u->loop, fd, &limits, stream_event, u);
	u->mupdate = mupdate_new(MUPDATE_CLIENT, &grammar);
	u->login = mupdate_login_new(&want);
	timer_set(u->timer, LOGIN_MS);
	if (u->conf->implicit) {
		start_tls(u);
		return;
	}
	enter(u, STATE_LOGIN);
	advance(u);
}

static void
timed(void *arg)
{
	struct uplink *u = arg;

	MUST(u->magic == UPLINK_MAGIC);
	if (u->state == STATE_DOWN) {
		enter(u, STATE_DIAL);
		u->dial = dial_new(u->loop, u->jobs, u->conf->server,
		    DIAL_SECONDS, dialled, u);
	} else if (u->state == STATE_UP && TAILQ_EMPTY(&u->sent)) {
		uplink_ask(u, put_noop, NULL, kept_alive, NULL);
	} else {
		fail(u, "no answer in time");
	}
}

static void
more_turn(void *arg)
{
	advance(arg);
}

struct uplink *
uplink_new(struct loop *l, struct jobs *jobs, struct log *log,
    const struct uplink_conf *conf, void (*changed)(void *arg, bool up),
    void *arg)
{
	struct uplink *u = xcalloc(1, sizeof(*u));

	MUST(conf->first_ms > 0 && conf->first_ms <= conf->last_ms);
	u->magic = UPLINK_MAGIC;
	u->loop = l;
	u->jobs = jobs;
	u->log = log;
	u->conf = conf;
	u->secret = (struct auth_secret){ .authcid = conf->user,
		.password = conf->password,
		.mechanisms = conf->mechanisms };
	u->changed = changed;
	u->arg = arg;
	u->pause_ms = conf->first_ms;
	u->timer = timer_new(l, timed, u);
	u->turn = task_new(l, more_turn, u);
	u->failing = task_new(l, answer_failed, u);
	TAILQ_INIT(&u->sent);
	TAILQ_INIT(&u->failed);
	timer_set(u->timer, 0);
	return u;
}

static void
drop_all(struct request_list *list)
{
	struct request *r;

	while ((r = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, r, link);
		free(r);
	}
}

void
uplink_free(struct uplink **up)
{
	struct uplink *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	drop_connection(u);
	drop_all(&u->sent);
	drop_all(&u->failed);
	timer_free(&u->timer);
	task_free(&u->turn);
	task_free(&u->failing);
	u->magic = 0;
	free(u);
}

bool
uplink_is_up(const struct uplink *u)
{
	return u->state == STATE_UP;
}

bool
uplink_has_xmurder(const struct uplink *u)
{
	return u->state == STATE_UP && u->xmurder;
}
