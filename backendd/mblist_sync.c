#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_sync.h"
#include "backendd/mblist_tally.h"
#include "backendd/server.h"
#include "imap/mboxdigest.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/keyset.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

enum {
	SLICE = 1000,        /* records a turn */
	SETTLING_MAX = 1024, /* said at a time, and a slice: the rest waits */
	WAIT_MS = 20,
	WAITS_MAX = 1500, /* 30 s for what is said before deletions */
	BUCKETS_AT_ONCE = 30,
	/* As many may be what was deleted here when a crash came before the
	 * update server could be told, also if they were all there was. */
	LACKING_FEW = 10,
	/* Names beyond are said again though it knows them. */
	SEEN_OCTETS = 1024 * 1024 * 1024,
	/* Names beyond are found by the next comparison. */
	LACKING_OCTETS = 64 * 1024 * 1024
};

/* Counted: answers that are due hold it, and find it dropped. */
struct sync {
	struct mblist *list; /* NULL: dropped */
	size_t holds;
	bool by_bucket; /* else all */
	bool asked_all;
	bool differs[MBOXDIGEST_BUCKETS];
	uint8_t buckets[MBOXDIGEST_BUCKETS]; /* those that differ */
	size_t nbuckets, asked;
	struct keyset seen;
	struct keyset lacking; /* said to be here, active, and is not */
	uint64_t nlacking, there;
	struct buf cursor;
	struct task *step;
	struct timer *wait;
	bool walked, releasing;
	size_t released; /* of lacking: where to go on */
	uint64_t said;   /* settle's number of the last thing that is here */
	unsigned waits;
	uint64_t wanted;
};

static void
let_go(struct sync *s)
{
	if (--s->holds > 0)
		return;
	MUST(s->list == NULL);
	keyset_fini(&s->seen);
	keyset_fini(&s->lacking);
	buf_fini(&s->cursor);
	free(s);
}

/* Nothing is done any more; what is asked is let come in. */
static void
stop(struct sync *s)
{
	tally_await(s->list->tally, NULL, NULL);
	task_free(&s->step);
	timer_free(&s->wait);
	s->list = NULL;
	let_go(s);
}

void
sync_free(struct sync **sp)
{
	struct sync *s = *sp;

	*sp = NULL;
	if (s != NULL)
		stop(s);
}

static void
finish(struct sync *s)
{
	struct mblist *l = s->list;

	MUST(l->sync == s);
	l->counts.compared++;
	l->again = announce_lost(l->bd->announce);
	timer_set(l->compare, (int64_t)l->bd->conf->compare_ms);
	l->sync = NULL;
	stop(s);
}

static void
give_up(struct sync *s, const char *why)
{
	struct mblist *l = s->list;

	log_warn(l->bd->log, "mailbox list not compared", "why", why, NULL);
	finish(s);
	l->again = true;
}

/* RECONCILE:want */
static void
want(struct sync *s, const char *name)
{
	s->wanted++;
	settle_want(s->list->settle, name);
}

/* --- the end: what it has, and we do not ----------------------------------- */

static bool
may_delete(struct sync *s)
{
	struct mblist *l = s->list;
	struct backendd *bd = l->bd;
	bool few =
	    s->nlacking <= LACKING_FEW ||
	    s->nlacking * 100 <= s->there * (uint64_t)bd->conf->list_shrink;

	l->counts.withheld = 0;
	if (s->nlacking == 0 || (few && l->counts.damaged == 0 && !l->unproven))
		return true;
	if (backendd_list_accepted(bd)) {
		log_warn(bd->log, "mailboxes given up by an administrator",
		    "count", LOG_NUM(s->nlacking), NULL);
		mblist_accept(l);
		return true;
	}
	l->counts.withheld = s->nlacking;
	log_err(bd->log,
	    "mailboxes that are said to be here are not: nothing is deleted "
	    "from the update server's list until accept-list is there",
	    "directory", bd->conf->directory, "lacking", LOG_NUM(s->nlacking),
	    "published", LOG_NUM(s->there), "damaged",
	    LOG_NUM(l->counts.damaged), NULL);
	return false;
}

static void
compared(struct sync *s)
{
	log_info(s->list->bd->log, "mailbox list compared", "said",
	    LOG_NUM(s->wanted), "lacking", LOG_NUM(s->nlacking), NULL);
	if (s->nlacking == 0)
		mblist_accept(s->list);
	finish(s);
}

/* RECONCILE:release */
static void
release(struct sync *s)
{
	struct slice name;
	struct arena a;

	for (unsigned i = 0; i < SLICE; i++) {
		if (!keyset_next(&s->lacking, &s->released, &name)) {
			compared(s);
			return;
		}
		arena_init(&a);
		want(s, op_str(&a, name));
		arena_reset(&a);
	}
	task_want(s->step);
}

static void
release_begin(struct sync *s)
{
	if (may_delete(s)) {
		s->releasing = true;
		release(s);
	} else {
		compared(s);
	}
}

/*
 * What is here is published before what is not goes: else, of what was renamed,
 * neither name would be there for a moment, or for long if we are refused.
 */
static void
await_said(struct sync *s)
{
	if (s->nlacking == 0 || settle_is_done(s->list->settle, s->said))
		release_begin(s);
	else if (++s->waits > WAITS_MAX)
		give_up(s, "what is here cannot be published");
	else
		timer_set(s->wait, WAIT_MS);
}

/* --- what we have, and it does not ------------------------------------------ */

static bool
walk_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct sync *s = arg;

	(void)rec; /* whatever it is */
	if (op_is_public(s->list, name) &&
	    (!s->by_bucket || s->differs[mboxdigest_bucket(slice_str(name))]) &&
	    !keyset_has(&s->seen, slice_str(name)))
		want(s, name);
	return true;
}

/*
 * In slices, and not faster than what is found can be said; but what the update
 * server refuses holds nothing up.
 */
static void
walk(void *arg)
{
	struct sync *s = arg;

	if (s->walked && !s->releasing) {
		await_said(s);
	} else if (settle_moving(s->list->settle) > SETTLING_MAX) {
		timer_set(s->wait, WAIT_MS);
	} else if (s->releasing) {
		release(s);
	} else {
		s->walked =
		    mblist_slice(s->list, &s->cursor, SLICE, walk_one, s);
		s->said = settle_last(s->list->settle);
		task_want(s->step);
	}
}

/* --- what it has ------------------------------------------------------------- */

static bool
is_as_here(const struct sync *s, const struct mboxrec *here,
    const struct mboxrec *there)
{
	if (there->state != MBOXREC_ACTIVE ||
	    !slice_equal(here->location, there->location) ||
	    !slice_equal(here->acl, there->acl))
		return false;
	return !s->by_bucket ||
	       (here->generation == there->generation &&
	           here->type == there->type &&
	           slice_equal(here->mailboxid, there->mailboxid) &&
	           slice_equal(here->special_uses, there->special_uses));
}

static void
lacks(struct sync *s, const char *name, const struct mboxrec *there)
{
	if (there->state == MBOXREC_RESERVED) {
		want(s, name);
		return;
	}
	s->nlacking++;
	keyset_put(&s->lacking, slice_str(name));
}

static void
take_entry(void *arg, struct slice name, const struct mboxrec *there)
{
	struct sync *s = arg;
	const struct mboxrec *here;
	struct arena a;
	const char *n;

	/* Names that cannot be are deleted there, if they can be noted. */
	if (s->list == NULL || name.len > KEYSET_NAME_MAX)
		return;
	if (!s->by_bucket)
		s->there += there->state != MBOXREC_RESERVED;
	keyset_put(&s->seen, name);
	arena_init(&a);
	n = op_str(&a, name);
	here = mblist_raw(s->list, n, &a);
	/* Of a name with a change under way settle waits for the end. */
	if (here == NULL && !op_is_busy(s->list, n, OP_NAME))
		lacks(s, n, there);
	else if (here == NULL || !is_as_here(s, here, there))
		want(s, n);
	arena_reset(&a);
}

static void ask_next(struct sync *s);

static void
listed(void *arg, const struct announce_answer *answer)
{
	struct sync *s = arg;

	if (s->list != NULL && answer->result != ANNOUNCE_OK)
		give_up(s, answer->text);
	else if (s->list != NULL)
		ask_next(s);
	let_go(s);
}

/* RECONCILE:list, as the model (t/model/murder.pml) calls the steps. */
static void
ask_next(struct sync *s)
{
	struct backendd *bd = s->list->bd;
	size_t n = s->nbuckets - s->asked;

	if (s->by_bucket ? n == 0 : s->asked_all) {
		task_want(s->step);
		return;
	}
	s->asked_all = !s->by_bucket;
	if (n > BUCKETS_AT_ONCE)
		n = BUCKETS_AT_ONCE;
	s->holds++;
	announce_list(bd->announce, bd->hostname, s->buckets + s->asked, n,
	    take_entry, listed, s);
	s->asked += n;
}

/* --- digests ------------------------------------------------------------------ */

static void ask_digest(void *arg);

static void
digest_came(void *arg, const struct announce_answer *answer,
    const struct mboxdigest *theirs)
{
	struct sync *s = arg;
	const struct mboxdigest *ours;

	if (s->list == NULL) {
		let_go(s);
		return;
	}
	ours = tally_get(s->list->tally);
	if (answer->result != ANNOUNCE_OK) {
		give_up(s, answer->text);
	} else if (ours == NULL) {
		tally_await(s->list->tally, ask_digest, s);
	} else {
		s->there = theirs->count;
		s->nbuckets = mboxdigest_differences(ours, theirs, s->buckets);
		for (size_t i = 0; i < s->nbuckets; i++)
			s->differs[s->buckets[i]] = true;
		if (s->nbuckets > 0) {
			ask_next(s);
		} else {
			s->list->counts.withheld = 0;
			mblist_accept(s->list);
			log_debug(s->list->bd->log, "mailbox list is the same",
			    "mailboxes", LOG_NUM(theirs->count), NULL);
			finish(s);
		}
	}
	let_go(s);
}

/*
 * The first thing said on a connection: the update server then listens to no
 * older one of ours.  If ours has not been counted by the answer it is asked
 * again.
 */
static void
ask_digest(void *arg)
{
	struct sync *s = arg;
	struct backendd *bd = s->list->bd;

	s->holds++;
	announce_digest(bd->announce, bd->hostname, digest_came, s);
}

struct sync *
sync_new(struct mblist *l)
{
	struct sync *s = xcalloc(1, sizeof(*s));

	s->list = l;
	s->holds = 1;
	keyset_init(&s->seen, SEEN_OCTETS);
	keyset_init(&s->lacking, LACKING_OCTETS);
	buf_init(&s->cursor, TREEDB_KEY_MAX + 1);
	s->step = task_new(l->bd->loop, walk, s);
	s->wait = timer_new(l->bd->loop, walk, s);
	timer_stop(l->compare);
	s->by_bucket = announce_has_digests(l->bd->announce);
	if (s->by_bucket)
		ask_digest(s);
	else
		ask_next(s);
	return s;
}
