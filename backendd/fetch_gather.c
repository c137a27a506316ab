/* fetch: the messages are found, and their summaries got, some ahead. */
#include <stdlib.h>

#include "backendd/emailid.h"
#include "backendd/fetch_state.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/seen.h"
#include "backendd/session.h"
#include "backendd/summarise.h"
#include "backendd/view.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* ------------------------------------------------------------------ \Seen */

/* Messages that this FETCH sets \Seen on, while that is under way. */
struct seeing {
	struct fetching *fe;
	unsigned due; /* call backs */
	size_t n;
	uint32_t uids[BATCH];
	struct store_change changes[BATCH];
};

static void
on_seen(void *arg, const char *why)
{
	struct seeing *see = arg;
	struct fetching *fe = see->fe;

	(void)why; /* the client got the message; the view tells the flags */
	if (--see->due > 0)
		return;
	free(see);
	MUST(fe->seen_waiting > 0);
	if (--fe->seen_waiting == 0 && fe->state == STATE_END)
		fetch_advance(fe);
}

/*
 * Not waited for before the messages are sent, but before the reply: the view
 * tells the new flags just before that, as of any change.
 */
static void
set_seen(struct fetching *fe, struct seeing *see)
{
	struct view *v = session_view(fe->ss);

	if (see == NULL || see->n == 0 || view_lost(v)) {
		free(see);
		return;
	}
	fe->seen_waiting++;
	see->due = 1;
	for (size_t i = 0; i < see->n; i++)
		see->changes[i] = (struct store_change){ .uid = see->uids[i],
			.set = view_seen(v) == NULL ? STORE_SEEN : 0,
			.touch = view_seen(v) != NULL };
	if (view_seen(v) != NULL) {
		see->due++;
		seen_change(view_seen(v), see->uids, see->n, true, on_seen,
		    see);
	}
	store_change(mailbox_store(fe->m), see->changes, see->n, UINT64_MAX,
	    on_seen, see);
}

/* --------------------------------------------------------------- gathering */

/* Who asks for UIDs does not miss one that is gone. */
void
fetch_fail(struct fetching *fe, struct item *item)
{
	struct store_mailbox *mb = mailbox_store(fe->m);

	item->failed = true;
	if (store_find(mb, item->facts.uid) == NULL && !store_is_damaged(mb))
		msgset_pass_over(fe->set);
	else
		fe->unreadable = true;
}

static void
gather_one(struct batch *b, const struct view *v, const struct store_msg *msg)
{
	struct fetching *fe = b->fe;
	struct item *item = &b->items[b->n];
	struct fetch_facts *facts = &item->facts;

	*item = (struct item){ 0 };
	buf_clear(&fe->flags);
	view_put_flags(v, msg, &fe->flags);
	facts->flags = arena_copy(&b->arena, buf_slice(&fe->flags));
	facts->uid = msg->uid;
	facts->seq = view_seq_of(v, msg->uid);
	facts->uidfetch = (view_says(v) & VIEW_SAYS_UIDFETCH) != 0;
	facts->modseq = msg->modseq;
	facts->size_octets = msg->size;
	facts->internal_seconds = msg->internaldate;
	facts->internal_zone = msg->zone;
	facts->saved = true;
	facts->saved_seconds = msg->savedate;
	if (fe->needs & FETCH_OBJECTID)
		facts->emailid = emailid_text(&b->arena, msg->emailid);
	b->summaries[b->n].uid = msg->uid;
	b->n++;
}

/* The i-th, its storage at least; i is below BATCHES. */
static struct batch *
batch_at(struct fetching *fe, unsigned i)
{
	struct batch **bp = &fe->batches[(fe->first + i) % BATCHES];

	if (*bp == NULL) {
		*bp = xcalloc(1, sizeof(**bp));
		(*bp)->fe = fe;
		arena_init(&(*bp)->arena);
	}
	return *bp;
}

static void
reset_batch(struct batch *b)
{
	MUST(!b->summarising);
	free(b->seeing);
	b->seeing = NULL;
	arena_reset(&b->arena);
	b->n = 0;
}

/* What is being sent, if anything, has been. */
static void
drop_first(struct fetching *fe)
{
	MUST(fe->ahead_is != AHEAD_READING);
	store_chunk_free(&fe->win->chunk);
	store_chunk_free(&fe->ahead->chunk);
	store_chunk_free(&fe->headers);
	fe->win->n = fe->win->part = 0;
	fe->group = fe->group_end = 0;
	if (fe->b == NULL)
		return;
	reset_batch(fe->b);
	fe->b = NULL;
	fe->first = (fe->first + 1) % BATCHES;
	fe->nbatches--;
}

static void
on_summaries(void *arg)
{
	struct batch *b = arg;
	struct fetching *fe = b->fe;

	b->summarising = false;
	for (size_t i = 0; i < b->n; i++) {
		struct fetch_facts *facts = &b->items[i].facts;

		facts->summary = b->summaries[i].summary;
		if (facts->summary != NULL)
			facts->threadid =
			    threadid_text(&b->arena, facts->summary->threadid);
		else if (fe->needs & FETCH_SUMMARY)
			fetch_fail(fe, &b->items[i]);
	}
	if (fe->waits_batch && b == fe->b) {
		fe->waits_batch = false;
		fe->state = STATE_HEADERS;
	} else if (fe->state != STATE_END) {
		return; /* its turn will come */
	}
	fetch_advance(fe);
}

static void
get_summaries(struct batch *b)
{
	struct fetching *fe = b->fe;

	b->summarising = true;
	if (fe->needs & FETCH_SUMMARY)
		summarise(fe->m, &b->arena, b->summaries, b->n, on_summaries,
		    b);
	else
		summarise_cached(fe->m, &b->arena, b->summaries, b->n,
		    on_summaries, b);
}

/* One more batch, for which so many messages may be looked at. */
static void
gather_batch(struct fetching *fe, unsigned *looks)
{
	const struct view *v = session_view(fe->ss);
	struct batch *b = batch_at(fe, fe->nbatches);
	uint32_t uid;

	if (fe->sets_seen) {
		b->seeing = xcalloc(1, sizeof(*b->seeing));
		b->seeing->fe = fe;
	}
	while (b->n<BATCH && * looks> 0) {
		const struct store_msg *msg;

		uid = msgset_next(fe->set, v);
		fe->all_gathered = uid == 0;
		if (fe->all_gathered)
			break;
		(*looks)--;
		msg = view_message(v, uid);
		if (fe->f->changed_since &&
		    msg->modseq <= fe->f->changed_modseq)
			continue;
		if (fe->sets_seen && !view_is_seen(v, msg))
			b->seeing->uids[b->seeing->n++] = uid;
		gather_one(b, v, msg);
	}
	if (store_is_damaged(mailbox_store(fe->m))) {
		/* Nothing of it is to be believed; the mailbox is lost soon. */
		reset_batch(b);
		fe->unreadable = fe->all_gathered = true;
	}
	if (b->n == 0) {
		reset_batch(b);
		return;
	}
	fe->nbatches++;
	if (fe->needs & (FETCH_SUMMARY | FETCH_LAZY))
		get_summaries(b);
}

/*
 * May there be one more?  While one is sent the next are read; not if there is
 * nothing to be read, as what is found late is new.
 */
static bool
wants_batch(struct fetching *fe)
{
	size_t octets = 0, made = 0;

	if (fe->all_gathered || fe->nbatches == BATCHES)
		return false;
	if (fe->nbatches > 0 && !(fe->needs & (FETCH_SUMMARY | FETCH_LAZY)))
		return false;
	/* Those that are being made are taken to be as large as the rest. */
	for (unsigned i = 0; i < fe->nbatches; i++)
		if (!batch_at(fe, i)->summarising) {
			octets += arena_used(&batch_at(fe, i)->arena);
			made++;
		}
	if (made == 0)
		return fe->nbatches < 2;
	return octets / made * fe->nbatches < BATCHES_MAX;
}

void
fetch_gather(struct fetching *fe)
{
	unsigned looks = LOOKED_MAX;

	drop_first(fe);
	if (session_dead(fe->ss)) {
		fe->state = STATE_END;
		return;
	}
	while (looks > 0 && wants_batch(fe))
		gather_batch(fe, &looks);
	if (fe->nbatches == 0 && fe->all_gathered) {
		fe->state = STATE_END;
	} else if (fe->nbatches == 0) {
		fe->state = STATE_WAIT;
		task_want(fe->turn);
	} else {
		fe->b = batch_at(fe, 0);
		set_seen(fe, fe->b->seeing);
		fe->b->seeing = NULL;
		fe->waits_batch = fe->b->summarising;
		fe->state = fe->waits_batch ? STATE_WAIT : STATE_HEADERS;
	}
}

bool
fetch_is_gathering(const struct fetching *fe)
{
	for (unsigned i = 0; i < BATCHES; i++)
		if (fe->batches[i] != NULL && fe->batches[i]->summarising)
			return true;
	return false;
}

void
fetch_gather_end(struct fetching *fe)
{
	drop_first(fe);
	for (unsigned i = 0; i < BATCHES; i++) {
		if (fe->batches[i] == NULL)
			continue;
		reset_batch(fe->batches[i]);
		free(fe->batches[i]);
	}
}
