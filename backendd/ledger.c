#include <stdlib.h>
#include <string.h>

#include "backendd/ledger.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

static const struct store_numbers nothing;

struct ledger {
	struct loop *loop;
	struct map pages;               /* store and id: page */
	TAILQ_HEAD(, ledger_page) idle; /* may be forgotten; oldest first */
	ledger_observer *observer;
	void *observer_arg;
};

/* What is asked for in one go. */
struct fetch {
	struct ledger *ledger;
	struct store *store;
	ledger_cb *cb;
	void *arg;
	struct mono began;
	size_t n;
	struct store_peek *peeks; /* behind it: room for their ids */
	char (*ids)[STORE_ID_MAX + 1];
};

static bool
is_idle(const struct ledger_page *p)
{
	return p->mb == NULL && p->root == NULL && p->holds == 0;
}

static void
idle_end(struct ledger *l, struct ledger_page *p)
{
	if (is_idle(p))
		TAILQ_REMOVE(&l->idle, p, link);
}

static void
idle_begin(struct ledger *l, struct ledger_page *p)
{
	if (is_idle(p))
		TAILQ_INSERT_TAIL(&l->idle, p, link);
}

static void
drop(struct ledger *l, struct ledger_page *p)
{
	uint8_t room[STORE_KEY_MAX];

	MUST(is_idle(p));
	TAILQ_REMOVE(&l->idle, p, link);
	MUST(map_remove(&l->pages,
	         store_key(room, p->store, slice_str(p->id))) == p);
	free(p);
}

static void
become(struct ledger *l, struct ledger_page *p, const struct store_numbers *now)
{
	struct store_numbers old = p->known ? p->numbers : nothing;

	p->numbers = *now;
	p->known = true;
	p->at = loop_now(l->loop);
	if (l->observer != NULL)
		l->observer(l->observer_arg, p, &old);
}

struct ledger *
ledger_new(struct loop *loop)
{
	struct ledger *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	map_init(&l->pages);
	TAILQ_INIT(&l->idle);
	return l;
}

void
ledger_free(struct ledger **lp)
{
	struct ledger *l = *lp;
	struct ledger_page *p;

	*lp = NULL;
	if (l == NULL)
		return;
	while ((p = TAILQ_FIRST(&l->idle)) != NULL)
		drop(l, p);
	MUST(map_count(&l->pages) == 0);
	map_fini(&l->pages);
	free(l);
}

void
ledger_observe(struct ledger *l, ledger_observer *fn, void *arg)
{
	l->observer = fn;
	l->observer_arg = arg;
}

struct ledger_page *
ledger_find(struct ledger *l, const struct store *st, struct slice id)
{
	uint8_t room[STORE_KEY_MAX];
	struct ledger_page *p = map_find(&l->pages, store_key(room, st, id));

	if (p != NULL) {
		idle_end(l, p);
		idle_begin(l, p);
	}
	return p;
}

struct ledger_page *
ledger_get(struct ledger *l, struct store *st, struct slice id)
{
	struct ledger_page *p = ledger_find(l, st, id);
	uint8_t room[STORE_KEY_MAX];

	if (p != NULL)
		return p;
	if (map_count(&l->pages) >= LEDGER_PAGES_MAX && !TAILQ_EMPTY(&l->idle))
		drop(l, TAILQ_FIRST(&l->idle));
	p = xcalloc(1, sizeof(*p));
	p->store = st;
	memcpy(p->id, id.ptr, id.len);
	MUST(map_put(&l->pages, store_key(room, st, id), p) == NULL);
	idle_begin(l, p);
	return p;
}

void
ledger_made(struct ledger *l, struct store *st, struct slice id,
    uint32_t uidvalidity)
{
	struct store_numbers n = { .uidvalidity = uidvalidity,
		.uidnext = 1,
		.highestmodseq = 1 };
	struct ledger_page *p = ledger_get(l, st, id);

	if (!p->known)
		become(l, p, &n);
}

void
ledger_forget(struct ledger *l, struct store *st, struct slice id)
{
	struct ledger_page *p = ledger_find(l, st, id);

	if (p != NULL && is_idle(p))
		drop(l, p);
}

void
ledger_uncounted(struct ledger *l, struct ledger_page *p)
{
	MUST(p->root == NULL);
	idle_begin(l, p);
}

void
ledger_counted(struct ledger *l, struct ledger_page *p, struct quota_root *root)
{
	MUST(p->root == NULL && root != NULL);
	idle_end(l, p);
	p->root = root;
}

void
ledger_hold(struct ledger *l, struct ledger_page *p)
{
	idle_end(l, p);
	p->holds++;
}

void
ledger_unhold(struct ledger *l, struct ledger_page *p)
{
	MUST(p->holds > 0);
	p->holds--;
	idle_begin(l, p);
}

uint32_t
ledger_recent(const struct ledger_page *p)
{
	return p->mb == NULL ? p->recent
	                     : store_numbers(p->mb)->exists -
	                           store_index(p->mb, store_recent(p->mb));
}

/* --- it is open --------------------------------------------------------------- */

struct ledger_page *
ledger_opened(struct ledger *l, const struct store_mailbox *mb)
{
	struct ledger_page *p =
	    ledger_get(l, store_of(mb), slice_str(store_id(mb)));

	MUST(p->mb == NULL);
	idle_end(l, p);
	p->mb = mb;
	become(l, p, store_numbers(mb));
	return p;
}

void
ledger_news(struct ledger *l, struct ledger_page *p)
{
	become(l, p, store_numbers(p->mb));
}

void
ledger_closed(struct ledger *l, struct ledger_page **pp)
{
	struct ledger_page *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	p->recent = ledger_recent(p);
	become(l, p, store_numbers(p->mb));
	p->mb = NULL;
	idle_begin(l, p);
}

/* --- known, and true? --------------------------------------------------------- */

/* Of a moment before then, or of none? */
static bool
is_older(const struct ledger_page *p, struct mono then)
{
	return !p->known || (p->mb == NULL && p->store->module->shared &&
	                        !mono_reached(then, p->at));
}

bool
ledger_is_true(const struct ledger *l, const struct ledger_page *p)
{
	return !is_older(p, mono_after(loop_now(l->loop), -LEDGER_TRUE_MS));
}

bool
ledger_knows(struct ledger *l, const struct store *st, const struct slice *ids,
    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct ledger_page *p = ledger_find(l, st, ids[i]);

		if (p == NULL || !ledger_is_true(l, p))
			return false;
	}
	return true;
}

/* --- asking the store ----------------------------------------------------------- */

static void
fetched(void *arg)
{
	struct fetch *f = arg;

	for (size_t i = 0; i < f->n; i++) {
		const struct store_peek *k = &f->peeks[i];
		struct ledger_page *p;

		if (k->why != NULL)
			continue;
		/* What is known by now is newer. */
		p = ledger_get(f->ledger, f->store, slice_str(k->id));
		if (!is_older(p, f->began))
			continue;
		p->recent = k->recent;
		become(f->ledger, p, &k->numbers);
	}
	f->cb(f->arg);
	free(f->peeks);
	free(f->ids);
	free(f);
}

void
ledger_fetch(struct ledger *l, struct store *st, const struct slice *ids,
    size_t n, ledger_cb *cb, void *arg)
{
	struct fetch *f = xcalloc(1, sizeof(*f));

	MUST(n <= LEDGER_FETCH_MAX);
	*f = (struct fetch){ .ledger = l, .store = st, .cb = cb, .arg = arg };
	f->began = loop_now(l->loop);
	f->peeks = xcalloc(n + 1, sizeof(*f->peeks));
	f->ids = xcalloc(n + 1, sizeof(*f->ids));
	for (size_t i = 0; i < n; i++) {
		struct ledger_page *p = ledger_find(l, st, ids[i]);

		if (p != NULL && ledger_is_true(l, p))
			continue;
		MUST(ids[i].len <= STORE_ID_MAX);
		memcpy(f->ids[f->n], ids[i].ptr, ids[i].len);
		f->peeks[f->n].id = f->ids[f->n];
		f->n++;
	}
	store_peek(st, f->peeks, f->n, fetched, f);
}
