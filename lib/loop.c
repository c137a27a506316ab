#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <ev.h>

#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

struct io {
	struct ev_io ev; /* first: cast back; its data is the loop; may watch
	                    for reading though nobody wants it now */
	unsigned want;
	io_cb *cb;
	void *arg;
};

struct timer {
	struct ev_timer ev;
	struct loop *loop;
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

struct signal {
	struct ev_signal ev;
	SLIST_ENTRY(signal) entry;
	signal_cb *cb;
	void *arg;
};

struct waker {
	struct ev_async ev;
	struct loop *loop;
	void (*cb)(void *arg);
	void *arg;
};

struct end {
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct ev_loop *ev;
	struct ev_prepare before; /* before waiting */
	struct ev_check first;    /* first thing after it */
	struct ev_check last;     /* behind all events */
	struct ev_idle spin;      /* active: do not wait, there are tasks */
	struct tasks tasks, lasts, running;
	SLIST_HEAD(, signal) signals;
	struct end *ends;
	size_t nends, maxends;
	struct mono mono;
	struct wall wall;
	bool runs;
};

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	MUST(clock_gettime(id, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int64_t
clock_ms(clockid_t id)
{
	return (int64_t)(clock_ns(id) / 1000000);
}

static void
clock_read(struct loop *l)
{
	l->mono.ms = clock_ms(CLOCK_MONOTONIC);
	l->wall.ms = clock_ms(CLOCK_REALTIME);
}

/* An end may free something else, which adds an end. */
static void
ends_run(struct loop *l)
{
	struct end e;

	for (size_t i = 0; i < l->nends; i++) {
		e = l->ends[i];
		e.fn(e.arg);
	}
	l->nends = 0;
}

/* Only those that wait now: what they ask for has a turn of its own. */
static void
list_run(struct loop *l, struct tasks *list)
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
tasks_run(struct loop *l)
{
	list_run(l, &l->tasks);
	list_run(l, &l->lasts);
	if (TAILQ_EMPTY(&l->tasks) && TAILQ_EMPTY(&l->lasts))
		ev_idle_stop(l->ev, &l->spin);
}

static void
before_event(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
	(void)ev, (void)revents;
	ends_run(w->data);
}

static void
first_event(struct ev_loop *ev, struct ev_check *w, int revents)
{
	(void)ev, (void)revents;
	clock_read(w->data);
}

static void
last_event(struct ev_loop *ev, struct ev_check *w, int revents)
{
	(void)ev, (void)revents;
	tasks_run(w->data);
	ends_run(w->data);
}

static void
spin_event(struct ev_loop *ev, struct ev_idle *w, int revents)
{
	(void)ev, (void)w, (void)revents;
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	MUST(l->ev != NULL);
	/* A peer that has gone is an error of the write, in TLS too. */
	signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&l->tasks);
	TAILQ_INIT(&l->lasts);
	TAILQ_INIT(&l->running);
	SLIST_INIT(&l->signals);
	clock_read(l);
	ev_prepare_init(&l->before, before_event);
	l->before.data = l;
	ev_prepare_start(l->ev, &l->before);
	ev_check_init(&l->first, first_event);
	ev_set_priority(&l->first, EV_MAXPRI);
	l->first.data = l;
	ev_check_start(l->ev, &l->first);
	ev_check_init(&l->last, last_event);
	ev_set_priority(&l->last, EV_MINPRI);
	l->last.data = l;
	ev_check_start(l->ev, &l->last);
	ev_idle_init(&l->spin, spin_event);
	return l;
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;
	struct signal *s;

	if (l == NULL)
		return;
	MUST(!l->runs);
	ends_run(l);
	while ((s = SLIST_FIRST(&l->signals)) != NULL) {
		SLIST_REMOVE_HEAD(&l->signals, entry);
		ev_signal_stop(l->ev, &s->ev);
		free(s);
	}
	ev_loop_destroy(l->ev);
	free(l->ends);
	free(l);
	*lp = NULL;
}

void
loop_run(struct loop *l)
{
	MUST(!l->runs);
	l->runs = true;
	ev_run(l->ev, 0);
	l->runs = false;
	ends_run(l);
}

void
loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

struct mono
loop_now(const struct loop *l)
{
	return l->mono;
}

struct wall
loop_wall(const struct loop *l)
{
	return l->wall;
}

uint64_t
loop_clock(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

void
loop_at_end(struct loop *l, void (*fn)(void *arg), void *arg)
{
	if (l->nends == l->maxends) {
		l->maxends = l->maxends == 0 ? 16 : l->maxends * 2;
		l->ends =
		    xreallocarray(l->ends, l->maxends, sizeof(struct end));
	}
	l->ends[l->nends++] = (struct end){ fn, arg };
}

static struct loop *
loop_of(const struct io *io)
{
	return io->ev.data;
}

static void
io_watch(struct io *io, unsigned want)
{
	int events = 0;

	if (want & IO_READ)
		events |= EV_READ;
	if (want & IO_WRITE)
		events |= EV_WRITE;
	if ((io->ev.events & (EV_READ | EV_WRITE)) == events &&
	    ev_is_active(&io->ev) == (events != 0))
		return;
	ev_io_stop(loop_of(io)->ev, &io->ev);
	ev_io_modify(&io->ev, events);
	if (events != 0)
		ev_io_start(loop_of(io)->ev, &io->ev);
}

static void
io_event(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct io *io = (struct io *)w; /* its first member */
	unsigned ready = 0;

	(void)ev;
	if (revents & EV_READ)
		ready |= IO_READ;
	if (revents & EV_WRITE)
		ready |= IO_WRITE;
	if (ready == 0) { /* libev stops a watcher whose descriptor is bad */
		io->cb(io->arg, IO_READ | IO_WRITE);
		return;
	}
	if (ready & ~io->want)
		io_watch(io, io->want);
	ready &= io->want;
	if (ready != 0)
		io->cb(io->arg, ready);
}

struct io *
io_new(struct loop *l, int fd, io_cb *cb, void *arg)
{
	struct io *io = xcalloc(1, sizeof(*io));

	MUST(fd >= 0);
	io->cb = cb;
	io->arg = arg;
	ev_io_init(&io->ev, io_event, fd, 0);
	io->ev.data = l;
	return io;
}

/*
 * Who does not want to read now mostly does again before anything comes, as a
 * session does while a command runs.  So the watcher stays until something
 * does come, which saves a system call a command.
 */
void
io_want(struct io *io, unsigned want)
{
	bool reading = ev_is_active(&io->ev) && (io->ev.events & EV_READ) != 0;

	io->want = want;
	io_watch(io, reading ? want | IO_READ : want);
}

void
io_free(struct io **iop)
{
	struct io *io = *iop;

	if (io == NULL)
		return;
	ev_io_stop(loop_of(io)->ev, &io->ev); /* a pending event goes too */
	free(io);
	*iop = NULL;
}

static void
timer_event(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct timer *t = w->data;

	(void)ev, (void)revents;
	t->cb(t->arg);
}

struct timer *
timer_new(struct loop *l, timer_cb *cb, void *arg)
{
	struct timer *t = xcalloc(1, sizeof(*t));

	t->loop = l;
	t->cb = cb;
	t->arg = arg;
	ev_timer_init(&t->ev, timer_event, 0., 0.);
	t->ev.data = t;
	return t;
}

/*
 * A millisecond more than asked: libev's clock has fractions and loop_now()
 * has not, and a deadline must have been reached when its timer goes off.
 */
void
timer_set(struct timer *t, int64_t ms)
{
	ev_timer_stop(t->loop->ev, &t->ev);
	if (!t->loop->runs)
		ev_now_update(t->loop->ev);
	ev_timer_set(&t->ev, ms <= 0 ? 0. : ((double)ms + 1) / 1000., 0.);
	ev_timer_start(t->loop->ev, &t->ev);
}

void
timer_stop(struct timer *t)
{
	ev_timer_stop(t->loop->ev, &t->ev);
}

bool
timer_is_set(const struct timer *t)
{
	/* ev_is_active() casts const away. */
	return t->ev.active != 0;
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
	ev_idle_start(t->loop->ev, &t->loop->spin);
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

static void
signal_event(struct ev_loop *ev, struct ev_signal *w, int revents)
{
	struct signal *s = w->data;

	(void)ev, (void)revents;
	s->cb(s->arg, w->signum);
}

void
loop_signal(struct loop *l, int signo, signal_cb *cb, void *arg)
{
	struct signal *s = xcalloc(1, sizeof(*s));

	s->cb = cb;
	s->arg = arg;
	ev_signal_init(&s->ev, signal_event, signo);
	s->ev.data = s;
	ev_signal_start(l->ev, &s->ev);
	SLIST_INSERT_HEAD(&l->signals, s, entry);
}

static void
waker_event(struct ev_loop *ev, struct ev_async *w, int revents)
{
	struct waker *wk = w->data;

	(void)ev, (void)revents;
	wk->cb(wk->arg);
}

struct waker *
waker_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct waker *w = xcalloc(1, sizeof(*w));

	w->loop = l;
	w->cb = cb;
	w->arg = arg;
	ev_async_init(&w->ev, waker_event);
	w->ev.data = w;
	ev_async_start(l->ev, &w->ev);
	return w;
}

void
waker_wake(struct waker *w)
{
	ev_async_send(w->loop->ev, &w->ev);
}

void
waker_free(struct waker **wp)
{
	struct waker *w = *wp;

	if (w == NULL)
		return;
	ev_async_stop(w->loop->ev, &w->ev);
	free(w);
	*wp = NULL;
}
