#include <stdlib.h>

#include "backendd/fetch_decode.h"
#include "backendd/fetch_run.h"
#include "backendd/fetch_state.h"
#include "backendd/mailbox.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/fetch.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* ----------------------------------------------------------------- headers */

/* parts[] were read for some items of the group, at[] says which. */
static void
on_headers(void *arg, struct store_chunk *chunk)
{
	struct fetching *fe = arg;

	fe->headers = chunk;
	for (size_t i = 0; i < fe->win->n; i++) {
		struct item *item = &fe->b->items[fe->win->at[i].item];

		if (fe->win->parts[i].why != NULL)
			fetch_fail(fe, item);
		else
			item->facts.header = fe->win->parts[i].octets;
	}
	fe->win->n = 0;
	fe->state = STATE_DECODE;
	fetch_advance(fe);
}

/* Octets of fields, at most about: asked for often they are many. */
static uint64_t
fields_of(const struct fetching *fe, const struct item *item, uint64_t read)
{
	const struct summary *s = item->facts.summary;

	return fe->nfields * (read + (s != NULL ? s->headers.len : 0));
}

/* Makes a group of the items from group_end on, and reads what it needs. */
static void
read_headers(struct fetching *fe)
{
	uint64_t octets = 0, fields = 0;

	store_chunk_free(&fe->headers);
	arena_again(&fe->plans);
	fe->group = fe->group_end;
	fe->win->n = 0;
	for (; fe->group_end < fe->b->n; fe->group_end++) {
		struct item *item = &fe->b->items[fe->group_end];
		struct section_range r = { 0 };

		if (!item->failed && (fe->needs & FETCH_SUMMARY))
			r = fetch_header_needed(fe->f, &item->facts);
		item->facts.header_range = r;
		fields += fields_of(fe, item, r.len);
		if (fe->group_end > fe->group && fields > FIELDS_MAX)
			break;
		if (r.len == 0)
			continue;
		if (octets > 0 && octets + r.len > HEADERS_MAX)
			break;
		octets += r.len;
		fetch_add_part(fe, fe->win,
		    (struct piece_at){ .item = fe->group_end }, &r);
	}
	fe->pos = (struct piece_at){ .item = fe->group };
	fe->state = STATE_DECODE;
	if (fe->win->n > 0) {
		fe->state = STATE_WAIT;
		store_read(mailbox_store(fe->m), fe->win->parts, fe->win->n,
		    on_headers, fe);
	}
}

/* ------------------------------------------------------------------ BINARY */

static void
on_measured(void *arg)
{
	struct fetching *fe = arg;
	struct item *item = &fe->b->items[fe->pos.item];

	if (!fetch_decode_measured(fe->decoding, &fe->b->arena,
	        &item->decoded[fe->pos.piece]))
		fetch_fail(fe, item);
	fe->pos.piece++;
	fe->state = STATE_DECODE;
	fetch_advance(fe);
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
	while ((fe->needs & FETCH_DECODED) && fe->pos.item < fe->group_end &&
	       !session_dead(fe->ss)) {
		struct item *item = &fe->b->items[fe->pos.item];

		if (item->decoded == NULL)
			item->facts.decoded = item->decoded =
			    arena_array(&fe->b->arena, fe->f->count,
			        sizeof(*item->decoded));
		while (!item->failed && fe->pos.piece < fe->f->count) {
			if (!decode_one(fe, item))
				return;
			fe->pos.piece++;
		}
		fe->pos = (struct piece_at){ .item = fe->pos.item + 1 };
	}
	fe->state = session_dead(fe->ss) ? STATE_END : STATE_PLAN;
}

static void
plan(struct fetching *fe)
{
	for (size_t i = fe->group; i < fe->group_end; i++)
		if (!fe->b->items[i].failed)
			fetch_plan(fe->f, &fe->plans, &fe->b->items[i].facts,
			    &fe->b->items[i].plan);
	fe->pos = (struct piece_at){ .item = fe->group };
	fe->state = STATE_SEND;
}

/* ------------------------------------------------------------------- whole */

static void
finish(struct fetching *fe)
{
	struct session *ss = fe->ss;
	bool gone = msgset_passed_over(fe->set);
	bool unreadable = fe->unreadable, unknown_cte = fe->unknown_cte;

	fetch_gather_end(fe);
	fetch_decode_free(&fe->decoding);
	task_free(&fe->turn);
	mailbox_release(&fe->m);
	buf_fini(&fe->flags);
	arena_reset(&fe->plans);
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

void
fetch_advance(struct fetching *fe)
{
	for (;;) {
		switch (fe->state) {
		case STATE_GATHER:
			fetch_gather(fe);
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
			fetch_send(fe);
			break;
		case STATE_WAIT:
			return;
		case STATE_END:
			if (fe->seen_waiting == 0 &&
			    fe->ahead_is != AHEAD_READING &&
			    !fetch_is_gathering(fe))
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
	fetch_advance(fe);
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
	fe->win = &fe->windows[0];
	fe->ahead = &fe->windows[1];
	fe->m = mailbox_hold(view_mailbox(v));
	fe->turn = task_new(session_server(ss)->loop, on_turn, fe);
	fe->needs = fetch_needs(f);
	fe->sets_seen = f->sets_seen && view_access(v) == VIEW_READ_WRITE &&
	                (view_rights(v) & ACL_SEEN);
	for (unsigned i = 0; i < f->count; i++)
		fe->nfields += f->items[i].section.nfields > 0;
	arena_init(&fe->plans);
	buf_init(&fe->flags, FLAGS_MAX);
	fetch_advance(fe);
}
