/*
 * Who it is: capabilities, TLS, SASL.
 */
#include <stdlib.h>
#include "imap/collect.h"
#include "imap/managesieve.h"
#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/auth_line.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/login.h"
#include "proxyd/managesieve_state.h"
#include "proxyd/worker.h"

/* --- capabilities -------------------------------------------------------------------- */

void
managesieve_capabilities(struct sieve_session *ss)
{
	const struct proxyd_conf *conf = ss->worker->conf;
	struct buf *out = stream_out(ss->client);
	const struct auth_peer peer = login_peer(ss->client, "sieve");
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

void
managesieve_greet(struct sieve_session *ss)
{
	ss->greeted = true;
	managesieve_capabilities(ss);
	managesieve_reply(ss, MANAGESIEVE_OK, NULL,
	    "ManageSieve service ready");
	stream_flush(ss->client);
}

/* --- logging in ------------------------------------------------------------------------- */

static void
logged_in(struct sieve_session *ss, const char *user, const char *coded)
{
	const struct proxyd_conf *conf = ss->worker->conf;
	const struct collect_limits limits = { MANAGESIEVE_REST_MAX,
		conf->script_max + MANAGESIEVE_REST_MAX, 4 };

	ss->user = xstrdup(user);
	timer_set(ss->timer, (int64_t)conf->idle_ms);
	stream_set_idle(ss->client,
	    (unsigned)(conf->idle_ms / 1000) + MANAGESIEVE_SLACK_SECONDS);
	collect_set_limits(&ss->collect, &limits);
	log_info(ss->worker->log, "logged in for sieve", "sid", ss->sid, "user",
	    user, "client", stream_peer(ss->client), NULL);
	if (coded == NULL) {
		managesieve_done(ss, MANAGESIEVE_OK, NULL, "Logged in");
		return;
	}
	managesieve_put_reply_arg(stream_out(ss->client), MANAGESIEVE_OK,
	    "SASL", slice_str(coded), slice_str("Logged in"));
	managesieve_end(ss);
}

static void
ask_client(struct sieve_session *ss, const char *coded)
{
	managesieve_put_string(stream_out(ss->client), slice_str(coded));
	buf_puts(stream_out(ss->client), "\r\n");
	stream_flush(ss->client);
	collect_done(&ss->collect);
	ss->phase = MANAGESIEVE_PHASE_SASL;
	loop_at_end(ss->worker->loop, managesieve_soon, ss);
}

static void
on_auth(void *arg, const struct auth_line_answer *a)
{
	struct sieve_session *ss = managesieve_session_of(arg);
	const struct login l = login_take(ss->worker, ss->sid, ss->client, a);

	if (l.outcome == LOGIN_ASK) {
		ask_client(ss, a->coded);
		return;
	}
	ss->exchange = NULL;
	if (l.outcome == LOGIN_OK)
		logged_in(ss, l.user, a->coded);
	else
		managesieve_done(ss, MANAGESIEVE_NO,
		    l.outcome == LOGIN_UNAVAILABLE ? "TRYLATER" : NULL, l.text);
}

void
managesieve_authenticate(struct sieve_session *ss)
{
	const struct auth_peer peer = login_peer(ss->client, "sieve");

	ss->exchange = auth_line_start(ss->worker->auth, &peer,
	    arena_string(&ss->arena, ss->cmd.name), ss->cmd.content,
	    AUTH_LINE_LAST_WITH_RESULT, on_auth, ss);
	if (ss->exchange == NULL)
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    "The initial response is not base64");
}

/* A line of the exchange, gathered as a command is. */
void
managesieve_response(struct sieve_session *ss)
{
	struct slice coded;
	const char *why = managesieve_parse_response(&ss->arena,
	    collect_pieces(&ss->collect), &coded);

	ss->phase = MANAGESIEVE_PHASE_RUN;
	if (why != NULL) {
		auth_line_cancel(&ss->exchange);
		managesieve_done(ss, MANAGESIEVE_NO, NULL, why);
	} else {
		auth_line_put(ss->exchange, coded);
	}
}

void
managesieve_starttls(struct sieve_session *ss)
{
	struct err err;

	if (ss->worker->server_tls == NULL || stream_is_secure(ss->client)) {
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    "TLS is not to be had now");
		return;
	}
	managesieve_done(ss, MANAGESIEVE_OK, NULL, "Begin TLS now");
	ss->greeted = false; /* RFC 5804 2.2: capabilities again, after it */
	if (stream_start_tls(ss->client, ss->worker->server_tls, NULL, &err) ==
	    -1) {
		log_warn(ss->worker->log, "TLS not started", "sid", ss->sid,
		    "why", err.text, NULL);
		managesieve_free(ss);
	}
}

void
managesieve_unauthenticate(struct sieve_session *ss)
{
	static const struct collect_limits limits = {
		MANAGESIEVE_BEFORE_LOGIN_MAX, MANAGESIEVE_BEFORE_LOGIN_MAX, 8
	};

	free(ss->user);
	ss->user = NULL;
	timer_set(ss->timer, (int64_t)ss->worker->conf->login_ms);
	collect_set_limits(&ss->collect, &limits);
	managesieve_done(ss, MANAGESIEVE_OK, NULL, "You are nobody again");
}
