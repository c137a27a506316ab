#include <stdlib.h>

#include "backendd/handlers.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/parse.h"
#include "imap/respcode.h"
#include "lib/arena.h"
#include "lib/must.h"

/* EXPUNGE, UID EXPUNGE and CLOSE: \Deleted messages go, in batches. */
struct expunging {
	struct session *ss;
	struct mailbox *m; /* a hold */
	struct msgset set; /* of UID EXPUNGE */
	bool by_set, close;
	uint32_t next_uid; /* to look at, if not by_set */
	uint32_t *uids;
	bool expunged; /* any */
};

/* RFC 7162 3.2.7; after CLOSE it would hide what the client was not told. */
static const char *
modseq_code(struct expunging *ex)
{
	struct session *ss = ex->ss;

	if (!ex->expunged || ex->close ||
	    !(session_enabled(ss) & ENABLED_QRESYNC) ||
	    view_lost(session_view(ss)))
		return NULL;
	view_reply_has_modseq(session_view(ss));
	return arena_printf(session_cmd(ss)->arena, "%s %llu",
	    respcode_name(RESPCODE_HIGHESTMODSEQ),
	    (unsigned long long)mailbox_numbers(ex->m)->highestmodseq);
}

static void
finish(struct expunging *ex, const char *why)
{
	struct session *ss = ex->ss;
	const char *code = modseq_code(ex);

	mailbox_release(&ex->m);
	if (ex->close)
		session_set_view(ss, NULL);
	if (why != NULL)
		session_done(ss, SESSION_NO, "UNAVAILABLE",
		    arena_printf(session_cmd(ss)->arena, "%s", why));
	else
		session_done(ss, SESSION_OK, code,
		    ex->close ? "Close completed" : "Expunge completed");
}

static uint32_t
next_uid(struct expunging *ex, const struct view *v)
{
	uint32_t uid;

	if (ex->by_set)
		return msgset_next(&ex->set, v);
	uid = ex->next_uid == 0 ? 0 : view_next_uid(v, ex->next_uid);
	ex->next_uid = uid + 1; /* 0 after the last there can be */
	return uid;
}

static void on_expunged(void *arg, const char *why);

static void
next_batch(struct expunging *ex)
{
	const struct view *v = session_view(ex->ss);
	const struct store_msg *msg;
	uint32_t uid;
	size_t n = 0;

	while (n < STORE_ITEMS_MAX && (uid = next_uid(ex, v)) != 0) {
		msg = view_message(v, uid);
		if (msg->flags & STORE_DELETED)
			ex->uids[n++] = uid;
	}
	if (n == 0)
		finish(ex, NULL);
	else
		store_expunge(mailbox_store(ex->m), ex->uids, n, STORE_DELETED,
		    on_expunged, ex);
}

static void
on_expunged(void *arg, const char *why)
{
	struct expunging *ex = arg;

	ex->expunged = true;
	if (why != NULL)
		finish(ex, why);
	else
		next_batch(ex);
}

static struct expunging *
expunging_new(struct session *ss, struct cmd *cmd)
{
	struct expunging *ex = arena_alloc(cmd->arena, sizeof(*ex));

	ex->ss = ss;
	ex->next_uid = 1;
	return ex;
}

static void
begin(struct expunging *ex, struct cmd *cmd)
{
	const struct view *v = session_view(ex->ss);

	ex->m = mailbox_hold(view_mailbox(v));
	ex->uids =
	    arena_array(cmd->arena, STORE_ITEMS_MAX, sizeof(ex->uids[0]));
	next_batch(ex);
}

static bool
may_expunge(struct session *ss)
{
	const struct view *v = session_view(ss);

	if (view_access(v) == VIEW_READ_ONLY)
		session_done(ss, SESSION_NO, "READ-ONLY",
		    "Mailbox is read-only");
	else if (!(view_rights(v) & ACL_EXPUNGE))
		session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
	else
		return true;
	return false;
}

void
backendd_EXPUNGE(struct session *ss, struct cmd *cmd)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else if (may_expunge(ss))
		begin(expunging_new(ss, cmd), cmd);
}

void
backendd_UID_EXPUNGE(struct session *ss, struct cmd *cmd)
{
	struct expunging *ex = expunging_new(ss, cmd);

	ex->by_set = true;
	msgset_parse(&ex->set, cmd->args, true);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	MUST(msgset_begin(&ex->set, ss) == NULL);
	if (may_expunge(ss))
		begin(ex, cmd);
}

void
backendd_CLOSE(struct session *ss, struct cmd *cmd)
{
	const struct view *v = session_view(ss);
	struct expunging *ex = expunging_new(ss, cmd);

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	ex->close = true;
	if (view_access(v) == VIEW_READ_WRITE && (view_rights(v) & ACL_EXPUNGE))
		begin(ex, cmd);
	else
		finish(ex, NULL);
}
