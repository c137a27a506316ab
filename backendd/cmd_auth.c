/*
 * LOGIN, AUTHENTICATE, STARTTLS: who is it?
 */
#include "backendd/creator.h"
#include "backendd/handlers.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/mboxname.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/auth_line.h"

/* In the command's arena. */
struct login {
	struct session *ss;
	struct auth_line *exchange; /* NULL: none is under way */
	const char *mechanism;
	const char *claimed; /* LOGIN's name, for the log */
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
accept_login(struct login *l, const struct auth_line_answer *a)
{
	struct session *ss = l->ss;
	struct backendd *bd = session_server(ss);
	struct arena *arena = session_cmd(ss)->arena;
	struct slice inbox;
	const char *user;

	if (!session_log_in(ss, a->authcid, a->authzid)) {
		session_login_failed(ss, a->authcid, "may not act for another");
		session_done(ss, SESSION_NO, "AUTHORIZATIONFAILED",
		    "You may not act for that user");
		return;
	}
	user = session_user(ss);
	if (creator_wants(bd, user, CREATOR_LOGIN) == CREATOR_YES &&
	    !session_is_admin(ss) && !session_is_proxy(ss) &&
	    mboxname_of_user(arena, &bd->layout, slice_str(user), &inbox) ==
	        NULL &&
	    mblist_get(bd->list, arena_string(arena, inbox), arena) == NULL)
		mblist_make_user(bd->list, user, user_made, ss);
	else
		welcome(ss);
}

/* --- the exchange --------------------------------------------------------------- */

static void
refuse(struct login *l, const struct auth_line_answer *a)
{
	session_login_failed(l->ss,
	    l->claimed != NULL ? l->claimed : l->mechanism,
	    a->text != NULL ? a->text : "");
	if (a->result == AUTH_LINE_UNAVAILABLE)
		session_done(l->ss, SESSION_NO, "UNAVAILABLE",
		    "Cannot check now, try again later");
	else
		session_done(l->ss, SESSION_NO, "AUTHENTICATIONFAILED",
		    "Wrong name or password");
}

static void
take_line(struct session *ss, void *arg, struct slice line)
{
	struct login *l = arg;

	if (line.ptr != NULL) {
		auth_line_put(l->exchange, line);
		return;
	}
	auth_line_cancel(&l->exchange);
	session_done(ss, SESSION_BAD, NULL, "Authentication cancelled");
}

static void
take_answer(void *arg, const struct auth_line_answer *a)
{
	struct login *l = arg;

	if (a->result != AUTH_LINE_CHALLENGE)
		l->exchange = NULL;
	switch (a->result) {
	case AUTH_LINE_CHALLENGE:
		session_continue(l->ss, a->coded);
		session_want_line(l->ss, take_line, l);
		return;
	case AUTH_LINE_OK:
		accept_login(l, a);
		return;
	case AUTH_LINE_FAIL:
	case AUTH_LINE_UNAVAILABLE:
		refuse(l, a);
		return;
	case AUTH_LINE_CANCELLED:
		session_done(l->ss, SESSION_BAD, NULL,
		    "Authentication cancelled");
		return;
	case AUTH_LINE_MALFORMED:
		session_done(l->ss, SESSION_BAD, NULL, "Not base64");
		return;
	}
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

void
backendd_AUTHENTICATE(struct session *ss, struct cmd *cmd)
{
	struct login *l = login_new(ss, cmd);
	struct auth_peer peer = session_auth_peer(ss);
	struct slice mechanism = parse_atom(cmd->args);
	struct slice initial = { NULL, 0 };

	if (parse_try(cmd->args, ' '))
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
	l->exchange = auth_line_start(session_server(ss)->auth, &peer,
	    l->mechanism, initial, AUTH_LINE_LAST_APART, take_answer, l);
	if (l->exchange == NULL)
		session_done(ss, SESSION_BAD, NULL, "Not base64");
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
	    auth_line_login(bd->auth, &peer, user, password, take_answer, l);
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
