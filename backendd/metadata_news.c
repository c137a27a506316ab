/*
 * Who is told that an annotation has changed (RFC 5464 4.4.2).
 */
#include <string.h>

#include "backendd/mblist.h"
#include "backendd/metadata.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"

/* As this session sees the name; .ptr NULL: it does not. */
static struct slice
name_for(struct session *ss, const char *name, struct arena *a)
{
	struct mboxname_view view = session_names(ss);
	const struct mboxrec *rec;

	if (name == NULL)
		return slice_str("");
	rec = mblist_get(session_server(ss)->list, name, a);
	if (rec == NULL ||
	    !(session_rights(ss, name, arena_string(a, rec->acl)) & ACL_LOOKUP))
		return slice_of(NULL, 0);
	return mboxname_to_external(a, &view, slice_str(name));
}

void
metadata_changed(struct backendd *bd, struct session *by, const char *name,
    struct slice entry)
{
	struct notices *n;
	struct arena a;

	arena_init(&a);
	TAILQ_FOREACH (n, &bd->noticed, link) {
		struct slice external;
		struct write w;

		if (n->ss == by ||
		    (!(session_enabled(n->ss) & ENABLED_METADATA) &&
		        !notify_hears_metadata(n->ss, name)) ||
		    (metadata_is_private(entry) &&
		        (by == NULL || strcmp(session_user(by),
		                           session_user(n->ss)) != 0)))
			continue;
		external = name_for(n->ss, name, &a);
		if (external.ptr == NULL)
			continue;
		write_init(&w, notices_lines(n), WRITE_SERVER);
		w.utf8 = session_is_utf8(n->ss);
		metadata_write_change(&w, external, entry);
		notices_put(n);
	}
	arena_reset(&a);
}
