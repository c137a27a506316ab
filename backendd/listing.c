#include <stdlib.h>
#include <string.h>

#include "backendd/listing.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/map.h"
#include "lib/must.h"

struct builder {
	struct session *ss;
	struct backendd *bd;
	struct arena *arena;
	struct mboxname_view view;
	struct map names; /* external name: struct listing_name */
};

static void
builder_init(struct builder *b, struct session *ss, struct arena *a)
{
	*b = (struct builder){ .ss = ss, .bd = session_server(ss), .arena = a };
	b->view.layout = &b->bd->layout;
	b->view.user = slice_str(session_user(ss));
	map_init(&b->names);
}

/* NULL: there are too many. */
static struct listing_name *
name_get(struct builder *b, struct slice external)
{
	struct listing_name *n = map_find(&b->names, external);

	if (n != NULL || map_count(&b->names) >= LISTING_MAX)
		return n;
	n = arena_alloc(b->arena, sizeof(*n));
	n->external = external;
	(void)map_put(&b->names, external, n); /* there was none */
	return n;
}

/* The levels above a name; they may be mailboxes or not. */
static void
add_levels(struct builder *b, const struct listing_name *n)
{
	uint8_t separator = (uint8_t)b->bd->layout.separator;
	struct slice s = n->external;
	size_t end = slice_rfind(s, separator);

	while (end > 0 && end < s.len) {
		struct listing_name *level;

		s = slice_first(s, end);
		level = name_get(b, s);
		if (level == NULL)
			return;
		level->has_children = level->has_children || n->rec != NULL;
		level->subscribed_below =
		    level->subscribed_below || n->subscribed;
		end = slice_rfind(s, separator);
	}
}

static bool
may_see(struct builder *b, const char *name, const struct mboxrec *rec)
{
	struct arena a;
	unsigned rights;

	arena_init(&a);
	rights = session_rights(b->ss, name, arena_string(&a, rec->acl));
	arena_reset(&a);
	return rights & ACL_LOOKUP;
}

static struct mboxrec *
copy_record(struct arena *a, const struct mboxrec *rec)
{
	struct mboxrec *copy = arena_alloc(a, sizeof(*copy));

	*copy = *rec;
	copy->location = arena_copy(a, rec->location);
	copy->acl = arena_copy(a, rec->acl);
	copy->mailboxid = arena_copy(a, rec->mailboxid);
	copy->special_uses = arena_copy(a, rec->special_uses);
	return copy;
}

static struct listing_name *
add_name(struct builder *b, const char *name)
{
	struct slice external =
	    mboxname_to_external(b->arena, &b->view, slice_str(name));
	struct listing_name *n;

	if (external.ptr == NULL)
		return NULL;
	n = name_get(b, external);
	if (n != NULL && n->internal == NULL)
		n->internal = arena_string(b->arena, slice_str(name));
	return n;
}

static bool
add_mailbox(void *arg, const char *name, const struct mboxrec *rec)
{
	struct builder *b = arg;
	struct listing_name *n;

	if (!may_see(b, name, rec))
		return true;
	n = add_name(b, name);
	if (n != NULL && n->rec == NULL) {
		n->rec = copy_record(b->arena, rec);
		add_levels(b, n);
	}
	return map_count(&b->names) < LISTING_MAX;
}

/* In the alternative layout what is below one's INBOX stands beside it. */
static bool
has_children(struct builder *b, const char *name)
{
	struct slice s = slice_str(name);

	if (b->view.layout->altnamespace && mboxname_is_inbox(s) &&
	    mboxname_is_owned_by(b->view.layout, s, b->view.user))
		return false;
	return mblist_has_children(b->bd->list, name);
}

static bool
add_subscription(void *arg, const char *name)
{
	struct builder *b = arg;
	struct listing_name *n = add_name(b, name);
	const struct mboxrec *rec;

	if (n == NULL)
		return map_count(&b->names) < LISTING_MAX;
	n->subscribed = true;
	rec = n->rec == NULL ? mblist_get(b->bd->list, name, b->arena) : NULL;
	if (rec != NULL && may_see(b, name, rec)) {
		n->rec = rec;
		n->has_children = has_children(b, name);
	}
	add_levels(b, n);
	return true;
}

/* Separators sort before all else, so that descendants follow at once. */
static int
compare(const void *x, const void *y)
{
	const struct listing_name *const *p = x;
	const struct listing_name *const *q = y;
	struct slice a = (*p)->external, b = (*q)->external;
	size_t n = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < n; i++) {
		int c = a.ptr[i] == '/' || a.ptr[i] == '.' ? 1 : a.ptr[i] + 2;
		int d = b.ptr[i] == '/' || b.ptr[i] == '.' ? 1 : b.ptr[i] + 2;

		if (c != d)
			return c < d ? -1 : 1;
	}
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static bool
fill(void *arg, struct slice key, void *value)
{
	struct listing *l = arg;

	(void)key; /* value has it */
	l->names[l->n++] = value;
	return true;
}

static void
builder_end(struct builder *b, struct listing *l)
{
	l->n = 0;
	l->names =
	    arena_array(b->arena, map_count(&b->names) + 1, sizeof(*l->names));
	map_each(&b->names, fill, l);
	qsort(l->names, l->n, sizeof(*l->names), compare);
	map_fini(&b->names);
}

/* A user's own tree needs no look at what others have. */
static void
add_own(struct builder *b)
{
	struct slice inbox;
	const struct mboxrec *rec;
	const char *name;

	if (mboxname_of_user(b->arena, b->view.layout, b->view.user, &inbox) !=
	    NULL)
		return;
	name = arena_string(b->arena, inbox);
	rec = mblist_get(b->bd->list, name, b->arena);
	if (rec != NULL)
		(void)add_mailbox(b, name, rec); /* goes on in any case */
	mblist_each(b->bd->list, arena_printf(b->arena, "%s.", name),
	    add_mailbox, b);
}

void
listing_all(struct session *ss, struct arena *a, struct listing *l)
{
	struct builder b;

	builder_init(&b, ss, a);
	if (session_is_admin(ss)) {
		mblist_each(b.bd->list, "", add_mailbox, &b);
	} else {
		add_own(&b);
		mblist_each_shared(b.bd->list, session_user(ss), add_mailbox,
		    &b);
		mblist_each_shared(b.bd->list, "anyone", add_mailbox, &b);
	}
	users_each_subscription(b.bd->users, session_user(ss), add_subscription,
	    &b);
	builder_end(&b, l);
}

void
listing_subscribed(struct session *ss, struct arena *a, struct listing *l)
{
	struct builder b;

	builder_init(&b, ss, a);
	users_each_subscription(b.bd->users, session_user(ss), add_subscription,
	    &b);
	builder_end(&b, l);
}

void
listing_one(struct session *ss, struct arena *a, struct slice external,
    struct listing *l)
{
	struct builder b;
	struct slice internal;
	const struct mboxrec *rec;
	struct listing_name *n;
	const char *name;

	l->n = 0;
	builder_init(&b, ss, a);
	if (mboxname_from_external(a, &b.view, external, &internal) != NULL)
		return;
	name = arena_string(a, internal);
	rec = mblist_get(b.bd->list, name, a);
	if (rec == NULL || !may_see(&b, name, rec))
		return;
	n = add_name(&b, name);
	if (n == NULL)
		return;
	n->rec = rec;
	n->subscribed =
	    users_is_subscribed(b.bd->users, session_user(ss), name);
	n->has_children = has_children(&b, name);
	builder_end(&b, l);
}
