/*
 * CREATE, DELETE and SETACL of one mailbox.
 */
#include <string.h>

#include "backendd/announce.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/wire.h"

/* --- CREATE ------------------------------------------------------------------- */

static struct store *
store_of_op(struct op *op)
{
	return backendd_store(op->list->bd, &op->rec);
}

/* Nothing is to be left of it. */
static void
undo_create(struct op *op, enum mblist_result r, const char *text)
{
	if (op->reserved)
		op_release(op->list, op->name);
	op_finish(op, r, text);
}

static void
activated(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	/*
	 * The name is ours and the mailbox is there: it has been made whatever
	 * the answer.  What was not heard is said again at the next contact.
	 */
	if (r == ANNOUNCE_OK)
		op_told(op->list, op->name, &op->rec);
	else
		log_warn(op->list->bd->log, "mailbox not announced yet", "name",
		    op->name, "why", text, NULL);
	op_finish(op, MBLIST_OK, "");
}

static void
announce_or_finish(struct op *op)
{
	struct announce *a = op->list->bd->announce;

	if (a == NULL)
		op_finish(op, MBLIST_OK, "");
	else
		announce_activate(a, op->name,
		    op_str(&op->arena, op->rec.location),
		    op_str(&op->arena, op->rec.acl), activated, op);
}

static void
unmade(void *arg, const char *why)
{
	struct op *op = arg;

	if (why == NULL) {
		op_spare(op->list, op_str(&op->arena, op->rec.mailboxid));
		op_commit_later(op->list);
	}
	undo_create(op, MBLIST_FAILED, "the list cannot be written");
}

static void
create_listed(struct op *op, bool failed)
{
	op->hidden = false;
	if (failed)
		store_destroy(store_of_op(op),
		    op_str(&op->arena, op->rec.mailboxid), unmade, op);
	else
		announce_or_finish(op);
}

static void
made(void *arg, const char *why)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op_spare(op->list, op_str(&op->arena, op->rec.mailboxid));
	if (why != NULL) {
		op_commit_later(op->list);
		undo_create(op, MBLIST_FAILED, why);
		return;
	}
	op_put(op->list, op->name, &op->rec);
	op_commit(op, create_listed);
}

/* Its name and record, to rebuild the list from the disk. */
static void
make(struct op *op)
{
	struct store_create c = { .uidvalidity = op->rec.uidvalidity };
	struct buf meta;

	buf_init(&meta, STORE_META_MAX);
	wire_put_str(&meta, op->name);
	mboxrec_put(&meta, &op->rec);
	c.id = op_str(&op->arena, op->rec.mailboxid);
	if (!buf_failed(&meta)) /* else it has an ACL out of all proportion */
		c.meta = buf_slice(&meta);
	store_create(store_of_op(op), &c, made, op);
	buf_fini(&meta);
}

static void
create_found(void *arg, const struct announce_entry *e)
{
	struct op *op = arg;

	(void)e; /* whoever has it */
	op->listed = true;
}

static void
create_looked_up(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op_finish(op,
	    r == ANNOUNCE_OK && op->listed ? MBLIST_TAKEN : MBLIST_UNAVAILABLE,
	    op->listed ? op->text : text);
}

/* Both answers are there: the name is ours, and the id is noted. */
static void
create_prepared(struct op *op)
{
	if (--op->waiting > 0)
		return;
	op->reserved = op->worst == ANNOUNCE_OK;
	if (op->worst == ANNOUNCE_OK && op->committed) {
		make(op);
		return;
	}
	if (op->committed) {
		op_spare(op->list, op_str(&op->arena, op->rec.mailboxid));
		op_commit_later(op->list);
	}
	if (!op->committed)
		undo_create(op, MBLIST_FAILED, "the list cannot be written");
	else if (op->worst == ANNOUNCE_REFUSED) /* taken, or a full disk? */
		announce_find(op->list->bd->announce, op->name, create_found,
		    create_looked_up, op);
	else
		op_finish(op, MBLIST_UNAVAILABLE, op->text);
}

static void
create_reserved(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op->worst = r;
	op->text = op_str(&op->arena, slice_str(text));
	create_prepared(op);
}

static void
create_noted(struct op *op, bool failed)
{
	op->committed = !failed;
	create_prepared(op);
}

void
mblist_create(struct mblist *l, const char *name, const struct mblist_new *how,
    mblist_cb *cb, void *arg)
{
	struct op *op = op_new(l, name, cb, arg);
	const char *partition =
	    how->partition != NULL ? how->partition : l->bd->partitions[0].name;

	if (mboxname_invalid(slice_str(name)) != NULL ||
	    backendd_partition(l->bd, partition) == NULL) {
		op_finish(op, MBLIST_NONE, "no such name or partition");
		return;
	}
	if (op_is_busy(l, name, OP_NAME)) {
		op_finish(op, MBLIST_BUSY, "");
		return;
	}
	if (mblist_get(l, name, &op->arena) != NULL) {
		op_finish(op, MBLIST_EXISTS, "");
		return;
	}
	op->hidden = true;
	op->waiting = 1;
	op->rec.acl = slice_str(op_str(&op->arena, slice_str(how->acl)));
	op->rec.special_uses = slice_str(op_str(&op->arena,
	    slice_str(how->special_use != NULL ? how->special_use : "")));
	op_fill(op, &op->rec, partition);
	op_begin(op);
	if (l->bd->announce != NULL) {
		op->waiting++;
		announce_reserve(l->bd->announce, op->name,
		    op_str(&op->arena, op->rec.location), create_reserved, op);
	}
	op_doom(l, op_str(&op->arena, op->rec.mailboxid), partition);
	op_commit(op, create_noted);
}

/* --- DELETE ------------------------------------------------------------------- */

static void
released(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (r != ANNOUNCE_OK) /* found at the next comparison */
		log_warn(op->list->bd->log, "old name not released", "name",
		    op->name, "why", text, NULL);
	op_finish(op, MBLIST_OK, "");
}

static void
removed(void *arg, const char *why)
{
	struct op *op = arg;
	struct backendd *bd = op->list->bd;
	struct slice owner;

	MUST(op->magic == OP_MAGIC);
	mailbox_forgive(bd->mailboxes, store_of_op(op), op->rec.mailboxid);
	if (why != NULL) {
		/* It is doomed: tried again at the next start. */
		log_err(bd->log, "mailbox not removed", "name", op->name, "why",
		    why, NULL);
	} else {
		op_spare(op->list, op_str(&op->arena, op->rec.mailboxid));
		op_commit_later(op->list);
	}
	if (mboxname_is_inbox(slice_str(op->name))) {
		owner = mboxname_owner(&op->arena, &bd->layout,
		    slice_str(op->name));
		if (owner.len > 0)
			users_forget(bd->users, op_str(&op->arena, owner));
	}
	if (op->reserved)
		announce_delete(bd->announce, op->name, released, op);
	else
		op_finish(op, MBLIST_OK, "");
}

static void
unlisted(struct op *op, bool failed)
{
	struct backendd *bd = op->list->bd;

	if (!failed) {
		store_destroy(store_of_op(op),
		    op_str(&op->arena, op->rec.mailboxid), removed, op);
		return;
	}
	mailbox_forgive(bd->mailboxes, store_of_op(op), op->rec.mailboxid);
	if (op->reserved) /* it is to stay after all */
		announce_activate(bd->announce, op->name,
		    op_str(&op->arena, op->rec.location),
		    op_str(&op->arena, op->rec.acl), NULL, NULL);
	op_finish(op, MBLIST_FAILED, "the list cannot be written");
}

static void
evicted(void *arg)
{
	struct op *op = arg;
	struct slice partition = mboxrec_partition(op->rec.location);

	MUST(op->magic == OP_MAGIC);
	op_delete(op->list, op->name);
	op_doom(op->list, op_str(&op->arena, op->rec.mailboxid),
	    op_str(&op->arena, partition));
	op_commit(op, unlisted);
}

static void
delete_everywhere(struct op *op)
{
	mailbox_evict(op->list->bd->mailboxes, store_of_op(op),
	    op->rec.mailboxid, evicted, op);
}

static void
delete_found(void *arg, const struct announce_entry *e)
{
	struct op *op = arg;

	if (!slice_is(op->rec.location, e->location))
		return;
	op->reserved = e->acl == NULL;
	op->listed = e->acl != NULL;
}

static void
delete_looked_up(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (r == ANNOUNCE_OK && !op->listed)
		delete_everywhere(op);
	else
		op_finish(op, MBLIST_UNAVAILABLE, text);
}

static void
delete_announced(void *arg, enum announce_result r, const char *text)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	switch (r) {
	case ANNOUNCE_OK:
		op->reserved = true;
		delete_everywhere(op);
		break;
	case ANNOUNCE_REFUSED:
		/*
		 * It does not know the name, or has it reserved, or another
		 * server has it: then it may go here.  Or it cannot write its
		 * list now.
		 */
		announce_find(op->list->bd->announce, op->name, delete_found,
		    delete_looked_up, op);
		break;
	case ANNOUNCE_UNAVAILABLE:
		op_finish(op, MBLIST_UNAVAILABLE, text);
		break;
	}
}

void
mblist_delete(struct mblist *l, const char *name, mblist_cb *cb, void *arg)
{
	struct op *op = op_new(l, name, cb, arg);
	const struct mboxrec *rec;

	if (op_is_busy(l, name, OP_NAME)) {
		op_finish(op, MBLIST_BUSY, "");
		return;
	}
	rec = mblist_get(l, name, &op->arena);
	if (rec == NULL) {
		op_finish(op, MBLIST_NONE, "");
		return;
	}
	op->rec = *rec;
	if (store_of_op(op) == NULL) {
		op_finish(op, MBLIST_FAILED, "its partition is not configured");
		return;
	}
	op_begin(op);
	/*
	 * Not deleted there before it is gone here: after a crash between the
	 * two another server could have the name.
	 */
	if (l->bd->announce != NULL)
		announce_deactivate(l->bd->announce, op->name,
		    op_str(&op->arena, op->rec.location), delete_announced, op);
	else
		mailbox_evict(l->bd->mailboxes, store_of_op(op),
		    op->rec.mailboxid, evicted, op);
}

/* --- SETACL ------------------------------------------------------------------- */

static void
acl_listed(struct op *op, bool failed)
{
	if (failed)
		op_finish(op, MBLIST_FAILED, "the list cannot be written");
	else
		announce_or_finish(op);
}

void
mblist_set_acl(struct mblist *l, const char *name, const char *acl,
    mblist_cb *cb, void *arg)
{
	struct op *op = op_new(l, name, cb, arg);
	const struct mboxrec *rec;

	if (op_is_busy(l, name, OP_NAME)) {
		op_finish(op, MBLIST_BUSY, "");
		return;
	}
	rec = mblist_get(l, name, &op->arena);
	if (rec == NULL) {
		op_finish(op, MBLIST_NONE, "");
		return;
	}
	if (l->bd->announce != NULL && !announce_is_up(l->bd->announce)) {
		op_finish(op, MBLIST_UNAVAILABLE, "");
		return;
	}
	op->rec = *rec;
	op->rec.acl = slice_str(op_str(&op->arena, slice_str(acl)));
	if (l->bd->announce != NULL)
		op->rec.pending = PENDING_ACTIVATE;
	op_begin(op);
	op_put(l, op->name, &op->rec);
	op_commit(op, acl_listed);
}
