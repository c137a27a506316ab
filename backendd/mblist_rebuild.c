#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/mblist_rebuild.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

#define FACT  "whole"       /* version, how far, how many were damaged */
#define GIVEN "uidvalidity" /* the last given out */

enum {
	VERSION = 1,
	FLUSH_OCTETS = 32 * 1024 * 1024 /* keeper takes 64 MiB unsynced */
};

enum stage {
	STAGE_BEGUN, /* to make it anew */
	STAGE_WHOLE,
	STAGE_EMPTY /* made anew from nothing: is there really nothing? */
};

struct rebuild {
	struct mblist *list;
	struct partition *partition;
	struct map names; /* MAILBOXID: name; if the list is older */
	struct map seen;  /* MAILBOXIDs whose notes have been read, then too; or
	                      that are not others' */
	uint64_t made, damaged, doubles, renamed;
	size_t gathered, unsynced; /* octets, about */
	struct err err;
	bool older; /* there is a list, and it is older than the stores */
	bool failed;
};

static int
open_keeper(struct mblist *l, struct err *err)
{
	struct backendd *bd = l->bd;
	struct arena a;
	int r;

	arena_init(&a);
	r = keeper_open(&l->keeper, bd->loop, bd->jobs, bd->log,
	    arena_printf(&a, "%s/list", bd->conf->directory), NULL, err);
	arena_reset(&a);
	return r;
}

/* What was gathered; from time to time, onto the disk. */
static int
flush(struct rebuild *r)
{
	if (keeper_commit(r->list->keeper, NULL, NULL, &r->err) == -1)
		return -1;
	r->unsynced += r->gathered;
	r->gathered = 0;
	if (r->unsynced < FLUSH_OCTETS)
		return 0;
	r->unsynced = 0;
	keeper_close(&r->list->keeper);
	return open_keeper(r->list, &r->err);
}

/* What it is called in a list that is older; NULL: nothing. */
static const char *
name_of(struct rebuild *r, struct slice id)
{
	return r->older ? map_find(&r->names, id) : NULL;
}

static void
set_name(struct rebuild *r, struct slice id, const char *name)
{
	if (r->older)
		free(map_put(&r->names, id, xstrdup(name)));
}

static void
put(struct rebuild *r, const char *name, struct mboxrec *rec, uint8_t pending)
{
	rec->pending = pending;
	op_put(r->list, name, rec);
	set_name(r, rec->mailboxid, name);
	r->made++;
	r->gathered += 512 + rec->acl.len;
}

/*
 * The later grant has it, or the later made.  One whose notes have not been
 * read may be called otherwise by now.
 */
static bool
has_it(struct rebuild *r, const struct mboxrec *rec,
    const struct mboxrec *other)
{
	if (r->older && map_find(&r->seen, other->mailboxid) == NULL)
		return true;
	if (rec->generation != other->generation)
		return rec->generation > other->generation;
	return rec->created > other->created;
}

/* Two of one name. */
static void
put_double(struct rebuild *r, struct arena *a, const char *name,
    struct mboxrec *rec, const struct mboxrec *other)
{
	struct mboxrec loser = *other;

	if (has_it(r, rec, other)) {
		put(r, name, rec, 0);
		*rec = loser;
	}
	r->doubles++;
	put(r,
	    arena_printf(a, "%s-%s", quarantine_name(a, name, rec),
	        op_str(a, rec->mailboxid)),
	    rec, PENDING_META);
	log_warn(r->list->bd->log, "two mailboxes of one name", "name", name,
	    "aside", op_str(a, rec->mailboxid), NULL);
}

/* It was renamed after the list was copied. */
static void
forget_old_name(struct rebuild *r, const char *name, struct slice id)
{
	const char *old = name_of(r, id);

	if (old == NULL || strcmp(old, name) == 0)
		return;
	log_info(r->list->bd->log, "renamed, say its notes", "from", old, "to",
	    name, NULL);
	op_delete(r->list, old);
	r->gathered += strlen(old);
	r->renamed++;
}

static bool
take(struct rebuild *r, struct arena *a, const struct store_entry *e,
    struct err *err)
{
	const struct mboxrec *other;
	struct mboxrec rec;
	const char *name;
	char location[LOCATION_MAX];

	if (e->damage != NULL) {
		(void)err_set(err, "%s", e->damage); /* -1, as we say */
		return false;
	}
	if (meta_parse(e->meta, a, &name, &rec, err) == -1)
		return false;
	backendd_location(r->list->bd, r->partition->name, location);
	rec.location = slice_str(location);
	rec.mailboxid = slice_str(e->id);
	rec.uidvalidity = e->uidvalidity;
	/* What was gathered is not to be seen before it is committed. */
	if (r->gathered > 0 && flush(r) == -1) {
		r->failed = true;
		return true;
	}
	forget_old_name(r, name, rec.mailboxid);
	if (r->older)
		map_put(&r->seen, rec.mailboxid, r);
	other = mblist_raw(r->list, name, a);
	if (other == NULL || slice_equal(other->mailboxid, rec.mailboxid))
		put(r, name, &rec, 0);
	else
		put_double(r, a, name, &rec, other);
	return true;
}

static bool
visit(void *arg, const struct store_entry *e)
{
	struct rebuild *r = arg;
	struct arena a;
	struct err err;

	arena_init(&a);
	/* One that is damaged and listed is not lost. */
	if (!take(r, &a, e, &err) && name_of(r, slice_str(e->id)) == NULL) {
		r->damaged++;
		log_err(r->list->bd->log, "mailbox not listed", "id", e->id,
		    "partition", r->partition->name, "why", err.text, NULL);
	}
	arena_reset(&a);
	return !r->failed;
}

void
rebuild_gave(struct mblist *l)
{
	struct buf fact;

	buf_init(&fact, sizeof(uint32_t));
	wire_put_u32(&fact, l->uidvalidity);
	keeper_put_fact(l->keeper, GIVEN, buf_slice(&fact));
	buf_fini(&fact);
}

static void
put_fact(struct mblist *l, enum stage stage)
{
	struct buf fact;

	buf_init(&fact, 64);
	wire_put_u8(&fact, VERSION);
	wire_put_u8(&fact, (uint8_t)stage);
	wire_put_u64(&fact, l->counts.damaged);
	keeper_put_fact(l->keeper, FACT, buf_slice(&fact));
	buf_fini(&fact);
}

/* The greatest that they know. */
static uint32_t
last_made(const struct backendd *bd)
{
	uint32_t last = 0;

	for (size_t i = 0; i < bd->npartitions; i++)
		if (store_uidvalidity(bd->partitions[i].store) > last)
			last = store_uidvalidity(bd->partitions[i].store);
	return last;
}

static int
visit_all(struct rebuild *r, struct err *err)
{
	struct backendd *bd = r->list->bd;

	for (size_t i = 0; i < bd->npartitions; i++) {
		r->partition = &bd->partitions[i];
		if (store_each(r->partition->store, visit, r, err) == -1)
			return -1;
		if (r->failed || flush(r) == -1) {
			*err = r->err;
			return -1;
		}
	}
	return 0;
}

static int
rebuild(struct mblist *l, struct err *err)
{
	struct backendd *bd = l->bd;
	struct rebuild r = { .list = l };

	put_fact(l, STAGE_BEGUN);
	if (keeper_commit(l->keeper, NULL, NULL, err) == -1 ||
	    visit_all(&r, err) == -1)
		return -1;
	l->counts.damaged = r.damaged;
	l->unproven = r.made == 0;
	l->uidvalidity = last_made(bd);
	rebuild_gave(l);
	put_fact(l, l->unproven ? STAGE_EMPTY : STAGE_WHOLE);
	if (keeper_commit(l->keeper, NULL, NULL, err) == -1)
		return -1;
	if (r.made + r.damaged > 0)
		log_warn(bd->log, "mailbox list was lost and is made anew",
		    "mailboxes", LOG_NUM(r.made), "damaged", LOG_NUM(r.damaged),
		    "doubles", LOG_NUM(r.doubles), NULL);
	return 0;
}

/* --- a list that is older than the stores ------------------------------------- */

/* 1: it is; a list of before that was noted is not known to be. */
static int
is_older(struct mblist *l, struct err *err)
{
	struct buf fact;
	struct wire w;
	uint32_t given;
	int found;

	buf_init(&fact, sizeof(uint32_t));
	found = treedb_get_fact(keeper_tree(l->keeper), GIVEN, &fact, err);
	wire_init(&w, buf_slice(&fact));
	given = wire_u32(&w);
	buf_fini(&fact);
	if (found != 1)
		return found;
	l->uidvalidity = given;
	return last_made(l->bd) > given;
}

/* One that has two names is being renamed: it keeps that of its notes. */
static bool
name_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct rebuild *r = arg;

	if (name_of(r, rec->mailboxid) == NULL)
		set_name(r, rec->mailboxid, name);
	else
		op_delete(r->list, name);
	return true;
}

/* What was under way when it was copied has ended long since. */
static enum treedb_next
drop_note(void *arg, struct slice key, struct slice value)
{
	struct rebuild *r = arg;

	(void)value;
	keeper_delete(r->list->keeper, key);
	return TREEDB_NEXT;
}

static int
drop_notes(struct rebuild *r, const char *kind, struct err *err)
{
	struct slice prefix = slice_str(kind);

	return treedb_walk(keeper_tree(r->list->keeper), prefix, prefix,
	    drop_note, r, err);
}

static bool
free_name(void *arg, struct slice id, void *name)
{
	(void)arg, (void)id;
	free(name);
	return true;
}

static int
agree(struct rebuild *r, struct err *err)
{
	struct mblist *l = r->list;

	mblist_each(l, "", name_one, r);
	if (drop_notes(r, OP_DOOMED, err) == -1 ||
	    drop_notes(r, OP_RENAMING, err) == -1 ||
	    keeper_commit(l->keeper, NULL, NULL, err) == -1 ||
	    visit_all(r, err) == -1)
		return -1;
	l->counts.damaged += r->damaged;
	l->uidvalidity = last_made(l->bd);
	rebuild_gave(l);
	put_fact(l, STAGE_WHOLE);
	return keeper_commit(l->keeper, NULL, NULL, err);
}

static int
catch_up(struct mblist *l, struct err *err)
{
	struct rebuild r = { .list = l, .older = true };
	int result;

	map_init(&r.names);
	map_init(&r.seen);
	log_err(l->bd->log,
	    "mailbox list is older than the mailboxes: restored?", NULL);
	result = agree(&r, err);
	log_warn(l->bd->log, "mailbox list agrees with the mailboxes",
	    "mailboxes", LOG_NUM(r.made), "renamed", LOG_NUM(r.renamed),
	    "damaged", LOG_NUM(r.damaged), "doubles", LOG_NUM(r.doubles), NULL);
	map_each(&r.names, free_name, NULL);
	map_fini(&r.names);
	map_fini(&r.seen);
	return result;
}

/* --- opening ------------------------------------------------------------------ */

/* One that the list has not, in a store where others make them. */
static bool
visit_shared(void *arg, const struct store_entry *e)
{
	struct rebuild *r = arg;
	const struct mboxrec *other;
	struct mboxrec rec;
	const char *name;
	struct arena a;
	struct err err;

	arena_init(&a);
	if (e->damage == NULL && map_find(&r->seen, slice_str(e->id)) == NULL &&
	    meta_parse(e->meta, &a, &name, &rec, &err) == 0) {
		other = mblist_raw(r->list, name, &a);
		if (other == NULL) {
			log_info(r->list->bd->log, "mailbox found", "name",
			    name, "partition", r->partition->name, NULL);
			visit(r, e);
		} else if (!slice_is(other->mailboxid, e->id)) {
			log_warn(r->list->bd->log,
			    "mailbox not listed: there is one of that name",
			    "name", name, "id", e->id, NULL);
		}
	}
	arena_reset(&a);
	return !r->failed;
}

static bool
see_listed(void *arg, const char *name, const struct mboxrec *rec)
{
	struct rebuild *r = arg;

	(void)name;
	if (slice_is(mboxrec_partition(rec->location), r->partition->name))
		map_put(&r->seen, rec->mailboxid, r);
	return true;
}

static enum treedb_next
see_doomed(void *arg, struct slice key, struct slice value)
{
	struct rebuild *r = arg;

	(void)value;
	map_put(&r->seen, slice_skip(key, strlen(OP_DOOMED) + 1), r);
	return TREEDB_NEXT;
}

/*
 * Those of others have a MAILBOXID that the list does not know: notes have old
 * names for a moment after a RENAME, and so after a crash; and what was being
 * made or removed is on its way out.
 */
static int
look_in(struct rebuild *r)
{
	struct slice doomed = slice_str(OP_DOOMED);
	int result;

	map_init(&r->seen);
	mblist_each(r->list, "", see_listed, r);
	result = treedb_walk(keeper_tree(r->list->keeper), doomed, doomed,
	    see_doomed, r, &r->err);
	if (result == 0)
		result =
		    store_each(r->partition->store, visit_shared, r, &r->err);
	map_fini(&r->seen);
	if (result == -1 || r->failed)
		return -1;
	return flush(r);
}

static int
look_for_others(struct mblist *l, struct err *err)
{
	struct backendd *bd = l->bd;
	struct rebuild r = { .list = l };

	for (size_t i = 0; i < bd->npartitions; i++) {
		r.partition = &bd->partitions[i];
		if (r.partition->store->module->shared && look_in(&r) == -1) {
			*err = r.err;
			return -1;
		}
	}
	return 0;
}

static bool
is_one(void *arg, const char *name, const struct mboxrec *rec)
{
	(void)name; /* that there is one is enough */
	(void)rec;
	*(bool *)arg = true;
	return false;
}

/* A list without the mark is an empty one, or of before there was a mark. */
static int
mark(struct mblist *l, struct err *err)
{
	bool any = false;

	mblist_each(l, "", is_one, &any);
	if (!any)
		return rebuild(l, err);
	put_fact(l, STAGE_WHOLE);
	return keeper_commit(l->keeper, NULL, NULL, err);
}

int
rebuild_open(struct mblist *l, struct err *err)
{
	enum stage stage = STAGE_BEGUN;
	struct buf fact;
	struct wire w;
	int found, older;

	if (open_keeper(l, err) == -1)
		return -1;
	buf_init(&fact, 64);
	found = treedb_get_fact(keeper_tree(l->keeper), FACT, &fact, err);
	wire_init(&w, buf_slice(&fact));
	if (found == 1 && wire_u8(&w) == VERSION) {
		stage = (enum stage)wire_u8(&w);
		l->counts.damaged = wire_u64(&w);
	}
	buf_fini(&fact);
	if (found == -1)
		return -1;
	if (found == 0)
		return mark(l, err);
	l->unproven = stage == STAGE_EMPTY;
	if (stage == STAGE_BEGUN)
		return rebuild(l, err);
	older = is_older(l, err);
	if (older != 0)
		return older == 1 ? catch_up(l, err) : -1;
	return look_for_others(l, err);
}

void
mblist_accept(struct mblist *l)
{
	if (l->counts.damaged == 0 && !l->unproven)
		return;
	l->counts.damaged = 0;
	l->unproven = false;
	put_fact(l, STAGE_WHOLE);
	op_commit_later(l);
}
