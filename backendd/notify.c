#include <stdlib.h>

#include "backendd/ledger.h"
#include "backendd/notices.h"
#include "backendd/notify_state.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "backendd/view.h"
#include "imap/mboxname.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/xalloc.h"

enum {
	STATUS_ROOM = 2 * 1024
};

static void
copy_wish(struct notify *n, const struct notify_wish *w)
{
	struct arena *a = &n->arena;

	n->wish = *w;
	n->wish.rules = arena_array(a, w->nrules + 1, sizeof(*w->rules));
	for (size_t i = 0; i < w->nrules; i++) {
		struct notify_rule *r = &n->wish.rules[i];

		*r = w->rules[i];
		r->names = arena_array(a, r->nnames + 1, sizeof(*r->names));
		for (size_t k = 0; k < r->nnames; k++)
			r->names[k] =
			    arena_string(a, slice_str(w->rules[i].names[k]));
	}
	if (w->fetch != NULL)
		n->wish.fetch = arena_string(a, slice_str(w->fetch));
}

static void
show_all(struct session *ss)
{
	if (ss->view != NULL)
		view_set_says(ss->view, session_says(ss));
}

const char *
notify_set(struct session *ss, const struct notify_wish *w)
{
	struct notify *n = xcalloc(1, sizeof(*n));
	struct notify *old = session_has(ss)->notify;

	n->ss = ss;
	arena_init(&n->arena);
	TAILQ_INIT(&n->watches);
	TAILQ_INIT(&n->pending);
	copy_wish(n, w);
	n->fetched_uid = UINT32_MAX;
	session_extras(ss)->notify = n;
	TAILQ_INSERT_TAIL(&ss->bd->bulletin->list, n, link);
	if (notify_watches_messages(n) && !notify_resolve(n)) {
		notify_end(ss);
		session_extras(ss)->notify = old;
		show_all(ss);
		return "These are too many mailboxes";
	}
	session_extras(ss)->notify = old;
	notify_end(ss);
	session_extras(ss)->notify = n;
	notices_begin(ss);
	show_all(ss);
	return NULL;
}

void
notify_end(struct session *ss)
{
	struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return;
	session_extras(ss)->notify = NULL;
	notify_drop_watches(n);
	TAILQ_REMOVE(&ss->bd->bulletin->list, n, link);
	arena_reset(&n->arena);
	free(n);
	show_all(ss);
}

void
notify_each(const struct session *ss, notify_visit *visit, void *arg)
{
	const struct watch *w;

	const struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return;
	TAILQ_FOREACH (w, &n->watches, link)
		if (!visit(arg, w->name, w->events))
			return;
}

bool
notify_view(const struct session *ss, enum notify_selected *how,
    unsigned *events)
{
	const struct notify *n = session_has(ss)->notify;

	if (n == NULL)
		return false;
	*how = n->wish.selected;
	*events = n->wish.selected_events;
	return true;
}

const char *
notify_fetch(struct session *ss, uint32_t *first, uint32_t *last)
{
	struct notify *n = session_has(ss)->notify;

	if (n == NULL || n->wish.fetch == NULL || !session_view_is_there(ss))
		return NULL;
	*last = view_last_uid(ss->view);
	if (*last <= n->fetched_uid)
		return NULL;
	*first = n->fetched_uid + 1;
	n->fetched_uid = *last;
	return n->wish.fetch;
}

void
notify_reselected(struct session *ss)
{
	struct notify *n = session_has(ss)->notify;

	if (n != NULL)
		n->fetched_uid = UINT32_MAX;
}

void
notify_own(struct session *ss, const char *name)
{
	struct notify *n = session_has(ss)->notify;

	if (n != NULL)
		n->own = name;
}

void
notify_own_done(struct session *ss)
{
	notify_own(ss, NULL);
}

/* --- telling ---------------------------------------------------------------- */

static void
put_number(struct write *w, bool *first, const char *name, uint64_t n)
{
	if (!*first)
		write_sp(w);
	*first = false;
	write_word(w, name);
	write_sp(w);
	write_number(w, n);
}

/* RFC 5465 5.1 to 5.3. */
static void
put_status(struct session *ss, const struct watch *w, struct slice external,
    const struct store_numbers *numbers, struct buf *out)
{
	bool condstore = ss->enabled & ENABLED_CONDSTORE, first = true;
	bool flags = w->pending & NOTIFY_FLAG_CHANGE;
	struct write wr;

	write_init(&wr, out, WRITE_SERVER);
	wr.utf8 = session_is_utf8(ss);
	write_untagged(&wr, "STATUS");
	write_sp(&wr);
	write_mailbox(&wr, external);
	write_sp(&wr);
	write_open(&wr);
	put_number(&wr, &first, "UIDVALIDITY", numbers->uidvalidity);
	if (w->pending & (NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE)) {
		put_number(&wr, &first, "UIDNEXT", numbers->uidnext);
		put_number(&wr, &first, "MESSAGES", numbers->exists);
	}
	if (flags && notify_is_personal(ss, w->name))
		put_number(&wr, &first, "UNSEEN", numbers->unseen);
	if (condstore)
		put_number(&wr, &first, "HIGHESTMODSEQ",
		    numbers->highestmodseq);
	write_close(&wr);
	write_end(&wr);
}

/* What is not known any more was asked for by nobody for long. */
static void
tell_one(struct session *ss, struct watch *w, struct buf *out)
{
	struct mboxname_view names = session_names(ss);
	const struct ledger_page *p =
	    ledger_find(ss->bd->ledger, w->store, w->id);
	struct slice external;
	struct arena a;

	if (p == NULL || !p->known || session_has_selected(ss, w->id))
		return;
	arena_init(&a);
	external = mboxname_to_external(&a, &names, slice_str(w->name));
	if (external.ptr != NULL)
		put_status(ss, w, external, &p->numbers, out);
	arena_reset(&a);
}

bool
notify_tell(struct session *ss, struct buf *out)
{
	struct notify *n = session_has(ss)->notify;
	struct watch *w;

	if (n == NULL)
		return true;
	if (n->fetched_uid == UINT32_MAX && session_view_is_there(ss))
		n->fetched_uid = view_last_uid(ss->view);
	if (n->overflow) {
		if (buf_room(out) < STATUS_ROOM)
			return false;
		buf_puts(out, "* OK [NOTIFICATIONOVERFLOW] "
		              "Too much is happening\r\n");
		notify_drop_watches(n);
		n->wish = (struct notify_wish){ .nrules = 0 };
		n->overflow = false;
		show_all(ss);
		return true;
	}
	while ((w = TAILQ_FIRST(&n->pending)) != NULL) {
		if (buf_room(out) < STATUS_ROOM)
			return false;
		tell_one(ss, w, out);
		TAILQ_REMOVE(&n->pending, w, waiting);
		w->pending = 0;
	}
	return true;
}
