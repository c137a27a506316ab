#include <stdbool.h>
#include <stdlib.h>

#include "backendd/mailbox.h"
#include "backendd/summarise.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/must.h"
#include "lib/xalloc.h"

struct summarising {
	struct mailbox *m; /* a hold */
	struct jobs *jobs;
	struct arena *arena;
	struct summarise_item *items;
	size_t n, at; /* at: being made */
	bool cached_only;
	summarise_cb *cb;
	void *arg;
	struct store_part parts[SUMMARISE_MAX];
	struct store_chunk *chunk;
	struct buf made; /* encoded; the job's */
};

static void make_next(struct summarising *sm);

static const struct summary *
decode(struct arena *a, struct slice octets)
{
	struct summary *s = arena_alloc(a, sizeof(*s));

	if (octets.len == 0 ||
	    summary_decode(a, arena_copy(a, octets), s) == -1)
		return NULL;
	return s;
}

/* In a thread; what it touches is not anybody else's meanwhile. */
static void
make(void *arg)
{
	struct summarising *sm = arg;
	struct summary s;
	struct arena a;

	arena_init(&a);
	summary_make(&a, sm->parts[0].octets, &s);
	summary_encode(&sm->made, &s);
	arena_reset(&a);
}

static void
on_made(void *arg)
{
	struct summarising *sm = arg;
	struct summarise_item *item = &sm->items[sm->at];

	store_chunk_free(&sm->chunk);
	if (!buf_failed(&sm->made)) {
		item->summary = decode(sm->arena, buf_slice(&sm->made));
		if (buf_len(&sm->made) <= STORE_CACHE_MAX)
			store_put_cache(mailbox_store(sm->m), item->uid,
			    buf_slice(&sm->made));
	}
	buf_fini(&sm->made);
	sm->at++;
	make_next(sm);
}

static void
on_message(void *arg, struct store_chunk *chunk)
{
	struct summarising *sm = arg;

	sm->chunk = chunk;
	if (sm->parts[0].why == NULL) {
		jobs_put(sm->jobs, make, on_made, sm);
		return;
	}
	store_chunk_free(&sm->chunk);
	sm->at++;
	make_next(sm);
}

static void
make_next(struct summarising *sm)
{
	while (sm->at < sm->n && sm->items[sm->at].summary != NULL)
		sm->at++;
	if (sm->at < sm->n) {
		sm->parts[0] = (struct store_part){
			.uid = sm->items[sm->at].uid,
			.what = STORE_OCTETS,
			.len = UINT64_MAX,
		};
		store_read(mailbox_store(sm->m), sm->parts, 1, on_message, sm);
		return;
	}
	sm->cb(sm->arg);
	mailbox_release(&sm->m);
	free(sm);
}

static void
on_cached(void *arg, struct store_chunk *chunk)
{
	struct summarising *sm = arg;

	for (size_t i = 0; i < sm->n; i++)
		if (sm->parts[i].why == NULL)
			sm->items[i].summary =
			    decode(sm->arena, sm->parts[i].octets);
	store_chunk_free(&chunk);
	if (sm->cached_only)
		sm->at = sm->n;
	make_next(sm);
}

static struct summarising *
start(struct mailbox *m, struct jobs *jobs, struct arena *a,
    struct summarise_item *items, size_t n, summarise_cb *cb, void *arg)
{
	struct summarising *sm = xcalloc(1, sizeof(*sm));

	MUST(n >= 1 && n <= SUMMARISE_MAX);
	sm->m = mailbox_hold(m);
	sm->jobs = jobs;
	sm->arena = a;
	sm->items = items;
	sm->n = n;
	sm->cb = cb;
	sm->arg = arg;
	buf_init(&sm->made, SUMMARY_MAX);
	for (size_t i = 0; i < n; i++) {
		items[i].summary = NULL;
		sm->parts[i] = (struct store_part){
			.uid = items[i].uid,
			.what = STORE_CACHE,
		};
	}
	store_read(mailbox_store(m), sm->parts, n, on_cached, sm);
	return sm;
}

void
summarise(struct mailbox *m, struct jobs *jobs, struct arena *a,
    struct summarise_item *items, size_t n, summarise_cb *cb, void *arg)
{
	(void)start(m, jobs, a, items, n, cb, arg);
}

void
summarise_cached(struct mailbox *m, struct jobs *jobs, struct arena *a,
    struct summarise_item *items, size_t n, summarise_cb *cb, void *arg)
{
	start(m, jobs, a, items, n, cb, arg)->cached_only = true;
}
