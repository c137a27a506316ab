/*
 * SETACL of one mailbox, and its special uses.
 *
 * Committed, then published, again and again until it is acknowledged.  If
 * that is not to be had in time the answer is OK all the same: it is in force
 * here, where rights are checked, and will be published.  If the mailbox turns
 * out to be another server's it is taken back.
 */
#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_op.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "lib/log.h"
#include "lib/must.h"

static void
taken_back(struct op *op, bool failed)
{
	if (failed)
		log_err(op->list->bd->log, "ACL not taken back", "name",
		    op->name, NULL);
	op_finish(op, MBLIST_TAKEN, "another server has the name");
	settle_want(op->list->settle, op->name); /* and now aside with it */
}

static void
finish(struct op *op)
{
	op_finish(op, MBLIST_OK, "");
	sessions_check_rights(op->list->bd, op->name);
	notify_listed(op->list->bd, &(struct notify_change){ .name = op->name,
	                                .old_acl = op->names[0].rec.acl });
}

static void
published(struct op *op, enum op_published how)
{
	switch (how) {
	case OP_LATE:
		log_warn(op->list->bd->log, "ACL not published yet", "name",
		    op->name, NULL);
		finish(op);
		break;
	case OP_PUBLISHED:
		finish(op);
		break;
	case OP_TAKEN:
		op_put(op->list, op->name, &op->names[0].rec);
		op_commit(op, taken_back);
		break;
	}
}

static void
listed(struct op *op, bool failed)
{
	if (failed) {
		op_finish(op, MBLIST_FAILED, "the list cannot be written");
		return;
	}
	meta_want(op->list->meta, op->name);
	op_publish(op, OP_OLD, ANNOUNCE_HELD, published);
}

/* What of its record is to be another. */
struct setting {
	const char *acl, *uses; /* NULL: as it is */
};

static void
start(struct op *op)
{
	struct mblist *l = op->list;
	const struct slice acl = op->rec.acl, uses = op->rec.special_uses;
	const struct mboxrec *rec;

	if (op_is_busy(l, op->name, OP_NAME)) {
		op_finish(op, MBLIST_BUSY, "");
		return;
	}
	rec = mblist_get(l, op->name, &op->arena);
	if (rec == NULL) {
		op_finish(op, MBLIST_NONE, "");
		return;
	}
	op->rec = *rec;
	MUST(op_gather(op, OP_NAME)); /* one is never too many */
	if (acl.ptr != NULL)
		op->rec.acl = acl;
	if (uses.ptr != NULL)
		op->rec.special_uses = uses;
	op->rec.pending |= PENDING_META;
	op_begin(op);
	op_put(l, op->name, &op->rec);
	op_commit(op, listed);
}

static void
set(struct mblist *l, const char *name, const struct setting *s, mblist_cb *cb,
    void *arg)
{
	struct op *op = op_new(l, name, cb, arg);

	if (s->acl != NULL)
		op->rec.acl = slice_str(op_str(&op->arena, slice_str(s->acl)));
	if (s->uses != NULL)
		op->rec.special_uses =
		    slice_str(op_str(&op->arena, slice_str(s->uses)));
	op_start(op, op->name, start);
}

void
mblist_set_acl(struct mblist *l, const char *name, const char *acl,
    mblist_cb *cb, void *arg)
{
	set(l, name, &(struct setting){ .acl = acl }, cb, arg);
}

void
mblist_set_uses(struct mblist *l, const char *name, const char *uses,
    mblist_cb *cb, void *arg)
{
	set(l, name, &(struct setting){ .uses = uses }, cb, arg);
}

bool
mblist_is_use(struct slice word)
{
	static const char *const uses[] = { "\\Archive", "\\Drafts", "\\Junk",
		"\\Sent", "\\Trash" };

	for (size_t i = 0; i < NITEMS(uses); i++)
		if (slice_is_nocase(word, uses[i]))
			return true;
	return false;
}
