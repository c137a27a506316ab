#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/command.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/leg.h"
#include "proxyd/link.h"
#include "proxyd/session.h"
#include "proxyd/worker.h"

enum {
	ASK_TAG_MAX = 256,
	ROOM_LEAST = 4096,     /* in the client's buffer, to go on passing */
	RELAY_MAX = 32 * 1024, /* octets of a response relayed whole */
	TURN = 256 * 1024      /* octets, then others have their turn */
};

struct ask {
	TAILQ_ENTRY(ask) entry;
	struct ask_use use;
	char tag[];
};

static void on_link(void *arg, struct link *k, enum link_event ev);

struct leg *
leg_new(struct session *ss, const char *server)
{
	size_t len = strlen(server);
	struct leg *g = xcalloc(1, sizeof(*g) + len + 1);
	const struct link_user user = { .user = ss->user,
		.sid = ss->sid,
		.address = stream_peer(ss->client) };

	g->ss = ss;
	memcpy(g->server, server, len);
	TAILQ_INIT(&g->asks);
	arena_init(&g->arena);
	g->link = link_open(ss->worker->links, server, &user, on_link, g);
	return g;
}

static void
drop_asks(struct leg *g)
{
	struct ask *a, *next;

	TAILQ_FOREACH_SAFE (a, &g->asks, entry, next)
		free(a);
	TAILQ_INIT(&g->asks);
}

static void
release(void *arg)
{
	free(arg);
}

void
leg_free(struct leg **gp)
{
	struct leg *g = *gp;
	struct loop *loop;

	*gp = NULL;
	if (g == NULL)
		return;
	loop = g->ss->worker->loop;
	drop_asks(g);
	timer_free(&g->timer);
	link_free(&g->link);
	arena_reset(&g->arena);
	if (g->ss->passing == g)
		g->ss->passing = NULL;
	g->ss = NULL;
	loop_at_end(loop, release, g);
}

/* --- the end of a leg ------------------------------------------------------ */

/*
 * The server is gone.  The command that waits for it is told so; the client is
 * in a state we cannot mend only if its mailbox was there, or half a response.
 */
static void
lost(struct leg *g, const char *why)
{
	struct session *ss = g->ss;
	bool selected = ss->selected == g, passing = g->passing;
	bool waits = g->opened != NULL || g->writable != NULL;
	void (*failed)(struct session *, struct leg *) = g->failed;
	const struct ask_answer answer = { .lost = true, .status = WRITE_NO };
	struct ask *a;

	log_info(ss->worker->log, "backend session lost", "sid", ss->sid,
	    "backend", g->server, "why", why, NULL);
	TAILQ_REMOVE(&ss->legs, g, entry);
	if (passing) {
		leg_free(&g);
		session_free(ss, CLOSE_BACKEND);
		return;
	}
	if (selected)
		ss->selected = NULL;
	g->opened = g->writable = NULL;
	for (a = TAILQ_FIRST(&g->asks); a != NULL; a = TAILQ_NEXT(a, entry))
		if (a->use.answer != NULL)
			break;
	if (a != NULL)
		a->use.answer(ss, g, &answer);
	else if (waits && failed != NULL)
		failed(ss, g);
	else if (waits)
		session_unavailable(ss,
		    "The server of this mailbox does not answer, try again "
		    "later");
	else if (ss->cmd.stream_to == g) {
		ss->cmd.stream_to = NULL;
		ss->cmd.streamed(ss);
	}
	leg_free(&g);
	if (selected)
		session_lost_selection(ss);
}

/* Octets move: the server is alive. */
static void
put_off_deadline(struct leg *g)
{
	if (!TAILQ_EMPTY(&g->asks) && !g->unhurried)
		timer_set(g->timer, (int64_t)g->ss->worker->conf->command_ms);
}

static void
on_timer(void *arg)
{
	struct leg *g = arg;

	if (buf_failed(link_out(g->link)))
		lost(g, "more was to be sent than the buffer holds");
	else if (g->wants_room)
		put_off_deadline(g); /* it is the client who does not read */
	else
		lost(g, "no answer within command_timeout");
}

/* --- responses -------------------------------------------------------------- */

static bool
is_for(const struct ask *a, struct slice tag)
{
	return a != NULL && slice_is(tag, a->tag);
}

/* Of the selected mailbox, and not asked for. */
static bool
is_news(const struct ask *a, const struct reply_head *head)
{
	if (head->kind != REPLY_DATA || !head->has_number)
		return head->kind == REPLY_DATA &&
		       (slice_is_nocase(head->name, "FLAGS") ||
		           slice_is_nocase(head->name, "VANISHED"));
	return a == NULL || a->use.policy != ASK_FETCH ||
	       !slice_is_nocase(head->name, "FETCH");
}

/* True if the response is the client's. */
static bool
is_clients(const struct leg *g, const struct ask *a,
    const struct reply_head *head)
{
	switch (head->kind) {
	case REPLY_CONTINUE:
		return false;
	case REPLY_TAGGED:
		return is_for(a, head->tag) && a->use.policy == ASK_PASS;
	case REPLY_STATUS:
		if (head->status == WRITE_BYE || head->status == WRITE_PREAUTH)
			return false;
		break;
	case REPLY_DATA:
		if (slice_is_nocase(head->name, "CAPABILITY") ||
		    slice_is_nocase(head->name, "ENABLED"))
			return false;
		break;
	}
	if (a != NULL &&
	    (a->use.policy == ASK_PASS || a->use.policy == ASK_ANSWER))
		return true;
	return g->ss->selected == g && is_news(a, head);
}

/* A tagged NO that somebody wants to see before the client. */
static bool
is_refusal(const struct ask *a, const struct reply_head *head)
{
	return a != NULL && a->use.refused != NULL &&
	       head->kind == REPLY_TAGGED && head->status == WRITE_NO;
}

static void
take_head(struct leg *g, const struct reply_head *head)
{
	struct ask *a = TAILQ_FIRST(&g->asks);
	struct reply *r = link_reply(g->link);
	bool held = is_refusal(a, head);

	g->relaying = !held && is_clients(g, a, head);
	g->gathering = false;
	if (g->relaying && a != NULL && a->use.policy == ASK_PASS) {
		g->relaying = false;
		g->passing = true;
		g->ss->passing = g;
		reply_pass(r);
	} else if (!g->relaying && head->kind == REPLY_DATA &&
	           (a == NULL || a->use.data == NULL)) {
		reply_drop(r);
	} else {
		g->gathering = true;
		reply_gather(r, &g->arena);
	}
}

/* False if it is too long.  There is room: see may_step(). */
static bool
relay(struct leg *g, const struct piece *pieces)
{
	struct write w = session_write(g->ss);
	uint64_t octets = 0;

	for (const struct piece *p = pieces; p != NULL; p = p->next)
		octets += p->octets.len + 32;
	if (octets > RELAY_MAX)
		return false;
	for (const struct piece *p = pieces; p != NULL; p = p->next)
		if (p->kind == PIECE_TEXT)
			write_octets(&w, p->octets);
		else if (p->binary)
			write_literal8(&w, p->octets);
		else
			write_literal(&w, p->octets);
	write_end(&w);
	return true;
}

static void
take_tagged(struct leg *g, const struct reply_head *head,
    const struct piece *pieces)
{
	struct ask *a = TAILQ_FIRST(&g->asks);
	struct ask_answer answer = { .status = head->status };
	struct reply_text text;
	bool kept = false;
	struct ask_use use;

	/* A response that was passed was for it: see is_clients(). */
	if (pieces != NULL && !is_for(a, head->tag)) {
		lost(g, "an answer to nothing we asked");
		return;
	}
	if (pieces != NULL) {
		reply_parse_text(pieces, &text);
		answer.text = &text;
	}
	if (pieces != NULL && is_refusal(a, head)) {
		kept = a->use.refused(g->ss, g, &text);
		if (!kept && !relay(g, pieces)) {
			lost(g, "a refusal is too long to be relayed");
			return;
		}
		answer.text = NULL;
	}
	use = a->use;
	TAILQ_REMOVE(&g->asks, a, entry);
	free(a);
	if (TAILQ_EMPTY(&g->asks))
		timer_stop(g->timer);
	if (use.answer != NULL && !kept)
		use.answer(g->ss, g, &answer);
}

/* Once for an ask, whatever the server thinks of it. */
static void
take_go_ahead(struct leg *g, struct ask *a)
{
	void (*go_ahead)(struct session *, struct leg *);

	if (a == NULL || a->use.go_ahead == NULL)
		return;
	go_ahead = a->use.go_ahead;
	a->use.go_ahead = NULL;
	go_ahead(g->ss, g);
}

static void
take_done(struct leg *g, const struct reply_head *head, bool passed)
{
	struct ask *a = TAILQ_FIRST(&g->asks);
	const struct piece *pieces =
	    g->gathering ? reply_pieces(link_reply(g->link)) : NULL;

	if (g->relaying && pieces != NULL && !relay(g, pieces)) {
		lost(g, "a response is too long to be relayed");
		return;
	}
	switch (head->kind) {
	case REPLY_TAGGED:
		take_tagged(g, head, pieces);
		break;
	case REPLY_CONTINUE:
		take_go_ahead(g, a);
		break;
	case REPLY_STATUS:
		if (!passed && head->status == WRITE_BYE)
			lost(g, "the backend says BYE");
		break;
	case REPLY_DATA:
		if (!passed && !g->relaying && pieces != NULL && a != NULL &&
		    a->use.data != NULL)
			a->use.data(g->ss, g, head, pieces);
		break;
	}
}

static void
end_passing(struct leg *g)
{
	g->passing = false;
	g->ss->passing = NULL;
	session_soon(g->ss); /* for those who waited */
}

/* Has the client room, and is nobody else in the midst of a response to it? */
static bool
may_step(struct leg *g)
{
	size_t room = buf_room(stream_out(g->ss->client));

	if (g->passing)
		return room >= ROOM_LEAST;
	return g->ss->passing == NULL && room >= 2 * RELAY_MAX;
}

/* One event of the reply parser; false if there is none or the leg is gone. */
static bool
step(struct leg *g)
{
	struct buf *in = link_in(g->link), *out = stream_out(g->ss->client);
	size_t room = buf_room(out), n = buf_len(in);
	struct reply_item item;
	bool passed;

	if (!may_step(g)) {
		g->wants_room = true;
		return false;
	}
	switch (reply_next(link_reply(g->link), buf_data(in),
	    n < room || !g->passing ? n : room, &item)) {
	case REPLY_MORE:
		return false;
	case REPLY_ERROR:
		lost(g, reply_error(link_reply(g->link)));
		return false;
	case REPLY_HEAD:
		take_head(g, &item.head);
		return true;
	case REPLY_GATHERED:
		buf_drop(in, item.taken);
		return true;
	case REPLY_OCTETS:
		buf_put_slice(out, item.octets);
		buf_drop(in, item.taken);
		return true;
	case REPLY_DONE:
		buf_drop(in, item.taken);
		passed = g->passing;
		if (passed)
			end_passing(g);
		take_done(g, &item.head, passed);
		if (g->ss != NULL)
			arena_reset(&g->arena);
		return g->ss != NULL;
	}
	return false;
}

void
leg_advance(struct leg *g)
{
	struct session *ss = g->ss;
	size_t start, len;

	if (!link_is_open(g->link))
		return;
	g->wants_room = false;
	start = buf_len(link_in(g->link));
	while (step(g)) {
		len = buf_len(link_in(g->link));
		if (start - len > TURN)
			break;
	}
	if (g->ss == NULL)
		return; /* lost, and the session perhaps with it */
	session_flush(ss);
	link_want_read(g->link, !g->wants_room);
}

static void
on_link(void *arg, struct link *k, enum link_event ev)
{
	struct leg *g = arg;
	struct session *ss = g->ss;
	void (*opened)(struct session *, struct leg *);

	switch (ev) {
	case LINK_OPENED:
		if (ss->condstore)
			leg_ask_text(g, "ENABLE CONDSTORE",
			    &(struct ask_use){ .policy = ASK_DROP });
		opened = g->opened;
		g->opened = NULL;
		if (opened != NULL)
			opened(ss, g);
		break;
	case LINK_READ:
		put_off_deadline(g);
		break;
	case LINK_WRITTEN:
		put_off_deadline(g);
		if (g->writable != NULL)
			leg_when_room(g, g->room, g->writable);
		break;
	case LINK_CLOSED:
		lost(g, link_why(k));
		return;
	}
	if (g->ss == NULL)
		return;
	leg_advance(g);
	if (g->ss != NULL)
		session_advance(ss);
}

/* --- asking ----------------------------------------------------------------- */

void
leg_when_open(struct leg *g, void (*cb)(struct session *ss, struct leg *g))
{
	if (link_is_open(g->link)) {
		cb(g->ss, g);
		return;
	}
	MUST(g->opened == NULL);
	g->opened = cb;
	g->failed = NULL;
}

void
leg_try_open(struct leg *g, void (*cb)(struct session *ss, struct leg *g),
    void (*failed)(struct session *ss, struct leg *g))
{
	leg_when_open(g, cb);
	if (g->opened != NULL)
		g->failed = failed;
}

void
leg_when_room(struct leg *g, size_t n,
    void (*cb)(struct session *ss, struct leg *g))
{
	bool fits = buf_room(link_out(g->link)) >= n;

	g->room = n;
	g->writable = fits ? NULL : cb;
	if (fits)
		cb(g->ss, g);
}

struct write
leg_ask(struct leg *g, struct slice tag, const struct ask_use *use)
{
	struct ask *a = xcalloc(1, sizeof(*a) + ASK_TAG_MAX);
	struct worker *worker = g->ss->worker;
	struct write w;

	a->use = *use;
	if (tag.len == 0 || tag.len >= ASK_TAG_MAX)
		snprintf(a->tag, ASK_TAG_MAX, "P%u", ++g->last_tag);
	else
		snprintf(a->tag, ASK_TAG_MAX, "%.*s", (int)tag.len,
		    (const char *)tag.ptr);
	TAILQ_INSERT_TAIL(&g->asks, a, entry);
	if (g->timer == NULL)
		g->timer = timer_new(worker->loop, on_timer, g);
	leg_new_deadline(g);
	write_init(&w, link_out(g->link), WRITE_CLIENT);
	write_word(&w, a->tag);
	write_sp(&w);
	return w;
}

void
leg_ask_text(struct leg *g, const char *text, const struct ask_use *use)
{
	struct write w = leg_ask(g, slice_of(NULL, 0), use);

	write_word(&w, text);
	write_end(&w);
	leg_flush(g);
}

void
leg_flush(struct leg *g)
{
	/* What did not fit is missing in the midst: that cannot be mended. */
	if (buf_failed(link_out(g->link)))
		timer_set(g->timer, 0);
	link_flush(g->link);
	link_want_read(g->link, true);
}

void
leg_new_deadline(struct leg *g)
{
	g->unhurried = false;
	put_off_deadline(g);
}

void
leg_no_deadline(struct leg *g)
{
	g->unhurried = true;
	timer_stop(g->timer);
}

void
leg_forget(struct leg *g)
{
	struct ask *a;

	g->opened = g->failed = g->writable = NULL;
	TAILQ_FOREACH (a, &g->asks, entry)
		a->use = (struct ask_use){ .policy = a->use.policy == ASK_FETCH
			                                 ? ASK_FETCH
			                                 : ASK_DROP };
}
