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
#include "proxyd/handlers.h"
#include "proxyd/imapd.h"
#include "proxyd/leg.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/worker.h"

enum {
	SESSION_MAGIC = 0x73657373,
	IN_MORE = 8 * 1024, /* in the in buffer, than a line may be long */
	OUT_MAX = 256 * 1024,
	BEFORE_LOGIN_MAX = 8 * 1024, /* of text and of literals */
	TAG_MAX = 200,
	BAD_MAX = 20,            /* commands in a row, then BYE */
	ANSWER_ROOM = 64 * 1024, /* in the out buffer, for a command's own */
	SLACK_SECONDS = 30,      /* behind the timer, if BYE cannot be sent */
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

static void
free_state(struct session *ss)
{
	if (ss->cmd.fini != NULL)
		ss->cmd.fini(ss);
	ss->cmd.fini = NULL;
}

static void
forget_command(struct session *ss)
{
	struct leg *g;

	free_state(ss);
	route_cancel(&ss->cmd.wait);
	TAILQ_FOREACH (g, &ss->legs, entry)
		leg_forget(g);
	ss->cmd = (struct cmd){ 0 };
}

/* No call back of anything comes after this. */
static void
let_go(struct session *ss)
{
	struct leg *g;

	forget_command(ss);
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

/* --- ending a command -------------------------------------------------------- */

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

/* Half a message was passed on: that connection is no good. */
static void
drop_half_sent(struct session *ss)
{
	struct leg *g = ss->cmd.stream_to;

	ss->cmd.stream_to = NULL;
	TAILQ_REMOVE(&ss->legs, g, entry);
	if (ss->selected == g)
		session_lost_selection(ss);
	leg_free(&g);
}

/* What the client still sends of a message that nobody wants. */
static void
end_stream(struct session *ss)
{
	bool sync = ss->cmd.stream_sync;

	if (ss->cmd.stream_to != NULL)
		drop_half_sent(ss);
	if (ss->phase == PHASE_HELD && sync) {
		collect_refuse(&ss->collect);
		collect_done(&ss->collect);
		ss->phase = PHASE_READ;
		return;
	}
	if (ss->phase == PHASE_HELD)
		collect_skip(&ss->collect);
	if (ss->phase != PHASE_CLOSING)
		ss->phase = PHASE_SKIP;
}

static void
end_command(struct session *ss)
{
	free_state(ss); /* it may be in the arena, which goes first */
	if (ss->phase == PHASE_HELD || ss->phase == PHASE_DATA)
		end_stream(ss);
	else if (ss->phase != PHASE_CLOSING) {
		if (ss->phase == PHASE_LINE)
			collect_unwant_line(&ss->collect);
		collect_done(&ss->collect);
		ss->phase = PHASE_READ;
	}
	forget_command(ss);
	session_flush(ss);
	if (ss->draining)
		session_drain(ss);
	session_soon(ss);
}

void
session_done(struct session *ss, enum write_status status, enum respcode code,
    const char *text)
{
	struct write w = session_write(ss);

	MUST(ss->cmd.what != NULL);
	ss->bad = status == WRITE_BAD ? ss->bad + 1 : 0;
	write_reply(&w, ss->cmd.tag, status, code, text);
	end_command(ss);
	if (ss->bad >= BAD_MAX)
		session_bye(ss, CLOSE_PROTOCOL, RESPCODE_NONE,
		    "Too many bad commands");
}

void
session_passed(struct session *ss)
{
	MUST(ss->cmd.what != NULL);
	ss->bad = 0;
	end_command(ss);
}

bool
session_bad_args(struct session *ss)
{
	const char *why = parse_error(&ss->cmd.args);

	if (why == NULL)
		return false;
	session_done(ss, WRITE_BAD, RESPCODE_NONE, why);
	return true;
}

void
session_unavailable(struct session *ss, const char *text)
{
	session_done(ss, WRITE_NO, RESPCODE_UNAVAILABLE, text);
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

void
session_want_line(struct session *ss,
    void (*line)(struct session *ss, struct slice line))
{
	ss->cmd.line = line;
	collect_want_line(&ss->collect);
	ss->phase = PHASE_LINE;
	session_flush(ss);
	session_soon(ss);
}

void
session_accept_stream(struct session *ss, struct leg *to,
    void (*streamed)(struct session *ss))
{
	struct write w = session_write(ss);

	MUST(ss->phase == PHASE_HELD);
	collect_accept(&ss->collect);
	if (ss->cmd.stream_sync)
		write_continue(&w, slice_str("OK"));
	ss->cmd.stream_to = to;
	ss->cmd.streamed = streamed;
	ss->phase = PHASE_DATA;
	session_flush(ss);
	session_soon(ss);
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

/* --- commands -------------------------------------------------------------------- */

static void
answer_bad(struct session *ss, struct slice tag, const char *text)
{
	struct write w = session_write(ss);

	write_reply(&w, tag, WRITE_BAD, RESPCODE_NONE, text);
	if (++ss->bad >= BAD_MAX)
		session_bye(ss, CLOSE_PROTOCOL, RESPCODE_NONE,
		    "Too many bad commands");
	session_flush(ss);
}

/* NULL and cmd is set, or what to answer BAD with. */
static const char *
parse_head(struct session *ss, struct slice tag)
{
	struct parse *p = &ss->cmd.args;
	const struct command *what;

	parse_init(p, &ss->arena, collect_pieces(&ss->collect));
	(void)parse_tag(p);
	parse_sp(p);
	what = parse_command(p);
	if (parse_error(p) != NULL)
		return parse_error(p);
	if (tag.len > TAG_MAX)
		return "The tag is too long";
	if (command_refusal(what, ss->state) != NULL)
		return command_refusal(what, ss->state);
	ss->cmd.what = what;
	ss->cmd.tag = tag;
	return NULL;
}

static void
run_command(struct session *ss)
{
	struct slice tag = collect_tag(&ss->collect);
	const char *why = parse_head(ss, tag);

	if (why == NULL) {
		ss->phase = PHASE_RUN;
		proxyd_handler_of(ss->cmd.what)(ss);
		return;
	}
	answer_bad(ss, tag, why);
	ss->cmd = (struct cmd){ 0 };
	collect_done(&ss->collect);
}

/* Of a command that has been answered. */
static void
skip_literal(struct session *ss, const struct collect_item *item)
{
	if (!item->sync) {
		collect_skip(&ss->collect);
		return;
	}
	/* The client has the answer and waits for no "+". */
	collect_refuse(&ss->collect);
	collect_done(&ss->collect);
	ss->phase = PHASE_READ;
}

/* A literal that is not to be stored has been announced. */
static void
run_stream(struct session *ss, const struct collect_item *item)
{
	struct slice tag = collect_tag(&ss->collect);
	const char *why;

	if (ss->phase == PHASE_SKIP) {
		skip_literal(ss, item);
		return;
	}
	if (ss->phase == PHASE_DATA) {
		/* A second message: MULTIAPPEND is not offered. */
		ss->phase = PHASE_HELD;
		ss->cmd.stream_sync = item->sync;
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "One message at a time");
		return;
	}
	why = parse_head(ss, tag);
	ss->phase = PHASE_HELD;
	ss->cmd.stream_sync = item->sync;
	ss->cmd.stream_size = item->size;
	if (why != NULL) {
		answer_bad(ss, tag, why);
		end_stream(ss);
		ss->cmd = (struct cmd){ 0 };
	} else if (item->size > ss->worker->conf->max_message)
		session_done(ss, WRITE_NO, RESPCODE_TOOBIG,
		    "The message is larger than max_message");
	else
		proxyd_handler_of(ss->cmd.what)(ss);
}

static void
refuse_literal(struct session *ss, const struct collect_item *item)
{
	struct write w = session_write(ss);

	write_reply(&w, collect_tag(&ss->collect),
	    item->too_big ? WRITE_NO : WRITE_BAD,
	    item->too_big ? RESPCODE_TOOBIG : RESPCODE_NONE, item->why);
	session_flush(ss);
	collect_done(&ss->collect);
}

/*
 * The message is there.  Nothing may follow it; if something does, something
 * does at the backend too, which then says BAD and keeps nothing.
 */
static void
end_of_stream(struct session *ss)
{
	const struct piece *p = collect_pieces(&ss->collect);
	struct write w;

	while (p->next != NULL)
		p = p->next;
	if (p->octets.len > 0) {
		write_init(&w, link_out(ss->cmd.stream_to->link), WRITE_CLIENT);
		write_word(&w, " x");
	}
	ss->phase = PHASE_RUN;
	ss->cmd.streamed(ss);
}

static void
command_complete(struct session *ss)
{
	switch (ss->phase) {
	case PHASE_SKIP:
		collect_done(&ss->collect);
		ss->phase = PHASE_READ;
		return;
	case PHASE_DATA:
		end_of_stream(ss);
		return;
	default:
		run_command(ss);
		return;
	}
}

static void
take_event(struct session *ss, enum collect_event ev,
    const struct collect_item *item)
{
	struct write w = session_write(ss);

	switch (ev) {
	case COLLECT_ERROR:
		session_bye(ss, CLOSE_PROTOCOL, RESPCODE_NONE,
		    collect_error(&ss->collect));
		return;
	case COLLECT_CONTINUE:
		write_continue(&w, slice_str("OK"));
		session_flush(ss);
		return;
	case COLLECT_REFUSED:
		refuse_literal(ss, item);
		return;
	case COLLECT_STREAM:
		run_stream(ss, item);
		return;
	case COLLECT_DATA:
		if (ss->phase == PHASE_DATA && ss->cmd.stream_to != NULL) {
			buf_put_slice(link_out(ss->cmd.stream_to->link),
			    item->octets);
			leg_new_deadline(ss->cmd.stream_to);
			leg_flush(ss->cmd.stream_to);
		}
		return;
	case COLLECT_COMMAND:
		command_complete(ss);
		return;
	case COLLECT_LINE:
		ss->phase = PHASE_RUN;
		ss->cmd.line(ss, item->octets);
		return;
	case COLLECT_GATHERED:
	case COLLECT_MORE:
		return;
	}
}

/* Octets that may be looked at now. */
static size_t
wanted(struct session *ss)
{
	size_t n = buf_len(stream_in(ss->client)), room;

	switch (ss->phase) {
	case PHASE_READ:
	case PHASE_LINE:
		/* Who does not read the answers is not asked for more. */
		return session_room(ss) < ANSWER_ROOM ? 0 : n;
	case PHASE_SKIP:
		return n;
	case PHASE_DATA:
		room = buf_room(link_out(ss->cmd.stream_to->link));
		return n < room ? n : room;
	case PHASE_HELD:
	case PHASE_RUN:
	case PHASE_CLOSING:
		return 0;
	}
	return 0;
}

static bool
step(struct session *ss)
{
	struct buf *in = stream_in(ss->client);
	size_t n = wanted(ss);
	struct collect_item item;
	enum collect_event ev;

	if (n == 0)
		return false;
	ev = collect_next(&ss->collect, buf_data(in), n, &item);
	if (ev != COLLECT_DATA && ev != COLLECT_LINE)
		buf_drop(in, item.taken);
	if (ev == COLLECT_MORE)
		return item.taken > 0;
	take_event(ss, ev, &item);
	if (ss->magic != SESSION_MAGIC)
		return false;
	if (ev == COLLECT_DATA || ev == COLLECT_LINE)
		buf_drop(in, item.taken);
	return true;
}

static bool
wants_input(struct session *ss)
{
	switch (ss->phase) {
	case PHASE_READ:
	case PHASE_LINE:
		return session_room(ss) >= ANSWER_ROOM;
	case PHASE_SKIP:
		return true;
	case PHASE_DATA:
		return buf_room(link_out(ss->cmd.stream_to->link)) > 0;
	case PHASE_HELD:
	case PHASE_RUN:
	case PHASE_CLOSING:
		return false;
	}
	return false;
}

void
session_advance(struct session *ss)
{
	unsigned turn = 0;

	if (buf_failed(stream_out(ss->client))) {
		/* Something is missing in the midst of what we said. */
		session_free(ss, CLOSE_CLIENT);
		return;
	}
	while (ss->magic == SESSION_MAGIC && turn < TURN_COMMANDS && step(ss))
		turn++;
	if (ss->magic != SESSION_MAGIC)
		return;
	if (turn >= TURN_COMMANDS)
		session_soon(ss);
	give_room(ss);
	if (ss->magic != SESSION_MAGIC || ss->phase == PHASE_CLOSING)
		return;
	stream_want_read(ss->client, wants_input(ss));
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
