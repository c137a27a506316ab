#include <stdlib.h>

#include "backendd/emailid.h"
#include "backendd/fetch_decode.h"
#include "backendd/fetch_run.h"
#include "backendd/mailbox.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/summarise.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/fetch.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	BATCH = SUMMARISE_MAX,    /* messages whose summaries are at hand */
	LOOKED_MAX = 4096,        /* messages looked at in one turn */
	HEADERS_MAX = 256 * 1024, /* octets of headers read at once */
	WINDOW = 512 * 1024,      /* octets of messages read at once */
	WINDOW_PARTS = 128,
	ROOM = 32 * 1024, /* to wait for when there is none */
	FLAGS_MAX = 16 * 1024
};

enum fetch_state {
	STATE_GATHER,  /* find the next batch */
	STATE_HEADERS, /* of a group: as many as may be read at once */
	STATE_DECODE,  /* what BINARY asks for, of the group */
	STATE_PLAN,
	STATE_SEND, /* the group */
	STATE_WAIT, /* for a call back */
	STATE_END   /* all is sent; \Seen may be on its way */
};

/* A message of the batch. */
struct item {
	struct fetch_facts facts;
	struct fetch_plan plan;
	struct fetch_decoded *decoded; /* by item of the FETCH, or NULL */
	bool failed;                   /* it is gone, or cannot be read */
};

/* Octets of a message, read or to be read. */
struct piece_at {
	size_t item, piece;
	uint64_t at; /* offset in the piece */
};

struct fetching {
	struct session *ss;
	struct cmd *cmd;
	const struct fetch *f;
	struct msgset *set;
	struct mailbox *m; /* a hold */
	struct task *turn;
	enum fetch_state state;
	unsigned needs;
	bool sets_seen, unreadable, unknown_cte;
	unsigned seen_waiting; /* call backs to come */

	struct arena arena; /* of the batch */
	struct item items[BATCH];
	struct summarise_item summaries[BATCH];
	size_t n;
	size_t group, group_end; /* items planned and sent together */

	/* What is sent next. */
	struct piece_at pos;

	/* What is at hand of the messages, in the order it is sent. */
	struct store_part parts[WINDOW_PARTS];
	struct piece_at at[WINDOW_PARTS]; /* where parts[i] begins */
	size_t nparts, part;              /* part: the next to be sent */
	struct store_chunk *chunk;
	struct store_chunk *headers;     /* of the group */
	struct fetch_decoding *decoding; /* NULL: nothing is decoded */
};

static void advance(struct fetching *fe);

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
		advance(fe);
}

/*
 * Not waited for before the messages are sent, but before the reply: the view
 * tells the new flags just before that, as of any change.
 */
static void
set_seen(struct fetching *fe, struct seeing *see)
{
	struct view *v = session_view(fe->ss);

	if (see->n == 0 || view_lost(v)) {
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

static void
gather_one(struct fetching *fe, const struct view *v,
    const struct store_msg *msg)
{
	struct item *item = &fe->items[fe->n];
	struct fetch_facts *facts = &item->facts;
	struct buf flags;

	*item = (struct item){ 0 };
	buf_init(&flags, FLAGS_MAX);
	view_put_flags(v, msg, &flags);
	facts->flags = arena_copy(&fe->arena, buf_slice(&flags));
	buf_fini(&flags);
	facts->uid = msg->uid;
	facts->seq = view_seq_of(v, msg->uid);
	facts->uidfetch = (view_says(v) & VIEW_SAYS_UIDFETCH) != 0;
	facts->modseq = msg->modseq;
	facts->size_octets = msg->size;
	facts->internal_seconds = msg->internaldate;
	facts->internal_zone = msg->zone;
	facts->saved = true;
	facts->saved_seconds = msg->savedate;
	facts->emailid = emailid_text(&fe->arena, msg->emailid);
	fe->summaries[fe->n].uid = msg->uid;
	fe->n++;
}

static void
reset_batch(struct fetching *fe)
{
	store_chunk_free(&fe->chunk);
	store_chunk_free(&fe->headers);
	arena_reset(&fe->arena);
	fe->n = fe->group = fe->group_end = 0;
	fe->nparts = fe->part = 0;
}

static void
on_summaries(void *arg)
{
	struct fetching *fe = arg;

	for (size_t i = 0; i < fe->n; i++) {
		struct fetch_facts *facts = &fe->items[i].facts;

		facts->summary = fe->summaries[i].summary;
		if (facts->summary != NULL)
			facts->threadid =
			    threadid_text(&fe->arena, facts->summary->threadid);
		else if (fe->needs & FETCH_SUMMARY)
			fe->items[i].failed = fe->unreadable = true;
	}
	fe->state = STATE_HEADERS;
	advance(fe);
}

static void
gather(struct fetching *fe)
{
	const struct view *v = session_view(fe->ss);
	struct seeing *see = xcalloc(1, sizeof(*see));
	unsigned looked = 0;
	uint32_t uid = 0;

	see->fe = fe;
	reset_batch(fe);
	while (fe->n < BATCH && looked < LOOKED_MAX &&
	       (uid = msgset_next(fe->set, v)) != 0) {
		const struct store_msg *msg = view_message(v, uid);

		looked++;
		if (fe->f->changed_since &&
		    msg->modseq <= fe->f->changed_modseq)
			continue;
		if (fe->sets_seen && !view_is_seen(v, msg))
			see->uids[see->n++] = uid;
		gather_one(fe, v, msg);
	}
	set_seen(fe, see);
	if (fe->n == 0 && (uid == 0 || session_dead(fe->ss))) {
		fe->state = STATE_END;
	} else if (fe->n == 0) {
		fe->state = STATE_WAIT;
		task_want(fe->turn);
	} else if (fe->needs & (FETCH_SUMMARY | FETCH_LAZY)) {
		fe->state = STATE_WAIT;
		if (fe->needs & FETCH_SUMMARY)
			summarise(fe->m, session_server(fe->ss)->jobs,
			    &fe->arena, fe->summaries, fe->n, on_summaries, fe);
		else
			summarise_cached(fe->m, session_server(fe->ss)->jobs,
			    &fe->arena, fe->summaries, fe->n, on_summaries, fe);
	} else {
		fe->state = STATE_HEADERS;
	}
}

/* ----------------------------------------------------------------- headers */

/* parts[] were read for some items of the group, at[] says which. */
static void
on_headers(void *arg, struct store_chunk *chunk)
{
	struct fetching *fe = arg;

	fe->headers = chunk;
	for (size_t i = 0; i < fe->nparts; i++) {
		struct item *item = &fe->items[fe->at[i].item];

		if (fe->parts[i].why != NULL)
			item->failed = fe->unreadable = true;
		else
			item->facts.header = fe->parts[i].octets;
	}
	fe->nparts = 0;
	fe->state = STATE_DECODE;
	advance(fe);
}

static void
add_part(struct fetching *fe, size_t item, const struct section_range *r)
{
	fe->parts[fe->nparts] = (struct store_part){
		.uid = fe->items[item].facts.uid,
		.what = STORE_OCTETS,
		.offset = r->at,
		.len = r->len,
	};
	fe->at[fe->nparts] = (struct piece_at){ .item = item };
	fe->nparts++;
}

/* Makes a group of the items from group_end on, and reads what it needs. */
static void
read_headers(struct fetching *fe)
{
	uint64_t octets = 0;

	store_chunk_free(&fe->headers);
	fe->group = fe->group_end;
	fe->nparts = 0;
	for (; fe->group_end < fe->n; fe->group_end++) {
		struct item *item = &fe->items[fe->group_end];
		struct section_range r = { 0 };

		if (!item->failed && (fe->needs & FETCH_SUMMARY))
			r = fetch_header_needed(fe->f, &item->facts);
		item->facts.header_range = r;
		if (r.len == 0)
			continue;
		if (octets > 0 && octets + r.len > HEADERS_MAX)
			break;
		octets += r.len;
		add_part(fe, fe->group_end, &r);
	}
	fe->pos = (struct piece_at){ .item = fe->group };
	fe->state = STATE_DECODE;
	if (fe->nparts > 0) {
		fe->state = STATE_WAIT;
		store_read(mailbox_store(fe->m), fe->parts, fe->nparts,
		    on_headers, fe);
	}
}

/* ------------------------------------------------------------------ BINARY */

static void
on_measured(void *arg)
{
	struct fetching *fe = arg;
	struct item *item = &fe->items[fe->pos.item];

	if (!fetch_decode_measured(fe->decoding, &fe->arena,
	        &item->decoded[fe->pos.piece]))
		item->failed = fe->unreadable = true;
	fe->pos.piece++;
	fe->state = STATE_DECODE;
	advance(fe);
}

/* One item of the FETCH, for one message.  False: it is being read. */
static bool
decode_one(struct fetching *fe, struct item *item)
{
	const struct fetch_item *asked = &fe->f->items[fe->pos.piece];
	enum transfer_encoding encoding;
	struct section_range r;

	switch (fetch_decode_needed(asked, &item->facts, &r, &encoding)) {
	case FETCH_DECODE_NOT:
		return true;
	case FETCH_DECODE_UNKNOWN:
		item->failed = fe->unknown_cte = true;
		return true;
	case FETCH_DECODE:
		break;
	}
	if (fe->decoding == NULL)
		fe->decoding = fetch_decode_new(mailbox_store(fe->m),
		    session_server(fe->ss)->jobs);
	fe->state = STATE_WAIT;
	fetch_decode_measure(fe->decoding, item->facts.uid, r, encoding,
	    asked->kind == FETCH_BINARY ? FETCH_DECODE_KEEP
	                                : FETCH_DECODE_COUNT,
	    on_measured, fe);
	return false;
}

/* pos goes over the group's messages, and for each over what is asked. */
static void
decode(struct fetching *fe)
{
	while ((fe->needs & FETCH_DECODED) && fe->pos.item < fe->group_end) {
		struct item *item = &fe->items[fe->pos.item];

		if (item->decoded == NULL)
			item->facts.decoded = item->decoded =
			    arena_array(&fe->arena, fe->f->count,
			        sizeof(*item->decoded));
		while (!item->failed && fe->pos.piece < fe->f->count) {
			if (!decode_one(fe, item))
				return;
			fe->pos.piece++;
		}
		fe->pos = (struct piece_at){ .item = fe->pos.item + 1 };
	}
	fe->state = STATE_PLAN;
}

static void
plan(struct fetching *fe)
{
	for (size_t i = fe->group; i < fe->group_end; i++)
		if (!fe->items[i].failed)
			fetch_plan(fe->f, &fe->arena, &fe->items[i].facts,
			    &fe->items[i].plan);
	fe->pos = (struct piece_at){ .item = fe->group };
	fe->state = STATE_SEND;
}

/* ------------------------------------------------------------------ window */

static void
on_window(void *arg, struct store_chunk *chunk)
{
	struct fetching *fe = arg;

	fe->chunk = chunk;
	fe->state = STATE_SEND;
	advance(fe);
}

/* Octets of the message as they are. */
static bool
is_range(const struct fetch_piece *p)
{
	return p->text.ptr == NULL && p->encoding == TRANSFER_BINARY;
}

/* What is sent from pos on, as far as it fits the window. */
static void
read_window(struct fetching *fe)
{
	struct piece_at pos = fe->pos;
	uint64_t room = WINDOW;

	store_chunk_free(&fe->chunk);
	fe->nparts = fe->part = 0;
	while (
	    pos.item < fe->group_end && room > 0 && fe->nparts < WINDOW_PARTS) {
		const struct fetch_plan *p = &fe->items[pos.item].plan;
		struct section_range r;

		if (fe->items[pos.item].failed || pos.piece == p->count) {
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
			add_part(fe, pos.item, &r);
			fe->at[fe->nparts - 1] = pos;
		}
		pos.piece++;
		pos.at = 0;
	}
	MUST(fe->nparts > 0);
	fe->state = STATE_WAIT;
	store_read(mailbox_store(fe->m), fe->parts, fe->nparts, on_window, fe);
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
	if (!has_ranges(&item->plan))
		return true;
	if (fe->part == fe->nparts || fe->at[fe->part].item != fe->pos.item) {
		read_window(fe);
		return false;
	}
	for (size_t i = fe->part;
	     i < fe->nparts && fe->at[i].item == fe->pos.item; i++)
		if (fe->parts[i].why != NULL)
			item->failed = true;
	if (!item->failed)
		return true;
	fe->unreadable = true;
	while (fe->part < fe->nparts && fe->at[fe->part].item == fe->pos.item)
		fe->part++;
	return true;
}

/* The octets that come next; false: not at hand. */
static bool
next_octets(struct fetching *fe, const struct fetch_piece *p, struct slice *s)
{
	const struct store_part *part;

	if (p->text.ptr != NULL) {
		*s = slice_skip(p->text, fe->pos.at);
		return true;
	}
	*s = slice_of(NULL, 0);
	if (p->range.len == fe->pos.at)
		return true;
	if (fe->part < fe->nparts) {
		uint64_t begins = fe->at[fe->part].at;

		part = &fe->parts[fe->part];
		MUST(fe->at[fe->part].item == fe->pos.item &&
		     fe->at[fe->part].piece == fe->pos.piece);
		if (part->why != NULL || part->octets.len != part->len) {
			session_cut(fe->ss);
			fe->state = STATE_END;
			return false;
		}
		*s = slice_skip(part->octets, fe->pos.at - begins);
		return true;
	}
	read_window(fe);
	return false;
}

static void
on_room(struct session *ss, void *arg)
{
	struct fetching *fe = arg;

	(void)ss;
	fe->state = STATE_SEND;
	advance(fe);
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
	advance(fe);
}

/* The octets that come next of a part being decoded; false: not at hand. */
static bool
next_decoded(struct fetching *fe, const struct fetch_piece *p, struct slice *s)
{
	struct fetch_decoding *d = fe->decoding;

	if (fe->pos.at == 0 && !fetch_decode_is_open(d))
		fetch_decode_open(d, fe->items[fe->pos.item].facts.uid, p);
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
	fe->pos.at += n;
	if (is_range(p)) {
		if (fe->pos.at - fe->at[fe->part].at == fe->parts[fe->part].len)
			fe->part++;
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

static void
send_group(struct fetching *fe)
{
	while (fe->pos.item < fe->group_end) {
		struct item *item = &fe->items[fe->pos.item];
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
	fe->state = fe->group_end < fe->n ? STATE_HEADERS : STATE_GATHER;
	if (session_dead(fe->ss))
		fe->state = STATE_END;
}

/* ------------------------------------------------------------------- whole */

static void
finish(struct fetching *fe)
{
	struct session *ss = fe->ss;
	bool gone = msgset_passed_over(fe->set);
	bool unreadable = fe->unreadable, unknown_cte = fe->unknown_cte;

	reset_batch(fe);
	fetch_decode_free(&fe->decoding);
	task_free(&fe->turn);
	mailbox_release(&fe->m);
	free(fe);
	if (gone)
		session_done(ss, SESSION_NO, "EXPUNGEISSUED",
		    "Some of the messages are gone");
	else if (unknown_cte)
		session_done(ss, SESSION_NO, "UNKNOWN-CTE",
		    "The encoding of some parts is not known");
	else if (unreadable)
		session_done(ss, SESSION_NO, NULL,
		    "Some of the messages could not be read");
	else
		session_done(ss, SESSION_OK, NULL, "Fetch completed");
}

static void
advance(struct fetching *fe)
{
	for (;;) {
		switch (fe->state) {
		case STATE_GATHER:
			gather(fe);
			break;
		case STATE_HEADERS:
			read_headers(fe);
			break;
		case STATE_DECODE:
			decode(fe);
			break;
		case STATE_PLAN:
			plan(fe);
			break;
		case STATE_SEND:
			send_group(fe);
			break;
		case STATE_WAIT:
			return;
		case STATE_END:
			if (fe->seen_waiting == 0)
				finish(fe);
			return;
		}
	}
}

static void
on_turn(void *arg)
{
	struct fetching *fe = arg;

	fe->state = STATE_GATHER;
	advance(fe);
}

void
fetch_run(struct session *ss, const struct fetch *f, struct msgset *set)
{
	struct fetching *fe = xcalloc(1, sizeof(*fe));
	const struct view *v = session_view(ss);

	fe->ss = ss;
	fe->cmd = session_cmd(ss);
	fe->f = f;
	fe->set = set;
	fe->m = mailbox_hold(view_mailbox(v));
	fe->turn = task_new(session_server(ss)->loop, on_turn, fe);
	fe->needs = fetch_needs(f);
	fe->sets_seen = f->sets_seen && view_access(v) == VIEW_READ_WRITE &&
	                (view_rights(v) & ACL_SEEN);
	arena_init(&fe->arena);
	advance(fe);
}
