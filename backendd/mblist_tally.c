#include <stdlib.h>

#include "backendd/mblist_op.h"
#include "backendd/mblist_tally.h"
#include "backendd/server.h"
#include "imap/mboxdigest.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

enum {
	SLICE = 1000 /* records a turn */
};

struct tally {
	struct mblist *list;
	struct mboxdigest digest;
	struct buf cursor; /* what is before it has been counted */
	bool complete;
	struct task *task;
	tally_cb *cb; /* NULL: nobody waits */
	void *arg;
};

static bool
count_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct tally *t = arg;

	if (op_is_public(t->list, name))
		mboxdigest_add(&t->digest, slice_str(name), rec);
	return true;
}

static void
count_some(void *arg)
{
	struct tally *t = arg;
	tally_cb *cb = t->cb;

	if (!t->complete)
		t->complete =
		    mblist_slice(t->list, &t->cursor, SLICE, count_one, t);
	if (!t->complete) {
		task_want(t->task);
		return;
	}
	t->cb = NULL;
	if (cb != NULL)
		cb(t->arg);
}

struct tally *
tally_new(struct mblist *l)
{
	struct tally *t = xcalloc(1, sizeof(*t));

	t->list = l;
	buf_init(&t->cursor, TREEDB_KEY_MAX + 1);
	t->task = task_new(l->bd->loop, count_some, t);
	task_want(t->task);
	return t;
}

void
tally_free(struct tally **tp)
{
	struct tally *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	task_free(&t->task);
	buf_fini(&t->cursor);
	free(t);
}

static bool
is_counted(const struct tally *t, const char *name)
{
	struct buf key;
	bool counted;

	if (t->complete)
		return true;
	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, slice_str(name));
	counted = slice_compare(buf_slice(&key), buf_slice(&t->cursor)) < 0;
	buf_fini(&key);
	return counted;
}

void
tally_change(struct tally *t, const char *name, const struct mboxrec *was,
    const struct mboxrec *will_be)
{
	struct slice s = slice_str(name);

	if (!op_is_public(t->list, name) || !is_counted(t, name))
		return;
	if (was != NULL)
		mboxdigest_remove(&t->digest, s, was);
	if (will_be != NULL)
		mboxdigest_add(&t->digest, s, will_be);
}

void
tally_reset(struct tally *t)
{
	t->digest = (struct mboxdigest){ 0 };
	buf_fini(&t->cursor);
	buf_init(&t->cursor, TREEDB_KEY_MAX + 1);
	t->complete = false;
	task_want(t->task);
}

const struct mboxdigest *
tally_get(const struct tally *t)
{
	return t->complete ? &t->digest : NULL;
}

void
tally_await(struct tally *t, tally_cb *cb, void *arg)
{
	MUST(t->cb == NULL || cb == NULL);
	t->cb = cb;
	t->arg = arg;
	if (cb != NULL)
		task_want(t->task);
}
