#include <stdlib.h>

#include "imap/mupdate.h"
#include "imap/mupdate_conf.h"
#include "imap/mupdate_login.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/endpoint.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "mupdated/ctl/conf.h"
#include "mupdated/ctl/asker.h"

#define ASKER_MAGIC 0xc711114bu
#define TAG         "C01"

enum {
	IN_MAX = 256 * 1024,
	OUT_MAX = 512 * 1024,
	TURN_MESSAGES = 256
};

enum state {
	STATE_DIAL,
	STATE_TLS,
	STATE_LOGIN,
	STATE_READY,
	STATE_ASKED,
	STATE_ENDED /* for ever */
};

/* What to look at when it ends there. */
static const char *const hints[] = {
	[STATE_DIAL] = "is mupdated running there, and is mupdate_server (or "
	               "-s) right?",
	[STATE_TLS] = "look at mupdate_tls and mupdate_ca",
	[STATE_LOGIN] = "look at mupdate_user (or -u), mupdate_password_file "
	                "and mupdate_tls, and at the update server's log",
	[STATE_READY] = "try again",
	[STATE_ASKED] = "look at the update server's log, and try again",
	[STATE_ENDED] = "",
};

struct asker {
	unsigned magic;
	struct loop *loop;
	const struct ctl_conf *conf;
	struct jobs *jobs;
	struct tls *tls;
	struct auth_secret secret;
	char *password;

	enum state state;
	struct dial *dial;
	struct stream *stream;
	struct mupdate *mupdate;
	struct mupdate_login *login;
	struct timer *timer; /* the server's silence */
	struct task *turn;

	asker_line *line;
	void *arg;
	enum asker_end end;
	struct err *err; /* of the call that runs the loop */
};

static void
finish(struct asker *a, enum state state, enum asker_end end)
{
	a->state = state;
	a->end = end;
	timer_stop(a->timer);
	loop_stop(a->loop);
}

static void
fail(struct asker *a, const char *why)
{
	(void)err_set(a->err, "%s: %s; %s", a->conf->server, why,
	    hints[a->state]);
	finish(a, STATE_ENDED, ASKER_LOST);
}

static void
arm(struct asker *a)
{
	timer_set(a->timer, (int64_t)a->conf->answer_ms);
}

/* --- answers --------------------------------------------------------------- */

static void
take_message(struct asker *a)
{
	const struct mupdate_message *m = mupdate_message(a->mupdate);
	struct slice text = m->nargs > 0 ? m->args[0] : slice_str("");

	if (m->id == -1) {
		fail(a, m->error);
		return;
	}
	if (m->id == MUPDATE_BYE) {
		fail(a, "the server says BYE");
		return;
	}
	if (a->state != STATE_ASKED || !slice_is(m->tag, TAG))
		return; /* an untagged line, or one that came too late */
	arm(a);
	switch (m->id) {
	case MUPDATE_OK:
		finish(a, STATE_READY, ASKER_OK);
		break;
	case MUPDATE_NO:
	case MUPDATE_BAD:
		(void)err_set(a->err, "%.*s",
		    (int)(text.len < 300 ? text.len : 300),
		    (const char *)text.ptr);
		finish(a, STATE_READY, ASKER_NO);
		break;
	default:
		if (!a->line(a->arg, m))
			finish(a, STATE_ENDED, ASKER_STOPPED);
	}
}

static void
start_tls(struct asker *a)
{
	struct err err;
	char host[ENDPOINT_HOST], port[ENDPOINT_PORT];
	const char *name = host;

	a->state = STATE_TLS;
	if (endpoint_split(a->conf->server, host, port, &err) == -1)
		name = NULL; /* a socket */
	if (stream_start_tls(a->stream, a->tls, name, &err) == -1)
		fail(a, err.text);
}

static void
take_login(struct asker *a, enum mupdate_event ev)
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
	if (mupdate_login_xmurder(a->login)) {
		finish(a, STATE_READY, ASKER_OK);
		return;
	}
	(void)err_set(a->err,
	    "%s: it does not offer XMURDER, so it is not our mupdated; "
	    "murderctl has nothing to ask it",
	    a->conf->server);
	finish(a, STATE_ENDED, ASKER_LOST);
}

/* --- the connection -------------------------------------------------------- */

static void
advance(struct asker *a)
{
	enum mupdate_event ev;
	struct buf *in;
	size_t taken;

	for (int i = 0; a->state == STATE_LOGIN || a->state == STATE_ASKED;
	     i++) {
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
		stream_want_read(a->stream,
		    a->state == STATE_LOGIN || a->state == STATE_ASKED);
}

static void
more_turn(void *arg)
{
	advance(arg);
}

static void
stream_event(void *arg, enum stream_event ev)
{
	struct asker *a = arg;

	MUST(a->magic == ASKER_MAGIC);
	if (a->state == STATE_ENDED)
		return;
	if (ev == STREAM_CLOSED) {
		fail(a, stream_error(a->stream));
		return;
	}
	if (ev == STREAM_SECURE)
		a->state = STATE_LOGIN;
	advance(a);
}

static void
dialled(void *arg, int fd, const char *why)
{
	struct asker *a = arg;
	struct stream_limits limits = { IN_MAX, OUT_MAX, 0 };
	struct mupdate_limits grammar = mupdate_defaults();
	struct mupdate_login_want want = { &a->secret, a->conf->server,
		a->conf->tls == MUPDATE_TLS_STARTTLS, a->conf->cert != NULL };

	MUST(a->magic == ASKER_MAGIC && a->state == STATE_DIAL);
	if (fd == -1) {
		fail(a, why);
		return;
	}
	a->stream = stream_new(a->loop, fd, &limits, stream_event, a);
	a->mupdate = mupdate_new(MUPDATE_CLIENT, &grammar);
	a->login = mupdate_login_new(&want);
	if (a->conf->tls == MUPDATE_TLS_YES) {
		start_tls(a);
		return;
	}
	a->state = STATE_LOGIN;
	advance(a);
}

static void
timed(void *arg)
{
	fail(arg, "no answer in time");
}

static int
prepare(struct asker *a, struct err *err)
{
	const struct ctl_conf *c = a->conf;

	if (c->server == NULL)
		return err_set(err, "no update server: set mupdate_server in "
		                    "the configuration, or give -s HOST:PORT");
	if (c->user == NULL && c->cert == NULL)
		return err_set(err, "nobody to log in as: set mupdate_user "
		                    "and mupdate_password_file");
	if (ctl_conf_password(c, &a->password, err) == -1)
		return -1;
	if (a->password == NULL && c->cert == NULL)
		return err_set(err, "no password: set mupdate_password_file to "
		                    "a file that has it in its first line");
	a->secret = (struct auth_secret){ .authcid = c->user,
		.password = a->password,
		.mechanisms = c->mechanisms };
	return ctl_conf_tls(c, &a->tls, err);
}

int
asker_open(struct asker **ap, struct loop *loop, const struct ctl_conf *conf,
    struct err *err)
{
	struct asker *a = xcalloc(1, sizeof(*a));

	a->magic = ASKER_MAGIC;
	a->loop = loop;
	a->conf = conf;
	a->err = err;
	*ap = a;
	if (prepare(a, err) == -1) {
		asker_close(ap);
		return -1;
	}
	a->timer = timer_new(loop, timed, a);
	a->turn = task_new(loop, more_turn, a);
	a->jobs = jobs_new(loop, 1);
	a->dial = dial_new(loop, a->jobs, conf->server,
	    (unsigned)((conf->answer_ms + 999) / 1000), dialled, a);
	arm(a);
	loop_run(loop);
	if (a->state == STATE_READY)
		return 0;
	asker_close(ap);
	return -1;
}

void
asker_close(struct asker **ap)
{
	struct asker *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	dial_free(&a->dial);
	stream_free(&a->stream);
	mupdate_free(&a->mupdate);
	mupdate_login_free(&a->login);
	timer_free(&a->timer);
	task_free(&a->turn);
	jobs_free(&a->jobs);
	tls_free(&a->tls);
	if (a->password != NULL)
		wipe(a->password, strlen(a->password));
	free(a->password);
	a->magic = 0;
	free(a);
}

enum asker_end
asker_ask(struct asker *a, asker_put *put, asker_line *line, void *arg,
    struct err *err)
{
	MUST(a->state == STATE_READY);
	a->state = STATE_ASKED;
	a->line = line;
	a->arg = arg;
	a->err = err;
	put(arg, stream_out(a->stream), TAG);
	MUST(!buf_failed(stream_out(a->stream)));
	stream_flush(a->stream);
	arm(a);
	advance(a);
	if (a->state == STATE_ASKED)
		loop_run(a->loop);
	return a->end;
}
