#include <stdlib.h>
#include <string.h>

#include "backendd/mblist_deleted.h"
#include "backendd/mblist_note.h"
#include "backendd/mblist_op.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	VERSION = 1,
	NOTE_MAX = 4096,
	RETRY_MS = 2000
};

void
rename_note_put(struct mblist *l, const struct rename_note *n)
{
	struct buf key, value;

	op_note_key(&key, OP_RENAMING, n->from);
	buf_init(&value, NOTE_MAX);
	wire_put_u8(&value, VERSION);
	wire_put_u8(&value, (uint8_t)n->stage);
	wire_put_str(&value, n->from);
	wire_put_str(&value, n->to);
	wire_put_u8(&value, n->inbox);
	MUST(!buf_failed(&key) && !buf_failed(&value));
	keeper_put(l->keeper, buf_slice(&key), buf_slice(&value), NULL, 0);
	buf_fini(&key);
	buf_fini(&value);
}

void
rename_note_drop(struct mblist *l, const char *from)
{
	struct buf key;

	op_note_key(&key, OP_RENAMING, from);
	keeper_delete(l->keeper, buf_slice(&key));
	buf_fini(&key);
}

/* --- what is kept for a user ----------------------------------------------------- */

const char *
rename_user(struct mblist *l, struct arena *a, const char *name)
{
	struct slice owner;

	if (deleted_is(slice_str(name)))
		return name;
	owner = mboxname_owner(a, &l->bd->layout, slice_str(name));
	return mboxname_is_inbox(slice_str(name)) && owner.len > 0
	           ? op_str(a, owner)
	           : NULL;
}

static void
move_user(struct mblist *l, const char *from, const char *to, users_cb *cb,
    void *arg)
{
	if (to != NULL)
		users_move(l->bd->users, from, to, cb, arg);
	else
		users_forget(l->bd->users, from, cb, arg);
}

static void follow(void *arg);

static void
user_moved(void *arg, bool failed)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (!failed) {
		timer_free(&op->deadline);
		rename_note_drop(op->list, op->name);
		op_commit_later(op->list);
		op->followed(op);
		return;
	}
	/* The old names are gone: there is no way but on. */
	log_err(op->list->bd->log, "user's data not moved yet", "user",
	    op->user, "to", op->user_to, NULL);
	if (op->deadline == NULL)
		op->deadline = timer_new(op->list->bd->loop, follow, op);
	timer_set(op->deadline, RETRY_MS);
}

static void
follow(void *arg)
{
	struct op *op = arg;

	if (op->user_to != NULL)
		seens_move(op->list->bd->seens, op->user, op->user_to);
	move_user(op->list, op->user, op->user_to, user_moved, op);
}

void
rename_follow(struct op *op, void (*step)(struct op *op))
{
	op->followed = step;
	follow(op);
}

/* --- after a crash ------------------------------------------------------------ */

struct found {
	struct found *next;
	struct rename_note note;
};

struct recovery {
	struct mblist *list;
	struct arena arena;
	struct found *found;
	const struct rename_note *note; /* the one being taken back */
};

static enum treedb_next
find_one(void *arg, struct slice key, struct slice value)
{
	struct recovery *r = arg;
	struct found *f = arena_alloc(&r->arena, sizeof(*f));
	struct wire w;
	uint8_t version;

	(void)key; /* the names are in the value too */
	wire_init(&w, value);
	version = wire_u8(&w);
	f->note.stage = (enum rename_stage)wire_u8(&w);
	f->note.from = op_str(&r->arena, wire_slice(&w));
	f->note.to = op_str(&r->arena, wire_slice(&w));
	f->note.inbox = wire_u8(&w) != 0;
	MUST(version == VERSION && wire_done(&w)); /* we wrote it */
	f->next = r->found;
	r->found = f;
	return TREEDB_NEXT;
}

/* The same mailbox under its new name: that goes. */
static bool
take_back_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct recovery *r = arg;
	struct mblist *l = r->list;
	struct slice rebased = mboxname_rebase(&r->arena, slice_str(name),
	    slice_str(r->note->from), slice_str(r->note->to));
	const char *to = op_str(&r->arena, rebased);
	const struct mboxrec *other = mblist_raw(l, to, &r->arena);

	if (other == NULL || !slice_equal(other->mailboxid, rec->mailboxid))
		return true;
	op_delete(l, to);
	if (op_is_public(l, to))
		settle_want(l->settle, to);
	return true;
}

/* RENAME:recover, in t/model/murder.pml. */
static void
take_back(struct recovery *r, const struct rename_note *n)
{
	const struct mboxrec *rec = mblist_raw(r->list, n->from, &r->arena);

	log_info(r->list->bd->log, "RENAME taken back", "name", n->from, "to",
	    n->to, NULL);
	r->note = n;
	if (rec != NULL)
		(void)take_back_one(r, n->from, rec); /* it always goes on */
	if (!n->inbox)
		mblist_each(r->list, arena_printf(&r->arena, "%s.", n->from),
		    take_back_one, r);
	rename_note_drop(r->list, n->from);
	op_commit_later(r->list);
}

struct following {
	struct mblist *list;
	char *from; /* of the note */
};

/* The note goes when what it says is durable; else it is for the next start. */
static void
followed(void *arg, bool failed)
{
	struct following *f = arg;

	if (!failed) {
		rename_note_drop(f->list, f->from);
		op_commit_later(f->list);
	}
	free(f->from);
	free(f);
}

static void
go_on(struct recovery *r, const struct rename_note *n)
{
	const char *from = rename_user(r->list, &r->arena, n->from);
	const char *to = n->stage == RENAME_GONE
	                     ? NULL
	                     : rename_user(r->list, &r->arena, n->to);
	struct following *f;

	if (from == NULL || (to == NULL && n->stage != RENAME_GONE))
		return; /* names are other users' in this configuration */
	f = xcalloc(1, sizeof(*f));
	f->list = r->list;
	f->from = xstrdup(n->from);
	move_user(r->list, from, to, followed, f);
}

void
rename_recover(struct mblist *l)
{
	struct slice prefix = slice_of(OP_RENAMING "\x1f", 2);
	struct recovery r = { .list = l };
	struct err err;

	arena_init(&r.arena);
	MUST(treedb_walk(keeper_tree(l->keeper), prefix, prefix, find_one, &r,
	         &err) == 0);
	for (struct found *f = r.found; f != NULL; f = f->next) {
		switch (f->note.stage) {
		case RENAME_BOTH:
			take_back(&r, &f->note);
			break;
		case RENAME_NEW:
		case RENAME_GONE:
			go_on(&r, &f->note);
			break;
		}
	}
	arena_reset(&r.arena);
}
