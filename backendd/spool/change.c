#include <stdlib.h>
#include <string.h>

#include "backendd/spool/spool.h"
#include "lib/journal.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	RETRY_MS = 10, /* the first time; then longer and longer */
	RETRY_MS_MAX = 2000
};

const char *
change_trouble(const struct spool *sp)
{
	if (sp->ailing)
		return "The disk has failed";
	if (sp->troubled || journal_failed(sp->journal))
		return "The disk is full or failing, try again later";
	return NULL;
}

const char *
change_refusal(struct spool *sp)
{
	const char *why = change_trouble(sp);

	if (why != NULL)
		return why;
	room_look(sp);
	/* The log that is there goes when there is something in the next. */
	if (sp->tight && (sp->pending > 0 || sp->applied > sp->checkpointed))
		return "The disk is full, try again later";
	return NULL;
}

static void
retry_later(struct spool *sp)
{
	sp->retry_ms *= 2;
	if (sp->retry_ms < RETRY_MS)
		sp->retry_ms = RETRY_MS;
	if (sp->retry_ms > RETRY_MS_MAX)
		sp->retry_ms = RETRY_MS_MAX;
	timer_set(sp->timer, sp->retry_ms);
}

static void
trouble(struct spool *sp, const char *doing, const char *why)
{
	if (!timer_is_set(sp->timer))
		retry_later(sp);
	if (!sp->troubled)
		log_err(sp->env.log, "spool: refusing changes", "dir", sp->dir,
		    "doing", doing, "why", why, NULL);
	sp->troubled = true;
}

void
change_unsynced(struct spool *sp, const char *why)
{
	if (!sp->ailing)
		log_err(sp->env.log, "spool: sync failed, restart needed",
		    "dir", sp->dir, "why", why, NULL);
	sp->ailing = true;
}

struct change *
change_new(struct spool *sp, store_cb *cb, void *arg)
{
	struct change *ch = xcalloc(1, sizeof *ch);

	ch->sp = sp;
	ch->cb = cb;
	ch->arg = arg;
	buf_init(&ch->record, SPOOL_RECORD_MAX);
	buf_init(&ch->aside, SPOOL_RECORD_MAX);
	sp->busy++;
	return ch;
}

struct effect *
change_join(struct change *ch, unsigned i, struct spool_mailbox *mb,
    size_t slots, size_t uids)
{
	struct effect *e = &ch->effects[i];
	struct err err;

	MUST(e->mb == NULL && slots <= STORE_ITEMS_MAX);
	if (mb->store.damaged) {
		change_refuse(ch, "The mailbox is damaged");
		return NULL;
	}
	if (box_draft(mb, (uint32_t)slots, slots == 0 || uids > 0, &err) ==
	    -1) {
		log_err(ch->sp->env.log, "spool: no room in an index", "dir",
		    ch->sp->dir, "mailboxid", mb->store.id, "why", err.text,
		    NULL);
		change_refuse(ch, "No room in the mailbox");
		return NULL;
	}
	if (mb->drafts == 0) /* what is known of them is known of next, too */
		mb->next.seen_below = mb->store.seen_below;
	box_hold(mb);
	mb->drafts++;
	e->mb = mb;
	e->side = epoch_enter(&mb->epoch);
	if (uids > 0) {
		e->uids = xcalloc(2 * uids, sizeof *e->uids);
		e->slots = e->uids + uids;
	}
	return e;
}

void
change_begin(struct change *ch, struct effect *e)
{
	struct spool_mailbox *mb = e->mb;

	MUST(!e->begun);
	e->begun = true;
	redo_mailbox(&ch->record, mb->store.id);
	if (!mb->names_dirty)
		return;
	redo_names(&ch->record, mb->store.names);
	e->names = true;
	mb->names_dirty = false;
}

void
change_end(struct change *ch, struct effect *e)
{
	struct spool_mailbox *mb = e->mb;

	if (!e->begun)
		return;
	mb->next.recent = mb->store.recent;
	mb->next.data_no = mb->data_no;
	mb->next.data_end = mb->data_end;
	mb->next.cache_end = mb->cache_end;
	mb->next.cache_dead = mb->cache_dead;
	spool_header_seal(&mb->next);
	redo_write(&ch->record, SPOOL_INDEX, 0, 0,
	    slice_of(&mb->next, SPOOL_SLOT));
	e->after = mb->next;
	e->news.modseq = mb->next.highestmodseq;
}

/* What applying it writes, about. */
static uint64_t
octets_of(const struct change *ch)
{
	return buf_len(&ch->record) + buf_len(&ch->aside);
}

/* Over and called back; ch and its effects are gone. */
static void
finish(struct change *ch)
{
	store_cb *cb = ch->cb;
	void *arg = ch->arg;
	const char *why = ch->why;

	for (size_t i = 0; i < NITEMS(ch->effects); i++) {
		struct effect *e = &ch->effects[i];

		if (e->mb != NULL) {
			epoch_leave(&e->mb->epoch, e->side);
			box_release(e->mb);
		}
		free(e->uids);
		free(e->meta);
	}
	ch->sp->busy--;
	if (ch->state != CHANGE_FAILED)
		ch->sp->pending -= octets_of(ch);
	buf_fini(&ch->record);
	buf_fini(&ch->aside);
	ahead_end(&ch->ahead);
	free(ch);
	if (cb != NULL)
		cb(arg, why);
}

/* As if it had never been asked for. */
static void
undo(struct effect *e)
{
	struct spool_mailbox *mb = e->mb;

	if (mb == NULL)
		return;
	if (e->names)
		mb->names_dirty = true;
	if (e->meta != NULL)
		box_meta_undo(mb);
	box_draft_done(mb);
}

static void
take_effect(struct effect *e)
{
	if (e->mb == NULL)
		return;
	if (e->unseen != 0 && e->unseen < e->mb->store.seen_below)
		e->mb->store.seen_below = e->unseen;
	if (e->begun)
		box_become(e->mb, &e->after, e->slots, e->news.nexpunged);
	if (e->meta != NULL)
		box_meta_done(e->mb, &e->meta);
	box_draft_done(e->mb);
	if (e->news.nexpunged > 0)
		reclaim_want(e->mb->sp, e->mb);
}

static void
tell(struct effect *e)
{
	struct store_mailbox *mb;

	if (e->mb == NULL || !e->begun || e->quiet)
		return;
	mb = &e->mb->store;
	if (mb->observer != NULL)
		mb->observer(mb->observer_arg, &e->news);
}

/* Fails ch, and what only waits for it. */
static void
fail(struct change *ch, const char *why)
{
	struct changelist *list = &ch->sp->waiting;
	struct change *next = TAILQ_NEXT(ch, entry);

	while (next != NULL) {
		if (next->state == CHANGE_FOLLOWS)
			next->why = why;
		next = TAILQ_NEXT(next, entry);
	}
	TAILQ_REMOVE(list, ch, entry);
	for (size_t i = 0; i < NITEMS(ch->effects); i++)
		undo(&ch->effects[i]);
	ch->why = why;
	finish(ch);
}

static void
logged(void *arg, uint64_t number, bool failed)
{
	struct change *ch = arg;
	struct spool *sp = ch->sp;

	MUST(ch->state == CHANGE_PUT && ch->number == number);
	if (failed) {
		(void)room_give(sp);
		trouble(sp, "writing the log", journal_error(sp->journal));
		fail(ch, change_trouble(sp));
	} else {
		ch->state = CHANGE_DURABLE;
	}
	change_advance(sp);
}

/* In the job. */
static void
write_ahead(void *arg)
{
	struct change *ch = arg;

	ahead_write(&ch->ahead, buf_slice(&ch->record));
}

void
change_put(struct change *ch)
{
	struct spool *sp = ch->sp;

	MUST(ch->state == CHANGE_NEW && !buf_failed(&ch->record) &&
	     !buf_failed(&ch->aside));
	sp->pending += octets_of(ch);
	TAILQ_INSERT_TAIL(&sp->waiting, ch, entry);
	if (buf_len(&ch->record) == 0) {
		ch->state = CHANGE_FOLLOWS;
		task_want(sp->task);
		return;
	}
	ch->state = CHANGE_PUT;
	ch->number = journal_put_then(sp->journal, buf_slice(&ch->record),
	    ahead_take(&ch->ahead, ch->effects[0].mb) ? write_ahead : NULL,
	    logged, ch);
}

void
change_refuse(struct change *ch, const char *why)
{
	MUST(ch->state == CHANGE_NEW && why != NULL);
	for (size_t i = 0; i < NITEMS(ch->effects); i++) {
		MUST(!ch->effects[i].begun);
		undo(&ch->effects[i]);
	}
	ch->state = CHANGE_FAILED;
	ch->why = why;
	TAILQ_INSERT_TAIL(&ch->sp->refused, ch, entry);
	task_want(ch->sp->task);
}

/* What goes beside the record is a cache: it is no harm if it is missing. */
static int
apply_all(struct change *ch, struct err *err)
{
	struct err missing;

	if (redo_apply(ch->sp, ch->number, buf_slice(&ch->record), &ch->ahead,
	        err) == -1)
		return -1;
	if (redo_apply(ch->sp, ch->number, buf_slice(&ch->aside), NULL,
	        &missing) == -1)
		log_debug(ch->sp->env.log, "spool: cache not written", "dir",
		    ch->sp->dir, "why", missing.text, NULL);
	return 0;
}

static int
apply(struct change *ch)
{
	struct spool *sp = ch->sp;
	struct err err;

	if (apply_all(ch, &err) == -1 &&
	    (!room_give(sp) || apply_all(ch, &err) == -1)) {
		trouble(sp, "applying the log", err.text);
		return -1;
	}
	sp->applied = ch->number;
	return 0;
}

/* The head of the queue, if it can be over now. */
static bool
advance_one(struct spool *sp)
{
	struct change *ch = TAILQ_FIRST(&sp->waiting);

	if (ch == NULL || ch->state == CHANGE_PUT)
		return false;
	if (ch->state == CHANGE_DURABLE && apply(ch) == -1)
		return false;
	TAILQ_REMOVE(&sp->waiting, ch, entry);
	for (size_t i = 0; i < NITEMS(ch->effects); i++)
		take_effect(&ch->effects[i]);
	for (size_t i = 0; i < NITEMS(ch->effects); i++)
		tell(&ch->effects[i]);
	if (ch->trash[0] != '\0')
		trash_empty(sp, ch->trash);
	finish(ch);
	return true;
}

/* Its user is to close it; what it asked for meanwhile was refused. */
static void
tell_damaged(struct spool *sp)
{
	struct store_news news = { .damaged = true };
	struct spool_mailbox *mb;

	while ((mb = TAILQ_FIRST(&sp->hurt)) != NULL) {
		TAILQ_REMOVE(&sp->hurt, mb, hurt);
		mb->untold = false;
		if (mb->store.observer != NULL)
			mb->store.observer(mb->store.observer_arg, &news);
	}
}

/*
 * While the disk refuses what is durable already, its owner waits: to say no
 * would be wrong, as it is in the log, and to say yes would be to show an
 * index without it.
 */
void
change_advance(struct spool *sp)
{
	struct change *ch;

	while ((ch = TAILQ_FIRST(&sp->refused)) != NULL) {
		TAILQ_REMOVE(&sp->refused, ch, entry);
		finish(ch);
	}
	while (advance_one(sp))
		;
	tell_damaged(sp);
	checkpoint_want(sp);
}

void
change_retry(struct spool *sp)
{
	change_advance(sp);
	if (journal_failed(sp->journal))
		journal_retry(sp->journal);
	if (journal_failed(sp->journal) || !TAILQ_EMPTY(&sp->waiting)) {
		if (!timer_is_set(sp->timer))
			retry_later(sp);
		return;
	}
	sp->troubled = false;
	sp->retry_ms = 0;
	log_warn(sp->env.log, "spool: taking changes again", "dir", sp->dir,
	    NULL);
}
