#include "backendd/listline.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/listing.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

struct looking {
	struct session *ss;
	struct arena *a;
	bool found;
};

static bool
look(void *arg, const char *name, const struct mboxrec *rec)
{
	struct looking *l = arg;

	l->found = (session_rights(l->ss, name, arena_string(l->a, rec->acl)) &
	               ACL_LOOKUP) != 0;
	return !l->found;
}

static bool
has_children(struct session *ss, struct arena *a, const char *name)
{
	struct looking l = { ss, a, false };

	mblist_each(session_server(ss)->list, arena_printf(a, "%s.", name),
	    look, &l);
	return l.found;
}

static void
put_attributes(struct session *ss, struct arena *a, struct write *w,
    const struct listline *l)
{
	struct backendd *bd = session_server(ss);
	const struct mboxrec *rec = mblist_get(bd->list, l->name, a);
	struct listing_attributes to = { w, false };
	bool there = rec != NULL && !l->not_there, children;

	if (l->no_access)
		listing_put_attribute(&to, slice_str("\\NoAccess"));
	else if (!there)
		listing_put_attribute(&to, slice_str("\\NonExistent"));
	if (l->with_subscribed &&
	    users_is_subscribed(bd->users, session_user(ss), l->name))
		listing_put_attribute(&to, slice_str("\\Subscribed"));
	if (l->no_access)
		return;
	children = has_children(ss, a, l->name);
	if (there || children)
		listing_put_attribute(&to,
		    slice_str(children ? "\\HasChildren" : "\\HasNoChildren"));
	if (there)
		listing_put_special_uses(&to, rec->special_uses);
}

void
listline_write(struct session *ss, struct buf *out, const struct listline *l)
{
	struct mboxname_view names = session_names(ss);
	struct slice external, was = slice_of(NULL, 0);
	struct arena a;
	struct write w;

	arena_init(&a);
	external = mboxname_to_external(&a, &names, slice_str(l->name));
	if (l->was != NULL)
		was = mboxname_to_external(&a, &names, slice_str(l->was));
	if (external.ptr != NULL) {
		write_init(&w, out, WRITE_SERVER);
		w.utf8 = session_is_utf8(ss);
		write_untagged(&w, "LIST");
		write_sp(&w);
		write_open(&w);
		put_attributes(ss, &a, &w, l);
		write_close(&w);
		write_sp(&w);
		write_string(&w, slice_of(&names.layout->separator, 1));
		write_sp(&w);
		write_mailbox(&w, external);
		if (was.ptr != NULL) {
			write_word(&w, " (\"OLDNAME\" (");
			write_mailbox(&w, was);
			write_word(&w, "))");
		}
		write_end(&w);
	}
	arena_reset(&a);
}

void
listline_put(struct session *ss, const struct listline *l)
{
	listline_write(ss, session_out(ss), l);
}
