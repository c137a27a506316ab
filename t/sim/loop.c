#include <stdlib.h>

#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/loop.h"
#include "t/sim/net.h"
#include "t/sim/world.h"

enum {
	TURN_LEAST = 1, /* microseconds until a turn */
	TURN_MOST = 40
};

/* 2025-01-01, and then as long as the simulation lasts. */
static const int64_t wall_start_ms = 1735689600000;

struct io {
	struct ready ready;
	unsigned want;
	int fd;
	io_cb *cb;
	void *arg;
};

struct timer {
	struct event event;
	struct ready ready;
	bool set;
	timer_cb *cb;
	void *arg;
};

TAILQ_HEAD(tasks, task);

struct task {
	TAILQ_ENTRY(task) entry;
	struct tasks *list; /* it waits in, or NULL */
	struct tasks *into; /* that it waits in when wanted */
	struct loop *loop;
	task_cb *cb;
	void *arg;
};

struct waker {
	struct ready ready;
};

struct end {
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct proc *proc;
	struct event turn;
	TAILQ_HEAD(readies, ready) ready, now;
	struct tasks tasks, lasts, running;
	struct end *ends;
	size_t nends, maxends;
	int64_t us; /* as of the start of this turn */
};

/* --- a turn ---------------------------------------------------------------- */

void
loop_wake(struct loop *l)
{
	int64_t stall = l->proc->stalled - world_now();

	if (!event_is_set(&l->turn))
		event_set(&l->turn, (stall > 0 ? stall : 0) +
		                        world_between(TURN_LEAST, TURN_MOST));
}

void
ready_init(struct ready *r, struct loop *l, void (*fn)(void *arg), void *arg)
{
	*r = (struct ready){ .loop = l, .fn = fn, .arg = arg };
}

void
ready_want(struct ready *r)
{
	if (r->waits)
		return;
	r->waits = true;
	TAILQ_INSERT_TAIL(&r->loop->ready, r, link);
	loop_wake(r->loop);
}

void
ready_stop(struct ready *r)
{
	struct loop *l = r->loop;
	struct ready *other;

	if (!r->waits)
		return;
	r->waits = false;
	TAILQ_FOREACH (other, &l->ready, link)
		if (other == r)
			break;
	if (other == r)
		TAILQ_REMOVE(&l->ready, r, link);
	else
		TAILQ_REMOVE(&l->now, r, link);
}

static void
ends_run(struct loop *l)
{
	for (size_t i = 0; i < l->nends; i++) {
		struct end e = l->ends[i];

		e.fn(e.arg);
	}
	l->nends = 0;
}

/* Only those that wait now: what they ask for has a turn of its own. */
static void
tasks_run(struct loop *l, struct tasks *list)
{
	struct task *t;

	TAILQ_CONCAT(&l->running, list, entry);
	TAILQ_FOREACH (t, &l->running, entry)
		t->list = &l->running;
	while ((t = TAILQ_FIRST(&l->running)) != NULL) {
		TAILQ_REMOVE(&l->running, t, entry);
		t->list = NULL;
		t->cb(t->arg);
	}
}

static void
turn(void *arg)
{
	struct loop *l = arg;
	struct ready *r;

	l->us = world_now();
	TAILQ_CONCAT(&l->now, &l->ready, link);
	while ((r = TAILQ_FIRST(&l->now)) != NULL) {
		TAILQ_REMOVE(&l->now, r, link);
		r->waits = false;
		r->fn(r->arg);
	}
	tasks_run(l, &l->tasks);
	tasks_run(l, &l->lasts);
	ends_run(l);
	if (!TAILQ_EMPTY(&l->ready) || !TAILQ_EMPTY(&l->tasks) ||
	    !TAILQ_EMPTY(&l->lasts) || l->nends > 0)
		loop_wake(l);
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->proc = proc_current();
	MUST(l->proc != NULL);
	l->proc->loop = l;
	l->turn.proc = l->proc;
	l->turn.fn = turn;
	l->turn.arg = l;
	l->us = world_now();
	TAILQ_INIT(&l->ready);
	TAILQ_INIT(&l->now);
	TAILQ_INIT(&l->tasks);
	TAILQ_INIT(&l->lasts);
	TAILQ_INIT(&l->running);
	return l;
}

struct mono
loop_now(const struct loop *l)
{
	return (struct mono){ l->us / MS };
}

struct wall
loop_wall(const struct loop *l)
{
	return (struct wall){ wall_start_ms + l->us / MS };
}

/* Nothing takes its time here. */
uint64_t
loop_clock(void)
{
	return 0;
}

void
loop_at_end(struct loop *l, void (*fn)(void *arg), void *arg)
{
	if (l->nends == l->maxends) {
		l->maxends = l->maxends * 2 + 16;
		l->ends =
		    xreallocarray(l->ends, l->maxends, sizeof(struct end));
	}
	l->ends[l->nends++] = (struct end){ fn, arg };
	loop_wake(l);
}

/* --- descriptors ----------------------------------------------------------- */

static void
io_event(void *arg)
{
	struct io *io = arg;
	unsigned ready = net_ready(io->fd) & io->want;

	if (ready == 0)
		return;
	/* Level-triggered: what is left of it comes again, next turn. */
	ready_want(&io->ready);
	io->cb(io->arg, ready);
}

void
io_look(struct io *io)
{
	if ((net_ready(io->fd) & io->want) != 0)
		ready_want(&io->ready);
}

struct io *
io_new(struct loop *l, int fd, io_cb *cb, void *arg)
{
	struct io *io = xcalloc(1, sizeof(*io));

	io->fd = fd;
	io->cb = cb;
	io->arg = arg;
	ready_init(&io->ready, l, io_event, io);
	net_watch(fd, io);
	return io;
}

void
io_want(struct io *io, unsigned want)
{
	io->want = want;
	io_look(io);
}

void
io_free(struct io **iop)
{
	struct io *io = *iop;

	if (io == NULL)
		return;
	ready_stop(&io->ready);
	net_watch(io->fd, NULL);
	free(io);
	*iop = NULL;
}

/* --- timers ---------------------------------------------------------------- */

static void
timer_due(void *arg)
{
	struct timer *t = arg;

	ready_want(&t->ready);
}

static void
timer_event(void *arg)
{
	struct timer *t = arg;

	t->set = false;
	t->cb(t->arg);
}

struct timer *
timer_new(struct loop *l, timer_cb *cb, void *arg)
{
	struct timer *t = xcalloc(1, sizeof(*t));

	t->event.proc = l->proc;
	t->event.fn = timer_due;
	t->event.arg = t;
	t->cb = cb;
	t->arg = arg;
	ready_init(&t->ready, l, timer_event, t);
	return t;
}

/* A millisecond more than asked, as the real one. */
void
timer_set(struct timer *t, int64_t ms)
{
	ready_stop(&t->ready);
	t->set = true;
	if (ms > INT64_MAX / MS / 2)
		ms = INT64_MAX / MS / 2;
	event_set(&t->event, ms <= 0 ? 0 : (ms + 1) * MS);
}

void
timer_stop(struct timer *t)
{
	t->set = false;
	event_stop(&t->event);
	ready_stop(&t->ready);
}

bool
timer_is_set(const struct timer *t)
{
	return t->set;
}

void
timer_free(struct timer **tp)
{
	struct timer *t = *tp;

	if (t == NULL)
		return;
	timer_stop(t);
	free(t);
	*tp = NULL;
}

/* --- tasks and wakers ------------------------------------------------------ */

struct task *
task_new(struct loop *l, task_cb *cb, void *arg)
{
	struct task *t = xcalloc(1, sizeof(*t));

	t->loop = l;
	t->into = &l->tasks;
	t->cb = cb;
	t->arg = arg;
	return t;
}

struct task *
task_new_last(struct loop *l, task_cb *cb, void *arg)
{
	struct task *t = task_new(l, cb, arg);

	t->into = &l->lasts;
	return t;
}

void
task_want(struct task *t)
{
	if (t->list != NULL)
		return;
	t->list = t->into;
	TAILQ_INSERT_TAIL(t->list, t, entry);
	loop_wake(t->loop);
}

void
task_free(struct task **tp)
{
	struct task *t = *tp;

	if (t == NULL)
		return;
	if (t->list != NULL)
		TAILQ_REMOVE(t->list, t, entry);
	free(t);
	*tp = NULL;
}

struct waker *
waker_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct waker *w = xcalloc(1, sizeof(*w));

	ready_init(&w->ready, l, cb, arg);
	return w;
}

void
waker_wake(struct waker *w)
{
	ready_want(&w->ready);
}

void
waker_free(struct waker **wp)
{
	struct waker *w = *wp;

	if (w == NULL)
		return;
	ready_stop(&w->ready);
	free(w);
	*wp = NULL;
}
