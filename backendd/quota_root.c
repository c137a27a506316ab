#include <stdlib.h>
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quota.h"
#include "backendd/quota_root.h"
#include "backendd/quota_warning.h"
#include "backendd/server.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/hash.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

enum {
	SLICE = 256, /* mailboxes gathered in a turn */
	COUNTED_MAX = LEDGER_PAGES_MAX / 2
};

/* --- which root ---------------------------------------------------------------------- */

const char *
quota_root_find(struct quotas *q, const char *name, struct arena *a,
    struct quota_limits *limits)
{
	struct slice s = slice_str(name), domain = mboxname_domain(s);

	for (; s.len > 0; s = mboxname_parent(s))
		if (mblist_quota_get(q->bd->list, s, limits))
			return arena_string(a, s);
	if (domain.len == 0 || mblist_is_aside(name))
		return NULL;
	s = slice_first(slice_str(name), domain.len + 1);
	return mblist_quota_get(q->bd->list, s, limits) ? arena_string(a, s)
	                                                : NULL;
}

/* --- members -------------------------------------------------------------------------- */

void
quota_root_detach(struct ledger_page *p)
{
	struct quota_root *r = p->root;
	struct quotas *q = r->all;

	TAILQ_REMOVE(&r->members, p, member);
	r->nmembers--;
	q->nmembers--;
	r->usage.mailboxes--;
	if (p->known) {
		r->usage.octets -= p->numbers.size;
		r->usage.messages -= p->numbers.exists;
	}
	r->held.octets -= p->held.octets;
	r->held.messages -= p->held.messages;
	p->root = NULL;
	ledger_uncounted(q->bd->ledger, p);
}

void
quota_root_attach(struct quota_root *r, struct ledger_page *p, const char *name)
{
	struct quotas *q = r->all;

	p->name = hash_sip(q->key, slice_str(name));
	if (p->root == r)
		return;
	if (p->root != NULL)
		quota_root_detach(p);
	ledger_counted(q->bd->ledger, p, r);
	TAILQ_INSERT_TAIL(&r->members, p, member);
	r->nmembers++;
	q->nmembers++;
	r->usage.mailboxes++;
	if (p->known) {
		r->usage.octets += p->numbers.size;
		r->usage.messages += p->numbers.exists;
	}
	r->held.octets += p->held.octets;
	r->held.messages += p->held.messages;
}

void
quota_root_expect(struct quota_hold *h, uint64_t octets, uint64_t messages)
{
	struct ledger_page *p = h->page;
	struct quota_root *r = p->root; /* as the mailbox is called now */

	p->held.octets += octets - h->octets;
	p->held.messages += messages - h->messages;
	if (r != NULL) {
		r->held.octets += octets - h->octets;
		r->held.messages += messages - h->messages;
	}
	h->octets = octets;
	h->messages = messages;
}

bool
quota_root_has(const struct quotas *q, const struct ledger_page *p,
    const char *name)
{
	return p->root != NULL && p->name == hash_sip(q->key, slice_str(name));
}

static void
detach_all(struct quota_root *r)
{
	struct ledger_page *p;

	while ((p = TAILQ_FIRST(&r->members)) != NULL)
		quota_root_detach(p);
	MUST(r->nmembers == 0 && r->usage.mailboxes == 0);
}

static void
on_numbers(void *arg, struct ledger_page *p, const struct store_numbers *old)
{
	struct quota_root *r = p->root;

	(void)arg;
	if (r == NULL)
		return;
	r->usage.octets += p->numbers.size - old->size;
	r->usage.messages += (uint64_t)p->numbers.exists - old->exists;
	if (r->state == ROOT_COUNTED)
		r->all->counts.warned += quota_warning_tell(r->all->bd, r->name,
		    &r->limits, &r->usage, r->warned);
}

/* --- the life of a root ------------------------------------------------------------------ */

static struct quota_root *
root_new(struct quotas *q, const char *name, const struct quota_limits *limits)
{
	struct quota_root *r = xcalloc(1, sizeof(*r));

	r->all = q;
	r->name = xstrdup(name);
	r->limits = *limits;
	TAILQ_INIT(&r->members);
	TAILQ_INIT(&r->waiters);
	buf_init(&r->cursor, TREEDB_KEY_MAX + 1);
	TAILQ_INSERT_TAIL(&q->counting, r, link);
	MUST(map_put(&q->roots, slice_str(name), r) == NULL);
	task_want(q->pump);
	return r;
}

static void
root_enter_counted(struct quota_root *r)
{
	struct quotas *q = r->all;

	MUST(r->state != ROOT_COUNTED);
	r->state = ROOT_COUNTED;
	buf_fini(&r->cursor);
	TAILQ_REMOVE(&q->counting, r, link);
	TAILQ_INSERT_TAIL(&q->counted, r, link);
}

/* It is counted, and nobody waits for it. */
static void
root_free(struct quota_root *r)
{
	struct quotas *q = r->all;

	MUST(r->state == ROOT_COUNTED && TAILQ_EMPTY(&r->waiters));
	detach_all(r);
	TAILQ_REMOVE(&q->counted, r, link);
	MUST(map_remove(&q->roots, slice_str(r->name)) == r);
	free(r->name);
	free(r);
}

/* What was being told to those who wait has been overtaken. */
static void
root_leave_counted(struct quota_root *r)
{
	struct quotas *q = r->all;

	r->state = ROOT_GATHERING;
	r->again = true;
	buf_init(&r->cursor, TREEDB_KEY_MAX + 1);
	TAILQ_REMOVE(&q->counted, r, link);
	TAILQ_INSERT_TAIL(&q->counting, r, link);
	task_want(q->pump);
}

/* What is known of it may be wrong. */
void
quota_root_doubt(struct quota_root *r)
{
	if (r->state != ROOT_COUNTED)
		r->again = true;
	else if (TAILQ_EMPTY(&r->waiters))
		root_free(r);
	else
		root_leave_counted(r);
}

struct quota_root *
quota_root_get(struct quotas *q, const char *name,
    const struct quota_limits *limits)
{
	struct quota_root *r = map_find(&q->roots, slice_str(name));

	if (r == NULL)
		return root_new(q, name, limits);
	if (r->state == ROOT_COUNTED) {
		TAILQ_REMOVE(&q->counted, r, link);
		TAILQ_INSERT_TAIL(&q->counted, r, link);
	}
	return r;
}

/* --- counting ---------------------------------------------------------------------------- */

struct gathered {
	struct store *store;
	struct slice ids[SLICE];
	size_t n;
};

struct gathering {
	struct quota_root *root;
	struct arena arena;
	struct gathered *of; /* each partition */
};

static void
want_numbers(struct gathering *g, const struct ledger_page *p)
{
	struct gathered *of = g->of;

	for (; of->store != NULL && of->store != p->store; of++)
		;
	of->store = p->store;
	of->ids[of->n++] = slice_str(p->id);
}

static bool
gather_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct gathering *g = arg;
	struct quota_root *r = g->root;
	struct quotas *q = r->all;
	struct store *st = backendd_store(q->bd, rec);
	struct quota_limits limits;
	const char *root = quota_root_find(q, name, &g->arena, &limits);
	struct ledger_page *p;

	if (st == NULL || root == NULL || strcmp(root, r->name) != 0)
		return true;
	p = ledger_get(q->bd->ledger, st, rec->mailboxid);
	quota_root_attach(r, p, name);
	if (!p->known)
		want_numbers(g, p);
	return true;
}

static void
fetched(void *arg)
{
	struct quota_root *r = arg;

	MUST(r->state == ROOT_FETCHING && r->fetching > 0);
	if (--r->fetching > 0)
		return;
	r->state = ROOT_GATHERING;
	task_want(r->all->pump);
}

/* The mailbox itself comes first; then what is below. */
static bool
gather_slice(struct gathering *g)
{
	struct quota_root *r = g->root;
	struct mblist *list = r->all->bd->list;
	struct slice name = slice_str(r->name);
	const struct mboxrec *own;
	struct buf prefix;
	bool all;

	buf_init(&prefix, TREEDB_KEY_MAX);
	mboxname_key(&prefix, name);
	if (name.ptr[name.len - 1] != '!') {
		buf_putc(&prefix, TREEDB_SEP);
		own = r->own ? NULL : mblist_get(list, r->name, &g->arena);
		if (own != NULL)
			(void)gather_one(g, r->name, own); /* it goes on */
		r->own = true;
	}
	all = buf_failed(&prefix) || mblist_slice_of(list, buf_slice(&prefix),
	                                 &r->cursor, SLICE - 1, gather_one, g);
	buf_fini(&prefix);
	return all;
}

/* What is on its way to names of this root, before it is listed there. */
static void
add_coming(const struct quota_root *r, struct quota_usage *u)
{
	struct quotas *q = r->all;
	const struct quota_hold *h;
	struct quota_limits limits;
	struct arena a;

	arena_init(&a);
	TAILQ_FOREACH (h, &q->coming, link) {
		const char *root = quota_root_find(q, h->name, &a, &limits);

		if (root == NULL || strcmp(root, r->name) != 0)
			continue;
		u->octets += h->octets;
		u->messages += h->messages;
		u->mailboxes += h->mailboxes;
	}
	arena_reset(&a);
}

static enum quota_verdict
judge(const struct quota_root *r, const struct quota_need *need)
{
	struct quota_usage now = r->usage, after;
	const uint64_t added[] = { need->octets, need->messages,
		need->mailboxes };

	now.octets += r->held.octets;
	now.messages += r->held.messages;
	add_coming(r, &now);
	after = now;
	after.octets += need->octets;
	after.messages += need->messages;
	after.mailboxes += need->mailboxes;
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++) {
		uint64_t used = quota_used(&after, (enum quota_resource)i);

		if (added[i] > 0 && used > r->limits.limit[i])
			return QUOTA_OVER;
	}
	return quota_warning_is_due(r->all->bd, &r->limits, &now, &after)
	           ? QUOTA_SOFT
	           : QUOTA_FITS;
}

/* It has its page or its name already. */
static void
hold(struct quota_hold *h, const struct quota_need *need)
{
	if (h->page != NULL)
		quota_root_expect(h, need->octets, need->messages);
	h->octets = need->octets;
	h->messages = need->messages;
	h->mailboxes = need->mailboxes;
}

enum quota_verdict
quota_root_decide(struct quota_root *r, const struct quota_need *need)
{
	enum quota_verdict v = judge(r, need);

	if (v == QUOTA_OVER)
		r->all->counts.refused++;
	if (need->hold != NULL && v == QUOTA_OVER)
		quota_release(r->all, need->hold);
	else if (need->hold != NULL)
		hold(need->hold, need);
	return v;
}

static void
subtract(uint64_t *from, uint64_t n)
{
	*from -= n < *from ? n : *from;
}

void
quota_root_listed(struct quotas *q, const char *name,
    const struct ledger_page *p)
{
	struct slice s = slice_str(name);
	struct quota_hold *h;

	TAILQ_FOREACH (h, &q->coming, link)
		if (h->mailboxes > 0 &&
		    (strcmp(h->name, name) == 0 ||
		        mboxname_is_below(s, slice_str(h->name))))
			break;
	if (h == NULL)
		return;
	h->mailboxes--;
	if (p == NULL || !p->known)
		return;
	subtract(&h->octets, p->numbers.size);
	subtract(&h->messages, p->numbers.exists);
}

/* Too many roots are counted: those asked for longest ago go. */
static void
make_room(struct quotas *q)
{
	struct quota_root *r;

	while (q->nmembers > COUNTED_MAX &&
	       (r = TAILQ_FIRST(&q->counted)) != NULL &&
	       r != TAILQ_LAST(&q->counted, quota_roots))
		root_free(r);
}

static void
counted(struct quota_root *r)
{
	struct quotas *q = r->all;
	struct quota_waiter *w;

	root_enter_counted(r);
	quota_warning_begin(q->bd, &r->limits, &r->usage, r->warned);
	/* One that is told may cause doubt; r stays while one is in the list */
	while (r->state == ROOT_COUNTED &&
	       (w = TAILQ_FIRST(&r->waiters)) != NULL) {
		if (w->check != NULL)
			w->check(w->arg, quota_root_decide(r, &w->need));
		else
			w->usage(w->arg, &r->usage);
		TAILQ_REMOVE(&r->waiters, w, link);
		free(w);
	}
	make_room(q);
}

static void
count_on(struct quota_root *r)
{
	struct quotas *q = r->all;
	struct gathering g = { .root = r };
	bool all;

	arena_init(&g.arena);
	g.of = arena_array(&g.arena, q->bd->npartitions + 1, sizeof(*g.of));
	if (r->again) {
		detach_all(r);
		buf_clear(&r->cursor);
		r->own = false;
		(void)mblist_quota_get(q->bd->list, slice_str(r->name),
		    &r->limits); /* or it is gone: then as it was */
		r->again = false;
	}
	all = gather_slice(&g);
	r->state = ROOT_FETCHING;
	for (const struct gathered *of = g.of; of->store != NULL; of++) {
		r->fetching++;
		ledger_fetch(q->bd->ledger, of->store, of->ids, of->n, fetched,
		    r);
	}
	if (r->fetching == 0)
		r->state = ROOT_GATHERING;
	arena_reset(&g.arena);
	/* With the last slice's numbers under way there is one turn more. */
	if (all && r->fetching == 0 && !r->again)
		counted(r);
	else if (r->fetching == 0)
		task_want(q->pump);
}

static void
pump(void *arg)
{
	struct quotas *q = arg;
	struct quota_root *r, *next;

	TAILQ_FOREACH_SAFE (r, &q->counting, link, next)
		if (r->state == ROOT_GATHERING)
			count_on(r);
}

void
quota_root_await(struct quota_root *r, const struct quota_waiter *how)
{
	struct quota_waiter *w = xcalloc(1, sizeof(*w));

	*w = *how;
	TAILQ_INSERT_TAIL(&r->waiters, w, link);
}

/* --- all of them ------------------------------------------------------------------ */

void
quota_roots_init(struct quotas *q)
{
	map_init(&q->roots);
	TAILQ_INIT(&q->counted);
	TAILQ_INIT(&q->counting);
	TAILQ_INIT(&q->coming);
	q->pump = task_new(q->bd->loop, pump, q);
	rand_bytes(q->key, sizeof(q->key));
	ledger_observe(q->bd->ledger, on_numbers, q);
}

static void
forget_waiters(struct quota_root *r)
{
	struct quota_waiter *w;

	while ((w = TAILQ_FIRST(&r->waiters)) != NULL) {
		TAILQ_REMOVE(&r->waiters, w, link);
		free(w);
	}
}

void
quota_roots_fini(struct quotas *q)
{
	struct quota_root *r;

	ledger_observe(q->bd->ledger, NULL, NULL);
	while ((r = TAILQ_FIRST(&q->counting)) != NULL) {
		forget_waiters(r);
		root_enter_counted(r);
	}
	while ((r = TAILQ_FIRST(&q->counted)) != NULL)
		root_free(r);
	map_fini(&q->roots);
	task_free(&q->pump);
}
