#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/front_child.h"
#include "proxyd/mirror.h"
#include "proxyd/route.h"

enum wait_state {
	WAIT_NOTHING, /* the answer is known; the call back is due */
	WAIT_TURN,    /* there were too many */
	WAIT_FRONT    /* asked front */
};

struct route_wait {
	TAILQ_ENTRY(route_wait) entry;
	struct route *route;
	uint64_t id;
	enum wait_state state;
	enum route_answer answer;
	struct buf name; /* empty: route_sync() */
	bool current;    /* what is found counts only once it is synced */
	struct timer *timer;
	route_cb *cb;
	void *arg;
};

struct route {
	struct loop *loop;
	struct log *log;
	const struct proxyd_conf *conf;
	struct treedb *list;
	struct ipc *front;
	struct buf record; /* behind the last rec given out */
	uint64_t last_id;
	TAILQ_HEAD(, route_wait) waits;
};

struct route *
route_new(struct loop *l, struct log *log, const struct proxyd_conf *conf)
{
	struct route *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	r->log = log;
	r->conf = conf;
	buf_init(&r->record, MBOXREC_ACL_MAX * 2);
	TAILQ_INIT(&r->waits);
	return r;
}

void
route_free(struct route **rp)
{
	struct route *r = *rp;
	struct route_wait *w;

	*rp = NULL;
	if (r == NULL)
		return;
	while ((w = TAILQ_FIRST(&r->waits)) != NULL)
		route_cancel(&w);
	ipc_free(&r->front);
	treedb_close(&r->list);
	buf_fini(&r->record);
	free(r);
}

void
route_reload(struct route *r, const struct proxyd_conf *conf)
{
	r->conf = conf;
}

/* front makes the files; until it has, there is no list. */
static struct treedb *
open_list(struct route *r)
{
	char dir[1024];
	struct err err;

	if (r->list != NULL)
		return r->list;
	snprintf(dir, sizeof(dir), "%s/" PROXYD_LIST, r->conf->directory);
	if (treedb_open(&r->list, dir, (unsigned)r->conf->list_shards, DB_READ,
	        &err) == -1) {
		log_warn(r->log, "mailbox list not opened", "why", err.text,
		    NULL);
		r->list = NULL;
	}
	return r->list;
}

/* Asked each time: front may have had to begin anew. */
struct treedb *
route_list(struct route *r)
{
	struct treedb *list = open_list(r);
	bool complete = false;
	struct err err;

	if (list == NULL)
		return NULL;
	if (mirror_complete(list, &complete, &err) == -1)
		log_err(r->log, "mailbox list not readable", "why", err.text,
		    NULL);
	return complete ? list : NULL;
}

enum route_answer
route_look(struct route *r, struct slice name, struct mboxrec *rec)
{
	struct treedb *list = open_list(r);
	enum route_answer answer = ROUTE_NONE;
	struct buf key;
	struct err err;
	int got;

	*rec = (struct mboxrec){ 0 };
	if (list == NULL)
		return ROUTE_UNKNOWN;
	buf_init(&key, TREEDB_KEY_MAX);
	mboxname_key(&key, name);
	buf_clear(&r->record);
	got = buf_failed(&key)
	          ? 0
	          : treedb_get(list, buf_slice(&key), &r->record, &err);
	if (got == 1 && mboxrec_parse(rec, buf_slice(&r->record), &err) == -1)
		got = -1;
	if (got == -1) {
		log_err(r->log, "mailbox list not readable", "mailbox",
		    LOG_SLICE(name), "why", err.text, NULL);
		answer = ROUTE_UNKNOWN;
	} else if (got == 1) {
		answer = rec->state == MBOXREC_RESERVED ? ROUTE_UNKNOWN
		                                        : ROUTE_FOUND;
	}
	buf_fini(&key);
	return answer;
}

static void
finish(struct route_wait *w)
{
	struct route *r = w->route;
	struct mboxrec rec = { 0 };
	enum route_answer answer = w->answer;
	route_cb *cb = w->cb;
	void *arg = w->arg;

	bool names = buf_len(&w->name) > 0;

	if (names) {
		/* A miss must be certain; found counts, current or not. */
		enum route_answer now =
		    route_look(r, buf_slice(&w->name), &rec);

		if (answer == ROUTE_FOUND ||
		    (now == ROUTE_FOUND && !w->current))
			answer = now;
	}
	route_cancel(&w);
	cb(arg, answer, names && answer == ROUTE_FOUND ? &rec : NULL);
}

static void
on_front(void *arg, const struct ipc_message *m)
{
	struct route *r = arg;
	struct route_wait *w, *next;

	if (m == NULL) {
		ipc_free(&r->front);
		TAILQ_FOREACH_SAFE (w, &r->waits, entry, next)
			if (w->state == WAIT_FRONT) {
				w->answer = ROUTE_UNKNOWN;
				w->state = WAIT_NOTHING;
				timer_set(w->timer, 0);
			}
		return;
	}
	MUST(m->type == FRONT_SYNCED && m->payload.len == 1);
	TAILQ_FOREACH (w, &r->waits, entry)
		if (w->id == m->id && w->state == WAIT_FRONT)
			break;
	if (w == NULL)
		return; /* cancelled, or it took too long */
	w->answer = m->payload.ptr[0] == 1 ? ROUTE_FOUND : ROUTE_UNKNOWN;
	finish(w);
}

void
route_neighbour(struct route *r, int fd)
{
	ipc_free(&r->front);
	r->front = ipc_new(r->loop, fd, on_front, r);
	/* A new one may have made the files anew. */
	treedb_close(&r->list);
}

static void
ask_front(struct route_wait *w)
{
	struct route *r = w->route;

	if (r->front != NULL &&
	    ipc_send(r->front, FRONT_SYNC, w->id, slice_of(NULL, 0), -1)) {
		w->state = WAIT_FRONT;
		timer_set(w->timer, (int64_t)r->conf->sync_ms);
		return;
	}
	w->answer = ROUTE_UNKNOWN;
	w->state = WAIT_NOTHING;
	timer_set(w->timer, 0);
}

static void
on_timer(void *arg)
{
	struct route_wait *w = arg;
	struct mboxrec rec;

	switch (w->state) {
	case WAIT_TURN:
		if (!w->current && route_look(w->route, buf_slice(&w->name),
		                       &rec) == ROUTE_FOUND)
			break;
		ask_front(w);
		return;
	case WAIT_FRONT:
		w->answer = ROUTE_UNKNOWN;
		break;
	case WAIT_NOTHING:
		break;
	}
	finish(w);
}

static struct route_wait *
wait_new(struct route *r, struct slice name, route_cb *cb, void *arg)
{
	struct route_wait *w = xcalloc(1, sizeof(*w));

	w->route = r;
	w->id = ++r->last_id;
	w->cb = cb;
	w->arg = arg;
	buf_init(&w->name, TREEDB_KEY_MAX);
	buf_put_slice(&w->name, name);
	w->timer = timer_new(r->loop, on_timer, w);
	TAILQ_INSERT_TAIL(&r->waits, w, entry);
	return w;
}

/*
 * A bucket that runs out and fills again, as one number (GCRA): each look-up
 * moves the time when all are paid for, and may be ahead by the burst.
 */
int64_t
route_rate_take(struct route_rate *rate, int64_t now_ms)
{
	int64_t each = 1000 / rate->per_second, wait;

	if (rate->due_ms < now_ms)
		rate->due_ms = now_ms;
	wait = rate->due_ms - now_ms - (int64_t)rate->burst * each;
	rate->due_ms += each;
	return wait < 0 ? 0 : wait;
}

static void
ask_in_turn(struct route_wait *w, struct route_rate *rate)
{
	int64_t wait = route_rate_take(rate, loop_now(w->route->loop).ms);

	if (wait > 0) {
		w->state = WAIT_TURN;
		timer_set(w->timer, wait);
	} else {
		ask_front(w);
	}
}

struct route_wait *
route_find(struct route *r, struct route_rate *rate, struct slice name,
    route_cb *cb, void *arg)
{
	struct route_wait *w = wait_new(r, name, cb, arg);
	struct mboxrec rec;

	w->answer = route_look(r, name, &rec);
	if (w->answer == ROUTE_FOUND) {
		/* It may be gone by then, and that must be certain, too. */
		w->state = WAIT_TURN;
		timer_set(w->timer, 0);
	} else {
		ask_in_turn(w, rate);
	}
	return w;
}

struct route_wait *
route_find_current(struct route *r, struct route_rate *rate, struct slice name,
    route_cb *cb, void *arg)
{
	struct route_wait *w = wait_new(r, name, cb, arg);

	w->current = true;
	ask_in_turn(w, rate);
	return w;
}

struct route_wait *
route_sync(struct route *r, route_cb *cb, void *arg)
{
	struct route_wait *w = wait_new(r, slice_of(NULL, 0), cb, arg);

	ask_front(w);
	return w;
}

void
route_cancel(struct route_wait **wp)
{
	struct route_wait *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	TAILQ_REMOVE(&w->route->waits, w, entry);
	timer_free(&w->timer);
	buf_fini(&w->name);
	free(w);
}

void
route_server(const struct mboxrec *rec, char server[MBOXREC_HOST])
{
	struct slice host = mboxrec_host(rec->location);

	/* Cut, it would be another's. */
	if (host.len >= MBOXREC_HOST)
		host.len = 0;
	snprintf(server, MBOXREC_HOST, "%.*s", (int)host.len,
	    (const char *)host.ptr);
}

/* In proportion to weight, by chance. */
static void
place_by_weight(struct route *r, char server[MBOXREC_HOST])
{
	struct proxyd_backend b;
	uint64_t total = 0, at;
	struct err err;

	server[0] = '\0';
	for (size_t i = 0; i < r->conf->backends.count; i++)
		if (proxyd_backend_parse(&b, r->conf->backends.items[i],
		        &err) == 0)
			total += b.weight;
	if (total == 0)
		return;
	at = rand_below(total);
	for (size_t i = 0; i < r->conf->backends.count; i++) {
		if (proxyd_backend_parse(&b, r->conf->backends.items[i],
		        &err) == -1)
			continue;
		if (at < b.weight) {
			snprintf(server, MBOXREC_HOST, "%s", b.name);
			return;
		}
		at -= b.weight;
	}
}

void
route_place(struct route *r, struct slice name, char server[MBOXREC_HOST])
{
	struct mboxrec rec;

	server[0] = '\0';
	if (route_list(r) == NULL)
		return;
	for (name = mboxname_parent(name); name.len > 0;
	     name = mboxname_parent(name))
		if (route_look(r, name, &rec) == ROUTE_FOUND) {
			route_server(&rec, server);
			return;
		}
	place_by_weight(r, server);
}
