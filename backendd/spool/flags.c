#include <stdlib.h>
#include <string.h>

#include "backendd/spool/spool.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

void
flags_put_slot(struct change *ch, uint32_t s, const struct store_msg *m,
    size_t len)
{
	MUST(len <= offsetof(struct store_msg, place[2]));
	redo_write(&ch->record, SPOOL_INDEX, 0, ((uint64_t)s + 1) * SPOOL_SLOT,
	    slice_of(m, len));
}

static uint64_t
next_modseq(struct change *ch, struct effect *e)
{
	if (!e->begun) {
		change_begin(ch, e);
		e->mb->next.highestmodseq++;
	}
	return e->mb->next.highestmodseq;
}

static bool
differs(const struct store_msg *m, const struct store_change *c,
    struct store_msg *to)
{
	uint64_t other = 0;

	to->flags = (m->flags & ~(c->clear & STORE_FLAGS)) | c->set;
	for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++) {
		to->keywords[i] = (m->keywords[i] & ~c->clear_keywords[i]) |
		                  c->set_keywords[i];
		other |= to->keywords[i] ^ m->keywords[i];
	}
	return other != 0 || to->flags != m->flags;
}

static void
count(struct spool_header *h, uint32_t flags, uint32_t by)
{
	if ((flags & STORE_SEEN) == 0)
		h->unseen += by;
	if (flags & STORE_DELETED)
		h->deleted += by;
}

/* Of a change's UIDs, which ascend. */
static void
lose_seen(struct effect *e, uint32_t uid)
{
	if (e->unseen == 0)
		e->unseen = uid;
	if (uid < e->mb->next.seen_below)
		e->mb->next.seen_below = uid;
}

static enum store_outcome
change_one(struct change *ch, struct effect *e, const struct store_change *c,
    uint64_t unchanged_since)
{
	struct spool_mailbox *mb = e->mb;
	uint32_t s = box_draft_find(mb, c->uid);
	struct store_msg *m, to;

	if (s == mb->next.nslots)
		return STORE_GONE;
	m = box_draft_slot(mb, s);
	if (m->flags & SPOOL_GONE)
		return STORE_GONE;
	if (m->modseq > unchanged_since)
		return STORE_MODIFIED;
	to = *m;
	if (!differs(m, c, &to) && !c->touch)
		return STORE_SAME;
	to.modseq = next_modseq(ch, e);
	spool_msg_seal(&to);
	count(&mb->next, m->flags, (uint32_t)-1);
	count(&mb->next, to.flags, 1);
	if (m->flags & ~to.flags & STORE_SEEN)
		lose_seen(e, c->uid);
	*m = to;
	flags_put_slot(ch, s, m, offsetof(struct store_msg, uid));
	e->uids[e->news.nchanged++] = c->uid;
	return STORE_DONE;
}

/* NULL: it was refused, and the caller is told. */
static struct effect *
begin(struct change *ch, struct spool_mailbox *mb, size_t n)
{
	const char *why = change_refusal(mb->sp);

	if (why == NULL)
		return change_join(ch, 0, mb, 0, n);
	change_refuse(ch, why);
	return NULL;
}

void
flags_change(struct store_mailbox *store, struct store_change *c, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct change *ch = change_new(mb->sp, cb, arg);
	struct effect *e = begin(ch, mb, n);

	if (e == NULL)
		return;
	e->news.changed = e->uids;
	if (n == 0)
		(void)next_modseq(ch, e); /* nobody's */
	for (size_t i = 0; i < n; i++)
		c[i].outcome = change_one(ch, e, &c[i], unchanged_since);
	change_end(ch, e);
	change_put(ch);
}

void
flags_expunge_slot(struct change *ch, struct effect *e, uint32_t s, bool hold)
{
	struct spool_mailbox *mb = e->mb;
	struct store_msg *m = box_draft_slot(mb, s), to = *m;
	size_t n = e->news.nexpunged++;

	MUST((m->flags & SPOOL_GONE) == 0);
	MUST(n == 0 || e->slots[n - 1] < s);
	to.modseq = next_modseq(ch, e);
	to.flags |= hold ? SPOOL_GONE : SPOOL_GONE | SPOOL_BARE;
	to.savedate = loop_wall(mb->sp->env.loop).ms / 1000;
	spool_msg_seal(&to);
	count(&mb->next, m->flags, (uint32_t)-1);
	mb->next.exists--;
	mb->next.ndead++;
	mb->next.size -= m->size;
	mb->next.dead_octets += spool_frame_room(m->size);
	mb->cache_dead += spool_cache_room(m);
	*m = to;
	flags_put_slot(ch, s, m, offsetof(struct store_msg, added));
	e->uids[n] = m->uid;
	e->slots[n] = s;
	e->news.expunged = e->uids;
}

void
flags_expunge(struct store_mailbox *store, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct change *ch = change_new(mb->sp, cb, arg);
	struct effect *e = begin(ch, mb, n);

	if (e == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		uint32_t s = box_draft_find(mb, uids[i]);
		uint32_t flags;

		if (s == mb->next.nslots)
			continue;
		flags = box_draft_slot(mb, s)->flags;
		if ((flags & SPOOL_GONE) == 0 && (flags & if_flags) == if_flags)
			flags_expunge_slot(ch, e, s,
			    mb->sp->options.hold_seconds > 0);
	}
	change_end(ch, e);
	change_put(ch);
}

void
flags_set_meta(struct store_mailbox *store, struct slice meta, store_cb *cb,
    void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct change *ch = change_new(mb->sp, cb, arg);
	const char *why = change_refusal(mb->sp);
	struct effect *e;

	if (why != NULL) {
		change_refuse(ch, why);
		return;
	}
	e = change_join(ch, 0, mb, 0, 0);
	if (e == NULL)
		return;
	e->meta = box_meta_set(mb, meta);
	change_begin(ch, e);
	change_end(ch, e);
	change_put(ch);
}

/* Who comes next is not shown as recent what others have been. */
void
flags_keep_recent(struct spool_mailbox *mb)
{
	struct spool *sp = mb->sp;
	struct change *ch;
	struct effect *e;

	if (mb->store.recent == mb->next.recent || mb->store.damaged ||
	    mb->destroyed || sp->options.look_only || change_refusal(sp))
		return;
	ch = change_new(sp, NULL, NULL);
	e = change_join(ch, 0, mb, 0, 0);
	if (e == NULL)
		return;
	e->quiet = true;
	change_begin(ch, e);
	change_end(ch, e);
	change_put(ch);
}

void
flags_sync(struct store_mailbox *store, store_cb *cb, void *arg)
{
	change_put(change_new(spool_mailbox_of(store)->sp, cb, arg));
}
