/*
 * Reading the list, and what all changes of it share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_sync.h"
#include "backendd/server.h"
#include "backendd/store.h"
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

/* No mailbox's name begins so. */
#define DOOMED "\001"

enum {
	RECORD_MAX = 256 * 1024,
	ID_OCTETS = 12
};

struct walk {
	struct mblist *list;
	mblist_visit *visit;
	void *arg;
};

/* --- reading ----------------------------------------------------------------- */

static bool
is_hidden(struct mblist *l, struct slice name)
{
	struct op *op = map_find(&l->busy, name);

	return op != NULL && op->hidden;
}

const struct mboxrec *
mblist_get(struct mblist *l, const char *name, struct arena *a)
{
	struct mboxrec *rec = NULL;
	struct buf key, out;
	struct err err;
	int found;

	if (mboxname_invalid(slice_str(name)) != NULL ||
	    is_hidden(l, slice_str(name)))
		return NULL;
	buf_init(&key, TREEDB_KEY_MAX);
	buf_init(&out, RECORD_MAX);
	mboxname_key(&key, slice_str(name));
	found = treedb_get(keeper_tree(l->keeper), buf_slice(&key), &out, &err);
	MUST(found != -1 && !buf_failed(&out));
	if (found) {
		rec = arena_alloc(a, sizeof(*rec));
		MUST(mboxrec_parse(rec, arena_copy(a, buf_slice(&out)), &err) ==
		     0);
	}
	buf_fini(&key);
	buf_fini(&out);
	return rec;
}

static enum treedb_next
walk_one(void *arg, struct slice key, struct slice value)
{
	struct walk *w = arg;
	enum treedb_next next = TREEDB_NEXT;
	struct mboxrec rec;
	struct buf name;
	struct err err;

	if (key.len == 0 || key.ptr[0] == DOOMED[0])
		return TREEDB_NEXT;
	MUST(mboxrec_parse(&rec, value, &err) == 0);
	buf_init(&name, TREEDB_KEY_MAX + 1);
	mboxname_of_key(&name, key);
	if (!is_hidden(w->list, buf_slice(&name))) {
		buf_putc(&name, '\0');
		if (!w->visit(w->arg, (const char *)buf_data(&name), &rec))
			next = TREEDB_STOP;
	}
	buf_fini(&name);
	return next;
}

void
mblist_each(struct mblist *l, const char *prefix, mblist_visit *visit,
    void *arg)
{
	struct walk w = { l, visit, arg };
	struct buf key;
	struct err err;

	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, slice_str(prefix));
	if (!buf_failed(&key))
		MUST(treedb_walk(keeper_tree(l->keeper), buf_slice(&key),
		         buf_slice(&key), walk_one, &w, &err) == 0);
	buf_fini(&key);
}

void
mblist_each_shared(struct mblist *l, const char *identifier,
    mblist_visit *visit, void *arg)
{
	struct walk w = { l, visit, arg };
	struct err err;

	MUST(treedb_walk_tag(keeper_tree(l->keeper), slice_str(identifier),
	         walk_one, &w, &err) == 0);
}

static bool
found_one(void *arg, const char *name, const struct mboxrec *rec)
{
	(void)name; /* that there is one is enough */
	(void)rec;
	*(bool *)arg = true;
	return false;
}

bool
mblist_has_children(struct mblist *l, const char *name)
{
	bool found = false;
	struct arena a;

	arena_init(&a);
	mblist_each(l, arena_printf(&a, "%s.", name), found_one, &found);
	arena_reset(&a);
	return found;
}

const char *
mblist_parent(struct mblist *l, const char *name, struct arena *a)
{
	struct slice s = slice_str(name);

	for (s = mboxname_parent(s); s.len > 0; s = mboxname_parent(s)) {
		const char *parent = arena_string(a, s);

		if (mblist_get(l, parent, a) != NULL)
			return parent;
	}
	return NULL;
}

/* --- changes: what they share ----------------------------------------------- */

bool
op_is_busy(struct mblist *l, const char *name, enum op_extent extent)
{
	struct slice s = slice_str(name);
	struct op *op;

	if (map_find(&l->busy, s) != NULL)
		return true;
	TAILQ_FOREACH (op, &l->ops, link) {
		struct slice a = slice_str(op->name);

		if (op->subtree &&
		    (mboxname_is_below(s, a) ||
		        mboxname_is_below(s, slice_str(op->to)) ||
		        strcmp(op->to, name) == 0))
			return true;
		if (extent == OP_SUBTREE && mboxname_is_below(a, s))
			return true;
		if (op->to == NULL)
			continue;
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

void
op_finish(struct op *op, enum mblist_result r, const char *text)
{
	struct mblist *l = op->list;

	if (map_find(&l->busy, slice_str(op->name)) == op) {
		(void)map_remove(&l->busy, slice_str(op->name)); /* that op */
		TAILQ_REMOVE(&l->ops, op, link);
	}
	op->result = r;
	op->text = op_str(&op->arena, slice_str(text));
	loop_at_end(l->bd->loop, finished, op);
}

static void
committed(void *arg, uint64_t number, bool failed)
{
	struct op *op = arg;

	(void)number; /* order is enough here */
	MUST(op->magic == OP_MAGIC);
	op->next(op, failed);
}

static void
refused(void *arg)
{
	committed(arg, 0, true);
}

void
op_commit(struct op *op, op_step *step)
{
	struct mblist *l = op->list;
	struct err err;

	op->next = step;
	if (keeper_commit(l->keeper, committed, op, &err) == 0)
		return;
	log_err(l->bd->log, "mailbox list not changed", "name", op->name, "why",
	    err.text, NULL);
	loop_at_end(l->bd->loop, refused, op);
}

void
op_commit_later(struct mblist *l)
{
	struct err err;

	if (keeper_commit(l->keeper, NULL, NULL, &err) == -1)
		log_warn(l->bd->log, "mailbox list not tidied", "why", err.text,
		    NULL);
}

void
op_put(struct mblist *l, const char *name, const struct mboxrec *rec)
{
	struct slice tags[TREEDB_TAGS_MAX];
	size_t n = mboxrec_tags(rec, slice_str(name), tags, TREEDB_TAGS_MAX);
	struct buf key, value;

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

	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, slice_str(name));
	MUST(!buf_failed(&key));
	keeper_delete(l->keeper, buf_slice(&key));
	buf_fini(&key);
}

static void
doom_key(struct buf *key, const char *id)
{
	buf_init(key, TREEDB_KEY_MAX);
	buf_puts(key, DOOMED);
	buf_putc(key, TREEDB_SEP);
	buf_puts(key, id);
}

void
op_doom(struct mblist *l, const char *id, const char *partition)
{
	struct buf key;

	doom_key(&key, id);
	keeper_put(l->keeper, buf_slice(&key), slice_str(partition), NULL, 0);
	buf_fini(&key);
}

void
op_spare(struct mblist *l, const char *id)
{
	struct buf key;

	doom_key(&key, id);
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
	rec->state = MBOXREC_ACTIVE;
	rec->pending = l->bd->announce ? PENDING_ACTIVATE : PENDING_NOTHING;
	rec->uidvalidity = l->uidvalidity;
	rec->created = now;
	rec->location = slice_str(op_str(&op->arena, slice_str(location)));
	rec->mailboxid = slice_str(op_str(&op->arena, slice_str(id)));
}

void
op_told(struct mblist *l, const char *name, const struct mboxrec *rec)
{
	struct arena a;
	const struct mboxrec *now;
	struct mboxrec told;

	arena_init(&a);
	now = mblist_get(l, name, &a);
	if (now != NULL && now->pending != PENDING_NOTHING &&
	    mboxrec_equal(now, rec)) {
		told = *now;
		told.pending = PENDING_NOTHING;
		op_put(l, name, &told);
		op_commit_later(l);
	}
	arena_reset(&a);
}

void
op_release(struct mblist *l, const char *name)
{
	if (l->bd->announce != NULL)
		announce_delete(l->bd->announce, name, NULL, NULL);
}

/* --- opening ------------------------------------------------------------------ */

struct doomed {
	struct mblist *list;
	char *id;
};

static void
destroyed(void *arg, const char *why)
{
	struct doomed *d = arg;

	if (why != NULL) {
		log_err(d->list->bd->log, "mailbox not removed", "id", d->id,
		    "why", why, NULL);
	} else {
		op_spare(d->list, d->id);
		op_commit_later(d->list);
	}
	free(d->id);
	free(d);
}

static enum treedb_next
doomed_one(void *arg, struct slice key, struct slice value)
{
	struct mblist *l = arg;
	char *partition = xstrndup(value.ptr, value.len);
	struct partition *p = backendd_partition(l->bd, partition);
	struct doomed *d;

	free(partition);
	if (p == NULL)
		return TREEDB_NEXT;
	d = xcalloc(1, sizeof(*d));
	d->list = l;
	d->id = xstrndup(key.ptr + 2, key.len - 2);
	store_destroy(p->store, d->id, destroyed, d);
	return TREEDB_NEXT;
}

/* What a crash has left half-made or half-removed goes now. */
static void
destroy_doomed(struct mblist *l)
{
	struct slice prefix = slice_of(DOOMED "\x1f", 2);
	struct err err;

	MUST(treedb_walk(keeper_tree(l->keeper), prefix, prefix, doomed_one, l,
	         &err) == 0);
}

static bool
last_uidvalidity(void *arg, const char *name, const struct mboxrec *rec)
{
	struct mblist *l = arg;

	(void)name; /* any */
	if (rec->uidvalidity > l->uidvalidity)
		l->uidvalidity = rec->uidvalidity;
	return true;
}

int
mblist_open(struct mblist **lp, struct backendd *bd, struct err *err)
{
	struct mblist *l = xcalloc(1, sizeof(*l));
	size_t room = strlen(bd->conf->directory) + 16;
	char *dir = xmalloc(room);
	int r;

	l->bd = bd;
	TAILQ_INIT(&l->ops);
	map_init(&l->busy);
	map_init(&l->makers);
	snprintf(dir, room, "%s/list", bd->conf->directory);
	r = keeper_open(&l->keeper, bd->loop, bd->jobs, bd->log, dir, NULL,
	    err);
	free(dir);
	if (r == -1) {
		free(l);
		return -1;
	}
	mblist_each(l, "", last_uidvalidity, l);
	destroy_doomed(l);
	*lp = l;
	return 0;
}

void
mblist_close(struct mblist **lp)
{
	struct mblist *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	sync_free(&l->sync);
	keeper_close(&l->keeper);
	map_fini(&l->busy);
	map_fini(&l->makers);
	free(l);
}

void
mblist_connected(void *list)
{
	struct mblist *l = list;

	sync_free(&l->sync);
	l->sync = sync_new(l);
}

/* --- in words ----------------------------------------------------------------- */

const char *
mblist_code(enum mblist_result r)
{
	switch (r) {
	case MBLIST_OK:
		return NULL;
	case MBLIST_EXISTS:
	case MBLIST_TAKEN:
		return "ALREADYEXISTS";
	case MBLIST_NONE:
		return "NONEXISTENT";
	case MBLIST_BUSY:
		return "INUSE";
	case MBLIST_UNAVAILABLE:
	case MBLIST_FAILED:
		return "UNAVAILABLE";
	}
	return NULL;
}

const char *
mblist_text(enum mblist_result r)
{
	switch (r) {
	case MBLIST_OK:
		return "Done";
	case MBLIST_EXISTS:
		return "Mailbox exists already";
	case MBLIST_TAKEN:
		return "Mailbox exists on another server";
	case MBLIST_NONE:
		return "No such mailbox";
	case MBLIST_BUSY:
		return "Mailbox is being changed, try again";
	case MBLIST_UNAVAILABLE:
		return "The update server cannot be reached, try again later";
	case MBLIST_FAILED:
		return "Cannot be stored now, try again later";
	}
	return "Done";
}
