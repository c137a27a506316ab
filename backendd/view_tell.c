/*
 * What a view says, and what it has still to say.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/view_state.h"
#include "imap/flag.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SCAN_MAX = 8192,   /* messages looked at in one call */
	VANISHED_MAX = 400 /* UIDs of one response: fits VIEW_ROOM */
};

enum progress {
	PROGRESS_DONE,
	PROGRESS_WAIT /* for room, or for another turn */
};

bool
view_pending(const struct view *v, enum view_tell how)
{
	const struct view_untold *u = view_untold(v);
	const struct mailbox_change *c;
	size_t n;

	if (v->m == NULL || !v->begun)
		return false;
	if (v->parked)
		return v->news;
	return (how == VIEW_EVERYTHING && u->ngone > 0) || u->scan_to != 0 ||
	       !mailbox_changes(v->m, v->told, &c, &n) || n > 0 ||
	       view_has_new(v);
}

/* Flags are listed before they are first seen on a message. */
static enum progress
tell_keywords(struct view *v, struct buf *out)
{
	const struct store_mailbox *mb = view_store(v);

	if (v->nkeywords == store_keywords(mb))
		return PROGRESS_DONE;
	if (buf_room(out) < VIEW_ROOM)
		return PROGRESS_WAIT;
	v->nkeywords = (uint8_t)store_keywords(mb);
	buf_puts(out, "* FLAGS (");
	for (unsigned bit = 1; bit <= STORE_DRAFT; bit <<= 1) {
		buf_puts(out, flag_name(bit));
		if (bit < STORE_DRAFT || v->nkeywords > 0)
			buf_putc(out, ' ');
	}
	for (unsigned i = 0; i < v->nkeywords; i++) {
		buf_puts(out, store_keyword(mb, i));
		if (i + 1u < v->nkeywords)
			buf_putc(out, ' ');
	}
	buf_puts(out, ")\r\n");
	return PROGRESS_DONE;
}

/* --- expunges ------------------------------------------------------------- */

/* The last of those that are gone, in one response. */
static void
put_vanished(struct view_untold *u, struct buf *out)
{
	uint32_t n = u->ngone < VANISHED_MAX ? u->ngone : VANISHED_MAX;
	const uint32_t *uids = u->gone + u->ngone - n;
	struct seqset set = { 0 };
	struct arena a;

	arena_init(&a);
	for (uint32_t i = 0; i < n; i++)
		seqset_add(&a, &set, uids[i]);
	buf_puts(out, "* VANISHED ");
	seqset_put(out, &set);
	buf_puts(out, "\r\n");
	arena_reset(&a);
	u->ngone -= n;
}

static void
put_expunge(struct view *v, struct buf *out)
{
	struct view_untold *u = v->untold;

	buf_puts(out, "* ");
	buf_put_number(out, view_counted_up_to(v, u->gone[u->ngone - 1]));
	buf_puts(out, " EXPUNGE\r\n");
	u->ngone--;
}

/* From the last to the first, so that none renumbers another. */
static enum progress
tell_gone(struct view *v, struct buf *out)
{
	struct view_untold *u = v->untold;

	if (u == NULL)
		return PROGRESS_DONE;
	if (u->ngone > 0 && (v->says & VIEW_SAYS_VANISHED) &&
	    (v->says & VIEW_SAYS_MODSEQ))
		v->modseq_owed = true;
	while (u->ngone > 0) {
		if (buf_room(out) < VIEW_ROOM)
			return PROGRESS_WAIT;
		u->telling = true;
		if (v->says & VIEW_SAYS_VANISHED)
			put_vanished(u, out);
		else
			put_expunge(v, out);
	}
	u->telling = u->mixed = false;
	free(u->gone);
	u->gone = NULL;
	u->gone_size = 0;
	u->gone_modseq = 0;
	return PROGRESS_DONE;
}

/*
 * A client that has heard of higher MODSEQs than that of an expunge it is not
 * yet to hear of must not take itself to know everything (RFC 7162 3.2).
 */
static enum progress
tell_modseq(struct view *v, struct buf *out)
{
	uint64_t modseq = store_numbers(view_store(v))->highestmodseq;

	if (view_gone(v) > 0 && (v->says & VIEW_SAYS_MODSEQ)) {
		modseq = view_untold(v)->gone_modseq - 1;
	} else if (!v->modseq_owed || v->modseq_in_reply) {
		v->modseq_owed = v->modseq_in_reply = false;
		return PROGRESS_DONE;
	}
	if (buf_room(out) < VIEW_ROOM)
		return PROGRESS_WAIT;
	buf_puts(out, "* OK [HIGHESTMODSEQ ");
	buf_put_number(out, modseq);
	buf_puts(out,
	    view_gone(v) > 0 ? "] Expunges are to come\r\n" : "] Highest\r\n");
	v->modseq_owed = view_gone(v) > 0;
	v->modseq_in_reply = false;
	return PROGRESS_DONE;
}

/* --- flags ---------------------------------------------------------------- */

/* "* 3 FETCH (UID 7", or "* 7 UIDFETCH (" */
static void
put_fetch_head(const struct view *v, const struct store_msg *msg,
    struct buf *out)
{
	bool by_uid = v->says & VIEW_SAYS_UIDFETCH;

	buf_puts(out, "* ");
	buf_put_number(out,
	    by_uid ? msg->uid : view_counted_up_to(v, msg->uid));
	buf_puts(out, by_uid ? " UIDFETCH (" : " FETCH (UID ");
	if (!by_uid) {
		buf_put_number(out, msg->uid);
		buf_putc(out, ' ');
	}
}

static void
put_modseq(const struct store_msg *msg, struct buf *out)
{
	buf_puts(out, "MODSEQ (");
	buf_put_number(out, msg->modseq);
	buf_putc(out, ')');
}

void
view_put_fetch(const struct view *v, const struct store_msg *msg,
    struct buf *out)
{
	put_fetch_head(v, msg, out);
	if (v->says & VIEW_SAYS_MODSEQ) {
		put_modseq(msg, out);
		buf_putc(out, ' ');
	}
	buf_puts(out, "FLAGS (");
	view_put_flags(v, msg, out);
	buf_puts(out, "))\r\n");
}

void
view_put_modseq(const struct view *v, const struct store_msg *msg,
    struct buf *out)
{
	put_fetch_head(v, msg, out);
	put_modseq(msg, out);
	buf_puts(out, ")\r\n");
}

static bool
is_own(const struct view *v, uint64_t modseq)
{
	const struct view_own *own = view_untold(v)->own;

	for (size_t i = 0; own != NULL && i < own->n; i++)
		if (own->modseqs[i] == modseq)
			return true;
	return false;
}

static void
told_up_to(struct view *v, uint64_t modseq)
{
	struct view_untold *u = v->untold;

	v->told = modseq;
	if (u == NULL)
		return;
	u->at_uid = 0;
	u->scan_to = 0;
	free(u->own);
	u->own = NULL;
}

/*
 * The last change of a message is the one that is told, unless that was the
 * client's own: then it may not have heard of those before.
 */
static bool
is_told_of(const struct view *v, const struct mailbox_change *c,
    const struct store_msg *msg)
{
	if (msg == NULL || is_own(v, c->modseq))
		return false;
	return msg->modseq == c->modseq || is_own(v, msg->modseq);
}

static enum progress
tell_remembered(struct view *v, const struct mailbox_change *c, size_t n,
    struct buf *out)
{
	uint32_t at_uid = view_untold(v)->at_uid;
	uint64_t first = n > 0 ? c[0].modseq : 0;

	for (size_t i = 0; i < n; i++) {
		const struct store_msg *msg;

		if (c[i].uid > v->known_uid ||
		    (c[i].modseq == first && c[i].uid <= at_uid))
			continue;
		msg = store_find(view_store(v), c[i].uid);
		if (!is_told_of(v, &c[i], msg))
			continue;
		if (buf_room(out) < VIEW_ROOM) {
			v->told = c[i].modseq - 1;
			view_untold_of(v)->at_uid = c[i].uid - 1;
			return PROGRESS_WAIT;
		}
		view_put_fetch(v, msg, out);
	}
	told_up_to(v, store_numbers(view_store(v))->highestmodseq);
	return PROGRESS_DONE;
}

/* Changes later than the scan are for what comes after it. */
static enum progress
tell_scan(struct view *v, struct buf *out)
{
	const struct store_mailbox *mb = view_store(v);
	uint32_t exists = store_numbers(mb)->exists, i, end;
	struct view_untold *u = view_untold_of(v);

	if (u->scan_to == 0) {
		u->scan_to = store_numbers(mb)->highestmodseq;
		u->at_uid = 0;
	}
	i = store_index_behind(mb, u->at_uid);
	end = exists - i < SCAN_MAX ? exists : i + SCAN_MAX;
	for (; i < end; i++) {
		const struct store_msg *msg = store_at(mb, i);

		if (msg->uid > v->known_uid)
			break;
		if (msg->modseq > v->told && msg->modseq <= u->scan_to) {
			if (buf_room(out) < VIEW_ROOM)
				return PROGRESS_WAIT;
			view_put_fetch(v, msg, out);
		}
		u->at_uid = msg->uid;
	}
	if (i == end && end < exists)
		return PROGRESS_WAIT;
	told_up_to(v, u->scan_to);
	return PROGRESS_DONE;
}

static enum progress
tell_changed(struct view *v, struct buf *out)
{
	const struct mailbox_change *c;
	size_t n;

	if (v->says & VIEW_MUTES_FLAGS) {
		told_up_to(v, store_numbers(view_store(v))->highestmodseq);
		return PROGRESS_DONE;
	}
	while (view_untold(v)->scan_to != 0 ||
	       !mailbox_changes(v->m, v->told, &c, &n))
		if (tell_scan(v, out) == PROGRESS_WAIT)
			return PROGRESS_WAIT;
	return tell_remembered(v, c, n, out);
}

void
view_own_change(struct view *v, uint64_t modseq)
{
	const struct mailbox_change *c;
	struct view_untold *u;
	size_t n;

	if (v->m == NULL || view_untold(v)->scan_to != 0 ||
	    !mailbox_changes(v->m, v->told, &c, &n) || n == 0)
		return; /* told once more */
	if (c[0].modseq == modseq) {
		told_up_to(v, modseq);
		return;
	}
	u = view_untold_of(v);
	if (u->own == NULL || u->own->n == u->own->size) {
		size_t size = u->own == NULL ? 4 : u->own->size * 2;
		size_t had = u->own == NULL ? 0 : u->own->n;

		u->own = xrealloc(u->own,
		    sizeof(*u->own) + size * sizeof(u->own->modseqs[0]));
		u->own->n = had;
		u->own->size = size;
	}
	u->own->modseqs[u->own->n++] = modseq;
}

/* --- all of it ------------------------------------------------------------ */

static enum progress
tell_new(struct view *v, struct buf *out)
{
	if (!view_has_new(v))
		return PROGRESS_DONE;
	if (buf_room(out) < VIEW_ROOM)
		return PROGRESS_WAIT;
	view_count_all(v);
	buf_puts(out, "* ");
	buf_put_number(out, view_count(v));
	buf_puts(out, " EXISTS\r\n");
	if (v->says & VIEW_SAYS_RECENT) {
		buf_puts(out, "* ");
		buf_put_number(out, view_recent(v));
		buf_puts(out, " RECENT\r\n");
	}
	return PROGRESS_DONE;
}

void
view_reply_has_modseq(struct view *v)
{
	v->modseq_in_reply = true;
}

bool
view_tell(struct view *v, enum view_tell how, struct buf *out)
{
	bool all;

	if (v->m == NULL || !v->begun)
		return true;
	all =
	    (how == VIEW_NUMBERS_HOLD || tell_gone(v, out) == PROGRESS_DONE) &&
	    tell_keywords(v, out) == PROGRESS_DONE &&
	    tell_changed(v, out) == PROGRESS_DONE &&
	    tell_new(v, out) == PROGRESS_DONE &&
	    tell_modseq(v, out) == PROGRESS_DONE;
	view_trim(v);
	return all;
}
