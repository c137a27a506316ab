#include <string.h>

#include "imap/acl.h"
#include "imap/listing.h"
#include "imap/listmatch.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/cdefs.h"
#include "lib/must.h"

/* A name the answer may hold: a mailbox, a level above one, a subscription. */
struct node {
	struct slice external;
	struct slice special_uses;
	bool exists, subscribed, has_children, child_subscribed;
	bool matches;       /* a pattern */
	bool selects_below; /* something selected that matches none */
	void *note;
	struct node *hash_next;
	struct node *after; /* the next of its run */
};

enum {
	TURN_COST = 1000 * 1000, /* of a listing_settle() */
	NAME_COST = 50           /* of a name, beside its octets */
};

struct listing {
	struct arena *arena;
	const struct mboxname_view *view;
	const struct listing_request *request;
	struct slice *patterns; /* reference and pattern joined */
	struct node **slots;    /* by name */
	size_t nslots;
	struct node **nodes; /* all */
	size_t count, size;
	size_t settled;     /* how many of them are */
	size_t cost;        /* of an octet, with all patterns */
	struct node **runs; /* a heap: the first of each, least at the top */
	size_t nruns;
	struct node *last;  /* of the newest run */
	struct node *added; /* by the last listing_add(), or NULL */
	struct node *only;  /* the one name that is asked for, if it is one */
	bool is_admin, is_cut;
};

/* --- gathering ------------------------------------------------------------------- */

static struct slice
join(struct arena *a, struct slice reference, struct slice pattern)
{
	return slice_str(arena_printf(a, "%.*s%.*s", (int)reference.len,
	    (const char *)reference.ptr, (int)pattern.len,
	    (const char *)pattern.ptr));
}

static void
make_slots(struct listing *l, size_t n)
{
	l->slots = arena_array(l->arena, n, sizeof(struct node *));
	l->nslots = n;
}

struct listing *
listing_new(struct arena *a, const struct mboxname_view *view,
    const struct listing_request *r)
{
	struct listing *l = arena_alloc(a, sizeof(*l));

	l->arena = a;
	l->view = view;
	l->request = r;
	l->patterns = arena_array(a, r->npatterns + 1, sizeof(*l->patterns));
	for (size_t i = 0; i < r->npatterns; i++)
		l->patterns[i] = join(a, r->reference, r->patterns[i]);
	for (size_t i = 0; i < r->npatterns; i++)
		l->cost += l->patterns[i].len / 64 + 1;
	make_slots(l, 64);
	return l;
}

/* FNV-1a: names in one user's view are few, and the table dies with them. */
static size_t
hash(struct slice s)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.ptr[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static void
rehash(struct listing *l)
{
	make_slots(l, l->nslots * 4);
	for (size_t i = 0; i < l->count; i++) {
		struct node **slot =
		    &l->slots[hash(l->nodes[i]->external) % l->nslots];

		l->nodes[i]->hash_next = *slot;
		*slot = l->nodes[i];
	}
}

static void
remember(struct listing *l, struct node *n)
{
	if (l->count == l->size) {
		size_t size = l->size == 0 ? 64 : l->size * 2;
		struct node **more =
		    arena_array(l->arena, size, sizeof(struct node *));

		if (l->count > 0)
			memcpy(more, l->nodes, l->count * sizeof(*more));
		l->nodes = more;
		l->size = size;
	}
	l->nodes[l->count++] = n;
	if (l->count > l->nslots * 2)
		rehash(l);
}

static struct node *
find_or_add(struct listing *l, struct slice external)
{
	struct node **slot = &l->slots[hash(external) % l->nslots], *n;

	for (n = *slot; n != NULL; n = n->hash_next)
		if (slice_equal(n->external, external))
			return n;
	n = arena_alloc(l->arena, sizeof(*n));
	n->external = arena_copy(l->arena, external);
	n->hash_next = *slot;
	*slot = n;
	remember(l, n);
	return n;
}

/* The level above; len 0 at the top. */
static struct slice
parent_of(const struct listing *l, struct slice external)
{
	size_t at = slice_rfind(external, l->view->layout->separator);

	return at == external.len ? slice_of(NULL, 0)
	                          : slice_first(external, at);
}

static void
mark_parents(struct listing *l, struct slice external)
{
	struct slice up = parent_of(l, external);

	for (; up.len > 0; up = parent_of(l, up)) {
		struct node *n = find_or_add(l, up);

		if (n->has_children)
			return; /* and so have those above */
		n->has_children = true;
	}
}

/*
 * The mailbox at or below which all is that bears on the answer, as the plain
 * beginning of the only pattern tells; .ptr NULL if there is no such mailbox.
 * With virtual domains a name's end says whose it is, too.
 */
static struct slice
root_of(struct listing *l)
{
	struct slice pattern = l->patterns[0], name, none = { NULL, 0 };
	size_t plain = listmatch_prefix(pattern), end = plain;

	if (l->request->npatterns != 1 || l->view->layout->virtual_domains)
		return none;
	if (plain < pattern.len) {
		end = slice_rfind(slice_first(pattern, plain),
		    l->view->layout->separator);
		if (end == plain)
			return none; /* it is within the first level */
	}
	if (mboxname_from_external(l->arena, l->view, slice_first(pattern, end),
	        &name) != NULL)
		return none;
	return name;
}

/* Asked for nothing but whether it is there: its first child will do. */
static bool
is_one_name(const struct listing *l)
{
	return l->request->npatterns == 1 && l->request->select == 0 &&
	       listmatch_prefix(l->patterns[0]) == l->patterns[0].len;
}

size_t
listing_plan(struct listing *l, bool is_admin,
    struct listing_walk walks[LISTING_WALKS_MAX])
{
	struct slice root = root_of(l), own, external;
	size_t n = 0;

	memset(walks, 0, LISTING_WALKS_MAX * sizeof(*walks));
	l->is_admin = is_admin;
	/* What is not subscribed to does not change LSUB's answer. */
	if (l->request->lsub)
		return 0;
	/* What others share without end is found by who may see it. */
	if (root.ptr != NULL &&
	    (is_admin ||
	        mboxname_owner(l->arena, l->view->layout, root).ptr != NULL)) {
		external = mboxname_to_external(l->arena, l->view, root);
		if (is_one_name(l) && external.ptr != NULL)
			l->only = find_or_add(l, external);
		walks[0].below = root;
		return 1;
	}
	if (is_admin)
		return 1;
	if (mboxname_of_user(l->arena, l->view->layout, l->view->user, &own) ==
	    NULL)
		walks[n++].below = own;
	walks[n++].identifier = l->view->user;
	walks[n++].identifier = slice_str("anyone");
	return n;
}

static bool
is_full(struct listing *l)
{
	if (l->count >= LISTING_NAMES_MAX)
		l->is_cut = true;
	return l->is_cut;
}

static bool
may_see(const struct listing *l, struct slice name, const struct mboxrec *rec)
{
	return rec->state != MBOXREC_RESERVED &&
	       (acl_of_user(l->view, l->is_admin, name, rec->acl) &
	           ACL_LOOKUP) != 0;
}

bool
listing_add(struct listing *l, struct slice name, const struct mboxrec *rec)
{
	struct slice external;
	struct node *n;

	l->added = NULL;
	if (is_full(l))
		return false;
	if (!may_see(l, name, rec))
		return true;
	external = mboxname_to_external(l->arena, l->view, name);
	if (external.ptr == NULL)
		return true;
	n = l->added = find_or_add(l, external);
	n->exists = true;
	if (rec->special_uses.len > 0)
		n->special_uses = arena_copy(l->arena, rec->special_uses);
	mark_parents(l, external);
	return l->only == NULL || !l->only->has_children;
}

bool
listing_was_added(const struct listing *l)
{
	return l->added != NULL;
}

void
listing_note(struct listing *l, void *note)
{
	MUST(l->added != NULL);
	l->added->note = note;
}

void
listing_add_subscription(struct listing *l, struct slice external)
{
	struct slice up;

	if (is_full(l))
		return;
	find_or_add(l, external)->subscribed = true;
	for (up = parent_of(l, external); up.len > 0; up = parent_of(l, up)) {
		struct node *n = find_or_add(l, up);

		if (n->child_subscribed)
			return; /* and so are below those above */
		n->child_subscribed = true;
	}
}

/* RFC 6154, RFC 8457. */
static bool
is_special_use(struct slice s)
{
	static const char *const uses[] = { "\\All", "\\Archive", "\\Drafts",
		"\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash" };

	for (size_t i = 0; i < NITEMS(uses); i++)
		if (slice_is_nocase(s, uses[i]))
			return true;
	return false;
}

void
listing_add_attribute(struct listing *l, struct slice external,
    struct slice attribute)
{
	struct node *n;

	if (!is_special_use(attribute) || is_full(l))
		return;
	n = find_or_add(l, external);
	if (n->special_uses.len == 0)
		n->special_uses = arena_copy(l->arena, attribute);
	else
		n->special_uses = slice_str(arena_printf(l->arena, "%.*s %.*s",
		    (int)n->special_uses.len, (const char *)n->special_uses.ptr,
		    (int)attribute.len, (const char *)attribute.ptr));
}

/* --- answering -------------------------------------------------------------------- */

static bool
is_inbox(struct slice s)
{
	return slice_is(s, "INBOX");
}

/* A level and what is below it stand together, as in a tree. */
static bool
is_before(const struct listing *l, const struct node *x, const struct node *y)
{
	struct slice s = x->external, t = y->external;
	uint8_t separator = (uint8_t)l->view->layout->separator;
	size_t i = 0;

	if (is_inbox(s) != is_inbox(t))
		return is_inbox(s);
	while (i < s.len && i < t.len && s.ptr[i] == t.ptr[i])
		i++;
	if (i == s.len || i == t.len)
		return s.len < t.len;
	/* Separators come before all else. */
	if (s.ptr[i] == separator || t.ptr[i] == separator)
		return s.ptr[i] == separator;
	return s.ptr[i] < t.ptr[i];
}

static void
sift_up(struct listing *l)
{
	size_t i = l->nruns - 1;
	struct node *n = l->runs[i];

	for (; i > 0 && is_before(l, n, l->runs[(i - 1) / 2]); i = (i - 1) / 2)
		l->runs[i] = l->runs[(i - 1) / 2];
	l->runs[i] = n;
}

static void
sift_down(struct listing *l)
{
	struct node *n = l->runs[0];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < l->nruns; i = child) {
		if (child + 1 < l->nruns &&
		    is_before(l, l->runs[child + 1], l->runs[child]))
			child++;
		if (!is_before(l, l->runs[child], n))
			break;
		l->runs[i] = l->runs[child];
	}
	l->runs[i] = n;
}

/* Behind the last one, if it comes behind it; else a run of its own begins. */
static void
line_up(struct listing *l, struct node *n)
{
	if (l->last != NULL && is_before(l, l->last, n)) {
		l->last->after = n;
	} else {
		l->runs[l->nruns++] = n;
		sift_up(l);
	}
	l->last = n;
}

/* NULL: there are no more. */
static struct node *
take_first(struct listing *l)
{
	struct node *n;

	if (l->nruns == 0)
		return NULL;
	n = l->runs[0];
	l->runs[0] = n->after != NULL ? n->after : l->runs[--l->nruns];
	sift_down(l);
	return n;
}

static bool
matches(const struct listing *l, const struct node *n)
{
	char separator = l->view->layout->separator;

	for (size_t i = 0; i < l->request->npatterns; i++)
		if (listmatch(l->patterns[i], n->external, separator))
			return true;
	return false;
}

/* Whatever the patterns. */
static bool
is_selected(const struct listing *l, const struct node *n)
{
	unsigned select = l->request->select;

	if ((select & LISTING_SELECT_SPECIAL_USE) != 0 &&
	    (!n->exists || n->special_uses.len == 0))
		return false;
	return (select & LISTING_SELECT_SUBSCRIBED) != 0 ? n->subscribed
	                                                 : n->exists;
}

/* May it be answered for what is below it? */
static bool
may_stand_for_others(const struct listing *l, const struct node *n)
{
	unsigned select = l->request->select;

	if (l->request->lsub || (select & LISTING_SELECT_RECURSIVEMATCH) != 0)
		return true;
	return !n->exists && (select & (LISTING_SELECT_SUBSCRIBED |
	                                   LISTING_SELECT_SPECIAL_USE)) == 0;
}

static void
tell_parents(struct listing *l, const struct node *n)
{
	struct slice up = parent_of(l, n->external);

	for (; up.len > 0; up = parent_of(l, up)) {
		struct node *p = find_or_add(l, up); /* it is there */

		if (p->selects_below)
			return; /* and so do those above */
		p->selects_below = true;
	}
}

bool
listing_settle(struct listing *l)
{
	size_t cost = 0;

	if (l->runs == NULL)
		l->runs = arena_array(l->arena, l->count + 1, sizeof(*l->runs));
	while (l->settled < l->count && cost < TURN_COST) {
		struct node *n = l->nodes[l->settled++];

		cost += l->cost * n->external.len + NAME_COST;
		n->matches = matches(l, n);
		if (n->matches)
			line_up(l, n);
		else if (is_selected(l, n))
			tell_parents(l, n);
	}
	return l->settled == l->count;
}

bool
listing_is_cut(const struct listing *l)
{
	return l->is_cut;
}

/* It matches a pattern. */
static bool
is_answered(const struct listing *l, const struct node *n)
{
	return is_selected(l, n) ||
	       (n->selects_below && may_stand_for_others(l, n));
}

bool
listing_next(struct listing *l, struct listing_item *item)
{
	const struct node *n;

	MUST(l->settled == l->count);
	while ((n = take_first(l)) != NULL) {
		if (!is_answered(l, n))
			continue;
		*item = (struct listing_item){ .external = n->external,
			.exists = n->exists,
			.selected = is_selected(l, n),
			.subscribed = n->subscribed,
			.has_children = n->has_children,
			.child_subscribed = n->child_subscribed,
			.special_uses = n->special_uses,
			.note = n->note };
		return true;
	}
	return false;
}

void
listing_put_attribute(struct listing_attributes *a, struct slice name)
{
	if (a->some)
		write_sp(a->w);
	a->some = true;
	write_atom(a->w, name);
}

/* What the list has of another host may be anything. */
void
listing_put_special_uses(struct listing_attributes *a, struct slice uses)
{
	struct slice one;

	while ((one = slice_word(&uses)).len > 0)
		if (mboxrec_is_special_use(one))
			listing_put_attribute(a, one);
}

/*
 * LSUB has no \NonExistent (RFC 3501 6.3.9): a level that is only above a
 * subscription is \Noselect, a subscribed name is listed whatever it is.
 */
static void
put_attributes(struct write *w, const struct listing *l,
    const struct listing_item *item)
{
	const struct listing_request *r = l->request;
	struct listing_attributes a = { w, false };

	if (r->lsub) {
		if (!item->subscribed)
			listing_put_attribute(&a, slice_str("\\Noselect"));
		return;
	}
	if (!item->exists) {
		listing_put_attribute(&a, slice_str("\\NonExistent"));
		listing_put_attribute(&a, slice_str("\\Noselect"));
	}
	listing_put_attribute(&a,
	    slice_str(
	        item->has_children ? "\\HasChildren" : "\\HasNoChildren"));
	if (item->subscribed && (r->returns & LISTING_RETURN_SUBSCRIBED) != 0)
		listing_put_attribute(&a, slice_str("\\Subscribed"));
	listing_put_special_uses(&a, item->special_uses);
}

static void
put_child_info(struct write *w, const struct listing *l,
    const struct listing_item *item)
{
	unsigned both =
	    LISTING_SELECT_SUBSCRIBED | LISTING_SELECT_RECURSIVEMATCH;

	if (l->request->lsub || (l->request->select & both) != both ||
	    !item->child_subscribed)
		return;
	write_sp(w);
	write_word(w, "(\"CHILDINFO\" (\"SUBSCRIBED\"))");
}

void
listing_write(struct write *w, const struct listing *l,
    const struct listing_item *item)
{
	write_untagged(w, l->request->lsub ? "LSUB" : "LIST");
	write_sp(w);
	write_open(w);
	put_attributes(w, l, item);
	write_close(w);
	write_sp(w);
	write_string(w, slice_of(&l->view->layout->separator, 1));
	write_sp(w);
	write_mailbox(w, item->external);
	put_child_info(w, l, item);
	write_end(w);
}
