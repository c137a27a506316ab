#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/mupdate.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/front_state.h"
#include "proxyd/mirror.h"

#define FRONT_MAGIC 0x6d66726eu

enum {
	RETRY_LEAST_MS = 200,
	RETRY_MOST_MS = 5 * 1000,
	STEADY_MS = 2 * 1000, /* of streaming, and the server is well again */
	WAITS_MAX = 100000
};

/* One that asked; those with a noop wait for that one's OK. */
struct front_wait {
	TAILQ_ENTRY(front_wait) entry;
	struct front *front;
	unsigned noop;   /* 0: none sent yet */
	struct task *no; /* wanted: it cannot be known */
	front_cb *cb;
	void *arg;
};

struct front *
front_of(void *arg)
{
	struct front *f = arg;

	MUST(f->magic == FRONT_MAGIC);
	return f;
}

static int64_t
timeout_of(const struct front *f)
{
	return (int64_t)f->use.conf->mupdate_ms;
}

/* --- the barrier ---------------------------------------------------------- */

void
front_cancel(struct front_wait **wp)
{
	struct front_wait *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	TAILQ_REMOVE(&w->front->waits, w, entry);
	w->front->nwaits--;
	task_free(&w->no);
	free(w);
}

static void
answer(struct front_wait *w, bool current)
{
	front_cb *cb = w->cb;
	void *arg = w->arg;

	if (!current)
		w->front->barrier_noes++;
	front_cancel(&w);
	cb(arg, current);
}

/* Those whose NOOP it is; 0: all. */
static void
answer_all(struct front *f, unsigned noop, bool current)
{
	struct front_wait *w, *next;

	TAILQ_FOREACH_SAFE (w, &f->waits, entry, next)
		if (noop == 0 || w->noop == noop)
			answer(w, current);
}

/* FRONT:barrier, in t/model/murder.pml. */
void
front_send_noop(struct front *f)
{
	struct front_wait *w;
	char tag[16];

	if (f->noop_out != 0 || f->state != FRONT_STREAMING)
		return;
	if (++f->noop == 0)
		f->noop = 1;
	f->noop_out = f->noop;
	snprintf(tag, sizeof(tag), "N%u", f->noop);
	mupdate_put_command(stream_out(f->stream), tag, MUPDATE_CMD_NOOP, NULL,
	    0);
	TAILQ_FOREACH (w, &f->waits, entry)
		w->noop = f->noop;
	stream_flush(f->stream);
	timer_set(f->timer, timeout_of(f));
}

void
front_noop_answered(struct front *f)
{
	unsigned noop = f->noop_out;
	struct err err;

	if (mirror_settle(f->mirror, &err) == -1) {
		front_fail_mirror(f, &err);
		return;
	}
	f->noop_ok = mirror_busy(f->mirror);
	if (f->noop_ok)
		return;
	f->noop_out = 0;
	front_is_current(f);
	answer_all(f, noop, true);
	if (!TAILQ_EMPTY(&f->waits))
		front_send_noop(f);
}

static void
on_no(void *arg)
{
	answer(arg, false);
}

struct front_wait *
front_sync(struct front *f, front_cb *cb, void *arg)
{
	struct front_wait *w = xcalloc(1, sizeof(*w));

	w->front = f;
	w->cb = cb;
	w->arg = arg;
	w->no = task_new(f->use.loop, on_no, w);
	TAILQ_INSERT_TAIL(&f->waits, w, entry);
	f->barriers++;
	if (++f->nwaits > WAITS_MAX || f->state == FRONT_RESTING)
		task_want(w->no);
	else
		front_send_noop(f);
	return w;
}

/* --- states --------------------------------------------------------------- */

/* Opened anew it is as of a commit. */
static void
give_up_mirror(struct front *f, const struct err *err)
{
	log_err(f->use.log, "mailbox list cannot be used", "why", err->text,
	    NULL);
	mirror_close(&f->mirror);
}

void
front_fail(struct front *f, const char *why)
{
	/* An attempt that fails as the one before did is no news. */
	if (f->state != FRONT_CONNECTING || strcmp(why, f->why) != 0)
		log_warn(f->use.log, "update server lost", "server",
		    f->use.conf->mupdate_server, "why", why, NULL);
	if (f->state != FRONT_CONNECTING)
		f->losses++;
	snprintf(f->why, sizeof(f->why), "%s", why);
	front_enter(f, FRONT_RESTING);
}

void
front_fail_mirror(struct front *f, const struct err *err)
{
	give_up_mirror(f, err);
	front_fail(f, err->text);
}

static void
on_timer(void *arg)
{
	struct front *f = front_of(arg);

	switch (f->state) {
	case FRONT_RESTING:
		front_enter(f, FRONT_CONNECTING);
		return;
	case FRONT_CONNECTING:
		break;
	case FRONT_LOADING:
		if (!front_feed_comes_on(f))
			break;
		timer_set(f->timer, timeout_of(f));
		return;
	case FRONT_STREAMING:
		/* While the mirror is busy we do not look what has come. */
		if (f->noop_out != 0 && !mirror_busy(f->mirror))
			break;
		front_send_noop(f);
		timer_set(f->timer, timeout_of(f));
		return;
	}
	front_fail(f, "no answer in time");
}

static int
open_mirror(struct front *f, struct err *err)
{
	const struct proxyd_conf *conf = f->use.conf;
	struct mirror_status st;
	char dir[1024];

	snprintf(dir, sizeof(dir), "%s/" PROXYD_LIST, conf->directory);
	if (mirror_open(&f->mirror, dir, (unsigned)conf->list_shards,
	        (unsigned)conf->list_shrink, err) == -1)
		return -1;
	mirror_status(f->mirror, &st);
	f->current.ms = (int64_t)st.written * 1000;
	return 0;
}

static void
connect_now(struct front *f)
{
	struct err err;

	if (f->mirror != NULL || open_mirror(f, &err) == 0) {
		timer_set(f->timer, 2 * timeout_of(f));
		front_dial(f);
		return;
	}
	front_fail(f, err.text);
}

/*
 * Random, so that frontends do not all come back together.  A server that
 * sends lists and then goes must not be asked for one after another: the time
 * is back at its least only when the stream has lasted.
 */
static void
rest(struct front *f, bool was_steady)
{
	struct err err;

	front_hang_up(f);
	f->noop_out = 0;
	f->noop_ok = false;
	if (f->mirror != NULL && mirror_cut(f->mirror, &err) == -1)
		give_up_mirror(f, &err);
	if (was_steady)
		f->retry_ms = RETRY_LEAST_MS;
	timer_set(f->timer,
	    f->retry_ms / 2 + (int64_t)rand_below((uint64_t)f->retry_ms));
	f->retry_ms *= 2;
	if (f->retry_ms > RETRY_MOST_MS)
		f->retry_ms = RETRY_MOST_MS;
	front_look(f);
	answer_all(f, 0, false);
}

void
front_enter(struct front *f, enum front_state state)
{
	int64_t now = loop_now(f->use.loop).ms;
	bool was_steady =
	    f->state == FRONT_STREAMING && now - f->since.ms >= STEADY_MS;

	f->state = state;
	f->since.ms = now;
	switch (state) {
	case FRONT_RESTING:
		rest(f, was_steady);
		return;
	case FRONT_CONNECTING:
		connect_now(f);
		return;
	case FRONT_LOADING:
		f->octets = 0;
		timer_set(f->timer, timeout_of(f));
		return;
	case FRONT_STREAMING:
		timer_set(f->timer, timeout_of(f));
		if (!TAILQ_EMPTY(&f->waits))
			front_send_noop(f);
		return;
	}
}

/* --- life ----------------------------------------------------------------- */

struct front *
front_new(const struct front_setup *s, struct err *err)
{
	struct front *f = xcalloc(1, sizeof(*f));

	f->magic = FRONT_MAGIC;
	f->use = *s;
	f->retry_ms = RETRY_LEAST_MS;
	TAILQ_INIT(&f->waits);
	if (open_mirror(f, err) == -1) {
		tls_free(&f->use.tls);
		free(f);
		return NULL;
	}
	f->timer = timer_new(s->loop, on_timer, f);
	front_report_init(f);
	front_enter(f, FRONT_CONNECTING);
	return f;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_server(const struct proxyd_conf *a, const struct proxyd_conf *b)
{
	return same_text(a->mupdate_server, b->mupdate_server) &&
	       same_text(a->mupdate_user, b->mupdate_user) &&
	       same_text(a->mupdate_password, b->mupdate_password) &&
	       a->mupdate_tls == b->mupdate_tls;
}

void
front_reload(struct front *f, const struct proxyd_conf *conf, struct tls *tls)
{
	bool same = same_server(f->use.conf, conf);

	f->use.conf = conf;
	if (tls != NULL) {
		tls_free(&f->use.tls);
		f->use.tls = tls;
	}
	if (f->mirror != NULL)
		mirror_set_shrink(f->mirror, (unsigned)conf->list_shrink);
	if (same && f->state != FRONT_CONNECTING)
		return;
	/* A login under way borrows from the old configuration. */
	if (f->state != FRONT_RESTING)
		front_fail(f, "the configuration has changed");
	front_enter(f, FRONT_CONNECTING);
}
