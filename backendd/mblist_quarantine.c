#include "backendd/mailbox.h"
#include "backendd/mblist_deleted.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/server.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/log.h"
#include "lib/must.h"

#define PLACE "quarantine."

bool
quarantine_is(struct slice name)
{
	return slice_starts(mboxname_local(name), slice_str(PLACE)) ||
	       deleted_is(name);
}

const char *
quarantine_domain(struct arena *a, struct slice name)
{
	struct slice domain = mboxname_domain(name);

	return domain.len == 0
	           ? ""
	           : arena_printf(a, "%s!", arena_string(a, domain));
}

const char *
quarantine_name(struct arena *a, const char *name, const struct mboxrec *rec)
{
	const char *prefix = quarantine_domain(a, slice_str(name));
	const char *local = arena_string(a, mboxname_local(slice_str(name)));
	const char *to = arena_printf(a, "%s" PLACE "%s.%llu", prefix, local,
	    (unsigned long long)rec->generation);

	if (mboxname_invalid(slice_str(to)) == NULL)
		return to;
	return arena_printf(a, "%s" PLACE "%s.%llu", prefix,
	    arena_string(a, rec->mailboxid),
	    (unsigned long long)rec->generation);
}

static void
listed(struct op *op, bool failed)
{
	struct mblist *l = op->list;
	struct backendd *bd = l->bd;

	mailbox_forgive(bd->mailboxes, backendd_store(bd, &op->rec),
	    op->rec.mailboxid);
	if (failed) {
		op_finish(op, MBLIST_FAILED, "the list cannot be written");
		settle_want(l->settle, op->name);
		return;
	}
	l->counts.quarantined++;
	log_err(bd->log, "mailbox set aside: another server has its name",
	    "name", op->name, "as", op->to, NULL);
	meta_want(l->meta, op->to);
	op_finish(op, MBLIST_OK, "");
}

static void
evicted(void *arg)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op_delete(op->list, op->name);
	op_put(op->list, op->to, &op->rec);
	op_commit(op, listed);
}

/* Two of the same name and generation differ in their ids. */
static const char *
free_name(struct op *op)
{
	const char *to = quarantine_name(&op->arena, op->name, &op->rec);

	if (mblist_raw(op->list, to, &op->arena) == NULL)
		return to;
	return arena_printf(&op->arena, "%s" PLACE "%s",
	    quarantine_domain(&op->arena, slice_str(op->name)),
	    op_str(&op->arena, op->rec.mailboxid));
}

void
mblist_quarantine(struct mblist *l, const char *name, struct slice mailboxid)
{
	struct op *op = op_new(l, name, NULL, NULL);
	const struct mboxrec *rec = mblist_raw(l, name, &op->arena);

	if (rec == NULL || !slice_equal(rec->mailboxid, mailboxid) ||
	    backendd_store(l->bd, rec) == NULL) {
		op_finish(op, MBLIST_NONE, "");
		return;
	}
	if (op_is_busy(l, name, OP_NAME)) {
		settle_want(l->settle, name); /* asked again then */
		op_finish(op, MBLIST_BUSY, "");
		return;
	}
	op->rec = *rec;
	op->rec.pending |= PENDING_META;
	op->to = free_name(op);
	op_begin(op);
	mailbox_evict(l->bd->mailboxes, backendd_store(l->bd, &op->rec),
	    op->rec.mailboxid, evicted, op);
}
