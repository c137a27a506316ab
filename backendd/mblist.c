/*
 * Reading the list; opening it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/mblist.h"
#include "backendd/mblist_deleted.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_note.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/mblist_rebuild.h"
#include "backendd/mblist_sync.h"
#include "backendd/mblist_tally.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

enum {
	RECORD_MAX = 256 * 1024
};

struct walk {
	struct mblist *list;
	mblist_visit *visit;
	void *arg;
};

/* --- reading ----------------------------------------------------------------- */

const struct mboxrec *
mblist_raw(struct mblist *l, const char *name, struct arena *a)
{
	struct mboxrec *rec = NULL;
	struct buf key, out;
	struct err err;
	int found;

	if (mboxname_invalid(slice_str(name)) != NULL)
		return NULL;
	buf_init(&key, TREEDB_KEY_MAX);
	buf_init(&out, RECORD_MAX);
	mboxname_key(&key, slice_str(name));
	found = treedb_get(keeper_tree(l->keeper), buf_slice(&key), &out, &err);
	MUST(found != -1 && !buf_failed(&out));
	if (found) {
		rec = arena_alloc(a, sizeof(*rec));
		MUST(mboxrec_parse(rec, arena_copy(a, buf_slice(&out)), &err) ==
		     0);
	}
	buf_fini(&key);
	buf_fini(&out);
	return rec;
}

const struct mboxrec *
mblist_get(struct mblist *l, const char *name, struct arena *a)
{
	return op_hides(l, slice_str(name)) ? NULL : mblist_raw(l, name, a);
}

/* Notes of ours stand before all names. */
static bool
is_note(struct slice key)
{
	return key.len == 0 || key.ptr[0] <= OP_QUOTA[0];
}

static enum treedb_next
walk_one(void *arg, struct slice key, struct slice value)
{
	struct walk *w = arg;
	enum treedb_next next = TREEDB_NEXT;
	struct mboxrec rec;
	struct buf name;
	struct err err;

	if (is_note(key))
		return TREEDB_NEXT;
	MUST(mboxrec_parse(&rec, value, &err) == 0);
	buf_init(&name, TREEDB_KEY_MAX + 1);
	mboxname_of_key(&name, key);
	if (!op_hides(w->list, buf_slice(&name))) {
		buf_putc(&name, '\0');
		if (!w->visit(w->arg, (const char *)buf_data(&name), &rec))
			next = TREEDB_STOP;
	}
	buf_fini(&name);
	return next;
}

void
mblist_each(struct mblist *l, const char *prefix, mblist_visit *visit,
    void *arg)
{
	struct walk w = { l, visit, arg };
	struct buf key;
	struct err err;

	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, slice_str(prefix));
	if (!buf_failed(&key))
		MUST(treedb_walk(keeper_tree(l->keeper), buf_slice(&key),
		         buf_slice(&key), walk_one, &w, &err) == 0);
	buf_fini(&key);
}

/* Hidden ones too. */
static enum treedb_next
see_any(void *arg, struct slice key, struct slice value)
{
	struct walk *w = arg;
	struct mboxrec rec;
	struct buf name;
	struct err err;

	if (is_note(key))
		return TREEDB_NEXT;
	MUST(mboxrec_parse(&rec, value, &err) == 0);
	buf_init(&name, TREEDB_KEY_MAX + 1);
	mboxname_of_key(&name, key);
	buf_putc(&name, '\0');
	(void)w->visit(w->arg, (const char *)buf_data(&name), &rec);
	buf_fini(&name); /* all are wanted: the answer is not */
	return TREEDB_NEXT;
}

bool
mblist_slice_of(struct mblist *l, struct slice prefix, struct buf *cursor,
    size_t most, mblist_visit *visit, void *arg)
{
	struct walk w = { l, visit, arg };
	struct treedb_turn turn = { see_any, &w, cursor, most };
	struct arena a;
	struct err err;

	arena_init(&a);
	MUST(treedb_walk(keeper_tree(l->keeper), prefix,
	         arena_copy(&a, buf_slice(cursor)), treedb_turn_visit, &turn,
	         &err) == 0);
	arena_reset(&a);
	return turn.left > 0;
}

bool
mblist_slice(struct mblist *l, struct buf *cursor, size_t most,
    mblist_visit *visit, void *arg)
{
	return mblist_slice_of(l, slice_of(NULL, 0), cursor, most, visit, arg);
}

bool
mblist_some(struct mblist *l, const struct mblist_range *of, struct buf *cursor,
    size_t most, mblist_visit *visit, void *arg)
{
	struct walk w = { l, visit, arg };
	struct treedb_turn turn = { walk_one, &w, cursor, most };
	struct treedb *t = keeper_tree(l->keeper);
	struct arena a;
	struct slice from;
	struct err err;

	arena_init(&a);
	from = arena_copy(&a, buf_slice(cursor));
	if (of->identifier.len > 0)
		MUST(treedb_walk_tag_from(t, of->identifier, from,
		         treedb_turn_visit, &turn, &err) == 0);
	else
		MUST(treedb_walk_tree_from(t, mboxname_key_in(&a, of->below),
		         from, treedb_turn_visit, &turn, &err) == 0);
	arena_reset(&a);
	return turn.left > 0;
}

void
mblist_configured(struct mblist *l)
{
	deleted_configured(l->deleted);
}

bool
mblist_is_deleted(struct mblist *l, struct slice mailboxid)
{
	return deleted_has(l->deleted, mailboxid);
}

uint64_t
mblist_removals(const struct mblist *l)
{
	return l->removals;
}

const char *
mblist_parent(struct mblist *l, const char *name, struct arena *a)
{
	struct slice s = slice_str(name);

	for (s = mboxname_parent(s); s.len > 0; s = mboxname_parent(s)) {
		const char *parent = arena_string(a, s);

		if (mblist_get(l, parent, a) != NULL)
			return parent;
	}
	return NULL;
}

/* --- opening ------------------------------------------------------------------ */

struct doomed {
	struct mblist *list;
	struct store *store;
	char *id;
	struct store_peek peek;
};

static void
destroyed(void *arg, const char *why)
{
	struct doomed *d = arg;

	if (why != NULL) {
		log_err(d->list->bd->log, "mailbox not removed", "id", d->id,
		    "why", why, NULL);
	} else {
		op_spare(d->list, d->id);
		op_commit_later(d->list);
	}
	free(d->id);
	free(d);
}

/*
 * What was being made has no messages.  If it has, its making has ended, and
 * the list is a copy of before that.
 */
static void
looked_into(void *arg)
{
	struct doomed *d = arg;

	if (d->peek.why != NULL || d->peek.numbers.uidnext <= 1) {
		store_destroy(d->store, d->id, destroyed, d);
		return;
	}
	log_err(d->list->bd->log,
	    "mailbox not listed, and in use: is the list an old copy?", "id",
	    d->id, NULL);
	free(d->id);
	free(d);
}

static enum treedb_next
doomed_one(void *arg, struct slice key, struct slice value)
{
	struct mblist *l = arg;
	char *partition = xstrndup(value.ptr, value.len);
	struct partition *p = backendd_partition(l->bd, partition);
	bool making = strlen(partition) < value.len;
	struct doomed *d;

	free(partition);
	if (p == NULL)
		return TREEDB_NEXT;
	d = xcalloc(1, sizeof(*d));
	d->list = l;
	d->id = xstrndup(key.ptr + 2, key.len - 2);
	d->store = p->store;
	d->peek.id = d->id;
	if (making)
		store_peek(p->store, &d->peek, 1, looked_into, d);
	else
		store_destroy(p->store, d->id, destroyed, d);
	return TREEDB_NEXT;
}

/* What a crash has left half-made or half-removed goes now. */
static void
destroy_doomed(struct mblist *l)
{
	struct slice prefix = slice_of(OP_DOOMED "\x1f", 2);
	struct err err;

	MUST(treedb_walk(keeper_tree(l->keeper), prefix, prefix, doomed_one, l,
	         &err) == 0);
}

/* The last UIDVALIDITY, and whose notes are to be written. */
static bool
learn_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct mblist *l = arg;

	if (rec->uidvalidity > l->uidvalidity)
		l->uidvalidity = rec->uidvalidity;
	if (rec->pending & PENDING_META)
		meta_want(l->meta, name);
	if (deleted_is(slice_str(name)))
		deleted_add(l->deleted, name, rec->mailboxid);
	return true;
}

static void
compare(void *arg)
{
	struct mblist *l = arg;

	/*
	 * All that an update server without digests has is much to ask for,
	 * and asked once a connection, unless that was in vain, or too early
	 * to see all that we have said, or somebody waits for it.
	 */
	if (l->sync == NULL && announce_is_up(l->bd->announce) &&
	    (announce_has_digests(l->bd->announce) || l->again ||
	        l->counts.withheld > 0))
		l->sync = sync_new(l);
}

static void
lost_patience(void *arg)
{
	op_end_held(arg);
}

static struct mblist *
list_new(struct backendd *bd)
{
	struct mblist *l = xcalloc(1, sizeof(*l));

	l->bd = bd;
	TAILQ_INIT(&l->ops);
	TAILQ_INIT(&l->held);
	map_init(&l->busy);
	map_init(&l->makers);
	l->tally = tally_new(l);
	l->meta = meta_new(l);
	l->deleted = deleted_new(l);
	l->compare = timer_new(bd->loop, compare, l);
	l->patience = timer_new(bd->loop, lost_patience, l);
	if (bd->conf->mupdate_server != NULL) {
		l->settle = settle_new(l);
		timer_set(l->patience, (int64_t)bd->conf->publish_ms);
	}
	return l;
}

int
mblist_open(struct mblist **lp, struct backendd *bd, struct err *err)
{
	struct mblist *l = list_new(bd);

	if (rebuild_open(l, err) == -1) {
		mblist_close(&l);
		return -1;
	}
	rename_recover(l);
	mblist_each(l, "", learn_one, l);
	destroy_doomed(l);
	*lp = l;
	return 0;
}

void
mblist_close(struct mblist **lp)
{
	struct mblist *l = *lp;
	struct op *op;

	*lp = NULL;
	if (l == NULL)
		return;
	while ((op = TAILQ_FIRST(&l->held)) != NULL) {
		TAILQ_REMOVE(&l->held, op, link);
		op_drop(op);
	}
	while ((op = TAILQ_FIRST(&l->ops)) != NULL)
		op_drop(op);
	sync_free(&l->sync);
	settle_free(&l->settle);
	tally_free(&l->tally);
	meta_free(&l->meta);
	deleted_free(&l->deleted);
	timer_free(&l->compare);
	timer_free(&l->patience);
	keeper_close(&l->keeper);
	map_fini(&l->busy);
	map_fini(&l->makers);
	free(l);
}

void
mblist_link(void *list, bool up)
{
	struct mblist *l = list;

	if (!up) {
		timer_set(l->patience, (int64_t)l->bd->conf->publish_ms);
		return;
	}
	timer_stop(l->patience);
	sync_free(&l->sync);
	l->sync = sync_new(l);
	settle_connected(l->settle);
	op_start_held(l);
}

/* --- for others ----------------------------------------------------------------- */

bool
mblist_is_aside(const char *name)
{
	return quarantine_is(slice_str(name));
}

/* Those that wait for the update server are as after a crash: undone, or
 * told at the next contact. */
size_t
mblist_busy(const struct mblist *l)
{
	size_t n = meta_busy(l->meta);
	struct op *op;

	TAILQ_FOREACH (op, &l->ops, link)
		n += op->published == NULL;
	return n;
}

const struct mblist_counts *
mblist_counts(const struct mblist *l)
{
	return &l->counts;
}

size_t
mblist_unsettled(const struct mblist *l)
{
	return l->settle == NULL ? 0 : settle_count(l->settle);
}

/* --- in words ----------------------------------------------------------------- */

const char *
mblist_code(enum mblist_result r)
{
	switch (r) {
	case MBLIST_OK:
		return NULL;
	case MBLIST_EXISTS:
	case MBLIST_TAKEN:
		return "ALREADYEXISTS";
	case MBLIST_NONE:
		return "NONEXISTENT";
	case MBLIST_BUSY:
		return "INUSE";
	case MBLIST_LIMIT:
		return "LIMIT";
	case MBLIST_UNAVAILABLE:
	case MBLIST_FAILED:
		return "UNAVAILABLE";
	}
	return NULL;
}

const char *
mblist_text(enum mblist_result r)
{
	switch (r) {
	case MBLIST_OK:
		return "Done";
	case MBLIST_EXISTS:
		return "Mailbox exists already";
	case MBLIST_TAKEN:
		return "Mailbox exists on another server";
	case MBLIST_NONE:
		return "No such mailbox";
	case MBLIST_BUSY:
		return "Mailbox is being changed, try again";
	case MBLIST_UNAVAILABLE:
		return "The update server cannot be reached, try again later";
	case MBLIST_LIMIT:
		return "These are too many mailboxes for one change, or a "
		       "name would be too long";
	case MBLIST_FAILED:
		return "Cannot be stored now, try again later";
	}
	return "Done";
}
