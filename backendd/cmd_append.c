#include "backendd/append_run.h"
#include "backendd/handlers.h"
#include "backendd/msgset.h"
#include "backendd/session.h"
#include "backendd/store.h"
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

static void
replace(struct session *ss, struct cmd *cmd, bool by_uid)
{
	struct append_run *ap;
	struct append_no no;
	struct slice external;
	struct msgset set;
	uint32_t uid;

	msgset_parse(&set, cmd->args, by_uid);
	parse_sp(cmd->args);
	external = parse_mailbox(cmd->args);
	ap = append_parse(ss, 1);
	if (ap == NULL)
		return;
	no = append_replaced(ss, &set, &uid);
	if (no.why != NULL)
		session_done(ss, no.bad ? SESSION_BAD : SESSION_NO, no.code,
		    no.why);
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
