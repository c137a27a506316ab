#include <stdbool.h>
#include <stdlib.h>

#include "backendd/copy_run.h"
#include "backendd/handlers.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/store.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "lib/arena.h"

struct naming {
	struct session *ss;
	struct msgset set;
	enum copy_kind kind;
	bool by_uid;
	struct target *t;
	struct quota_hold hold;
};

static void
admitted(void *arg, bool fits)
{
	struct naming *na = arg;

	if (fits) {
		copy_run(na->ss, na->kind, &na->set, na->t, &na->hold);
		return;
	}
	mailbox_release(&na->t->m);
	quota_refuse(na->ss);
}

/* Of all messages at once: a COPY is whole or not at all. */
static void
on_open(void *arg, struct target *t)
{
	struct naming *na = arg;
	const struct view *v = session_view(na->ss);
	struct quotas *quotas = session_server(na->ss)->quotas;
	struct msgset set = na->set;
	struct quota_need need = { .hold = &na->hold };
	bool limited;
	uint32_t uid;

	na->t = t;
	limited =
	    quota_root_of(quotas, t->name, session_cmd(na->ss)->arena) != NULL;
	if (view_lost(v) || (na->by_uid && !limited)) {
		admitted(na, true);
		return;
	}
	while ((uid = msgset_next(&set, v)) != 0) {
		need.octets += view_message(v, uid)->size;
		need.messages++;
	}
	if (msgset_passed_over(&set)) { /* RFC 2180 4.4.2 */
		mailbox_release(&t->m);
		session_done(na->ss, SESSION_NO, "EXPUNGEISSUED",
		    "Some of the messages are gone");
		return;
	}
	if (!limited) {
		admitted(na, true);
		return;
	}
	/* Into itself it is not one change, so others may do the same. */
	if (na->kind == COPY_AND_REMOVE &&
	    !session_has_selected(na->ss, t->rec->mailboxid))
		need.from = view_name(v);
	quota_admit(na->ss, t->name, &need, admitted, na);
}

static bool
may_take_away(const struct view *v)
{
	unsigned need = ACL_DELETE_MESSAGES | ACL_EXPUNGE;

	return (view_rights(v) & need) == need;
}

static void
copy(struct session *ss, struct cmd *cmd, bool by_uid, enum copy_kind kind)
{
	struct naming *na = arena_alloc(cmd->arena, sizeof(*na));
	const struct view *v = session_view(ss);
	struct slice external;
	const char *why;

	na->ss = ss;
	na->kind = kind;
	na->by_uid = by_uid;
	msgset_parse(&na->set, cmd->args, by_uid);
	parse_sp(cmd->args);
	external = parse_mailbox(cmd->args);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	why = msgset_begin(&na->set, ss);
	if (why != NULL)
		session_done(ss, SESSION_BAD, NULL, why);
	else if (kind == COPY_AND_REMOVE && view_access(v) == VIEW_READ_ONLY)
		session_done(ss, SESSION_NO, "READ-ONLY",
		    "Mailbox is read-only");
	else if (kind == COPY_AND_REMOVE && !may_take_away(v))
		session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
	else
		target_open(ss, external, ACL_INSERT, on_open, na);
}

void
backendd_COPY(struct session *ss, struct cmd *cmd)
{
	copy(ss, cmd, false, COPY_ONLY);
}

void
backendd_UID_COPY(struct session *ss, struct cmd *cmd)
{
	copy(ss, cmd, true, COPY_ONLY);
}

void
backendd_MOVE(struct session *ss, struct cmd *cmd)
{
	copy(ss, cmd, false, COPY_AND_REMOVE);
}

void
backendd_UID_MOVE(struct session *ss, struct cmd *cmd)
{
	copy(ss, cmd, true, COPY_AND_REMOVE);
}
