/*
 * From octets to a command: its head is looked at before the messages it has
 * are taken, and they go to files while the rest comes.
 */
#include <string.h>

#include "backendd/append_run.h"
#include "backendd/conf.h"
#include "backendd/handlers.h"
#include "backendd/letter.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "imap/write.h"
#include "lib/blob.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/stream.h"

enum {
	FIRST_BLOBS = 4,
	LOOK_EARLY = 32, /* messages of a command, each time */
	SKIP_TIMES = 4   /* a message too big is taken and dropped up to so
	                  many times the limit */
};

void
session_free_blobs(struct session *ss)
{
	if (ss->w->unasked.runs) /* what it waits for may have some */
		ss->w->cmd = ss->w->unasked.cmd;
	if (ss->w->cmd == NULL)
		return;
	for (size_t i = 0; i < ss->w->cmd->nblobs; i++)
		blob_free(&ss->w->cmd->blobs[i]);
	ss->w->cmd->nblobs = 0;
	letters_free(&ss->w->cmd->letters);
	ss->w->blobs_open = 0;
	ss->bd->held -= ss->w->held;
	ss->w->held = 0;
}

static enum command_state
imap_state(const struct session *ss)
{
	if (ss->user == NULL)
		return STATE_NOT_AUTHENTICATED;
	return ss->view != NULL ? STATE_SELECTED : STATE_AUTHENTICATED;
}

/*
 * Ends the command with this reply: refused before a handler saw it, or by
 * its handler.
 */
void
session_answer(struct session *ss, enum session_result r, const char *code,
    const char *text)
{
	ss->w->result = r;
	ss->w->code = code;
	ss->w->text = text;
	ss->state = SESSION_ENDING;
}

/* Tag and name; ss->w->cmd if they are in order, else the BAD's text. */
static const char *
parse_head(struct session *ss)
{
	const char *why;
	struct cmd *cmd = ss->w->cmd;

	if (cmd == NULL)
		cmd = arena_alloc(&ss->w->arena, sizeof(*cmd));
	parse_init(&ss->w->args, &ss->w->arena,
	    collect_pieces(&ss->w->collect));
	if (session_is_utf8(ss))
		parse_want_utf8(&ss->w->args);
	cmd->arena = &ss->w->arena;
	cmd->args = &ss->w->args;
	cmd->tag = parse_tag(&ss->w->args);
	parse_sp(&ss->w->args);
	cmd->what = parse_command(&ss->w->args);
	if (cmd->what == NULL)
		return parse_error(&ss->w->args);
	why = command_refusal(cmd->what, imap_state(ss));
	if (why != NULL)
		return why;
	if ((ss->enabled & ENABLED_UIDONLY) && (cmd->what->flags & CMD_USES)) {
		ss->w->refused_code = "UIDREQUIRED";
		return SESSION_ONLY_UIDS;
	}
	(void)parse_try(&ss->w->args, ' '); /* a missing one is found by what
	                                    should follow it */
	ss->w->cmd = cmd;
	return NULL;
}

void
session_start_command(struct session *ss)
{
	const char *why = ss->w->refused;

	if (why != NULL) {
		session_answer(ss,
		    ss->w->refused_bad ? SESSION_BAD : SESSION_NO,
		    ss->w->refused_code, why);
		return;
	}
	why = parse_head(ss);
	if (why != NULL) {
		session_answer(ss, SESSION_BAD, ss->w->refused_code, why);
		return;
	}
	log_debug(ss->bd->log, "command", "sid", session_sid(ss), "name",
	    ss->w->cmd->what->name, NULL);
	ss->state = SESSION_RUNNING;
	backendd_handler_of(ss->w->cmd->what)(ss, ss->w->cmd);
}

/* --- messages on their way in ---------------------------------------------- */

static void
blob_changed(void *arg)
{
	session_advance(session_of(arg));
}

static void
blob_ended(void *arg, const char *why)
{
	struct session *ss = session_of(arg);

	MUST(ss->w->blobs_open > 0);
	ss->w->blobs_open--;
	if (why != NULL) {
		log_err(ss->bd->log, "message not kept", "sid", session_sid(ss),
		    "why", why, NULL);
		ss->w->refused = "Cannot store the message now";
		ss->w->refused_code = "UNAVAILABLE";
	}
	session_advance(ss);
}

bool
session_blob_is_busy(struct session *ss)
{
	return ss->w->left > 0 && ss->w->cmd != NULL &&
	       ss->w->cmd->nblobs > 0 && ss->w->refused == NULL &&
	       blob_busy(ss->w->cmd->blobs[ss->w->cmd->nblobs - 1],
	           blob_changed, ss);
}

/* While others come; those that are not in memory wait until all are there. */
static void
look_early(struct session *ss)
{
	struct cmd *cmd = ss->w->cmd;

	if (cmd->nblobs % LOOK_EARLY != 0)
		return;
	if (cmd->letters == NULL)
		cmd->letters = letters_new(ss->bd->jobs);
	for (size_t i = cmd->nblobs - LOOK_EARLY; i < cmd->nblobs; i++)
		if (blob_is_ready(cmd->blobs[i]))
			letters_add(cmd->letters, i, cmd->blobs[i]);
}

static void
end_blob(struct session *ss)
{
	struct cmd *cmd = ss->w->cmd;
	struct blob *b = cmd->blobs[cmd->nblobs - 1];

	if (ss->w->refused != NULL || ss->w->left > 0)
		return;
	if (blob_end_here(b)) {
		look_early(ss);
	} else {
		ss->w->blobs_open++;
		blob_end(b, blob_ended, ss);
	}
}

/* May this message come?  NULL, or the NO. */
static const char *
refuse_message(struct session *ss, uint64_t size)
{
	const struct backendd_conf *conf = ss->bd->conf;

	if (size > conf->message_size) {
		ss->w->refused_code = "TOOBIG";
		return "Message too big";
	}
	if (ss->w->cmd->nblobs == conf->append_messages ||
	    ss->w->streamed > conf->append_size ||
	    size > conf->append_size - ss->w->streamed) {
		ss->w->refused_code = "LIMIT";
		return "Too many messages at once";
	}
	return NULL;
}

/* Many small ones may not fill the memory either. */
size_t
session_memory_for(struct session *ss, uint64_t size)
{
	const struct backendd_conf *conf = ss->bd->conf;
	struct backendd *bd = ss->bd;

	if (size > conf->message_memory)
		return (size_t)conf->message_memory;
	if (size > conf->append_memory || bd->held > conf->append_memory - size)
		return 0;
	bd->held += size;
	ss->w->held += size;
	return (size_t)conf->message_memory;
}

static void
add_blob(struct session *ss, uint64_t size)
{
	const struct backendd_conf *conf = ss->bd->conf;
	struct cmd *cmd = ss->w->cmd;
	size_t n = cmd->nblobs;
	struct blob **more;

	if (n == 0 || (n >= FIRST_BLOBS && (n & (n - 1)) == 0)) {
		more = arena_array(&ss->w->arena, n == 0 ? FIRST_BLOBS : n * 2,
		    sizeof(*more));
		if (n > 0)
			memcpy(more, cmd->blobs, n * sizeof(*more));
		cmd->blobs = more;
	}
	cmd->blobs[n] = blob_new(ss->bd->jobs, conf->temp_directory,
	    session_memory_for(ss, size));
	blob_expect(cmd->blobs[n], size);
	cmd->nblobs++;
}

static void
take_message(struct session *ss, const struct collect_item *item)
{
	collect_accept(&ss->w->collect);
	add_blob(ss, item->size);
	ss->w->streamed += item->size;
	ss->w->left = item->size;
	if (item->sync) {
		struct write w;

		write_init(&w, stream_out(ss->stream), WRITE_SERVER);
		write_continue(&w, slice_str("OK"));
	}
	end_blob(ss);
}

/* A message is announced: the command so far tells whether it may come. */
static void
take_stream(struct session *ss, const struct collect_item *item)
{
	const char *why = ss->w->refused;
	bool bad = false;

	/* Of one with messages it was in order at the first. */
	if (why == NULL && (ss->w->cmd == NULL || ss->w->cmd->nblobs == 0)) {
		why = parse_head(ss);
		bad = why != NULL;
	}
	if (why == NULL && item->too_big) {
		why = "Literals above 4096 octets have to wait for \"+\"";
		ss->w->refused_bad = true;
		ss->w->refused_code = "TOOBIG";
	}
	if (why == NULL)
		why = refuse_message(ss, item->size);
	if (why == NULL && ss->w->cmd->nblobs == 0) {
		struct append_no no = append_refusal(ss, item->size);

		why = no.why;
		ss->w->refused_code = no.code;
		bad = no.bad;
	}
	if (why == NULL) {
		take_message(ss, item);
		return;
	}
	if (item->sync) {
		collect_refuse(&ss->w->collect);
		session_answer(ss,
		    bad || ss->w->refused_bad ? SESSION_BAD : SESSION_NO,
		    ss->w->refused_code, why);
	} else if (ss->user == NULL ||
	           item->size > ss->bd->conf->message_size * SKIP_TIMES) {
		session_say_bye(ss, END_INPUT, "TOOBIG", why);
	} else {
		ss->w->refused = why;
		ss->w->refused_bad |= bad;
		collect_skip(&ss->w->collect);
	}
}

static void
take_data(struct session *ss, struct slice octets)
{
	struct cmd *cmd = ss->w->cmd;

	MUST(octets.len <= ss->w->left && cmd->nblobs > 0);
	blob_put(cmd->blobs[cmd->nblobs - 1], octets);
	ss->w->left -= octets.len;
	end_blob(ss);
}

static void
take_line(struct session *ss, struct slice line)
{
	session_line_cb *cb = ss->w->line_cb;

	if (ss->state == SESSION_IDLING) {
		if (slice_is_nocase(line, "DONE"))
			session_answer(ss, SESSION_OK, NULL, "Idle completed");
		else
			session_answer(ss, SESSION_BAD, NULL, "Expected DONE");
		return;
	}
	MUST(cb != NULL);
	ss->w->line_cb = NULL;
	cb(ss, ss->w->line_arg, line);
}

static void
take_event(struct session *ss, enum collect_event ev,
    const struct collect_item *item)
{
	const char *code;
	struct write w;

	switch (ev) {
	case COLLECT_ERROR:
		code = item->too_big ? "TOOBIG" : NULL;
		if (ss->state == SESSION_RUNNING)
			session_bye(ss, code, collect_error(&ss->w->collect));
		else
			session_say_bye(ss, END_INPUT, code,
			    collect_error(&ss->w->collect));
		break;
	case COLLECT_MORE:
	case COLLECT_GATHERED:
		break;
	case COLLECT_CONTINUE:
		write_init(&w, stream_out(ss->stream), WRITE_SERVER);
		write_continue(&w, slice_str("OK"));
		break;
	case COLLECT_REFUSED:
		session_answer(ss, item->too_big ? SESSION_NO : SESSION_BAD,
		    item->too_big ? "TOOBIG" : NULL, item->why);
		break;
	case COLLECT_STREAM:
		take_stream(ss, item);
		break;
	case COLLECT_DATA:
		take_data(ss, item->octets);
		break;
	case COLLECT_COMMAND:
		ss->state = SESSION_GATHERED;
		break;
	case COLLECT_LINE:
		take_line(ss, item->octets);
		break;
	}
}

/* An event of what has come in.  False: there is none. */
bool
session_take(struct session *ss)
{
	struct buf *in = stream_in(ss->stream);
	struct collect_item item;
	enum collect_event ev;

	ev = collect_next(&ss->w->collect, buf_data(in), buf_len(in), &item);
	take_event(ss, ev, &item);
	if (ss->state != SESSION_GONE)
		buf_drop(in, item.taken);
	return ev != COLLECT_MORE;
}
