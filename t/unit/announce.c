/*
 * announce, against an update server of a few lines in the same loop.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backendd/announce.h"
#include "backendd/uplink.h"
#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
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
	GUARD_MS = 60 * 1000,
	SHORT_MS = 100, /* for who does not answer at all */
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
	bool xmurder;
	unsigned deadly; /* of what kills Cyrus's server */
	char said[1024]; /* the commands, by name */
};

struct test {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct timer *guard;
	struct server server;
	struct uplink_conf conf;
	struct announce *announce;
	unsigned connected, wanted_connected;
	unsigned nanswers, wanted_answers;
	char answers[EVENTS_MAX + 1]; /* of "OTFRU" each, in order */
	char entries[1024];
	uint64_t generation; /* of the last answer */
	bool digest_right;
};

/* --- the server ---------------------------------------------------------------- */

static void
drop(struct server *s)
{
	stream_free(&s->stream);
	mupdate_free(&s->mupdate);
}

/* What there is: "taken" and what begins so is another's; "ours" is here. */
static bool
exists(struct slice name, struct mboxrec *rec)
{
	bool taken = slice_starts(name, slice_str("taken"));

	*rec = (struct mboxrec){ .state = MBOXREC_ACTIVE,
		.generation = 7,
		.location = slice_str(taken ? "be2!default" : "be1!default"),
		.acl = slice_str("a\tlr\t") };
	return taken || slice_is(name, "ours");
}

static void
show(struct server *s, const struct mupdate_message *m, struct slice name)
{
	struct buf *out = stream_out(s->stream);
	struct mboxrec rec;

	if (!exists(name, &rec))
		return;
	if (m->id == MUPDATE_CMD_XFIND || m->id == MUPDATE_CMD_XLIST)
		mupdate_ext_put_entry(out, m->tag, name, &rec);
	else
		mupdate_put_mailbox(out, m->tag, name, rec.location, rec.acl);
}

/* Cyrus's would have died of it. */
static void
check_deadly(struct server *s, const struct mupdate_message *m)
{
	struct mboxrec rec;

	if ((m->id == MUPDATE_CMD_DELETE || m->id == MUPDATE_CMD_DEACTIVATE) &&
	    !exists(m->args[0], &rec))
		s->deadly++;
}

static const char *
refusal(struct server *s, const struct mupdate_message *m)
{
	bool x = s->xmurder;

	if (slice_starts(m->args[0], slice_str("fenced")))
		return "[FENCED] older";
	if (slice_starts(m->args[0], slice_str("full")))
		return x ? "[UNAVAILABLE] disk" : "cannot store";
	if (m->id == MUPDATE_CMD_RESERVE || m->id == MUPDATE_CMD_XRESERVE ||
	    m->id == MUPDATE_CMD_XACTIVATE)
		return x ? "[TAKEN] exists" : "mailbox already exists";
	return x ? "[NOTOWNER] not yours" : "not so";
}

static bool
refuses(const struct mupdate_message *m)
{
	struct mboxrec rec;
	bool there = exists(m->args[0], &rec);

	switch (m->id) {
	case MUPDATE_CMD_RESERVE:
	case MUPDATE_CMD_XRESERVE:
	case MUPDATE_CMD_XACTIVATE:
		return slice_starts(m->args[0], slice_str("taken")) ||
		       slice_starts(m->args[0], slice_str("full")) ||
		       slice_starts(m->args[0], slice_str("fenced"));
	case MUPDATE_CMD_DELETE:
	case MUPDATE_CMD_DEACTIVATE:
		return !there || !slice_is(m->args[0], "ours");
	default:
		return false;
	}
}

static void
answer_extended(struct server *s, const struct mupdate_message *m)
{
	struct buf *out = stream_out(s->stream);
	struct mboxdigest d = { .count = 3, .sums = { 1, 2, 3 } };

	if (m->id == MUPDATE_CMD_XDIGEST && s->xmurder)
		mupdate_ext_put_digest(out, m->tag, m->args[0], &d);
	if (m->id == MUPDATE_CMD_XLIST)
		show(s, m, slice_str("ours"));
	if ((m->id == MUPDATE_CMD_XRESERVE || m->id == MUPDATE_CMD_XACTIVATE) &&
	    !refuses(m))
		mupdate_ext_put_grant(out, m->tag, m->args[0], 42);
}

static void
answer(struct server *s, const struct mupdate_message *m)
{
	struct buf *out = stream_out(s->stream);
	size_t n = strlen(s->said);

	s->commands++;
	snprintf(s->said + n, sizeof(s->said) - n, "%s ",
	    mupdate_command_name((enum mupdate_command)m->id));
	check_deadly(s, m);
	if (s->manner == MANNER_CONFUSED) {
		mupdate_put_reply(out, slice_str("nobody"), MUPDATE_OK, "?");
		return;
	}
	if (m->id == MUPDATE_CMD_LIST) {
		show(s, m, slice_str("ours"));
		mupdate_put_reserve(out, m->tag, slice_str("user.b"),
		    slice_str("be1!default"));
	}
	if (m->id == MUPDATE_CMD_FIND || m->id == MUPDATE_CMD_XFIND)
		show(s, m, m->args[0]);
	answer_extended(s, m);
	if (m->id == MUPDATE_CMD_XDIGEST && !s->xmurder)
		mupdate_put_reply(out, m->tag, MUPDATE_BAD, "unknown");
	else if (m->nargs > 0 && refuses(m))
		mupdate_put_reply(out, m->tag, MUPDATE_NO, refusal(s, m));
	else
		mupdate_put_reply(out, m->tag, MUPDATE_OK, "so");
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
	struct mupdate_banner banner = { .mechanisms = "PLAIN",
		.xmurder = s->xmurder,
		.server = "mu",
		.implementation = "fake",
		.version = "1",
		.master = "(master)" };

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
changed(void *arg, bool up)
{
	struct test *t = arg;

	if (!up)
		return;
	t->connected++;
	stop_if_there(t);
}

static void
answered(void *arg, const struct announce_answer *answer)
{
	struct test *t = arg;

	MUST(t->nanswers < EVENTS_MAX);
	t->answers[t->nanswers++] = "OTFRU"[answer->result];
	t->generation = answer->generation;
	stop_if_there(t);
}

static void
digested(void *arg, const struct announce_answer *answer,
    const struct mboxdigest *d)
{
	struct test *t = arg;

	t->digest_right = d != NULL && d->count == 3 && d->sums[2] == 3;
	answered(t, answer);
}

static void
entry(void *arg, struct slice name, const struct mboxrec *rec)
{
	struct test *t = arg;
	size_t n = strlen(t->entries);

	snprintf(t->entries + n, sizeof(t->entries) - n, "%.*s %.*s %s %u;",
	    (int)name.len, (const char *)name.ptr, (int)rec->location.len,
	    (const char *)rec->location.ptr,
	    rec->state == MBOXREC_RESERVED ? "reserved" : "active",
	    (unsigned)rec->generation);
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
setup_as(struct test *t, bool xmurder)
{
	*t = (struct test){ .loop = loop_new() };
	t->server.xmurder = xmurder;
	t->jobs = jobs_new(t->loop, 1);
	t->log = log_new("announce.t", LOG_LEVEL_ERR, true);
	t->guard = timer_new(t->loop, too_long, t);
	server_start(t);
	t->conf = (struct uplink_conf){ .server = t->server.address,
		.user = "be1",
		.password = "x",
		.mechanisms = "PLAIN",
		.first_ms = 2,
		.last_ms = 20,
		.answer_ms = GUARD_MS };
	t->announce =
	    announce_new(t->loop, t->jobs, t->log, &t->conf, changed, t);
}

static void
setup(struct test *t)
{
	setup_as(t, false);
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

static const struct mboxrec held = { .state = MBOXREC_ACTIVE,
	.location = { (const uint8_t *)"be1!default", 11 },
	.acl = { (const uint8_t *)"a\tl\t", 4 } };

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
		announce_reserve(t.announce, "free", "be1!default", answered,
		    &t);
		announce_activate(t.announce, "free", &held, ANNOUNCE_HELD,
		    answered, &t);
	}
	wait_for(&t, 1, 21);
	ok(strcmp(t.answers, "UOOOOOOOOOOOOOOOOOOOO") == 0,
	    "pipelined, answered: %s", t.answers);
	ok(t.server.commands == 20, "each sent once");
	teardown(&t);
}

/* What is asked, and how many answers of which kind, in which words. */
static void
check(struct test *t,
    void (*ask)(struct announce *a, const char *name, struct test *t),
    const char *name, const char *answers, const char *said)
{
	t->nanswers = 0;
	memset(t->answers, 0, sizeof(t->answers));
	t->server.said[0] = '\0';
	ask(t->announce, name, t);
	wait_for(t, 1, (unsigned)strlen(answers));
	ok(strcmp(t->answers, answers) == 0 &&
	        strcmp(t->server.said, said) == 0,
	    "%s %s: %s %s", t->server.xmurder ? "extended" : "plain", name,
	    t->answers, t->server.said);
}

static void
ask_reserve(struct announce *a, const char *name, struct test *t)
{
	announce_reserve(a, name, "be1!default", answered, t);
}

static void
ask_activate(struct announce *a, const char *name, struct test *t)
{
	announce_activate(a, name, &held, ANNOUNCE_UNSURE, answered, t);
}

static void
ask_deactivate(struct announce *a, const char *name, struct test *t)
{
	announce_deactivate(a, name, "be1!default", answered, t);
}

static void
ask_delete(struct announce *a, const char *name, struct test *t)
{
	announce_delete(a, name, "be1!", answered, t);
}

/* The same questions have the same answers, in whatever words. */
static void
test_words(bool x)
{
	struct test t;

	setup_as(&t, x);
	wait_for(&t, 1, 0);
	ok(announce_has_digests(t.announce) == x, "knows what it has met");
	check(&t, ask_reserve, "free", "O", x ? "XRESERVE " : "RESERVE ");
	check(&t, ask_reserve, "taken", "T", x ? "XRESERVE " : "RESERVE FIND ");
	check(&t, ask_reserve, "full", "R",
	    x ? "XRESERVE XFIND " : "RESERVE FIND ");
	check(&t, ask_activate, "free", "O",
	    x ? "XACTIVATE " : "FIND ACTIVATE ");
	ok(t.generation == (x ? 42 : 0), "and says what was granted");
	check(&t, ask_activate, "taken", "T", x ? "XACTIVATE " : "FIND ");
	check(&t, ask_deactivate, "ours", "O",
	    x ? "DEACTIVATE " : "FIND DEACTIVATE ");
	check(&t, ask_deactivate, "none", "O",
	    x ? "DEACTIVATE XFIND " : "FIND ");
	check(&t, ask_deactivate, "taken", "T",
	    x ? "DEACTIVATE XFIND " : "FIND ");
	check(&t, ask_delete, "ours", "O", x ? "DELETE " : "FIND DELETE ");
	check(&t, ask_delete, "none", "O", x ? "DELETE XFIND " : "FIND ");
	check(&t, ask_delete, "taken", "O", x ? "DELETE XFIND " : "FIND ");
	if (x)
		check(&t, ask_activate, "fenced", "F", "XACTIVATE ");
	else
		ok(t.server.deadly == 0, "and nothing that kills Cyrus's");
	teardown(&t);
}

static void
test_entries(bool x)
{
	uint8_t buckets[] = { 3, 200 };
	struct test t;

	setup_as(&t, x);
	wait_for(&t, 1, 0);
	announce_find(t.announce, "ours", entry, answered, &t);
	announce_find(t.announce, "none", entry, answered, &t);
	announce_list(t.announce, "be1", buckets, x ? 2 : 0, entry, answered,
	    &t);
	wait_for(&t, 1, 3);
	ok(strcmp(t.answers, "OOO") == 0, "FIND and LIST end");
	ok(strcmp(t.entries,
	       x ? "ours be1!default active 7;ours be1!default active 7;"
	         : "ours be1!default active 0;ours be1!default active 0;"
	           "user.b be1!default reserved 0;") == 0,
	    "with what they found: %s", t.entries);
	announce_digest(t.announce, "be1", digested, &t);
	wait_for(&t, 1, 4);
	ok(t.digest_right == x && t.answers[3] == (x ? 'O' : 'R'),
	    "digests with the extension only");
	teardown(&t);
}

static void
test_broken(enum manner manner, const char *what)
{
	struct test t;

	setup(&t);
	wait_for(&t, 1, 0);
	t.server.manner = manner;
	if (manner == MANNER_SILENT)
		t.conf.answer_ms = SHORT_MS;
	ok(announce_lost(t.announce),
	    "%s: what an earlier process asked for may be lost", what);
	for (int i = 0; i < 5; i++)
		announce_reserve(t.announce, "x", "be1!default", answered, &t);
	wait_for(&t, 1, 5);
	ok(strcmp(t.answers, "UUUUU") == 0, "%s: unavailable", what);
	ok(announce_lost(t.announce) && !announce_lost(t.announce),
	    "%s: changes are lost, which is said once", what);
	t.server.manner = MANNER_POLITE;
	t.conf.answer_ms = GUARD_MS;
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
	test_words(false);
	test_words(true);
	test_entries(false);
	test_entries(true);
	test_broken(MANNER_HANGS_UP, "hangs up");
	test_broken(MANNER_SILENT, "says nothing");
	test_broken(MANNER_CONFUSED, "answers another");
	test_no_login();
	return done_testing();
}
