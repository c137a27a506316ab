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
#include "lib/treedb.h"
#include "lib/wire.h"

#define FACT "whole" /* version, how far, how many were damaged */

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
	uint64_t made, damaged, doubles;
	size_t gathered, unsynced; /* octets, about */
	struct err err;
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

static void
put(struct rebuild *r, const char *name, struct mboxrec *rec, uint8_t pending)
{
	rec->pending = pending;
	op_put(r->list, name, rec);
	r->made++;
	r->gathered += 512 + rec->acl.len;
}

/* Two of one name: the later grant has it, or the later made. */
static void
put_double(struct rebuild *r, struct arena *a, const char *name,
    struct mboxrec *rec, const struct mboxrec *other)
{
	struct mboxrec loser = *other;
	bool later = rec->generation != other->generation
	                 ? rec->generation > other->generation
	                 : rec->created > other->created;

	if (later) {
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
	if (!take(r, &a, e, &err)) {
		r->damaged++;
		log_err(r->list->bd->log, "mailbox not listed", "id", e->id,
		    "partition", r->partition->name, "why", err.text, NULL);
	}
	arena_reset(&a);
	return !r->failed;
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

static int
rebuild(struct mblist *l, struct err *err)
{
	struct backendd *bd = l->bd;
	struct rebuild r = { .list = l };

	put_fact(l, STAGE_BEGUN);
	if (keeper_commit(l->keeper, NULL, NULL, err) == -1)
		return -1;
	for (size_t i = 0; i < bd->npartitions; i++) {
		r.partition = &bd->partitions[i];
		if (store_each(r.partition->store, visit, &r, err) == -1)
			return -1;
		if (r.failed || flush(&r) == -1) {
			*err = r.err;
			return -1;
		}
	}
	l->counts.damaged = r.damaged;
	l->unproven = r.made == 0;
	put_fact(l, l->unproven ? STAGE_EMPTY : STAGE_WHOLE);
	if (keeper_commit(l->keeper, NULL, NULL, err) == -1)
		return -1;
	if (r.made + r.damaged > 0)
		log_warn(bd->log, "mailbox list was lost and is made anew",
		    "mailboxes", LOG_NUM(r.made), "damaged", LOG_NUM(r.damaged),
		    "doubles", LOG_NUM(r.doubles), NULL);
	return 0;
}

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
	if (e->damage == NULL &&
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

static int
look_for_others(struct mblist *l, struct err *err)
{
	struct backendd *bd = l->bd;
	struct rebuild r = { .list = l };

	for (size_t i = 0; i < bd->npartitions; i++) {
		r.partition = &bd->partitions[i];
		if (!r.partition->store->module->shared)
			continue;
		if (store_each(r.partition->store, visit_shared, &r, err) == -1)
			return -1;
		if (r.failed || flush(&r) == -1) {
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
	int found;

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
	return stage == STAGE_BEGUN ? rebuild(l, err) : look_for_others(l, err);
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
