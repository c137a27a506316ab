#include "imap/capability.h"
#include "imap/id.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/namespace.h"
#include "lib/auth_line.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/stream.h"
#include "proxyd/cmd_auth.h"
#include "proxyd/conf.h"
#include "proxyd/handlers.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/worker.h"

enum {
	CAPABILITIES_MAX = 4096
};

/* What a session through us can do, whatever backends it meets. */
static const uint64_t offered =
    CAPABILITY_BIT(IMAP4REV1) | CAPABILITY_BIT(LITERAL_PLUS) |
    CAPABILITY_BIT(SASL_IR) | CAPABILITY_BIT(ID) | CAPABILITY_BIT(ENABLE) |
    CAPABILITY_BIT(IDLE) | CAPABILITY_BIT(NAMESPACE) | CAPABILITY_BIT(UIDPLUS) |
    CAPABILITY_BIT(UNSELECT) | CAPABILITY_BIT(CHILDREN) | CAPABILITY_BIT(MOVE) |
    CAPABILITY_BIT(ESEARCH) | CAPABILITY_BIT(CONDSTORE) |
    CAPABILITY_BIT(SPECIAL_USE) | CAPABILITY_BIT(CREATE_SPECIAL_USE) |
    CAPABILITY_BIT(LIST_EXTENDED) | CAPABILITY_BIT(LIST_STATUS) |
    CAPABILITY_BIT(STATUS_SIZE) | CAPABILITY_BIT(ACL) | CAPABILITY_BIT(RIGHTS) |
    CAPABILITY_BIT(OBJECTID);

static struct auth_peer
peer_of(struct session *ss)
{
	return (struct auth_peer){ .service = "imap",
		.address = stream_peer(ss->client),
		.external = stream_tls_peer(ss->client),
		.secure = stream_is_secure(ss->client) ||
		          stream_is_loopback(ss->client) };
}

/* The list as it is now; in the arena. */
static char *
capabilities(struct session *ss)
{
	const struct auth_peer peer = peer_of(ss);
	const char *mechs = "";
	uint64_t set = offered;
	unsigned now = CAPABILITY_AFTER;
	struct buf out;
	char *s;

	if (ss->state == STATE_NOT_AUTHENTICATED) {
		now = CAPABILITY_BEFORE;
		mechs = auth_mechanisms(ss->worker->auth, &peer);
		if (!stream_is_secure(ss->client)) {
			now |= CAPABILITY_PLAIN;
			if (ss->worker->server_tls != NULL)
				set |= CAPABILITY_BIT(STARTTLS);
			if (!peer.secure && !ss->worker->conf->auth.plaintext)
				set |= CAPABILITY_BIT(LOGINDISABLED);
		}
	}
	buf_init(&out, CAPABILITIES_MAX);
	capability_put(&out, set, now, mechs);
	s = arena_string(&ss->arena, buf_slice(&out));
	buf_fini(&out);
	return s;
}

static void
put_capability_code(struct session *ss, struct write *w)
{
	write_code_open(w, RESPCODE_CAPABILITY);
	write_sp(w);
	write_word(w, capabilities(ss));
	write_code_close(w);
}

void
cmd_auth_greet(struct session *ss)
{
	struct write w = session_write(ss);

	write_status(&w, slice_of(NULL, 0), WRITE_OK);
	put_capability_code(ss, &w);
	write_text(&w, "IMAP service ready");
	write_end(&w);
	ss->greeted = true;
	arena_reset(&ss->arena);
	session_flush(ss);
}

/* --- any state --------------------------------------------------------------- */

void
proxyd_CAPABILITY(struct session *ss)
{
	struct write w = session_write(ss);

	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	write_untagged(&w, "CAPABILITY");
	write_sp(&w);
	write_word(&w, capabilities(ss));
	write_end(&w);
	session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
}

void
proxyd_LOGOUT(struct session *ss)
{
	struct write w = session_write(ss);
	struct slice tag = ss->cmd.tag;

	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	write_reply(&w, slice_of(NULL, 0), WRITE_BYE, RESPCODE_NONE,
	    "Until next time");
	write_reply(&w, tag, WRITE_OK, RESPCODE_NONE, "Logged out");
	session_flush(ss);
	session_close_after(ss, CLOSE_LOGOUT);
}

void
proxyd_ID(struct session *ss)
{
	struct id theirs,
	    ours = { .pairs = { { slice_str("name"), slice_str("Murder") } },
		    .n = 1 };
	struct write w = session_write(ss);

	parse_sp(&ss->cmd.args);
	id_parse(&ss->cmd.args, &theirs);
	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	for (size_t i = 0; i < theirs.n; i++)
		log_debug(ss->worker->log, "client says of itself", "sid",
		    ss->sid, "field", LOG_SLICE(theirs.pairs[i].field), "value",
		    LOG_SLICE(theirs.pairs[i].value), NULL);
	write_untagged(&w, "ID");
	write_sp(&w);
	id_write(&w, &ours);
	write_end(&w);
	session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
}

/* --- logging in --------------------------------------------------------------- */

void
proxyd_STARTTLS(struct session *ss)
{
	struct err err;

	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	if (ss->worker->server_tls == NULL || stream_is_secure(ss->client)) {
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    stream_is_secure(ss->client) ? "TLS is on already"
		                                 : "TLS is not set up here");
		return;
	}
	session_done(ss, WRITE_OK, RESPCODE_NONE, "Begin TLS now");
	if (stream_start_tls(ss->client, ss->worker->server_tls, NULL, &err) ==
	    -1) {
		log_warn(ss->worker->log, "TLS not started", "sid", ss->sid,
		    "why", err.text, NULL);
		session_free(ss, CLOSE_PROTOCOL);
	}
}

/* The user's INBOX is most likely next: meet its server meanwhile. */
static void
dial_home(struct session *ss)
{
	struct slice name;
	struct mboxrec rec;
	char server[MBOXREC_HOST];

	if (mboxname_of_user(&ss->arena, &ss->worker->layout,
	        slice_str(ss->user), &name) != NULL ||
	    route_look(ss->worker->route, name, &rec) != ROUTE_FOUND)
		return;
	route_server(&rec, server);
	(void)session_leg(ss, server);
}

static void
logged_in(struct session *ss, const char *user)
{
	struct write w;

	session_logged_in(ss, user);
	dial_home(ss);
	w = session_write(ss);
	write_status(&w, ss->cmd.tag, WRITE_OK);
	put_capability_code(ss, &w);
	write_text(&w, "Logged in");
	write_end(&w);
	session_passed(ss);
}

static void
take_line(struct session *ss, struct slice line)
{
	auth_line_put(ss->exchange, line);
}

static void
ask_client(struct session *ss, const char *coded)
{
	struct write w = session_write(ss);

	write_continue(&w, slice_str(coded));
	session_want_line(ss, take_line);
}

static void
accept_login(struct session *ss, const struct auth_line_answer *a)
{
	const char *user =
	    proxyd_user_of(ss->worker->conf, a->authcid, a->authzid);

	if (user != NULL)
		logged_in(ss, user);
	else
		session_done(ss, WRITE_NO, RESPCODE_AUTHORIZATIONFAILED,
		    "You may not act for that user");
}

static void
on_auth(void *arg, const struct auth_line_answer *a)
{
	struct session *ss = arg;

	if (a->result != AUTH_LINE_CHALLENGE)
		ss->exchange = NULL;
	switch (a->result) {
	case AUTH_LINE_CHALLENGE:
		ask_client(ss, a->coded);
		return;
	case AUTH_LINE_OK:
		accept_login(ss, a);
		return;
	case AUTH_LINE_FAIL:
		log_info(ss->worker->log, "login failed", "sid", ss->sid,
		    "client", stream_peer(ss->client), "why", a->text, NULL);
		session_done(ss, WRITE_NO, RESPCODE_AUTHENTICATIONFAILED,
		    "Wrong user name or password");
		return;
	case AUTH_LINE_UNAVAILABLE:
		session_unavailable(ss,
		    "Logging in is not possible now, try again later");
		return;
	case AUTH_LINE_CANCELLED:
		session_done(ss, WRITE_BAD, RESPCODE_NONE, "Cancelled");
		return;
	case AUTH_LINE_MALFORMED:
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "The response is not base64");
		return;
	}
}

void
proxyd_AUTHENTICATE(struct session *ss)
{
	const struct auth_peer peer = peer_of(ss);
	struct parse *p = &ss->cmd.args;
	struct slice mechanism, coded = { NULL, 0 };

	parse_sp(p);
	mechanism = parse_atom(p);
	if (parse_try(p, ' '))
		coded = parse_rest(p);
	parse_end(p);
	if (session_bad_args(ss))
		return;
	ss->exchange = auth_line_start(ss->worker->auth, &peer,
	    arena_string(&ss->arena, mechanism), coded, AUTH_LINE_LAST_APART,
	    on_auth, ss);
	if (ss->exchange == NULL)
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "The initial response is not base64");
}

void
proxyd_LOGIN(struct session *ss)
{
	const struct auth_peer peer = peer_of(ss);
	struct parse *p = &ss->cmd.args;
	struct slice user, password;

	parse_sp(p);
	user = parse_astring(p);
	parse_sp(p);
	password = parse_astring(p);
	parse_end(p);
	if (session_bad_args(ss))
		return;
	if (!peer.secure && !ss->worker->conf->auth.plaintext) {
		session_done(ss, WRITE_NO, RESPCODE_PRIVACYREQUIRED,
		    "Use TLS first");
		return;
	}
	ss->exchange = auth_line_login(ss->worker->auth, &peer, user, password,
	    on_auth, ss);
}

/* --- logged in ----------------------------------------------------------------- */

void
proxyd_NAMESPACE(struct session *ss)
{
	struct write w = session_write(ss);

	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	namespace_write(&w, session_layout(ss));
	session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
}

void
proxyd_ENABLE(struct session *ss)
{
	struct parse *p = &ss->cmd.args;
	struct write w = session_write(ss);
	bool condstore = false;
	struct leg *g;

	do {
		parse_sp(p);
		condstore |= slice_is_nocase(parse_atom(p), "CONDSTORE");
	} while (parse_error(p) == NULL && parse_peek(p) == ' ');
	parse_end(p);
	if (session_bad_args(ss))
		return;
	if (condstore && !ss->condstore)
		TAILQ_FOREACH (g, &ss->legs, entry)
			if (link_is_open(g->link))
				leg_ask_text(g, "ENABLE CONDSTORE",
				    &(struct ask_use){ .policy = ASK_DROP });
	ss->condstore |= condstore;
	write_untagged(&w, condstore ? "ENABLED CONDSTORE" : "ENABLED");
	write_end(&w);
	session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
}
