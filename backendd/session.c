#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/session_state.h"
#include "backendd/store.h"
#include "backendd/view.h"
#include "imap/write.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"

enum {
	TURN_COMMANDS = 64,
	BEFORE_TEXT = 16 * 1024, /* before login */
	BEFORE_LITERAL = 8 * 1024,
	BEFORE_LITERALS = 8,
	AFTER_LITERALS = 1000 + STORE_ITEMS_MAX,
	IN_SPARE = 16 * 1024,
	FINISH_SECONDS = 5,
	STREAM_TEXT = 512, /* flags and date of one message of many */
	LITERAL_MINUS = 4096
};

static const struct collect_extras literal_plus = { .stream_text =
	                                                STREAM_TEXT };
static const struct collect_extras literal_minus = { .nonsync_max =
	                                                 LITERAL_MINUS,
	.stream_text = STREAM_TEXT };

static const char *const end_texts[] = {
	[END_NONE] = "none",
	[END_LOGOUT] = "logout",
	[END_DISCONNECT] = "disconnected",
	[END_LOGIN_TIMEOUT] = "login timeout",
	[END_IDLE_TIMEOUT] = "idle timeout",
	[END_INPUT] = "malformed input",
	[END_OUTPUT] = "output overflow",
	[END_BAD_COMMANDS] = "too many bad commands",
	[END_MAILBOX_LOST] = "mailbox deleted",
	[END_DRAIN] = "shutdown",
	[END_TLS] = "tls failed",
	[END_BYE] = "bye",
};

struct session *
session_of(void *arg)
{
	struct session *ss = arg;

	MUST(ss->magic == SESSION_MAGIC);
	return ss;
}

static void
release(void *arg)
{
	struct session *ss = arg;

	ss->magic = 0;
	free(ss);
}

/* Nothing of a command is left: as before the first octet. */
void
session_drop_work(struct session *ss)
{
	if (ss->w == NULL)
		return;
	session_free_blobs(ss);
	session_unwake(ss);
	arena_reset(&ss->w->arena);
	buf_fini(&ss->w->sink);
	free(ss->w);
	ss->w = NULL;
}

void
session_set_limits(struct session *ss)
{
	static const struct collect_limits before = { BEFORE_TEXT,
		BEFORE_LITERAL, BEFORE_LITERALS };
	struct collect_limits after = { (size_t)ss->bd->conf->command_size,
		(size_t)ss->bd->conf->literal_size, AFTER_LITERALS };

	collect_set_limits(&ss->w->collect,
	    ss->user == NULL ? &before : &after);
	collect_set_extras(&ss->w->collect,
	    session_may_pipeline(ss) ? &literal_plus : &literal_minus);
}

/* Something of a command has come, or is to be said. */
void
session_need_work(struct session *ss)
{
	static const struct collect_limits none = { 0, 0, 0 };

	if (ss->w != NULL)
		return;
	ss->w = xcalloc(1, sizeof(*ss->w));
	ss->w->ss = ss;
	arena_init(&ss->w->arena);
	buf_init(&ss->w->sink, SIZE_MAX / 4);
	collect_init(&ss->w->collect, COLLECT_IMAP, &none, &ss->w->arena);
	session_set_limits(ss);
	if (ss->state == SESSION_IDLING)
		collect_want_line(&ss->w->collect);
}

/* No command is running.  Frees at the end of the turn. */
static void
go(struct session *ss)
{
	struct backendd *bd = ss->bd;

	MUST(ss->state != SESSION_GONE && ss->state != SESSION_RUNNING &&
	     ss->state != SESSION_LOST);
	log_info(bd->log, "session closed", "sid", session_sid(ss), "user",
	    ss->user, "reason", end_texts[ss->end], "client",
	    session_has(ss)->client != NULL ? session_has(ss)->client->address
	                                    : NULL,
	    "in", LOG_NUM(stream_octets_in(ss->stream)), "out",
	    LOG_NUM(stream_octets_out(ss->stream)), NULL);
	ss->state = SESSION_GONE;
	session_drop_work(ss);
	session_forget_contexts(ss);
	view_free(&ss->view);
	notify_end(ss);
	notices_end(ss);
	session_forget_saved(ss);
	stream_free(&ss->stream);
	session_unlist(ss);
	free(session_has(ss)->client);
	free(ss->extras);
	ss->extras = NULL;
	free(ss->user);
	bd->nsessions--;
	loop_at_end(bd->loop, release, ss);
	backendd_session_gone(bd);
}

/*
 * The connection is over.  A running command goes on to its end; what it waits
 * for comes at the next step.
 */
void
session_lose(struct session *ss, enum session_end why)
{
	if (ss->end == END_NONE)
		ss->end = (uint8_t)why;
	switch ((enum session_state)ss->state) {
	case SESSION_GONE:
	case SESSION_LOST:
	case SESSION_OVER:
		break;
	case SESSION_RUNNING:
		ss->state = SESSION_LOST;
		session_wake(ss);
		break;
	case SESSION_TAKING:
	case SESSION_IDLING:
	case SESSION_GATHERED:
	case SESSION_ENDING:
	case SESSION_HANDSHAKE:
	case SESSION_FINISHING:
		go(ss);
		break;
	}
}

void
session_finish(struct session *ss)
{
	ss->state = SESSION_FINISHING;
	stream_flush(ss->stream);
	stream_finish(ss->stream, FINISH_SECONDS);
}

void
session_put_status(struct session *ss, struct slice tag,
    enum write_status status, const char *code, const char *text)
{
	struct write w;

	write_init(&w, stream_out(ss->stream), WRITE_SERVER);
	write_status(&w, tag, status);
	if (code != NULL)
		write_code_text(&w, code);
	write_text(&w, text);
	write_end(&w);
}

/* "* BYE [code] text", and no more. */
void
session_say_bye(struct session *ss, enum session_end why, const char *code,
    const char *text)
{
	if (ss->end == END_NONE)
		ss->end = (uint8_t)why;
	session_put_status(ss, slice_of(NULL, 0), WRITE_BYE, code, text);
	session_finish(ss);
}

/* --- what moves ------------------------------------------------------------- */

/* A running command that waits for something which is there now. */
static bool
step_running(struct session *ss)
{
	bool over = ss->state == SESSION_LOST || ss->w->bye_text != NULL;
	session_cb *room = ss->w->room_cb;
	session_line_cb *line = ss->w->line_cb;

	if (room != NULL &&
	    (ss->state == SESSION_LOST ||
	        buf_room(stream_out(ss->stream)) >= ss->w->room)) {
		ss->w->room_cb = NULL;
		room(ss, ss->w->room_arg);
		return true;
	}
	if (line == NULL)
		return false;
	if (!over)
		return session_take(ss);
	ss->w->line_cb = NULL;
	line(ss, ss->w->line_arg, slice_of(NULL, 0));
	return true;
}

/* An event of what has come in, if anything has and may be answered. */
static bool
step_taking(struct session *ss)
{
	if (buf_len(stream_in(ss->stream)) == 0 ||
	    buf_room(stream_out(ss->stream)) < SESSION_REPLY_ROOM ||
	    session_resume(ss))
		return false;
	session_need_work(ss);
	return !session_blob_is_busy(ss) && session_take(ss);
}

/* Is there nothing of a command? */
bool
session_rests(const struct session *ss)
{
	switch ((enum session_state)ss->state) {
	case SESSION_TAKING:
		return ss->w == NULL || collect_is_idle(&ss->w->collect);
	case SESSION_IDLING:
	case SESSION_HANDSHAKE:
		return true;
	case SESSION_GATHERED:
	case SESSION_RUNNING:
	case SESSION_ENDING:
	case SESSION_FINISHING:
	case SESSION_LOST:
	case SESSION_OVER:
	case SESSION_GONE:
		break;
	}
	return false;
}

/* In IDLE, or with NOTIFY: is it told of what is new at once? */
static bool
listens(const struct session *ss)
{
	return ss->idles || session_has(ss)->notify != NULL;
}

/* True if a FETCH was begun. */
static bool
step_unasked(struct session *ss)
{
	uint32_t first, last;
	const char *items;

	if (!session_rests(ss))
		return false;
	session_tell_unasked(ss);
	if (session_fetch_for_contexts(ss))
		return true;
	items = notify_fetch(ss, &first, &last);
	if (items == NULL)
		return false;
	session_need_work(ss);
	session_fetch_unasked(ss, items,
	    arena_printf(&ss->w->arena, "%u:%u", first, last));
	return true;
}

/* Something may have moved: true if it did. */
static bool
step(struct session *ss)
{
	switch ((enum session_state)ss->state) {
	case SESSION_TAKING:
	case SESSION_IDLING:
		return (listens(ss) && step_unasked(ss)) || step_taking(ss);
	case SESSION_GATHERED:
		if (ss->w->blobs_open > 0)
			return false;
		session_start_command(ss);
		return true;
	case SESSION_RUNNING:
	case SESSION_LOST:
		return step_running(ss);
	case SESSION_ENDING:
		return session_end_command(ss);
	case SESSION_OVER:
		go(ss);
		break;
	case SESSION_HANDSHAKE:
	case SESSION_FINISHING:
	case SESSION_GONE:
		break;
	}
	return false;
}

static bool
wants_read(struct session *ss)
{
	if (ss->state == SESSION_TAKING)
		return ss->w == NULL || !session_blob_is_busy(ss);
	if (ss->state == SESSION_RUNNING)
		return ss->w->line_cb != NULL;
	return session_rests(ss);
}

void
session_advance(struct session *ss)
{
	unsigned steps = 0;

	if (ss->inside || ss->state == SESSION_GONE)
		return;
	ss->inside = true;
	while (step(ss))
		if (++steps >= TURN_COMMANDS) {
			session_wake(ss);
			break;
		}
	ss->inside = false;
	if (ss->state == SESSION_GONE)
		return;
	if (ss->state == SESSION_LOST) {
		stream_want_read(ss->stream, false);
		return;
	}
	if (buf_failed(stream_out(ss->stream))) {
		session_lose(ss, END_OUTPUT);
		return;
	}
	if (session_rests(ss) && buf_len(stream_in(ss->stream)) == 0 &&
	    !ss->woken)
		session_drop_work(ss);
	stream_flush(ss->stream);
	stream_want_read(ss->stream, wants_read(ss));
	if (ss->w == NULL)
		stream_rest(ss->stream);
}

static void
greet(struct session *ss)
{
	struct arena *a;

	session_need_work(ss);
	a = &ss->w->arena;
	ss->greeted = true;
	session_put_status(ss, slice_of(NULL, 0), WRITE_OK,
	    arena_printf(a, "CAPABILITY %s", session_capabilities(ss)),
	    arena_printf(a, "%s murder ready", ss->bd->hostname));
	arena_reset(a);
}

static void
event(void *arg, enum stream_event ev)
{
	struct session *ss = session_of(arg);

	if (ss->state == SESSION_GONE)
		return;
	if (ss->user != NULL) {
		session_unlist(ss);
		session_enlist(ss);
	}
	switch (ev) {
	case STREAM_CLOSED:
		session_lose(ss,
		    ss->state == SESSION_HANDSHAKE ? END_TLS : END_DISCONNECT);
		return;
	case STREAM_SECURE:
		if (ss->state == SESSION_HANDSHAKE) {
			ss->state = SESSION_TAKING;
			if (!ss->greeted)
				greet(ss);
		}
		break;
	case STREAM_READ:
	case STREAM_WRITTEN:
		break;
	}
	session_advance(ss);
}

/* Busy with something that is neither input nor output. */
static bool
is_working(const struct session *ss)
{
	return ss->state == SESSION_LOST || ss->state == SESSION_OVER ||
	       ss->state == SESSION_GATHERED ||
	       (ss->state == SESSION_RUNNING && ss->w->line_cb == NULL &&
	           ss->w->room_cb == NULL);
}

static void
time_out(struct session *ss, enum session_end why)
{
	if (ss->state == SESSION_HANDSHAKE || ss->state == SESSION_ENDING) {
		session_lose(ss, why);
	} else if (ss->state == SESSION_RUNNING) {
		session_put_status(ss, slice_of(NULL, 0), WRITE_BYE,
		    "UNAVAILABLE", "Idle for too long");
		stream_flush(ss->stream);
		session_lose(ss, why);
	} else {
		session_say_bye(ss, why, "UNAVAILABLE", "Idle for too long");
	}
}

void
session_expire(struct session *ss)
{
	if (ss->state == SESSION_FINISHING || is_working(ss))
		return; /* the former has a deadline of its own */
	time_out(ss, ss->user == NULL ? END_LOGIN_TIMEOUT : END_IDLE_TIMEOUT);
}

static void
make_sid(struct session *ss)
{
	uint64_t n = rand_u64();

	snprintf(ss->sid, sizeof(ss->sid), "%016llx", (unsigned long long)n);
}

void
session_new(struct backendd *bd, int fd, enum session_port port)
{
	struct stream_limits limits = {
		.in = (size_t)bd->conf->command_size + IN_SPARE,
		.out = (size_t)bd->conf->output_size,
	};
	struct session *ss = xcalloc(1, sizeof(*ss));
	struct err err;

	ss->magic = SESSION_MAGIC;
	ss->bd = bd;
	ss->stream = stream_new(bd->loop, fd, &limits, event, ss);
	make_sid(ss);
	session_enlist(ss);
	bd->nsessions++;
	log_debug(bd->log, "session opened", "sid", session_sid(ss), "peer",
	    stream_peer(ss->stream), NULL);
	if (port == SESSION_PLAIN) {
		greet(ss);
		session_advance(ss);
		return;
	}
	ss->state = SESSION_HANDSHAKE;
	if (stream_start_tls(ss->stream, bd->tls, NULL, &err) == -1)
		session_lose(ss, END_TLS);
	else
		stream_want_read(ss->stream, true);
}
