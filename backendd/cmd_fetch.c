#include "backendd/condstore.h"
#include "backendd/fetch_run.h"
#include "backendd/handlers.h"
#include "backendd/msgset.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/fetch.h"
#include "imap/parse.h"
#include "lib/arena.h"

static bool
asks_modseq(const struct fetch *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->items[i].kind == FETCH_MODSEQ)
			return true;
	return false;
}

static void
fetch(struct session *ss, struct cmd *cmd, bool by_uid)
{
	struct fetch *f = arena_alloc(cmd->arena, sizeof(*f));
	struct msgset *set = arena_alloc(cmd->arena, sizeof(*set));
	const char *why;

	fetch_init(f);
	msgset_parse(set, cmd->args, by_uid);
	parse_sp(cmd->args);
	why = fetch_parse(cmd->args, f);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (why == NULL && f->vanished)
		why = "VANISHED needs QRESYNC";
	if (why == NULL)
		why = msgset_begin(set, session_view(ss));
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return;
	}
	if (by_uid)
		fetch_want_uid(f);
	if (asks_modseq(f))
		condstore_enable(ss);
	fetch_run(ss, f, set);
}

void
backendd_FETCH(struct session *ss, struct cmd *cmd)
{
	fetch(ss, cmd, false);
}

void
backendd_UID_FETCH(struct session *ss, struct cmd *cmd)
{
	fetch(ss, cmd, true);
}
