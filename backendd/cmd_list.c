/*
 * LIST with RFC 5258, 5819, 6154, 8440 and 9590; LSUB.
 */
#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/ledger.h"
#include "backendd/listed_metadata.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/status.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/listing.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/metadata.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"

enum {
	LINE_ROOM = 8 * 1024,
	TURN_ROOM = 64 * 1024,
	ANNOTATIONS_ROOM = 4 * 1024, /* full: the next response begins */
	BATCH = 256,                 /* names looked up at a time */
	SLICE = 250,                 /* records seen in a turn */
	LOOKS = 4,                   /* at a list that changes */
	LOOK_AGAIN_MAX = 5000, /* records that are no trouble to see again */
	RETURN_MORE = LISTING_RETURN_STATUS | LISTING_RETURN_MYRIGHTS |
	              LISTING_RETURN_METADATA
};

/* Of a mailbox of which more than LIST is said; in the command's arena. */
struct known {
	const char *name;
	struct mboxrec rec; /* without its ACL */
	unsigned rights;
};

/* A name to be answered. */
struct line {
	struct listing_item item;
	struct known *known; /* NULL: LIST is all there is to say */
};

enum stage {
	STAGE_NAMES,
	STAGE_SUBSCRIPTIONS,
	STAGE_SETTLE
};

/* In the command's arena. */
struct list {
	struct session *ss;
	struct listing_request request;
	unsigned status_items;
	struct mboxname_view view;
	struct listing *listing;

	/* What the user may see is looked for in turns. */
	struct task *turn; /* NULL: that is over */
	enum stage stage;
	struct listing_walk walks[LISTING_WALKS_MAX];
	size_t nwalks, walk; /* the one under way */
	struct buf cursor;   /* where it goes on */
	unsigned seen, looks;
	uint64_t removals; /* before the look under way */

	struct line lines[BATCH];
	size_t nlines, line; /* how many; the next */
	size_t fetching;     /* answers that are due */

	struct slice entries[METADATA_ITEMS_MAX];
	size_t nentries;
	const struct line *annotated; /* whose entries are answered; or NULL */
	size_t entry;                 /* the next of them */
};

/* --- what the user may see ----------------------------------------------------- */

/* So that nothing has to be looked up again. */
static struct known *
known_new(struct list *l, const char *name, const struct mboxrec *rec)
{
	struct arena *a = session_cmd(l->ss)->arena;
	struct known *k = arena_alloc(a, sizeof(*k));

	k->name = arena_string(a, slice_str(name));
	k->rec = *rec;
	k->rec.acl = k->rec.owner = slice_of(NULL, 0);
	k->rec.location = arena_copy(a, rec->location);
	k->rec.mailboxid = arena_copy(a, rec->mailboxid);
	if (rec->special_uses.len > 0)
		k->rec.special_uses = arena_copy(a, rec->special_uses);
	k->rights = acl_of_user(&l->view, session_is_admin(l->ss),
	    slice_str(name), rec->acl);
	return k;
}

static bool
add_mailbox(void *arg, const char *name, const struct mboxrec *rec)
{
	struct list *l = arg;
	bool more;

	l->seen++;
	if (mblist_is_aside(name) && !session_is_admin(l->ss))
		return true;
	more = listing_add(l->listing, slice_str(name), rec);
	if ((l->request.returns & RETURN_MORE) && listing_was_added(l->listing))
		listing_note(l->listing, known_new(l, name, rec));
	return more;
}

static bool
add_subscription(void *arg, const char *name)
{
	struct list *l = arg;
	struct slice external = mboxname_to_external(session_cmd(l->ss)->arena,
	    &l->view, slice_str(name));

	if (external.ptr != NULL)
		listing_add_subscription(l->listing, external);
	return true;
}

/* --- the answer ------------------------------------------------------------------ */

static void list_go_on(struct session *ss, void *arg);

static bool
wants_status(const struct list *l, const struct line *line)
{
	return line->known != NULL && l->request.status != NULL &&
	       (line->known->rights & ACL_READ);
}

static void
fetched(void *arg)
{
	struct list *l = arg;

	MUST(l->fetching > 0);
	if (--l->fetching == 0)
		list_go_on(l->ss, l);
}

/* The numbers of all of them, those in a store at once. */
static void
fetch_batch(struct list *l)
{
	struct backendd *bd = session_server(l->ss);
	struct slice ids[BATCH];

	l->fetching = 1;
	for (size_t i = 0; i < bd->npartitions; i++) {
		struct store *st = bd->partitions[i].store;
		size_t n = 0;

		for (size_t k = 0; k < l->nlines; k++)
			if (wants_status(l, &l->lines[k]) &&
			    backendd_store(bd, &l->lines[k].known->rec) == st)
				ids[n++] = l->lines[k].known->rec.mailboxid;
		if (n == 0 || ledger_knows(bd->ledger, st, ids, n))
			continue;
		l->fetching++;
		ledger_fetch(bd->ledger, st, ids, n, fetched, l);
	}
	l->fetching--;
}

/* false: there are no more. */
static bool
next_batch(struct list *l)
{
	l->nlines = l->line = 0;
	while (l->nlines < BATCH) {
		struct line *line = &l->lines[l->nlines];

		*line = (struct line){ 0 };
		if (!listing_next(l->listing, &line->item))
			break;
		if (line->item.exists && line->item.selected)
			line->known = line->item.note;
		l->nlines++;
	}
	if (l->request.status != NULL)
		fetch_batch(l);
	return l->nlines > 0;
}

static void
finish(struct list *l)
{
	if (listing_is_cut(l->listing))
		session_done(l->ss, SESSION_NO, "LIMIT",
		    "These are not all: there are too many mailboxes");
	else
		session_done(l->ss, SESSION_OK, NULL, "Done");
}

static void
status_done(struct session *ss, void *arg, const char *why)
{
	(void)why; /* RFC 5819: then there is no STATUS for this one */
	list_go_on(ss, arg);
}

/* What is due of a line; false: the rest of it comes later. */
static bool
put_line(struct list *l, const struct line *line)
{
	const struct known *k = line->known;
	struct write w;

	session_write(l->ss, &w);
	listing_write(&w, l->listing, &line->item);
	if (k == NULL)
		return true;
	if (l->request.returns & LISTING_RETURN_MYRIGHTS)
		acl_write_myrights(&w, line->item.external, k->rights);
	if (l->nentries > 0 && listed_metadata_may(k->rights)) {
		l->annotated = line;
		l->entry = 0;
	}
	return !wants_status(l, line) ||
	       status_put(l->ss,
	           &(struct status_of){ k->name, line->item.external, &k->rec },
	           l->status_items, status_done, l);
}

/* Of the entries that are due as many as one response has; in the arena. */
static size_t
next_annotations(struct list *l, struct arena *a,
    struct metadata_item items[METADATA_ITEMS_MAX], size_t *octets)
{
	const struct known *k = l->annotated->known;
	struct listed m = { k->name, &k->rec, k->rights };
	size_t n = 0, left = l->nentries - l->entry;

	for (*octets = 0; n < left && *octets < ANNOTATIONS_ROOM; n++) {
		listed_metadata(l->ss, &m, l->entries[l->entry + n], a,
		    &items[n]);
		*octets += items[n].entry.len + items[n].value.len;
	}
	return n;
}

/* A response; false: there is no room for it. */
static bool
put_some_annotations(struct list *l, struct arena *a)
{
	struct metadata_item items[METADATA_ITEMS_MAX];
	size_t octets, n = next_annotations(l, a, items, &octets);
	struct write w;

	if (session_room(l->ss) < LINE_ROOM + octets) {
		session_flush(l->ss);
		session_wait_room(l->ss, LINE_ROOM + octets, list_go_on, l);
		return false;
	}
	session_write(l->ss, &w);
	metadata_write(&w, l->annotated->item.external, items, n);
	l->entry += n;
	return true;
}

/* RFC 9590: all entries, NIL too.  False: there is no room for the next. */
static bool
put_annotations(struct list *l)
{
	bool more = true;
	struct arena a;

	arena_init(&a);
	while (more && l->entry < l->nentries) {
		more = put_some_annotations(l, &a);
		arena_reset(&a);
	}
	if (more)
		l->annotated = NULL;
	return more;
}

static void
list_go_on(struct session *ss, void *arg)
{
	struct list *l = arg;

	for (;;) {
		if (l->annotated != NULL && !put_annotations(l))
			return;
		if (session_room(ss) < LINE_ROOM + STATUS_ROOM) {
			session_flush(ss);
			session_wait_room(ss, TURN_ROOM, list_go_on, l);
			return;
		}
		if (l->line == l->nlines && !next_batch(l)) {
			finish(l);
			return;
		}
		if (l->fetching > 0 || !put_line(l, &l->lines[l->line++]))
			return;
	}
}

static void
answer_separator(struct list *l)
{
	struct write w;

	session_write(l->ss, &w);
	listing_write_separator(&w, l->view.layout, &l->request);
	session_done(l->ss, SESSION_OK, NULL, "Done");
}

/* --- looking --------------------------------------------------------------------- */

/* True: those were all. */
static bool
see_some(struct list *l)
{
	const struct listing_walk *walk = &l->walks[l->walk];
	struct mblist_range of = { walk->below, walk->identifier };

	if (l->walk < l->nwalks) {
		if (!mblist_some(session_server(l->ss)->list, &of, &l->cursor,
		        SLICE, add_mailbox, l))
			return false;
		buf_clear(&l->cursor);
		l->walk++;
	}
	return l->walk >= l->nwalks;
}

/*
 * Of a mailbox that is renamed between two turns it may see neither name.  So
 * it looks again if names went meanwhile, unless that takes long.
 */
static bool
see_well(struct list *l)
{
	uint64_t before = l->removals;

	if (!see_some(l))
		return false;
	l->removals = mblist_removals(session_server(l->ss)->list);
	if (l->removals == before || l->seen > LOOK_AGAIN_MAX ||
	    ++l->looks == LOOKS)
		return true;
	l->walk = 0;
	l->seen = 0;
	return false;
}

static bool
see_subscriptions(struct list *l)
{
	return !listing_wants_subscriptions(&l->request) ||
	       users_some_subscriptions(session_server(l->ss)->users,
	           session_user(l->ss), &l->cursor, SLICE, add_subscription, l);
}

/* As far as may be in a turn; true: all is known. */
static bool
look(struct list *l)
{
	if (l->stage == STAGE_NAMES && see_well(l))
		l->stage = STAGE_SUBSCRIPTIONS;
	if (l->stage == STAGE_SUBSCRIPTIONS && see_subscriptions(l))
		l->stage = STAGE_SETTLE;
	return l->stage == STAGE_SETTLE && listing_settle(l->listing);
}

static void
look_on(void *arg)
{
	struct list *l = arg;
	bool dead = session_dead(l->ss);

	if (!dead && !look(l)) {
		task_want(l->turn);
		return;
	}
	task_free(&l->turn);
	buf_fini(&l->cursor);
	if (dead)
		session_done(l->ss, SESSION_NO, NULL, "Nobody is there");
	else
		list_go_on(l->ss, l);
}

static void
answer(struct list *l)
{
	struct session *ss = l->ss;
	struct backendd *bd = session_server(ss);

	l->listing = listing_new(session_cmd(ss)->arena, &l->view, &l->request);
	l->nwalks = listing_plan(l->listing, session_is_admin(ss), l->walks);
	l->removals = mblist_removals(bd->list);
	l->turn = task_new(bd->loop, look_on, l);
	buf_init(&l->cursor, TREEDB_KEY_MAX + 1);
	look_on(l);
}

static void
list(struct session *ss, struct cmd *cmd, bool lsub)
{
	struct list *l = arena_alloc(cmd->arena, sizeof(*l));

	l->ss = ss;
	l->view = session_names(ss);
	listing_parse(cmd->args, lsub, &l->request);
	if (l->request.status != NULL)
		l->status_items = status_items(cmd->args, l->request.status);
	if (l->request.metadata != NULL)
		l->nentries = metadata_entries(cmd->args, l->request.metadata,
		    l->entries);
	if (parse_error(cmd->args) == NULL &&
	    (l->status_items & STATUS_HIGHESTMODSEQ))
		condstore_enable(ss); /* as STATUS does (RFC 5819, RFC 7162) */
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else if (listing_is_separator_only(&l->request))
		answer_separator(l);
	else
		answer(l);
}

void
backendd_LIST(struct session *ss, struct cmd *cmd)
{
	list(ss, cmd, false);
}

void
backendd_LSUB(struct session *ss, struct cmd *cmd)
{
	list(ss, cmd, true);
}
