/*
 * Who is it, and what may they do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/auth.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "mupdated/conf.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"

enum {
	BLOB_MAX = 64 * 1024
};

/* --- roles ----------------------------------------------------------------- */

static bool
is_in(const struct conf_list *list, const char *user)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], user) == 0)
			return true;
	return false;
}

enum session_role
session_role_of(const struct server *sv, const char *user)
{
	if (is_in(&sv->conf->admins, user))
		return ROLE_ADMIN;
	if (is_in(&sv->conf->writers, user))
		return ROLE_WRITER;
	if (is_in(&sv->conf->readers, user))
		return ROLE_READER;
	return ROLE_NONE;
}

struct rules_who
session_who(const struct session *ss)
{
	const struct mupdated_conf *c = ss->server->conf;

	return (struct rules_who){ .user = slice_str(ss->user),
		.hosts = &c->hosts,
		.everything = ss->role == ROLE_ADMIN || !c->check_owner,
		.host = slice_str(ss->host == NULL ? "" : ss->host) };
}

/* --- logging in ------------------------------------------------------------ */

static void
auth_reply(struct session *ss, enum mupdate_response id, const char *text)
{
	mupdate_put_reply(stream_out(ss->stream), slice_str(ss->auth_tag), id,
	    text);
}

static void
auth_failed(struct session *ss, const char *text, const char *why)
{
	log_info(ss->server->log, "login failed", "peer",
	    stream_peer(ss->stream), "why", why, NULL);
	free(ss->user);
	ss->user = NULL;
	ss->role = ROLE_NONE;
	auth_reply(ss, MUPDATE_NO, text);
	session_enter(ss, SESSION_LOGIN);
}

static void
auth_done(struct session *ss)
{
	MUST(ss->user != NULL && ss->role != ROLE_NONE);
	log_info(ss->server->log, "logged in", "peer", stream_peer(ss->stream),
	    "user", ss->user, NULL);
	session_is_known(ss);
	auth_reply(ss, MUPDATE_OK, "Authenticated");
	session_enter(ss, SESSION_READY);
}

/* Credentials are right; are they somebody's who has business here? */
static void
auth_ok(struct session *ss, const struct auth_answer *a)
{
	struct server *sv = ss->server;
	bool other = a->authzid != NULL && a->authzid[0] != '\0' &&
	             strcmp(a->authzid, a->authcid) != 0;

	if (other && session_role_of(sv, a->authcid) != ROLE_ADMIN) {
		auth_failed(ss, "Not authorized", "may not act for others");
		return;
	}
	ss->user = xstrdup(other ? a->authzid : a->authcid);
	ss->role = session_role_of(sv, ss->user);
	if (ss->role == ROLE_NONE) {
		auth_failed(ss, "Not authorized",
		    "not an admin, a writer or a reader");
		return;
	}
	if (!a->has_challenge) {
		auth_done(ss);
		return;
	}
	/* The protocol has no place for it in the OK, so it is a line, and
	 * the client answers with an empty one. */
	mupdate_put_line(stream_out(ss->stream), a->challenge);
	mupdate_expect_line(ss->parser, NULL);
	session_enter(ss, SESSION_LAST_WORD);
}

static void
auth_answered(void *arg, const struct auth_answer *a)
{
	struct session *ss = arg;

	MUST(ss->state == SESSION_CHECKING);
	if (a->result != AUTH_CONTINUE)
		ss->exchange = NULL; /* it has freed itself */
	switch (a->result) {
	case AUTH_CONTINUE:
		mupdate_put_line(stream_out(ss->stream), a->challenge);
		mupdate_expect_line(ss->parser, NULL);
		session_enter(ss, SESSION_RESPONSE);
		break;
	case AUTH_OK:
		auth_ok(ss, a);
		break;
	case AUTH_FAIL:
		auth_failed(ss, "Authentication failed", a->text);
		break;
	case AUTH_UNAVAILABLE:
		auth_failed(ss, "Authentication is not possible now", a->text);
		break;
	}
	session_advance(ss);
}

/* false if it is not base64; "=" stands for nothing, too. */
static bool
decode(struct buf *out, struct slice in)
{
	buf_init(out, BLOB_MAX);
	return slice_is(in, "=") || base64_decode(out, in) == 0;
}

static void
blob_fini(struct buf *b)
{
	wipe(b->area, b->size);
	buf_fini(b);
}

void
session_authenticate(struct session *ss, const struct mupdate_message *m)
{
	struct auth_peer peer = { "mupdate", stream_peer(ss->stream),
		stream_tls_peer(ss->stream),
		stream_is_secure(ss->stream) ||
		    stream_is_loopback(ss->stream) };
	char mechanism[64];
	struct slice initial;
	struct buf blob;

	buf_init(&blob, 1);
	snprintf(ss->auth_tag, sizeof(ss->auth_tag), "%.*s", (int)m->tag.len,
	    (const char *)m->tag.ptr);
	snprintf(mechanism, sizeof(mechanism), "%.*s", (int)m->args[0].len,
	    (const char *)m->args[0].ptr);
	if (m->nargs > 1 && !decode(&blob, m->args[1])) {
		blob_fini(&blob);
		session_answer(ss, MUPDATE_BAD, "Not base64", 0, false);
		return;
	}
	initial = buf_slice(&blob);
	session_enter(ss, SESSION_CHECKING);
	ss->exchange = auth_start(ss->server->auth, &peer, mechanism,
	    m->nargs > 1 ? &initial : NULL, auth_answered, ss);
	blob_fini(&blob);
}

void
session_response(struct session *ss, struct slice line)
{
	struct buf blob;

	if (ss->state == SESSION_LAST_WORD) {
		if (line.len == 0)
			auth_done(ss);
		else
			auth_failed(ss, "Authentication cancelled", NULL);
		return;
	}
	MUST(ss->state == SESSION_RESPONSE);
	if (slice_is(line, "*")) {
		auth_cancel(&ss->exchange);
		auth_failed(ss, "Authentication cancelled", "cancelled");
		return;
	}
	if (decode(&blob, line)) {
		session_enter(ss, SESSION_CHECKING);
		auth_step(ss->exchange, buf_slice(&blob));
	} else {
		auth_cancel(&ss->exchange);
		auth_reply(ss, MUPDATE_BAD, "Not base64");
		session_enter(ss, SESSION_LOGIN);
	}
	blob_fini(&blob);
}
