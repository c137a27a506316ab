/*
 * LOGIN, AUTHENTICATE, STARTTLS: who is it?
 */
#include <string.h>

#include "backendd/handlers.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/mboxname.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/auth.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SASL_MAX = 16 * 1024 /* octets of one response */
};

/* In the command's arena. */
struct login {
	struct session *ss;
	struct auth_exchange *exchange; /* NULL: none is under way */
	const char *mechanism;
	const char *authcid, *authzid; /* proven, but for an empty last line */
	const char *claimed;           /* LOGIN's name, for the log */
};

static struct login *
login_new(struct session *ss, struct cmd *cmd)
{
	struct login *l = arena_alloc(cmd->arena, sizeof(*l));

	l->ss = ss;
	cmd->state = l;
	return l;
}

/* --- it is who it says it is -------------------------------------------------- */

static void
welcome(struct session *ss)
{
	struct cmd *cmd = session_cmd(ss);

	session_done(ss, SESSION_OK,
	    arena_printf(cmd->arena, "CAPABILITY %s", session_capabilities(ss)),
	    arena_printf(cmd->arena, "Logged in SESSIONID=<%s>",
	        session_sid(ss)));
}

static void
user_made(void *arg, enum mblist_result r, const char *text)
{
	(void)r; /* logged; who has no INBOX is told at SELECT */
	(void)text;
	welcome(arg);
}

static void
accept_login(struct login *l)
{
	struct session *ss = l->ss;
	struct backendd *bd = session_server(ss);
	struct arena *a = session_cmd(ss)->arena;
	struct slice inbox;
	const char *user;

	if (!session_log_in(ss, l->authcid, l->authzid)) {
		session_login_failed(ss, l->authcid, "may not act for another");
		session_done(ss, SESSION_NO, "AUTHORIZATIONFAILED",
		    "You may not act for that user");
		return;
	}
	user = session_user(ss);
	if (backendd_autocreates(bd) && !session_is_admin(ss) &&
	    !session_is_proxy(ss) &&
	    mboxname_of_user(a, &bd->layout, slice_str(user), &inbox) == NULL &&
	    mblist_get(bd->list, arena_string(a, inbox), a) == NULL)
		mblist_make_user(bd->list, user, user_made, ss);
	else
		welcome(ss);
}

/* --- the exchange --------------------------------------------------------------- */

static void
refuse(struct login *l, const struct auth_answer *a)
{
	session_login_failed(l->ss,
	    l->claimed != NULL ? l->claimed : l->mechanism,
	    a->text != NULL ? a->text : "");
	if (a->result == AUTH_UNAVAILABLE)
		session_done(l->ss, SESSION_NO, "UNAVAILABLE",
		    "Cannot check now, try again later");
	else
		session_done(l->ss, SESSION_NO, "AUTHENTICATIONFAILED",
		    "Wrong name or password");
}

static void take_line(struct session *ss, void *arg, struct slice line);

/* "+ BASE64" */
static void
challenge(struct login *l, struct slice octets)
{
	struct buf text;

	buf_init(&text, SASL_MAX * 2);
	base64_encode(&text, octets);
	buf_putc(&text, '\0');
	MUST(!buf_failed(&text));
	session_continue(l->ss, (const char *)buf_data(&text));
	buf_fini(&text);
	session_want_line(l->ss, take_line, l);
}

static void
take_answer(void *arg, const struct auth_answer *a)
{
	struct login *l = arg;
	struct arena *arena = session_cmd(l->ss)->arena;

	switch (a->result) {
	case AUTH_CONTINUE:
		challenge(l, a->challenge);
		return;
	case AUTH_OK:
		break;
	case AUTH_FAIL:
	case AUTH_UNAVAILABLE:
		l->exchange = NULL;
		refuse(l, a);
		return;
	}
	l->exchange = NULL;
	l->authcid = arena_string(arena, slice_str(a->authcid));
	l->authzid = arena_string(arena,
	    slice_str(a->authzid != NULL ? a->authzid : ""));
	/* IMAP has no place for the server's last word but a challenge. */
	if (a->has_challenge)
		challenge(l, a->challenge);
	else
		accept_login(l);
}

/* Decoded into storage that does not move, and wiped. */
static int
decode(struct buf *out, struct slice line)
{
	size_t n = SASL_MAX;

	buf_init(out, SASL_MAX);
	(void)buf_space(out, &n); /* all of it now: growing leaves copies */
	return line.len > SASL_MAX ? -1 : base64_decode(out, line);
}

static void
forget(struct buf *b)
{
	if (b->area != NULL)
		wipe(b->area, b->size);
	buf_fini(b);
}

static void
give_up(struct login *l, const char *text)
{
	auth_cancel(&l->exchange);
	session_done(l->ss, SESSION_BAD, NULL, text);
}

static void
take_line(struct session *ss, void *arg, struct slice line)
{
	struct login *l = arg;
	struct buf octets;

	(void)ss; /* l has it */
	if (line.ptr == NULL || slice_is(line, "*")) {
		give_up(l, "Authentication cancelled");
		return;
	}
	if (decode(&octets, line) == -1)
		give_up(l, "Not base64");
	else if (l->exchange != NULL)
		auth_step(l->exchange, buf_slice(&octets));
	else if (buf_len(&octets) > 0)
		give_up(l, "Nothing more to say");
	else
		accept_login(l);
	forget(&octets);
}

/* --- commands -------------------------------------------------------------------- */

static bool
is_offered(const char *list, struct slice mechanism)
{
	struct slice rest = slice_str(list);

	while (rest.len > 0) {
		size_t n = slice_find(rest, ' ');

		if (slice_equal_nocase(slice_first(rest, n), mechanism))
			return true;
		rest = slice_skip(rest, n < rest.len ? n + 1 : n);
	}
	return false;
}

static void
start_exchange(struct login *l, struct slice initial, bool has_initial)
{
	struct auth_peer peer = session_auth_peer(l->ss);
	struct auth *auth = session_server(l->ss)->auth;
	struct slice plain;
	struct buf octets;

	if (!has_initial) {
		l->exchange =
		    auth_start(auth, &peer, l->mechanism, NULL, take_answer, l);
		return;
	}
	if (slice_is(initial, "="))
		initial.len = 0;
	if (decode(&octets, initial) == -1) {
		forget(&octets);
		session_done(l->ss, SESSION_BAD, NULL, "Not base64");
		return;
	}
	plain = buf_slice(&octets);
	l->exchange =
	    auth_start(auth, &peer, l->mechanism, &plain, take_answer, l);
	forget(&octets);
}

void
backendd_AUTHENTICATE(struct session *ss, struct cmd *cmd)
{
	struct login *l = login_new(ss, cmd);
	struct auth_peer peer = session_auth_peer(ss);
	struct slice mechanism = parse_atom(cmd->args);
	bool has_initial = parse_try(cmd->args, ' ');
	struct slice initial = { NULL, 0 };

	if (has_initial)
		initial = parse_rest(cmd->args);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (!is_offered(auth_mechanisms(session_server(ss)->auth, &peer),
	        mechanism)) {
		session_done(ss, SESSION_NO,
		    peer.secure ? "CANNOT" : "PRIVACYREQUIRED",
		    "That mechanism is not offered here");
		return;
	}
	l->mechanism = arena_string(cmd->arena, mechanism);
	start_exchange(l, initial, has_initial);
}

void
backendd_LOGIN(struct session *ss, struct cmd *cmd)
{
	struct login *l = login_new(ss, cmd);
	struct backendd *bd = session_server(ss);
	struct auth_peer peer = session_auth_peer(ss);
	struct slice user = parse_astring(cmd->args), password;

	parse_sp(cmd->args);
	password = parse_astring(cmd->args);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (!peer.secure && !backendd_allows_plaintext(bd)) {
		session_done(ss, SESSION_NO, "PRIVACYREQUIRED",
		    "Start TLS first");
		return;
	}
	l->mechanism = "LOGIN";
	l->claimed = arena_string(cmd->arena, user);
	l->exchange =
	    auth_login(bd->auth, &peer, user, password, take_answer, l);
}

void
backendd_STARTTLS(struct session *ss, struct cmd *cmd)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
	} else if (session_server(ss)->tls == NULL) {
		session_done(ss, SESSION_BAD, NULL, "TLS is not set up here");
	} else if (session_is_secure(ss)) {
		session_done(ss, SESSION_BAD, NULL, "TLS is on already");
	} else {
		session_start_tls(ss);
		session_done(ss, SESSION_OK, NULL, "Begin TLS");
	}
}
