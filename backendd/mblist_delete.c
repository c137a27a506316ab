/*
 * DELETE of a mailbox, or of one and all below it.
 *
 * Nobody sees the names any more; the mailboxes go here, in one commit, or are
 * kept under another name (mblist_deleted.h); then the names are free for
 * others.  Not freed before: after a crash between the two another server could
 * have the name of what is still here.
 */
#include "backendd/announce.h"
#include "backendd/ledger.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/mblist_deleted.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_note.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quota.h"
#include "backendd/metadata.h"
#include "backendd/quota.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "lib/log.h"
#include "lib/must.h"

static struct store *
store_for(struct op_name *n)
{
	return backendd_store(n->op->list->bd, &n->rec);
}

static void
forgive_all(struct op *op)
{
	for (size_t i = 0; i < op->nnames; i++)
		mailbox_forgive(op->list->bd->mailboxes,
		    store_for(&op->names[i]), op->names[i].rec.mailboxid);
}

/* All of them stay, and are to be seen again. */
static void
give_up(struct op *op, enum mblist_result r, const char *text)
{
	op_finish(op, r, text);
	op_unpublish(op, OP_OLD);
}

/* --- the last: the names are free ---------------------------------------------- */

/* DELETE:release, answered or not */
static void
released(struct op *op, enum op_published how)
{
	if (how == OP_LATE) /* told at the next contact */
		log_warn(op->list->bd->log, "old name not released yet", "name",
		    op->name, NULL);
	op_finish(op, MBLIST_OK, "");
	for (size_t i = 0; i < op->nnames; i++)
		notify_listed(op->list->bd,
		    &(struct notify_change){ .name = op->names[i].from,
		        .old_acl = op->names[i].rec.acl });
}

static void
release(struct op *op)
{
	op_publish(op, OP_OLD, ANNOUNCE_HELD, released);
}

/* What is kept for a user goes too, or is kept under his INBOX's new name. */
static void
follow(struct op *op)
{
	if (op->user != NULL)
		rename_follow(op, release);
	else
		release(op);
}

static void
removed(void *arg, const char *why)
{
	struct op_name *n = arg;
	struct op *op = n->op;

	MUST(op->magic == OP_MAGIC && op->waiting > 0);
	mailbox_forgive(op->list->bd->mailboxes, store_for(n),
	    n->rec.mailboxid);
	ledger_forget(op->list->bd->ledger, store_for(n), n->rec.mailboxid);
	if (why != NULL) /* it is doomed: tried again at the next start */
		log_err(op->list->bd->log, "mailbox not removed", "name",
		    n->from, "why", why, NULL);
	else
		op_spare(op->list, op_str(&op->arena, n->rec.mailboxid));
	if (why == NULL)
		op_commit_later(op->list);
	if (--op->waiting > 0)
		return;
	for (size_t i = 0; i < op->nnames; i++)
		metadata_forget(op->list->bd->users,
		    op->names[i].rec.mailboxid);
	follow(op);
}

static bool
is_kept(const struct op *op)
{
	return op->names[0].to != NULL;
}

static void
kept(struct op *op)
{
	struct mblist *l = op->list;

	forgive_all(op);
	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];

		log_info(l->bd->log, "mailbox deleted", "name", n->from,
		    "kept_as", n->to, NULL);
		deleted_add(l->deleted, n->to, n->rec.mailboxid);
		meta_want(l->meta, n->to);
	}
	follow(op);
}

/* DELETE:commit, done */
static void
unlisted(struct op *op, bool failed)
{
	if (failed) {
		forgive_all(op);
		give_up(op, MBLIST_FAILED, "the list cannot be written");
		return;
	}
	if (is_kept(op)) {
		kept(op);
		return;
	}
	op->waiting = op->nnames;
	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];

		store_destroy(store_for(n),
		    op_str(&op->arena, n->rec.mailboxid), removed, n);
	}
}

static bool
stop(void *arg, const char *name, const struct mboxrec *rec)
{
	(void)name, (void)rec; /* that there is one is enough */
	*(bool *)arg = true;
	return false;
}

/* A limit stays as long as there is a mailbox that it is for. */
static void
drop_quotas(struct op *op)
{
	struct mblist *l = op->list;
	bool below = false;

	if (!op->subtree)
		mblist_each(l, arena_printf(&op->arena, "%s.", op->name), stop,
		    &below);
	if (below)
		return;
	if (mblist_quota_move(l, op->name, op->names[0].to))
		quotas_moved(l->bd->quotas, op->name, op->names[0].to);
}

/* Of most mailboxes that were deleted long ago nothing is kept. */
static void
note_user(struct op *op)
{
	struct mblist *l = op->list;
	struct rename_note n = { op->name, "", RENAME_GONE, false };
	const char *user = rename_user(l, &op->arena, op->name);

	if (user == NULL || (deleted_is(slice_str(op->name)) &&
	                        !users_has_any(l->bd->users, user)))
		return;
	op->user = user;
	if (is_kept(op)) {
		op->user_to = n.to = op->names[0].to;
		n.stage = RENAME_NEW;
	}
	rename_note_put(l, &n);
}

/* The first is the one that was named. */
static void
unlist(struct op_name *n)
{
	struct op *op = n->op;
	struct mblist *l = op->list;

	op_delete(l, n->from);
	if (deleted_keeps(l, op->name)) {
		n->to = deleted_name(l, &op->arena, n->from, &n->rec);
		n->rec.pending |= PENDING_META;
		op_put(l, n->to, &n->rec);
	} else {
		op_doom(l, op_str(&op->arena, n->rec.mailboxid),
		    op_str(&op->arena, mboxrec_partition(n->rec.location)),
		    OP_REMOVING);
	}
}

static void
evicted(void *arg)
{
	struct op_name *last = arg;
	struct op *op = last->op;

	MUST(op->magic == OP_MAGIC && op->waiting > 0);
	if (--op->waiting > 0)
		return;
	for (size_t i = 0; i < op->nnames; i++)
		unlist(&op->names[i]);
	drop_quotas(op);
	note_user(op);
	op_commit(op, unlisted);
}

static void
evict_all(struct op *op)
{
	op->waiting = op->nnames;
	for (size_t i = 0; i < op->nnames; i++)
		mailbox_evict(op->list->bd->mailboxes, store_for(&op->names[i]),
		    op->names[i].rec.mailboxid, evicted, &op->names[i]);
}

/* --- nobody sees it any more ---------------------------------------------------- */

/* What another server has by now may go here. */
static void
withdrawn(void *arg, const struct announce_answer *answer)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC && op->waiting > 0);
	if (answer->result != ANNOUNCE_OK && answer->result != ANNOUNCE_TAKEN) {
		op->worst = answer->result;
		op->text = op_str(&op->arena, slice_str(answer->text));
	}
	if (--op->waiting > 0)
		return;
	if (op->worst == ANNOUNCE_OK)
		evict_all(op);
	else
		give_up(op, MBLIST_UNAVAILABLE, op->text);
}

/* DELETE:deactivate, as the model (t/model/murder.pml) calls the steps. */
static void
withdraw_all(struct op *op)
{
	struct mblist *l = op->list;

	op->waiting = 0;
	op->worst = ANNOUNCE_OK;
	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];

		if (!op_is_public(l, n->from))
			continue;
		op->waiting++;
		announce_deactivate(l->bd->announce, n->from,
		    op_str(&op->arena, n->rec.location), withdrawn, op);
	}
	if (op->waiting == 0)
		evict_all(op);
}

static enum mblist_result
may_delete(struct op *op, enum op_extent extent)
{
	struct mblist *l = op->list;
	const struct mboxrec *rec;

	if (op_is_busy(l, op->name, extent))
		return MBLIST_BUSY;
	rec = mblist_get(l, op->name, &op->arena);
	if (rec == NULL)
		return MBLIST_NONE;
	op->rec = *rec;
	if (!op_gather(op, extent))
		return MBLIST_LIMIT;
	op->text = "its partition is not configured";
	for (size_t i = 0; i < op->nnames; i++)
		if (store_for(&op->names[i]) == NULL)
			return MBLIST_FAILED;
	return MBLIST_OK;
}

static void
start(struct op *op)
{
	enum mblist_result r =
	    may_delete(op, op->subtree ? OP_SUBTREE : OP_NAME);

	if (r != MBLIST_OK) {
		op_finish(op, r, op->text);
		return;
	}
	op_begin(op);
	withdraw_all(op);
}

static void delete (struct mblist *l, const char *name, enum op_extent extent,
    mblist_cb *cb, void *arg)
{
	struct op *op = op_new(l, name, cb, arg);

	op->text = "";
	op->subtree = extent == OP_SUBTREE;
	op_start(op, op->name, start);
}

void
mblist_delete(struct mblist *l, const char *name, mblist_cb *cb, void *arg)
{
	delete (l, name, OP_NAME, cb, arg);
}

void
mblist_delete_tree(struct mblist *l, const char *name, mblist_cb *cb, void *arg)
{
	delete (l, name, OP_SUBTREE, cb, arg);
}
