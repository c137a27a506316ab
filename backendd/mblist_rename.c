/*
 * RENAME: of a mailbox with all below it; of a user; or of an INBOX, whose
 * messages get a new name and which is there afterwards, empty.
 *
 * Reserve the new names; list them beside the old ones (the same mailboxes
 * under two names, and a note of it); publish them; unlist the old names; have
 * those deleted.  So at each moment one of the two names can be opened here and
 * is found there.  Until the old names are unlisted all can be taken back, and
 * is, if a new name turns out to be another's, if the update server is not
 * heard in time, or after a crash (mblist_note).
 */
#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/mblist_deleted.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_note.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/mblist_quota.h"
#include "backendd/metadata.h"
#include "backendd/quota.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"

enum {
	RETRY_MS = 2000
};

static bool
keeps_inbox(const struct op *op)
{
	return op->new_id != NULL;
}

static void
note(struct op *op, enum rename_stage stage)
{
	struct rename_note n = { op->name, op->to, stage, keeps_inbox(op) };

	rename_note_put(op->list, &n);
}

/* --- taking it back ---------------------------------------------------------------- */

static void
finish_back(struct op *op)
{
	enum mblist_result r = MBLIST_FAILED;

	if (op->worst == ANNOUNCE_TAKEN)
		r = MBLIST_TAKEN;
	else if (op->worst != ANNOUNCE_OK)
		r = MBLIST_UNAVAILABLE;
	op_finish(op, r, op->text);
	/* In this order: one of the two is there at each moment. */
	op_unpublish(op, OP_OLD);
	op_unpublish(op, OP_NEW);
}

static void
inbox_unmade(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	metadata_forget(op->list->bd->users, slice_str(op->new_id));
	if (why == NULL) { /* else it is doomed: tried again at start */
		op_spare(op->list, op->new_id);
		op_commit_later(op->list);
	}
	finish_back(op);
}

/* Nothing is listed under a new name. */
static void
unmake_inbox(struct op *op)
{
	if (keeps_inbox(op) && op->committed)
		store_destroy(backendd_store(op->list->bd, &op->rec),
		    op->new_id, inbox_unmade, op);
	else
		finish_back(op);
}

static void unlist_new(void *arg);

static void
taken_back(struct op *op, bool failed)
{
	if (!failed) {
		timer_free(&op->deadline);
		quotas_doubt(op->list->bd->quotas); /* both names were there */
		op_reveal_new(op);
		unmake_inbox(op);
		return;
	}
	log_err(op->list->bd->log, "RENAME not taken back yet", "name",
	    op->name, "to", op->to, NULL);
	/* Who asked need not wait for the disk: the new names are not seen. */
	op_hide_new(op, MBLIST_FAILED, "the list cannot be written");
	if (op->deadline == NULL)
		op->deadline = timer_new(op->list->bd->loop, unlist_new, op);
	timer_set(op->deadline, RETRY_MS);
}

static void
unlist_new(void *arg)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	for (size_t i = 0; i < op->nnames; i++)
		op_delete(op->list, op->names[i].to);
	rename_note_drop(op->list, op->name);
	op_commit(op, taken_back);
}

/* RENAME:undo */
static void
take_back(struct op *op, enum announce_result why, const char *text)
{
	op->worst = why;
	op->text = text;
	unlist_new(op);
}

/* --- the last: the old names are free, the user's things follow -------------------- */

static void
released(struct op *op, enum op_published how)
{
	if (how == OP_LATE) /* told at the next contact */
		log_warn(op->list->bd->log, "old name not released yet", "name",
		    op->name, NULL);
	op_finish(op, MBLIST_OK, "");
	notify_listed(op->list->bd,
	    &(struct notify_change){ .name = op->to, .was = op->name });
}

/* RENAME:release */
static void
release(struct op *op)
{
	for (size_t i = 0; i < op->nnames; i++)
		meta_want(op->list->meta, op->names[i].to);
	op_publish(op, OP_OLD, ANNOUNCE_HELD, released);
}

static void
old_unlisted(struct op *op, bool failed)
{
	if (failed)
		take_back(op, ANNOUNCE_OK, "the list cannot be written");
	else if (op->user != NULL)
		rename_follow(op, release);
	else
		release(op);
}

/* RENAME:commit, the one that counts. */
static void
unlist_old(struct op *op)
{
	struct mblist *l = op->list;

	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];
		const struct mboxrec *now = mblist_raw(l, n->to, &op->arena);

		MUST(now != NULL);
		n->rec = *now;
		n->rec.pending |= PENDING_META;
		op_put(l, n->to, &n->rec);
		if (!keeps_inbox(op))
			op_delete(l, n->from);
	}
	if (keeps_inbox(op)) {
		op_put(l, op->name, &op->rec);
		op_spare(l, op->new_id);
	} else if (mblist_quota_move(l, op->name, op->to)) {
		quotas_moved(l->bd->quotas, op->name, op->to);
	}
	if (op->user != NULL)
		note(op, RENAME_NEW);
	else
		rename_note_drop(l, op->name);
	op_commit(op, old_unlisted);
}

/* RENAME:publish, answered or not */
static void
published(struct op *op, enum op_published how)
{
	switch (how) {
	case OP_PUBLISHED:
		unlist_old(op);
		break;
	case OP_TAKEN:
		take_back(op, ANNOUNCE_TAKEN, "another server has the name");
		break;
	case OP_LATE:
		take_back(op, ANNOUNCE_UNAVAILABLE,
		    "the update server did not acknowledge it");
		break;
	}
}

/* --- both names ---------------------------------------------------------------------- */

static void
both_listed(struct op *op, bool failed)
{
	if (!failed) {
		op_publish(op, OP_NEW, ANNOUNCE_HELD, published);
		return;
	}
	op->worst = ANNOUNCE_OK;
	op->text = "the list cannot be written";
	unmake_inbox(op);
}

/* RENAME:both */
static void
list_both(struct op *op)
{
	for (size_t i = 0; i < op->nnames; i++)
		op_put(op->list, op->names[i].to, &op->names[i].rec);
	note(op, RENAME_BOTH);
	op_commit(op, both_listed);
}

static void
inbox_made(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (why == NULL) {
		/* RFC 5464 4.1: both have what the INBOX had. */
		metadata_copy(op->list->bd->users, op->names[0].rec.mailboxid,
		    slice_str(op->new_id));
		list_both(op);
		return;
	}
	op->worst = ANNOUNCE_OK;
	op->text = op_str(&op->arena, slice_str(why));
	unmake_inbox(op);
}

static void
inbox_noted(struct op *op, bool failed)
{
	struct mblist *l = op->list;
	struct store_create c = { .id = op->new_id,
		.uidvalidity = op->rec.uidvalidity };
	struct buf note;

	op->committed = !failed;
	if (failed) {
		op->text = "the list cannot be written";
		unmake_inbox(op);
		return;
	}
	buf_init(&note, STORE_META_MAX);
	meta_put(&note, op->name, &op->rec);
	if (!buf_failed(&note))
		c.meta = buf_slice(&note);
	store_create(backendd_store(l->bd, &op->rec), &c, inbox_made, op);
	buf_fini(&note);
}

/* All new names are ours; or some, and those are let go. */
static void
reserved_all(struct op *op)
{
	struct slice partition = mboxrec_partition(op->rec.location);

	if (op->worst != ANNOUNCE_OK) {
		finish_back(op);
	} else if (!keeps_inbox(op)) {
		list_both(op);
	} else {
		op_doom(op->list, op->new_id, op_str(&op->arena, partition),
		    OP_MAKING);
		op_commit(op, inbox_noted);
	}
}

/* --- reserving ------------------------------------------------------------------------ */

static void
reserved(void *arg, const struct announce_answer *answer)
{
	struct op_name *n = arg;
	struct op *op = n->op;

	MUST(op->magic == OP_MAGIC && op->waiting > 0);
	if (answer->result != ANNOUNCE_OK)
		log_info(op->list->bd->log, "new name not reserved", "name",
		    n->to, "why", answer->text, NULL);
	/* What is taken will be so tomorrow; the rest may be tried again. */
	if (answer->result != ANNOUNCE_OK && op->worst != ANNOUNCE_TAKEN)
		op->worst = answer->result;
	n->rec.generation = answer->generation;
	if (--op->waiting == 0)
		reserved_all(op);
}

/* RENAME:reserve, as the model (t/model/murder.pml) calls the steps. */
static void
reserve_all(struct op *op)
{
	struct mblist *l = op->list;

	op->worst = ANNOUNCE_OK;
	op->text = "";
	op->waiting = 0;
	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];

		if (!op_is_public(l, n->to))
			continue;
		op->waiting++;
		announce_reserve(l->bd->announce, n->to,
		    op_str(&op->arena, n->rec.location), reserved, n);
	}
	if (op->waiting == 0)
		reserved_all(op);
}

/* --- what is to be renamed -------------------------------------------------------------- */

/* The ACL, with the rights of the one user given to the other. */
static struct slice
acl_for(struct op *op, struct slice text)
{
	struct slice from = slice_str(op->user);
	struct acl acl;
	struct buf out;

	if (acl_parse(&op->arena, text, &acl) != NULL)
		return text;
	if (acl_get(&acl, from) == 0 ||
	    acl_modify(&op->arena, &acl, slice_str(op->user_to), ACL_SET,
	        acl_get(&acl, from)) != NULL ||
	    acl_modify(&op->arena, &acl, from, ACL_SET, 0) != NULL)
		return text;
	buf_init(&out, ACL_MAX);
	acl_put(&out, &acl);
	if (!buf_failed(&out))
		text = arena_copy(&op->arena, buf_slice(&out));
	buf_fini(&out);
	return text;
}

static enum mblist_result
new_names(struct op *op)
{
	enum mblist_result r = MBLIST_OK;

	for (size_t i = 0; i < op->nnames; i++) {
		struct op_name *n = &op->names[i];
		struct slice to = mboxname_rebase(&op->arena,
		    slice_str(n->from), slice_str(op->name), slice_str(op->to));

		n->to = op_str(&op->arena, to);
		if (op->user != NULL)
			n->rec.acl = acl_for(op, n->rec.acl);
		if (mboxname_invalid(to) != NULL)
			r = MBLIST_LIMIT; /* as both were valid */
		else if (quarantine_is(to))
			r = MBLIST_NONE;
		else if (mblist_raw(op->list, n->to, &op->arena) != NULL)
			r = MBLIST_EXISTS;
	}
	return r;
}

/* The mailbox gets the new name, and a new one the old. */
static void
new_inbox(struct op *op)
{
	struct slice partition = mboxrec_partition(op->rec.location);
	uint64_t generation = op->rec.generation;

	op_fill(op, &op->rec, op_str(&op->arena, partition));
	op->rec.generation = generation; /* the name stays ours */
	op->new_id = op_str(&op->arena, op->rec.mailboxid);
}

/* Of one user's INBOX to another's: both users; else nothing. */
static enum mblist_result
find_users(struct op *op)
{
	const char *from = rename_user(op->list, &op->arena, op->name);
	const char *to = rename_user(op->list, &op->arena, op->to);

	if (from == NULL || to == NULL)
		return MBLIST_OK;
	op->user = from;
	op->user_to = to;
	return users_has_any(op->list->bd->users, to) ? MBLIST_EXISTS
	                                              : MBLIST_OK;
}

static enum mblist_result
may_rename(struct op *op, enum op_extent extent)
{
	struct mblist *l = op->list;
	const struct mboxrec *rec;
	enum mblist_result r;

	if (op_is_busy(l, op->name, extent) || op_is_busy(l, op->to, extent))
		return MBLIST_BUSY;
	rec = mblist_get(l, op->name, &op->arena);
	if (rec == NULL || mboxname_invalid(slice_str(op->to)) != NULL ||
	    quarantine_is(slice_str(op->to)))
		return MBLIST_NONE;
	if (mblist_get(l, op->to, &op->arena) != NULL)
		return MBLIST_EXISTS;
	if (backendd_store(l->bd, rec) == NULL)
		return MBLIST_FAILED;
	op->rec = *rec;
	r = find_users(op);
	if (r != MBLIST_OK)
		return r;
	return op_gather(op, extent) ? new_names(op) : MBLIST_LIMIT;
}

static void
start(struct op *op)
{
	enum mblist_result r =
	    may_rename(op, op->subtree ? OP_SUBTREE : OP_NAME);

	if (r != MBLIST_OK) {
		op_finish(op, r, "");
		return;
	}
	if (!op->subtree)
		new_inbox(op);
	op_begin(op);
	reserve_all(op);
}

void
mblist_rename(struct mblist *l, const char *from, const char *to, mblist_cb *cb,
    void *arg)
{
	struct op *op = op_new(l, from, cb, arg);
	bool inbox = mboxname_is_inbox(slice_str(from)) &&
	             !mboxname_is_inbox(slice_str(to));

	MUST(!mboxname_is_below(slice_str(to), slice_str(from)) || inbox);
	op->to = op_str(&op->arena, slice_str(to));
	op->subtree = !inbox;
	op_start(op, op->to, start);
}
