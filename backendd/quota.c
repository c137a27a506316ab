#include <stdlib.h>
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/mblist_quota.h"
#include "backendd/quota.h"
#include "backendd/quota_root.h"
#include "backendd/quota_warning.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

const char *
quota_root_of(struct quotas *q, const char *name, struct arena *a)
{
	struct quota_limits limits;

	return quota_root_find(q, name, a, &limits);
}

bool
quota_limits(struct quotas *q, const char *root, struct quota_limits *limits)
{
	return mblist_quota_get(q->bd->list, slice_str(root), limits);
}

/* --- what is on its way ----------------------------------------------------------------- */

/* Nothing is, yet; but the page will be there. */
static void
hold_page(struct quotas *q, struct quota_hold *h, const char *name,
    struct arena *a)
{
	const struct mboxrec *rec = mblist_get(q->bd->list, name, a);
	struct store *st = rec == NULL ? NULL : backendd_store(q->bd, rec);

	if (st == NULL)
		return; /* nothing can come there */
	h->page = ledger_get(q->bd->ledger, st, rec->mailboxid);
	ledger_hold(q->bd->ledger, h->page);
}

static void
hold_begin(struct quotas *q, const struct quota_need *need, const char *name,
    struct arena *a)
{
	struct quota_hold *h = need->hold;

	MUST(h->page == NULL && h->name == NULL);
	if (need->mailboxes == 0) {
		hold_page(q, h, name, a);
		return;
	}
	*h = (struct quota_hold){ .name = name };
	TAILQ_INSERT_TAIL(&q->coming, h, link);
}

void
quota_arrived(struct quota_hold *h, uint64_t octets, uint64_t messages)
{
	if (h->page != NULL)
		quota_root_expect(h,
		    h->octets - (octets < h->octets ? octets : h->octets),
		    h->messages -
		        (messages < h->messages ? messages : h->messages));
}

void
quota_release(struct quotas *q, struct quota_hold *h)
{
	if (h->name != NULL)
		TAILQ_REMOVE(&q->coming, h, link);
	h->name = NULL;
	if (h->page == NULL)
		return;
	quota_root_expect(h, 0, 0);
	ledger_unhold(q->bd->ledger, h->page);
	h->page = NULL;
}

/* --- asking ------------------------------------------------------------------------------- */

enum quota_verdict
quota_check(struct quotas *q, const char *name, const struct quota_need *need,
    quota_check_cb *cb, void *arg)
{
	struct quota_waiter w = { .need = *need, .check = cb, .arg = arg };
	enum quota_verdict verdict = QUOTA_FITS;
	struct quota_limits limits;
	struct quota_root *r;
	struct arena a;
	const char *root, *from = NULL;

	arena_init(&a);
	w.need.from = NULL; /* the caller's, and settled here */
	root = quota_root_find(q, name, &a, &limits);
	if (root != NULL && need->from != NULL)
		from = quota_root_of(q, need->from, &a);
	if (root != NULL && (from == NULL || strcmp(from, root) != 0) &&
	    memcmp(&limits, &quota_unlimited, sizeof(limits)) != 0) {
		r = quota_root_get(q, root, &limits);
		if (need->hold != NULL)
			hold_begin(q, need, name, &a);
		if (r->state == ROOT_COUNTED) {
			verdict = quota_root_decide(r, need);
		} else {
			quota_root_await(r, &w);
			verdict = QUOTA_LATER;
		}
	}
	arena_reset(&a);
	return verdict;
}

void
quota_refuse(struct session *ss)
{
	session_done(ss, SESSION_NO, "OVERQUOTA", "Over quota");
}

/* In the command's arena. */
struct admitting {
	struct session *ss;
	quota_admit_cb *cb;
	void *arg;
};

static void
checked(void *arg, enum quota_verdict v)
{
	struct admitting *ad = arg;
	struct write w;

	session_write(ad->ss, &w);
	if (v == QUOTA_SOFT)
		write_reply(&w, slice_of(NULL, 0), WRITE_NO, RESPCODE_OVERQUOTA,
		    "Soft quota has been exceeded");
	ad->cb(ad->arg, v != QUOTA_OVER);
}

void
quota_admit(struct session *ss, const char *name, const struct quota_need *need,
    quota_admit_cb *cb, void *arg)
{
	struct admitting *ad = arena_alloc(session_cmd(ss)->arena, sizeof(*ad));
	enum quota_verdict v;

	*ad = (struct admitting){ ss, cb, arg };
	v = quota_check(session_server(ss)->quotas, name, need, checked, ad);
	if (v != QUOTA_LATER)
		checked(ad, v);
}

struct answer {
	struct quota_usage usage;
	quota_usage_cb *cb;
	void *arg;
};

static void
answer(void *arg)
{
	struct answer *a = arg;

	a->cb(a->arg, &a->usage);
	free(a);
}

void
quota_usage(struct quotas *q, const char *root, quota_usage_cb *cb, void *arg)
{
	struct quota_limits limits = quota_unlimited;
	struct quota_waiter w = { .usage = cb, .arg = arg };
	struct quota_root *r;
	struct answer *a;

	(void)quota_limits(q, root, &limits); /* none is as good */
	r = quota_root_get(q, root, &limits);
	if (r->state != ROOT_COUNTED) {
		quota_root_await(r, &w);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	*a = (struct answer){ r->usage, cb, arg };
	loop_at_end(q->bd->loop, answer, a);
}

void
quota_put_warnings(struct quotas *q, const char *name, struct buf *out)
{
	struct quota_limits limits;
	struct quota_root *r;
	struct arena a;
	const char *root;

	arena_init(&a);
	root = quota_root_find(q, name, &a, &limits);
	r = root == NULL ? NULL : quota_root_get(q, root, &limits);
	if (r != NULL && r->state == ROOT_COUNTED)
		quota_warning_put(q->bd, &r->limits, &r->usage, out);
	arena_reset(&a);
}

/* --- setting -------------------------------------------------------------------------------- */

struct setting {
	struct quotas *all;
	char *root;
	quota_set_cb *cb;
	void *arg;
};

/* Of this root and those above it, which lose or get mailboxes. */
static void
doubt_around(struct quotas *q, const char *root)
{
	struct slice s = slice_str(root), domain = mboxname_domain(s);
	struct quota_root *r;

	for (; s.len > 0; s = mboxname_parent(s)) {
		r = map_find(&q->roots, s);
		if (r != NULL)
			quota_root_doubt(r);
	}
	s = slice_first(slice_str(root), domain.len + 1);
	r = domain.len > 0 ? map_find(&q->roots, s) : NULL;
	if (r != NULL)
		quota_root_doubt(r);
}

static void
set(void *arg, bool failed)
{
	struct setting *s = arg;

	doubt_around(s->all, s->root);
	s->cb(s->arg, failed);
	free(s->root);
	free(s);
}

void
quota_set(struct quotas *q, const char *root, const struct quota_limits *limits,
    quota_set_cb *cb, void *arg)
{
	struct setting *s = xcalloc(1, sizeof(*s));

	*s = (struct setting){ q, xstrdup(root), cb, arg };
	mblist_quota_set(q->bd->list, root, limits, set, s);
	doubt_around(q, root);
}

/* --- for the list of mailboxes ---------------------------------------------------------------- */

void
quotas_listed(struct quotas *q, const char *name, const struct mboxrec *rec)
{
	struct store *st = q == NULL ? NULL : backendd_store(q->bd, rec);
	struct ledger_page *p;
	struct quota_root *r;
	const char *root;
	struct arena a;

	if (st == NULL)
		return;
	p = ledger_find(q->bd->ledger, st, rec->mailboxid);
	quota_root_listed(q, name, p);
	if (map_count(&q->roots) == 0)
		return;
	if (p != NULL && quota_root_has(q, p, name))
		return; /* nothing that matters has changed */
	arena_init(&a);
	root = quota_root_of(q, name, &a);
	r = root == NULL ? NULL : map_find(&q->roots, slice_str(root));
	if (r == NULL && p != NULL && p->root != NULL)
		quota_root_detach(p);
	else if (r != NULL && p != NULL && p->known)
		quota_root_attach(r, p, name);
	else if (r != NULL)
		quota_root_doubt(r);
	arena_reset(&a);
}

void
quotas_unlisted(struct quotas *q, const char *name, const struct mboxrec *rec)
{
	struct store *st = q == NULL ? NULL : backendd_store(q->bd, rec);
	struct ledger_page *p;

	if (st == NULL)
		return;
	p = ledger_find(q->bd->ledger, st, rec->mailboxid);
	if (p != NULL && quota_root_has(q, p, name))
		quota_root_detach(p);
}

void
quotas_doubt(struct quotas *q)
{
	struct quota_root *r;

	if (q == NULL)
		return;
	while ((r = TAILQ_FIRST(&q->counted)) != NULL)
		quota_root_doubt(r);
	TAILQ_FOREACH (r, &q->counting, link)
		quota_root_doubt(r);
}

struct moved {
	struct slice from;
	struct quota_root *found;
};

static bool
find_moved(void *arg, struct slice key, void *value)
{
	struct moved *m = arg;
	struct quota_root *r = value;

	if (r->state == ROOT_COUNTED || !r->again)
		if (slice_equal(key, m->from) ||
		    mboxname_is_below(key, m->from))
			m->found = r;
	return m->found == NULL;
}

/* All that are counted at and below: few, and this is seldom. */
static void
doubt_below(struct quotas *q, const char *name)
{
	struct moved m = { slice_str(name), NULL };

	do {
		m.found = NULL;
		map_each(&q->roots, find_moved, &m);
		if (m.found != NULL)
			quota_root_doubt(m.found);
	} while (m.found != NULL);
}

void
quotas_moved(struct quotas *q, const char *from, const char *to)
{
	if (q == NULL || map_count(&q->roots) == 0)
		return;
	doubt_below(q, from);
	doubt_around(q, from);
	if (to == NULL)
		return;
	doubt_below(q, to);
	doubt_around(q, to);
}

static bool
is_one(void *arg, const char *name, const struct mboxrec *rec)
{
	(void)name, (void)rec; /* that there is one is enough */
	*(bool *)arg = true;
	return false;
}

/* One that is being made, too. */
static bool
has_below(struct quotas *q, const char *name)
{
	struct buf prefix, cursor;
	bool any = false;

	buf_init(&prefix, TREEDB_KEY_MAX);
	buf_init(&cursor, TREEDB_KEY_MAX + 1);
	mboxname_key(&prefix, slice_str(name));
	buf_putc(&prefix, TREEDB_SEP);
	if (!buf_failed(&prefix))
		(void)mblist_slice_of(q->bd->list, buf_slice(&prefix), &cursor,
		    1, is_one, &any); /* one is enough */
	buf_fini(&prefix);
	buf_fini(&cursor);
	return any;
}

/* Mostly it takes nothing from another but itself. */
void
quotas_rooted(struct quotas *q, const char *name, const struct mboxrec *rec)
{
	if (q == NULL || map_count(&q->roots) == 0)
		return;
	if (map_find(&q->roots, slice_str(name)) != NULL || has_below(q, name))
		quotas_moved(q, name, NULL);
	else
		quotas_unlisted(q, name, rec);
}

const struct quota_counts *
quota_counts(const struct quotas *q)
{
	return &q->counts;
}

struct quotas *
quotas_new(struct backendd *bd)
{
	struct quotas *q = xcalloc(1, sizeof(*q));

	q->bd = bd;
	quota_roots_init(q);
	return q;
}

void
quotas_free(struct quotas **qp)
{
	struct quotas *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	quota_roots_fini(q);
	free(q);
}
