/* fetch: a group of messages goes out, a window of their octets at a time. */
#include "backendd/fetch_decode.h"
#include "backendd/fetch_state.h"
#include "backendd/mailbox.h"
#include "backendd/session.h"
#include "lib/buf.h"
#include "lib/must.h"

void
fetch_add_part(struct fetching *fe, struct window *w, struct piece_at at,
    const struct section_range *r)
{
	w->parts[w->n] = (struct store_part){
		.uid = fe->b->items[at.item].facts.uid,
		.what = STORE_OCTETS,
		.offset = r->at,
		.len = r->len,
	};
	w->at[w->n++] = at;
}

/* ----------------------------------------------------------------- windows */

/* Octets of the message as they are. */
static bool
is_range(const struct fetch_piece *p)
{
	return p->text.ptr == NULL && p->encoding == TRANSFER_BINARY;
}

/* What is sent from pos on, as far as it fits the window. */
static void
fill_window(struct fetching *fe, struct window *w, struct piece_at pos)
{
	uint64_t room = WINDOW;

	w->n = w->part = 0;
	while (pos.item < fe->group_end && room > 0 && w->n < WINDOW_PARTS) {
		const struct fetch_plan *p = &fe->b->items[pos.item].plan;
		struct section_range r;

		if (fe->b->items[pos.item].failed || pos.piece == p->count) {
			pos = (struct piece_at){ .item = pos.item + 1 };
			continue;
		}
		r = p->pieces[pos.piece].range;
		if (is_range(&p->pieces[pos.piece]) && r.len > pos.at) {
			r.at += pos.at;
			r.len -= pos.at;
			if (r.len > room)
				r.len = room;
			room -= r.len;
			fetch_add_part(fe, w, pos, &r);
			pos.at += r.len;
			if (pos.at < p->pieces[pos.piece].range.len)
				continue; /* there is no more room */
		}
		pos.piece++;
		pos.at = 0;
	}
	w->end = pos;
}

static void
on_ahead(void *arg, struct store_chunk *chunk)
{
	struct fetching *fe = arg;
	bool waited = fe->waits_ahead;

	fe->ahead->chunk = chunk;
	fe->ahead_is = AHEAD_READY;
	fe->waits_ahead = false;
	if (waited)
		fe->state = STATE_SEND;
	if (waited || fe->state == STATE_END)
		fetch_advance(fe);
}

/* While the client takes the window the next is read. */
static void
read_ahead(struct fetching *fe)
{
	MUST(fe->ahead_is == AHEAD_NONE);
	fill_window(fe, fe->ahead, fe->win->end);
	if (fe->ahead->n == 0)
		return;
	fe->ahead_is = AHEAD_READING;
	store_read(mailbox_store(fe->m), fe->ahead->parts, fe->ahead->n,
	    on_ahead, fe);
}

static void
on_window(void *arg, struct store_chunk *chunk)
{
	struct fetching *fe = arg;

	fe->win->chunk = chunk;
	fe->state = STATE_SEND;
	read_ahead(fe);
	fetch_advance(fe);
}

static void
wait_ahead(struct fetching *fe)
{
	session_flush(fe->ss); /* the client has something to do meanwhile */
	fe->state = STATE_WAIT;
	fe->waits_ahead = true;
}

/* What was read ahead is sent next, but for messages left out after all. */
static void
take_ahead(struct fetching *fe)
{
	struct window *w = fe->ahead;

	fe->ahead = fe->win;
	fe->win = w;
	fe->ahead_is = AHEAD_NONE;
	while (w->part < w->n && w->at[w->part].item < fe->pos.item)
		w->part++;
	read_ahead(fe);
}

/* The window has been sent, or there was none. */
static void
next_window(struct fetching *fe)
{
	struct window *w = fe->win;

	if (fe->ahead_is == AHEAD_READING) {
		wait_ahead(fe);
		return;
	}
	store_chunk_free(&w->chunk);
	w->n = w->part = 0;
	if (fe->ahead_is == AHEAD_READY) { /* and look again */
		take_ahead(fe);
		return;
	}
	fill_window(fe, w, fe->pos);
	MUST(w->n > 0);
	session_flush(fe->ss);
	fe->state = STATE_WAIT;
	store_read(mailbox_store(fe->m), w->parts, w->n, on_window, fe);
}

/* ----------------------------------------------------------------- sending */

static bool
has_ranges(const struct fetch_plan *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (is_range(&p->pieces[i]) && p->pieces[i].range.len > 0)
			return true;
	return false;
}

/*
 * Is the first range of the item that begins here at hand?  A message that
 * turns out to be unreadable before anything of it was sent is left out.
 */
static bool
item_ready(struct fetching *fe, struct item *item)
{
	struct window *w = fe->win;
	bool unreadable = false;

	if (!has_ranges(&item->plan))
		return true;
	if (w->part == w->n) {
		next_window(fe);
		return false;
	}
	MUST(w->at[w->part].item == fe->pos.item);
	for (size_t i = w->part; i < w->n && w->at[i].item == fe->pos.item; i++)
		unreadable = unreadable || w->parts[i].why != NULL;
	if (!unreadable)
		return true;
	fetch_fail(fe, item);
	while (w->part < w->n && w->at[w->part].item == fe->pos.item)
		w->part++;
	return true;
}

/* The octets that come next; false: not at hand. */
static bool
next_octets(struct fetching *fe, const struct fetch_piece *p, struct slice *s)
{
	const struct window *w = fe->win;
	const struct store_part *part;

	if (p->text.ptr != NULL) {
		*s = slice_skip(p->text, fe->pos.at);
		return true;
	}
	*s = slice_of(NULL, 0);
	if (p->range.len == fe->pos.at)
		return true;
	if (w->part < w->n) {
		uint64_t begins = w->at[w->part].at;

		part = &w->parts[w->part];
		MUST(w->at[w->part].item == fe->pos.item &&
		     w->at[w->part].piece == fe->pos.piece);
		if (part->why != NULL || part->octets.len != part->len) {
			session_cut(fe->ss);
			fe->state = STATE_END;
			return false;
		}
		*s = slice_skip(part->octets, fe->pos.at - begins);
		return true;
	}
	next_window(fe);
	return false;
}

static void
on_room(struct session *ss, void *arg)
{
	struct fetching *fe = arg;

	(void)ss;
	fe->state = STATE_SEND;
	fetch_advance(fe);
}

static void
wait_room(struct fetching *fe)
{
	fe->state = STATE_WAIT;
	session_flush(fe->ss);
	session_wait_room(fe->ss, ROOM, on_room, fe);
}

static void
on_decoded(void *arg)
{
	struct fetching *fe = arg;

	fe->state = STATE_SEND;
	fetch_advance(fe);
}

/* The octets that come next of a part being decoded; false: not at hand. */
static bool
next_decoded(struct fetching *fe, const struct fetch_piece *p, struct slice *s)
{
	struct fetch_decoding *d = fe->decoding;

	if (fe->pos.at == 0 && !fetch_decode_is_open(d))
		fetch_decode_open(d, fe->b->items[fe->pos.item].facts.uid, p);
	*s = fetch_decode_at_hand(d);
	if (s->len > 0)
		return true;
	fe->state = STATE_WAIT;
	if (!fetch_decode_more(d, on_decoded, fe)) {
		session_cut(fe->ss);
		fe->state = STATE_END;
	}
	return false;
}

/* So many octets of a piece have been sent. */
static void
sent(struct fetching *fe, const struct fetch_piece *p, size_t n)
{
	struct window *w = fe->win;

	fe->pos.at += n;
	if (is_range(p)) {
		if (fe->pos.at - w->at[w->part].at == w->parts[w->part].len)
			w->part++;
	} else if (p->text.ptr == NULL) {
		fetch_decode_drop(fe->decoding, n);
		if (fe->pos.at == p->take)
			fetch_decode_close(fe->decoding);
	}
}

/* Of one piece, as much as there is room for and at hand.  True: all. */
static bool
send_piece(struct fetching *fe, const struct fetch_piece *p)
{
	uint64_t len = fetch_piece_len(p);
	struct slice s;
	size_t room;

	while (fe->pos.at < len) {
		bool decodes = p->text.ptr == NULL && !is_range(p);

		if (decodes ? !next_decoded(fe, p, &s)
		            : !next_octets(fe, p, &s))
			return false;
		room = session_room(fe->ss);
		if (room == 0) {
			wait_room(fe);
			return false;
		}
		if (s.len > room)
			s.len = room;
		if (s.len > len - fe->pos.at) /* of what was decoded */
			s.len = (size_t)(len - fe->pos.at);
		buf_put_slice(session_out(fe->ss), s);
		sent(fe, p, s.len);
	}
	return true;
}

void
fetch_send(struct fetching *fe)
{
	while (fe->pos.item < fe->group_end) {
		struct item *item = &fe->b->items[fe->pos.item];
		bool begins = fe->pos.piece == 0 && fe->pos.at == 0;

		if (session_dead(fe->ss))
			break;
		if (!item->failed && begins && !item_ready(fe, item))
			return;
		while (!item->failed && fe->pos.piece < item->plan.count) {
			if (!send_piece(fe, &item->plan.pieces[fe->pos.piece]))
				return;
			fe->pos.piece++;
			fe->pos.at = 0;
		}
		fe->pos = (struct piece_at){ .item = fe->pos.item + 1 };
	}
	session_flush(fe->ss);
	if (session_dead(fe->ss)) {
		fe->state = STATE_END;
		return;
	}
	if (fe->ahead_is == AHEAD_READING) { /* for nothing */
		wait_ahead(fe);
		return;
	}
	store_chunk_free(&fe->ahead->chunk);
	fe->ahead_is = AHEAD_NONE;
	fe->state = fe->group_end < fe->b->n ? STATE_HEADERS : STATE_GATHER;
}
