#include <stdlib.h>
#include <string.h>

#include "backendd/context.h"
#include "backendd/search_cmd.h"
#include "backendd/search_progress.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/search.h"
#include "imap/seqset.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	ROOM = 32 * 1024
};

bool
search_cmd_refused(struct session *ss, const struct search *s,
    enum search_numbers numbers, const char *why, bool badcharset)
{
	unsigned enabled = session_enabled(ss);

	if (why != NULL && badcharset) {
		if (s->returns & SEARCH_RETURN_SAVE)
			session_forget_saved(ss);
		session_done(ss, SESSION_NO, SEARCH_BADCHARSET, why);
		return true;
	}
	if (why == NULL && s->charset && (enabled & ENABLED_UTF8))
		why = "UTF-8 is what all searches are in (RFC 6855)";
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return true;
	}
	if ((s->returns & SEARCH_RETURN_UPDATE) &&
	    context_tag_used(ss, session_cmd(ss)->tag)) {
		session_done(ss, SESSION_BAD, NULL, "Tag reuse");
		return true;
	}
	if ((enabled & ENABLED_UIDONLY) &&
	    (numbers == SEARCH_BY_NUMBER || s->numbers)) {
		session_bad_numbers(ss);
		return true;
	}
	return false;
}

/* --- the search under way ----------------------------------------------------- */

struct watching {
	struct session *ss;
	struct search_run *run;
	struct search_progress *progress;
	search_found_cb *found;
	void (*done)(void *arg, bool good);
	void *arg;
};

static void
count(void *arg, uint32_t *done, uint32_t *total)
{
	struct watching *w = arg;

	search_run_progress(w->run, done, total);
}

static bool
on_gone(void *arg)
{
	struct watching *w = arg;

	return session_dead(w->ss);
}

static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct watching *w = arg;

	w->found(w->arg, facts, headers);
}

static void
on_done(void *arg, bool good)
{
	struct watching *w = arg;

	search_progress_free(&w->progress);
	w->done(w->arg, good);
}

void
search_cmd_damaged(struct session *ss)
{
	session_done(ss, SESSION_NO, "CORRUPTION",
	    "The mailbox is damaged; it is being repaired");
}

void
search_cmd_run(struct session *ss, struct search *s,
    const struct search_ask *asked)
{
	struct watching *w = arena_alloc(session_cmd(ss)->arena, sizeof(*w));
	const struct view *v = session_view(ss);
	struct search_ask ask = *asked;

	*w = (struct watching){ .ss = ss,
		.found = ask.found,
		.done = ask.done,
		.arg = ask.arg };
	ask.bd = session_server(ss);
	ask.view = v;
	ask.search = s;
	ask.found = on_found;
	ask.gone = on_gone;
	ask.done = on_done;
	ask.arg = w;
	search_bind(s, session_cmd(ss)->arena, view_count(v), view_last_uid(v),
	    session_saved(ss));
	w->progress = search_progress_new(ss, count, w);
	w->run = search_run_new(&ask);
}

/* --- the response ------------------------------------------------------------- */

struct sending {
	struct buf *out;
	session_cb *cb;
	void *arg;
};

static void
send_more(struct session *ss, void *arg)
{
	struct sending *re = arg;
	size_t n = buf_len(re->out), room = session_room(ss);

	if (n > room)
		n = room;
	buf_put(session_out(ss), buf_data(re->out), n);
	buf_drop(re->out, n);
	session_flush(ss);
	if (buf_len(re->out) > 0) {
		session_wait_room(ss, ROOM, send_more, re);
		return;
	}
	buf_fini(re->out);
	re->cb(ss, re->arg);
}

void
search_cmd_send(struct session *ss, struct buf *out, session_cb *cb, void *arg)
{
	struct sending *re = arena_alloc(session_cmd(ss)->arena, sizeof(*re));

	MUST(!buf_failed(out));
	*re = (struct sending){ out, cb, arg };
	send_more(ss, re);
}

struct replying {
	enum session_result result;
	const char *code, *text;
};

static void
reply(struct session *ss, void *arg)
{
	const struct replying *re = arg;

	session_done(ss, re->result, re->code, re->text);
}

void
search_cmd_reply(struct session *ss, struct buf *out,
    enum session_result result, const char *code, const char *text)
{
	struct replying *re = arena_alloc(session_cmd(ss)->arena, sizeof(*re));

	*re = (struct replying){ result, code, text };
	search_cmd_send(ss, out, reply, re);
}

void
search_cmd_noupdate(struct session *ss, struct buf *out)
{
	struct write w;

	write_init(&w, out, WRITE_SERVER);
	write_status(&w, slice_of(NULL, 0), WRITE_NO);
	write_code_open(&w, RESPCODE_NOUPDATE);
	write_sp(&w);
	write_string(&w, session_cmd(ss)->tag);
	write_code_close(&w);
	write_text(&w, "Too many contexts");
	write_end(&w);
}
