#include "backendd/mailbox.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "imap/acl.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"

struct opening {
	struct session *ss;
	struct target target;
	target_cb *cb;
	void *arg;
	bool answers; /* a failure is the end of the command */
};

static void
on_open(void *arg, struct mailbox *m, const char *why)
{
	struct opening *op = arg;

	op->target.m = m;
	if (m != NULL)
		op->cb(op->arg, &op->target);
	else if (op->answers)
		session_done(op->ss, SESSION_NO, "UNAVAILABLE",
		    arena_printf(session_cmd(op->ss)->arena, "%s", why));
	else
		op->cb(op->arg, NULL);
}

static void
open_record(struct opening *op, const char *name, const struct mboxrec *rec)
{
	struct session *ss = op->ss;
	struct backendd *bd = session_server(ss);
	struct arena *a = session_cmd(ss)->arena;
	op->target.name = name;
	op->target.rec = rec;
	op->target.rights = session_rights(ss, name, arena_string(a, rec->acl));
	op->target.store = backendd_store(bd, rec);
	if (op->target.store != NULL)
		mailbox_open(bd->mailboxes, op->target.store, rec->mailboxid,
		    on_open, op);
	else
		on_open(op, NULL, "The mailbox's partition is not here");
}

static struct opening *
opening_new(struct session *ss, target_cb *cb, void *arg, bool answers)
{
	struct opening *op = arena_alloc(session_cmd(ss)->arena, sizeof(*op));

	op->ss = ss;
	op->cb = cb;
	op->arg = arg;
	op->answers = answers;
	return op;
}

void
target_open(struct session *ss, struct slice external, unsigned need,
    target_cb *cb, void *arg)
{
	const char *name = session_mailbox_name(ss, external);
	const struct mboxrec *rec;

	if (name == NULL)
		return;
	rec = session_mailbox(ss, name, need);
	if (rec != NULL)
		open_record(opening_new(ss, cb, arg, true), name, rec);
}

void
target_open_record(struct session *ss, const char *name,
    const struct mboxrec *rec, target_cb *cb, void *arg)
{
	open_record(opening_new(ss, cb, arg, false), name, rec);
}

uint32_t
target_flags(unsigned rights)
{
	uint32_t flags = 0;

	if (rights & ACL_SEEN)
		flags |= STORE_SEEN;
	if (rights & ACL_DELETE_MESSAGES)
		flags |= STORE_DELETED;
	if (rights & ACL_WRITE)
		flags |= STORE_FLAGS & ~(uint32_t)(STORE_SEEN | STORE_DELETED);
	return flags;
}

struct seen *
target_seen(struct session *ss, const struct target *t)
{
	struct backendd *bd = session_server(ss);

	if (mboxname_is_owned_by(&bd->layout, slice_str(t->name),
	        slice_str(session_user(ss))))
		return NULL;
	return seen_open(bd->seens, session_user(ss), t->rec->mailboxid);
}
