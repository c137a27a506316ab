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
#include "proxyd/login.h"
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

/* The list as it is now; in the arena. */
static char *
capabilities(struct session *ss)
{
	const struct auth_peer peer = login_peer(ss->client, "imap");
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

/* What is not OK, in IMAP. */
static const struct {
	enum write_status status;
	enum respcode code;
} refusals[] = {
	[LOGIN_FAILED] = { WRITE_NO, RESPCODE_AUTHENTICATIONFAILED },
	[LOGIN_NOT_ALLOWED] = { WRITE_NO, RESPCODE_AUTHORIZATIONFAILED },
	[LOGIN_UNAVAILABLE] = { WRITE_NO, RESPCODE_UNAVAILABLE },
	[LOGIN_BAD] = { WRITE_BAD, RESPCODE_NONE },
};

static void
on_auth(void *arg, const struct auth_line_answer *a)
{
	struct session *ss = arg;
	const struct login l = login_take(ss->worker, ss->sid, ss->client, a);

	if (l.outcome == LOGIN_ASK) {
		ask_client(ss, a->coded);
		return;
	}
	ss->exchange = NULL;
	if (l.outcome == LOGIN_OK)
		logged_in(ss, l.user);
	else
		session_done(ss, refusals[l.outcome].status,
		    refusals[l.outcome].code, l.text);
}

void
proxyd_AUTHENTICATE(struct session *ss)
{
	const struct auth_peer peer = login_peer(ss->client, "imap");
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
	const struct auth_peer peer = login_peer(ss->client, "imap");
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
