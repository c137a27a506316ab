#include <stdlib.h>
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/letter.h"
#include "backendd/mailbox.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LINGER_MS = 10 * 1000, /* open without a hold */
	LINGER_MAX = 2048,     /* mailboxes that are */
	CHANGES_FIRST = 16,
	CHANGES_MAX = 4096 /* remembered */
};

static const char going[] = "Mailbox is being deleted";

enum mailbox_state {
	MAILBOX_CLOSED, /* made a moment ago, or evicted, or watched only */
	MAILBOX_OPENING,
	MAILBOX_OPEN
};

/* Somebody who is to be called back. */
struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct mailbox *m; /* the hold to give; NULL: why */
	const char *why;   /* static */
	mailbox_cb *cb;
	void *arg;
};

TAILQ_HEAD(waiters, waiter);
TAILQ_HEAD(watchers, mailbox_watcher);
TAILQ_HEAD(mailbox_list, mailbox);

struct mailbox {
	TAILQ_ENTRY(mailbox) link; /* lingering or going, if it is */
	struct mailboxes *all;
	struct store *store;
	struct store_mailbox *mb;
	struct ledger_page *page; /* of mb, if there is a ledger */
	enum mailbox_state state;
	unsigned holds;
	bool lingers;
	bool evicted;
	void (*evict_done)(void *arg); /* NULL: was called */
	void *evict_arg;
	struct waiters waiters; /* while OPENING */
	struct watchers watchers;
	struct mono idle_since;
	struct mailbox_change *changes; /* with MODSEQs above changes_from */
	size_t nchanges, changes_size;
	uint64_t changes_from;
	uint32_t recent; /* as it was when it was open before */
	char id[STORE_ID_MAX + 1];
};

struct mailboxes {
	struct loop *loop;
	struct ledger *ledger; /* or NULL */
	struct map open;       /* store and id: struct mailbox */
	struct timer *tick;    /* closes those that linger */
	struct task *later;    /* calls back */
	struct waiters ready;
	struct mailbox_list lingering; /* longest first */
	size_t nlingering;
	mailboxes_observer *observer; /* NULL: none */
	void *observer_arg;
	struct mailbox_list evicted; /* evict_done is due */
};

static struct mailbox *
find(struct mailboxes *ms, const struct store *st, struct slice id)
{
	uint8_t room[STORE_KEY_MAX];

	return map_find(&ms->open, store_key(room, st, id));
}

static struct mailbox *
add(struct mailboxes *ms, struct store *st, struct slice id)
{
	struct mailbox *m = xcalloc(1, sizeof(*m));
	uint8_t room[STORE_KEY_MAX];

	m->all = ms;
	m->store = st;
	memcpy(m->id, id.ptr, id.len);
	TAILQ_INIT(&m->waiters);
	TAILQ_INIT(&m->watchers);
	MUST(map_put(&ms->open, store_key(room, st, id), m) == NULL);
	return m;
}

static void
shut(struct mailbox *m)
{
	if (m->page != NULL)
		ledger_closed(m->all->ledger, &m->page);
	if (m->mb != NULL)
		m->recent = store_recent(m->mb);
	store_close(&m->mb);
	m->state = MAILBOX_CLOSED;
	free(m->changes);
	m->changes = NULL;
	m->nchanges = m->changes_size = 0;
}

static void
drop(struct mailbox *m)
{
	uint8_t room[STORE_KEY_MAX];

	MUST(m->holds == 0 && TAILQ_EMPTY(&m->watchers));
	MUST(TAILQ_EMPTY(&m->waiters) && m->evict_done == NULL);
	shut(m);
	map_remove(&m->all->open, store_key(room, m->store, slice_str(m->id)));
	free(m);
}

/* It has watchers only, or nobody. */
static void
drop_unwatched(struct mailbox *m)
{
	if (TAILQ_EMPTY(&m->watchers))
		drop(m);
}

static void
linger_begin(struct mailbox *m)
{
	struct mailboxes *ms = m->all;

	m->lingers = true;
	m->idle_since = loop_now(ms->loop);
	TAILQ_INSERT_TAIL(&ms->lingering, m, link);
	ms->nlingering++;
	if (!timer_is_set(ms->tick))
		timer_set(ms->tick, LINGER_MS);
}

static void
linger_end(struct mailbox *m)
{
	if (!m->lingers)
		return;
	m->lingers = false;
	TAILQ_REMOVE(&m->all->lingering, m, link);
	m->all->nlingering--;
}

static void
stop_lingering(struct mailbox *m)
{
	linger_end(m);
	shut(m);
	drop_unwatched(m);
}

/* Those that have been idle long enough, and those that are too many. */
static void
linger_tick(void *arg)
{
	struct mailboxes *ms = arg;
	struct mailbox *m;

	while ((m = TAILQ_FIRST(&ms->lingering)) != NULL) {
		if (ms->nlingering <= LINGER_MAX &&
		    !mono_reached(mono_after(m->idle_since, LINGER_MS),
		        loop_now(ms->loop)))
			break;
		stop_lingering(m);
	}
	if (m != NULL)
		timer_set(ms->tick, LINGER_MS);
}

/* If nobody has it any more: close it, or keep it open for a while. */
static void
settle(struct mailbox *m)
{
	struct mailboxes *ms = m->all;

	if (m->holds > 0 || m->state == MAILBOX_OPENING)
		return;
	if (m->evicted) {
		shut(m);
		if (m->evict_done != NULL) {
			TAILQ_INSERT_TAIL(&ms->evicted, m, link);
			task_want(ms->later);
		}
		return;
	}
	if (m->state == MAILBOX_CLOSED) {
		drop_unwatched(m);
		return;
	}
	linger_begin(m);
	if (ms->nlingering > LINGER_MAX)
		linger_tick(ms);
}

static void
call_back(struct mailboxes *ms, struct waiter *w, struct mailbox *m,
    const char *why)
{
	w->m = m;
	w->why = why;
	TAILQ_INSERT_TAIL(&ms->ready, w, link);
	task_want(ms->later);
}

static void
later_run(void *arg)
{
	struct mailboxes *ms = arg;
	struct waiters ready = TAILQ_HEAD_INITIALIZER(ready);
	struct waiter *w;
	struct mailbox *m;

	TAILQ_CONCAT(&ready, &ms->ready, link);
	while ((w = TAILQ_FIRST(&ready)) != NULL) {
		TAILQ_REMOVE(&ready, w, link);
		if (w->m != NULL && w->m->evicted) { /* meanwhile */
			mailbox_release(&w->m);
			w->why = going;
		}
		w->cb(w->arg, w->m, w->why);
		free(w);
	}
	while ((m = TAILQ_FIRST(&ms->evicted)) != NULL) {
		void (*done)(void *arg) = m->evict_done;

		TAILQ_REMOVE(&ms->evicted, m, link);
		m->evict_done = NULL;
		done(m->evict_arg);
	}
}

/* Makes room for n more: the older half, or more, is forgotten. */
static void
forget_changes(struct mailbox *m, size_t n)
{
	size_t drop = m->nchanges / 2;

	if (m->nchanges + n <= CHANGES_MAX)
		return;
	if (m->nchanges - drop + n > CHANGES_MAX)
		drop = m->nchanges;
	m->changes_from = m->changes[drop - 1].modseq;
	m->nchanges -= drop;
	memmove(m->changes, m->changes + drop,
	    m->nchanges * sizeof(m->changes[0]));
}

static void
remember_changes(struct mailbox *m, const struct store_news *n)
{
	MUST(
	    m->nchanges == 0 || m->changes[m->nchanges - 1].modseq < n->modseq);
	if (n->nchanged > CHANGES_MAX) {
		m->nchanges = 0;
		m->changes_from = n->modseq;
		return;
	}
	forget_changes(m, n->nchanged);
	if (m->nchanges + n->nchanged > m->changes_size) {
		m->changes_size =
		    (m->nchanges + n->nchanged) * 2 + CHANGES_FIRST;
		m->changes = xreallocarray(m->changes, m->changes_size,
		    sizeof(m->changes[0]));
	}
	for (size_t i = 0; i < n->nchanged; i++)
		m->changes[m->nchanges++] =
		    (struct mailbox_change){ n->modseq, n->changed[i] };
}

/* They may have lost \Seen. */
static void
look_again(struct mailbox *m, const struct store_news *n)
{
	uint32_t below = store_seen_below(m->mb);
	const struct store_msg *msg;

	for (size_t i = 0; i < n->nchanged && n->changed[i] < below; i++) {
		msg = store_find(m->mb, n->changed[i]);
		if (msg != NULL && !(msg->flags & STORE_SEEN)) {
			store_set_seen_below(m->mb, msg->uid);
			return;
		}
	}
}

uint32_t
mailbox_first_unseen(struct mailbox *m)
{
	const struct store_numbers *n = store_numbers(m->mb);
	uint32_t i = store_index(m->mb, store_seen_below(m->mb));

	if (n->unseen == 0) {
		store_set_seen_below(m->mb, n->uidnext);
		return 0;
	}
	while (i < n->exists && (store_at(m->mb, i)->flags & STORE_SEEN))
		i++;
	if (i == n->exists)
		return 0;
	store_set_seen_below(m->mb, store_at(m->mb, i)->uid);
	return i + 1;
}

bool
mailbox_changes(const struct mailbox *m, uint64_t since,
    const struct mailbox_change **changes, size_t *n)
{
	size_t low = 0, high = m->nchanges;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->changes[mid].modseq <= since)
			low = mid + 1;
		else
			high = mid;
	}
	*changes = m->changes + low;
	*n = m->nchanges - low;
	return since >= m->changes_from;
}

/* It was damaged, and nobody has it open: the next who opens it repairs it. */
static void
on_repairable(void *arg)
{
	struct mailbox *m = arg;

	mailbox_forgive(m->all, m->store, slice_str(m->id));
}

/*
 * A watcher may go while it is told, but no other: views only take note, and
 * act in a turn of their own.
 */
static void
on_news(void *arg, const struct store_news *n)
{
	struct mailbox *m = arg;
	struct mailbox_watcher *w, *next;

	if (n->damaged) {
		if (!m->evicted)
			mailbox_evict(m->all, m->store, slice_str(m->id),
			    on_repairable, m);
		return;
	}
	if (n->nchanged > 0) {
		remember_changes(m, n);
		look_again(m, n);
	}
	if (m->page != NULL)
		ledger_news(m->all->ledger, m->page);
	if (m->all->observer != NULL)
		m->all->observer(m->all->observer_arg, slice_str(m->id), n);
	TAILQ_FOREACH_SAFE (w, &m->watchers, link, next)
		w->ops->news(w, n);
}

static void
on_open(void *arg, struct store_mailbox *mb, const char *why)
{
	struct mailbox *m = arg;
	struct waiters waiters = TAILQ_HEAD_INITIALIZER(waiters);
	struct waiter *w;

	m->mb = mb;
	m->state = mb != NULL ? MAILBOX_OPEN : MAILBOX_CLOSED;
	if (mb != NULL) {
		store_observe(mb, on_news, m);
		store_keep_recent(mb, m->recent);
		m->changes_from = store_numbers(mb)->highestmodseq;
		m->nchanges = 0;
	}
	if (mb != NULL && m->all->ledger != NULL)
		m->page = ledger_opened(m->all->ledger, mb);
	TAILQ_CONCAT(&waiters, &m->waiters, link);
	m->holds++; /* so that it settles once, below */
	while ((w = TAILQ_FIRST(&waiters)) != NULL) {
		TAILQ_REMOVE(&waiters, w, link);
		if (m->evicted) {
			w->cb(w->arg, NULL, going);
		} else if (mb == NULL) {
			w->cb(w->arg, NULL, why);
		} else {
			m->holds++;
			w->cb(w->arg, m, NULL);
		}
		free(w);
	}
	m->holds--;
	settle(m);
}

struct mailboxes *
mailboxes_new(struct loop *l)
{
	struct mailboxes *ms = xcalloc(1, sizeof(*ms));

	ms->loop = l;
	map_init(&ms->open);
	ms->tick = timer_new(l, linger_tick, ms);
	ms->later = task_new(l, later_run, ms);
	TAILQ_INIT(&ms->ready);
	TAILQ_INIT(&ms->lingering);
	TAILQ_INIT(&ms->evicted);
	return ms;
}

void
mailboxes_close_idle(struct mailboxes *ms)
{
	struct mailbox *m;

	while ((m = TAILQ_FIRST(&ms->lingering)) != NULL)
		stop_lingering(m);
}

void
mailboxes_observe(struct mailboxes *ms, mailboxes_observer *fn, void *arg)
{
	ms->observer = fn;
	ms->observer_arg = arg;
}

void
mailboxes_tell(struct mailboxes *ms, struct ledger *ledger)
{
	ms->ledger = ledger;
}

static bool
drop_each(void *arg, struct slice key, void *value)
{
	struct mailbox *m = value;

	(void)arg, (void)key;
	MUST(m->holds == 0 && m->state != MAILBOX_OPENING);
	linger_end(m);
	drop(m);
	return true;
}

void
mailboxes_free(struct mailboxes **msp)
{
	struct mailboxes *ms = *msp;

	*msp = NULL;
	if (ms == NULL)
		return;
	MUST(TAILQ_EMPTY(&ms->ready) && TAILQ_EMPTY(&ms->evicted));
	map_each(&ms->open, drop_each, NULL);
	map_fini(&ms->open);
	timer_free(&ms->tick);
	task_free(&ms->later);
	free(ms);
}

void
mailbox_open(struct mailboxes *ms, struct store *st, struct slice id,
    mailbox_cb *cb, void *arg)
{
	struct mailbox *m = find(ms, st, id);
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->cb = cb;
	w->arg = arg;
	if (m == NULL)
		m = add(ms, st, id);
	if (m->evicted) {
		call_back(ms, w, NULL, going);
		return;
	}
	if (m->state == MAILBOX_OPEN) {
		linger_end(m);
		m->holds++;
		call_back(ms, w, m, NULL);
		return;
	}
	TAILQ_INSERT_TAIL(&m->waiters, w, link);
	if (m->state == MAILBOX_CLOSED) {
		m->state = MAILBOX_OPENING;
		store_open(st, m->id, on_open, m);
	}
}

void
mailbox_reopen(struct mailbox *m, mailbox_cb *cb, void *arg)
{
	mailbox_open(m->all, m->store, slice_str(m->id), cb, arg);
}

bool
mailbox_is_going(const struct mailbox *m)
{
	return m->evicted;
}

struct mailbox *
mailbox_hold(struct mailbox *m)
{
	MUST(m->holds > 0);
	m->holds++;
	return m;
}

void
mailbox_release(struct mailbox **mp)
{
	struct mailbox *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	MUST(m->holds > 0);
	m->holds--;
	settle(m);
}

void
mailbox_leave(struct mailbox **mp)
{
	struct mailbox *m = *mp;

	*mp = NULL;
	MUST(m->holds > 0);
	m->holds--;
	if (m->holds > 0 || m->state != MAILBOX_OPEN || m->evicted) {
		settle(m);
		return;
	}
	shut(m);
	drop_unwatched(m);
}

void
mailbox_evict(struct mailboxes *ms, struct store *st, struct slice id,
    void (*done)(void *arg), void *arg)
{
	struct mailbox *m = find(ms, st, id);
	struct mailbox_watcher *w;

	if (m == NULL)
		m = add(ms, st, id);
	MUST(!m->evicted || m->evict_done == on_repairable);
	m->evict_done = done;
	m->evict_arg = arg;
	if (m->evicted)
		return; /* it is being closed: it is not to be repaired */
	linger_end(m);
	m->evicted = true;
	m->holds++; /* so that it settles once, below */
	while ((w = TAILQ_FIRST(&m->watchers)) != NULL) {
		TAILQ_REMOVE(&m->watchers, w, link);
		w->ops->lost(w);
	}
	m->holds--;
	settle(m);
}

void
mailbox_forgive(struct mailboxes *ms, struct store *st, struct slice id)
{
	struct mailbox *m = find(ms, st, id);

	MUST(m != NULL && m->evicted && m->evict_done == NULL);
	m->evicted = false;
	settle(m);
}

const char *
mailbox_id(const struct mailbox *m)
{
	return m->id;
}

struct store_mailbox *
mailbox_store(const struct mailbox *m)
{
	MUST(m->mb != NULL);
	return m->mb;
}

const struct store_numbers *
mailbox_numbers(const struct mailbox *m)
{
	return store_numbers(m->mb);
}

void
mailbox_watch(struct mailbox *m, struct mailbox_watcher *w)
{
	MUST(!m->evicted);
	TAILQ_INSERT_TAIL(&m->watchers, w, link);
}

void
mailbox_unwatch(struct mailbox *m, struct mailbox_watcher *w)
{
	TAILQ_REMOVE(&m->watchers, w, link);
	if (m->state == MAILBOX_CLOSED && !m->evicted)
		settle(m);
}

/* ------------------------------------------------- messages that come in */

struct appending {
	struct mailbox_append *asked;
	size_t n;
	store_cb *cb;
	void *arg;
	struct store_append items[];
};

static void
on_appended(void *arg, const char *why)
{
	struct appending *ap = arg;

	for (size_t i = 0; i < ap->n; i++) {
		ap->asked[i].outcome = ap->items[i].outcome;
		ap->asked[i].uid = ap->items[i].new_uid;
	}
	ap->cb(ap->arg, why);
	free(ap);
}

static void
set_keywords(struct store_mailbox *mb, const struct mailbox_append *a,
    struct store_append *item)
{
	for (size_t i = 0; i < a->nkeywords; i++) {
		int k = store_keyword_add(mb, a->keywords[i]);

		if (k != -1)
			item->keywords[k / 64] |= (uint64_t)1 << (k % 64);
	}
}

static void
set_item(struct mailbox *m, const struct mailbox_append *a,
    struct store_append *item)
{
	item->octets = letter_octets(a->letter);
	item->cache = letter_cache(a->letter);
	memcpy(item->emailid, letter_emailid(a->letter), sizeof(item->emailid));
	memcpy(item->key, a->key, sizeof(item->key));
	item->flags = a->flags;
	item->internaldate = a->internaldate;
	item->zone = a->zone;
	set_keywords(m->mb, a, item);
}

void
mailbox_append(struct mailbox *m, struct mailbox_append *a, size_t n,
    store_cb *cb, void *arg)
{
	struct appending *ap;

	MUST(n >= 1 && n <= STORE_ITEMS_MAX && m->holds > 0);
	ap = xcalloc(1, sizeof(*ap) + n * sizeof(ap->items[0]));
	ap->asked = a;
	ap->n = n;
	ap->cb = cb;
	ap->arg = arg;
	for (size_t i = 0; i < n; i++)
		set_item(m, &a[i], &ap->items[i]);
	store_append(m->mb, ap->items, n, on_appended, ap);
}

struct replacing {
	struct mailbox *from, *to;
	uint32_t uid;
	struct mailbox_append *asked;
	struct store_append item;
	const char *why; /* it failed */
	store_cb *cb;
	void *arg;
};

static void
on_replaced(void *arg, const char *why)
{
	struct replacing *r = arg;

	r->asked->outcome = r->item.outcome;
	r->asked->uid = r->item.new_uid;
	r->cb(r->arg, r->why != NULL ? r->why : why);
	free(r);
}

/* Between two stores: it is there; if the old one stays, it goes again. */
static void
on_other_gone(void *arg, const char *why)
{
	struct replacing *r = arg;

	r->why = why;
	if (why == NULL)
		on_replaced(r, NULL);
	else
		store_expunge(r->to->mb, &r->item.new_uid, 1, 0, on_replaced,
		    r);
}

static void
on_other_appended(void *arg, const char *why)
{
	struct replacing *r = arg;

	if (why != NULL || r->item.outcome != STORE_DONE)
		on_replaced(r, why);
	else
		store_expunge(r->from->mb, &r->uid, 1, 0, on_other_gone, r);
}

void
mailbox_replace(struct mailbox *from, uint32_t uid, struct mailbox *m,
    struct mailbox_append *a, store_cb *cb, void *arg)
{
	struct replacing *r = xcalloc(1, sizeof(*r));

	MUST(from->holds > 0 && m->holds > 0);
	r->from = from;
	r->to = m;
	r->uid = uid;
	r->asked = a;
	r->cb = cb;
	r->arg = arg;
	set_item(m, a, &r->item);
	if (from->store == m->store) {
		r->item.from_uid = uid;
		store_move(from->mb, m->mb, &r->item, 1, on_replaced, r);
	} else {
		store_append(m->mb, &r->item, 1, on_other_appended, r);
	}
}

struct delivering {
	struct mailbox *m;
	struct mailbox_append *a;
	store_cb *cb;
	void *arg;
};

static void
on_delivered(void *arg, const char *why)
{
	struct delivering *d = arg;

	d->cb(d->arg, why);
	mailbox_release(&d->m);
	free(d);
}

static void
on_deliver_open(void *arg, struct mailbox *m, const char *why)
{
	struct delivering *d = arg;

	d->m = m;
	if (m == NULL)
		on_delivered(d, why);
	else
		mailbox_append(m, d->a, 1, on_delivered, d);
}

void
mailbox_deliver(struct mailboxes *ms, struct store *st, struct slice id,
    struct mailbox_append *a, store_cb *cb, void *arg)
{
	struct delivering *d = xcalloc(1, sizeof(*d));

	d->a = a;
	d->cb = cb;
	d->arg = arg;
	mailbox_open(ms, st, id, on_deliver_open, d);
}
