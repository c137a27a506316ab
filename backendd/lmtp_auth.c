/*
 * AUTH in LMTP: for frontends, which may then say where each message goes.
 */
#include <string.h>

#include "backendd/lmtp_state.h"
#include "backendd/server.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

enum {
	SASL_MAX = 16 * 1024
};

struct auth_peer
lmtp_peer(struct lmtp_session *ls)
{
	return (struct auth_peer){
		.service = "lmtp",
		.address = stream_peer(ls->stream),
		.external = stream_tls_peer(ls->stream),
		.secure = stream_is_secure(ls->stream) ||
		          stream_is_loopback(ls->stream),
	};
}

static void
refuse(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text)
{
	auth_cancel(&ls->exchange);
	ls->state = LMTP_COMMAND;
	lmtp_reply(ls, code, enhanced, text);
}

static void
challenge(struct lmtp_session *ls, struct slice octets)
{
	struct buf text;

	buf_init(&text, SASL_MAX * 2);
	base64_encode(&text, octets);
	buf_putc(&text, '\0');
	MUST(!buf_failed(&text));
	lmtp_reply(ls, 334, NULL, (const char *)buf_data(&text));
	buf_fini(&text);
	ls->state = LMTP_AUTH_LINE;
}

static void
accept_login(struct lmtp_session *ls)
{
	if (ls->proxy == NULL) {
		refuse(ls, 535, "5.7.8", "Not a frontend's name");
		return;
	}
	ls->state = LMTP_COMMAND;
	log_debug(ls->bd->log, "lmtp login", "sid", ls->sid, "proxy", ls->proxy,
	    NULL);
	lmtp_reply(ls, 235, "2.7.0", "Authenticated");
}

static void
take_answer(void *arg, const struct auth_answer *a)
{
	struct lmtp_session *ls = arg;

	MUST(ls->magic == LMTP_MAGIC);
	if (a->result != AUTH_CONTINUE)
		ls->exchange = NULL;
	switch (a->result) {
	case AUTH_CONTINUE:
		challenge(ls, a->challenge);
		break;
	case AUTH_OK:
		if (backendd_is_proxy(ls->bd, a->authcid))
			ls->proxy = xstrdup(a->authcid);
		if (a->has_challenge)
			challenge(ls, a->challenge);
		else
			accept_login(ls);
		break;
	case AUTH_FAIL:
		log_info(ls->bd->log, "login failed", "sid", ls->sid, "why",
		    a->text, NULL);
		refuse(ls, 535, "5.7.8", "Wrong name or password");
		break;
	case AUTH_UNAVAILABLE:
		refuse(ls, 454, "4.7.0", "Cannot check now");
		break;
	}
	lmtp_advance(ls);
}

/* Into storage that does not move, so that all of it can be wiped. */
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

void
lmtp_start_auth(struct lmtp_session *ls, const struct lmtp_command *c)
{
	struct auth_peer peer = lmtp_peer(ls);
	const char *mechanism = arena_string(&ls->line_arena, c->mechanism);
	struct slice initial = c->initial, plain;
	struct buf octets;

	if (ls->proxy != NULL || ls->has_mail) {
		refuse(ls, 503, "5.5.1", "Not now");
		return;
	}
	ls->state = LMTP_WAITING;
	if (initial.ptr == NULL) {
		ls->exchange = auth_start(ls->bd->auth, &peer, mechanism, NULL,
		    take_answer, ls);
		return;
	}
	if (decode(&octets, initial) == -1) {
		refuse(ls, 501, "5.5.2", "Not base64");
	} else {
		plain = buf_slice(&octets);
		ls->exchange = auth_start(ls->bd->auth, &peer, mechanism,
		    &plain, take_answer, ls);
	}
	forget(&octets);
}

void
lmtp_auth_line(struct lmtp_session *ls, struct slice line)
{
	struct buf octets;

	if (slice_is(line, "*")) {
		refuse(ls, 501, "5.7.0", "Cancelled");
		return;
	}
	if (decode(&octets, line) == -1) {
		refuse(ls, 501, "5.5.2", "Not base64");
	} else if (ls->exchange != NULL) {
		ls->state = LMTP_WAITING;
		auth_step(ls->exchange, buf_slice(&octets));
	} else {
		accept_login(ls);
	}
	forget(&octets);
}
