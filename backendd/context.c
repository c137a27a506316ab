#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "backendd/context_hits.h"
#include "backendd/mailbox.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/sorted.h"
#include "backendd/view.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/seqset.h"
#include "imap/sort.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	OUT_MAX = 256 * 1024 * 1024 /* two numbers for each message there is */
};

TAILQ_HEAD(context_list, context);

struct contexts {
	struct session *ss;
	struct context_list list;
	unsigned count, running;
	struct buf out; /* what is to be told */
};

struct context {
	struct mailbox_watcher watcher; /* first: cast back */
	TAILQ_ENTRY(context) link;
	struct contexts *all; /* NULL: ended, or not begun */
	struct session *ss;
	struct arena arena;
	struct slice tag;
	enum search_numbers numbers;
	struct parse parse;
	struct search search;
	struct sort sort;
	bool watching;
	struct context_hits hits;

	/* UIDs something has happened to; those above known_uid are new. */
	uint32_t *news;
	size_t nnews, news_room;
	uint32_t known_uid;
	uint32_t new_above; /* of those looked at again: new ones */
	bool fetched;       /* what the client wants of them it has */

	/* What is being looked at again. */
	struct search_run *run;
	bool looked; /* ...and has been */
	uint32_t *asked;
	size_t nasked;
	struct context_hits found;
	size_t found_room;
};

static void
destroy(struct context *cx)
{
	context_hits_free(&cx->hits);
	context_hits_free(&cx->found);
	free(cx->news);
	free(cx->asked);
	arena_reset(&cx->arena);
	free(cx);
}

static void
stop_watching(struct context *cx)
{
	const struct view *v = session_view(cx->ss);

	if (cx->watching && v != NULL && view_mailbox(v) != NULL)
		mailbox_unwatch(view_mailbox(v), &cx->watcher);
	cx->watching = false;
}

/* It may be in the middle of a search: then it goes with that. */
static void
end(struct context *cx)
{
	stop_watching(cx);
	if (cx->all != NULL) {
		TAILQ_REMOVE(&cx->all->list, cx, link);
		cx->all->count--;
		cx->all->running -= cx->run != NULL;
		cx->all = NULL;
	}
	if (cx->run != NULL)
		search_run_stop(cx->run);
	else
		destroy(cx);
}

/* --- news --------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
order_news(struct context *cx)
{
	size_t n = 0;

	if (cx->nnews > 1)
		qsort(cx->news, cx->nnews, sizeof(cx->news[0]), by_number);
	for (size_t i = 0; i < cx->nnews; i++)
		if (n == 0 || cx->news[n - 1] != cx->news[i])
			cx->news[n++] = cx->news[i];
	cx->nnews = n;
}

static void
add_news(struct context *cx, const uint32_t *uids, size_t n)
{
	/* Each once is enough: so there are never many more than messages. */
	if (cx->nnews + n > cx->news_room)
		order_news(cx);
	if (cx->nnews + n > cx->news_room) {
		cx->news_room = (cx->nnews + n) * 2;
		cx->news =
		    xreallocarray(cx->news, cx->news_room, sizeof(cx->news[0]));
	}
	for (size_t i = 0; i < n && uids[i] <= cx->known_uid; i++)
		cx->news[cx->nnews++] = uids[i];
}

static void
on_news(struct mailbox_watcher *w, const struct store_news *n)
{
	struct context *cx = (struct context *)w; /* its first member */

	if (cx->search.flags)
		add_news(cx, n->changed, n->nchanged);
	add_news(cx, n->expunged, n->nexpunged);
}

static void
on_lost(struct mailbox_watcher *w)
{
	((struct context *)w)->watching = false; /* it says BYE */
}

static const struct mailbox_watch_ops ops = { .news = on_news,
	.lost = on_lost };

/* --- its beginning --------------------------------------------------------------- */

static struct context *
find(struct session *ss, struct slice tag)
{
	struct contexts *cs = session_contexts(ss);
	struct context *cx;

	if (cs == NULL)
		return NULL;
	TAILQ_FOREACH (cx, &cs->list, link)
		if (slice_equal(cx->tag, tag))
			return cx;
	return NULL;
}

bool
context_tag_used(struct session *ss, struct slice tag)
{
	return find(ss, tag) != NULL;
}

struct context *
context_new(struct session *ss, enum search_numbers numbers,
    const struct parse *args)
{
	const struct contexts *cs = session_contexts(ss);
	struct context *cx;

	if (cs != NULL && cs->count >= CONTEXTS_MAX)
		return NULL;
	cx = xcalloc(1, sizeof(*cx));
	cx->ss = ss;
	cx->numbers = numbers;
	arena_init(&cx->arena);
	cx->tag = arena_copy(&cx->arena, session_cmd(ss)->tag);
	parse_init_copy(&cx->parse, &cx->arena, args);
	return cx;
}

struct parse *
context_parse(struct context *cx)
{
	return &cx->parse;
}

struct search *
context_search(struct context *cx)
{
	return &cx->search;
}

struct sort *
context_sort(struct context *cx)
{
	return &cx->sort;
}

void
context_bind(struct context *cx)
{
	const struct view *v = session_view(cx->ss);
	struct seqset *saved = arena_alloc(&cx->arena, sizeof(*saved));

	MUST(!cx->watching);
	seqset_copy(&cx->arena, saved, session_saved(cx->ss));
	search_bind(&cx->search, &cx->arena, view_count(v), view_last_uid(v),
	    saved);
	cx->known_uid = view_last_uid(v);
	cx->watcher.ops = &ops;
	mailbox_watch(view_mailbox(v), &cx->watcher);
	cx->watching = true;
}

static bool
is_too_much(const struct context_hits *h)
{
	size_t octets = 0;

	for (size_t i = 0; i < h->count; i++)
		octets += h->at[i].key_len;
	return h->count > CONTEXT_HITS_MAX || octets > CONTEXT_KEYS_MAX;
}

bool
context_start(struct context **cxp, struct context_hits *hits)
{
	struct context *cx = *cxp;
	struct contexts *cs = session_contexts(cx->ss);

	*cxp = NULL;
	cx->hits = *hits;
	*hits = (struct context_hits){ 0 };
	if (is_too_much(&cx->hits) || !cx->watching) {
		end(cx);
		return false;
	}
	if (cs == NULL) {
		cs = xcalloc(1, sizeof(*cs));
		cs->ss = cx->ss;
		TAILQ_INIT(&cs->list);
		buf_init(&cs->out, OUT_MAX);
		session_set_contexts(cx->ss, cs);
	}
	cx->all = cs;
	TAILQ_INSERT_TAIL(&cs->list, cx, link);
	cs->count++;
	return true;
}

void
context_drop(struct context **cxp)
{
	struct context *cx = *cxp;

	*cxp = NULL;
	if (cx != NULL)
		end(cx);
}

void
contexts_cancel(struct session *ss, struct slice tag)
{
	struct context *cx = find(ss, tag);

	if (cx != NULL)
		end(cx);
}

void
contexts_free(struct contexts **csp)
{
	struct contexts *cs = *csp;
	struct context *cx;

	*csp = NULL;
	if (cs == NULL)
		return;
	while ((cx = TAILQ_FIRST(&cs->list)) != NULL)
		end(cx);
	buf_fini(&cs->out);
	free(cs);
}

/* --- what is new, looked at ------------------------------------------------------- */

/* In the loop or in a thread: nobody else looks at what it touches. */
static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct context *cx = arg;
	struct sorted one;

	if (cx->sort.count == 0) {
		context_hits_add(&cx->found, &cx->found_room, facts->uid, NULL);
		return;
	}
	sorted_init(&one);
	sorted_add(&one, &cx->sort, facts, headers);
	context_hits_add(&cx->found, &cx->found_room, facts->uid, &one.at[0]);
	sorted_fini(&one);
}

/* If the mailbox is damaged the session ends soon, and nothing is told. */
static void
on_looked(void *arg, bool good)
{
	struct context *cx = arg;

	cx->run = NULL;
	if (cx->all == NULL) {
		destroy(cx);
		return;
	}
	cx->looked = good;
	if (!good) {
		context_hits_free(&cx->found);
		free(cx->asked);
		cx->asked = NULL;
		cx->nasked = cx->found_room = 0;
	}
	if (--cx->all->running == 0)
		session_wake(cx->ss);
}

static void
ask(struct context *cx, uint32_t uid, size_t *room)
{
	if (cx->nasked == *room) {
		*room = *room == 0 ? 16 : *room * 2;
		cx->asked =
		    xreallocarray(cx->asked, *room, sizeof(cx->asked[0]));
	}
	cx->asked[cx->nasked++] = uid;
}

static void
look(struct context *cx)
{
	const struct view *v = session_view(cx->ss);
	struct search_ask ask_for = { .bd = session_server(cx->ss),
		.view = v,
		.search = &cx->search,
		.headers = cx->sort.count > 0 && sort_wants_headers(&cx->sort),
		.found = on_found,
		.done = on_looked,
		.arg = cx };
	uint32_t last = view_last_uid(v), uid = cx->known_uid;
	size_t room = 0;

	cx->new_above = cx->known_uid;
	order_news(cx);
	for (size_t i = 0; i < cx->nnews; i++)
		ask(cx, cx->news[i], &room);
	while (uid < last && (uid = view_next_uid(v, uid + 1)) != 0)
		ask(cx, uid, &room);
	cx->nnews = 0;
	if (last > cx->known_uid)
		cx->known_uid = last;
	if (cx->nasked == 0)
		return;
	ask_for.uids = cx->asked;
	ask_for.nuids = cx->nasked;
	cx->run = search_run_new(&ask_for);
	cx->all->running++;
}

/* --- what is new, told ----------------------------------------------------------- */

static void
put_update(struct context *cx, enum search_update what, uint32_t *uids,
    const uint32_t *places, size_t n)
{
	struct search_updated u = { .what = what,
		.by_uid = cx->numbers == SEARCH_BY_UID,
		.numbers = uids,
		.places = cx->sort.count > 0 ? places : NULL,
		.count = n };

	if (n == 0)
		return;
	if (!u.by_uid)
		for (size_t i = 0; i < n; i++)
			uids[i] = view_seq_of(session_view(cx->ss), uids[i]);
	search_write_update(&cx->all->out, cx->tag, &u);
}

/* uids ascend and are all in cx->hits. */
static void
remove_hits(struct context *cx, const uint32_t *uids, size_t n)
{
	uint32_t *removed, *places;

	if (n == 0)
		return;
	removed = xcalloc(n, sizeof(*removed));
	places = xcalloc(n, sizeof(*places));
	context_hits_remove(&cx->hits, uids, n, removed, places);
	put_update(cx, SEARCH_REMOVEFROM, removed, places, n);
	free(removed);
	free(places);
}

static void
add_hits(struct context *cx, struct context_hits *more)
{
	size_t n = more->count;
	uint32_t *added = xcalloc(n + 1, sizeof(*added));
	uint32_t *places = xcalloc(n + 1, sizeof(*places));

	context_hits_merge(&cx->hits, more, added, places);
	put_update(cx, SEARCH_ADDTO, added, places, n);
	free(added);
	free(places);
}

/* Those that are expunged, and in the result. */
static void
tell_gone(struct context *cx)
{
	const struct store_mailbox *mb =
	    mailbox_store(view_mailbox(session_view(cx->ss)));
	uint32_t *gone = xcalloc(cx->nnews + 1, sizeof(*gone));
	bool *was = xcalloc(cx->nnews + 1, sizeof(*was));
	size_t n = 0, kept = 0;

	order_news(cx);
	for (size_t i = 0; i < cx->nnews; i++) {
		if (store_find(mb, cx->news[i]) != NULL)
			cx->news[kept++] = cx->news[i];
		else
			gone[n++] = cx->news[i];
	}
	cx->nnews = kept;
	if (n > 0) {
		size_t k = 0;

		context_hits_mark(&cx->hits, gone, n, was);
		for (size_t i = 0; i < n; i++)
			if (was[i])
				gone[k++] = gone[i];
		remove_hits(cx, gone, k);
	}
	free(gone);
	free(was);
}

/*
 * What was found is new unless it was in the result; what was in the result
 * and was not found is no more.
 */
static void
tell_looked(struct context *cx)
{
	size_t n = cx->nasked, k = 0, gone = 0;
	uint32_t *out = xcalloc(n + 1, sizeof(*out));
	bool *was = xcalloc(n + 1, sizeof(*was));
	bool *is = xcalloc(n + 1, sizeof(*is));

	context_hits_mark(&cx->hits, cx->asked, n, was);
	context_hits_mark(&cx->found, cx->asked, n, is);
	for (size_t i = 0; i < n; i++)
		if (was[i] && !is[i])
			out[gone++] = cx->asked[i];
	remove_hits(cx, out, gone);
	/* Found in the order of UIDs, as they were asked for. */
	for (size_t i = 0, j = 0; i < n; i++) {
		struct context_hit hit;

		if (!is[i])
			continue;
		hit = cx->found.at[j++];
		MUST(hit.uid == cx->asked[i]);
		if (was[i] ||
		    view_message(session_view(cx->ss), hit.uid) == NULL)
			free(hit.key); /* or it was expunged meanwhile */
		else
			cx->found.at[k++] = hit;
	}
	cx->found.count = k;
	context_hits_order(&cx->found);
	add_hits(cx, &cx->found);
	context_hits_free(&cx->found);
	cx->found_room = 0;
	free(out);
	free(was);
	free(is);
	free(cx->asked);
	cx->asked = NULL;
	cx->nasked = 0;
	cx->looked = cx->fetched = false;
}

/* RFC 5465 7: not of what is found because its flags have changed. */
static bool
is_to_be_fetched(const struct context *cx)
{
	size_t n = cx->found.count;

	return cx->looked && !cx->fetched && n > 0 &&
	       cx->search.update_items.ptr != NULL &&
	       cx->found.at[n - 1].uid > cx->new_above;
}

const char *
contexts_fetch(struct contexts *cs, struct arena *a, const char **uids)
{
	struct seqset set = { 0 };
	struct context *cx;
	struct buf text;

	if (cs == NULL)
		return NULL;
	TAILQ_FOREACH (cx, &cs->list, link)
		if (is_to_be_fetched(cx))
			break;
	if (cx == NULL)
		return NULL;
	cx->fetched = true;
	for (size_t i = 0; i < cx->found.count; i++)
		if (cx->found.at[i].uid > cx->new_above)
			seqset_add(a, &set, cx->found.at[i].uid);
	buf_init(&text, OUT_MAX);
	seqset_put(&text, &set);
	*uids = arena_string(a, buf_slice(&text));
	buf_fini(&text);
	return arena_string(a, cx->search.update_items);
}

/* As much as there is room for. */
static enum contexts_told
flush(struct contexts *cs, struct buf *out)
{
	size_t n = buf_len(&cs->out), room = buf_room(out);

	MUST(!buf_failed(&cs->out));
	if (n > room)
		n = room;
	buf_put(out, buf_data(&cs->out), n);
	buf_drop(&cs->out, n);
	if (buf_len(&cs->out) > 0)
		return CONTEXTS_ROOM;
	buf_trim(&cs->out);
	return CONTEXTS_TOLD;
}

enum contexts_told
contexts_tell_gone(struct contexts *cs, struct buf *out)
{
	struct context *cx;

	if (cs == NULL || view_lost(session_view(cs->ss)))
		return CONTEXTS_TOLD;
	TAILQ_FOREACH (cx, &cs->list, link)
		if (cx->nnews > 0)
			tell_gone(cx);
	return flush(cs, out);
}

enum contexts_told
contexts_tell_new(struct contexts *cs, struct buf *out)
{
	struct context *cx;
	bool looked = false;

	if (cs == NULL || view_lost(session_view(cs->ss)))
		return CONTEXTS_TOLD;
	if (cs->running > 0)
		return CONTEXTS_LATER;
	TAILQ_FOREACH (cx, &cs->list, link)
		if (is_to_be_fetched(cx))
			return CONTEXTS_FETCH;
	TAILQ_FOREACH (cx, &cs->list, link) {
		looked |= cx->looked;
		if (cx->looked)
			tell_looked(cx);
	}
	/* What has come since is for the next time, so that this one ends. */
	if (looked || buf_len(&cs->out) > 0)
		return flush(cs, out);
	TAILQ_FOREACH (cx, &cs->list, link)
		look(cx);
	return cs->running > 0 ? CONTEXTS_LATER : CONTEXTS_TOLD;
}

bool
contexts_pending(const struct contexts *cs)
{
	const struct context *cx;

	if (cs == NULL || view_lost(session_view(cs->ss)))
		return false;
	TAILQ_FOREACH (cx, &cs->list, link)
		if (cx->nnews > 0 ||
		    cx->known_uid < view_last_uid(session_view(cs->ss)))
			return true;
	return false;
}
