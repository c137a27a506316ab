#include <stdlib.h>

#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"
#include "proxyd/mirror.h"
#include "proxyd/mirror_facts.h"
#include "proxyd/mirror_merge.h"

enum {
	MIRROR_MAGIC = 0x6d697272,
	BATCH = 1000,       /* changes of one transaction */
	FIRST_BATCH = 8000, /* of a copy that was never complete */
	WINDOW_SECONDS = 3600,
	VALUE_MAX = MBOXREC_ACL_MAX * 2
};

/* Names of removals to come: of a hundred octets each, 20 million of them. */
#define PENDING_MAX ((size_t)2000 * 1000 * 1000)

enum state {
	STATE_IDLE,
	STATE_WHOLE,    /* a whole list comes */
	STATE_SINCE,    /* a difference comes */
	STATE_COUNTING, /* what a whole list lacked at its end */
	STATE_REMOVING, /* pending goes */
	STATE_STREAM
};

struct mirror {
	unsigned magic;
	enum state state;
	struct treedb *list;
	unsigned shrink; /* percent */
	struct mirror_status st;
	uint64_t now;

	bool in_transaction;
	size_t changes; /* in it */

	struct missing pending; /* to be removed */
	struct merge merge;     /* STATE_WHOLE, STATE_COUNTING */
	bool after_whole;       /* pending is, in part, what a list lacked */
	bool accepted;
	uint64_t removals;          /* transactions with some */
	uint64_t reserved;          /* of the entries */
	uint64_t reserved_kept;     /* as the copy has it written */
	size_t removing;            /* STATE_REMOVING: where in pending */
	uint64_t base;              /* mailboxes when a whole list began */
	uint64_t came;              /* revision of the last line, or as told */
	struct buf epoch;           /* of what comes; empty: no revisions */
	uint64_t high, high_before; /* most mailboxes in this hour, the last */
	uint64_t window;            /* when this hour began */
	struct buf key, value, old; /* scratch */
};

/* --- for readers ---------------------------------------------------------- */

int
mirror_complete(struct treedb *list, bool *complete, struct err *err)
{
	uint64_t n;
	int rc = facts_get(list, FACT_COMPLETE, &n, err);

	*complete = n == 1;
	return rc;
}

int
mirror_removals(struct treedb *list, uint64_t *n, struct err *err)
{
	return facts_get(list, FACT_REMOVALS, n, err);
}

/* --- transactions --------------------------------------------------------- */

static int
begin(struct mirror *m, struct err *err)
{
	if (m->in_transaction)
		return 0;
	if (treedb_begin(m->list, err) == -1)
		return -1;
	m->in_transaction = true;
	return 0;
}

static int
commit(struct mirror *m, struct err *err)
{
	if (!m->in_transaction)
		return 0;
	m->changes = 0;
	m->st.written = m->now;
	if (facts_put(m->list, FACT_WRITTEN, m->now, err) == -1)
		return -1;
	if (m->reserved != m->reserved_kept &&
	    facts_put(m->list, FACT_RESERVED, m->reserved, err) == -1)
		return -1;
	m->reserved_kept = m->reserved;
	m->in_transaction = false;
	return treedb_commit(m->list, err);
}

static int
count_change(struct mirror *m, struct err *err)
{
	if (++m->changes < (m->st.complete ? BATCH : FIRST_BATCH))
		return 0;
	return commit(m, err);
}

/*
 * All that came is in the copy, or in this transaction: the position may say
 * so.  Written with a change only; a stream of nothing new costs nothing.
 */
static int
commit_all(struct mirror *m, struct err *err)
{
	if (m->in_transaction && buf_len(&m->epoch) > 0 &&
	    facts_put_position(m->list, buf_slice(&m->epoch), m->came, &m->st,
	        err) == -1)
		return -1;
	return commit(m, err);
}

/* --- what is held back ---------------------------------------------------- */

static bool
is_percent_of(uint64_t part, uint64_t whole, unsigned percent)
{
	return part * 100 > whole * percent;
}

/* What can be lost: a reservation has nothing behind it. */
static uint64_t
mailboxes(const struct mirror *m)
{
	return m->st.entries > m->reserved ? m->st.entries - m->reserved : 0;
}

/* A copy of a version that did not count them may have some more. */
static void
reserved_less(struct mirror *m, bool reserved)
{
	if (m->reserved > 0)
		m->reserved -= reserved;
}

static uint64_t
lacking(const struct mirror *m)
{
	return keyset_count(&m->pending.keys) - m->pending.reserved;
}

static void
watch_entries(struct mirror *m)
{
	uint64_t n = mailboxes(m);

	if (m->now - m->window >= WINDOW_SECONDS) { /* a clock set back, too */
		m->high_before = m->high;
		m->high = n;
		m->window = m->now;
	}
	if (n > m->high)
		m->high = n;
}

/* May what is pending be done?  If not, says so in the status. */
static bool
may_remove(struct mirror *m)
{
	uint64_t n = lacking(m), most, drop;

	watch_entries(m);
	most = m->high > m->high_before ? m->high : m->high_before;
	drop = most + n > mailboxes(m) ? most + n - mailboxes(m) : 0;
	m->st.held = MIRROR_HELD_NOTHING;
	if (m->accepted)
		return true;
	if (m->after_whole) {
		if (n > MIRROR_FEW && is_percent_of(n, m->base, m->shrink))
			m->st.held = MIRROR_HELD_WHOLE;
		m->st.of = m->base;
	} else {
		if (drop > MIRROR_FLOOD && is_percent_of(drop, most, m->shrink))
			m->st.held = MIRROR_HELD_FLOOD;
		m->st.of = most;
	}
	return m->st.held == MIRROR_HELD_NOTHING;
}

static void
forget_pending(struct mirror *m)
{
	keyset_fini(&m->pending.keys);
	m->pending.reserved = 0;
	m->after_whole = m->accepted = false;
	m->removing = 0;
	m->st.held = MIRROR_HELD_NOTHING;
}

/* --- lines ---------------------------------------------------------------- */

static int
key_of(struct mirror *m, struct slice name, struct err *err)
{
	const char *why = mboxname_invalid(name);

	if (why != NULL) {
		(void)err_set(err, "%s", why);
		return MIRROR_ODD;
	}
	buf_clear(&m->key);
	mboxname_key(&m->key, name);
	return 0;
}

/* *reserved: if it is there, has the copy a reservation? */
static enum merge_found
look_up(struct mirror *m, struct slice key, struct slice value, bool *reserved,
    struct err *err)
{
	int got;

	buf_clear(&m->old);
	got = treedb_get(m->list, key, &m->old, err);
	if (got == -1)
		return MERGE_FAILED;
	if (got == 0)
		return MERGE_ABSENT;
	*reserved = mboxrec_is_reserved(buf_slice(&m->old));
	return slice_equal(buf_slice(&m->old), value) ? MERGE_SAME
	                                              : MERGE_DIFFERENT;
}

static enum merge_found
find(struct mirror *m, struct slice key, struct slice value, bool *reserved,
    struct err *err)
{
	enum merge_found found = MERGE_BEHIND;

	if (m->state == STATE_WHOLE)
		found = merge_pass(&m->merge, key, value, reserved, err);
	return found == MERGE_BEHIND ? look_up(m, key, value, reserved, err)
	                             : found;
}

static int
put_record(struct mirror *m, struct slice name, const struct mboxrec *rec,
    struct err *err)
{
	struct slice tags[TREEDB_TAGS_MAX];

	if (begin(m, err) == -1 ||
	    treedb_put(m->list, buf_slice(&m->key), buf_slice(&m->value), tags,
	        mboxrec_tags(rec, name, tags, NITEMS(tags)), err) == -1)
		return -1;
	m->st.put++;
	return count_change(m, err);
}

static void
note_revision(struct mirror *m, uint64_t revision)
{
	if (m->state == STATE_STREAM && revision > m->came)
		m->came = revision;
}

/* FRONT:entry, in t/model/murder.pml. */
int
mirror_put(struct mirror *m, struct slice name, const struct mboxrec *rec,
    struct err *err)
{
	enum merge_found found;
	bool reserved = false;

	MUST(m->state != STATE_IDLE && !mirror_busy(m));
	note_revision(m, rec->revision);
	if (key_of(m, name, err) != 0)
		return MIRROR_ODD;
	if (rec->location.len > MBOXREC_LOCATION_MAX) {
		(void)err_set(err, "the location is too long");
		return MIRROR_ODD;
	}
	buf_clear(&m->value);
	mboxrec_put(&m->value, rec);
	if (buf_failed(&m->value)) {
		(void)err_set(err, "the record is too large");
		return MIRROR_ODD;
	}
	found =
	    find(m, buf_slice(&m->key), buf_slice(&m->value), &reserved, err);
	if (found == MERGE_FAILED)
		return -1;
	missing_remove(&m->pending, buf_slice(&m->key), reserved);
	if (found == MERGE_SAME)
		return 0;
	if (found == MERGE_ABSENT)
		m->st.entries++;
	reserved_less(m, reserved);
	m->reserved += rec->state == MBOXREC_RESERVED;
	return put_record(m, name, rec, err);
}

int
mirror_gone(struct mirror *m, struct slice name, uint64_t revision,
    struct err *err)
{
	enum merge_found found;
	bool reserved;

	MUST(m->state != STATE_IDLE && !mirror_busy(m));
	note_revision(m, revision);
	if (key_of(m, name, err) != 0)
		return MIRROR_ODD;
	found =
	    look_up(m, buf_slice(&m->key), slice_of(NULL, 0), &reserved, err);
	if (found == MERGE_FAILED)
		return -1;
	if (found != MERGE_ABSENT)
		missing_put(&m->pending, buf_slice(&m->key),
		    buf_slice(&m->old));
	return keyset_failed(&m->pending.keys)
	           ? err_set(err, "too many names are gone")
	           : 0;
}

void
mirror_at(struct mirror *m, uint64_t revision)
{
	m->came = revision;
}

/* --- a list begins and ends ----------------------------------------------- */

static void
start(struct mirror *m, enum state state)
{
	MUST(m->state == STATE_IDLE);
	m->state = state;
	m->base = mailboxes(m);
	m->st.put = m->st.removed = 0;
	watch_entries(m);
}

int
mirror_whole(struct mirror *m, struct slice epoch, struct err *err)
{
	struct slice none = { NULL, 0 };

	if (epoch.len > MIRROR_EPOCH_MAX)
		return err_set(err, "the epoch is too long");
	start(m, STATE_WHOLE);
	m->after_whole = true;
	merge_init(&m->merge, m->list, &m->pending);
	buf_clear(&m->epoch);
	buf_put_slice(&m->epoch, epoch);
	m->came = 0;
	/* What will be there is neither the old list nor yet the new. */
	if (m->st.epoch[0] == '\0')
		return 0;
	if (begin(m, err) == -1 ||
	    facts_put_position(m->list, none, 0, &m->st, err) == -1)
		return -1;
	return commit(m, err);
}

void
mirror_since(struct mirror *m)
{
	MUST(m->st.epoch[0] != '\0');
	start(m, STATE_SINCE);
	buf_clear(&m->epoch);
	buf_puts(&m->epoch, m->st.epoch);
	m->came = m->st.revision;
}

void
mirror_end(struct mirror *m)
{
	MUST(m->state == STATE_WHOLE || m->state == STATE_SINCE);
	m->state = m->state == STATE_WHOLE ? STATE_COUNTING : STATE_REMOVING;
}

bool
mirror_is_fed(const struct mirror *m)
{
	return m->state != STATE_IDLE;
}

bool
mirror_busy(const struct mirror *m)
{
	return m->state == STATE_COUNTING || m->state == STATE_REMOVING;
}

/* Everything that may be done is done. */
static int
finish(struct mirror *m, struct err *err)
{
	bool held = m->st.held != MIRROR_HELD_NOTHING;

	if (m->accepted) { /* what is left is what there is to compare with */
		m->high = mailboxes(m);
		m->high_before = 0;
	}
	if (!held)
		forget_pending(m);
	m->st.lacking = lacking(m);
	m->state = STATE_STREAM;
	if (begin(m, err) == -1)
		return -1;
	if (!m->st.complete && facts_put(m->list, FACT_COMPLETE, 1, err) == -1)
		return -1;
	m->st.complete = true;
	return held ? commit(m, err) : commit_all(m, err);
}

static int
remove_one(struct mirror *m, struct slice key, struct err *err)
{
	bool reserved = false;

	if (m->pending.reserved > 0 &&
	    look_up(m, key, slice_of(NULL, 0), &reserved, err) == MERGE_FAILED)
		return -1;
	m->pending.reserved -= reserved;
	reserved_less(m, reserved);
	m->st.removed++;
	m->st.entries--;
	return treedb_delete(m->list, key, err);
}

/* FRONT:gone: one transaction's worth of what is pending. */
static int
remove_some(struct mirror *m, struct err *err)
{
	struct slice key;
	unsigned n = 0;

	while (n < BATCH && keyset_next(&m->pending.keys, &m->removing, &key)) {
		if (begin(m, err) == -1 || remove_one(m, key, err) == -1)
			return -1;
		n++;
	}
	if (n > 0 &&
	    facts_put(m->list, FACT_REMOVALS, ++m->removals, err) == -1)
		return -1;
	return n < BATCH ? finish(m, err) : commit(m, err);
}

int
mirror_step(struct mirror *m, struct err *err)
{
	int more;

	MUST(mirror_busy(m));
	/* Additions first: they are in the copy before a removal is. */
	if (commit(m, err) == -1)
		return -1;
	if (m->state == STATE_COUNTING) {
		more = merge_rest(&m->merge, err);
		if (more != 0)
			return more == 1 ? 0 : -1;
		merge_fini(&m->merge);
		if (keyset_failed(&m->pending.keys))
			return err_set(err, "too many names are missing");
		m->state = STATE_REMOVING;
	}
	if (m->removing == 0 && !may_remove(m))
		return finish(m, err);
	return remove_some(m, err);
}

int
mirror_settle(struct mirror *m, struct err *err)
{
	MUST(!mirror_busy(m));
	if (m->state != STATE_STREAM)
		return commit(m, err);
	if (keyset_count(&m->pending.keys) == 0) {
		if (m->st.held != MIRROR_HELD_NOTHING)
			forget_pending(m);
		return commit_all(m, err);
	}
	if (!may_remove(m)) {
		m->st.lacking = lacking(m);
		return commit(m, err);
	}
	m->state = STATE_REMOVING;
	return keyset_count(&m->pending.keys) < BATCH ? mirror_step(m, err) : 0;
}

void
mirror_accept(struct mirror *m)
{
	MUST(m->state == STATE_STREAM);
	if (m->st.held == MIRROR_HELD_NOTHING)
		return;
	m->accepted = true;
	m->state = STATE_REMOVING;
}

static void
stop(struct mirror *m)
{
	if (m->state == STATE_WHOLE || m->state == STATE_COUNTING)
		merge_fini(&m->merge);
	forget_pending(m);
	m->state = STATE_IDLE;
}

int
mirror_cut(struct mirror *m, struct err *err)
{
	stop(m);
	/* What is in the transaction is right as it is. */
	return commit(m, err);
}

/* --- life ----------------------------------------------------------------- */

static int
load(struct mirror *m, struct err *err)
{
	if (treedb_count(m->list, &m->st.entries, err) == -1 ||
	    mirror_complete(m->list, &m->st.complete, err) == -1 ||
	    facts_get(m->list, FACT_WRITTEN, &m->st.written, err) == -1 ||
	    facts_get(m->list, FACT_RESERVED, &m->reserved, err) == -1 ||
	    mirror_removals(m->list, &m->removals, err) == -1)
		return -1;
	m->reserved_kept = m->reserved;
	m->high = mailboxes(m);
	return facts_get_position(m->list, &m->st, err);
}

int
mirror_open(struct mirror **mp, const char *dir, unsigned shards,
    unsigned shrink, struct err *err)
{
	struct mirror *m = xcalloc(1, sizeof(*m));

	*mp = m;
	m->magic = MIRROR_MAGIC;
	m->shrink = shrink;
	buf_init(&m->key, TREEDB_KEY_MAX);
	buf_init(&m->value, VALUE_MAX);
	buf_init(&m->old, VALUE_MAX);
	buf_init(&m->epoch, MIRROR_EPOCH_MAX);
	keyset_init(&m->pending.keys, PENDING_MAX);
	if (treedb_open(&m->list, dir, shards, DB_CACHE, err) == -1 ||
	    load(m, err) == -1) {
		mirror_close(mp);
		return -1;
	}
	return 0;
}

void
mirror_close(struct mirror **mp)
{
	struct mirror *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	MUST(m->magic == MIRROR_MAGIC);
	stop(m);
	if (m->in_transaction)
		treedb_cancel(m->list);
	treedb_close(&m->list);
	keyset_fini(&m->pending.keys);
	buf_fini(&m->key);
	buf_fini(&m->value);
	buf_fini(&m->old);
	buf_fini(&m->epoch);
	free(m);
}

void
mirror_set_shrink(struct mirror *m, unsigned shrink)
{
	m->shrink = shrink;
}

void
mirror_clock(struct mirror *m, uint64_t seconds)
{
	m->now = seconds;
	if (m->window == 0)
		m->window = seconds;
}

void
mirror_status(const struct mirror *m, struct mirror_status *st)
{
	*st = m->st;
}
