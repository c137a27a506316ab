#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/mboxrec.h"
#include "imap/reply.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/link.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

enum {
	CALLS_MAX = 10000, /* waiting for one backend */
	WAITING_OCTETS = 64 * 1024 * 1024,
	IDLE_MS = 60 * 1000
};

struct xcall {
	TAILQ_ENTRY(xcall) entry;
	xcall_data *data;
	xcall_done *done; /* NULL: cancelled */
	void *arg;
	unsigned number; /* of its tag, once sent */
};

/* One backend. */
struct peer {
	TAILQ_ENTRY(peer) entry;
	struct xmurder *x;
	char server[MBOXREC_HOST];
	struct link *link;
	struct timer *timer; /* of an answer, or of idling */
	struct task *task;   /* to tell those who asked a foreign server */
	bool foreign;        /* it is connected, and knows no XMURDER */
	struct arena arena;  /* of the response being gathered */
	struct buf waiting;  /* commands not yet sent */
	TAILQ_HEAD(, xcall) calls;
	size_t ncalls;
	unsigned number;
};

struct xmurder {
	struct worker *worker;
	TAILQ_HEAD(, peer) peers;
};

struct xmurder *
xmurder_new(struct worker *w)
{
	struct xmurder *x = xcalloc(1, sizeof(*x));

	x->worker = w;
	TAILQ_INIT(&x->peers);
	return x;
}

static void
finish_call(struct peer *p, const struct xanswer *a)
{
	struct xcall *c = TAILQ_FIRST(&p->calls);
	xcall_done *done = c->done;
	void *arg = c->arg;

	TAILQ_REMOVE(&p->calls, c, entry);
	p->ncalls--;
	free(c);
	if (done != NULL)
		done(arg, a);
}

/* All that wait now; calls made meanwhile wait anew. */
static void
finish_all(struct peer *p, const struct xanswer *a)
{
	buf_fini(&p->waiting);
	for (size_t n = p->ncalls; n > 0; n--)
		finish_call(p, a);
}

static void
lose(struct peer *p)
{
	const struct xanswer lost = { .lost = true, .status = WRITE_NO };

	p->foreign = false;
	link_free(&p->link);
	timer_stop(p->timer);
	finish_all(p, &lost);
}

/* Its connection is kept for a while, so that it is not asked each time. */
static void
tell_foreign(void *arg)
{
	const struct xanswer foreign = { .foreign = true, .status = WRITE_NO };
	struct peer *p = arg;

	if (!p->foreign)
		return; /* lost meanwhile, and all were told that */
	finish_all(p, &foreign);
}

static void
on_timer(void *arg)
{
	lose(arg);
}

/* --- answers ------------------------------------------------------------------ */

static void
take_reply(struct peer *p, const struct reply_head *head)
{
	const struct piece *pieces = reply_pieces(link_reply(p->link));
	struct xcall *c = TAILQ_FIRST(&p->calls);
	struct reply_text text;
	struct parse parse;
	char tag[16];

	if (head->kind == REPLY_DATA) {
		if (c == NULL || c->data == NULL || c->done == NULL ||
		    !slice_is_nocase(head->name, "XSCRIPT"))
			return;
		reply_parse_data(&parse, &p->arena, pieces);
		c->data(c->arg, &parse);
		return;
	}
	if (head->kind != REPLY_TAGGED)
		return;
	snprintf(tag, sizeof(tag), "X%u", c == NULL ? 0 : c->number);
	if (c == NULL || !slice_is(head->tag, tag)) {
		lose(p);
		return;
	}
	reply_parse_text(pieces, &text);
	finish_call(p, &(struct xanswer){ .status = head->status,
	                   .code = text.code,
	                   .code_name = text.code_name,
	                   .text = text.text });
}

static void
take_input(struct peer *p)
{
	struct reply_item item;
	enum reply_event ev;
	struct buf *in;

	while (p->link != NULL) {
		in = link_in(p->link);
		ev = reply_next(link_reply(p->link), buf_data(in), buf_len(in),
		    &item);
		if (ev == REPLY_MORE)
			break;
		if (ev == REPLY_ERROR) {
			lose(p);
			break;
		}
		if (ev == REPLY_HEAD)
			reply_gather(link_reply(p->link), &p->arena);
		if (ev == REPLY_DONE) {
			/* The head's slices are into the buffer. */
			take_reply(p, &item.head);
			arena_reset(&p->arena);
			if (p->link == NULL)
				break;
		}
		buf_drop(in, item.taken);
	}
}

static void
send_waiting(struct peer *p)
{
	struct buf *out = link_out(p->link);
	size_t n = buf_len(&p->waiting), room = buf_room(out);

	n = n < room ? n : room;
	buf_put(out, buf_data(&p->waiting), n);
	buf_drop(&p->waiting, n);
	buf_trim(&p->waiting);
	link_flush(p->link);
	link_want_read(p->link, true);
	timer_set(p->timer, TAILQ_EMPTY(&p->calls)
	                        ? IDLE_MS
	                        : (int64_t)p->x->worker->conf->command_ms);
}

static void
on_link(void *arg, struct link *k, enum link_event ev)
{
	struct peer *p = arg;

	if (ev == LINK_CLOSED) {
		lose(p);
		return;
	}
	if (ev == LINK_OPENED && !link_has(k, "XMURDER")) {
		p->foreign = true;
		link_want_read(k, true);
		timer_set(p->timer, IDLE_MS);
		task_want(p->task);
	}
	if (ev == LINK_READ)
		take_input(p);
	if (!p->foreign && p->link != NULL && link_is_open(p->link))
		send_waiting(p);
}

/* --- asking --------------------------------------------------------------------- */

static struct peer *
peer_get(struct xmurder *x, const char *server)
{
	struct peer *p;

	TAILQ_FOREACH (p, &x->peers, entry)
		if (strcmp(p->server, server) == 0)
			return p;
	p = xcalloc(1, sizeof(*p));
	p->x = x;
	snprintf(p->server, sizeof(p->server), "%s", server);
	TAILQ_INIT(&p->calls);
	arena_init(&p->arena);
	buf_init(&p->waiting, WAITING_OCTETS);
	p->timer = timer_new(x->worker->loop, on_timer, p);
	p->task = task_new(x->worker->loop, tell_foreign, p);
	TAILQ_INSERT_TAIL(&x->peers, p, entry);
	return p;
}

static void
put_command(struct peer *p, const char *words, const struct slice *args,
    size_t nargs)
{
	char tag[16];
	struct write w;

	snprintf(tag, sizeof(tag), "X%u", p->number);
	write_init(&w, &p->waiting, WRITE_CLIENT);
	write_word(&w, tag);
	write_sp(&w);
	write_word(&w, words);
	for (size_t i = 0; i < nargs; i++) {
		write_sp(&w);
		write_astring(&w, args[i]);
	}
	write_end(&w);
}

struct xcall *
xmurder_call(struct xmurder *x, const char *server, const char *words,
    const struct slice *args, size_t nargs, xcall_data *data, xcall_done *done,
    void *arg)
{
	const struct link_user nobody = { 0 };
	struct peer *p = peer_get(x, server);
	size_t octets = 1024;
	struct xcall *c;

	for (size_t i = 0; i < nargs; i++)
		octets += args[i].len * 2;
	if (p->ncalls >= CALLS_MAX || buf_room(&p->waiting) < octets)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->data = data;
	c->done = done;
	c->arg = arg;
	c->number = ++p->number;
	TAILQ_INSERT_TAIL(&p->calls, c, entry);
	p->ncalls++;
	put_command(p, words, args, nargs);
	if (p->foreign)
		task_want(p->task);
	else if (p->link == NULL)
		p->link =
		    link_open(x->worker->links, server, &nobody, on_link, p);
	else if (link_is_open(p->link))
		send_waiting(p);
	return c;
}

void
xcall_cancel(struct xcall **cp)
{
	struct xcall *c = *cp;

	*cp = NULL;
	if (c != NULL)
		c->done = NULL;
}
