/*
 * dial: lib/dial.h and lib/listen.h between the simulator's hosts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/dial.h"
#include "lib/list.h"
#include "lib/listen.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/loop.h"
#include "t/sim/net.h"

enum {
	BACKLOG = 128
};

/* A port that is bound; connections wait until somebody accepts. */
struct bound {
	LIST_ENTRY(bound) link;
	struct proc *proc;
	unsigned port;
	int fd;
	struct listen *listen; /* NULL: nobody accepts yet */
	int waiting[BACKLOG];
	size_t nwaiting;
};

static LIST_HEAD(, bound) all = LIST_HEAD_INITIALIZER(all);

struct listen {
	struct bound *bound;
	struct ready ready;
	bool paused;
	listen_cb *cb;
	void *arg;
};

struct dial {
	struct event event;
	struct ready ready;
	struct proc *proc;
	unsigned host, port;
	int64_t deadline, pause;
	int fd;
	const char *why;
	dial_cb *cb;
	void *arg;
};

/* --- listening ------------------------------------------------------------- */

int
listener_new(struct proc *p, unsigned port)
{
	struct proc *was = proc_leave();
	struct bound *b = xcalloc(1, sizeof(*b));

	b->proc = p;
	b->port = port;
	b->fd = fd_new(FD_LISTEN, b);
	LIST_INSERT_HEAD(&all, b, link);
	proc_return(was);
	return b->fd;
}

/* The connections that wait are the process's, and have been closed as its. */
void
listener_died(struct proc *p)
{
	struct bound *b, *next;

	for (b = LIST_FIRST(&all); b != NULL; b = next) {
		next = LIST_NEXT(b, link);
		if (b->proc == p) {
			LIST_REMOVE(b, link);
			free(b);
		}
	}
}

static void
accept_all(void *arg)
{
	struct listen *l = arg;
	struct bound *b = l->bound;

	for (size_t i = 0; i < b->nwaiting && !l->paused; i++) {
		int fd = b->waiting[0];

		b->nwaiting--;
		for (size_t k = 0; k < b->nwaiting; k++)
			b->waiting[k] = b->waiting[k + 1];
		l->cb(l->arg, fd);
	}
	if (b->nwaiting > 0 && !l->paused)
		ready_want(&l->ready);
}

struct listen *
listen_new(struct loop *loop, struct log *log, int fd, listen_cb *cb, void *arg)
{
	struct listen *l = xcalloc(1, sizeof(*l));

	(void)log;
	l->bound = fd_object(fd, FD_LISTEN);
	l->bound->listen = l;
	l->cb = cb;
	l->arg = arg;
	ready_init(&l->ready, loop, accept_all, l);
	ready_want(&l->ready);
	return l;
}

void
listen_pause(struct listen *l)
{
	l->paused = true;
}

void
listen_resume(struct listen *l)
{
	l->paused = false;
	ready_want(&l->ready);
}

void
listen_free(struct listen **lp)
{
	struct listen *l = *lp;

	if (l == NULL)
		return;
	ready_stop(&l->ready);
	l->bound->listen = NULL;
	free(l);
	*lp = NULL;
}

/* --- dialling -------------------------------------------------------------- */

static void
over(struct dial *d, int fd, const char *why)
{
	d->fd = fd;
	d->why = why;
	ready_want(&d->ready);
}

static void
tell(void *arg)
{
	struct dial *d = arg;

	d->cb(d->arg, d->fd, d->fd == -1 ? d->why : NULL);
}

static struct bound *
bound_at(unsigned host, unsigned port)
{
	struct bound *b;

	LIST_FOREACH(b, &all, link)
	if (b->proc->host == host && b->port == port)
		return b;
	return NULL;
}

static void
attempt(void *arg)
{
	struct dial *d = arg;
	struct bound *b = bound_at(d->host, d->port);
	int fds[2];

	if (net_is_parted(d->proc->host, d->host) || !net_host_is_up(d->host)) {
		if (world_now() + d->pause > d->deadline) {
			over(d, -1, "Connection timed out");
			return;
		}
		event_set(&d->event, d->pause);
		d->pause *= 2;
		return;
	}
	if (b == NULL || b->nwaiting == BACKLOG) {
		over(d, -1, "Connection refused");
		return;
	}
	net_connect(d->proc, b->proc, fds);
	b->waiting[b->nwaiting++] = fds[1];
	if (b->listen != NULL)
		ready_want(&b->listen->ready);
	over(d, fds[0], NULL);
}

struct dial *
dial_new(struct loop *l, struct jobs *jobs, const char *address,
    unsigned seconds, dial_cb *cb, void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));
	unsigned last;

	(void)jobs;
	MUST(sscanf(address, "10.0.0.%u:%u", &last, &d->port) == 2 && last > 0);
	d->host = last - 1;
	d->proc = proc_current();
	d->fd = -1;
	d->deadline = world_now() + (int64_t)seconds * SECOND;
	d->pause = SECOND;
	d->cb = cb;
	d->arg = arg;
	d->event.proc = d->proc;
	d->event.fn = attempt;
	d->event.arg = d;
	ready_init(&d->ready, l, tell, d);
	event_set(&d->event, 2 * net_delay(d->proc->host, d->host));
	return d;
}

void
dial_free(struct dial **dp)
{
	struct dial *d = *dp;

	if (d == NULL)
		return;
	if (d->ready.waits && d->fd != -1)
		side_close(fd_object(d->fd, FD_SOCKET));
	event_stop(&d->event);
	ready_stop(&d->ready);
	free(d);
	*dp = NULL;
}
