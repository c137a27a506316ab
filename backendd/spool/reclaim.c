/*
 * What each step goes by is the index as applied, read by a job.  A file that
 * is being emptied does not grow, and those who began to write to it, or read
 * from it, before that are waited for: so a list of the messages in it is
 * whole, and when it is empty the file may go.  Whatever is cut short leaves
 * octets of no use, never a message without octets.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/spool/reclaim_job.h"
#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	WAIT_MS = 5,           /* for those who use the file */
	AGAIN_MS = 10 * 1000,  /* after what went wrong */
	STUCK_SECONDS = 86400, /* when a message is damaged */
	DAY_MS = 24 * 60 * 60 * 1000,
	WALK_MS = RECLAIM_STEPS * (DAY_MS / RECLAIM_BUCKETS) /* to the next */
};

enum state {
	STATE_IDLE,    /* the timer is for the walk */
	STATE_LOOKING, /* a job looks for mailboxes */
	STATE_OPENING,
	STATE_CHOOSING, /* a job looks for a file */
	STATE_EMPTYING, /* the timer: who writes to the file is waited for */
	STATE_LISTING,  /* a job looks for messages in it */
	STATE_MOVING,   /* a job copies them */
	STATE_PUTTING,  /* their places, or the end */
	STATE_PAUSING,  /* the timer: not too fast */
	STATE_LEAVING,  /* the timer: who reads from the file is waited for */
	STATE_DROPPING
};

struct reclaim {
	struct reclaim_job job; /* first: arg of jobs is both */
	struct spool *sp;
	struct timer *timer;
	enum state state;
	struct spool_mailbox *mb; /* pinned, from CHOOSING on */
	bool flipped;             /* of the epoch, while waiting */
	bool stuck;               /* a message could not be moved */
	uint64_t dead_before;     /* octets, as counted */
};

static void look(struct reclaim *rc);
static void begin_list(struct reclaim *rc);

/* ---- the loop's side ---- */

static void
put_job(struct reclaim *rc, enum state state, job_run *run, job_done *done)
{
	struct spool *sp = rc->sp;

	rc->state = state;
	rc->job.dirfd = sp->dirfd;
	rc->job.now = loop_wall(sp->env.loop).ms / 1000;
	rc->job.held_since = scan_held_since(sp);
	rc->job.percent = sp->options.compact_percent;
	rc->job.least = sp->reclaim_min;
	jobs_put(sp->env.jobs, run, done, rc);
}

static void
rest(struct reclaim *rc, int64_t ms)
{
	struct spool_mailbox *mb = rc->mb;

	rc->state = STATE_IDLE;
	rc->mb = NULL;
	free(rc->job.moves);
	rc->job.moves = NULL;
	timer_set(rc->timer, ms);
	if (mb != NULL)
		box_unpin(mb);
}

/* May it go on? */
static bool
goes_on(struct reclaim *rc)
{
	struct spool_mailbox *mb = rc->mb;

	if (mb->store.damaged || mb->destroyed) {
		rest(rc, 0);
		return false;
	}
	if (rc->job.failed || change_refusal(rc->sp) != NULL ||
	    rc->sp->options.compact_percent == 0) {
		if (rc->job.failed)
			log_err(rc->sp->env.log, "spool: octets not reclaimed",
			    "dir", rc->sp->dir, "mailboxid", rc->job.id, "why",
			    rc->job.err.text, NULL);
		rest(rc, AGAIN_MS);
		return false;
	}
	return true;
}

static void
ended(void *arg, const char *why)
{
	struct reclaim *rc = arg;

	rest(rc, why != NULL ? AGAIN_MS : 0);
}

/*
 * Nothing more to gain now: what is dead is known, and when to look again.
 */
static void
end(struct reclaim *rc)
{
	struct spool_mailbox *mb = rc->mb;
	struct change *ch;
	struct effect *e;
	uint64_t since;

	rc->state = STATE_PUTTING;
	ch = change_new(rc->sp, ended, rc);
	e = change_join(ch, 0, mb, 0, 0);
	if (e == NULL)
		return;
	e->quiet = true;
	change_begin(ch, e);
	since = mb->next.dead_octets > rc->dead_before
	            ? mb->next.dead_octets - rc->dead_before
	            : 0;
	mb->next.dead_octets = rc->job.dead + since;
	mb->next.reclaim_after = rc->job.now + rc->sp->reclaim_again;
	if (rc->stuck)
		mb->next.reclaim_after = rc->job.now + STUCK_SECONDS;
	else if (rc->job.first_held != INT64_MAX &&
	         rc->job.first_held >= rc->job.held_since)
		mb->next.reclaim_after +=
		    rc->job.first_held - rc->job.held_since;
	change_end(ch, e);
	change_put(ch);
}

static void
wait_for_users(struct reclaim *rc, enum state state)
{
	rc->state = state;
	rc->flipped = false;
	timer_set(rc->timer, 0);
}

static bool
users_left(struct reclaim *rc)
{
	struct epoch *e = &rc->mb->epoch;

	if (e->here[!e->now] > 0)
		return false;
	if (!rc->flipped) {
		rc->flipped = true;
		e->now = !e->now;
	}
	return e->here[!e->now] == 0;
}

static void
chosen(void *arg)
{
	struct reclaim *rc = arg;
	struct spool_mailbox *mb = rc->mb;

	if (!goes_on(rc))
		return;
	if (!rc->job.chosen || rc->stuck) {
		end(rc);
		return;
	}
	if (rc->job.file == mb->data_no) {
		mb->data_no++;
		mb->data_end = 0;
	}
	if (rc->job.moves == NULL)
		rc->job.moves = xcalloc(RECLAIM_BATCH, sizeof *rc->job.moves);
	wait_for_users(rc, STATE_EMPTYING);
}

static void
begin_choose(struct reclaim *rc)
{
	rc->job.last = rc->mb->data_no;
	rc->dead_before = rc->mb->now.dead_octets;
	put_job(rc, STATE_CHOOSING, reclaim_job_choose, chosen);
}

static void
begin(struct reclaim *rc, struct spool_mailbox *mb)
{
	rc->mb = mb;
	rc->stuck = rc->job.failed = false;
	memcpy(rc->job.id, mb->store.id, sizeof rc->job.id);
	if (goes_on(rc)) /* it may have been forbidden since it was wanted */
		begin_choose(rc);
}

static void
dropped(void *arg, const char *why)
{
	struct reclaim *rc = arg;

	rc->job.failed = false;
	if (why != NULL) {
		rest(rc, AGAIN_MS);
		return;
	}
	rc->sp->store.counts.freed_octets += rc->job.file_size;
	if (goes_on(rc))
		begin_choose(rc);
}

/*
 * With the header, so that no file gets its number again: replayed, the record
 * would remove that one, too.
 */
static void
drop(struct reclaim *rc)
{
	struct change *ch;
	struct effect *e;

	if (!goes_on(rc))
		return;
	rc->state = STATE_DROPPING;
	ch = change_new(rc->sp, dropped, rc);
	e = change_join(ch, 0, rc->mb, 0, 0);
	if (e == NULL)
		return;
	e->quiet = true;
	change_begin(ch, e);
	redo_drop(&ch->record, rc->job.file);
	redo_trash(ch->trash, rc->job.id, rc->job.file);
	change_end(ch, e);
	change_put(ch);
}

static void
moved(void *arg, const char *why)
{
	struct reclaim *rc = arg;
	uint64_t rate = rc->sp->options.compact_rate;

	rc->job.failed = false;
	if (why != NULL) {
		rest(rc, AGAIN_MS);
		return;
	}
	if (!goes_on(rc))
		return;
	/* The damaged ones would be listed again and again. */
	if (rc->stuck) {
		begin_choose(rc);
		return;
	}
	rc->state = STATE_PAUSING;
	timer_set(rc->timer,
	    rate == 0 ? 0 : (int64_t)(rc->job.octets * 1000 / rate));
}

/* Only what is still where it was. */
static void
put_move(struct change *ch, struct effect *e, const struct move *mv)
{
	struct spool_mailbox *mb = e->mb;
	uint32_t s = box_draft_find(mb, mv->msg.uid);
	struct store_msg *m;

	if (mv->failed || s == mb->next.nslots)
		return;
	m = box_draft_slot(mb, s);
	if (m->place[0] != mv->msg.place[0] || m->place[1] != mv->msg.place[1])
		return;
	if (!e->begun)
		change_begin(ch, e);
	if (mv->bare) {
		m->flags |= SPOOL_BARE;
	} else {
		m->place[0] = mv->at;
		m->place[1] = mv->no;
	}
	spool_msg_seal(m);
	flags_put_slot(ch, s, m, offsetof(struct store_msg, place[2]));
}

static void
copied(void *arg)
{
	struct reclaim *rc = arg;
	struct spool_mailbox *mb = rc->mb;
	struct change *ch;
	struct effect *e;

	data_out_done(&rc->job.out, mb, rc->job.err.text);
	if (!goes_on(rc))
		return;
	rc->state = STATE_PUTTING;
	ch = change_new(rc->sp, moved, rc);
	e = change_join(ch, 0, mb, 0, 0);
	if (e == NULL)
		return;
	e->quiet = true;
	for (size_t i = 0; i < rc->job.nmoves; i++) {
		put_move(ch, e, &rc->job.moves[i]);
		rc->stuck |= rc->job.moves[i].failed;
	}
	if (rc->stuck)
		log_err(rc->sp->env.log, "spool: message is damaged", "dir",
		    rc->sp->dir, "mailboxid", rc->job.id, "why",
		    rc->job.err.text, NULL);
	change_end(ch, e);
	change_put(ch);
}

static void
listed(void *arg)
{
	struct reclaim *rc = arg;
	struct spool_mailbox *mb = rc->mb;

	if (!goes_on(rc))
		return;
	if (rc->job.nmoves == 0) {
		wait_for_users(rc, STATE_LEAVING);
		return;
	}
	for (size_t i = 0; i < rc->job.nmoves; i++) {
		struct move *mv = &rc->job.moves[i];

		if (!mv->bare)
			append_allocate(mb, mv->msg.size, &mv->no, &mv->at);
	}
	data_out_init(&rc->job.out, rc->sp->dirfd, rc->job.id, mb->named);
	rc->job.uidvalidity = mb->now.uidvalidity;
	put_job(rc, STATE_MOVING, reclaim_job_move, copied);
}

static void
begin_list(struct reclaim *rc)
{
	if (goes_on(rc))
		put_job(rc, STATE_LISTING, reclaim_job_list, listed);
}

/* ---- which mailbox ---- */

static void
pinned(void *arg, struct spool_mailbox *mb)
{
	struct reclaim *rc = arg;

	if (mb == NULL)
		rest(rc, 0);
	else
		begin(rc, mb);
}

static bool
take_found(struct reclaim *rc)
{
	const char *id;

	if (rc->job.nfound == 0)
		return false;
	id = rc->job.found[--rc->job.nfound];
	rc->state = STATE_OPENING;
	open_pin(rc->sp, id, pinned, rc);
	return true;
}

static bool
take_wanted(struct reclaim *rc)
{
	struct spool_mailbox *mb = TAILQ_FIRST(&rc->sp->want);

	if (mb == NULL)
		return false;
	TAILQ_REMOVE(&rc->sp->want, mb, want);
	mb->wanted = false;
	mb->pins++;
	begin(rc, mb);
	return true;
}

void
reclaim_want(struct spool *sp, struct spool_mailbox *mb)
{
	int64_t now = loop_wall(sp->env.loop).ms / 1000;

	if (mb->wanted || mb->store.damaged || mb == sp->reclaim->mb ||
	    !scan_is_worth(&mb->now, &sp->options, sp->reclaim_min, now))
		return;
	mb->wanted = true;
	TAILQ_INSERT_TAIL(&sp->want, mb, want);
	if (sp->reclaim->state == STATE_IDLE)
		timer_set(sp->reclaim->timer, 0);
}

/* ---- the walk through all mailboxes ---- */

static void
looked(void *arg)
{
	struct reclaim *rc = arg;

	bool more = rc->job.nfound > 0 || !TAILQ_EMPTY(&rc->sp->want);

	rest(rc, more ? 0 : WALK_MS);
}

static void
look(struct reclaim *rc)
{
	if (rc->sp->options.compact_percent == 0) {
		timer_set(rc->timer, WALK_MS);
		return;
	}
	if (rc->job.found == NULL)
		rc->job.found = xcalloc(RECLAIM_FOUND, sizeof *rc->job.found);
	put_job(rc, STATE_LOOKING, reclaim_job_look, looked);
}

static void
on_timer(void *arg)
{
	struct reclaim *rc = arg;

	switch (rc->state) {
	case STATE_IDLE:
		if (!take_wanted(rc) && !take_found(rc))
			look(rc);
		break;
	case STATE_EMPTYING:
		if (users_left(rc))
			begin_list(rc);
		else
			timer_set(rc->timer, WAIT_MS);
		break;
	case STATE_LEAVING:
		if (users_left(rc))
			drop(rc);
		else
			timer_set(rc->timer, WAIT_MS);
		break;
	case STATE_PAUSING:
		begin_list(rc);
		break;
	case STATE_LOOKING:
	case STATE_OPENING:
	case STATE_CHOOSING:
	case STATE_LISTING:
	case STATE_MOVING:
	case STATE_PUTTING:
	case STATE_DROPPING:
		break; /* a call back comes */
	}
}

struct reclaim *
reclaim_new(struct spool *sp)
{
	struct reclaim *rc = xcalloc(1, sizeof *rc);

	rc->sp = sp;
	rc->timer = timer_new(sp->env.loop, on_timer, rc);
	rc->job.bucket = (uint32_t)rand_below(RECLAIM_BUCKETS);
	timer_set(rc->timer, WALK_MS);
	return rc;
}

void
reclaim_free(struct reclaim **rp)
{
	struct reclaim *rc = *rp;

	*rp = NULL;
	if (rc == NULL)
		return;
	jobs_settle(rc->sp->env.jobs, rc);
	timer_free(&rc->timer);
	if (rc->mb != NULL)
		box_unpin(rc->mb);
	free(rc->job.moves);
	free(rc->job.found);
	free(rc);
}
