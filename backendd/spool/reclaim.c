/*
 * What each step goes by is the index as applied, read by a job.  A file that
 * is being emptied does not grow, and those who began to write to it, or read
 * from it, before that are waited for: so a list of the messages in it is
 * whole, and when it is empty the file may go.  Whatever is cut short leaves
 * octets of no use, never a message without octets.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	BATCH = 1024,                   /* messages moved at a time */
	BATCH_OCTETS = 4 * 1024 * 1024, /* about; one message may be more */
	WAIT_MS = 5,                    /* for those who use the file */
	AGAIN_MS = 10 * 1000,           /* after what went wrong */
	STUCK_SECONDS = 86400,          /* when a message is damaged */
	BUCKETS = 65536,                /* directories m/xx/yy */
	WALK_MS = 24 * 60 * 60 * 1000 / BUCKETS,
	WALK_STEPS = 256, /* of those, that need not be there, at once */
	WALK_FOUND = 64   /* mailboxes, at once */
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

struct move {
	struct store_msg msg; /* as listed */
	uint32_t no;          /* where it goes */
	uint64_t at;
	bool bare;   /* it stays, but its octets are given up */
	bool failed; /* damaged: it stays where it is */
};

struct reclaim {
	struct spool *sp;
	struct timer *timer;
	enum state state;
	struct spool_mailbox *mb; /* pinned, from CHOOSING on */
	bool flipped;             /* of the epoch, while waiting */
	bool stuck;               /* a message could not be moved */

	/* What a job gets, and what it gives. */
	int dirfd;
	char id[STORE_ID_MAX + 1];
	int64_t now, held_since;
	unsigned percent;
	uint64_t least;
	uint32_t last; /* the file that grows */
	uint32_t file; /* to be emptied */
	uint64_t file_size;
	bool chosen, failed;
	bool unsynced; /* a sync failed: what others wrote may be lost, too */
	uint64_t dead_before, dead; /* as counted; as seen */
	int64_t first_held;         /* expunged then; INT64_MAX: none */
	struct scan_file *files;
	size_t nfiles;
	struct move *moves;
	size_t nmoves, nmoved;
	uint64_t octets;
	uint32_t named;
	struct err err;

	/* The walk. */
	uint32_t bucket;
	char (*found)[STORE_ID_MAX + 1];
	size_t nfound;
};

static void look(struct reclaim *rc);
static void begin_list(struct reclaim *rc);

/* ---- jobs ---- */

static int
open_index(struct reclaim *rc, struct spool_header *h)
{
	char path[SPOOL_PATH];
	int fd;

	spool_path(path, rc->id, SPOOL_INDEX, 0);
	fd = openat(rc->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(&rc->err, "opening %s", path);
	if (peek_header(fd, h, &rc->err) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
scan(struct reclaim *rc, scan_visit *visit)
{
	struct spool_header h;
	int fd = open_index(rc, &h), result;

	if (fd == -1)
		return -1;
	result = scan_index(fd, &h, visit, rc, &rc->err);
	close(fd);
	return result;
}

static bool
is_kept(const struct reclaim *rc, const struct store_msg *m)
{
	return (m->flags & SPOOL_GONE) == 0 || scan_is_held(m, rc->held_since);
}

static int
weigh(void *arg, uint32_t s, const struct store_msg *m, struct err *err)
{
	struct reclaim *rc = arg;

	(void)s, (void)err;
	if (!is_kept(rc, m))
		return 0;
	if ((m->flags & SPOOL_GONE) && m->savedate < rc->first_held)
		rc->first_held = m->savedate;
	if (m->flags & SPOOL_GONE)
		rc->dead += spool_frame_room(m->size);
	for (size_t i = 0; i < rc->nfiles; i++)
		if (rc->files[i].no == m->place[1])
			rc->files[i].live += spool_frame_room(m->size);
	return 0;
}

/* The one with the most to gain. */
static void
choose(struct reclaim *rc)
{
	uint64_t best = 0;

	for (size_t i = 0; i < rc->nfiles; i++) {
		struct scan_file *f = &rc->files[i];
		uint64_t dead = f->size > f->live ? f->size - f->live : 0;

		rc->dead += dead;
		if (f->no > rc->last || dead < rc->least ||
		    dead / rc->percent < f->size / 100 || dead <= best)
			continue;
		best = dead;
		rc->chosen = true;
		rc->file = f->no;
		rc->file_size = f->size;
	}
}

static void
choose_run(void *arg)
{
	struct reclaim *rc = arg;

	rc->chosen = false;
	rc->dead = 0;
	rc->first_held = INT64_MAX;
	rc->failed = scan_files(rc->dirfd, rc->id, &rc->files, &rc->nfiles,
	                 &rc->err) == -1 ||
	             scan(rc, weigh) == -1;
	if (!rc->failed)
		choose(rc);
	free(rc->files);
	rc->files = NULL;
	rc->nfiles = 0;
}

static int
list_one(void *arg, uint32_t s, const struct store_msg *m, struct err *err)
{
	struct reclaim *rc = arg;

	(void)s, (void)err;
	if ((m->flags & SPOOL_BARE) || m->place[1] != rc->file ||
	    rc->nmoves == BATCH || rc->octets >= BATCH_OCTETS)
		return 0;
	rc->moves[rc->nmoves++] =
	    (struct move){ .msg = *m, .bare = !is_kept(rc, m) };
	if (is_kept(rc, m))
		rc->octets += spool_frame_room(m->size);
	return 0;
}

static void
list_run(void *arg)
{
	struct reclaim *rc = arg;

	rc->nmoves = 0;
	rc->octets = 0;
	rc->failed = scan(rc, list_one) == -1;
}

static int
move_one(struct reclaim *rc, struct move *mv, int from)
{
	uint8_t *head = xmalloc(spool_frame_head(mv->msg.size));
	struct spool_place p;
	char path[SPOOL_PATH];
	int to, result;

	spool_place_of(&p, rc->id, &mv->msg);
	spool_path(path, rc->id, SPOOL_DATA, mv->no);
	to = openat(rc->dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (to == -1) {
		free(head);
		return err_sys(&rc->err, "opening %s", path);
	}
	if (spool_frame_copy(from, &p, head, to, mv->at, &rc->err) == -1) {
		mv->failed = true;
		err_add(&rc->err, "uid %lu", (unsigned long)mv->msg.uid);
	}
	spool_frame_seal(head, &mv->msg, rc->mb->now.uidvalidity);
	result = mv->failed
	             ? 0
	             : spool_write(to, head, spool_frame_head(mv->msg.size),
	                   mv->at, &rc->err);
	close(to);
	free(head);
	return result;
}

static int
sync_data(struct reclaim *rc, uint32_t no)
{
	char path[SPOOL_PATH];
	int fd;

	spool_path(path, rc->id, SPOOL_DATA, no);
	fd = openat(rc->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(&rc->err, "opening %s", path);
	rc->unsynced = fdatasync(fd) == -1;
	if (rc->unsynced)
		err_sys(&rc->err, "syncing %s", path);
	close(fd);
	return rc->unsynced ? -1 : 0;
}

static int
sync_moved(struct reclaim *rc)
{
	uint32_t last = UINT32_MAX, named = rc->named;

	for (size_t i = 0; i < rc->nmoves; i++) {
		struct move *mv = &rc->moves[i];

		if (mv->bare || mv->failed || mv->no == last)
			continue;
		last = mv->no;
		if (last >= named)
			named = last + 1;
		if (sync_data(rc, last) == -1)
			return -1;
	}
	if (named == rc->named)
		return 0;
	rc->named = named;
	return spool_sync_dirs(rc->dirfd, rc->id, &rc->err);
}

static void
move_run(void *arg)
{
	struct reclaim *rc = arg;
	char path[SPOOL_PATH];
	int from, result = 0;

	spool_path(path, rc->id, SPOOL_DATA, rc->file);
	from = openat(rc->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (from == -1)
		result = err_sys(&rc->err, "opening %s", path);
	for (size_t i = 0; result == 0 && i < rc->nmoves; i++)
		if (!rc->moves[i].bare)
			result = move_one(rc, &rc->moves[i], from);
	if (from != -1)
		close(from);
	rc->failed = result == -1 || sync_moved(rc) == -1;
}

/* ---- the loop's side ---- */

static void
put_job(struct reclaim *rc, enum state state, job_run *run, job_done *done)
{
	struct spool *sp = rc->sp;

	rc->state = state;
	rc->dirfd = sp->dirfd;
	rc->now = loop_wall(sp->env.loop).ms / 1000;
	rc->held_since = scan_held_since(sp);
	rc->percent = sp->options.compact_percent;
	rc->least = sp->reclaim_min;
	jobs_put(sp->env.jobs, run, done, rc);
}

static void
rest(struct reclaim *rc, int64_t ms)
{
	struct spool_mailbox *mb = rc->mb;

	rc->state = STATE_IDLE;
	rc->mb = NULL;
	free(rc->moves);
	rc->moves = NULL;
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
	if (rc->failed || change_refusal(rc->sp) != NULL ||
	    rc->sp->options.compact_percent == 0) {
		if (rc->failed)
			log_err(rc->sp->env.log, "spool: octets not reclaimed",
			    "dir", rc->sp->dir, "mailboxid", rc->id, "why",
			    rc->err.text, NULL);
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
	mb->next.dead_octets = rc->dead + since;
	mb->next.reclaim_after = rc->now + rc->sp->reclaim_again;
	if (rc->stuck)
		mb->next.reclaim_after = rc->now + STUCK_SECONDS;
	else if (rc->first_held != INT64_MAX &&
	         rc->first_held >= rc->held_since)
		mb->next.reclaim_after += rc->first_held - rc->held_since;
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
	if (!rc->chosen || rc->stuck) {
		end(rc);
		return;
	}
	if (rc->file == mb->data_no) {
		mb->data_no++;
		mb->data_end = 0;
	}
	if (rc->moves == NULL)
		rc->moves = xcalloc(BATCH, sizeof *rc->moves);
	wait_for_users(rc, STATE_EMPTYING);
}

static void
begin_choose(struct reclaim *rc)
{
	rc->last = rc->mb->data_no;
	rc->dead_before = rc->mb->now.dead_octets;
	put_job(rc, STATE_CHOOSING, choose_run, chosen);
}

static void
begin(struct reclaim *rc, struct spool_mailbox *mb)
{
	rc->mb = mb;
	rc->stuck = rc->failed = false;
	memcpy(rc->id, mb->store.id, sizeof rc->id);
	if (goes_on(rc)) /* it may have been forbidden since it was wanted */
		begin_choose(rc);
}

static void
dropped(void *arg, const char *why)
{
	struct reclaim *rc = arg;

	rc->failed = false;
	if (why != NULL) {
		rest(rc, AGAIN_MS);
		return;
	}
	rc->sp->store.counts.freed_octets += rc->file_size;
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
	redo_drop(&ch->record, rc->file);
	redo_trash(ch->trash, rc->id, rc->file);
	change_end(ch, e);
	change_put(ch);
}

static void
moved(void *arg, const char *why)
{
	struct reclaim *rc = arg;
	uint64_t rate = rc->sp->options.compact_rate;

	rc->failed = false;
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
	    rate == 0 ? 0 : (int64_t)(rc->octets * 1000 / rate));
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

	if (rc->unsynced)
		change_unsynced(rc->sp, rc->err.text);
	if (!goes_on(rc))
		return;
	if (rc->named > mb->named)
		mb->named = rc->named;
	rc->state = STATE_PUTTING;
	ch = change_new(rc->sp, moved, rc);
	e = change_join(ch, 0, mb, 0, 0);
	if (e == NULL)
		return;
	e->quiet = true;
	for (size_t i = 0; i < rc->nmoves; i++) {
		put_move(ch, e, &rc->moves[i]);
		rc->stuck |= rc->moves[i].failed;
	}
	if (rc->stuck)
		log_err(rc->sp->env.log, "spool: message is damaged", "dir",
		    rc->sp->dir, "mailboxid", rc->id, "why", rc->err.text,
		    NULL);
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
	if (rc->nmoves == 0) {
		wait_for_users(rc, STATE_LEAVING);
		return;
	}
	for (size_t i = 0; i < rc->nmoves; i++) {
		struct move *mv = &rc->moves[i];

		if (!mv->bare)
			append_allocate(mb, mv->msg.size, &mv->no, &mv->at);
	}
	rc->named = mb->named;
	put_job(rc, STATE_MOVING, move_run, copied);
}

static void
begin_list(struct reclaim *rc)
{
	if (goes_on(rc))
		put_job(rc, STATE_LISTING, list_run, listed);
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

	if (rc->nfound == 0)
		return false;
	id = rc->found[--rc->nfound];
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
look_at(struct reclaim *rc, const char *id, const struct store_options *o)
{
	struct spool_header h;
	int fd;

	memcpy(rc->id, id, strlen(id) + 1);
	fd = open_index(rc, &h);
	if (fd == -1)
		return; /* whoever opens it will tell */
	close(fd);
	if (scan_is_worth(&h, o, rc->least, rc->now))
		memcpy(rc->found[rc->nfound++], rc->id, sizeof rc->id);
}

static void
look_run(void *arg)
{
	struct reclaim *rc = arg;
	struct store_options o = { .compact_percent = rc->percent };
	struct err err;

	for (unsigned i = 0; i < WALK_STEPS && rc->nfound == 0; i++) {
		char path[SPOOL_PATH];
		struct dirent *e;
		DIR *d;

		rc->bucket = (rc->bucket + 1) % BUCKETS;
		snprintf(path, sizeof path, "m/%02x/%02x", rc->bucket >> 8,
		    rc->bucket & 0xff);
		d = spool_opendir(rc->dirfd, path, &err);
		if (d == NULL)
			continue; /* most are not there */
		while ((e = readdir(d)) != NULL && rc->nfound < WALK_FOUND)
			if (e->d_name[0] != '.' &&
			    strlen(e->d_name) <= STORE_ID_MAX)
				look_at(rc, e->d_name, &o);
		closedir(d);
	}
}

static void
looked(void *arg)
{
	struct reclaim *rc = arg;

	bool more = rc->nfound > 0 || !TAILQ_EMPTY(&rc->sp->want);

	rest(rc, more ? 0 : (int64_t)WALK_STEPS * WALK_MS);
}

static void
look(struct reclaim *rc)
{
	if (rc->sp->options.compact_percent == 0) {
		timer_set(rc->timer, (int64_t)WALK_STEPS * WALK_MS);
		return;
	}
	if (rc->found == NULL)
		rc->found = xcalloc(WALK_FOUND, sizeof *rc->found);
	put_job(rc, STATE_LOOKING, look_run, looked);
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
	rc->bucket = (uint32_t)rand_below(BUCKETS);
	timer_set(rc->timer, (int64_t)WALK_STEPS * WALK_MS);
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
	free(rc->moves);
	free(rc->found);
	free(rc);
}
