#include <stdlib.h>
#include <string.h>

#include "backendd/mblist.h"
#include "backendd/mboxes.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/mboxfilter.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"

struct adding {
	struct mboxes *m;
	struct session *ss;
	struct arena *arena;
	unsigned need;    /* rights */
	struct slice top; /* external; a tree's */
	bool one_level;
	struct arena scratch;
};

void
mboxes_add_name(struct mboxes *m, struct arena *a, const char *name)
{
	if (m->count == MBOXES_MAX) {
		m->too_many = true;
		return;
	}
	if (m->count == m->size) {
		const char **more;

		m->size = m->size == 0 ? 16 : m->size * 2;
		more = arena_array(a, m->size, sizeof(*more));
		if (m->count > 0)
			memcpy(more, m->names, m->count * sizeof(*more));
		m->names = more;
	}
	m->names[m->count++] = name;
}

/* If it is a mailbox with messages that the user may read. */
static void
add(struct adding *ad, const char *name, const struct mboxrec *rec)
{
	unsigned rights;

	if (rec->type != 0)
		return;
	rights =
	    session_rights(ad->ss, name, arena_string(&ad->scratch, rec->acl));
	if ((rights & ad->need) == ad->need)
		mboxes_add_name(ad->m, ad->arena,
		    arena_string(ad->arena, slice_str(name)));
}

static void
add_if_there(struct adding *ad, const char *name)
{
	const struct mboxrec *rec =
	    mblist_get(session_server(ad->ss)->list, name, &ad->scratch);

	if (rec != NULL)
		add(ad, name, rec);
}

/* Is it below the top as the user sees it, and not too deep? */
static bool
is_below(struct adding *ad, const char *name)
{
	struct mboxname_view view = session_names(ad->ss);
	char separator = view.layout->separator;
	struct slice s =
	    mboxname_to_external(&ad->scratch, &view, slice_str(name));

	if (s.ptr == NULL || !slice_starts(s, ad->top) ||
	    s.len <= ad->top.len || s.ptr[ad->top.len] != (uint8_t)separator)
		return false;
	s = slice_skip(s, ad->top.len + 1);
	return !ad->one_level || slice_find(s, (uint8_t)separator) == s.len;
}

static bool
visit_tree(void *arg, const char *name, const struct mboxrec *rec)
{
	struct adding *ad = arg;

	if (ad->top.ptr == NULL || is_below(ad, name))
		add(ad, name, rec);
	arena_again(&ad->scratch);
	return !ad->m->too_many;
}

static void
add_below(struct adding *ad, const char *name)
{
	mblist_each(session_server(ad->ss)->list,
	    arena_printf(ad->arena, "%s.", name), visit_tree, ad);
}

static bool
visit_subscription(void *arg, const char *name)
{
	struct adding *ad = arg;

	add_if_there(ad, name);
	arena_again(&ad->scratch);
	return !ad->m->too_many;
}

/* NULL: it is no name of a mailbox. */
static const char *
internal_name(struct adding *ad, struct slice external)
{
	struct mboxname_view view = session_names(ad->ss);
	struct slice name;

	if (mboxname_from_external(ad->arena, &view, external, &name) != NULL)
		return NULL;
	return arena_string(ad->arena, name);
}

/* The user's own: INBOX and what is below it inside, however it looks. */
static void
add_personal(struct adding *ad)
{
	const char *inbox = internal_name(ad, slice_str("INBOX"));

	if (inbox == NULL)
		return;
	add_if_there(ad, inbox);
	add_below(ad, inbox);
}

static void
add_named(struct adding *ad, const struct mboxfilter *f)
{
	struct mboxname_view view = session_names(ad->ss);

	for (size_t i = 0; i < f->nnames && !ad->m->too_many; i++) {
		const char *name = internal_name(ad, f->names[i]);

		if (name == NULL)
			continue;
		ad->need = ACL_READ;
		add_if_there(ad, name);
		if (f->kind == MBOXFILTER_MAILBOXES)
			continue;
		ad->need = ACL_READ | ACL_LOOKUP;
		ad->top =
		    mboxname_to_external(ad->arena, &view, slice_str(name));
		if (ad->top.ptr == NULL)
			continue;
		ad->one_level = f->kind == MBOXFILTER_SUBTREE_ONE;
		add_below(ad, name);
	}
}

void
mboxes_add(struct mboxes *m, struct session *ss, struct arena *a,
    const struct mboxfilter *f)
{
	struct adding ad = { .m = m,
		.ss = ss,
		.arena = a,
		.need = ACL_READ | ACL_LOOKUP };

	arena_init(&ad.scratch);
	switch (f->kind) {
	case MBOXFILTER_SELECTED:
	case MBOXFILTER_SELECTED_DELAYED:
		break;
	case MBOXFILTER_INBOXES: /* mail may be filed anywhere: RFC 5465 6.3 */
	case MBOXFILTER_PERSONAL:
		add_personal(&ad);
		break;
	case MBOXFILTER_SUBSCRIBED:
		users_each_subscription(session_server(ss)->users,
		    session_user(ss), visit_subscription, &ad);
		break;
	case MBOXFILTER_SUBTREE:
	case MBOXFILTER_SUBTREE_ONE:
	case MBOXFILTER_MAILBOXES:
		add_named(&ad, f);
		break;
	}
	arena_reset(&ad.scratch);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
mboxes_settle(struct mboxes *m)
{
	size_t n = 0;

	if (m->count > 1)
		qsort(m->names, m->count, sizeof(m->names[0]), compare);
	for (size_t i = 0; i < m->count; i++)
		if (n == 0 || strcmp(m->names[n - 1], m->names[i]) != 0)
			m->names[n++] = m->names[i];
	m->count = n;
}
