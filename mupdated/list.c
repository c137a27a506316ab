#include <stdlib.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"
#include "mupdated/list.h"

enum {
	RECORD_MAX = 512 * 1024,
	SEP_DOMAIN = 0x1d
};

static const char epoch_fact[] = "list.epoch";
static const char revision_fact[] = "list.revision";

struct list {
	struct keeper *keeper;
	struct log *log;
	uint64_t revision; /* of the last change */
	list_cb *cb;
	void *arg;
	struct buf key, old, fresh; /* scratch */
};

/* Committed, and the disk has not answered. */
struct pending {
	struct list *list;
	bool exists;
	size_t name_len, record_len;
	uint8_t octets[]; /* name, record */
};

/* --- names ----------------------------------------------------------------- */

/*
 * The order of the list is that of octets with the separators below all
 * others; a domain's "!" is the first.
 */
static struct slice
key_of(struct list *l, struct slice name)
{
	bool domain = true;

	buf_clear(&l->key);
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (c == '!' && domain) {
			domain = false;
			c = SEP_DOMAIN;
		} else if (c == '.') {
			c = TREEDB_SEP;
		}
		buf_putc(&l->key, c);
	}
	return buf_slice(&l->key);
}

static void
name_of(struct buf *out, struct slice key)
{
	for (size_t i = 0; i < key.len; i++) {
		uint8_t c = key.ptr[i];

		if (c == SEP_DOMAIN)
			c = '!';
		else if (c == TREEDB_SEP)
			c = '.';
		buf_putc(out, c);
	}
}

static bool
has_controls(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

static bool
is_name(struct slice name)
{
	return name.len > 0 && name.len <= TREEDB_KEY_MAX &&
	       !has_controls(name);
}

static bool
is_location(struct slice location)
{
	return location.len > 0 && location.len <= MBOXREC_LOCATION_MAX &&
	       !has_controls(location);
}

/* --- telling --------------------------------------------------------------- */

/* After a failure: what is so instead. */
static void
look_again(struct list *l, struct list_event *ev)
{
	struct err err;
	int found;

	buf_clear(&l->old);
	found = list_find(l, ev->name, &ev->record, &l->old, &err);
	if (found == -1)
		log_err(l->log, "list: cannot read an entry", "why", err.text,
		    NULL);
	ev->exists = found == 1;
}

static void
settled(void *arg, uint64_t number, bool failed)
{
	struct pending *p = arg;
	struct list *l = p->list;
	struct list_event ev = { .number = number,
		.failed = failed,
		.exists = p->exists };
	struct err err;

	ev.name = slice_of(p->octets, p->name_len);
	if (failed)
		look_again(l, &ev);
	else if (p->exists)
		MUST(mboxrec_parse(&ev.record,
		         slice_of(p->octets + p->name_len, p->record_len),
		         &err) == 0);
	l->cb(l->arg, &ev);
	free(p);
}

/* --- changing -------------------------------------------------------------- */

static struct list_answer
refused(const char *text)
{
	return (struct list_answer){ LIST_REFUSED, text, 0 };
}

/* Nothing to do; true as long as what is so lasts. */
static struct list_answer
as_it_is(struct list *l)
{
	return (
	    struct list_answer){ LIST_DONE, "done", keeper_last(l->keeper) };
}

static void
put_revision(struct list *l)
{
	struct buf b;

	buf_init(&b, 8);
	wire_put_u64(&b, l->revision + 1);
	keeper_put_fact(l->keeper, revision_fact, buf_slice(&b));
	buf_fini(&b);
}

/* Commits what was gathered for name; record is empty for a deletion. */
static struct list_answer
commit(struct list *l, struct slice name, struct slice record)
{
	struct pending *p = xmalloc(sizeof(*p) + name.len + record.len);
	struct err err;

	*p = (struct pending){ .list = l,
		.exists = record.len > 0,
		.name_len = name.len,
		.record_len = record.len };
	memcpy(p->octets, name.ptr, name.len);
	if (record.len > 0)
		memcpy(p->octets + name.len, record.ptr, record.len);
	put_revision(l);
	if (keeper_commit(l->keeper, settled, p, &err) == -1) {
		log_warn(l->log, "list: cannot change an entry", "why",
		    err.text, NULL);
		free(p);
		return refused("cannot store the change now");
	}
	l->revision++;
	return as_it_is(l);
}

static struct list_answer
put(struct list *l, struct slice name, struct mboxrec *r)
{
	r->revision = l->revision + 1;
	buf_clear(&l->fresh);
	mboxrec_put(&l->fresh, r);
	MUST(!buf_failed(&l->fresh));
	keeper_put(l->keeper, key_of(l, name), buf_slice(&l->fresh), NULL, 0);
	return commit(l, name, buf_slice(&l->fresh));
}

/* 1 and *r, 0, or -1 and the answer. */
static int
look(struct list *l, struct slice name, struct mboxrec *r,
    struct list_answer *answer)
{
	struct err err;
	int found;

	*answer = refused("not a mailbox name");
	if (!is_name(name))
		return -1;
	buf_clear(&l->old);
	found = list_find(l, name, r, &l->old, &err);
	if (found == -1) {
		log_err(l->log, "list: cannot read an entry", "why", err.text,
		    NULL);
		*answer = refused("cannot read the list");
	}
	return found;
}

struct list_answer
list_reserve(struct list *l, struct slice name, struct slice location)
{
	struct mboxrec r = { .state = MBOXREC_RESERVED, .location = location };
	struct mboxrec old;
	struct list_answer answer;

	if (!is_location(location))
		return refused("not a location");
	switch (look(l, name, &old, &answer)) {
	case -1:
		return answer;
	case 0:
		return put(l, name, &r);
	}
	if (!slice_equal(old.location, location))
		return refused("mailbox already exists");
	return as_it_is(l);
}

struct list_answer
list_activate(struct list *l, struct slice name, struct slice location,
    struct slice acl)
{
	struct mboxrec r = { .state = MBOXREC_ACTIVE,
		.location = location,
		.acl = acl };
	struct mboxrec old;
	struct list_answer answer;
	int found;

	if (!is_location(location))
		return refused("not a location");
	if (acl.len > MBOXREC_ACL_MAX)
		return refused("ACL too long");
	found = look(l, name, &old, &answer);
	if (found == -1)
		return answer;
	if (found == 1 && old.state == MBOXREC_ACTIVE &&
	    slice_equal(old.location, location) && slice_equal(old.acl, acl))
		return as_it_is(l);
	return put(l, name, &r);
}

struct list_answer
list_deactivate(struct list *l, struct slice name, struct slice location)
{
	struct mboxrec r = { .state = MBOXREC_RESERVED, .location = location };
	struct mboxrec old;
	struct list_answer answer;

	if (!is_location(location))
		return refused("not a location");
	switch (look(l, name, &old, &answer)) {
	case -1:
		return answer;
	case 0:
		return refused("mailbox does not exist");
	}
	if (old.state == MBOXREC_RESERVED)
		return refused("mailbox not currently active");
	return put(l, name, &r);
}

struct list_answer
list_delete(struct list *l, struct slice name)
{
	struct mboxrec old;
	struct list_answer answer;

	switch (look(l, name, &old, &answer)) {
	case -1:
		return answer;
	case 0:
		return refused("mailbox does not exist");
	}
	keeper_delete(l->keeper, key_of(l, name));
	return commit(l, name, slice_of(NULL, 0));
}

/* --- reading --------------------------------------------------------------- */

int
list_find(struct list *l, struct slice name, struct mboxrec *r,
    struct buf *room, struct err *err)
{
	int found;

	if (!is_name(name))
		return 0;
	found = treedb_get(keeper_tree(l->keeper), key_of(l, name), room, err);
	if (found != 1)
		return found;
	return mboxrec_parse(r, buf_slice(room), err) == -1 ? -1 : 1;
}

struct walk {
	struct buf *at, *name;
	list_visit *visit;
	void *arg;
	bool stopped;
	int failed;
	struct err *err;
};

static enum treedb_next
walk_record(void *arg, struct slice key, struct slice value)
{
	struct walk *w = arg;
	struct mboxrec r;

	w->failed = mboxrec_parse(&r, value, w->err);
	if (w->failed == -1)
		return TREEDB_STOP;
	buf_clear(w->name);
	name_of(w->name, key);
	w->stopped = !w->visit(w->arg, buf_slice(w->name), &r);
	/* From just above this key, next time. */
	buf_clear(w->at);
	buf_put_slice(w->at, key);
	buf_putc(w->at, '\0');
	return w->stopped ? TREEDB_STOP : TREEDB_NEXT;
}

int
list_walk(struct list *l, struct buf *at, list_visit *visit, void *arg,
    struct err *err)
{
	struct buf name, from;
	struct walk w = { at, &name, visit, arg, false, 0, err };
	int rc;

	buf_init(&name, TREEDB_KEY_MAX);
	buf_init(&from, TREEDB_KEY_MAX + 1);
	buf_put_slice(&from, buf_slice(at));
	rc = treedb_walk(keeper_tree(l->keeper), slice_of(NULL, 0),
	    buf_slice(&from), walk_record, &w, err);
	buf_fini(&name);
	buf_fini(&from);
	if (rc == -1 || w.failed == -1)
		return -1;
	return w.stopped;
}

uint64_t
list_last(const struct list *l)
{
	return keeper_last(l->keeper);
}

uint64_t
list_durable(const struct list *l)
{
	return keeper_durable(l->keeper);
}

/* --- birth and death ------------------------------------------------------- */

/* The revision we are at; the first opening begins an epoch. */
static int
read_facts(struct list *l, struct err *err)
{
	struct treedb *t = keeper_tree(l->keeper);
	struct wire w;
	int found;

	buf_clear(&l->old);
	found = treedb_get_fact(t, revision_fact, &l->old, err);
	if (found == -1)
		return -1;
	wire_init(&w, buf_slice(&l->old));
	if (found == 1) {
		l->revision = wire_u64(&w);
		return wire_done(&w)
		           ? 0
		           : err_set(err,
		                 "damaged number of the last revision");
	}
	buf_clear(&l->fresh);
	wire_put_u64(&l->fresh, rand_u64());
	keeper_put_fact(l->keeper, epoch_fact, buf_slice(&l->fresh));
	buf_clear(&l->fresh);
	wire_put_u64(&l->fresh, 0);
	keeper_put_fact(l->keeper, revision_fact, buf_slice(&l->fresh));
	return keeper_commit(l->keeper, NULL, NULL, err);
}

int
list_open(struct list **lp, struct loop *loop, struct jobs *jobs,
    struct log *log, const char *dir, unsigned shards, list_cb *cb, void *arg,
    struct err *err)
{
	struct keeper_limits limits = keeper_defaults();
	struct list *l = xcalloc(1, sizeof(*l));

	limits.shards = shards;
	l->log = log;
	l->cb = cb;
	l->arg = arg;
	buf_init(&l->key, TREEDB_KEY_MAX);
	buf_init(&l->old, RECORD_MAX);
	buf_init(&l->fresh, RECORD_MAX);
	*lp = l;
	if (keeper_open(&l->keeper, loop, jobs, log, dir, &limits, err) == 0 &&
	    read_facts(l, err) == 0)
		return 0;
	list_close(lp);
	return -1;
}

/* What is pending is written, and nobody told: they are gone. */
void
list_close(struct list **lp)
{
	struct list *l = *lp;

	if (l == NULL)
		return;
	keeper_close(&l->keeper);
	buf_fini(&l->key);
	buf_fini(&l->old);
	buf_fini(&l->fresh);
	free(l);
	*lp = NULL;
}
