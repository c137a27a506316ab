/*
 * RFC 5464: GETMETADATA, SETMETADATA; and LIST's METADATA (RFC 9590).
 *
 * Some entries are not kept but known: the special uses of a mailbox (RFC 6154
 * 4), how near it is to its quota, room on the disks, the administrator.
 */
#include <string.h>

#include "backendd/conf.h"
#include "backendd/freespace.h"
#include "backendd/handlers.h"
#include "backendd/listed_metadata.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/metadata.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/buf.h"

#define SPECIAL_USE "/private/specialuse"
#define ADMIN       "/shared/admin"

enum {
	LINE_ROOM = 8 * 1024, /* of a response but its value */
	WARNINGS_MAX = 256,
	MAY_USE = ACL_READ | ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_POST
};

/* What is looked at: a mailbox, or the server (name is NULL). */
struct subject {
	const char *name;
	const struct mboxrec *rec;
	unsigned rights;
	struct slice id;
};

struct result {
	struct result *next;
	struct metadata_item item;
};

/* GETMETADATA, in the command's arena. */
struct getting {
	struct session *ss;
	struct metadata_get get;
	struct subject subject;
	const struct freespace *space; /* NULL: not known, not to be told */
	struct result *first, **last;
	uint64_t longest; /* of those above MAXSIZE */
};

/* --- what is known ------------------------------------------------------------------- */

/* false: there is no such entry.  A value without .ptr is NIL. */
static bool
computed(struct session *ss, const struct subject *s, struct slice entry,
    struct arena *a, struct slice *value)
{
	struct backendd *bd = session_server(ss);
	struct buf text;

	*value = slice_of(NULL, 0);
	if (s->name == NULL) {
		if (!slice_is(entry, ADMIN))
			return false;
		if (bd->conf->admin_contact != NULL)
			*value = slice_str(bd->conf->admin_contact);
		return true;
	}
	if (slice_is(entry, SPECIAL_USE)) {
		if (s->rec->special_uses.len > 0)
			*value = s->rec->special_uses;
		return true;
	}
	if (!slice_is(entry, METADATA_OVERQUOTA))
		return false;
	buf_init(&text, WARNINGS_MAX);
	if (s->rights & ACL_READ)
		quota_put_warnings(bd->quotas, s->name, &text);
	if (buf_len(&text) > 0)
		*value = arena_copy(a, buf_slice(&text));
	buf_fini(&text);
	return true;
}

/* NIL if there is none. */
static struct slice
value_of(struct session *ss, const struct subject *s, struct slice entry,
    struct arena *a)
{
	struct slice value;

	if (computed(ss, s, entry, a, &value))
		return value;
	if (!metadata_find(session_server(ss)->users, session_user(ss), s->id,
	        entry, a, &value))
		return slice_of(NULL, 0);
	return value.len > 0 ? value : slice_of("", 0);
}

/* The mailbox and the rights that RFC 5464 3.3 asks for.  False: all is said. */
static bool
find_subject(struct session *ss, struct slice external, struct subject *s)
{
	struct arena *a = session_cmd(ss)->arena;

	*s = (struct subject){ .id = slice_str(METADATA_SERVER) };
	if (external.len == 0)
		return true;
	s->name = session_mailbox_name(ss, external);
	if (s->name == NULL)
		return false;
	s->rec = session_mailbox(ss, s->name, ACL_LOOKUP);
	if (s->rec == NULL)
		return false;
	s->id = s->rec->mailboxid;
	s->rights = session_rights(ss, s->name, arena_string(a, s->rec->acl));
	if (s->rights & MAY_USE)
		return true;
	session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
	return false;
}

/* --- GETMETADATA ----------------------------------------------------------------------- */

static void
add_result(struct getting *g, struct slice entry, struct slice value)
{
	struct arena *a = session_cmd(g->ss)->arena;
	struct result *r;

	if (value.len > g->get.maxsize) {
		if (value.len > g->longest)
			g->longest = value.len;
		return;
	}
	r = arena_alloc(a, sizeof(*r));
	r->item = (struct metadata_item){ entry, value };
	*g->last = r;
	g->last = &r->next;
}

/* Does one of the first n entries mean it? */
static bool
is_asked(const struct getting *g, struct slice name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (metadata_matches(name, g->get.entries[i], g->get.depth))
			return true;
	return false;
}

static bool
add_matching(void *arg, struct slice name, struct slice value)
{
	struct getting *g = arg;
	struct arena *a = session_cmd(g->ss)->arena;

	if (!is_asked(g, name, g->get.n))
		return true;
	value = value.len > 0 ? arena_copy(a, value) : slice_of("", 0);
	add_result(g, arena_copy(a, name), value);
	return true;
}

static void
add_computed(struct getting *g)
{
	static const char *const names[] = { SPECIAL_USE, METADATA_OVERQUOTA,
		ADMIN };
	struct arena *a = session_cmd(g->ss)->arena;
	struct slice value;

	for (size_t i = 0; i < NITEMS(names); i++)
		if (is_asked(g, slice_str(names[i]), g->get.n) &&
		    computed(g->ss, &g->subject, slice_str(names[i]), a,
		        &value) &&
		    value.ptr != NULL)
			add_result(g, slice_str(names[i]), value);
}

/* With a DEPTH what is there is added after; without, NIL for what is not. */
static void
add_entry(struct getting *g, struct slice entry)
{
	struct arena *a = session_cmd(g->ss)->arena;

	if (g->subject.name == NULL && freespace_is(entry)) {
		if (g->space != NULL)
			add_result(g, entry,
			    freespace_value(a, g->space, entry));
	} else if (g->get.depth == METADATA_ONLY) {
		add_result(g, entry, value_of(g->ss, &g->subject, entry, a));
	}
}

/* However often it is asked for, an entry is answered once. */
static void
add_all(struct getting *g)
{
	struct users *u = session_server(g->ss)->users;
	const char *user = session_user(g->ss);

	for (size_t i = 0; i < g->get.n; i++)
		if (!is_asked(g, g->get.entries[i], i))
			add_entry(g, g->get.entries[i]);
	if (g->get.depth == METADATA_ONLY)
		return;
	metadata_each(u, user, g->subject.id, true, add_matching, g);
	metadata_each(u, user, g->subject.id, false, add_matching, g);
	add_computed(g);
}

static void
put_results(struct session *ss, void *arg)
{
	struct getting *g = arg;
	struct arena *a = session_cmd(ss)->arena;
	struct write w;

	for (; g->first != NULL; g->first = g->first->next) {
		const struct metadata_item *item = &g->first->item;

		if (session_room(ss) < item->value.len + LINE_ROOM) {
			session_flush(ss);
			session_wait_room(ss, item->value.len + LINE_ROOM,
			    put_results, g);
			return;
		}
		session_write(ss, &w);
		if (freespace_is(item->entry))
			freespace_write(&w, item->entry, item->value);
		else
			metadata_write(&w, g->get.mailbox, item, 1);
	}
	session_done(ss, SESSION_OK,
	    g->longest == 0 ? NULL
	                    : arena_printf(a, "METADATA LONGENTRIES %llu",
	                          (unsigned long long)g->longest),
	    "Getmetadata completed");
}

static void
answer(struct getting *g)
{
	g->last = &g->first;
	add_all(g);
	put_results(g->ss, g);
}

static void
usage_known(void *arg, const struct quota_usage *usage)
{
	(void)usage; /* what comes of it is asked for by its name */
	answer(arg);
}

static void
space_known(void *arg, const struct freespace *space)
{
	struct getting *g = arg;

	g->space = space;
	answer(g);
}

/* What takes time is asked for only if it is wanted. */
static void
look(struct getting *g)
{
	struct session *ss = g->ss;
	struct quotas *quotas = session_server(ss)->quotas;
	bool space = false, quota = false;
	const char *root;

	for (size_t i = 0; i < g->get.n; i++) {
		space = space || freespace_is(g->get.entries[i]);
		quota = quota || metadata_matches(slice_str(METADATA_OVERQUOTA),
		                     g->get.entries[i], g->get.depth);
	}
	if (g->subject.name == NULL) {
		/* Only frontends and administrators are told of disks. */
		if (space && (session_is_trusted(ss) || session_is_admin(ss)))
			freespace_ask(ss, space_known, g);
		else
			answer(g);
		return;
	}
	root = quota ? quota_root_of(quotas, g->subject.name,
	                   session_cmd(ss)->arena)
	             : NULL;
	if (root != NULL)
		quota_usage(quotas, root, usage_known, g);
	else
		answer(g);
}

void
backendd_GETMETADATA(struct session *ss, struct cmd *cmd)
{
	struct getting *g = arena_alloc(cmd->arena, sizeof(*g));

	g->ss = ss;
	metadata_parse_get(cmd->args, &g->get);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else if (find_subject(ss, g->get.mailbox, &g->subject))
		look(g);
}

void
listed_metadata(struct session *ss, const struct listed *m, struct slice entry,
    struct arena *a, struct metadata_item *item)
{
	struct subject s = { m->name, m->rec, m->rights, m->rec->mailboxid };

	item->entry = entry;
	item->value = value_of(ss, &s, entry, a);
}

bool
listed_metadata_may(unsigned rights)
{
	return (rights & ACL_LOOKUP) && (rights & MAY_USE);
}

/* --- SETMETADATA ------------------------------------------------------------------------- */

/*
 * In the command's arena.  The annotation is not the store's, but the mailbox's
 * MODSEQ goes up with it (RFC 7162 3.2).  It does so before, so that a store
 * that takes no changes leaves the annotation as it was; and after, for whoever
 * looked in between.
 */
struct setting {
	struct session *ss;
	struct metadata_set set;
	struct subject subject;
	struct mailbox *m;      /* a hold; NULL: the server's */
	const char *code, *why; /* it has failed */
};

static void
refuse(struct setting *s, const char *code, const char *why)
{
	s->code = code;
	s->why = why;
}

static void
finish(struct setting *s)
{
	struct backendd *bd = session_server(s->ss);

	mailbox_release(&s->m);
	if (s->why != NULL) {
		session_done(s->ss, SESSION_NO, s->code, s->why);
		return;
	}
	for (size_t i = 0; i < s->set.n; i++)
		metadata_changed(bd, s->ss, s->subject.name,
		    s->set.items[i].entry);
	session_done(s->ss, SESSION_OK, NULL, "Setmetadata completed");
}

static void
touched_again(void *arg, const char *why)
{
	(void)why; /* it has been, and the annotation is set */
	finish(arg);
}

/* The annotation is set, or not, or will not be. */
static void
arrived(struct setting *s)
{
	if (s->why != NULL || s->m == NULL)
		finish(s);
	else
		store_change(mailbox_store(s->m), NULL, 0, UINT64_MAX,
		    touched_again, s);
}

static void
stored(void *arg, enum metadata_result r)
{
	struct setting *s = arg;
	struct backendd *bd = session_server(s->ss);

	switch (r) {
	case METADATA_OK:
		break;
	case METADATA_TOO_BIG:
		refuse(s,
		    arena_printf(session_cmd(s->ss)->arena,
		        "METADATA MAXSIZE %llu",
		        (unsigned long long)bd->conf->metadata_size),
		    "The annotation is too long");
		break;
	case METADATA_TOO_MANY:
		refuse(s, "METADATA TOOMANY", "Too many annotations");
		break;
	case METADATA_FAILED:
		refuse(s, "UNAVAILABLE",
		    "Cannot be stored now, try again later");
		break;
	}
	arrived(s);
}

static void
uses_set(void *arg, enum mblist_result r, const char *text)
{
	struct setting *s = arg;

	(void)text; /* for the log, where it has been */
	if (r != MBLIST_OK)
		refuse(s, mblist_code(r), mblist_text(r));
	arrived(s);
}

static bool
is_special_use(const struct setting *s)
{
	return s->subject.name != NULL &&
	       slice_is(s->set.items[0].entry, SPECIAL_USE);
}

static void
set(struct setting *s)
{
	struct backendd *bd = session_server(s->ss);
	struct slice value = s->set.items[0].value;

	if (is_special_use(s))
		mblist_set_uses(bd->list, s->subject.name,
		    arena_string(session_cmd(s->ss)->arena, value), uses_set,
		    s);
	else
		metadata_set(bd->users, session_user(s->ss), s->subject.id,
		    s->set.items, s->set.n, stored, s);
}

static void
touched(void *arg, const char *why)
{
	struct setting *s = arg;

	if (why == NULL) {
		set(s);
		return;
	}
	refuse(s, "UNAVAILABLE",
	    arena_printf(session_cmd(s->ss)->arena, "%s", why));
	finish(s);
}

static void
change(struct setting *s)
{
	enum metadata_result r = METADATA_OK;

	if (!is_special_use(s))
		r = metadata_check(session_server(s->ss)->users,
		    session_user(s->ss), s->subject.id, s->set.items, s->set.n);
	if (r != METADATA_OK)
		stored(s, r);
	else if (s->m == NULL)
		set(s);
	else
		store_change(mailbox_store(s->m), NULL, 0, UINT64_MAX, touched,
		    s);
}

static void
on_open(void *arg, struct target *t)
{
	struct setting *s = arg;

	if (t == NULL) {
		session_done(s->ss, SESSION_NO, "UNAVAILABLE",
		    "Mailbox unavailable");
		return;
	}
	s->m = t->m;
	change(s);
}

/*
 * Words that CREATE takes, too; as its owner or with the right "a".  False: all
 * is said.
 */
static bool
may_set_uses(const struct setting *s)
{
	struct slice left = s->set.items[0].value;
	bool known = true;

	while (left.len > 0) {
		struct slice one = slice_first(left, slice_find(left, ' '));

		known = known && mblist_is_use(one);
		left = slice_skip(left,
		    one.len < left.len ? one.len + 1 : one.len);
	}
	if (!known)
		session_done(s->ss, SESSION_NO, "USEATTR",
		    "There is no such special use");
	else if (!(s->subject.rights & ACL_ADMIN))
		session_done(s->ss, SESSION_NO, "NOPERM", "Permission denied");
	else
		return true;
	return false;
}

/* May it be set?  If not, all is said. */
static bool
may_set(const struct setting *s, struct slice entry)
{
	const struct subject *what = &s->subject;

	bool is_use = slice_is(entry, SPECIAL_USE) && what->name != NULL;
	const char *why = NULL;

	if (slice_is(entry, ADMIN) || slice_is(entry, METADATA_OVERQUOTA) ||
	    freespace_is(entry))
		why = "That one cannot be set";
	else if (is_use && s->set.n > 1)
		why = "Special uses are set by themselves";
	if (why != NULL) {
		session_done(s->ss, SESSION_NO, "CANNOT", why);
		return false;
	}
	/* What others see is administrators', or whose may write there. */
	if (metadata_is_private(entry) ||
	    (what->name == NULL ? session_is_admin(s->ss)
	                        : (what->rights & ACL_WRITE) != 0))
		return true;
	session_done(s->ss, SESSION_NO, "NOPERM", "Permission denied");
	return false;
}

void
backendd_SETMETADATA(struct session *ss, struct cmd *cmd)
{
	struct setting *s = arena_alloc(cmd->arena, sizeof(*s));

	s->ss = ss;
	metadata_parse_set(cmd->args, &s->set);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (!find_subject(ss, s->set.mailbox, &s->subject))
		return;
	for (size_t i = 0; i < s->set.n; i++)
		if (!may_set(s, s->set.items[i].entry))
			return;
	if (is_special_use(s) && !may_set_uses(s))
		return;
	if (s->subject.name == NULL)
		change(s);
	else
		target_open_record(ss, s->subject.name, s->subject.rec, on_open,
		    s);
}
