#include "backendd/condstore.h"
#include "backendd/fetch_run.h"
#include "backendd/handlers.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/qresync.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/fetch.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "lib/arena.h"

static bool
asks_modseq(const struct fetch *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->items[i].kind == FETCH_MODSEQ)
			return true;
	return false;
}

/* FETCH (CHANGEDSINCE n VANISHED): first those that are gone. */
struct vanishing {
	struct fetch *f;
	struct msgset *set;
	struct seqset uids; /* as sent; then resolved to what may be gone */
};

static const char *
vanished_refusal(struct session *ss, const struct fetch *f, bool by_uid)
{
	if (!f->vanished)
		return NULL;
	if (!by_uid)
		return "VANISHED is for UID FETCH";
	if (!(session_enabled(ss) & ENABLED_QRESYNC))
		return "QRESYNC is not enabled";
	return NULL;
}

static void
on_vanished(struct session *ss, void *arg, const char *why)
{
	struct vanishing *va = arg;

	if (why != NULL)
		session_done(ss, SESSION_NO, "UNAVAILABLE", why);
	else
		fetch_run(ss, va->f, va->set);
}

/* "*" is the last UID there was, or its expunge would never be told. */
static void
vanish(struct session *ss, struct vanishing *va)
{
	const struct mailbox *m = view_mailbox(session_view(ss));

	seqset_resolve(&va->uids, mailbox_numbers(m)->uidnext - 1);
	qresync_vanished(ss, va->f->changed_modseq, &va->uids, 0, on_vanished,
	    va);
}

static void
fetch(struct session *ss, struct cmd *cmd, bool by_uid)
{
	struct fetch *f = arena_alloc(cmd->arena, sizeof(*f));
	struct msgset *set = arena_alloc(cmd->arena, sizeof(*set));
	struct vanishing *va = arena_alloc(cmd->arena, sizeof(*va));
	const char *why;

	fetch_init(f);
	msgset_parse(set, cmd->args, by_uid);
	va->f = f;
	va->set = set;
	seqset_copy(cmd->arena, &va->uids, &set->set);
	parse_sp(cmd->args);
	why = fetch_parse(cmd->args, f);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (why == NULL)
		why = vanished_refusal(ss, f, by_uid);
	if (why == NULL && partial_given(&f->window) && !by_uid)
		why = "PARTIAL is for UID FETCH";
	if (why == NULL)
		why = msgset_begin(set, ss);
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return;
	}
	if (partial_given(&f->window))
		msgset_window(set, ss, &f->window);
	if (by_uid && !(session_enabled(ss) & ENABLED_UIDONLY))
		fetch_want_uid(f);
	if (asks_modseq(f))
		condstore_enable(ss);
	if (f->vanished)
		vanish(ss, va);
	else
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
