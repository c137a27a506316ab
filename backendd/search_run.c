#include <stdlib.h>
#include <sys/queue.h>

#include "backendd/emailid.h"
#include "backendd/mailbox.h"
#include "backendd/search_state.h"
#include "backendd/server.h"
#include "backendd/view.h"
#include "imap/flag.h"
#include "lib/arena.h"
#include "lib/loop.h"
#include "lib/xalloc.h"

enum {
	LOOKED_MAX = 16384, /* messages looked at in one turn: 0.4 ms */
	COSTLY_MAX = 2048   /* ...if found costs more than that */
};

static void
finish(struct search_run *r)
{
	struct search_ask ask = r->ask;
	bool good = !store_is_damaged(mailbox_store(r->m));

	search_read_free(r);
	arena_reset(&r->ids);
	task_free(&r->turn);
	mailbox_release(&r->m);
	ask.bd->nsearches--;
	free(r);
	ask.done(ask.arg, good);
}

void
search_run_go_on(struct search_run *r, bool found)
{
	if (r->next_uid == 0 || r->stopped || (r->ask.first_only && found))
		finish(r);
	else
		task_want(r->turn);
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
	    search_read_due(r) == 0) {
		r->ask.found(r->ask.arg, &facts, slice_of(NULL, 0));
		if (r->ask.first_only)
			r->stopped = true;
		return;
	}
	search_read_add(r, &facts, answer);
}

static bool
is_full(const struct search_run *r)
{
	return r->stopped || search_read_is_full(r);
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
	if (search_read_due(r) > 0 && !r->stopped)
		search_read(r);
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
	*done = r->looked - (uint32_t)search_read_due(r);
	*total = r->total;
}
