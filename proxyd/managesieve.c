#include <stdlib.h>
#include <string.h>

#include "imap/collect.h"
#include "imap/managesieve.h"
#include "imap/mboxname.h"
#include "imap/parse.h"
#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/auth_line.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mono.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/imapd.h"
#include "proxyd/managesieve.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

enum {
	SIEVE_MAGIC = 0x73696576,
	IN_MAX = 64 * 1024,
	BEFORE_LOGIN_MAX = 16 * 1024,
	NAME_MAX_OCTETS = 4096, /* of a command beside its script */
	BAD_MAX = 20,
	UNREAD_MAX = 16 * 1024, /* octets of answers, then no more commands */
	SLACK_SECONDS = 30,     /* behind the timer, if BYE cannot be sent */
	BYE_SECONDS = 5
};

enum phase {
	PHASE_READ,
	PHASE_RUN,  /* a command runs */
	PHASE_SASL, /* it waits for a line of an exchange */
	PHASE_CLOSING
};

struct sieve_session {
	unsigned magic;
	TAILQ_ENTRY(sieve_session) entry;
	struct imapd *imapd;
	struct worker *worker;
	struct stream *client;
	struct timer *timer; /* to log in, then of being idle */
	struct mono active;  /* when the client last said something */
	struct collect collect;
	struct arena arena;
	enum phase phase;
	char sid[17];
	char *user; /* NULL before login */
	unsigned bad;
	bool greeted, draining;
	struct auth_line *exchange;

	/* The running command. */
	struct managesieve_command cmd;
	struct route_wait *wait;
	struct route_rate rate;
	struct xcall *call;
	struct buf answer; /* lines before the OK */
	bool found;        /* the script asked for is there */
	uint64_t count, size;
};

static void advance(struct sieve_session *ss);

static struct sieve_session *
session_of(void *arg)
{
	struct sieve_session *ss = arg;

	MUST(ss->magic == SIEVE_MAGIC);
	return ss;
}

/* --- ending --------------------------------------------------------------------- */

static void
release(void *arg)
{
	struct sieve_session *ss = arg;

	arena_reset(&ss->arena);
	free(ss->user);
	free(ss);
}

static void
let_go(struct sieve_session *ss)
{
	auth_line_cancel(&ss->exchange);
	route_cancel(&ss->wait);
	xcall_cancel(&ss->call);
	buf_fini(&ss->answer);
}

static void
session_free(struct sieve_session *ss)
{
	log_info(ss->worker->log, "sieve session closed", "sid", ss->sid,
	    "user", ss->user, NULL);
	let_go(ss);
	timer_free(&ss->timer);
	stream_free(&ss->client);
	TAILQ_REMOVE(&ss->imapd->sieve_sessions, ss, entry);
	ss->imapd->nsessions--;
	ss->magic = 0;
	loop_at_end(ss->worker->loop, release, ss);
	imapd_session_gone(ss->imapd);
}

static void
put_reply(struct sieve_session *ss, enum managesieve_status status,
    const char *code, const char *text)
{
	managesieve_put_reply(stream_out(ss->client), status, code,
	    slice_str(text));
}

static void
say_bye(struct sieve_session *ss, const char *code, const char *text)
{
	if (ss->phase == PHASE_CLOSING)
		return;
	let_go(ss);
	put_reply(ss, MANAGESIEVE_BYE, code, text);
	ss->phase = PHASE_CLOSING;
	stream_flush(ss->client);
	stream_finish(ss->client, BYE_SECONDS);
}

static void
drain(struct sieve_session *ss)
{
	ss->draining = true;
	if (ss->phase == PHASE_READ || ss->phase == PHASE_SASL)
		say_bye(ss, "TRYLATER", "The server is going down");
}

static void
advance_soon(void *arg)
{
	struct sieve_session *ss = arg;

	if (ss->magic == SIEVE_MAGIC)
		advance(ss);
}

/* The command is answered. */
static void
end_command(struct sieve_session *ss)
{
	buf_fini(&ss->answer);
	collect_done(&ss->collect);
	ss->cmd = (struct managesieve_command){ 0 };
	ss->phase = PHASE_READ;
	stream_flush(ss->client);
	if (ss->draining)
		drain(ss);
	loop_at_end(ss->worker->loop, advance_soon, ss);
}

static void
done(struct sieve_session *ss, enum managesieve_status status, const char *code,
    const char *text)
{
	ss->bad = status == MANAGESIEVE_OK ? 0 : ss->bad + 1;
	put_reply(ss, status, code, text);
	end_command(ss);
	if (ss->bad >= BAD_MAX)
		say_bye(ss, NULL, "Too many bad commands");
}

/* --- capabilities -------------------------------------------------------------------- */

static struct auth_peer
peer_of(struct sieve_session *ss)
{
	return (struct auth_peer){ .service = "sieve",
		.address = stream_peer(ss->client),
		.external = stream_tls_peer(ss->client),
		.secure = stream_is_secure(ss->client) ||
		          stream_is_loopback(ss->client) };
}

static void
put_capabilities(struct sieve_session *ss)
{
	const struct proxyd_conf *conf = ss->worker->conf;
	struct buf *out = stream_out(ss->client);
	const struct auth_peer peer = peer_of(ss);
	char number[24];

	managesieve_put_capability(out, "IMPLEMENTATION", slice_str("Murder"));
	managesieve_put_capability(out, "SIEVE", slice_str(sieve_extensions()));
	if (ss->user == NULL)
		managesieve_put_capability(out, "SASL",
		    slice_str(auth_mechanisms(ss->worker->auth, &peer)));
	if (ss->user == NULL && ss->worker->server_tls != NULL &&
	    !stream_is_secure(ss->client))
		managesieve_put_capability(out, "STARTTLS", slice_of(NULL, 0));
	managesieve_put_capability(out, "MAXREDIRECTS",
	    slice_str(log_num(number, (int64_t)conf->max_redirects)));
	if (ss->user != NULL)
		managesieve_put_capability(out, "OWNER", slice_str(ss->user));
	managesieve_put_capability(out, "VERSION", slice_str("1.0"));
}

static void
greet(struct sieve_session *ss)
{
	ss->greeted = true;
	put_capabilities(ss);
	put_reply(ss, MANAGESIEVE_OK, NULL, "ManageSieve service ready");
	stream_flush(ss->client);
}

/* --- logging in ------------------------------------------------------------------------- */

static void
logged_in(struct sieve_session *ss, const struct auth_line_answer *a)
{
	const struct proxyd_conf *conf = ss->worker->conf;
	const struct collect_limits limits = { NAME_MAX_OCTETS,
		conf->script_max + NAME_MAX_OCTETS, 4 };
	const char *user = proxyd_user_of(conf, a->authcid, a->authzid);

	if (user == NULL) {
		done(ss, MANAGESIEVE_NO, NULL, "You may not act for that user");
		return;
	}
	ss->user = xstrdup(user);
	timer_set(ss->timer, (int64_t)conf->idle_ms);
	stream_set_idle(ss->client,
	    (unsigned)(conf->idle_ms / 1000) + SLACK_SECONDS);
	collect_set_limits(&ss->collect, &limits);
	log_info(ss->worker->log, "logged in for sieve", "sid", ss->sid, "user",
	    user, "client", stream_peer(ss->client), NULL);
	if (a->coded == NULL) {
		done(ss, MANAGESIEVE_OK, NULL, "Logged in");
		return;
	}
	managesieve_put_reply_arg(stream_out(ss->client), MANAGESIEVE_OK,
	    "SASL", slice_str(a->coded), slice_str("Logged in"));
	end_command(ss);
}

static void
ask_client(struct sieve_session *ss, const char *coded)
{
	managesieve_put_string(stream_out(ss->client), slice_str(coded));
	buf_puts(stream_out(ss->client), "\r\n");
	stream_flush(ss->client);
	collect_done(&ss->collect);
	ss->phase = PHASE_SASL;
	loop_at_end(ss->worker->loop, advance_soon, ss);
}

static void
on_auth(void *arg, const struct auth_line_answer *a)
{
	struct sieve_session *ss = session_of(arg);

	if (a->result != AUTH_LINE_CHALLENGE)
		ss->exchange = NULL;
	switch (a->result) {
	case AUTH_LINE_CHALLENGE:
		ask_client(ss, a->coded);
		return;
	case AUTH_LINE_OK:
		logged_in(ss, a);
		return;
	case AUTH_LINE_FAIL:
		log_info(ss->worker->log, "login failed", "sid", ss->sid,
		    "client", stream_peer(ss->client), "why", a->text, NULL);
		done(ss, MANAGESIEVE_NO, NULL, "Wrong user name or password");
		return;
	case AUTH_LINE_UNAVAILABLE:
		done(ss, MANAGESIEVE_NO, "TRYLATER",
		    "Logging in is not possible now");
		return;
	case AUTH_LINE_CANCELLED:
		done(ss, MANAGESIEVE_NO, NULL, "Cancelled");
		return;
	case AUTH_LINE_MALFORMED:
		done(ss, MANAGESIEVE_NO, NULL, "The response is not base64");
		return;
	}
}

static void
run_authenticate(struct sieve_session *ss)
{
	const struct auth_peer peer = peer_of(ss);

	ss->exchange = auth_line_start(ss->worker->auth, &peer,
	    arena_string(&ss->arena, ss->cmd.name), ss->cmd.content,
	    AUTH_LINE_LAST_WITH_RESULT, on_auth, ss);
	if (ss->exchange == NULL)
		done(ss, MANAGESIEVE_NO, NULL,
		    "The initial response is not base64");
}

/* A line of the exchange, gathered as a command is. */
static void
take_response(struct sieve_session *ss)
{
	struct slice coded;
	const char *why = managesieve_parse_response(&ss->arena,
	    collect_pieces(&ss->collect), &coded);

	ss->phase = PHASE_RUN;
	if (why != NULL) {
		auth_line_cancel(&ss->exchange);
		done(ss, MANAGESIEVE_NO, NULL, why);
	} else {
		auth_line_put(ss->exchange, coded);
	}
}

static void
run_starttls(struct sieve_session *ss)
{
	struct err err;

	if (ss->worker->server_tls == NULL || stream_is_secure(ss->client)) {
		done(ss, MANAGESIEVE_NO, NULL, "TLS is not to be had now");
		return;
	}
	done(ss, MANAGESIEVE_OK, NULL, "Begin TLS now");
	ss->greeted = false; /* RFC 5804 2.2: capabilities again, after it */
	if (stream_start_tls(ss->client, ss->worker->server_tls, NULL, &err) ==
	    -1) {
		log_warn(ss->worker->log, "TLS not started", "sid", ss->sid,
		    "why", err.text, NULL);
		session_free(ss);
	}
}

/* --- asking the home backend --------------------------------------------------------------- */

static bool
compiles(struct sieve_session *ss, struct buf *text)
{
	struct sieve_limits limits = sieve_limits_default;
	struct sieve_error error;
	struct sieve *program;

	limits.script_octets = ss->worker->conf->script_max;
	program = sieve_compile(ss->cmd.content, &limits, &error);
	if (program == NULL) {
		buf_printf(text, "line %u: %s", error.line, error.text);
		return false;
	}
	sieve_free(&program);
	return true;
}

static void
on_done(void *arg, const struct xanswer *a)
{
	struct sieve_session *ss = session_of(arg);
	const char *code = NULL;

	ss->call = NULL;
	if (a->lost || slice_is_nocase(a->code_name, "UNAVAILABLE"))
		code = "TRYLATER";
	else if (slice_is_nocase(a->code_name, "NONEXISTENT"))
		code = "NONEXISTENT";
	else if (slice_is_nocase(a->code_name, "ALREADYEXISTS"))
		code = "ALREADYEXISTS";
	else if (slice_is_nocase(a->code_name, "INUSE"))
		code = "ACTIVE";
	else if (slice_is_nocase(a->code_name, "LIMIT"))
		code = "QUOTA/MAXSCRIPTS";
	else if (slice_is_nocase(a->code_name, "TOOBIG"))
		code = "QUOTA/MAXSIZE";
	if (a->lost)
		done(ss, MANAGESIEVE_NO, code,
		    "The server of your scripts does not answer");
	else if (a->foreign)
		done(ss, MANAGESIEVE_NO, NULL,
		    "The server of your mail keeps your scripts itself");
	else if (buf_failed(&ss->answer))
		done(ss, MANAGESIEVE_NO, NULL,
		    "The answer is larger than script_max allows");
	else if (a->status != WRITE_OK)
		done(ss, MANAGESIEVE_NO, code,
		    arena_string(&ss->arena, a->text));
	else {
		buf_put_slice(stream_out(ss->client), buf_slice(&ss->answer));
		done(ss, MANAGESIEVE_OK, NULL, "Done");
	}
}

/* "name" size [ACTIVE] */
static void
take_listed(void *arg, struct parse *p)
{
	struct sieve_session *ss = session_of(arg);
	struct slice name;

	parse_sp(p);
	name = parse_astring(p);
	parse_sp(p);
	(void)parse_number64(p);
	if (parse_error(p) != NULL)
		return;
	if (parse_try(p, ' ') && parse_at_word(p, "ACTIVE"))
		managesieve_put_active_script(&ss->answer, name);
	else
		managesieve_put_script(&ss->answer, name);
}

/* "name" ~{n} */
static void
take_content(void *arg, struct parse *p)
{
	struct sieve_session *ss = session_of(arg);
	struct slice content;

	parse_sp(p);
	(void)parse_astring(p);
	parse_sp(p);
	content = parse_string(p);
	if (parse_error(p) == NULL)
		managesieve_put_content(&ss->answer, content);
}

static void
ask_home(struct sieve_session *ss, const char *server)
{
	static const struct {
		const char *words;
		size_t nargs;
		xcall_data *data;
	} calls[MANAGESIEVE_MAX] = {
		[MANAGESIEVE_PUTSCRIPT] = { "XSCRIPT PUT", 3, NULL },
		[MANAGESIEVE_LISTSCRIPTS] = { "XSCRIPT LIST", 1, take_listed },
		[MANAGESIEVE_SETACTIVE] = { "XSCRIPT ACTIVATE", 2, NULL },
		[MANAGESIEVE_GETSCRIPT] = { "XSCRIPT READ", 2, take_content },
		[MANAGESIEVE_DELETESCRIPT] = { "XSCRIPT DELETE", 2, NULL },
		[MANAGESIEVE_RENAMESCRIPT] = { "XSCRIPT RENAME", 3, NULL },
	};
	enum managesieve_verb verb = ss->cmd.verb;
	struct slice args[3] = { slice_str(ss->user), ss->cmd.name,
		verb == MANAGESIEVE_RENAMESCRIPT ? ss->cmd.to
		                                 : ss->cmd.content };

	MUST(calls[verb].words != NULL);
	ss->call = xmurder_call(ss->imapd->xmurder, server, calls[verb].words,
	    args, calls[verb].nargs, calls[verb].data, on_done, ss);
	if (ss->call == NULL)
		done(ss, MANAGESIEVE_NO, "TRYLATER",
		    "The server of your scripts is too busy");
}

static void
home_found(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct sieve_session *ss = session_of(arg);
	char server[64];

	ss->wait = NULL;
	switch (answer) {
	case ROUTE_FOUND:
		route_server(rec, server);
		ask_home(ss, server);
		return;
	case ROUTE_NONE:
		done(ss, MANAGESIEVE_NO, NULL,
		    "You have no INBOX, so there is no place for scripts");
		return;
	case ROUTE_UNKNOWN:
		done(ss, MANAGESIEVE_NO, "TRYLATER",
		    "It is not known now where your scripts are");
		return;
	}
}

static void
to_home(struct sieve_session *ss)
{
	struct slice name;

	if (mboxname_of_user(&ss->arena, &ss->worker->layout,
	        slice_str(ss->user), &name) != NULL)
		done(ss, MANAGESIEVE_NO, NULL,
		    "You have no INBOX, so there is no place for scripts");
	else
		ss->wait = route_find(ss->worker->route, &ss->rate, name,
		    home_found, ss);
}

/* --- commands --------------------------------------------------------------------------------- */

static void
run_checked(struct sieve_session *ss, bool store)
{
	struct buf text;

	buf_init(&text, 1024);
	if (!compiles(ss, &text)) {
		buf_putc(&text, '\0');
		done(ss, MANAGESIEVE_NO, NULL, (const char *)buf_data(&text));
	} else if (store)
		to_home(ss);
	else
		done(ss, MANAGESIEVE_OK, NULL, "The script is good");
	buf_fini(&text);
}

static void
run_noop(struct sieve_session *ss)
{
	if (ss->cmd.content.ptr == NULL) {
		done(ss, MANAGESIEVE_OK, NULL, "Done");
		return;
	}
	managesieve_put_reply_arg(stream_out(ss->client), MANAGESIEVE_OK, "TAG",
	    ss->cmd.content, slice_str("Done"));
	end_command(ss);
}

static void
run_unauthenticate(struct sieve_session *ss)
{
	static const struct collect_limits limits = { BEFORE_LOGIN_MAX,
		BEFORE_LOGIN_MAX, 8 };

	free(ss->user);
	ss->user = NULL;
	timer_set(ss->timer, (int64_t)ss->worker->conf->login_ms);
	collect_set_limits(&ss->collect, &limits);
	done(ss, MANAGESIEVE_OK, NULL, "You are nobody again");
}

static void
run(struct sieve_session *ss)
{
	switch (ss->cmd.verb) {
	case MANAGESIEVE_AUTHENTICATE:
		run_authenticate(ss);
		return;
	case MANAGESIEVE_STARTTLS:
		run_starttls(ss);
		return;
	case MANAGESIEVE_LOGOUT:
		put_reply(ss, MANAGESIEVE_OK, NULL, "Until next time");
		ss->phase = PHASE_CLOSING;
		stream_flush(ss->client);
		stream_finish(ss->client, BYE_SECONDS);
		return;
	case MANAGESIEVE_CAPABILITY:
		put_capabilities(ss);
		done(ss, MANAGESIEVE_OK, NULL, "Done");
		return;
	case MANAGESIEVE_HAVESPACE:
		if (ss->cmd.size > ss->worker->conf->script_max)
			done(ss, MANAGESIEVE_NO, "QUOTA/MAXSIZE",
			    "The script is larger than script_max");
		else
			done(ss, MANAGESIEVE_OK, NULL, "There is room");
		return;
	case MANAGESIEVE_PUTSCRIPT:
		run_checked(ss, true);
		return;
	case MANAGESIEVE_CHECKSCRIPT:
		run_checked(ss, false);
		return;
	case MANAGESIEVE_LISTSCRIPTS:
	case MANAGESIEVE_SETACTIVE:
	case MANAGESIEVE_GETSCRIPT:
	case MANAGESIEVE_DELETESCRIPT:
	case MANAGESIEVE_RENAMESCRIPT:
		to_home(ss);
		return;
	case MANAGESIEVE_NOOP:
		run_noop(ss);
		return;
	case MANAGESIEVE_UNAUTHENTICATE:
		run_unauthenticate(ss);
		return;
	case MANAGESIEVE_MAX:
		break;
	}
	must_fail("a verb", __FILE__, __LINE__, __func__);
}

static void
run_command(struct sieve_session *ss)
{
	unsigned now =
	    ss->user == NULL ? MANAGESIEVE_BEFORE : MANAGESIEVE_AFTER;
	const char *why;

	if (ss->phase == PHASE_SASL) {
		take_response(ss);
		return;
	}
	ss->phase = PHASE_RUN;
	why = managesieve_parse(&ss->arena, collect_pieces(&ss->collect),
	    &ss->cmd);
	if (why == NULL && (managesieve_states(ss->cmd.verb) & now) == 0)
		why = ss->user == NULL ? "Log in first" : "Already logged in";
	if (why != NULL)
		done(ss, MANAGESIEVE_NO, NULL, why);
	else
		run(ss);
}

/* --- input -------------------------------------------------------------------------------------- */

static void
take_event(struct sieve_session *ss, enum collect_event ev,
    const struct collect_item *item)
{
	switch (ev) {
	case COLLECT_ERROR:
		say_bye(ss, NULL, collect_error(&ss->collect));
		return;
	case COLLECT_REFUSED:
		ss->phase = PHASE_RUN;
		done(ss, MANAGESIEVE_NO, item->too_big ? "QUOTA/MAXSIZE" : NULL,
		    item->why);
		return;
	case COLLECT_COMMAND:
		run_command(ss);
		return;
	case COLLECT_STREAM: /* IMAP's alone */
	case COLLECT_DATA:
	case COLLECT_LINE:
	case COLLECT_CONTINUE:
	case COLLECT_GATHERED:
	case COLLECT_MORE:
		return;
	}
}

/* An answer always fits behind so little. */
static bool
may_take(struct sieve_session *ss)
{
	return (ss->phase == PHASE_READ || ss->phase == PHASE_SASL) &&
	       buf_len(stream_out(ss->client)) <= UNREAD_MAX;
}

static void
advance(struct sieve_session *ss)
{
	struct buf *in = stream_in(ss->client);
	struct collect_item item;
	enum collect_event ev;

	while (ss->magic == SIEVE_MAGIC && may_take(ss)) {
		ev = collect_next(&ss->collect, buf_data(in), buf_len(in),
		    &item);
		buf_drop(in, item.taken);
		if (ev == COLLECT_MORE)
			break;
		take_event(ss, ev, &item);
	}
	if (ss->magic == SIEVE_MAGIC && ss->phase != PHASE_CLOSING)
		stream_want_read(ss->client, may_take(ss));
}

static void
on_client(void *arg, enum stream_event ev)
{
	struct sieve_session *ss = session_of(arg);

	if (ev == STREAM_CLOSED) {
		session_free(ss);
		return;
	}
	if (ev == STREAM_SECURE && !ss->greeted)
		greet(ss);
	ss->active = loop_now(ss->worker->loop);
	advance(ss);
}

/* Set once and looked at when it is due, so that commands need not move it. */
static void
on_timer(void *arg)
{
	struct sieve_session *ss = session_of(arg);
	int64_t idle = (int64_t)ss->worker->conf->idle_ms, passed;

	if (ss->user == NULL) {
		say_bye(ss, NULL, "Log in sooner next time");
		return;
	}
	passed = loop_now(ss->worker->loop).ms - ss->active.ms;
	if (passed >= idle && ss->phase != PHASE_RUN)
		say_bye(ss, NULL, "You were idle for too long");
	else
		timer_set(ss->timer, passed < idle ? idle - passed : idle);
}

void
sieve_session_new(struct imapd *imapd, int fd)
{
	static const struct collect_limits limits = { BEFORE_LOGIN_MAX,
		BEFORE_LOGIN_MAX, 8 };
	const struct proxyd_conf *conf = imapd->worker.conf;
	const struct stream_limits stream_limits = { IN_MAX,
		2 * conf->script_max + IN_MAX,
		(unsigned)(conf->login_ms / 1000) + 1 };
	struct sieve_session *ss = xcalloc(1, sizeof(*ss));

	ss->magic = SIEVE_MAGIC;
	ss->rate = ROUTE_RATE_CLIENT;
	ss->imapd = imapd;
	ss->worker = &imapd->worker;
	arena_init(&ss->arena);
	buf_init(&ss->answer, 2 * conf->script_max + IN_MAX / 2);
	collect_init(&ss->collect, COLLECT_SIEVE, &limits, &ss->arena);
	worker_new_sid(ss->sid);
	ss->client =
	    stream_new(ss->worker->loop, fd, &stream_limits, on_client, ss);
	ss->timer = timer_new(ss->worker->loop, on_timer, ss);
	timer_set(ss->timer, (int64_t)conf->login_ms);
	TAILQ_INSERT_TAIL(&imapd->sieve_sessions, ss, entry);
	imapd->nsessions++;
	greet(ss);
	stream_want_read(ss->client, true);
}

void
sieve_sessions_drain(struct imapd *imapd)
{
	struct sieve_session *ss, *next;

	TAILQ_FOREACH_SAFE (ss, &imapd->sieve_sessions, entry, next)
		drain(ss);
}
