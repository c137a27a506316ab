#include "backendd/handlers.h"
#include "backendd/session.h"
#include "imap/parse.h"

void
backendd_IDLE(struct session *ss, struct cmd *cmd)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else
		session_idle(ss);
}

static void
nothing(struct session *ss, struct cmd *cmd, const char *text)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else
		session_done(ss, SESSION_OK, NULL, text);
}

/* What is new is said before every tagged reply. */
void
backendd_NOOP(struct session *ss, struct cmd *cmd)
{
	nothing(ss, cmd, "Noop completed");
}

void
backendd_CHECK(struct session *ss, struct cmd *cmd)
{
	nothing(ss, cmd, "Check completed");
}
