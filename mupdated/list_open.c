/*
 * What a list is made of at its start: facts of the tree, and one walk.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/ascii.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "mupdated/list_own.h"

enum {
	EPOCH_OCTETS = LIST_EPOCH_DIGITS / 2,
	TOMBS_AT_ONCE = 1000
};

/* --- tombstones ------------------------------------------------------------ */

struct slice
list_tomb_key(char room[LIST_TOMB_KEY + 1], uint64_t revision)
{
	snprintf(room, LIST_TOMB_KEY + 1, LIST_TOMB "%016" PRIx64, revision);
	return slice_of(room, LIST_TOMB_KEY);
}

static bool
is_tomb(struct slice key)
{
	return key.len > 0 && key.ptr[0] == (uint8_t)LIST_TOMB[0];
}

static int
tomb_revision(struct slice key, uint64_t *revision, struct err *err)
{
	*revision = 0;
	if (key.len != LIST_TOMB_KEY)
		return err_set(err, "damaged key of a deleted name");
	for (size_t i = 1; i < key.len; i++) {
		int digit = ascii_hex(key.ptr[i]);

		if (digit == -1)
			return err_set(err, "damaged key of a deleted name");
		*revision = *revision << 4 | (unsigned)digit;
	}
	return 0;
}

/* --- one walk over all ----------------------------------------------------- */

struct rebuilding {
	struct list *l;
	uint64_t last;
	struct buf name;
	int failed;
	struct err *err;
};

static int
take_entry(struct rebuilding *rb, struct slice key, struct slice value,
    struct change *change)
{
	struct mboxrec r;

	if (mboxrec_parse(&r, value, rb->err) == -1)
		return -1;
	buf_clear(&rb->name);
	list_put_name(&rb->name, key);
	change->name = buf_slice(&rb->name);
	change->revision = r.revision;
	holders_add(&rb->l->holders, change->name, &r);
	return 0;
}

static enum treedb_next
rebuild_one(void *arg, struct slice key, struct slice value)
{
	struct rebuilding *rb = arg;
	struct change change = { .name = value };

	change.gone = is_tomb(key);
	if (change.gone)
		rb->failed = tomb_revision(key, &change.revision, rb->err);
	else
		rb->failed = take_entry(rb, key, value, &change);
	if (rb->failed == -1)
		return TREEDB_STOP;
	if (change.revision > rb->last)
		rb->last = change.revision;
	changelog_offer(rb->l->changes, &change);
	return TREEDB_NEXT;
}

static int
read_u64_fact(struct list *l, const char *name, uint64_t *n, struct err *err)
{
	struct wire w;
	int found;

	*n = 0;
	buf_clear(&l->old);
	found = treedb_get_fact(keeper_tree(l->keeper), name, &l->old, err);
	if (found != 1)
		return found;
	wire_init(&w, buf_slice(&l->old));
	*n = wire_u64(&w);
	return wire_done(&w) ? 0 : err_set(err, "damaged fact: %s", name);
}

int
list_rebuild(struct list *l, struct err *err)
{
	struct rebuilding rb = { .l = l, .err = err };
	uint64_t floor;
	int rc;

	if (read_u64_fact(l, LIST_FLOOR_FACT, &floor, err) == -1)
		return -1;
	holders_fini(&l->holders);
	holders_init(&l->holders);
	changelog_reset(l->changes, floor);
	rb.last = floor;
	buf_init(&rb.name, TREEDB_KEY_MAX);
	rc = treedb_walk(keeper_tree(l->keeper), slice_of(NULL, 0),
	    slice_of(NULL, 0), rebuild_one, &rb, err);
	buf_fini(&rb.name);
	changelog_sort(l->changes);
	if (rb.last > l->revision)
		l->revision = rb.last;
	return rc == -1 || rb.failed == -1 ? -1 : 0;
}

/* --- facts ----------------------------------------------------------------- */

static void
show_epoch(struct list *l, const uint8_t octets[EPOCH_OCTETS])
{
	for (size_t i = 0; i < EPOCH_OCTETS; i++)
		snprintf(l->epoch + 2 * i, 3, "%02x", octets[i]);
}

static int
read_epoch(struct list *l, struct err *err)
{
	uint8_t octets[EPOCH_OCTETS];
	int found;

	buf_clear(&l->old);
	found = treedb_get_fact(keeper_tree(l->keeper), LIST_EPOCH_FACT,
	    &l->old, err);
	if (found == -1)
		return -1;
	if (found == 1 && buf_len(&l->old) == EPOCH_OCTETS) {
		show_epoch(l, buf_data(&l->old));
		return 0;
	}
	rand_bytes(octets, sizeof(octets));
	keeper_put_fact(l->keeper, LIST_EPOCH_FACT,
	    slice_of(octets, sizeof(octets)));
	show_epoch(l, octets);
	return 0;
}

/* The end of the last run is that of the last change in the tree. */
static int
read_runs(struct list *l, struct err *err)
{
	int found;

	buf_clear(&l->old);
	found = treedb_get_fact(keeper_tree(l->keeper), LIST_RUNS_FACT, &l->old,
	    err);
	if (found != 1)
		return found;
	if (runs_parse(&l->runs, buf_slice(&l->old), err) == -1)
		return -1;
	if (l->runs.count > 0 &&
	    l->revision > l->runs.run[l->runs.count - 1].last)
		runs_gave(&l->runs, l->revision);
	return 0;
}

void
list_gather_runs(struct list *l)
{
	buf_clear(&l->scratch);
	runs_put(&l->scratch, &l->runs);
	keeper_put_fact(l->keeper, LIST_RUNS_FACT, buf_slice(&l->scratch));
}

void
list_gather_floor(struct list *l, uint64_t floor)
{
	buf_clear(&l->scratch);
	wire_put_u64(&l->scratch, floor);
	keeper_put_fact(l->keeper, LIST_FLOOR_FACT, buf_slice(&l->scratch));
}

/* --- tombstones that the log has no room for any more ----------------------- */

struct burying {
	struct list *l;
	uint64_t floor, last;
	size_t count;
	struct err err;
};

static enum treedb_next
gather_old_tomb(void *arg, struct slice key, struct slice value)
{
	struct burying *b = arg;
	uint64_t revision;

	(void)value;
	if (tomb_revision(key, &revision, &b->err) == -1 || revision > b->floor)
		return TREEDB_STOP;
	keeper_delete(b->l->keeper, key);
	b->last = revision;
	return ++b->count < TOMBS_AT_ONCE ? TREEDB_NEXT : TREEDB_STOP;
}

/* Those up to the floor, some at a time. */
static int
drop_old_tombs(struct list *l, struct err *err)
{
	struct burying b;

	do {
		b = (struct burying){ .l = l,
			.floor = changelog_floor(l->changes) };
		if (treedb_walk(keeper_tree(l->keeper), slice_str(LIST_TOMB),
		        slice_of(NULL, 0), gather_old_tomb, &b, err) == -1) {
			keeper_cancel(l->keeper);
			return -1;
		}
		if (b.count == 0)
			return 0;
		list_gather_floor(l, b.last);
		if (keeper_commit(l->keeper, NULL, NULL, err) == -1)
			return -1;
	} while (b.count == TOMBS_AT_ONCE);
	return 0;
}

/* --- the beginning --------------------------------------------------------- */

static void
begun(void *arg, uint64_t number, bool failed)
{
	struct list *l = arg;

	(void)number;
	l->runs_owed = failed;
	l->watch.begun(l->watch.arg);
}

int
list_begin(struct list *l, struct err *err)
{
	uint64_t wall_ms = (uint64_t)loop_wall(l->loop).ms;

	if (list_rebuild(l, err) == -1 || drop_old_tombs(l, err) == -1)
		return -1;
	if (read_epoch(l, err) == -1 || read_runs(l, err) == -1) {
		keeper_cancel(l->keeper);
		return -1;
	}
	l->revision = runs_begin(&l->runs, l->revision + 1, wall_ms);
	list_gather_runs(l);
	return keeper_commit(l->keeper, begun, l, err);
}
