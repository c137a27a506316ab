/*
 * What a session may do with the mailbox it has selected, and what it is told
 * of that: SELECT's FLAGS, and again when somebody changes the ACL.
 */
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/flag.h"
#include "imap/mboxrec.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/list.h"

static void
put_flag_name(struct write *w, bool *first, const char *name)
{
	if (!*first)
		write_sp(w);
	*first = false;
	write_word(w, name);
}

/* rights: which may be shown; ACL_ALL for all there are. */
static void
put_flag_list(struct write *w, const struct view *v, unsigned rights)
{
	const struct store_mailbox *mb = mailbox_store(view_mailbox(v));
	bool first = true;

	write_open(w);
	for (unsigned bit = 1; bit <= STORE_DRAFT; bit <<= 1) {
		unsigned need = bit == STORE_SEEN      ? ACL_SEEN
		                : bit == STORE_DELETED ? ACL_DELETE_MESSAGES
		                                       : ACL_WRITE;

		if (rights & need)
			put_flag_name(w, &first, flag_name(bit));
	}
	if (rights & ACL_WRITE)
		for (unsigned i = 0; i < store_keywords(mb); i++)
			put_flag_name(w, &first, store_keyword(mb, i));
}

void
session_put_flags(struct session *ss, struct buf *out)
{
	const struct view *v = ss->view;
	const struct store_mailbox *mb = mailbox_store(view_mailbox(v));
	unsigned rights =
	    view_access(v) == VIEW_READ_WRITE ? view_rights(v) : 0;
	struct write w;

	write_init(&w, out, WRITE_SERVER);
	write_untagged(&w, "FLAGS");
	write_sp(&w);
	put_flag_list(&w, v, ACL_ALL);
	write_close(&w);
	write_end(&w);
	write_status(&w, slice_of(NULL, 0), WRITE_OK);
	write_code_open(&w, RESPCODE_PERMANENTFLAGS);
	write_sp(&w);
	put_flag_list(&w, v, rights);
	if ((rights & ACL_WRITE) && store_keywords(mb) < STORE_KEYWORDS)
		write_word(&w, " \\*");
	write_close(&w);
	write_code_close(&w);
	write_text(&w, "Flags that are kept");
	write_end(&w);
}

/* RFC 4314 5.1.1: who may not read any more is sent away. */
static void
check(struct session *ss, const char *name, const struct mboxrec *rec,
    const char *acl)
{
	unsigned rights;

	if (!session_has_selected(ss, rec->mailboxid))
		return;
	rights = session_rights(ss, name, acl);
	if (rights & ACL_READ)
		view_change_rights(ss->view, rights);
	else
		session_bye(ss, "NOPERM", "The mailbox may not be read now");
}

void
sessions_check_rights(struct backendd *bd, const char *name)
{
	struct session *ss, *next;
	const struct mboxrec *rec;
	const char *acl;
	struct arena a;

	arena_init(&a);
	rec = mblist_get(bd->list, name, &a);
	if (rec != NULL) {
		acl = arena_string(&a, rec->acl);
		TAILQ_FOREACH_SAFE (ss, &bd->sessions, link, next)
			check(ss, name, rec, acl);
		TAILQ_FOREACH_SAFE (ss, &bd->resting, link, next)
			check(ss, name, rec, acl);
	}
	arena_reset(&a);
}
