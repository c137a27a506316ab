#include <stdio.h>

#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_conf.h"
#include "imap/mupdate_ext.h"
#include "imap/mupdate_login.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/stream.h"
#include "proxyd/conf.h"
#include "proxyd/front_state.h"
#include "proxyd/mirror.h"

enum {
	IN_MAX = 256 * 1024, /* octets of the stream's buffers */
	OUT_MAX = 64 * 1024,
	COMING_OCTETS = 64 * 1024 /* of a list, in each mupdate_timeout */
};

#define UPDATE_TAG "U01"

/* --- lines ---------------------------------------------------------------- */

/* What the mirror said of a line; false if the connection is over. */
static bool
taken(struct front *f, struct slice name, int rc, const struct err *err)
{
	if (rc == MIRROR_ODD)
		log_warn(f->use.log, "mailbox left out", "mailbox",
		    LOG_SLICE(name), "why", err->text, NULL);
	if (rc == -1)
		front_fail_mirror(f, err);
	return rc != -1;
}

static bool
take_ok(struct front *f, struct slice tag)
{
	char noop[16];

	snprintf(noop, sizeof(noop), "N%u", f->noop_out);
	if (f->state == FRONT_LOADING && slice_is(tag, UPDATE_TAG))
		mirror_end(f->mirror);
	else if (f->noop_out != 0 && slice_is(tag, noop))
		front_noop_answered(f);
	return f->stream != NULL;
}

static bool
begin_whole(struct front *f, struct slice epoch)
{
	struct err err;

	f->whole = true;
	if (mirror_whole(f->mirror, epoch, &err) == 0)
		return true;
	front_fail_mirror(f, &err);
	return false;
}

/* A line of RFC 3656: an entry, or one that is gone. */
static bool
take_plain(struct front *f, const struct mupdate_message *m)
{
	struct mboxrec rec = { .state = MBOXREC_ACTIVE };
	struct err err;

	if (m->id == MUPDATE_DELETE)
		return taken(f, m->args[0],
		    mirror_gone(f->mirror, m->args[0], 0, &err), &err);
	rec.location = m->args[1];
	if (m->id == MUPDATE_MAILBOX)
		rec.acl = m->args[2];
	else
		rec.state = MBOXREC_RESERVED;
	return taken(f, m->args[0],
	    mirror_put(f->mirror, m->args[0], &rec, &err), &err);
}

static bool
take_begin(struct front *f, const struct mupdate_message *m)
{
	struct mirror_status st;
	struct slice epoch;

	mirror_status(f->mirror, &st);
	if (m->id == MUPDATE_XSINCE && st.epoch[0] != '\0' &&
	    slice_is(m->args[0], st.epoch)) {
		mirror_since(f->mirror);
		return true;
	}
	if (m->id == MUPDATE_XFULL &&
	    mupdate_ext_get_full(m, &epoch, &f->expected))
		return begin_whole(f, epoch);
	front_fail(f, "the list begins with another epoch than asked for");
	return false;
}

static bool
take_ext(struct front *f, const struct mupdate_message *m)
{
	struct mboxrec rec = { 0 };
	struct slice name;
	struct err err;
	uint64_t revision;

	if (m->id == MUPDATE_XENTRY && mupdate_ext_get_entry(m, &name, &rec))
		return taken(f, name, mirror_put(f->mirror, name, &rec, &err),
		    &err);
	if (m->id == MUPDATE_XGONE && mupdate_ext_get_gone(m, &name, &revision))
		return taken(f, name,
		    mirror_gone(f->mirror, name, revision, &err), &err);
	if (m->id == MUPDATE_XAT && mupdate_ext_get_at(m, &revision)) {
		mirror_at(f->mirror, revision);
		return true;
	}
	front_fail(f, "a line that is not in form");
	return false;
}

/* False if the connection is over. */
static bool
take_message(struct front *f)
{
	const struct mupdate_message *m = mupdate_message(f->parser);
	bool begun = mirror_is_fed(f->mirror);

	switch (m->id) {
	case MUPDATE_OK:
		if (begun)
			return take_ok(f, m->tag);
		break;
	case MUPDATE_XSINCE:
	case MUPDATE_XFULL:
		if (!begun)
			return take_begin(f, m);
		break;
	case MUPDATE_MAILBOX:
	case MUPDATE_RESERVE:
	case MUPDATE_DELETE:
		if (begun)
			return take_plain(f, m);
		break;
	case MUPDATE_XENTRY:
	case MUPDATE_XGONE:
	case MUPDATE_XAT:
		if (begun)
			return take_ext(f, m);
		break;
	default:
		front_fail(f,
		    m->id == -1 ? m->error : "it says NO, BAD or BYE");
		return false;
	}
	front_fail(f, "a line that does not belong here");
	return false;
}

/* --- login ---------------------------------------------------------------- */

static void
subscribe(struct front *f)
{
	bool ext = mupdate_login_xmurder(f->login);
	struct buf *out = stream_out(f->stream);
	struct mirror_status st;

	mirror_status(f->mirror, &st);
	f->connects++;
	f->expected = 0;
	f->whole = false;
	front_enter(f, FRONT_LOADING);
	if (ext)
		mupdate_ext_put_update(out, UPDATE_TAG, slice_str(st.epoch),
		    st.revision);
	else
		mupdate_put_command(out, UPDATE_TAG, MUPDATE_CMD_UPDATE, NULL,
		    0);
	if (!ext)
		(void)begin_whole(f, slice_str("")); /* has failed f if so */
}

/* A path has no name that a certificate could bear. */
static const char *
expected_name(const struct front *f)
{
	if (f->use.conf->backend_ca == NULL || f->host[0] == '\0')
		return NULL;
	return f->host;
}

static bool
take_login(struct front *f, enum mupdate_event ev)
{
	struct err err;

	switch (mupdate_login_take(f->login, f->parser, ev,
	    stream_out(f->stream), &err)) {
	case MUPDATE_LOGIN_WAIT:
		return true;
	case MUPDATE_LOGIN_TLS:
		if (stream_start_tls(f->stream, f->use.tls, expected_name(f),
		        &err) == -1)
			break;
		return true;
	case MUPDATE_LOGIN_DONE:
		subscribe(f);
		return f->stream != NULL;
	case MUPDATE_LOGIN_FAILED:
		break;
	}
	front_fail(f, err.text);
	return false;
}

/* False if the connection is over. */
static bool
take_event(struct front *f, enum mupdate_event ev)
{
	switch (ev) {
	case MUPDATE_MORE:
		return true;
	case MUPDATE_ERROR:
		front_fail(f, mupdate_error(f->parser));
		return false;
	case MUPDATE_GO_AHEAD:
		mupdate_put_go_ahead(stream_out(f->stream));
		return true;
	case MUPDATE_LINE:
	case MUPDATE_MESSAGE:
		break;
	}
	if (f->state == FRONT_CONNECTING)
		return take_login(f, ev);
	if (ev == MUPDATE_MESSAGE)
		return take_message(f);
	front_fail(f, "a line that does not belong here");
	return false;
}

/* --- bursts --------------------------------------------------------------- */

void
front_want_step(struct front *f)
{
	stream_want_read(f->stream, false);
	task_want(f->step);
}

/* After a burst: what it left in the mirror, and what to wait for now. */
static void
advance(struct front *f)
{
	bool busy = mirror_busy(f->mirror);
	struct err err;

	if (!busy && f->state == FRONT_STREAMING) {
		if (mirror_settle(f->mirror, &err) == -1) {
			front_fail_mirror(f, &err);
			return;
		}
		busy = mirror_busy(f->mirror);
		if (!busy)
			front_look(f);
	}
	if (f->state == FRONT_STREAMING && f->noop_out == 0)
		timer_set(f->timer, (int64_t)f->use.conf->mupdate_ms);
	stream_flush(f->stream);
	if (busy)
		front_want_step(f);
	else
		stream_want_read(f->stream, true);
}

static void
take_input(struct front *f)
{
	struct buf *in = stream_in(f->stream);
	enum mupdate_event ev;
	size_t n;

	mirror_clock(f->mirror, (uint64_t)loop_wall(f->use.loop).ms / 1000);
	do {
		ev = mupdate_next(f->parser, buf_data(in), buf_len(in), &n);
		buf_drop(in, n);
		if (!take_event(f, ev))
			return;
	} while (ev != MUPDATE_MORE && !mirror_busy(f->mirror));
	advance(f);
}

static void
loaded(struct front *f)
{
	struct mirror_status st;

	mirror_status(f->mirror, &st);
	log_info(f->use.log,
	    f->whole ? "mailbox list is current" : "mailbox list has caught up",
	    "server", f->use.conf->mupdate_server, "mailboxes",
	    LOG_NUM(st.entries), "changed", LOG_NUM(st.put), "removed",
	    LOG_NUM(st.removed), "revision", LOG_NUM(st.revision), "ms",
	    LOG_NUM(loop_now(f->use.loop).ms - f->since.ms), NULL);
	front_enter(f, FRONT_STREAMING);
	front_is_current(f);
}

static void
on_step(void *arg)
{
	struct front *f = front_of(arg);
	struct err err;

	if (mirror_step(f->mirror, &err) == -1) {
		front_fail_mirror(f, &err);
		return;
	}
	if (mirror_busy(f->mirror)) {
		task_want(f->step);
		return;
	}
	if (f->state == FRONT_LOADING)
		loaded(f);
	if (f->noop_ok)
		front_noop_answered(f);
	if (f->stream == NULL)
		return;
	if (mirror_busy(f->mirror))
		front_want_step(f);
	else
		take_input(f); /* what came before we stopped reading */
}

static void
on_stream(void *arg, enum stream_event ev)
{
	struct front *f = front_of(arg);

	if (ev == STREAM_CLOSED) {
		front_fail(f, stream_error(f->stream));
		return;
	}
	if (mirror_busy(f->mirror))
		return; /* on_step() goes on */
	if (ev == STREAM_READ)
		take_input(f);
	else
		advance(f);
}

static int
open_stream(struct front *f, int fd, struct err *err)
{
	static const struct stream_limits limits = { IN_MAX, OUT_MAX, 0 };
	const struct proxyd_conf *conf = f->use.conf;
	struct mupdate_limits most = mupdate_defaults();

	f->stream = stream_new(f->use.loop, fd, &limits, on_stream, f);
	f->step = task_new(f->use.loop, on_step, f);
	f->parser = mupdate_new(MUPDATE_CLIENT, &most);
	f->secret = (struct auth_secret){ .authcid = conf->mupdate_user,
		.password = conf->mupdate_password };
	f->login = mupdate_login_new(
	    &(struct mupdate_login_want){ .secret = &f->secret,
	        .host = f->host,
	        .starttls = conf->mupdate_tls == MUPDATE_TLS_STARTTLS,
	        .external = conf->backend_cert != NULL });
	if (conf->mupdate_tls == MUPDATE_TLS_YES &&
	    stream_start_tls(f->stream, f->use.tls, expected_name(f), err) ==
	        -1)
		return -1;
	stream_want_read(f->stream, true);
	return 0;
}

static void
on_dial(void *arg, int fd, const char *why)
{
	struct front *f = front_of(arg);
	struct err err;

	dial_free(&f->dial);
	if (fd == -1)
		front_fail(f, why);
	else if (open_stream(f, fd, &err) == -1)
		front_fail(f, err.text);
}

void
front_dial(struct front *f)
{
	const char *server = f->use.conf->mupdate_server;
	char port[ENDPOINT_PORT];
	struct err err;

	/* What cannot be split dial refuses itself. */
	if (endpoint_is_path(server) ||
	    endpoint_split(server, f->host, port, &err) == -1)
		f->host[0] = '\0';
	f->dial = dial_new(f->use.loop, f->use.jobs, server,
	    (unsigned)((f->use.conf->mupdate_ms + 999) / 1000), on_dial, f);
}

void
front_hang_up(struct front *f)
{
	dial_free(&f->dial);
	mupdate_login_free(&f->login);
	mupdate_free(&f->parser);
	stream_free(&f->stream);
	task_free(&f->step);
}

bool
front_feed_comes_on(struct front *f)
{
	uint64_t before = f->octets;

	f->octets = stream_octets_in(f->stream);
	return mirror_busy(f->mirror) || f->octets - before >= COMING_OCTETS;
}
