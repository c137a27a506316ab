/*
 * RENAME: a mailbox with all below it; or an INBOX, whose messages get a new
 * name and which is there afterwards, empty.
 */
#include <string.h>

#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "imap/mboxname.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/must.h"

enum {
	RENAME_NAMES = 10000,
	RENAME_OCTETS = 4 * 1024 * 1024
};

struct answer {
	struct op *op;
	size_t i;
};

/* --- the last: activate the new, delete the old ------------------------------ */

static void
answered(struct op *op)
{
	if (--op->waiting == 0)
		op_finish(op, MBLIST_OK, "");
}

static void
activated(void *arg, enum announce_result r, const char *text)
{
	struct answer *a = arg;
	struct op *op = a->op;
	struct op_name *n = &op->names[a->i];

	MUST(op->magic == OP_MAGIC);
	if (r == ANNOUNCE_OK)
		op_told(op->list, n->to, &n->rec);
	else
		log_warn(op->list->bd->log, "mailbox not announced yet", "name",
		    n->to, "why", text, NULL);
	answered(op);
}

static void
deleted(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (r != ANNOUNCE_OK) /* found at the next comparison */
		log_warn(op->list->bd->log, "old name not released", "name",
		    op->name, "why", text, NULL);
	answered(op);
}

static void
listed(struct op *op, bool failed)
{
	struct announce *a = op->list->bd->announce;
	bool keeps_old = op->new_id != NULL;

	if (failed) {
		for (size_t i = 0; i < op->nnames; i++)
			op_release(op->list, op->names[i].to);
		op_finish(op, MBLIST_FAILED, "the list cannot be written");
		return;
	}
	if (a == NULL) {
		op_finish(op, MBLIST_OK, "");
		return;
	}
	op->waiting = op->nnames + (keeps_old ? 0 : op->nnames);
	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];
		struct answer *answer =
		    arena_alloc(&op->arena, sizeof(*answer));

		*answer = (struct answer){ op, i };
		announce_activate(a, n->to, op_str(&op->arena, n->rec.location),
		    op_str(&op->arena, n->rec.acl), activated, answer);
	}
	for (size_t i = 0; i < op->nnames && !keeps_old; i++)
		announce_delete(a, op->names[i].from, deleted, op);
}

/* --- the change of the list --------------------------------------------------- */

static void
change_list(struct op *op)
{
	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];

		if (op->list->bd->announce != NULL)
			n->rec.pending = PENDING_ACTIVATE;
		if (op->new_id == NULL)
			op_delete(op->list, n->from);
		op_put(op->list, n->to, &n->rec);
	}
	if (op->new_id != NULL) { /* the INBOX that stays */
		op_put(op->list, op->name, &op->rec);
		op_spare(op->list, op->new_id);
	}
	op_commit(op, listed);
}

static void
give_up(struct op *op, enum mblist_result r, const char *text)
{
	for (size_t i = 0; i < op->nnames; i++)
		if (op->names[i].reserved)
			op_release(op->list, op->names[i].to);
	op_finish(op, r, text);
}

static void
inbox_made(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (why == NULL) {
		change_list(op);
		return;
	}
	op_spare(op->list, op->new_id);
	op_commit_later(op->list);
	give_up(op, MBLIST_FAILED, why);
}

static void
inbox_noted(struct op *op, bool failed)
{
	struct store_create c = { .id = op->new_id,
		.uidvalidity = op->rec.uidvalidity };

	if (failed)
		give_up(op, MBLIST_FAILED, "the list cannot be written");
	else
		store_create(backendd_store(op->list->bd, &op->rec), &c,
		    inbox_made, op);
}

/* All new names are ours. */
static void
reserved_all(struct op *op)
{
	struct slice partition = mboxrec_partition(op->rec.location);

	if (op->worst != ANNOUNCE_OK) {
		give_up(op,
		    op->worst == ANNOUNCE_REFUSED ? MBLIST_TAKEN
		                                  : MBLIST_UNAVAILABLE,
		    "");
		return;
	}
	if (op->new_id == NULL) {
		change_list(op);
		return;
	}
	op_doom(op->list, op->new_id, op_str(&op->arena, partition));
	op_commit(op, inbox_noted);
}

static void
reserved(void *arg, enum announce_result r, const char *text)
{
	struct answer *a = arg;
	struct op *op = a->op;

	MUST(op->magic == OP_MAGIC);
	if (r != ANNOUNCE_OK)
		log_info(op->list->bd->log, "new name not reserved", "name",
		    op->names[a->i].to, "why", text, NULL);
	op->names[a->i].reserved = r == ANNOUNCE_OK;
	if (r > op->worst)
		op->worst = r;
	if (--op->waiting == 0)
		reserved_all(op);
}

static void
reserve_all(struct op *op)
{
	struct announce *a = op->list->bd->announce;

	if (a == NULL) {
		reserved_all(op);
		return;
	}
	op->waiting = op->nnames;
	for (size_t i = 0; i < op->nnames; i++) {
		struct answer *answer =
		    arena_alloc(&op->arena, sizeof(*answer));

		*answer = (struct answer){ op, i };
		announce_reserve(a, op->names[i].to,
		    op_str(&op->arena, op->names[i].rec.location), reserved,
		    answer);
	}
}

/* --- what is to be renamed ------------------------------------------------------ */

/* Sized before it is filled: nothing grows while the list is walked. */
struct gather {
	struct op *op;
	size_t count, octets;
	enum mblist_result result;
};

static bool
count_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct gather *g = arg;

	g->count++;
	g->octets += strlen(name) + rec->acl.len + 512;
	return g->count <= RENAME_NAMES;
}

static bool
gather_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct gather *g = arg;
	struct op *op = g->op;
	struct op_name *n = &op->names[op->nnames++];
	struct slice to = mboxname_rebase(&op->arena, slice_str(name),
	    slice_str(op->name), slice_str(op->to));

	n->from = op_str(&op->arena, slice_str(name));
	n->to = op_str(&op->arena, to);
	n->rec = op_copy(&op->arena, rec);
	if (mboxname_invalid(to) != NULL)
		g->result = MBLIST_FAILED;
	else if (mblist_get(op->list, n->to, &op->arena) != NULL)
		g->result = MBLIST_EXISTS;
	return true;
}

static enum mblist_result
gather_tree(struct op *op)
{
	struct gather g = { op, 1, 0, MBLIST_OK };
	const char *below = arena_printf(&op->arena, "%s.", op->name);

	mblist_each(op->list, below, count_one, &g);
	if (g.count > RENAME_NAMES || g.octets > RENAME_OCTETS)
		return MBLIST_FAILED;
	op->names = arena_array(&op->arena, g.count, sizeof(*op->names));
	(void)gather_one(&g, op->name, &op->rec); /* it always goes on */
	mblist_each(op->list, below, gather_one, &g);
	MUST(op->nnames == g.count);
	return g.result;
}

/* The mailbox gets the new name, and a new one the old. */
static void
gather_inbox(struct op *op)
{
	struct slice partition = mboxrec_partition(op->rec.location);

	op->names = arena_array(&op->arena, 1, sizeof(*op->names));
	op->nnames = 1;
	op->names[0] = (struct op_name){ op->name, op->to,
		op_copy(&op->arena, &op->rec), false };
	op_fill(op, &op->rec, op_str(&op->arena, partition));
	op->rec.pending = PENDING_NOTHING; /* name, place and ACL are as were */
	op->new_id = op_str(&op->arena, op->rec.mailboxid);
}

static enum mblist_result
may_rename(struct op *op, bool inbox)
{
	struct mblist *l = op->list;
	enum op_extent extent = inbox ? OP_NAME : OP_SUBTREE;
	const struct mboxrec *rec;

	if (op_is_busy(l, op->name, extent) || op_is_busy(l, op->to, extent))
		return MBLIST_BUSY;
	rec = mblist_get(l, op->name, &op->arena);
	if (rec == NULL || mboxname_invalid(slice_str(op->to)) != NULL)
		return MBLIST_NONE;
	if (mblist_get(l, op->to, &op->arena) != NULL)
		return MBLIST_EXISTS;
	if (backendd_store(l->bd, rec) == NULL)
		return MBLIST_FAILED;
	op->rec = *rec;
	if (!inbox)
		return gather_tree(op);
	gather_inbox(op);
	return MBLIST_OK;
}

void
mblist_rename(struct mblist *l, const char *from, const char *to, mblist_cb *cb,
    void *arg)
{
	struct op *op = op_new(l, from, cb, arg);
	bool inbox = mboxname_is_inbox(slice_str(from)) &&
	             !mboxname_is_inbox(slice_str(to));
	enum mblist_result r;

	MUST(!mboxname_is_below(slice_str(to), slice_str(from)) || inbox);
	op->to = op_str(&op->arena, slice_str(to));
	r = may_rename(op, inbox);
	if (r != MBLIST_OK) {
		op_finish(op, r, "");
		return;
	}
	op->subtree = !inbox;
	op_begin(op);
	reserve_all(op);
}
