#include <string.h>

#include "imap/seqset.h"
#include "imap/value.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/copy_across.h"
#include "proxyd/leg.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"

enum {
	PART = 64 * 1024 /* octets of a message asked for at a time */
};

struct message {
	uint32_t uid, new_uid;
	uint64_t size;
	struct value *flags; /* in the command's arena */
	struct slice date;
};

struct state {
	struct copy_across what;
	struct leg *from, *to;
	struct message *messages;
	size_t n, size;
	size_t at;       /* the message under way */
	uint64_t offset; /* octets of it that are through */
	uint64_t uidvalidity;
	bool no_uids;    /* the destination does not tell them */
	bool whole;      /* the last part asked for has come */
	bool in_literal; /* the destination waits for more of a message */
	bool stored;     /* \Deleted, at the source */
	enum respcode code;
	const char *why; /* it failed, while that is undone */
};

static void send_head(struct session *ss, struct leg *g);

static struct state *
state_of(struct session *ss)
{
	return ss->cmd.state;
}

/* --- sets and answers ----------------------------------------------------------- */

static void
put_uids(struct session *ss, struct write *w, bool new, size_t n)
{
	struct state *s = state_of(ss);
	struct seqset set = { 0 };

	for (size_t i = 0; i < n; i++)
		seqset_push(&ss->arena, &set,
		    new ? s->messages[i].new_uid : s->messages[i].uid);
	write_seqset(w, &set);
}

/* "OK [COPYUID 1 2:3 4:5] text"; without uids if the server told none. */
static void
put_copyuid(struct session *ss, struct slice tag, const char *text)
{
	struct state *s = state_of(ss);
	struct write w = session_write(ss);

	write_status(&w, tag, WRITE_OK);
	if (!s->no_uids && s->n > 0) {
		write_code_open(&w, RESPCODE_COPYUID);
		write_sp(&w);
		write_number(&w, s->uidvalidity);
		write_sp(&w);
		put_uids(ss, &w, false, s->n);
		write_sp(&w);
		put_uids(ss, &w, true, s->n);
		write_code_close(&w);
	}
	write_text(&w, text);
	write_end(&w);
}

static void
finish_failed(struct session *ss, struct leg *g)
{
	struct state *s = state_of(ss);

	(void)g;
	session_done(ss, WRITE_NO, s->code, s->why);
}

/* What was appended is removed again, as far as its server lets us. */
static void
undo(struct session *ss, struct leg *g)
{
	static const struct ask_use drop = { .policy = ASK_DROP };
	struct state *s = state_of(ss);
	struct slice none = { NULL, 0 };
	struct write w;

	w = leg_ask(g, none, &drop);
	write_word(&w, "SELECT ");
	value_write(&w, s->what.dest);
	write_end(&w);
	w = leg_ask(g, none, &drop);
	write_word(&w, "UID STORE ");
	put_uids(ss, &w, true, s->at);
	write_word(&w, " +FLAGS.SILENT (\\Deleted)");
	write_end(&w);
	w = leg_ask(g, none, &drop);
	write_word(&w, "UID EXPUNGE ");
	put_uids(ss, &w, true, s->at);
	write_end(&w);
	leg_ask_text(g, "UNSELECT", &drop);
	finish_failed(ss, g);
}

/* The connection in the midst of a literal is no good for anything else. */
static void
drop_destination(struct session *ss)
{
	struct state *s = state_of(ss);

	if (s->to == NULL)
		return;
	TAILQ_REMOVE(&ss->legs, s->to, entry);
	leg_free(&s->to);
}

static void
fail(struct session *ss, enum respcode code, const char *why)
{
	struct state *s = state_of(ss);

	s->code = code;
	s->why = why;
	leg_forget(s->from); /* a part may be on its way */
	if (s->in_literal)
		drop_destination(ss);
	if (s->at == 0 || s->no_uids)
		finish_failed(ss, NULL);
	else
		leg_try_open(session_leg(ss, s->what.server), undo,
		    finish_failed);
}

/* The destination's server has it not: is it elsewhere? */
static void
gone(struct session *ss, const struct reply_text *text)
{
	struct state *s = state_of(ss);

	if (s->at > 0) {
		fail(ss, RESPCODE_UNAVAILABLE,
		    "The destination went away meanwhile, try again");
		return;
	}
	(void)trip_refused(ss, s->to, text);
	leg_forget(s->from); /* a part may be on its way */
	if (s->in_literal)
		drop_destination(ss);
}

/* --- MOVE: remove at the source ---------------------------------------------------- */

static void
expunged(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	(void)g;
	if (a->lost || a->status != WRITE_OK || !state_of(ss)->stored)
		session_done(ss, WRITE_NO, RESPCODE_NONE,
		    "Copied, but not removed from the selected mailbox");
	else
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Moved");
}

/* If the leg is lost, this is the only answer that comes. */
static void
marked(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	state_of(ss)->stored = !a->lost && a->status == WRITE_OK;
	if (a->lost)
		expunged(ss, g, a);
}

static void
remove_at_source(struct session *ss)
{
	struct state *s = state_of(ss);
	struct write w;

	put_copyuid(ss, slice_of(NULL, 0), "The destination has them");
	w = leg_ask(s->from, slice_of(NULL, 0),
	    &(struct ask_use){ .policy = ASK_SHOW, .answer = marked });
	write_word(&w, "UID STORE ");
	put_uids(ss, &w, false, s->n);
	write_word(&w, " +FLAGS.SILENT (\\Deleted)");
	write_end(&w);
	w = leg_ask(s->from, slice_of(NULL, 0),
	    &(struct ask_use){ .policy = ASK_ANSWER, .answer = expunged });
	write_word(&w, "UID EXPUNGE ");
	put_uids(ss, &w, false, s->n);
	write_end(&w);
	leg_flush(s->from);
}

static void
finish(struct session *ss)
{
	struct state *s = state_of(ss);

	if (s->what.move && s->n > 0)
		remove_at_source(ss);
	else {
		put_copyuid(ss, ss->cmd.tag, "Copied");
		session_passed(ss);
	}
}

/* --- one message ------------------------------------------------------------------- */

/* "1 2" of APPENDUID; false if it is something else. */
static bool
take_appenduid(struct state *s, const struct reply_text *t)
{
	size_t sp = slice_find(t->code_args, ' ');
	uint64_t uid;

	if (t->code != RESPCODE_APPENDUID || sp == t->code_args.len ||
	    !ascii_number(slice_first(t->code_args, sp), UINT32_MAX,
	        &s->uidvalidity) ||
	    !ascii_number(slice_skip(t->code_args, sp + 1), UINT32_MAX, &uid) ||
	    uid == 0)
		return false;
	s->messages[s->at].new_uid = (uint32_t)uid;
	return true;
}

static void
appended(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct state *s = state_of(ss);

	(void)g;
	if (a->lost) {
		s->to = NULL;
		s->in_literal = false;
		fail(ss, RESPCODE_UNAVAILABLE,
		    "The destination's server was lost");
		return;
	}
	if (a->status != WRITE_OK && trip_is_absence(a->text)) {
		gone(ss, a->text);
		return;
	}
	if (a->status != WRITE_OK) {
		fail(ss, a->text->code,
		    arena_string(&ss->arena, a->text->text));
		return;
	}
	if (s->in_literal) {
		fail(ss, RESPCODE_UNAVAILABLE,
		    "The destination's server did not wait for the message");
		return;
	}
	if (!take_appenduid(s, a->text))
		s->no_uids = true;
	s->at++;
	s->offset = 0;
	if (s->at == s->n)
		finish(ss);
	else
		leg_when_room(s->to, PART, send_head);
}

static struct value *
item_of(struct value *list, const char *name)
{
	for (struct value *v = list->items; v != NULL && v->next != NULL;
	     v = v->next->next)
		if (slice_is_nocase(v->text, name))
			return v->next;
	return NULL;
}

static void
take_part(struct session *ss, struct leg *g, const struct reply_head *head,
    const struct piece *pieces)
{
	struct state *s = state_of(ss);
	struct message *m = &s->messages[s->at];
	struct value *list, *body;
	struct parse p;

	if (!slice_is_nocase(head->name, "FETCH") || s->whole)
		return;
	reply_parse_data(&p, &g->arena, pieces);
	parse_sp(&p);
	list = value_parse(&p);
	body = list == NULL ? NULL : item_of(list, "BODY");
	if (body == NULL || body->kind != VALUE_STRING)
		return; /* flags of somebody's */
	if (body->text.len > m->size - s->offset || body->text.len > PART ||
	    (body->text.len == 0 && m->size > 0))
		return;
	buf_put_slice(link_out(s->to->link), body->text);
	s->offset += body->text.len;
	s->whole = true;
}

static void ask_part(struct session *ss, struct leg *g);

static void
part_answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct state *s = state_of(ss);
	struct write w;

	(void)g;
	if (a->lost || a->status != WRITE_OK || !s->whole) {
		fail(ss, RESPCODE_UNAVAILABLE, "A message could not be read");
		return;
	}
	if (s->offset < s->messages[s->at].size) {
		leg_flush(s->to);
		leg_when_room(s->to, PART, ask_part);
		return;
	}
	s->in_literal = false;
	write_init(&w, link_out(s->to->link), WRITE_CLIENT);
	write_end(&w);
	leg_flush(s->to);
}

static void
ask_part(struct session *ss, struct leg *g)
{
	struct state *s = state_of(ss);
	struct write w = leg_ask(s->from, slice_of(NULL, 0),
	    &(struct ask_use){ .policy = ASK_FETCH,
	        .data = take_part,
	        .answer = part_answered });

	(void)g;
	s->whole = false;
	write_word(&w, "UID FETCH ");
	write_number(&w, s->messages[s->at].uid);
	write_word(&w, " (BODY.PEEK[]<");
	write_number(&w, s->offset);
	write_word(&w, ".");
	write_number(&w, PART);
	write_word(&w, ">)");
	write_end(&w);
	leg_flush(s->from);
}

static void
send_head(struct session *ss, struct leg *g)
{
	struct state *s = state_of(ss);
	struct message *m = &s->messages[s->at];
	struct write w = leg_ask(g, slice_of(NULL, 0),
	    &(struct ask_use){ .policy = ASK_SHOW, .answer = appended });

	s->to = g;
	s->in_literal = true;
	write_word(&w, "APPEND ");
	value_write(&w, s->what.dest);
	write_sp(&w);
	value_write(&w, m->flags);
	write_sp(&w);
	write_string(&w, m->date);
	write_sp(&w);
	write_literal_head(&w, m->size);
	leg_flush(g);
	ask_part(ss, g);
}

/* --- what is to be copied ------------------------------------------------------------ */

/* Without \Recent, which is not the client's to set; in the command's arena. */
static struct value *
copy_flags(struct session *ss, const struct value *list)
{
	struct value *copy = arena_alloc(&ss->arena, sizeof(*copy));
	struct value **last = &copy->items;

	copy->kind = VALUE_LIST;
	for (const struct value *v = list->items; v != NULL; v = v->next) {
		if (value_is(v, "\\Recent"))
			continue;
		*last = value_atom(&ss->arena, arena_copy(&ss->arena, v->text));
		last = &(*last)->next;
	}
	return copy;
}

static struct message *
add_message(struct session *ss)
{
	struct state *s = state_of(ss);

	if (s->n == s->size) {
		size_t size = s->size == 0 ? 64 : s->size * 2;
		struct message *more =
		    arena_array(&ss->arena, size, sizeof(*more));

		if (s->n > 0)
			memcpy(more, s->messages, s->n * sizeof(*more));
		s->messages = more;
		s->size = size;
	}
	return &s->messages[s->n++];
}

static void
take_facts(struct session *ss, struct leg *g, const struct reply_head *head,
    const struct piece *pieces)
{
	struct value *list, *uid, *flags, *date, *size;
	struct message *m;
	struct parse p;
	uint64_t n;

	if (!slice_is_nocase(head->name, "FETCH"))
		return;
	reply_parse_data(&p, &g->arena, pieces);
	parse_sp(&p);
	list = value_parse(&p);
	if (list == NULL)
		return;
	uid = item_of(list, "UID");
	flags = item_of(list, "FLAGS");
	date = item_of(list, "INTERNALDATE");
	size = item_of(list, "RFC822.SIZE");
	/* One that lacks some is news of flags, not our answer. */
	if (uid == NULL || flags == NULL || date == NULL || size == NULL ||
	    flags->kind != VALUE_LIST ||
	    !ascii_number(uid->text, UINT32_MAX, &n) || n == 0)
		return;
	m = add_message(ss);
	m->uid = (uint32_t)n;
	m->flags = copy_flags(ss, flags);
	m->date = arena_copy(&ss->arena, date->text);
	if (!ascii_number(size->text, UINT64_MAX / 2, &m->size))
		m->size = 0;
}

static void
facts_answered(struct session *ss, struct leg *g, const struct ask_answer *a)
{
	struct state *s = state_of(ss);

	(void)g;
	if (a->lost || a->status != WRITE_OK)
		session_done(ss, a->lost ? WRITE_NO : a->status, RESPCODE_NONE,
		    a->lost ? "The selected mailbox's server was lost"
		            : arena_string(&ss->arena, a->text->text));
	else if (s->n == 0)
		session_done(ss, WRITE_OK, RESPCODE_NONE,
		    "There is nothing to copy");
	else
		leg_when_open(session_leg(ss, s->what.server), send_head);
}

void
copy_across(struct session *ss, const struct copy_across *c)
{
	struct state *s = arena_alloc(&ss->arena, sizeof(*s));
	struct write w;

	s->what = *c;
	s->from = ss->selected;
	ss->cmd.state = s;
	w = leg_ask(s->from, slice_of(NULL, 0),
	    &(struct ask_use){ .policy = ASK_FETCH,
	        .data = take_facts,
	        .answer = facts_answered });
	write_word(&w, c->by_uid ? "UID FETCH " : "FETCH ");
	value_write(&w, c->set);
	write_word(&w, " (UID FLAGS INTERNALDATE RFC822.SIZE)");
	write_end(&w);
	leg_flush(s->from);
}
