/*
 * CREATE: reserve the name, make the mailbox, list it, publish it.
 */
#include "backendd/announce.h"
#include "backendd/ledger.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/mblist_quota.h"
#include "backendd/notify.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/must.h"

static struct store *
store_for(struct op *op)
{
	return backendd_store(op->list->bd, &op->rec);
}

static const char *
id_of(struct op *op)
{
	return op_str(&op->arena, op->rec.mailboxid);
}

/* Nothing of it is here, so the name is let go there. */
static void
give_up(struct op *op, enum mblist_result r, const char *text)
{
	bool asked = op->names[0].rec.state != 0;

	op_finish(op, r, text);
	if (asked)
		op_unpublish(op, OP_OLD);
}

/* --- not heard in time, or another's by now: take it back ---------------------- */

static void
unmade(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	mailbox_forgive(op->list->bd->mailboxes, store_for(op),
	    op->rec.mailboxid);
	ledger_forget(op->list->bd->ledger, store_for(op), op->rec.mailboxid);
	if (why == NULL) { /* else it is doomed: tried again at start */
		op_spare(op->list, id_of(op));
		op_commit_later(op->list);
	}
	give_up(op, op->how == OP_TAKEN ? MBLIST_TAKEN : MBLIST_UNAVAILABLE,
	    "the update server did not acknowledge it");
}

/* It stays, and is published when that can be done. */
static void
keep(struct op *op)
{
	mailbox_forgive(op->list->bd->mailboxes, store_for(op),
	    op->rec.mailboxid);
	op_finish(op, op->how == OP_TAKEN ? MBLIST_TAKEN : MBLIST_OK,
	    "the update server did not acknowledge it");
	op_unpublish(op, OP_OLD);
}

/* CREATE:undo */
static void
unlisted(struct op *op, bool failed)
{
	if (failed)
		keep(op);
	else
		store_destroy(store_for(op), id_of(op), unmade, op);
}

/* Once published, somebody may have put something into it. */
static void
looked_into(void *arg, struct store_mailbox *mb, const char *why)
{
	struct op *op = arg;
	bool used = mb == NULL || store_numbers(mb)->uidnext > 1;

	(void)why; /* what cannot be opened is not destroyed */
	MUST(op->magic == OP_MAGIC);
	store_close(&mb);
	if (used) {
		keep(op);
		return;
	}
	op_delete(op->list, op->name);
	if (op->quota != NULL)
		(void)mblist_quota_move(op->list, op->name, NULL); /* its own */
	op_doom(op->list, id_of(op),
	    op_str(&op->arena, mboxrec_partition(op->rec.location)),
	    OP_REMOVING);
	op_commit(op, unlisted);
}

static void
evicted(void *arg)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	store_open(store_for(op), id_of(op), looked_into, op);
}

static void
is_there(struct op *op)
{
	op_finish(op, MBLIST_OK, "");
	notify_listed(op->list->bd,
	    &(struct notify_change){ .name = op->name });
}

/* CREATE:publish, answered or not */
static void
published(struct op *op, enum op_published how)
{
	op->how = how;
	if (how == OP_PUBLISHED)
		is_there(op);
	else
		mailbox_evict(op->list->bd->mailboxes, store_for(op),
		    op->rec.mailboxid, evicted, op);
}

/* --- making -------------------------------------------------------------------- */

static void
destroyed(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (why == NULL) {
		op_spare(op->list, id_of(op));
		op_commit_later(op->list);
	}
	give_up(op, MBLIST_FAILED, "the list cannot be written");
}

/* CREATE:commit, done */
static void
listed(struct op *op, bool failed)
{
	op->hidden = false;
	if (failed)
		store_destroy(store_for(op), id_of(op), destroyed, op);
	else
		op_publish(op, OP_OLD, ANNOUNCE_HELD, published);
}

static void
made(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op_spare(op->list, id_of(op));
	if (why != NULL) {
		op_commit_later(op->list);
		give_up(op, MBLIST_FAILED, why);
		return;
	}
	ledger_made(op->list->bd->ledger, store_for(op), op->rec.mailboxid,
	    op->rec.uidvalidity);
	op_put(op->list, op->name, &op->rec);
	if (op->quota != NULL) {
		mblist_quota_put(op->list, op->name, op->quota);
		quotas_rooted(op->list->bd->quotas, op->name, &op->rec);
	}
	op_commit(op, listed);
}

/* CREATE:make */
static void
make(struct op *op)
{
	struct store_create c = { .uidvalidity = op->rec.uidvalidity };
	struct buf note;

	buf_init(&note, STORE_META_MAX);
	meta_put(&note, op->name, &op->rec);
	c.id = id_of(op);
	if (!buf_failed(&note))
		c.meta = buf_slice(&note);
	store_create(store_for(op), &c, made, op);
	buf_fini(&note);
}

/* Both answers are there: the name is ours, and the id is noted. */
static void
prepared(struct op *op)
{
	if (--op->waiting > 0)
		return;
	if (op->committed && op->worst == ANNOUNCE_OK) {
		make(op);
		return;
	}
	if (op->committed) {
		op_spare(op->list, id_of(op));
		op_commit_later(op->list);
	}
	if (!op->committed)
		give_up(op, MBLIST_FAILED, "the list cannot be written");
	else if (op->worst == ANNOUNCE_TAKEN)
		op_finish(op, MBLIST_TAKEN, op->text);
	else
		give_up(op, MBLIST_UNAVAILABLE, op->text);
}

static void
reserved(void *arg, const struct announce_answer *answer)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op->worst = answer->result;
	op->text = op_str(&op->arena, slice_str(answer->text));
	op->rec.generation = answer->generation;
	prepared(op);
}

static void
noted(struct op *op, bool failed)
{
	op->committed = !failed;
	prepared(op);
}

/* CREATE:reserve, as the model (t/model/murder.pml) calls the steps. */
static void
reserve(struct op *op)
{
	struct mblist *l = op->list;

	/* What may have been heard has to be unsaid, whatever comes. */
	op->names[0].rec.state = MBOXREC_RESERVED;
	op->waiting++;
	announce_reserve(l->bd->announce, op->name,
	    op_str(&op->arena, op->rec.location), reserved, op);
}

static enum mblist_result
may_create(struct op *op)
{
	struct mblist *l = op->list;

	if (mboxname_invalid(slice_str(op->name)) != NULL ||
	    quarantine_is(slice_str(op->name)) ||
	    backendd_partition(l->bd, op->partition) == NULL)
		return MBLIST_NONE;
	if (op_is_busy(l, op->name, OP_NAME))
		return MBLIST_BUSY;
	if (mblist_get(l, op->name, &op->arena) != NULL)
		return MBLIST_EXISTS;
	return MBLIST_OK;
}

static void
start(struct op *op)
{
	struct mblist *l = op->list;
	enum mblist_result r = may_create(op);

	if (r != MBLIST_OK) {
		op_finish(op, r, "");
		return;
	}
	op->hidden = true;
	op->waiting = 1;
	op_fill(op, &op->rec, op->partition);
	op->nnames = 1;
	op->names = arena_array(&op->arena, 1, sizeof(*op->names));
	op->names[0] = (struct op_name){ .op = op, .from = op->name };
	op_begin(op);
	if (op_is_public(l, op->name))
		reserve(op);
	op_doom(l, id_of(op), op->partition, OP_MAKING);
	op_commit(op, noted);
}

void
mblist_create(struct mblist *l, const char *name, const struct mblist_new *how,
    mblist_cb *cb, void *arg)
{
	struct op *op = op_new(l, name, cb, arg);
	const char *partition =
	    how->partition != NULL ? how->partition : l->bd->partitions[0].name;

	op->partition = op_str(&op->arena, slice_str(partition));
	op->rec.acl = slice_str(op_str(&op->arena, slice_str(how->acl)));
	op->rec.special_uses = slice_str(op_str(&op->arena,
	    slice_str(how->special_use != NULL ? how->special_use : "")));
	if (how->quota != NULL) {
		struct quota_limits *limits =
		    arena_alloc(&op->arena, sizeof(*limits));

		*limits = *how->quota;
		op->quota = limits;
	}
	op_start(op, op->name, start);
}
