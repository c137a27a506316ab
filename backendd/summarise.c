#include <stdbool.h>
#include <stdlib.h>

#include "backendd/mailbox.h"
#include "backendd/summarise.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SHARE = 64,                /* messages that a job looks at, */
	SHARE_OCTETS = 256 * 1024, /* ...and so many octets if not just one */
	OCTETS_MAX = 1024 * 1024   /* in several jobs at once */
};

struct summarising {
	struct mailbox *m; /* a hold */
	struct arena *arena;
	struct summarise_item *items;
	size_t n, at;  /* at: the next to be given to a share */
	unsigned busy; /* shares */
	uint64_t octets;
	bool cached_only;
	summarise_cb *cb;
	void *arg;
	struct store_part parts[SUMMARISE_MAX];
};

/* Messages to be read and summarised in one job; goes when they are cached. */
struct share {
	struct summarising *sm; /* until it is over */
	struct mailbox *m;      /* a hold */
	size_t n, nrecords;
	uint64_t octets;
	struct summarise_item *items[SHARE];
	struct store_part parts[SHARE];
	struct arena arena; /* of the results */
	struct buf encoded; /* all of them, one behind the other */
	size_t ends[SHARE]; /* where each ends there */
	struct store_record records[SHARE];
};

/* ---------------------------------------------------------------- the cache */

static void
share_free(struct share *s)
{
	buf_fini(&s->encoded);
	mailbox_release(&s->m);
	free(s);
}

static void
on_cached(void *arg, const char *why)
{
	(void)why; /* it is a cache: the store logs it */
	share_free(arg);
}

static void
put_cache(struct share *s)
{
	struct slice all = buf_slice(&s->encoded);
	size_t begins = 0;

	for (size_t i = 0; i < s->n; begins = s->ends[i++])
		if (s->ends[i] > begins)
			s->records[s->nrecords++] =
			    (struct store_record){ s->parts[i].uid,
				    slice_skip(slice_first(all, s->ends[i]),
				        begins) };
	if (s->nrecords > 0)
		store_put_cache(mailbox_store(s->m), s->records, s->nrecords,
		    on_cached, s);
	else
		share_free(s);
}

/* ------------------------------------------------------------- the messages */

/* In a thread. */
static void
make(void *arg)
{
	struct summary_room *room = summary_room_new();
	struct share *s = arg;
	struct buf encoded;

	buf_init(&encoded, STORE_CACHE_MAX);
	for (size_t i = 0; i < s->n; i++) {
		struct summary *made;

		s->ends[i] = buf_len(&s->encoded);
		if (s->parts[i].why != NULL)
			continue;
		made = arena_alloc(&s->arena, sizeof(*made));
		summary_make(room, &s->arena, s->parts[i].octets, made);
		s->items[i]->summary = made;
		summary_encode(&encoded, made);
		if (!buf_failed(&encoded)) /* else too long for the cache */
			buf_put_slice(&s->encoded, buf_slice(&encoded));
		buf_clear(&encoded);
		s->ends[i] = buf_len(&s->encoded);
	}
	MUST(!buf_failed(&s->encoded));
	buf_fini(&encoded);
	summary_room_free(&room);
}

static void
add_to_share(struct share *s, struct summarise_item *item, uint64_t size)
{
	s->octets += size;
	s->parts[s->n] = (struct store_part){ .uid = item->uid,
		.what = STORE_OCTETS,
		.len = UINT64_MAX };
	s->items[s->n++] = item;
}

/* What the next job is to look at; NULL: nothing, or not now. */
static struct share *
next_share(struct summarising *sm)
{
	struct share *s = NULL;

	for (; sm->at < sm->n; sm->at++) {
		struct summarise_item *item = &sm->items[sm->at];
		const struct store_msg *msg;

		if (item->summary != NULL)
			continue;
		msg = store_find(mailbox_store(sm->m), item->uid);
		if (msg == NULL)
			continue;
		if (s == NULL) {
			if (sm->busy > 0 && sm->octets + msg->size > OCTETS_MAX)
				break;
			s = xcalloc(1, sizeof(*s));
			s->sm = sm;
			s->m = mailbox_hold(sm->m);
			arena_init(&s->arena);
			buf_init(&s->encoded, SHARE * STORE_CACHE_MAX);
		} else if (s->n == SHARE ||
		           s->octets + msg->size > SHARE_OCTETS) {
			break;
		}
		add_to_share(s, item, msg->size);
	}
	return s;
}

static void on_made(void *arg, struct store_chunk *chunk);

static void
make_missing(struct summarising *sm)
{
	struct share *s;

	while ((s = next_share(sm)) != NULL) {
		sm->busy++;
		sm->octets += s->octets;
		store_read_look(mailbox_store(s->m), s->parts, s->n, make,
		    on_made, s);
	}
	if (sm->busy > 0)
		return;
	sm->cb(sm->arg);
	mailbox_release(&sm->m);
	free(sm);
}

static void
on_made(void *arg, struct store_chunk *chunk)
{
	struct share *s = arg;
	struct summarising *sm = s->sm;

	store_chunk_free(&chunk);
	arena_join(sm->arena, &s->arena);
	sm->busy--;
	sm->octets -= s->octets;
	make_missing(sm);
	put_cache(s);
}

/* ----------------------------------------------------------------- the start */

/* In a thread. */
static void
decode(void *arg)
{
	struct summarising *sm = arg;

	for (size_t i = 0; i < sm->n; i++) {
		struct slice octets = sm->parts[i].octets;
		struct summary *s;

		if (octets.len == 0)
			continue;
		s = arena_alloc(sm->arena, sizeof(*s));
		octets = arena_copy(sm->arena, octets);
		if (summary_decode(sm->arena, octets, s) == 0)
			sm->items[i].summary = s;
	}
}

static void
on_decoded(void *arg, struct store_chunk *chunk)
{
	struct summarising *sm = arg;

	store_chunk_free(&chunk);
	if (sm->cached_only)
		sm->at = sm->n;
	make_missing(sm);
}

static struct summarising *
start(struct mailbox *m, struct arena *a, struct summarise_item *items,
    size_t n, summarise_cb *cb, void *arg)
{
	struct summarising *sm = xcalloc(1, sizeof(*sm));

	MUST(n >= 1 && n <= SUMMARISE_MAX);
	sm->m = mailbox_hold(m);
	sm->arena = a;
	sm->items = items;
	sm->n = n;
	sm->cb = cb;
	sm->arg = arg;
	for (size_t i = 0; i < n; i++) {
		items[i].summary = NULL;
		sm->parts[i] = (struct store_part){
			.uid = items[i].uid,
			.what = STORE_CACHE,
		};
	}
	store_read_look(mailbox_store(m), sm->parts, n, decode, on_decoded, sm);
	return sm;
}

void
summarise(struct mailbox *m, struct arena *a, struct summarise_item *items,
    size_t n, summarise_cb *cb, void *arg)
{
	(void)start(m, a, items, n, cb, arg);
}

void
summarise_cached(struct mailbox *m, struct arena *a,
    struct summarise_item *items, size_t n, summarise_cb *cb, void *arg)
{
	start(m, a, items, n, cb, arg)->cached_only = true;
}
