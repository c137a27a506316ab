/*
 * What all changes of the list share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quarantine.h"
#include "backendd/mblist_rebuild.h"
#include "backendd/mblist_tally.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

enum {
	RECORD_MAX = 256 * 1024,
	ID_OCTETS = 12,
	NAMES_MAX = 10000, /* of one change */
	NAMES_OCTETS = 4 * 1024 * 1024
};

bool
op_is_busy(struct mblist *l, const char *name, enum op_extent extent)
{
	struct slice s = slice_str(name);
	struct op *op;

	if (map_find(&l->busy, s) != NULL)
		return true;
	TAILQ_FOREACH (op, &l->ops, link) {
		struct slice a = slice_str(op->name);

		if (op->subtree && mboxname_is_below(s, a))
			return true;
		if (extent == OP_SUBTREE && mboxname_is_below(a, s))
			return true;
		if (op->to == NULL)
			continue;
		if (op->subtree && mboxname_is_below(s, slice_str(op->to)))
			return true;
		if (strcmp(op->to, name) == 0 ||
		    (extent == OP_SUBTREE &&
		        mboxname_is_below(slice_str(op->to), s)))
			return true;
	}
	return false;
}

struct op *
op_new(struct mblist *l, const char *name, mblist_cb *cb, void *arg)
{
	struct op *op = xcalloc(1, sizeof(*op));

	op->magic = OP_MAGIC;
	op->list = l;
	arena_init(&op->arena);
	op->name = op_str(&op->arena, slice_str(name));
	op->cb = cb;
	op->arg = arg;
	return op;
}

void
op_begin(struct op *op)
{
	TAILQ_INSERT_TAIL(&op->list->ops, op, link);
	MUST(map_put(&op->list->busy, slice_str(op->name), op) == NULL);
}

static struct op *
take_held(struct mblist *l)
{
	struct op *op = TAILQ_FIRST(&l->held);

	if (op != NULL)
		TAILQ_REMOVE(&l->held, op, link);
	return op;
}

void
op_start(struct op *op, const char *name, void (*start)(struct op *op))
{
	struct mblist *l = op->list;

	if (!op_is_public(l, name) || announce_is_up(l->bd->announce)) {
		start(op);
	} else if (timer_is_set(l->patience)) {
		op->start = start;
		TAILQ_INSERT_TAIL(&l->held, op, link);
	} else {
		op_finish(op, MBLIST_UNAVAILABLE, "");
	}
}

void
op_start_held(struct mblist *l)
{
	struct op *op;

	while ((op = take_held(l)) != NULL)
		op->start(op);
}

void
op_end_held(struct mblist *l)
{
	struct op *op;

	while ((op = take_held(l)) != NULL)
		op_finish(op, MBLIST_UNAVAILABLE, "");
}

static void
finished(void *arg)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	op->magic = 0;
	if (op->cb != NULL)
		op->cb(op->arg, op->result, op->text);
	arena_reset(&op->arena);
	free(op);
}

static void
stop_waiting(struct op *op)
{
	timer_free(&op->deadline);
	for (size_t i = 0; i < op->nnames; i++)
		settle_cancel(&op->names[i].wait);
}

static void
not_busy(struct op *op)
{
	struct mblist *l = op->list;

	if (map_find(&l->busy, slice_str(op->name)) != op)
		return;
	(void)map_remove(&l->busy, slice_str(op->name)); /* that op */
	TAILQ_REMOVE(&l->ops, op, link);
}

/* --- a RENAME that is answered and not over ---------------------------------- */

static void
answered(void *arg)
{
	struct op *op = arg;
	mblist_cb *cb = op->cb;

	MUST(op->magic == OP_MAGIC);
	op->cb = NULL;
	if (cb != NULL)
		cb(op->arg, op->result, op->text);
}

void
op_hide_new(struct op *op, enum mblist_result r, const char *text)
{
	if (op->lingers)
		return;
	op->lingers = true;
	op->list->nlingering++;
	op->result = r;
	op->text = op_str(&op->arena, slice_str(text));
	loop_at_end(op->list->bd->loop, answered, op);
}

void
op_reveal_new(struct op *op)
{
	if (op->lingers)
		op->list->nlingering--;
	op->lingers = false;
}

bool
op_hides(struct mblist *l, struct slice name)
{
	struct op *op = map_find(&l->busy, name);

	if (op != NULL && op->hidden)
		return true;
	if (l->nlingering == 0)
		return false;
	TAILQ_FOREACH (op, &l->ops, link)
		for (size_t i = 0; op->lingers && i < op->nnames; i++)
			if (slice_is(name, op->names[i].to))
				return true;
	return false;
}

/* --- the end ------------------------------------------------------------------- */

void
op_drop(struct op *op)
{
	stop_waiting(op);
	not_busy(op);
	op->magic = 0;
	arena_reset(&op->arena);
	free(op);
}

void
op_finish(struct op *op, enum mblist_result r, const char *text)
{
	stop_waiting(op);
	not_busy(op);
	op->result = r;
	op->text = op_str(&op->arena, slice_str(text));
	loop_at_end(op->list->bd->loop, finished, op);
}

/*
 * Is this name only now that of the mailbox?  One that is being renamed has two
 * names, and is counted by the new one: what is put by the old one then, such
 * as its ACL, is no reason to count it there.
 */
static bool
is_new(const struct mboxrec *was, const struct mboxrec *rec)
{
	return was == NULL || !slice_equal(was->mailboxid, rec->mailboxid);
}

/* rec is what it will be; NULL: it goes. */
static void
tell_others(struct mblist *l, const char *name, const struct mboxrec *rec)
{
	const struct mboxrec *was;
	struct arena a;

	arena_init(&a);
	was = mblist_raw(l, name, &a);
	tally_change(l->tally, name, was, rec);
	if (rec != NULL && is_new(was, rec))
		quotas_listed(l->bd->quotas, name, rec);
	else if (rec == NULL && was != NULL)
		quotas_unlisted(l->bd->quotas, name, was);
	if (rec == NULL)
		l->removals++;
	arena_reset(&a);
}

/* Something was taken back. */
static void
doubt(struct mblist *l)
{
	tally_reset(l->tally);
	quotas_doubt(l->bd->quotas);
}

static void
committed(void *arg, bool failed)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	if (failed)
		doubt(op->list);
	op->next(op, failed);
}

void
op_commit(struct op *op, op_step *step)
{
	op->next = step;
	keeper_commit_for(op->list->keeper, "mailbox list not changed",
	    op->name, committed, op);
}

static void
tidied(void *arg, uint64_t number, bool failed)
{
	struct mblist *l = arg;

	(void)number; /* order is enough here */
	if (failed)
		doubt(l);
}

void
op_commit_later(struct mblist *l)
{
	struct err err;

	if (keeper_commit(l->keeper, tidied, l, &err) == 0)
		return;
	doubt(l);
	log_warn(l->bd->log, "mailbox list not tidied", "why", err.text, NULL);
}

void
op_put(struct mblist *l, const char *name, const struct mboxrec *rec)
{
	struct slice tags[TREEDB_TAGS_MAX];
	size_t n = mboxrec_tags(rec, slice_str(name), tags, TREEDB_TAGS_MAX);
	struct buf key, value;

	tell_others(l, name, rec);
	buf_init(&key, TREEDB_KEY_MAX);
	buf_init(&value, RECORD_MAX);
	mboxname_key(&key, slice_str(name));
	mboxrec_put(&value, rec);
	MUST(!buf_failed(&key) && !buf_failed(&value));
	keeper_put(l->keeper, buf_slice(&key), buf_slice(&value), tags, n);
	buf_fini(&key);
	buf_fini(&value);
}

void
op_delete(struct mblist *l, const char *name)
{
	struct buf key;

	tell_others(l, name, NULL);
	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, slice_str(name));
	MUST(!buf_failed(&key));
	keeper_delete(l->keeper, buf_slice(&key));
	buf_fini(&key);
}

void
op_note_key(struct buf *key, const char *kind, const char *id)
{
	buf_init(key, TREEDB_KEY_MAX);
	buf_puts(key, kind);
	buf_putc(key, TREEDB_SEP);
	buf_puts(key, id);
}

void
op_doom(struct mblist *l, const char *id, const char *partition,
    enum op_doom how)
{
	struct buf key, value;

	op_note_key(&key, OP_DOOMED, id);
	buf_init(&value, LOCATION_MAX);
	buf_puts(&value, partition);
	if (how == OP_MAKING)
		buf_putc(&value, '\0');
	MUST(!buf_failed(&value));
	keeper_put(l->keeper, buf_slice(&key), buf_slice(&value), NULL, 0);
	buf_fini(&key);
	buf_fini(&value);
}

void
op_spare(struct mblist *l, const char *id)
{
	struct buf key;

	op_note_key(&key, OP_DOOMED, id);
	keeper_delete(l->keeper, buf_slice(&key));
	buf_fini(&key);
}

struct mboxrec
op_copy(struct arena *a, const struct mboxrec *rec)
{
	struct mboxrec copy = *rec;

	copy.location = arena_copy(a, rec->location);
	copy.acl = arena_copy(a, rec->acl);
	copy.mailboxid = arena_copy(a, rec->mailboxid);
	copy.special_uses = arena_copy(a, rec->special_uses);
	copy.owner = arena_copy(a, rec->owner);
	return copy;
}

const char *
op_str(struct arena *a, struct slice s)
{
	return arena_string(a, s);
}

void
op_fill(struct op *op, struct mboxrec *rec, const char *partition)
{
	struct mblist *l = op->list;
	uint64_t now = (uint64_t)loop_wall(l->bd->loop).ms / 1000;
	char location[LOCATION_MAX], id[2 * ID_OCTETS + 1];
	uint8_t octets[ID_OCTETS];

	rand_bytes(octets, sizeof(octets));
	for (size_t i = 0; i < sizeof(octets); i++)
		snprintf(id + 2 * i, 3, "%02x", octets[i]);
	backendd_location(l->bd, partition, location);
	/* Never the same twice, so that a name made anew is told apart. */
	l->uidvalidity =
	    (uint32_t)now > l->uidvalidity ? (uint32_t)now : l->uidvalidity + 1;
	rebuild_gave(l);
	rec->state = MBOXREC_ACTIVE;
	rec->pending = 0;
	rec->uidvalidity = l->uidvalidity;
	rec->created = now;
	rec->location = slice_str(op_str(&op->arena, slice_str(location)));
	rec->mailboxid = slice_str(op_str(&op->arena, slice_str(id)));
}

/* --- the names of a change ---------------------------------------------------- */

struct gather {
	struct op *op;
	size_t count, octets;
};

/* Sized before it is filled: nothing grows while the list is walked. */
static bool
count_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct gather *g = arg;

	g->count++;
	g->octets += strlen(name) + rec->acl.len + 512;
	return g->count <= NAMES_MAX;
}

static bool
gather_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct gather *g = arg;
	struct op *op = g->op;
	struct op_name *n = &op->names[op->nnames++];

	n->op = op;
	n->from = op_str(&op->arena, slice_str(name));
	n->rec = op_copy(&op->arena, rec);
	return true;
}

bool
op_gather(struct op *op, enum op_extent extent)
{
	struct gather g = { op, 1, 0 };
	const char *below = arena_printf(&op->arena, "%s.", op->name);

	if (extent == OP_SUBTREE)
		mblist_each(op->list, below, count_one, &g);
	if (g.count > NAMES_MAX || g.octets > NAMES_OCTETS)
		return false;
	op->names = arena_array(&op->arena, g.count, sizeof(*op->names));
	(void)gather_one(&g, op->name, &op->rec); /* it always goes on */
	if (extent == OP_SUBTREE)
		mblist_each(op->list, below, gather_one, &g);
	MUST(op->nnames == g.count);
	return true;
}

/* --- publishing --------------------------------------------------------------- */

bool
op_is_public(struct mblist *l, const char *name)
{
	return l->settle != NULL && !quarantine_is(slice_str(name));
}

static void
published(struct op *op, enum op_published how)
{
	op_published_step *step = op->published;

	op->published = NULL;
	stop_waiting(op);
	step(op, how);
}

static void
settled(void *arg, enum settled how)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC && op->waiting > 0);
	op->waiting--;
	if (how == SETTLED_TAKEN)
		published(op, OP_TAKEN);
	else if (op->waiting == 0)
		published(op, OP_PUBLISHED);
}

static void
too_late(void *arg)
{
	struct op *op = arg;

	MUST(op->magic == OP_MAGIC);
	published(op, OP_LATE);
}

static const char *
name_to_publish(struct op *op, size_t i, enum op_which which)
{
	const char *name =
	    which == OP_NEW ? op->names[i].to : op->names[i].from;

	return op_is_public(op->list, name) ? name : NULL;
}

void
op_publish(struct op *op, enum op_which which, enum announce_title title,
    op_published_step *step)
{
	struct mblist *l = op->list;

	MUST(op->published == NULL && op->deadline == NULL);
	op->waiting = 0;
	for (size_t i = 0; i < op->nnames; i++) {
		const char *name = name_to_publish(op, i, which);

		if (name == NULL)
			continue;
		op->waiting++;
		settle_await(l->settle, name, title, &op->names[i].wait,
		    settled, op);
	}
	op->published = step;
	if (op->waiting == 0) {
		published(op, OP_PUBLISHED);
		return;
	}
	op->deadline = timer_new(l->bd->loop, too_late, op);
	timer_set(op->deadline, (int64_t)l->bd->conf->publish_ms);
}

void
op_unpublish(struct op *op, enum op_which which)
{
	for (size_t i = 0; i < op->nnames; i++) {
		const char *name = name_to_publish(op, i, which);

		if (name != NULL)
			settle_want(op->list->settle, name);
	}
}
