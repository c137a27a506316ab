#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/announce.h"
#include "imap/mupdate.h"
#include "imap/mupdate_login.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

#define ANNOUNCE_MAGIC 0xa110c3edu

enum {
	DIAL_SECONDS = 10,
	LOGIN_MS = 15 * 1000,
	KEEPALIVE_MS = 60 * 1000,
	IN_MAX = 64 * 1024,
	OUT_MAX = 8 * 1024 * 1024,
	COMMAND_MAX = 384 * 1024, /* three strings of the grammar's limit */
	TURN_MESSAGES = 256,
	STRING_MAX = 200
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
	struct announce *owner;
	uint64_t number;
	announce_entry_cb *entry;
	announce_cb *cb; /* NULL: a keep-alive */
	void *arg;
};

TAILQ_HEAD(request_list, request);

struct announce {
	unsigned magic;
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	const struct announce_conf *conf;
	struct auth_secret secret;
	void (*connected)(void *arg);
	void *arg;

	enum state state;
	struct dial *dial;
	struct stream *stream;
	struct mupdate *mupdate;
	struct mupdate_login *login;
	struct timer *timer; /* the state's deadline or pause */
	struct task *turn;   /* more input than one turn takes */
	unsigned pause_ms;
	uint64_t number;            /* of the last request */
	struct request_list sent;   /* in order; the head is answered next */
	struct request_list failed; /* to be answered UNAVAILABLE, soon */
	struct task *failing;
};

/* --- states ---------------------------------------------------------------- */

static void
enter(struct announce *a, enum state state)
{
	MUST(state_next[a->state] & 1u << state);
	log_debug(a->log, "update server link", "state", state_names[state],
	    NULL);
	a->state = state;
}

static void
drop_connection(struct announce *a)
{
	dial_free(&a->dial);
	stream_free(&a->stream);
	mupdate_free(&a->mupdate);
	mupdate_login_free(&a->login);
}

/* Half to all of the pause, so that many backends do not come at once. */
static void
schedule(struct announce *a)
{
	unsigned half = a->pause_ms / 2;

	timer_set(a->timer, half + (unsigned)rand_below(half + 1));
	a->pause_ms *= 2;
	if (a->pause_ms > a->conf->last_ms)
		a->pause_ms = a->conf->last_ms;
}

static void
fail(struct announce *a, const char *why)
{
	log_warn(a->log, "update server link down", "server", a->conf->server,
	    "state", state_names[a->state], "why", why, NULL);
	drop_connection(a);
	enter(a, STATE_DOWN);
	TAILQ_CONCAT(&a->failed, &a->sent, link);
	if (!TAILQ_EMPTY(&a->failed))
		task_want(a->failing);
	schedule(a);
}

static void
answer_failed(void *arg)
{
	struct announce *a = arg;
	struct request *r;

	while ((r = TAILQ_FIRST(&a->failed)) != NULL) {
		TAILQ_REMOVE(&a->failed, r, link);
		if (r->cb != NULL)
			r->cb(r->arg, ANNOUNCE_UNAVAILABLE,
			    "the update server cannot be reached");
		free(r);
	}
}

/* --- requests -------------------------------------------------------------- */

static void
arm(struct announce *a)
{
	timer_set(a->timer,
	    TAILQ_EMPTY(&a->sent) ? KEEPALIVE_MS : a->conf->answer_ms);
}

static void
request(struct announce *a, enum mupdate_command command,
    const struct slice *args, size_t nargs, struct request how)
{
	struct request *r = xcalloc(1, sizeof(*r));
	char tag[24];
	size_t size = 64;

	*r = how;
	r->owner = a;
	for (size_t i = 0; i < nargs; i++)
		size += args[i].len + 16;
	if (a->state != STATE_UP || size > COMMAND_MAX ||
	    size > buf_room(stream_out(a->stream))) {
		TAILQ_INSERT_TAIL(&a->failed, r, link);
		task_want(a->failing);
		return;
	}
	r->number = ++a->number;
	snprintf(tag, sizeof(tag), "B%llu", (unsigned long long)r->number);
	mupdate_put_command(stream_out(a->stream), tag, command, args, nargs);
	MUST(!buf_failed(stream_out(a->stream)));
	TAILQ_INSERT_TAIL(&a->sent, r, link);
	if (TAILQ_FIRST(&a->sent) == r)
		arm(a);
	stream_flush(a->stream);
}

void
announce_reserve(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	struct slice args[] = { slice_str(name), slice_str(location) };

	request(a, MUPDATE_CMD_RESERVE, args, 2,
	    (struct request){ .cb = cb, .arg = arg });
}

void
announce_activate(struct announce *a, const char *name, const char *location,
    const char *acl, announce_cb *cb, void *arg)
{
	struct slice args[] = { slice_str(name), slice_str(location),
		slice_str(acl) };

	request(a, MUPDATE_CMD_ACTIVATE, args, 3,
	    (struct request){ .cb = cb, .arg = arg });
}

void
announce_deactivate(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	struct slice args[] = { slice_str(name), slice_str(location) };

	request(a, MUPDATE_CMD_DEACTIVATE, args, 2,
	    (struct request){ .cb = cb, .arg = arg });
}

void
announce_delete(struct announce *a, const char *name, announce_cb *cb,
    void *arg)
{
	struct slice args[] = { slice_str(name) };

	request(a, MUPDATE_CMD_DELETE, args, 1,
	    (struct request){ .cb = cb, .arg = arg });
}

void
announce_find(struct announce *a, const char *name, announce_entry_cb *entry,
    announce_cb *cb, void *arg)
{
	struct slice args[] = { slice_str(name) };

	request(a, MUPDATE_CMD_FIND, args, 1,
	    (struct request){ .entry = entry, .cb = cb, .arg = arg });
}

void
announce_list(struct announce *a, const char *prefix, announce_entry_cb *entry,
    announce_cb *cb, void *arg)
{
	struct slice args[] = { slice_str(prefix) };

	request(a, MUPDATE_CMD_LIST, args, 1,
	    (struct request){ .entry = entry, .cb = cb, .arg = arg });
}

static void
keep_alive(struct announce *a)
{
	request(a, MUPDATE_CMD_NOOP, NULL, 0, (struct request){ .cb = NULL });
}

/* --- answers --------------------------------------------------------------- */

static void
take_entry(struct announce *a, struct request *r,
    const struct mupdate_message *msg)
{
	struct announce_entry e = { NULL, NULL, NULL };
	char *text[3] = { NULL, NULL, NULL };

	arm(a); /* a long list is no silence */
	if (r->entry == NULL)
		return;
	for (size_t i = 0; i < msg->nargs && i < 3; i++)
		text[i] = xstrndup(msg->args[i].ptr, msg->args[i].len);
	e.name = text[0];
	e.location = text[1];
	e.acl = text[2];
	r->entry(r->arg, &e);
	for (size_t i = 0; i < 3; i++)
		free(text[i]);
}

static void
take_end(struct announce *a, struct request *r,
    const struct mupdate_message *msg)
{
	enum announce_result result =
	    msg->id == MUPDATE_OK ? ANNOUNCE_OK : ANNOUNCE_REFUSED;
	char *text = msg->nargs > 0
	                 ? xstrndup(msg->args[0].ptr,
	                       msg->args[0].len < STRING_MAX ? msg->args[0].len
	                                                     : STRING_MAX)
	                 : xstrdup("");

	TAILQ_REMOVE(&a->sent, r, link);
	arm(a);
	if (r->cb != NULL)
		r->cb(r->arg, result, text);
	free(text);
	free(r);
}

static void
take_message(struct announce *a)
{
	const struct mupdate_message *msg = mupdate_message(a->mupdate);
	struct request *r = TAILQ_FIRST(&a->sent);
	char tag[24];

	if (msg->id == -1) {
		fail(a, msg->error);
		return;
	}
	if (slice_is(msg->tag, "*")) {
		if (msg->id == MUPDATE_BYE)
			fail(a, "the server says BYE");
		return;
	}
	snprintf(tag, sizeof(tag), "B%llu",
	    r == NULL ? 0ULL : (unsigned long long)r->number);
	if (r == NULL || !slice_is(msg->tag, tag)) {
		fail(a, "an answer to what was not asked");
		return;
	}
	switch (msg->id) {
	case MUPDATE_MAILBOX:
	case MUPDATE_RESERVE:
		take_entry(a, r, msg);
		break;
	case MUPDATE_OK:
	case MUPDATE_NO:
	case MUPDATE_BAD:
		take_end(a, r, msg);
		break;
	default:
		fail(a, "an answer that is none");
	}
}

static void
start_tls(struct announce *a)
{
	struct err err;
	const char *colon = strrchr(a->conf->server, ':');
	char *host = colon == NULL ? xstrdup(a->conf->server)
	                           : xstrndup(a->conf->server,
	                                 (size_t)(colon - a->conf->server));

	enter(a, STATE_TLS);
	if (a->conf->tls == NULL)
		fail(a, "TLS is not set up here");
	else if (stream_start_tls(a->stream, a->conf->tls, host, &err) == -1)
		fail(a, err.text);
	free(host);
}

static void
take_login(struct announce *a, enum mupdate_event ev)
{
	struct err err;

	switch (mupdate_login_take(a->login, a->mupdate, ev,
	    stream_out(a->stream), &err)) {
	case MUPDATE_LOGIN_WAIT:
		stream_flush(a->stream);
		return;
	case MUPDATE_LOGIN_TLS:
		stream_flush(a->stream);
		start_tls(a);
		return;
	case MUPDATE_LOGIN_FAILED:
		fail(a, err.text);
		return;
	case MUPDATE_LOGIN_DONE:
		break;
	}
	mupdate_login_free(&a->login);
	enter(a, STATE_UP);
	a->pause_ms = a->conf->first_ms;
	arm(a);
	log_info(a->log, "update server link up", "server", a->conf->server,
	    NULL);
	a->connected(a->arg);
}

/* --- the connection -------------------------------------------------------- */

static void
advance(struct announce *a)
{
	enum mupdate_event ev;
	struct buf *in;
	size_t taken;

	for (int i = 0; a->state == STATE_LOGIN || a->state == STATE_UP; i++) {
		if (i == TURN_MESSAGES) {
			task_want(a->turn);
			return;
		}
		in = stream_in(a->stream);
		ev =
		    mupdate_next(a->mupdate, buf_data(in), buf_len(in), &taken);
		buf_drop(in, taken);
		if (ev == MUPDATE_MORE)
			break;
		if (ev == MUPDATE_ERROR)
			fail(a, mupdate_error(a->mupdate));
		else if (a->state == STATE_LOGIN)
			take_login(a, ev);
		else if (ev == MUPDATE_MESSAGE)
			take_message(a);
	}
	if (a->stream != NULL)
		stream_want_read(a->stream, a->state != STATE_TLS);
}

static void
stream_event(void *arg, enum stream_event ev)
{
	struct announce *a = arg;

	MUST(a->magic == ANNOUNCE_MAGIC);
	if (ev == STREAM_CLOSED) {
		fail(a, stream_error(a->stream));
		return;
	}
	if (ev == STREAM_SECURE) {
		MUST(a->state == STATE_TLS && a->login != NULL);
		enter(a, STATE_LOGIN);
	}
	advance(a);
}

static void
dialled(void *arg, int fd, const char *why)
{
	struct announce *a = arg;
	struct stream_limits limits = { IN_MAX, OUT_MAX, 0 };
	struct mupdate_limits grammar = mupdate_defaults();
	struct mupdate_login_want want = { &a->secret, a->conf->server,
		a->conf->starttls && !a->conf->implicit, a->conf->external };

	MUST(a->magic == ANNOUNCE_MAGIC && a->state == STATE_DIAL);
	dial_free(&a->dial);
	if (fd == -1) {
		fail(a, why);
		return;
	}
	a->stream = stream_new(a->loop, fd, &limits, stream_event, a);
	a->mupdate = mupdate_new(MUPDATE_CLIENT, &grammar);
	a->login = mupdate_login_new(&want);
	timer_set(a->timer, LOGIN_MS);
	if (a->conf->implicit) {
		start_tls(a);
		return;
	}
	enter(a, STATE_LOGIN);
	advance(a);
}

static void
timed(void *arg)
{
	struct announce *a = arg;

	MUST(a->magic == ANNOUNCE_MAGIC);
	if (a->state == STATE_DOWN) {
		enter(a, STATE_DIAL);
		a->dial = dial_new(a->loop, a->jobs, a->conf->server,
		    DIAL_SECONDS, dialled, a);
	} else if (a->state == STATE_UP && TAILQ_EMPTY(&a->sent)) {
		keep_alive(a);
	} else {
		fail(a, "no answer in time");
	}
}

static void
more_turn(void *arg)
{
	advance(arg);
}

struct announce *
announce_new(struct loop *l, struct jobs *jobs, struct log *log,
    const struct announce_conf *conf, void (*connected)(void *arg), void *arg)
{
	struct announce *a = xcalloc(1, sizeof(*a));

	MUST(conf->first_ms > 0 && conf->first_ms <= conf->last_ms);
	a->magic = ANNOUNCE_MAGIC;
	a->loop = l;
	a->jobs = jobs;
	a->log = log;
	a->conf = conf;
	a->secret = (struct auth_secret){ .authcid = conf->user,
		.password = conf->password,
		.mechanisms = conf->mechanisms };
	a->connected = connected;
	a->arg = arg;
	a->pause_ms = conf->first_ms;
	a->timer = timer_new(l, timed, a);
	a->turn = task_new(l, more_turn, a);
	a->failing = task_new(l, answer_failed, a);
	TAILQ_INIT(&a->sent);
	TAILQ_INIT(&a->failed);
	timer_set(a->timer, 0);
	return a;
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
announce_free(struct announce **ap)
{
	struct announce *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	drop_connection(a);
	drop_all(&a->sent);
	drop_all(&a->failed);
	timer_free(&a->timer);
	task_free(&a->turn);
	task_free(&a->failing);
	a->magic = 0;
	free(a);
}

bool
announce_is_up(const struct announce *a)
{
	return a->state == STATE_UP;
}
