/*
 * The commands, one function each; when each is legal is in mupdate.def and
 * asked in session_command() only.
 */
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"
#include "mupdated/walk.h"

enum {
	ENTRY_MAX = 512 * 1024
};

typedef void handler(struct session *ss, const struct mupdate_message *m);

/* --- changes --------------------------------------------------------------- */

void
session_change(struct session *ss, const struct rules_request *rq)
{
	const struct rules_who who = session_who(ss);
	struct list_answer a = list_change(ss->server->list, rq, &who);

	if (a.done)
		session_answer(ss, MUPDATE_OK, a.text, a.number, true);
	else
		session_refuse(ss, a.code, a.text);
}

static void
cmd_RESERVE(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_RESERVE,
		.name = m->args[0],
		.wanted.location = m->args[1] };

	session_change(ss, &rq);
}

static void
cmd_ACTIVATE(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_ACTIVATE,
		.name = m->args[0],
		.wanted.location = m->args[1],
		.wanted.acl = m->args[2] };

	session_change(ss, &rq);
}

static void
cmd_DEACTIVATE(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_DEACTIVATE,
		.name = m->args[0],
		.wanted.location = m->args[1] };

	session_change(ss, &rq);
}

static void
cmd_DELETE(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_DELETE,
		.name = m->args[0] };

	session_change(ss, &rq);
}

/* --- reading --------------------------------------------------------------- */

void
session_find(struct session *ss, const struct mupdate_message *m,
    session_put *put)
{
	struct list *l = ss->server->list;
	struct session_room room;
	struct buf record;
	struct mboxrec r;
	struct err err;
	int found;

	buf_init(&record, ENTRY_MAX);
	found = list_find(l, m->args[0], &r, &record, &err);
	if (found == -1) {
		session_unreadable(ss, &err);
	} else {
		room = session_begin(ss, list_last(l), false);
		if (found == 1)
			put(room.out, m->tag, m->args[0], &r);
		mupdate_put_reply(room.out, m->tag, MUPDATE_OK,
		    "Search completed");
		session_end(&room);
	}
	buf_fini(&record);
}

static void
put_plain(struct buf *b, struct slice tag, struct slice name,
    const struct mboxrec *r)
{
	if (r->state == MBOXREC_ACTIVE)
		mupdate_put_mailbox(b, tag, name, r->location, r->acl);
	else
		mupdate_put_reserve(b, tag, name, r->location);
}

static void
cmd_FIND(struct session *ss, const struct mupdate_message *m)
{
	session_find(ss, m, put_plain);
}

static void
cmd_LIST(struct session *ss, const struct mupdate_message *m)
{
	struct walk *w = walk_begin(ss, WALK_LIST);

	if (m->nargs > 0)
		walk_of(w, m->args[0]);
}

/* Changes from here on are kept for it, so none falls between. */
static void
cmd_UPDATE(struct session *ss, const struct mupdate_message *m)
{
	struct server *sv = ss->server;

	feed_join(&sv->feed, &ss->subscriber, FEED_PLAIN, m->tag,
	    stream_out(ss->stream), list_revision(sv->list));
	sv->full++;
	walk_begin(ss, WALK_UPDATE);
}

/* --- the rest -------------------------------------------------------------- */

static void
cmd_NOOP(struct session *ss, const struct mupdate_message *m)
{
	(void)m;
	/* What is not durable yet is pending: its lines go first. */
	session_answer(ss, MUPDATE_OK, "Noop done", list_last(ss->server->list),
	    false);
}

static void
cmd_LOGOUT(struct session *ss, const struct mupdate_message *m)
{
	(void)m;
	session_answer(ss, MUPDATE_BYE, "bye-bye", 0, false);
	session_enter(ss, SESSION_LEAVING);
}

static void
cmd_STARTTLS(struct session *ss, const struct mupdate_message *m)
{
	struct server *sv = ss->server;
	struct err err;

	(void)m;
	if (sv->tls == NULL || stream_is_secure(ss->stream)) {
		session_answer(ss, MUPDATE_NO, "TLS is not to be had", 0,
		    false);
		return;
	}
	session_answer(ss, MUPDATE_OK, "Begin TLS negotiation", 0, false);
	if (stream_start_tls(ss->stream, sv->tls, NULL, &err) == -1) {
		log_warn(sv->log, "session: cannot begin TLS", "peer",
		    stream_peer(ss->stream), "why", err.text, NULL);
		session_close(ss, SESSION_END_PROTOCOL, "TLS failed");
		return;
	}
	session_enter(ss, SESSION_HANDSHAKE);
}

static void
cmd_AUTHENTICATE(struct session *ss, const struct mupdate_message *m)
{
	session_authenticate(ss, m);
}

#define cmd_XACTIVATE session_xactivate
#define cmd_XBREAK    session_xbreak
#define cmd_XDIGEST   session_xdigest
#define cmd_XFIND     session_xfind
#define cmd_XLEASES   session_xleases
#define cmd_XLIST     session_xlist
#define cmd_XRESERVE  session_xreserve
#define cmd_XUPDATE   session_xupdate

static handler *const handlers[MUPDATE_CMD_MAX] = {
#define MUPDATE_COMMAND(id, name, least, most, flags) \
	[MUPDATE_CMD_##id] = cmd_##id,
#include "imap/mupdate.def"
#undef MUPDATE_COMMAND
};

/* Why the command is not legal now; NULL if it is. */
static const char *
not_now(const struct session *ss, unsigned flags, enum mupdate_response *id)
{
	*id = MUPDATE_BAD;
	if (ss->state == SESSION_STREAMING)
		return flags & MUPDATE_STREAMING ? NULL
		                                 : "not legal when streaming";
	if (ss->state == SESSION_READY)
		return flags & MUPDATE_AUTHENTICATED ? NULL
		                                     : "already authenticated";
	*id = MUPDATE_NO;
	return flags & MUPDATE_NOT_AUTHENTICATED ? NULL : "Please login first";
}

/* Says why, if the session's user may not. */
static bool
is_forbidden(struct session *ss, unsigned flags)
{
	if (flags & MUPDATE_WRITES && ss->role == ROLE_READER)
		session_refuse(ss, MUPDATE_CODE_READONLY, "you may only read");
	else if (flags & MUPDATE_MANAGES && ss->role != ROLE_ADMIN)
		session_refuse(ss, MUPDATE_CODE_NOTOWNER, "for admins only");
	else
		return false;
	return true;
}

void
session_command(struct session *ss, const struct mupdate_message *m)
{
	enum mupdate_response id;
	const char *why = m->error;
	unsigned flags;

	if (why != NULL) {
		session_answer(ss, MUPDATE_BAD, why, 0, false);
		return;
	}
	flags = mupdate_command_flags((enum mupdate_command)m->id);
	why = not_now(ss, flags, &id);
	if (why != NULL)
		session_answer(ss, id, why, 0, false);
	else if (!is_forbidden(ss, flags))
		handlers[m->id](ss, m);
}
