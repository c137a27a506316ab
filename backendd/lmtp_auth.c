/*
 * AUTH in LMTP: for frontends, which may then say where each message goes.
 */
#include "backendd/lmtp_state.h"
#include "backendd/server.h"
#include "lib/auth_line.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

static struct auth_peer
peer_of(struct lmtp_session *ls)
{
	return (struct auth_peer){
		.service = "lmtp",
		.address = stream_peer(ls->stream),
		.external = stream_tls_peer(ls->stream),
		.secure = stream_is_secure(ls->stream) ||
		          stream_is_loopback(ls->stream),
	};
}

const char *
lmtp_mechanisms(struct lmtp_session *ls)
{
	struct auth_peer peer = peer_of(ls);

	return auth_mechanisms(ls->bd->auth, &peer);
}

static void
accept_login(struct lmtp_session *ls, const char *authcid)
{
	if (!backendd_is_proxy(ls->bd, authcid)) {
		lmtp_reply(ls, 535, "5.7.8", "Not a frontend's name");
		return;
	}
	ls->proxy = xstrdup(authcid);
	log_debug(ls->bd->log, "lmtp login", "sid", ls->sid, "proxy", ls->proxy,
	    NULL);
	lmtp_server_trust(&ls->server);
	lmtp_reply(ls, 235, "2.7.0", "Authenticated");
}

static void
take_answer(void *arg, const struct auth_line_answer *a)
{
	struct lmtp_session *ls = arg;

	MUST(ls->magic == LMTP_MAGIC);
	if (a->result != AUTH_LINE_CHALLENGE)
		ls->exchange = NULL;
	switch (a->result) {
	case AUTH_LINE_CHALLENGE:
		lmtp_server_challenge(&ls->server, stream_out(ls->stream),
		    a->coded);
		break;
	case AUTH_LINE_OK:
		accept_login(ls, a->authcid);
		break;
	case AUTH_LINE_FAIL:
		log_info(ls->bd->log, "login failed", "sid", ls->sid, "why",
		    a->text, NULL);
		lmtp_reply(ls, 535, "5.7.8", "Wrong name or password");
		break;
	case AUTH_LINE_UNAVAILABLE:
		lmtp_reply(ls, 454, "4.7.0", "Cannot check now");
		break;
	case AUTH_LINE_CANCELLED:
		lmtp_reply(ls, 501, "5.7.0", "Cancelled");
		break;
	case AUTH_LINE_MALFORMED:
		lmtp_reply(ls, 501, "5.5.2", "Not base64");
		break;
	}
	lmtp_advance(ls);
}

void
lmtp_start_auth(struct lmtp_session *ls, const struct lmtp_command *c)
{
	struct auth_peer peer = peer_of(ls);
	const char *mechanism = arena_string(&ls->server.line, c->mechanism);

	ls->exchange = auth_line_start(ls->bd->auth, &peer, mechanism,
	    c->initial, AUTH_LINE_LAST_APART, take_answer, ls);
	if (ls->exchange == NULL)
		lmtp_reply(ls, 501, "5.5.2", "Not base64");
}
