#include <stdlib.h>

#include "backendd/emailid.h"
#include "backendd/mailbox.h"
#include "backendd/search_run.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/summarise.h"
#include "backendd/view.h"
#include "imap/flag.h"
#include "imap/search.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LOOKED_MAX = 4096,          /* messages tested in one turn */
	BATCH = SUMMARISE_MAX,      /* ...of which so many need reading */
	MESSAGES_MAX = 1024 * 1024, /* octets of messages read at once */
	ROOM = 32 * 1024,
	LINE_MAX = 64 * 1024 /* of a response, beside its numbers */
};

/* A message that is found, or may be. */
struct candidate {
	struct search_facts facts;
	enum search_answer answer;
};

struct searching {
	struct session *ss;
	struct search *s;
	bool by_uid;
	struct mailbox *m; /* a hold */
	struct task *turn;
	uint32_t next_uid;

	struct arena arena;                  /* of the batch */
	struct candidate *found[LOOKED_MAX]; /* in order of UID */
	size_t nfound;
	struct candidate *unsure[BATCH]; /* some of those */
	size_t nunsure;
	struct summarise_item items[BATCH];

	/* Messages read and tested together. */
	size_t first, end; /* of unsure */
	struct store_part parts[BATCH];
	struct store_chunk *chunk;

	uint32_t *numbers;
	size_t count, size;
	uint64_t first_modseq, last_modseq, highest_modseq;

	struct buf out; /* the response */
};

static void next_slice(struct searching *se);
static void next_messages(struct searching *se);

/* ---------------------------------------------------------------- response */

static void
send_response(struct session *ss, void *arg)
{
	struct searching *se = arg;
	size_t n = buf_len(&se->out), room = session_room(ss);

	if (n > room)
		n = room;
	buf_put(session_out(ss), buf_data(&se->out), n);
	buf_drop(&se->out, n);
	session_flush(ss);
	if (buf_len(&se->out) > 0) {
		session_wait_room(ss, ROOM, send_response, se);
		return;
	}
	buf_fini(&se->out);
	free(se->numbers);
	free(se);
	session_done(ss, SESSION_OK, NULL, "Search completed");
}

/* RFC 7162 3.1.5 and 3.1.10: the highest of what is told of. */
static uint64_t
modseq_told(const struct searching *se)
{
	unsigned returns = se->s->returns;
	uint64_t modseq = 0;

	if (!se->s->modseq || se->count == 0)
		return 0;
	if (!se->s->esearch ||
	    (returns & (SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT)))
		return se->highest_modseq;
	if (returns & SEARCH_RETURN_MIN)
		modseq = se->first_modseq;
	if ((returns & SEARCH_RETURN_MAX) && se->last_modseq > modseq)
		modseq = se->last_modseq;
	return modseq;
}

static void
finish(struct searching *se)
{
	struct search_found found = {
		.by_uid = se->by_uid,
		.numbers = se->numbers,
		.count = se->count,
		.modseq = modseq_told(se),
	};

	arena_reset(&se->arena);
	task_free(&se->turn);
	mailbox_release(&se->m);
	buf_init(&se->out, se->count * 12 + LINE_MAX);
	search_write(&se->out, se->s, session_cmd(se->ss)->tag, &found);
	MUST(!buf_failed(&se->out)); /* 11 octets a number */
	send_response(se->ss, se);
}

/* ------------------------------------------------------------------ slices */

static void
add_found(struct searching *se, const struct search_facts *facts)
{
	if (se->count == se->size) {
		se->size = se->size == 0 ? 64 : se->size * 2;
		se->numbers = xreallocarray(se->numbers, se->size,
		    sizeof(se->numbers[0]));
	}
	if (se->count == 0)
		se->first_modseq = facts->modseq;
	se->numbers[se->count++] = se->by_uid ? facts->uid : facts->seq;
	se->last_modseq = facts->modseq;
	if (facts->modseq > se->highest_modseq)
		se->highest_modseq = facts->modseq;
}

static bool
is_enough(const struct searching *se)
{
	return session_dead(se->ss) ||
	       (se->s->esearch && se->s->returns == SEARCH_RETURN_MIN &&
	           se->count > 0);
}

static void
end_slice(struct searching *se)
{
	for (size_t i = 0; i < se->nfound; i++)
		if (se->found[i]->answer == SEARCH_YES)
			add_found(se, &se->found[i]->facts);
	arena_reset(&se->arena);
	se->nfound = se->nunsure = 0;
	if (se->next_uid == 0 || is_enough(se))
		finish(se);
	else
		task_want(se->turn);
}

/* In a thread. */
static void
test_messages(void *arg)
{
	struct searching *se = arg;

	for (size_t i = se->first; i < se->end; i++) {
		struct candidate *c = se->unsure[i];

		if (c->facts.message.ptr != NULL)
			c->answer = search_test(se->s, &c->facts);
	}
}

static void
on_tested(void *arg)
{
	struct searching *se = arg;

	store_chunk_free(&se->chunk);
	se->first = se->end;
	next_messages(se);
}

static void
on_messages(void *arg, struct store_chunk *chunk)
{
	struct searching *se = arg;
	size_t n = 0;

	se->chunk = chunk;
	for (size_t i = se->first; i < se->end; i++) {
		if (se->unsure[i]->answer != SEARCH_NEEDS_MESSAGE)
			continue;
		if (se->parts[n].why == NULL)
			se->unsure[i]->facts.message = se->parts[n].octets;
		n++;
	}
	jobs_put(session_server(se->ss)->jobs, test_messages, on_tested, se);
}

/* Those that still need their message, as many as may be read at once. */
static void
next_messages(struct searching *se)
{
	uint64_t octets = 0;
	size_t n = 0;

	for (se->end = se->first; se->end < se->nunsure; se->end++) {
		const struct candidate *c = se->unsure[se->end];

		if (c->answer != SEARCH_NEEDS_MESSAGE)
			continue;
		if (n > 0 && octets + c->facts.size_octets > MESSAGES_MAX)
			break;
		octets += c->facts.size_octets;
		se->parts[n++] = (struct store_part){
			.uid = c->facts.uid,
			.what = STORE_OCTETS,
			.len = UINT64_MAX,
		};
	}
	if (n == 0)
		end_slice(se);
	else
		store_read(mailbox_store(se->m), se->parts, n, on_messages, se);
}

/* In a thread: folding and comparing headers. */
static void
test_summaries(void *arg)
{
	struct searching *se = arg;

	for (size_t i = 0; i < se->nunsure; i++) {
		struct candidate *c = se->unsure[i];

		c->answer = c->facts.summary == NULL
		                ? SEARCH_NO
		                : search_test(se->s, &c->facts);
	}
}

static void
on_summaries_tested(void *arg)
{
	struct searching *se = arg;

	se->first = 0;
	next_messages(se);
}

static void
on_summaries(void *arg)
{
	struct searching *se = arg;

	for (size_t i = 0; i < se->nunsure; i++)
		se->unsure[i]->facts.summary = se->items[i].summary;
	jobs_put(session_server(se->ss)->jobs, test_summaries,
	    on_summaries_tested, se);
}

/* bit i: the message has the i-th keyword of the search. */
static uint64_t
keywords_of(const struct searching *se, const struct store_msg *msg)
{
	const struct store_mailbox *mb = mailbox_store(se->m);
	uint64_t bits = 0;

	for (unsigned i = 0; i < se->s->nkeywords; i++) {
		int k = store_keyword_find(mb, se->s->keywords[i]);

		if (k != -1 && (msg->keywords[k / 64] >> (k % 64) & 1))
			bits |= (uint64_t)1 << i;
	}
	return bits;
}

static void
look_at(struct searching *se, const struct view *v, const struct store_msg *msg)
{
	struct candidate
	    c = { .facts = {
		      .now = loop_wall(session_server(se->ss)->loop).ms / 1000,
		      .seq = view_seq_of(v, msg->uid),
		      .uid = msg->uid,
		      .modseq = msg->modseq,
		      .size_octets = msg->size,
		      .internal_seconds = msg->internaldate,
		      .internal_zone = msg->zone,
		      .saved = true,
		      .saved_seconds = msg->savedate,
		      .flags = msg->flags & FLAG_ALL,
		  } };
	struct search_facts *facts = &c.facts;

	facts->flags &= ~(unsigned)FLAG_SEEN;
	if (view_is_seen(v, msg))
		facts->flags |= FLAG_SEEN;
	if (view_is_recent(v, msg->uid))
		facts->flags |= FLAG_RECENT;
	facts->keywords = keywords_of(se, msg);
	facts->emailid = emailid_text(&se->arena, msg->emailid);
	c.answer = search_test(se->s, facts);
	if (c.answer == SEARCH_NO)
		return;
	se->found[se->nfound] = arena_alloc(&se->arena, sizeof(c));
	*se->found[se->nfound] = c;
	if (c.answer != SEARCH_YES) {
		se->items[se->nunsure].uid = msg->uid;
		se->unsure[se->nunsure++] = se->found[se->nfound];
	}
	se->nfound++;
}

static void
next_slice(struct searching *se)
{
	const struct view *v = session_view(se->ss);

	for (unsigned n = 0; n < LOOKED_MAX && se->nunsure < BATCH; n++) {
		se->next_uid = view_next_uid(v, se->next_uid);
		if (se->next_uid == 0)
			break;
		look_at(se, v, view_message(v, se->next_uid));
		if (se->next_uid++ == UINT32_MAX) /* 0: no more */
			break;
	}
	if (se->nunsure > 0)
		summarise(se->m, session_server(se->ss)->jobs, &se->arena,
		    se->items, se->nunsure, on_summaries, se);
	else
		end_slice(se);
}

static void
on_turn(void *arg)
{
	next_slice(arg);
}

void
search_run(struct session *ss, struct search *s, enum search_numbers numbers)
{
	struct searching *se = xcalloc(1, sizeof(*se));
	const struct view *v = session_view(ss);

	se->ss = ss;
	se->s = s;
	se->by_uid = numbers == SEARCH_BY_UID;
	se->m = mailbox_hold(view_mailbox(v));
	se->turn = task_new(session_server(ss)->loop, on_turn, se);
	se->next_uid = 1;
	arena_init(&se->arena);
	search_bind(s, session_cmd(ss)->arena, view_count(v), view_last_uid(v),
	    session_saved(ss));
	next_slice(se);
}
