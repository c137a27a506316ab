#include <stdlib.h>
#include <string.h>

#include "backendd/spool/append_octets.h"
#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

static const uint8_t zeros[16];

void
append_allocate(struct spool_mailbox *mb, uint64_t size, uint32_t *no,
    uint64_t *at)
{
	if (mb->data_end >= SPOOL_DATA_MAX) {
		mb->data_no++;
		mb->data_end = 0;
	}
	*no = mb->data_no;
	*at = mb->data_end;
	mb->data_end += spool_frame_room(size);
}

static void
appending_free(struct appending *ap)
{
	for (size_t i = 0; i < ap->n; i++) {
		free(ap->pieces[i].frame);
		free(ap->pieces[i].cache_area);
	}
	buf_fini(&ap->row);
	free(ap->copy);
	free(ap->pieces);
	free(ap);
}

/*
 * Has the mailbox had this key lately?  Messages are in the order they were
 * added, so look back from the newest; those under way are among them.
 */
static bool
is_taken(struct spool_mailbox *mb, const uint8_t key[16], int64_t now)
{
	int64_t since = now - (int64_t)mb->sp->env.key_days * 86400;

	if (memcmp(key, zeros, 16) == 0)
		return false;
	for (uint32_t s = mb->next.nslots; s-- > 0;) {
		const struct store_msg *m = box_draft_look(mb, s);

		if (m->added < since)
			return false;
		if (memcmp(m->key, key, 16) == 0)
			return true;
	}
	return false;
}

static void
count_added(struct spool_header *h, const struct store_msg *m)
{
	h->nslots++;
	h->exists++;
	h->size += m->size;
	h->unseen += (m->flags & STORE_SEEN) == 0;
	h->deleted += (m->flags & STORE_DELETED) != 0;
	h->uidnext = m->uid + 1;
	if (m->modseq > h->highestmodseq)
		h->highestmodseq = m->modseq;
}

/* Its octets are somewhere else now. */
static void
put_bare(struct change *ch, struct spool_mailbox *mb, uint32_t uid)
{
	uint32_t s = box_draft_find(mb, uid);
	struct store_msg *m = box_draft_slot(mb, s);

	m->flags |= SPOOL_BARE;
	spool_msg_seal(m);
	flags_put_slot(ch, s, m, offsetof(struct store_msg, modseq));
}

static void
put_message(struct change *ch, struct effect *e, struct piece *p,
    struct store_append *a, int64_t now)
{
	struct spool_mailbox *mb = e->mb;
	uint32_t s = mb->next.nslots;
	struct store_msg *m;

	if (!e->begun) {
		change_begin(ch, e);
		e->news.modseq = mb->next.highestmodseq + 1;
	}
	m = box_draft_slot(mb, s);
	*m = (struct store_msg){
		.uid = a->uid != 0 ? a->uid : mb->next.uidnext,
		.flags = a->flags,
		.modseq = a->modseq != 0 ? a->modseq : e->news.modseq,
		.keywords = { a->keywords[0], a->keywords[1] },
		.internaldate = a->internaldate != 0 ? a->internaldate : now,
		.zone = a->zone,
		.savedate = a->savedate != 0 ? a->savedate : now,
		.added = now,
		.size = p->size,
	};
	memcpy(m->emailid, p->emailid, 16);
	memcpy(m->key, a->key, 16);
	append_octets_place(mb, p, m);
	spool_msg_seal(m);
	count_added(&mb->next, m);
	if (a->undelete)
		put_bare(ch, mb, a->from_uid);
	a->new_uid = m->uid;
	if (e->news.first_uid == 0)
		e->news.first_uid = m->uid;
	e->news.last_uid = m->uid;
}

/* Expunged, and nobody else brings it back. */
static bool
is_held(struct spool_mailbox *mb, uint32_t uid)
{
	uint32_t s = box_draft_find(mb, uid);

	return s != mb->next.nslots &&
	       scan_is_held(box_draft_look(mb, s), INT64_MIN);
}

/* The source is there, as far as changes under way are concerned. */
static bool
is_there(struct effect *source, uint32_t uid)
{
	struct spool_mailbox *mb;
	uint32_t s;

	if (source == NULL)
		return true;
	mb = source->mb;
	s = box_draft_find(mb, uid);
	return s != mb->next.nslots &&
	       (box_draft_look(mb, s)->flags & SPOOL_GONE) == 0;
}

static enum store_outcome
outcome_of(struct change *ch, struct effect *source, const struct piece *p,
    const struct store_append *a, int64_t now)
{
	struct spool_mailbox *mb = ch->effects[0].mb;

	if (p->gone || !is_there(source, a->from_uid) ||
	    (a->undelete && !is_held(mb, a->from_uid)))
		return STORE_GONE;
	if ((a->uid != 0 && a->uid < mb->next.uidnext) ||
	    is_taken(mb, a->key, now))
		return STORE_TAKEN;
	return STORE_DONE;
}

static int
compare_slots(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

/* Messages may be moved in any order; the effect is told of in theirs. */
static void
put_expunges(struct change *ch, struct effect *e, struct appending *ap)
{
	/* What moves is kept where it goes. */
	bool hold =
	    ap->items[0].from == NULL && ap->sp->options.hold_seconds > 0;
	uint32_t *slots;
	size_t n = 0;

	slots = xcalloc(ap->n + 1, sizeof *slots);
	for (size_t i = 0; i < ap->n; i++)
		if (ap->items[i].outcome == STORE_DONE)
			slots[n++] =
			    box_draft_find(e->mb, ap->items[i].from_uid);
	qsort(slots, n, sizeof *slots, compare_slots);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || slots[i] != slots[i - 1])
			flags_expunge_slot(ch, e, slots[i], hold);
	free(slots);
}

static const char *
append_refusal(const struct appending *ap)
{
	if (ap->failed)
		return "The message could not be read or written";
	/* So that no UID or slot number wraps. */
	if (ap->to->next.uidnext > UINT32_MAX - 2 * STORE_ITEMS_MAX ||
	    ap->to->next.nslots > UINT32_MAX / 2)
		return "The mailbox has no more UIDs";
	return room_refusal(ap->sp,
	    ap->octets + ap->n * (SPOOL_SLOT + SPOOL_FRAME_MIN));
}

/*
 * Where octets went was said when the job began: who waits for those that write
 * there waits until the index has them, not only until the job is over.
 */
static void
keep_side(struct appending *ap, struct effect *e)
{
	if (!ap->entered)
		return;
	epoch_leave(&e->mb->epoch, e->side);
	e->side = ap->side;
	ap->entered = false;
}

static void
append_put(struct appending *ap)
{
	int64_t now = loop_wall(ap->sp->env.loop).ms / 1000;
	struct change *ch = change_new(ap->sp, ap->cb, ap->arg);
	const char *why = append_refusal(ap);
	bool replaces = ap->from == ap->to; /* in one mailbox */
	bool changes = replaces || ap->undelete;
	struct effect *e, *source = NULL;
	uint64_t cache_at = ap->to->cache_end;
	uint32_t slot = ap->to->next.nslots;

	if (why != NULL) {
		change_refuse(ch, why);
		return;
	}
	if (change_join(ch, 0, ap->to, ap->n, changes ? ap->n : 0) == NULL)
		return;
	e = &ch->effects[0];
	keep_side(ap, e);
	if (replaces)
		source = e;
	else if (ap->from != NULL &&
	         (source = change_join(ch, 1, ap->from, 0, ap->n)) == NULL)
		return;
	for (size_t i = 0; i < ap->n; i++) {
		struct store_append *a = &ap->items[i];

		a->outcome = outcome_of(ch, source, &ap->pieces[i], a, now);
		if (a->outcome == STORE_DONE)
			put_message(ch, e, &ap->pieces[i], a, now);
	}
	append_octets_put(ch, ap, slot, cache_at);
	if (source != e)
		change_end(ch, e);
	if (source != NULL && ap->n > 0) {
		put_expunges(ch, source, ap);
		change_end(ch, source);
	}
	change_put(ch);
}

/* ---- the beginning ---- */

/* Their octets have been read. */
static void
leave_sources(struct appending *ap)
{
	for (size_t i = 0; i < ap->n; i++)
		if (ap->pieces[i].source != NULL)
			epoch_leave(&ap->pieces[i].source->epoch,
			    ap->pieces[i].side);
}

static void
prepare_done(void *arg)
{
	struct appending *ap = arg;
	struct spool_mailbox *to = ap->to, *from = ap->from;

	if (ap->failed)
		log_err(ap->sp->env.log, "spool: message not taken", "dir",
		    ap->sp->dir, "mailboxid", ap->id, "why", ap->err.text,
		    NULL);
	data_out_done(&ap->out, to, ap->err.text);
	append_put(ap);
	leave_sources(ap);
	if (ap->entered) /* refused */
		epoch_leave(&to->epoch, ap->side);
	appending_free(ap);
	box_release(to);
	if (from != NULL)
		box_release(from);
}

static const struct store_msg *
find_source(const struct store_append *a)
{
	const struct store_msg *m;

	if (!a->undelete)
		return store_find(a->from, a->from_uid);
	m = box_find_gone(spool_mailbox_of(a->from), a->from_uid);
	return m != NULL && scan_is_held(m, INT64_MIN) ? m : NULL;
}

static void
take_source(struct piece *p, struct store_append *a)
{
	const struct store_msg *m = find_source(a);

	if (m == NULL) {
		p->gone = true;
		return;
	}
	p->from = true;
	p->source = spool_mailbox_of(a->from);
	p->side = epoch_enter(&p->source->epoch);
	p->size = m->size;
	spool_place_of(&p->place, a->from->id, m);
	memcpy(p->emailid, m->emailid, 16);
	if (a->internaldate == 0) {
		a->internaldate = m->internaldate;
		a->zone = m->zone;
	}
}

/*
 * Large ones go to the data file at once, and so do many small ones: a second
 * sync costs less then than to write them to the log, too.  The rest travels in
 * the log and is copied from there.
 */
static void
choose_direct(struct appending *ap, uint64_t small)
{
	bool all = small > ap->sp->inline_max;

	for (size_t i = 0; i < ap->n; i++) {
		struct piece *p = &ap->pieces[i];

		if (p->gone)
			continue;
		p->direct = all || p->size > STORE_INLINE_MAX;
		ap->direct |= p->direct;
		ap->job |= p->direct || p->from;
	}
	ap->job |= small > STORE_INLINE_MAX;
}

static void
plan(struct appending *ap)
{
	uint64_t small = 0;

	for (size_t i = 0; i < ap->n; i++) {
		struct store_append *a = &ap->items[i];
		struct piece *p = &ap->pieces[i];

		ap->undelete |= a->undelete;
		if (a->from != NULL)
			take_source(p, a);
		else
			p->octets = a->octets, p->size = a->octets.len;
		if (p->gone)
			continue;
		ap->octets += p->size;
		if (p->size <= STORE_INLINE_MAX)
			small += p->size;
		/* The frame of a copy has its source's. */
		if (!p->from)
			memcpy(p->emailid, a->emailid, 16);
		if (memcmp(p->emailid, zeros, 16) == 0)
			rand_bytes(p->emailid, 16);
		if (ap->cached + a->cache.len <= SPOOL_CACHE_SUM) {
			p->cache = a->cache;
			ap->cached += a->cache.len;
		}
	}
	choose_direct(ap, small);
}

static void
allocate_direct(struct appending *ap)
{
	for (size_t i = 0; i < ap->n; i++) {
		struct piece *p = &ap->pieces[i];

		if (!p->gone && p->direct)
			append_allocate(ap->to, p->size, &p->no, &p->at);
	}
}

static void
start(struct appending *ap)
{
	struct spool *sp = ap->sp;
	const char *why = room_refusal(sp, 0);

	if (why != NULL) {
		change_refuse(change_new(sp, ap->cb, ap->arg), why);
		appending_free(ap);
		return;
	}
	plan(ap);
	if (ap->job) {
		allocate_direct(ap);
		ap->side = epoch_enter(&ap->to->epoch);
		ap->entered = true;
		box_hold(ap->to);
		if (ap->from != NULL)
			box_hold(ap->from);
		jobs_put(sp->env.jobs, append_octets_run, prepare_done, ap);
		return;
	}
	append_octets_run(ap); /* checksums only */
	append_put(ap);
	leave_sources(ap); /* of what has gone: none */
	appending_free(ap);
}

static struct appending *
appending_new(struct store_mailbox *to, struct store_append *a, size_t n,
    store_cb *cb, void *arg)
{
	struct appending *ap = xcalloc(1, sizeof *ap);

	ap->to = spool_mailbox_of(to);
	ap->sp = ap->to->sp;
	ap->dirfd = ap->sp->dirfd;
	buf_init(&ap->row, APPEND_ROW);
	memcpy(ap->id, to->id, sizeof ap->id);
	data_out_init(&ap->out, ap->dirfd, ap->id, ap->to->named);
	ap->items = a;
	ap->n = n;
	ap->pieces = xcalloc(n + 1, sizeof *ap->pieces);
	ap->cb = cb;
	ap->arg = arg;
	return ap;
}

void
append_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg)
{
	start(appending_new(mb, a, n, cb, arg));
}

void
append_move(struct store_mailbox *mb, struct store_mailbox *to,
    struct store_append *a, size_t n, store_cb *cb, void *arg)
{
	struct appending *ap = appending_new(to, a, n, cb, arg);

	ap->from = spool_mailbox_of(mb);
	start(ap);
}
