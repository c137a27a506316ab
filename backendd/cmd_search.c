#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/search_run.h"
#include "backendd/session.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "lib/arena.h"

static void
search(struct session *ss, struct cmd *cmd, enum search_numbers numbers)
{
	struct search *s = arena_alloc(cmd->arena, sizeof(*s));
	bool badcharset = false;
	const char *why = search_parse(cmd->args, s, &badcharset);

	if (why != NULL && badcharset) {
		session_done(ss, SESSION_NO, "BADCHARSET", why);
		return;
	}
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return;
	}
	if (s->numbers && (session_enabled(ss) & ENABLED_UIDONLY)) {
		session_done(ss, SESSION_BAD, "UIDREQUIRED",
		    "Only UIDs are wanted");
		return;
	}
	if (session_enabled(ss) & ENABLED_REV2) /* it has no SEARCH response */
		search_want_esearch(s);
	if (s->modseq)
		condstore_enable(ss);
	search_run(ss, s, numbers);
}

void
backendd_SEARCH(struct session *ss, struct cmd *cmd)
{
	search(ss, cmd, SEARCH_BY_NUMBER);
}

void
backendd_UID_SEARCH(struct session *ss, struct cmd *cmd)
{
	search(ss, cmd, SEARCH_BY_UID);
}
