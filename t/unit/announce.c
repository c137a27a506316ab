/*
 * announce, against an update server of a few lines in the same loop.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backendd/announce.h"
#include "imap/mupdate.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "t/tap.h"

enum {
	GUARD_MS = 30 * 1000,
	EVENTS_MAX = 64
};

enum manner {
	MANNER_POLITE,
	MANNER_SILENT,   /* takes commands, answers none */
	MANNER_HANGS_UP, /* at the first command */
	MANNER_CONFUSED, /* answers with another tag */
	MANNER_RUDE      /* does not let anyone in */
};

struct server {
	struct loop *loop;
	struct listen *listen;
	int fd;
	char address[64];
	enum manner manner;
	struct stream *stream;
	struct mupdate *mupdate;
	unsigned connections, commands;
};

struct test {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct timer *guard;
	struct server server;
	struct announce_conf conf;
	struct announce *announce;
	unsigned connected, wanted_connected;
	unsigned nanswers, wanted_answers;
	char answers[EVENTS_MAX + 1]; /* O, R or U each, in order */
	char entries[1024];
};

/* --- the server ---------------------------------------------------------------- */

static void
drop(struct server *s)
{
	stream_free(&s->stream);
	mupdate_free(&s->mupdate);
}

static void
answer(struct server *s, const struct mupdate_message *m)
{
	struct buf *out = stream_out(s->stream);
	struct slice place = slice_str("be1!default");
	bool taken =
	    m->nargs > 0 && slice_starts(m->args[0], slice_str("taken"));

	s->commands++;
	if (s->manner == MANNER_CONFUSED) {
		mupdate_put_reply(out, slice_str("nobody"), MUPDATE_OK, "?");
		return;
	}
	if (m->id == MUPDATE_CMD_LIST) {
		mupdate_put_mailbox(out, m->tag, slice_str("user.a"), place,
		    slice_str("a\tlr\t"));
		mupdate_put_reserve(out, m->tag, slice_str("user.b"), place);
	}
	if (m->id == MUPDATE_CMD_FIND && !taken)
		mupdate_put_mailbox(out, m->tag, m->args[0], place,
		    slice_str(""));
	mupdate_put_reply(out, m->tag, taken ? MUPDATE_NO : MUPDATE_OK, "so");
}

static void
command(struct server *s)
{
	const struct mupdate_message *m = mupdate_message(s->mupdate);

	MUST(m->id != -1);
	if (m->id == MUPDATE_CMD_AUTHENTICATE)
		mupdate_put_reply(stream_out(s->stream), m->tag,
		    s->manner == MANNER_RUDE ? MUPDATE_NO : MUPDATE_OK, "in");
	else if (s->manner == MANNER_HANGS_UP)
		drop(s);
	else if (s->manner != MANNER_SILENT)
		answer(s, m);
}

static void
server_event(void *arg, enum stream_event ev)
{
	struct server *s = arg;
	enum mupdate_event got = MUPDATE_MESSAGE;
	size_t taken;

	if (ev == STREAM_CLOSED) {
		drop(s);
		return;
	}
	while (s->stream != NULL && got > MUPDATE_MORE) {
		struct buf *in = stream_in(s->stream);

		got =
		    mupdate_next(s->mupdate, buf_data(in), buf_len(in), &taken);
		buf_drop(in, taken);
		if (got == MUPDATE_MESSAGE)
			command(s);
	}
	if (s->stream == NULL)
		return;
	stream_flush(s->stream);
	stream_want_read(s->stream, true);
}

static void
accepted(void *arg, int fd)
{
	struct server *s = arg;
	struct stream_limits limits = { 65536, 1024 * 1024, 0 };
	struct mupdate_limits grammar = mupdate_defaults();
	struct mupdate_banner banner = { "PLAIN", false, "mu", "fake", "1",
		"(master)" };

	drop(s);
	s->connections++;
	s->stream = stream_new(s->loop, fd, &limits, server_event, s);
	s->mupdate = mupdate_new(MUPDATE_SERVER, &grammar);
	mupdate_put_banner(stream_out(s->stream), &banner);
	stream_flush(s->stream);
	stream_want_read(s->stream, true);
}

static void
server_start(struct test *t)
{
	struct server *s = &t->server;
	struct err err;

	s->loop = t->loop;
	s->fd = listen_bind("127.0.0.1:0", &err);
	MUST(s->fd != -1);
	listen_name(s->fd, s->address, sizeof(s->address));
	s->listen = listen_new(t->loop, t->log, s->fd, accepted, s);
}

/* --- the asker ------------------------------------------------------------------- */

static void
stop_if_there(struct test *t)
{
	if (t->connected >= t->wanted_connected &&
	    t->nanswers >= t->wanted_answers)
		loop_stop(t->loop);
}

static void
connected(void *arg)
{
	struct test *t = arg;

	t->connected++;
	stop_if_there(t);
}

static void
answered(void *arg, enum announce_result r, const char *text)
{
	struct test *t = arg;

	(void)text; /* differs */
	MUST(t->nanswers < EVENTS_MAX);
	t->answers[t->nanswers++] = "ORU"[r];
	stop_if_there(t);
}

static void
entry(void *arg, const struct announce_entry *e)
{
	struct test *t = arg;
	size_t n = strlen(t->entries);

	snprintf(t->entries + n, sizeof(t->entries) - n, "%s %s %s;", e->name,
	    e->location, e->acl == NULL ? "reserved" : e->acl);
}

static void
too_long(void *arg)
{
	struct test *t = arg;

	ok(false, "waited for too long");
	loop_stop(t->loop);
}

/* Until so many connections and answers have been, counted from the start. */
static void
wait_for(struct test *t, unsigned connections, unsigned answers)
{
	t->wanted_connected = connections;
	t->wanted_answers = answers;
	if (t->connected >= connections && t->nanswers >= answers)
		return;
	timer_set(t->guard, GUARD_MS);
	loop_run(t->loop);
	timer_stop(t->guard);
}

static void
setup(struct test *t)
{
	*t = (struct test){ .loop = loop_new() };
	t->jobs = jobs_new(t->loop, 1);
	t->log = log_new("announce.t", LOG_LEVEL_ERR, true);
	t->guard = timer_new(t->loop, too_long, t);
	server_start(t);
	t->conf = (struct announce_conf){ .server = t->server.address,
		.user = "be1",
		.password = "x",
		.mechanisms = "PLAIN",
		.first_ms = 2,
		.last_ms = 20,
		.answer_ms = 100 };
	t->announce =
	    announce_new(t->loop, t->jobs, t->log, &t->conf, connected, t);
}

static void
ended(void *arg)
{
	loop_stop(arg);
}

static void
teardown(struct test *t)
{
	struct task *last;

	announce_free(&t->announce);
	drop(&t->server);
	listen_free(&t->server.listen);
	close(t->server.fd);
	timer_free(&t->guard);
	jobs_free(&t->jobs);
	last = task_new(t->loop, ended, t->loop);
	task_want(last);
	loop_run(t->loop); /* what is freed goes at the end of a turn */
	task_free(&last);
	loop_free(&t->loop);
	log_free(&t->log);
}

/* --- what must hold ---------------------------------------------------------------- */

static void
test_order(void)
{
	struct test t;

	setup(&t);
	announce_reserve(t.announce, "early", "be1!default", answered, &t);
	ok(t.nanswers == 0, "no call back from inside");
	wait_for(&t, 1, 1);
	ok(strcmp(t.answers, "U") == 0, "unavailable before the connection");
	ok(announce_is_up(t.announce), "up");
	for (int i = 0; i < 10; i++) {
		announce_reserve(t.announce, i % 3 ? "free" : "taken",
		    "be1!default", answered, &t);
		announce_activate(t.announce, "free", "be1!default", "a\tl\t",
		    answered, &t);
	}
	announce_delete(t.announce, "taken", answered, &t);
	wait_for(&t, 1, 22);
	ok(strcmp(t.answers, "UROOOOOROOOOOROOOOOROR") == 0,
	    "pipelined, answered in order: %s", t.answers);
	ok(t.server.commands == 21, "each sent once");
	teardown(&t);
}

static void
test_entries(void)
{
	struct test t;

	setup(&t);
	wait_for(&t, 1, 0);
	announce_find(t.announce, "user.x", entry, answered, &t);
	announce_find(t.announce, "taken", entry, answered, &t);
	announce_list(t.announce, "be1!", entry, answered, &t);
	wait_for(&t, 1, 3);
	ok(strcmp(t.answers, "ORO") == 0, "FIND and LIST end");
	ok(strcmp(t.entries, "user.x be1!default ;user.a be1!default a\tlr\t;"
	                     "user.b be1!default reserved;") == 0,
	    "with what they found");
	teardown(&t);
}

static void
test_broken(enum manner manner, const char *what)
{
	struct test t;

	setup(&t);
	wait_for(&t, 1, 0);
	t.server.manner = manner;
	for (int i = 0; i < 5; i++)
		announce_reserve(t.announce, "x", "be1!default", answered, &t);
	wait_for(&t, 1, 5);
	ok(strcmp(t.answers, "UUUUU") == 0, "%s: unavailable", what);
	t.server.manner = MANNER_POLITE;
	wait_for(&t, 2, 5);
	announce_reserve(t.announce, "x", "be1!default", answered, &t);
	wait_for(&t, 2, 6);
	ok(strcmp(t.answers, "UUUUUO") == 0, "%s: connects again", what);
	teardown(&t);
}

static void
test_no_login(void)
{
	struct test t;

	setup(&t);
	t.server.manner = MANNER_RUDE;
	while (t.server.connections < 3) {
		announce_reserve(t.announce, "x", "be1!default", NULL, NULL);
		announce_find(t.announce, "x", NULL, answered, &t);
		wait_for(&t, 0, t.nanswers + 1);
		if (t.nanswers == EVENTS_MAX)
			t.nanswers = 0;
	}
	ok(t.connected == 0, "no login, no connection");
	t.server.manner = MANNER_POLITE;
	wait_for(&t, 1, 0);
	ok(announce_is_up(t.announce), "let in at last");
	teardown(&t);
}

int
main(void)
{
	test_order();
	test_entries();
	test_broken(MANNER_HANGS_UP, "hangs up");
	test_broken(MANNER_SILENT, "says nothing");
	test_broken(MANNER_CONFUSED, "answers another");
	test_no_login();
	return done_testing();
}
