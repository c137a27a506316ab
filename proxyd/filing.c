#include <stdlib.h>

#include "imap/flag.h"
#include "imap/reply.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/filing.h"
#include "proxyd/link.h"
#include "proxyd/mailer_piece.h"
#include "proxyd/worker.h"

enum {
	FILING_TURN = 64 * 1024 /* octets put at once */
};

/* It ends with its call back. */
struct filed {
	struct worker *worker;
	struct filing what;
	struct arena arena; /* of the answer */
	struct link *link;
	struct timer *timer;
	struct mailer_source source;
	bool sent; /* all of it */
	filing_cb *cb;
	void *arg;
};

static void
finish(struct filed *f, int code, const char *text)
{
	f->cb(f->arg, code, text);
	mailer_source_rewind(&f->source);
	link_free(&f->link);
	timer_free(&f->timer);
	arena_reset(&f->arena);
	free(f);
}

static void
on_timer(void *arg)
{
	finish(arg, 451, "the backend does not answer");
}

/* --- what it says ----------------------------------------------------------- */

/*
 * A mailbox that is gone, or may not be written to any more: our list may be
 * behind, so that is no refusal yet.
 */
static void
take_tagged(struct filed *f, const struct reply_head *head)
{
	struct reply_text t;

	reply_parse_text(reply_pieces(link_reply(f->link)), &t);
	if (head->status == WRITE_OK)
		finish(f, 250, "Appended");
	else
		finish(f, t.code == RESPCODE_OVERQUOTA ? 452 : 451,
		    arena_string(&f->arena, t.text));
}

static void
take_input(struct filed *f)
{
	struct reply_item item;
	enum reply_event ev;
	struct buf *in;

	for (;;) {
		in = link_in(f->link);
		ev = reply_next(link_reply(f->link), buf_data(in), buf_len(in),
		    &item);
		if (ev == REPLY_MORE)
			return;
		if (ev == REPLY_ERROR) {
			finish(f, 451, "the backend's answer is malformed");
			return;
		}
		if (ev == REPLY_HEAD)
			reply_gather(link_reply(f->link), &f->arena);
		if (ev == REPLY_DONE && item.head.kind == REPLY_TAGGED) {
			take_tagged(f, &item.head);
			return;
		}
		buf_drop(in, item.taken);
	}
}

/* --- what it is told -------------------------------------------------------- */

static void
put_octets(void *arg)
{
	struct filed *f = arg;
	struct buf *out = link_out(f->link);
	struct write w;
	struct slice s;

	while (!f->sent && buf_room(out) > 2 &&
	       mailer_source_next(&f->source, f->worker->jobs, put_octets, f,
	           &s)) {
		size_t room = buf_room(out) - 2;

		if (s.len == 0) {
			write_init(&w, out, WRITE_CLIENT);
			write_end(&w);
			f->sent = true;
			break;
		}
		room = room < FILING_TURN ? room : FILING_TURN;
		s = slice_first(s, s.len < room ? s.len : room);
		buf_put_slice(out, s);
		mailer_source_used(&f->source, s.len);
	}
	timer_set(f->timer, (int64_t)f->worker->conf->command_ms);
	link_flush(f->link);
	link_want_read(f->link, true);
}

static void
put_command(struct filed *f)
{
	struct flags flags = { 0 };
	struct write w;

	write_init(&w, link_out(f->link), WRITE_CLIENT);
	write_word(&w, "F1 APPEND ");
	write_mailbox(&w, f->what.mailbox);
	write_sp(&w);
	/* They have been looked at when the script had run. */
	if (flags_parse(&f->arena, f->what.flags, &flags) == NULL &&
	    f->what.flags.len > 0) {
		write_flags(&w, &flags);
		write_sp(&w);
	}
	write_literal_head(&w, mailer_source_octets(&f->source));
	put_octets(f);
}

static void
on_link(void *arg, struct link *k, enum link_event ev)
{
	struct filed *f = arg;

	(void)k; /* f has it */
	switch (ev) {
	case LINK_OPENED:
		put_command(f);
		break;
	case LINK_READ:
		take_input(f);
		break;
	case LINK_WRITTEN:
		put_octets(f);
		break;
	case LINK_CLOSED:
		finish(f, 451, "the backend does not answer");
		break;
	}
}

void
filing_append(struct worker *w, const struct filing *what, filing_cb *cb,
    void *arg)
{
	const struct link_user as = { .user = what->user, .sid = what->sid };
	struct filed *f = xcalloc(1, sizeof(*f));

	f->worker = w;
	f->what = *what;
	f->source =
	    (struct mailer_source){ .head = what->head, .blob = what->blob };
	arena_init(&f->arena);
	f->cb = cb;
	f->arg = arg;
	f->link = link_open(w->links, what->server, &as, on_link, f);
	f->timer = timer_new(w->loop, on_timer, f);
	timer_set(f->timer, (int64_t)w->conf->backend_ms);
}
