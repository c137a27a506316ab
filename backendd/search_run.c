#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "backendd/conf.h"
#include "backendd/emailid.h"
#include "backendd/mailbox.h"
#include "backendd/search_run.h"
#include "backendd/server.h"
#include "backendd/summarise.h"
#include "backendd/view.h"
#include "imap/flag.h"
#include "imap/header.h"
#include "imap/search.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LOOKED_MAX = 16384, /* messages looked at in one turn: 0.4 ms */
	COSTLY_MAX = 2048,  /* ...if found costs more than that */
	CANDIDATES = 4096,  /* ...of which so many need reading */
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
	size_t n;
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

struct search_run {
	struct search_ask ask;
	struct mailbox *m; /* a hold */
	struct task *turn;
	uint32_t next_uid; /* 0: no more */
	size_t next;       /* of ask.uids */
	uint32_t looked, total;
	unsigned looked_max;
	size_t candidates_max;
	bool stopped;
	int keywords[SEARCH_KEYWORDS_MAX]; /* their numbers here; -1: none */
	unsigned quick_mask;               /* flags in the index itself */
	struct arena ids;                  /* EMAILIDs of a slice */
	struct reading *rd;

	/* Waits for a place: then go on there. */
	TAILQ_ENTRY(search_run) waiting;
	void (*resume)(struct search_run *r); /* NULL: it does not */
};

static void next_messages(struct search_run *r);
static void next_missing(struct search_run *r);

/* --- places -------------------------------------------------------------------- */

/*
 * Half of the threads read and test for searches, so that those are never in
 * the way of who fetches or delivers.  Who finds no place goes on with resume,
 * in turn.
 */
static bool
take_place(struct search_run *r, void (*resume)(struct search_run *r))
{
	struct backendd *bd = r->ask.bd;

	if (r->resume != NULL)
		return false;
	if (bd->nreading < (bd->conf->job_threads + 1) / 2) {
		bd->nreading++;
		return true;
	}
	r->resume = resume;
	TAILQ_INSERT_TAIL(&bd->waiting, r, waiting);
	return false;
}

static void
give_place(struct search_run *r)
{
	struct backendd *bd = r->ask.bd;
	struct search_run *next = TAILQ_FIRST(&bd->waiting);
	void (*resume)(struct search_run * r);

	MUST(bd->nreading > 0);
	bd->nreading--;
	if (next == NULL)
		return;
	resume = next->resume;
	next->resume = NULL;
	TAILQ_REMOVE(&bd->waiting, next, waiting);
	if (next != r) /* who gives it goes on by himself */
		resume(next);
}

static void
finish(struct search_run *r)
{
	struct search_ask ask = r->ask;
	bool good = !store_is_damaged(mailbox_store(r->m));

	if (r->rd != NULL) {
		arena_reset(&r->rd->arena);
		free(r->rd);
	}
	arena_reset(&r->ids);
	task_free(&r->turn);
	mailbox_release(&r->m);
	ask.bd->nsearches--;
	free(r);
	ask.done(ask.arg, good);
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
	if (r->next_uid == 0 || r->stopped || (r->ask.first_only && found))
		finish(r);
	else
		task_want(r->turn);
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
			break;
		if (!take_place(r, next_messages))
			return;
		b->under_way = true;
		rd->busy++;
		store_read(mailbox_store(r->m), b->parts, b->n, on_messages, b);
	}
	if (rd->busy == 0)
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
	r->candidates_max =
	    chunk->len < SUMMARIES / (CANDIDATES / CANDIDATES_FIRST)
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
		finish(r);
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

/* --- the index --------------------------------------------------------------- */

static void
add_candidate(struct search_run *r, const struct search_facts *facts,
    enum search_answer answer)
{
	struct candidate *c;

	if (r->rd == NULL)
		r->rd = xcalloc(1, sizeof(*r->rd));
	MUST(r->rd->n < CANDIDATES);
	c = &r->rd->candidates[r->rd->n++];
	c->facts = *facts;
	c->answer = answer;
	c->missing = c->cut = false;
	c->cached = slice_of(NULL, 0);
	c->header = NULL;
}

static uint64_t
keywords_of(const struct search_run *r, const struct store_msg *msg)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < r->ask.search->nkeywords; i++) {
		int k = r->keywords[i];

		if (k != -1 && (msg->keywords[k / 64] >> (k % 64) & 1))
			bits |= (uint64_t)1 << i;
	}
	return bits;
}

/* now: seconds.  seq 0: to be looked up. */
static void
look_at(struct search_run *r, const struct store_msg *msg, uint32_t seq,
    int64_t now)
{
	const struct view *v = r->ask.view;
	struct search_facts facts = { .now = now,
		.seq = seq != 0 ? seq : view_seq_of(v, msg->uid),
		.uid = msg->uid,
		.modseq = msg->modseq,
		.size_octets = msg->size,
		.internal_seconds = msg->internaldate,
		.internal_zone = msg->zone,
		.saved = msg->savedate != 0,
		.saved_seconds = msg->savedate,
		.flags = msg->flags & FLAG_ALL & ~(unsigned)FLAG_RECENT };
	enum search_answer answer;

	if (view_seen(v) != NULL) {
		facts.flags &= ~(unsigned)FLAG_SEEN;
		if (view_is_seen(v, msg))
			facts.flags |= FLAG_SEEN;
	}
	if (view_is_recent(v, msg->uid))
		facts.flags |= FLAG_RECENT;
	facts.keywords = keywords_of(r, msg);
	if (r->ask.search->emailid)
		facts.emailid = emailid_text(&r->ids, msg->emailid);
	answer = search_test(r->ask.search, &facts);
	if (answer == SEARCH_NO)
		return;
	if (answer == SEARCH_YES && !r->ask.headers &&
	    (r->rd == NULL || r->rd->n == 0)) {
		r->ask.found(r->ask.arg, &facts, slice_of(NULL, 0));
		if (r->ask.first_only)
			r->stopped = true;
		return;
	}
	add_candidate(r, &facts, answer);
}

static bool
is_full(const struct search_run *r)
{
	return r->stopped || (r->rd != NULL && r->rd->n >= r->candidates_max);
}

/* Only those asked for. */
static void
look_at_some(struct search_run *r, int64_t now)
{
	for (unsigned n = 0; n < r->looked_max && !is_full(r); n++) {
		const struct store_msg *msg;

		if (r->next == r->ask.nuids) {
			r->next_uid = 0;
			return;
		}
		msg = view_message(r->ask.view, r->ask.uids[r->next++]);
		if (msg != NULL)
			look_at(r, msg, 0, now);
		r->looked++;
	}
}

/*
 * In the order of the index: what would be asked of the view for each message
 * is known from where it stands.
 */
static void
look_at_all(struct search_run *r, int64_t now)
{
	const struct store_mailbox *mb = mailbox_store(r->m);
	const struct search *s = r->ask.search;
	uint32_t i = store_index(mb, r->next_uid);
	uint32_t end = store_index_behind(mb, view_last_uid(r->ask.view));
	bool whole;

	/* None that the client counts is gone: numbers are places. */
	whole = end == view_count(r->ask.view);
	for (unsigned n = 0; n < r->looked_max && i < end && !is_full(r);
	     n++, i++) {
		const struct store_msg *msg = store_at(mb, i);

		r->looked++;
		if ((msg->flags & r->quick_mask) ==
		    (s->wanted_flags & r->quick_mask))
			look_at(r, msg, whole ? i + 1 : 0, now);
	}
	r->next_uid = i < end ? store_at(mb, i)->uid : 0;
}

static void
find_keywords(struct search_run *r)
{
	const struct search *s = r->ask.search;

	for (unsigned i = 0; i < s->nkeywords; i++)
		r->keywords[i] =
		    store_keyword_find(mailbox_store(r->m), s->keywords[i]);
}

static void
look(struct search_run *r)
{
	int64_t now = loop_wall(r->ask.bd->loop).ms / 1000;

	if (view_lost(r->ask.view)) {
		r->next_uid = 0;
		return;
	}
	arena_again(&r->ids);
	find_keywords(r);
	r->quick_mask = r->ask.search->flags_mask & ~(unsigned)FLAG_RECENT;
	if (view_seen(r->ask.view) != NULL)
		r->quick_mask &= ~(unsigned)FLAG_SEEN;
	if (r->ask.uids != NULL)
		look_at_some(r, now);
	else
		look_at_all(r, now);
}

static void
on_turn(void *arg)
{
	struct search_run *r = arg;

	if (r->ask.gone != NULL && r->ask.gone(r->ask.arg))
		r->stopped = true;
	if (r->next_uid != 0 && !r->stopped)
		look(r);
	if (r->rd != NULL && r->rd->n > 0 && !r->stopped)
		read_summaries(r);
	else if (r->next_uid == 0 || r->stopped)
		finish(r);
	else
		task_want(r->turn);
}

struct search_run *
search_run_new(const struct search_ask *ask)
{
	struct search_run *r = xcalloc(1, sizeof(*r));

	r->ask = *ask;
	ask->bd->nsearches++;
	r->m = mailbox_hold(view_mailbox(ask->view));
	r->turn = task_new(ask->bd->loop, on_turn, r);
	r->total =
	    ask->uids != NULL ? (uint32_t)ask->nuids : view_count(ask->view);
	r->next_uid = 1;
	r->candidates_max = CANDIDATES_FIRST;
	r->looked_max = ask->costly ? COSTLY_MAX : LOOKED_MAX;
	task_want(r->turn);
	return r;
}

void
search_run_stop(struct search_run *r)
{
	r->stopped = true;
}

void
search_run_progress(const struct search_run *r, uint32_t *done, uint32_t *total)
{
	*done = r->looked;
	if (r->rd != NULL)
		*done -= (uint32_t)(r->rd->n - r->rd->read);
	*total = r->total;
}
