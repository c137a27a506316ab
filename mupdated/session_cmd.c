/*
 * The commands, one function each; when each is legal is in mupdate.def and
 * asked in session_command() only.
 */
#include <stdio.h>
#include <stdlib.h>

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
	SLICE_OCTETS = 128 * 1024, /* of the list, at a time */
	SLICE_ENTRIES = 4096,      /* looked at, matching or not */
	ENTRY_MAX = 512 * 1024
};

typedef void handler(struct session *ss, const struct mupdate_message *m);

/* --- changes --------------------------------------------------------------- */

static void
answer_change(struct session *ss, struct list_answer a)
{
	switch (a.verdict) {
	case LIST_DONE:
		session_answer(ss, MUPDATE_OK, a.text, a.number, true);
		return;
	case LIST_REFUSED:
		session_answer(ss, MUPDATE_NO, a.text, 0, true);
		return;
	}
}

static bool
refuse(struct session *ss, const struct mupdate_message *m)
{
	const char *why = session_may(ss, (enum mupdate_command)m->id,
	    m->args[0], m->nargs > 1 ? &m->args[1] : NULL);

	if (why != NULL)
		session_answer(ss, MUPDATE_NO, why, 0, true);
	return why != NULL;
}

static void
cmd_RESERVE(struct session *ss, const struct mupdate_message *m)
{
	if (!refuse(ss, m))
		answer_change(ss,
		    list_reserve(ss->server->list, m->args[0], m->args[1]));
}

static void
cmd_ACTIVATE(struct session *ss, const struct mupdate_message *m)
{
	if (!refuse(ss, m))
		answer_change(ss, list_activate(ss->server->list, m->args[0],
		                      m->args[1], m->args[2]));
}

static void
cmd_DEACTIVATE(struct session *ss, const struct mupdate_message *m)
{
	if (!refuse(ss, m))
		answer_change(ss,
		    list_deactivate(ss->server->list, m->args[0], m->args[1]));
}

static void
cmd_DELETE(struct session *ss, const struct mupdate_message *m)
{
	if (!refuse(ss, m))
		answer_change(ss, list_delete(ss->server->list, m->args[0]));
}

/* --- reading --------------------------------------------------------------- */

static void
put_entry(struct buf *b, struct slice tag, struct slice name,
    const struct mboxrec *r)
{
	if (r->state == MBOXREC_RESERVED)
		mupdate_put_reserve(b, tag, name, r->location);
	else
		mupdate_put_mailbox(b, tag, name, r->location, r->acl);
}

static void
unreadable(struct session *ss, const struct err *err)
{
	log_err(ss->server->log, "list: cannot read", "why", err->text, NULL);
	session_close(ss, SESSION_END_STORAGE, "the list cannot be read now");
}

static void
cmd_FIND(struct session *ss, const struct mupdate_message *m)
{
	struct list *l = ss->server->list;
	struct buf room, line;
	struct mboxrec r;
	struct err err;
	int found;

	buf_init(&room, ENTRY_MAX);
	buf_init(&line, ENTRY_MAX);
	found = list_find(l, m->args[0], &r, &room, &err);
	if (found == 1)
		put_entry(&line, m->tag, m->args[0], &r);
	MUST(!buf_failed(&line));
	if (found == -1) {
		unreadable(ss, &err);
	} else {
		session_answer_lines(ss, buf_slice(&line), list_last(l));
		session_answer(ss, MUPDATE_OK, "Search completed", list_last(l),
		    false);
	}
	buf_fini(&room);
	buf_fini(&line);
}

static void
begin_walk(struct session *ss, const struct mupdate_message *m,
    enum session_state state)
{
	buf_clear(&ss->walk_at);
	free((void *)(uintptr_t)ss->walk_prefix.ptr);
	ss->walk_prefix = slice_of(NULL, 0);
	if (m->nargs > 0 && m->args[0].len > 0)
		ss->walk_prefix =
		    slice_of(xmemdup(m->args[0].ptr, m->args[0].len),
		        m->args[0].len);
	snprintf(ss->walk_tag, sizeof(ss->walk_tag), "%.*s", (int)m->tag.len,
	    (const char *)m->tag.ptr);
	session_enter(ss, state);
}

static void
cmd_LIST(struct session *ss, const struct mupdate_message *m)
{
	begin_walk(ss, m, SESSION_LISTING);
}

/* Changes from here on are kept for it, so none falls between. */
static void
cmd_UPDATE(struct session *ss, const struct mupdate_message *m)
{
	struct server *sv = ss->server;

	feed_join(&sv->feed, &ss->subscriber, m->tag, stream_out(ss->stream),
	    sv->conf->max_backlog);
	begin_walk(ss, m, SESSION_SYNCING);
}

struct slicing {
	struct session *ss;
	struct buf lines;
	unsigned seen;
};

static bool
slice_entry(void *arg, struct slice name, const struct mboxrec *r)
{
	struct slicing *sl = arg;

	if (slice_starts(r->location, sl->ss->walk_prefix))
		put_entry(&sl->lines, slice_str(sl->ss->walk_tag), name, r);
	return ++sl->seen < SLICE_ENTRIES && buf_len(&sl->lines) < SLICE_OCTETS;
}

/*
 * A slice is given when what it shows is durable, and only then the next one
 * is read; the OK comes after the last, and the stream after the OK.
 */
void
session_walk(struct session *ss)
{
	struct list *l = ss->server->list;
	bool syncing = ss->state == SESSION_SYNCING;
	struct slicing sl = { .ss = ss };
	struct err err;
	int more;

	buf_init(&sl.lines, SLICE_OCTETS + ENTRY_MAX);
	more = list_walk(l, &ss->walk_at, slice_entry, &sl, &err);
	MUST(!buf_failed(&sl.lines));
	if (more == -1) {
		unreadable(ss, &err);
	} else {
		session_answer_lines(ss, buf_slice(&sl.lines), list_last(l));
		if (more == 0)
			session_end_walk(ss, syncing);
	}
	buf_fini(&sl.lines);
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
	session_logout(ss);
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

/* The banner does not offer them. */
static void
not_offered(struct session *ss, const struct mupdate_message *m)
{
	(void)m;
	session_answer(ss, MUPDATE_BAD, "Unrecognized command", 0, false);
}

#define cmd_XACTIVATE not_offered
#define cmd_XBREAK    not_offered
#define cmd_XDIGEST   not_offered
#define cmd_XFIND     not_offered
#define cmd_XLEASES   not_offered
#define cmd_XLIST     not_offered
#define cmd_XRESERVE  not_offered
#define cmd_XUPDATE   not_offered

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

void
session_command(struct session *ss, const struct mupdate_message *m)
{
	enum mupdate_response id;
	const char *why;

	if (m->error != NULL) {
		session_answer(ss, MUPDATE_BAD, m->error, 0, false);
		return;
	}
	why = not_now(ss, mupdate_command_flags((enum mupdate_command)m->id),
	    &id);
	if (why != NULL)
		session_answer(ss, id, why, 0, false);
	else
		handlers[m->id](ss, m);
}
