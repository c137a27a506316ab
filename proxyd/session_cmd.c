/*
 * A command's life, from the client's octets to the answer.
 */
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "proxyd/conf.h"
#include "proxyd/handlers.h"
#include "proxyd/session_state.h"
#include "proxyd/worker.h"

enum {
	TAG_MAX = 200,
	BAD_MAX = 20,           /* commands in a row, then BYE */
	ANSWER_ROOM = 64 * 1024 /* in the out buffer, for a command's own */
};

/* --- its end ------------------------------------------------------------------ */

static void
free_state(struct session *ss)
{
	if (ss->cmd.fini != NULL)
		ss->cmd.fini(ss);
	ss->cmd.fini = NULL;
}

void
session_forget_command(struct session *ss)
{
	struct leg *g;

	free_state(ss);
	route_cancel(&ss->cmd.wait);
	TAILQ_FOREACH (g, &ss->legs, entry)
		leg_forget(g);
	ss->cmd = (struct cmd){ 0 };
}

/* Half a message was passed on: that connection is no good. */
static void
drop_half_sent(struct session *ss)
{
	struct leg *g = ss->cmd.stream_to;

	ss->cmd.stream_to = NULL;
	TAILQ_REMOVE(&ss->legs, g, entry);
	if (ss->selected == g)
		session_lost_selection(ss);
	leg_free(&g);
}

/* What the client still sends of a message that nobody wants. */
static void
end_stream(struct session *ss)
{
	bool sync = ss->cmd.stream_sync;

	if (ss->cmd.stream_to != NULL)
		drop_half_sent(ss);
	if (ss->phase == PHASE_HELD && sync) {
		collect_refuse(&ss->collect);
		collect_done(&ss->collect);
		ss->phase = PHASE_READ;
		return;
	}
	if (ss->phase == PHASE_HELD)
		collect_skip(&ss->collect);
	if (ss->phase != PHASE_CLOSING)
		ss->phase = PHASE_SKIP;
}

static void
end_command(struct session *ss)
{
	free_state(ss); /* it may be in the arena, which goes first */
	if (ss->phase == PHASE_HELD || ss->phase == PHASE_DATA)
		end_stream(ss);
	else if (ss->phase != PHASE_CLOSING) {
		if (ss->phase == PHASE_LINE)
			collect_unwant_line(&ss->collect);
		collect_done(&ss->collect);
		ss->phase = PHASE_READ;
	}
	session_forget_command(ss);
	session_flush(ss);
	if (ss->draining)
		session_drain(ss);
	session_soon(ss);
}

void
session_done(struct session *ss, enum write_status status, enum respcode code,
    const char *text)
{
	struct write w = session_write(ss);

	MUST(ss->cmd.what != NULL);
	ss->bad = status == WRITE_BAD ? ss->bad + 1 : 0;
	write_reply(&w, ss->cmd.tag, status, code, text);
	end_command(ss);
	if (ss->bad >= BAD_MAX)
		session_bye(ss, CLOSE_PROTOCOL, RESPCODE_NONE,
		    "Too many bad commands");
}

void
session_passed(struct session *ss)
{
	MUST(ss->cmd.what != NULL);
	ss->bad = 0;
	end_command(ss);
}

bool
session_bad_args(struct session *ss)
{
	const char *why = parse_error(&ss->cmd.args);

	if (why == NULL)
		return false;
	session_done(ss, WRITE_BAD, RESPCODE_NONE, why);
	return true;
}

void
session_unavailable(struct session *ss, const char *text)
{
	session_done(ss, WRITE_NO, RESPCODE_UNAVAILABLE, text);
}

void
session_want_line(struct session *ss,
    void (*line)(struct session *ss, struct slice line))
{
	ss->cmd.line = line;
	collect_want_line(&ss->collect);
	ss->phase = PHASE_LINE;
	session_flush(ss);
	session_soon(ss);
}

void
session_accept_stream(struct session *ss, struct leg *to,
    void (*streamed)(struct session *ss))
{
	struct write w = session_write(ss);

	MUST(ss->phase == PHASE_HELD);
	collect_accept(&ss->collect);
	if (ss->cmd.stream_sync)
		write_continue(&w, slice_str("OK"));
	ss->cmd.stream_to = to;
	ss->cmd.streamed = streamed;
	ss->phase = PHASE_DATA;
	session_flush(ss);
	session_soon(ss);
}

/* --- from the client's octets on ---------------------------------------------- */

static void
answer_bad(struct session *ss, struct slice tag, const char *text)
{
	struct write w = session_write(ss);

	write_reply(&w, tag, WRITE_BAD, RESPCODE_NONE, text);
	if (++ss->bad >= BAD_MAX)
		session_bye(ss, CLOSE_PROTOCOL, RESPCODE_NONE,
		    "Too many bad commands");
	session_flush(ss);
}

/* NULL and cmd is set, or what to answer BAD with. */
static const char *
parse_head(struct session *ss, struct slice tag)
{
	struct parse *p = &ss->cmd.args;
	const struct command *what;

	parse_init(p, &ss->arena, collect_pieces(&ss->collect));
	(void)parse_tag(p);
	parse_sp(p);
	what = parse_command(p);
	if (parse_error(p) != NULL)
		return parse_error(p);
	if (tag.len > TAG_MAX)
		return "The tag is too long";
	if (command_refusal(what, ss->state) != NULL)
		return command_refusal(what, ss->state);
	ss->cmd.what = what;
	ss->cmd.tag = tag;
	return NULL;
}

static void
run_command(struct session *ss)
{
	struct slice tag = collect_tag(&ss->collect);
	const char *why = parse_head(ss, tag);

	if (why == NULL) {
		ss->phase = PHASE_RUN;
		proxyd_handler_of(ss->cmd.what)(ss);
		return;
	}
	answer_bad(ss, tag, why);
	ss->cmd = (struct cmd){ 0 };
	collect_done(&ss->collect);
}

/* Of a command that has been answered. */
static void
skip_literal(struct session *ss, const struct collect_item *item)
{
	if (!item->sync) {
		collect_skip(&ss->collect);
		return;
	}
	/* The client has the answer and waits for no "+". */
	collect_refuse(&ss->collect);
	collect_done(&ss->collect);
	ss->phase = PHASE_READ;
}

/* A literal that is not to be stored has been announced. */
static void
run_stream(struct session *ss, const struct collect_item *item)
{
	struct slice tag = collect_tag(&ss->collect);
	const char *why;

	if (ss->phase == PHASE_SKIP) {
		skip_literal(ss, item);
		return;
	}
	if (ss->phase == PHASE_DATA) {
		/* A second message: MULTIAPPEND is not offered. */
		ss->phase = PHASE_HELD;
		ss->cmd.stream_sync = item->sync;
		session_done(ss, WRITE_BAD, RESPCODE_NONE,
		    "One message at a time");
		return;
	}
	why = parse_head(ss, tag);
	ss->phase = PHASE_HELD;
	ss->cmd.stream_sync = item->sync;
	ss->cmd.stream_size = item->size;
	if (why != NULL) {
		answer_bad(ss, tag, why);
		end_stream(ss);
		ss->cmd = (struct cmd){ 0 };
	} else if (item->size > ss->worker->conf->max_message)
		session_done(ss, WRITE_NO, RESPCODE_TOOBIG,
		    "The message is larger than max_message");
	else
		proxyd_handler_of(ss->cmd.what)(ss);
}

static void
refuse_literal(struct session *ss, const struct collect_item *item)
{
	struct write w = session_write(ss);

	write_reply(&w, collect_tag(&ss->collect),
	    item->too_big ? WRITE_NO : WRITE_BAD,
	    item->too_big ? RESPCODE_TOOBIG : RESPCODE_NONE, item->why);
	session_flush(ss);
	collect_done(&ss->collect);
}

/*
 * The message is there.  Nothing may follow it; if something does, something
 * does at the backend too, which then says BAD and keeps nothing.
 */
static void
end_of_stream(struct session *ss)
{
	const struct piece *p = collect_pieces(&ss->collect);
	struct write w;

	while (p->next != NULL)
		p = p->next;
	if (p->octets.len > 0) {
		write_init(&w, link_out(ss->cmd.stream_to->link), WRITE_CLIENT);
		write_word(&w, " x");
	}
	ss->phase = PHASE_RUN;
	ss->cmd.streamed(ss);
}

static void
command_complete(struct session *ss)
{
	switch (ss->phase) {
	case PHASE_SKIP:
		collect_done(&ss->collect);
		ss->phase = PHASE_READ;
		return;
	case PHASE_DATA:
		end_of_stream(ss);
		return;
	default:
		run_command(ss);
		return;
	}
}

static void
take_event(struct session *ss, enum collect_event ev,
    const struct collect_item *item)
{
	struct write w = session_write(ss);

	switch (ev) {
	case COLLECT_ERROR:
		session_bye(ss, CLOSE_PROTOCOL, RESPCODE_NONE,
		    collect_error(&ss->collect));
		return;
	case COLLECT_CONTINUE:
		write_continue(&w, slice_str("OK"));
		session_flush(ss);
		return;
	case COLLECT_REFUSED:
		refuse_literal(ss, item);
		return;
	case COLLECT_STREAM:
		run_stream(ss, item);
		return;
	case COLLECT_DATA:
		if (ss->phase == PHASE_DATA && ss->cmd.stream_to != NULL) {
			buf_put_slice(link_out(ss->cmd.stream_to->link),
			    item->octets);
			leg_new_deadline(ss->cmd.stream_to);
			leg_flush(ss->cmd.stream_to);
		}
		return;
	case COLLECT_COMMAND:
		command_complete(ss);
		return;
	case COLLECT_LINE:
		ss->phase = PHASE_RUN;
		ss->cmd.line(ss, item->octets);
		return;
	case COLLECT_GATHERED:
	case COLLECT_MORE:
		return;
	}
}

/* Octets that may be looked at now. */
static size_t
wanted(struct session *ss)
{
	size_t n = buf_len(stream_in(ss->client)), room;

	switch (ss->phase) {
	case PHASE_READ:
	case PHASE_LINE:
		/* Who does not read the answers is not asked for more. */
		return session_room(ss) < ANSWER_ROOM ? 0 : n;
	case PHASE_SKIP:
		return n;
	case PHASE_DATA:
		room = buf_room(link_out(ss->cmd.stream_to->link));
		return n < room ? n : room;
	case PHASE_HELD:
	case PHASE_RUN:
	case PHASE_CLOSING:
		return 0;
	}
	return 0;
}

bool
session_step(struct session *ss)
{
	struct buf *in = stream_in(ss->client);
	size_t n = wanted(ss);
	struct collect_item item;
	enum collect_event ev;

	if (n == 0)
		return false;
	ev = collect_next(&ss->collect, buf_data(in), n, &item);
	if (ev != COLLECT_DATA && ev != COLLECT_LINE)
		buf_drop(in, item.taken);
	if (ev == COLLECT_MORE)
		return item.taken > 0;
	take_event(ss, ev, &item);
	if (ss->magic != SESSION_MAGIC)
		return false;
	if (ev == COLLECT_DATA || ev == COLLECT_LINE)
		buf_drop(in, item.taken);
	return true;
}

bool
session_wants_input(struct session *ss)
{
	switch (ss->phase) {
	case PHASE_READ:
	case PHASE_LINE:
		return session_room(ss) >= ANSWER_ROOM;
	case PHASE_SKIP:
		return true;
	case PHASE_DATA:
		return buf_room(link_out(ss->cmd.stream_to->link)) > 0;
	case PHASE_HELD:
	case PHASE_RUN:
	case PHASE_CLOSING:
		return false;
	}
	return false;
}
