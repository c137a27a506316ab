/* search_run: what the index does not tell is read and tested in jobs. */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "backendd/conf.h"
#include "backendd/mailbox.h"
#include "backendd/search_state.h"
#include "backendd/server.h"
#include "backendd/summarise.h"
#include "imap/header.h"
#include "imap/search.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/jobs.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	CANDIDATES = 4096, /* messages that need reading, of a slice */
	CANDIDATES_FIRST = 1024,
	SUMMARIES = 16 * 1024 * 1024, /* octets read at once, about */
	BATCHES = 3,         /* of messages, read and tested side by side */
	BATCH_MESSAGES = 64, /* in one of them */
	BATCH_OCTETS = 1024 * 1024
};

/* A message that is found, or may be. */
struct candidate {
	struct search_facts facts;
	enum search_answer answer;
	bool missing;           /* its summary is to be made */
	bool cut;               /* headers are wanted, and the summary has not
	                          all of them */
	struct slice cached;    /* its summary, encoded */
	struct summary summary; /* ...without parts */
	uint8_t *header;        /* if cut: the message's own */
	size_t header_len;
};

/* Messages read and tested together. */
struct batch {
	struct search_run *r;
	bool under_way;
	size_t n;
	struct candidate *of[BATCH_MESSAGES];
	struct store_part parts[BATCH_MESSAGES];
	struct store_chunk *chunk;
};

/* What is needed only when something has to be read. */
struct reading {
	struct candidate candidates[CANDIDATES];
	size_t n, max;
	struct store_part parts[CANDIDATES];
	struct store_chunk *chunk; /* of summaries */
	struct summarise_item items[SUMMARISE_MAX];
	struct candidate *made[SUMMARISE_MAX];
	size_t nmade;
	size_t next; /* candidate to go on with */
	struct batch batches[BATCHES];
	unsigned busy;  /* batches */
	size_t read;    /* of the candidates, in batches that are done */
	bool delivered; /* all that were found */
	struct arena arena;
};

static void next_messages(struct search_run *r);
static void next_missing(struct search_run *r);

/* --- places -------------------------------------------------------------------- */

/*
 * Half of the threads read and test for searches, so that those are never in
 * the way of who fetches or delivers.
 */
static bool
has_place(const struct backendd *bd)
{
	return bd->nreading < (bd->conf->job_threads + 1) / 2;
}

/* Who finds no place goes on with resume, in turn. */
static bool
take_place(struct search_run *r, void (*resume)(struct search_run *r))
{
	struct backendd *bd = r->ask.bd;

	if (r->resume != NULL)
		return false;
	if (has_place(bd)) {
		bd->nreading++;
		return true;
	}
	r->resume = resume;
	TAILQ_INSERT_TAIL(&bd->waiting, r, waiting);
	return false;
}

static void
stop_waiting(struct search_run *r)
{
	if (r->resume != NULL)
		TAILQ_REMOVE(&r->ask.bd->waiting, r, waiting);
	r->resume = NULL;
}

/* Whoever is next may not want the place any more: then it is the one's after. */
static void
give_place(struct search_run *r)
{
	struct backendd *bd = r->ask.bd;
	struct search_run *next;

	MUST(bd->nreading > 0);
	bd->nreading--;
	while (has_place(bd) && (next = TAILQ_FIRST(&bd->waiting)) != NULL) {
		void (*resume)(struct search_run * run) = next->resume;

		stop_waiting(next);
		if (next != r) /* who gives it goes on by himself */
			resume(next);
	}
}

/* --- found ------------------------------------------------------------------ */

static void
deliver_one(struct search_run *r, const struct candidate *c)
{
	struct slice headers = slice_of(NULL, 0);

	if (c->header != NULL)
		headers = slice_of(c->header, c->header_len);
	else if (c->facts.summary != NULL)
		headers = c->facts.summary->headers;
	r->ask.found(r->ask.arg, &c->facts, headers);
}

/* In the loop or, as it costs more with headers, in a thread. */
static void
deliver(void *arg)
{
	struct search_run *r = arg;
	struct reading *rd = r->rd;

	for (size_t i = 0; i < rd->n; i++) {
		if (rd->candidates[i].answer != SEARCH_YES)
			continue;
		deliver_one(r, &rd->candidates[i]);
		if (r->ask.first_only)
			break;
	}
	rd->delivered = true;
}

static void
end_slice(void *arg)
{
	struct search_run *r = arg;
	struct reading *rd = r->rd;
	bool found = false;

	for (size_t i = 0; i < rd->n; i++) {
		found |= rd->candidates[i].answer == SEARCH_YES;
		free(rd->candidates[i].header);
	}
	store_chunk_free(&rd->chunk);
	arena_reset(&rd->arena);
	rd->n = rd->read = 0;
	search_run_go_on(r, found);
}

static void
all_tested(struct search_run *r)
{
	if (r->rd->delivered || r->stopped) {
		end_slice(r);
	} else if (r->ask.headers) {
		jobs_put(r->ask.bd->jobs, deliver, end_slice, r);
	} else {
		deliver(r);
		end_slice(r);
	}
}

/* --- messages ---------------------------------------------------------------- */

static bool
needs_message(const struct candidate *c)
{
	return c->answer == SEARCH_NEEDS_MESSAGE ||
	       (c->answer == SEARCH_YES && c->cut);
}

static void
keep_header(struct candidate *c)
{
	c->header_len = header_length(c->facts.message);
	c->header = xmalloc(c->header_len + 1);
	memcpy(c->header, c->facts.message.ptr, c->header_len);
}

/* In a thread. */
static void
test_messages(void *arg)
{
	struct batch *b = arg;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < b->n; i++) {
		struct candidate *c = b->of[i];
		struct search_facts facts = c->facts;
		struct summary s;

		if (b->parts[i].why != NULL)
			continue; /* gone or damaged: not found */
		c->facts.message = facts.message = b->parts[i].octets;
		if (c->cached.len > 0 && summary_decode(&a, c->cached, &s) == 0)
			facts.summary = &s;
		if (c->answer != SEARCH_YES)
			c->answer = search_test(b->r->ask.search, &facts);
		if (c->answer == SEARCH_YES && c->cut)
			keep_header(c);
		c->facts.message = slice_of(NULL, 0);
		arena_reset(&a);
	}
}

static void
on_tested(void *arg)
{
	struct batch *b = arg;

	store_chunk_free(&b->chunk);
	b->r->rd->read += b->n;
	b->n = 0;
	b->under_way = false;
	b->r->rd->busy--;
	give_place(b->r);
	next_messages(b->r);
}

static void
on_messages(void *arg, struct store_chunk *chunk)
{
	struct batch *b = arg;

	b->chunk = chunk;
	jobs_put(b->r->ask.bd->jobs, test_messages, on_tested, b);
}

/* The next messages that have to be read, as many as may be at once. */
static void
fill_batch(struct search_run *r, struct batch *b)
{
	struct reading *rd = r->rd;
	uint64_t octets = 0;

	b->r = r;
	for (; rd->next < rd->n && b->n < BATCH_MESSAGES; rd->next++) {
		struct candidate *c = &rd->candidates[rd->next];

		if (!needs_message(c))
			continue;
		if (b->n > 0 && octets + c->facts.size_octets > BATCH_OCTETS)
			break;
		octets += c->facts.size_octets;
		b->of[b->n] = c;
		b->parts[b->n++] = (struct store_part){
			.uid = c->facts.uid,
			.what = STORE_OCTETS,
			.len = UINT64_MAX,
		};
	}
}

static void
next_messages(struct search_run *r)
{
	struct reading *rd = r->rd;

	for (unsigned i = 0; i < BATCHES && !r->stopped; i++) {
		struct batch *b = &rd->batches[i];

		if (b->under_way)
			continue;
		if (b->n == 0)
			fill_batch(r, b);
		if (b->n == 0)
			continue; /* one behind it may wait for a place */
		if (!take_place(r, next_messages))
			return;
		b->under_way = true;
		rd->busy++;
		store_read(mailbox_store(r->m), b->parts, b->n, on_messages, b);
	}
	if (rd->busy > 0)
		return;
	stop_waiting(r);
	all_tested(r);
}

/* --- summaries --------------------------------------------------------------- */

static bool
wants_summary(const struct search_run *r, const struct candidate *c)
{
	return c->answer == SEARCH_NEEDS_SUMMARY ||
	       c->answer == SEARCH_NEEDS_MESSAGE || r->ask.headers;
}

static void
test_summary(struct search_run *r, struct candidate *c)
{
	if (c->answer != SEARCH_YES)
		c->answer = search_test(r->ask.search, &c->facts);
	c->cut = r->ask.headers && c->facts.summary != NULL &&
	         c->facts.summary->headers_cut;
}

/* In a thread: those whose summaries were made just now. */
static void
test_made(void *arg)
{
	struct search_run *r = arg;
	struct reading *rd = r->rd;

	for (size_t i = 0; i < rd->nmade; i++) {
		struct candidate *c = rd->made[i];

		c->facts.summary = rd->items[i].summary;
		if (c->facts.summary != NULL)
			test_summary(r, c);
		else if (c->answer != SEARCH_YES)
			c->answer = SEARCH_NO; /* it cannot be read */
	}
}

static void
on_made_tested(void *arg)
{
	struct search_run *r = arg;

	r->rd->nmade = 0;
	give_place(r);
	next_missing(r);
}

static void
on_made(void *arg)
{
	struct search_run *r = arg;

	jobs_put(r->ask.bd->jobs, test_made, on_made_tested, r);
}

/* Messages whose summaries the cache has not. */
static void
next_missing(struct search_run *r)
{
	struct reading *rd = r->rd;

	for (; rd->next < rd->n && rd->nmade < SUMMARISE_MAX; rd->next++) {
		struct candidate *c = &rd->candidates[rd->next];

		if (!c->missing)
			continue;
		rd->items[rd->nmade].uid = c->facts.uid;
		rd->made[rd->nmade++] = c;
	}
	if (rd->nmade > 0 && !r->stopped) {
		if (take_place(r, next_missing))
			summarise(r->m, &rd->arena, rd->items, rd->nmade,
			    on_made, r);
		return;
	}
	rd->next = 0;
	next_messages(r);
}

/* In a thread: folding and comparing headers. */
static void
test_summaries(void *arg)
{
	struct search_run *r = arg;
	struct reading *rd = r->rd;
	bool decided = true;
	size_t k = 0;

	for (size_t i = 0; i < rd->n; i++) {
		struct candidate *c = &rd->candidates[i];

		if (!wants_summary(r, c))
			continue;
		c->cached = rd->parts[k++].octets;
		if (c->cached.len == 0 ||
		    summary_peek(c->cached, &c->summary) == -1) {
			c->cached.len = 0;
			c->missing = true;
		} else {
			c->facts.summary = &c->summary;
			test_summary(r, c);
		}
		decided &= !c->missing && !needs_message(c);
	}
	if (decided && r->ask.headers)
		deliver(r);
}

static void
on_summaries_tested(void *arg)
{
	struct search_run *r = arg;

	r->rd->next = r->rd->nmade = 0;
	give_place(r);
	next_missing(r);
}

static void
on_summaries(void *arg, struct store_chunk *chunk)
{
	struct search_run *r = arg;

	r->rd->chunk = chunk;
	/* Few hand-overs, and never too much in memory. */
	r->rd->max = chunk->len < SUMMARIES / (CANDIDATES / CANDIDATES_FIRST)
	                 ? CANDIDATES
	                 : CANDIDATES_FIRST;
	jobs_put(r->ask.bd->jobs, test_summaries, on_summaries_tested, r);
}

static void
read_summaries(struct search_run *r)
{
	struct reading *rd = r->rd;
	size_t k = 0;

	if (r->stopped) {
		end_slice(r);
		return;
	}
	if (!take_place(r, read_summaries))
		return;
	rd->delivered = false;
	for (size_t i = 0; i < rd->n; i++)
		if (wants_summary(r, &rd->candidates[i]))
			rd->parts[k++] = (struct store_part){
				.uid = rd->candidates[i].facts.uid,
				.what = STORE_CACHE,
			};
	MUST(k > 0); /* the first of them is not decided */
	store_read(mailbox_store(r->m), rd->parts, k, on_summaries, r);
}

/* --- a slice ------------------------------------------------------------------- */

void
search_read_add(struct search_run *r, const struct search_facts *facts,
    enum search_answer answer)
{
	struct candidate *c;

	if (r->rd == NULL) {
		r->rd = xcalloc(1, sizeof(*r->rd));
		r->rd->max = CANDIDATES_FIRST;
	}
	MUST(r->rd->n < CANDIDATES);
	c = &r->rd->candidates[r->rd->n++];
	c->facts = *facts;
	c->answer = answer;
	c->missing = c->cut = false;
	c->cached = slice_of(NULL, 0);
	c->header = NULL;
}

bool
search_read_is_full(const struct search_run *r)
{
	return r->rd != NULL && r->rd->n >= r->rd->max;
}

size_t
search_read_due(const struct search_run *r)
{
	return r->rd == NULL ? 0 : r->rd->n - r->rd->read;
}

void
search_read(struct search_run *r)
{
	read_summaries(r);
}

void
search_read_free(struct search_run *r)
{
	if (r->rd == NULL)
		return;
	arena_reset(&r->rd->arena);
	free(r->rd);
	r->rd = NULL;
}
