#include "backendd/append_run.h"
#include "backendd/handlers.h"
#include "backendd/msgset.h"
#include "backendd/session.h"
#include "backendd/store.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/parse.h"

static void
append(struct session *ss, struct slice external)
{
	struct append_run *ap = append_parse(ss, STORE_ITEMS_MAX);

	if (ap != NULL)
		append_run(ap, external, 0);
}

void
backendd_APPEND(struct session *ss, struct cmd *cmd)
{
	append(ss, parse_mailbox(cmd->args));
}

/*
 * Cyrus IMAP's frontend, for its client's APPEND.  The second name is what its
 * client has selected, a hint for who can use one.
 */
void
backendd_LOCALAPPEND(struct session *ss, struct cmd *cmd)
{
	struct slice external = parse_mailbox(cmd->args);

	parse_sp(cmd->args);
	(void)parse_astring(cmd->args);
	append(ss, external);
}

/* RFC 8508 4.1: what UID STORE, UID EXPUNGE and APPEND need. */
static const char *
refuse_replace(const struct view *v)
{
	unsigned need = ACL_DELETE_MESSAGES | ACL_EXPUNGE;

	if (view_access(v) != VIEW_READ_WRITE)
		return "Mailbox is read-only";
	return (view_rights(v) & need) == need ? NULL : "Permission denied";
}

static void
replace(struct session *ss, struct cmd *cmd, bool by_uid)
{
	struct view *v = session_view(ss);
	struct append_run *ap;
	struct slice external;
	struct msgset set;
	uint32_t uid = 0;
	const char *why;

	msgset_parse(&set, cmd->args, by_uid);
	parse_sp(cmd->args);
	external = parse_mailbox(cmd->args);
	ap = append_parse(ss, 1);
	if (ap == NULL)
		return;
	why = msgset_begin(&set, ss);
	if (why == NULL) {
		uid = msgset_next(&set, v);
		if (uid != 0 && msgset_next(&set, v) != 0)
			why = "One message at a time";
	}
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return;
	}
	why = refuse_replace(v);
	if (why != NULL)
		session_done(ss, SESSION_NO, "NOPERM", why);
	else if (uid == 0)
		session_done(ss, SESSION_NO, NULL, "No such message");
	else
		append_run(ap, external, uid);
}

void
backendd_REPLACE(struct session *ss, struct cmd *cmd)
{
	replace(ss, cmd, false);
}

void
backendd_UID_REPLACE(struct session *ss, struct cmd *cmd)
{
	replace(ss, cmd, true);
}
