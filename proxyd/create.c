#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/mboxrec.h"
#include "imap/reply.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/slice.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/create.h"
#include "proxyd/link.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"

struct creation {
	struct worker *worker;
	struct arena arena;
	struct slice name, external;
	struct link *link;
	struct route_wait *wait;
	struct timer *timer;
	create_cb *cb;
	void *arg;
};

static void
finish(struct creation *c, const char *why)
{
	create_cb *cb = c->cb;
	void *arg = c->arg;

	link_free(&c->link);
	route_cancel(&c->wait);
	timer_free(&c->timer);
	cb(arg, why);
	arena_reset(&c->arena);
	free(c);
}

static void
synced(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct creation *c = arg;

	(void)rec; /* a barrier has none */
	c->wait = NULL;
	finish(c,
	    answer == ROUTE_FOUND ? NULL : "it is made, but not in the list");
}

static void
take_tagged(struct creation *c, const struct reply_head *head)
{
	struct reply_text text;

	reply_parse_text(reply_pieces(link_reply(c->link)), &text);
	if (head->status == WRITE_OK || text.code == RESPCODE_ALREADYEXISTS) {
		timer_stop(c->timer);
		c->wait = route_sync(c->worker->route, synced, c);
	} else
		finish(c, arena_string(&c->arena, text.text));
}

/* True: a tagged answer was taken, and c may be gone. */
static bool
take_one(struct creation *c, enum reply_event ev, const struct reply_item *item)
{
	if (ev == REPLY_ERROR) {
		finish(c, "the backend's answer is malformed");
		return true;
	}
	if (ev == REPLY_HEAD)
		reply_gather(link_reply(c->link), &c->arena);
	if (ev == REPLY_DONE && item->head.kind == REPLY_TAGGED) {
		take_tagged(c, &item->head);
		return true;
	}
	return false;
}

static void
take_input(struct creation *c)
{
	struct buf *in = link_in(c->link);
	struct reply_item item;
	enum reply_event ev;

	while (c->wait == NULL) {
		ev = reply_next(link_reply(c->link), buf_data(in), buf_len(in),
		    &item);
		if (ev == REPLY_MORE || take_one(c, ev, &item))
			return;
		buf_drop(in, item.taken);
	}
}

static void
on_link(void *arg, struct link *k, enum link_event ev)
{
	struct creation *c = arg;
	struct write w;

	switch (ev) {
	case LINK_OPENED:
		write_init(&w, link_out(k), WRITE_CLIENT);
		write_word(&w, "C1 CREATE ");
		write_mailbox(&w, c->external);
		write_end(&w);
		link_flush(k);
		link_want_read(k, true);
		break;
	case LINK_READ:
		take_input(c);
		break;
	case LINK_WRITTEN:
		break;
	case LINK_CLOSED:
		if (c->wait == NULL)
			finish(c, "the backend does not answer");
		break;
	}
}

static void
on_timer(void *arg)
{
	struct creation *c = arg;

	finish(c, c->link == NULL ? "no backend to place it on"
	                          : "the backend does not answer");
}

void
create_mailbox(struct worker *w, const char *user, const struct slice *name,
    const struct slice *external, const char *sid, create_cb *cb, void *arg)
{
	const struct link_user as = { .user = user, .sid = sid };
	struct creation *c = xcalloc(1, sizeof(*c));
	char server[MBOXREC_HOST];

	c->worker = w;
	arena_init(&c->arena);
	c->name = arena_copy(&c->arena, *name);
	c->external = arena_copy(&c->arena, *external);
	c->cb = cb;
	c->arg = arg;
	c->timer = timer_new(w->loop, on_timer, c);
	route_place(w->route, c->name, server);
	if (server[0] == '\0') {
		timer_set(c->timer, 0);
		return;
	}
	c->link = link_open(w->links, server, &as, on_link, c);
	timer_set(c->timer,
	    (int64_t)(w->conf->backend_ms + w->conf->command_ms));
}
