#include <stdlib.h>

#include "backendd/search_result.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/search.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	HERE_MAX = 16 * 1024 /* hits that are written in the loop */
};

void
search_hits_add(struct search_hits *h, const struct search *s,
    const struct search_facts *facts)
{
	if (h->count == h->size) {
		h->size = h->size == 0 ? 64 : h->size * 2;
		h->at = xreallocarray(h->at, h->size, sizeof(h->at[0]));
		if (s->modseq)
			h->modseqs = xreallocarray(h->modseqs, h->size,
			    sizeof(h->modseqs[0]));
	}
	h->at[h->count].uid = facts->uid;
	h->at[h->count].seq = facts->seq;
	if (s->modseq)
		h->modseqs[h->count] = facts->modseq;
	h->count++;
}

void
search_hits_fini(struct search_hits *h)
{
	free(h->at);
	free(h->modseqs);
	*h = (struct search_hits){ 0 };
}

/*
 * Calls each for those that the response names: RFC 7162 3.1.10 for MODSEQ,
 * RFC 5182 2.4 and RFC 9394 3.2 for "$", say the same of which these are.
 */
static void
each_named(const struct search_hits *h, const struct search *s,
    void (*each)(void *arg, const struct search_hits *h, size_t i), void *arg)
{
	unsigned few =
	    SEARCH_RETURN_MIN | SEARCH_RETURN_MAX | SEARCH_RETURN_PARTIAL;
	size_t from, to;

	if (!(s->returns & few) ||
	    (s->returns & (SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT))) {
		for (size_t i = 0; i < h->count; i++)
			each(arg, h, i);
		return;
	}
	if (h->count == 0)
		return;
	if (s->returns & SEARCH_RETURN_MIN)
		each(arg, h, 0);
	if ((s->returns & SEARCH_RETURN_PARTIAL) &&
	    partial_window(&s->window, h->count, &from, &to))
		for (size_t i = from; i < to; i++)
			each(arg, h, i);
	if (s->returns & SEARCH_RETURN_MAX)
		each(arg, h, h->count - 1);
}

static void
take_modseq(void *arg, const struct search_hits *h, size_t i)
{
	uint64_t *highest = arg;

	if (h->modseqs[i] > *highest)
		*highest = h->modseqs[i];
}

void
search_hits_write(const struct search_hits *h, const struct search *s,
    struct slice tag, struct search_found found, struct buf *out)
{
	uint32_t *numbers = xcalloc(h->count + 1, sizeof(*numbers));

	for (size_t i = 0; i < h->count; i++)
		numbers[i] = found.by_uid ? h->at[i].uid : h->at[i].seq;
	found.numbers = numbers;
	found.count = h->count;
	if (s->modseq)
		each_named(h, s, take_modseq, &found.modseq);
	buf_init(out, search_write_size(&found));
	search_write(out, s, tag, &found);
	MUST(!buf_failed(out));
	free(numbers);
}

struct saving {
	struct arena *arena;
	uint32_t *uids;
	size_t n;
};

static void
take_uid(void *arg, const struct search_hits *h, size_t i)
{
	struct saving *sa = arg;

	sa->uids[sa->n++] = h->at[i].uid;
}

static int
by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void
search_hits_saved(const struct search_hits *h, const struct search *s,
    struct arena *a, struct seqset *saved)
{
	/* Some may be named twice: as the first, the last, in a window. */
	struct saving sa = { a, xcalloc(h->count + 2, sizeof(uint32_t)), 0 };
	bool ascend = true;

	*saved = (struct seqset){ 0 };
	each_named(h, s, take_uid, &sa);
	for (size_t i = 1; i < sa.n; i++)
		ascend &= sa.uids[i - 1] <= sa.uids[i];
	if (!ascend)
		qsort(sa.uids, sa.n, sizeof(sa.uids[0]), by_number);
	for (size_t i = 0; i < sa.n; i++)
		if (i == 0 || sa.uids[i] != sa.uids[i - 1])
			seqset_add(a, saved, sa.uids[i]);
	free(sa.uids);
}

/* --- the answer ----------------------------------------------------------------- */

void
search_result_begin(struct search_result *r, struct session *ss,
    const struct search *s, enum search_numbers numbers, const char *text)
{
	struct cmd *cmd = session_cmd(ss);

	*r = (struct search_result){ .ss = ss,
		.search = s,
		.text = text,
		.tag = cmd->tag,
		.by_uid = numbers == SEARCH_BY_UID,
		.out = arena_alloc(cmd->arena, sizeof(*r->out)) };
	arena_init(&r->arena);
}

void
search_result_make(void *result)
{
	struct search_result *r = result;
	struct search_found found = { .by_uid = r->by_uid,
		.sorted = r->sorted };

	search_hits_write(&r->hits, r->search, r->tag, found, r->out);
	if (r->search->returns & SEARCH_RETURN_SAVE)
		search_hits_saved(&r->hits, r->search, &r->arena, &r->saved);
	if (r->context != NULL && r->followed.at == NULL)
		context_hits_of(&r->followed, &r->hits);
	search_hits_fini(&r->hits);
}

void
search_result_give(void *result)
{
	struct search_result *r = result;
	bool saved = true;

	if ((r->search->returns & SEARCH_RETURN_UPDATE) &&
	    (r->context == NULL || !context_start(&r->context, &r->followed)))
		search_cmd_noupdate(r->ss, r->out);
	if (r->search->returns & SEARCH_RETURN_SAVE)
		saved = session_save(r->ss, &r->saved);
	arena_reset(&r->arena);
	if (saved)
		search_cmd_reply(r->ss, r->out, SESSION_OK, NULL, r->text);
	else
		search_cmd_reply(r->ss, r->out, SESSION_NO, "NOTSAVED",
		    "Too many messages to save");
}

void
search_result_drop(struct search_result *r)
{
	search_hits_fini(&r->hits);
	arena_reset(&r->arena);
	context_drop(&r->context);
	search_cmd_damaged(r->ss);
}

void
search_result_finish(struct search_result *r)
{
	if (r->hits.count > HERE_MAX) {
		jobs_put(session_server(r->ss)->jobs, search_result_make,
		    search_result_give, r);
		return;
	}
	search_result_make(r);
	search_result_give(r);
}
