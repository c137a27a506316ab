/*
 * ipc: lib/ipc.h between processes of a simulated machine.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/front_child.h"
#include "t/sim/breaks.h"
#include "t/sim/loop.h"
#include "t/sim/net.h"

enum {
	QUEUE_MAX = 4096
};

struct message {
	STAILQ_ENTRY(message) link;
	uint32_t type;
	uint64_t id;
	size_t len;
	uint8_t octets[];
};

/* What comes to one end. */
struct pipe_end {
	LIST_ENTRY(pipe_end) link;
	struct pipe_end *other; /* NULL: it is gone */
	struct proc *proc;
	struct ipc *ipc;
	int fd;
	STAILQ_HEAD(, message) queue;
	size_t count;
	struct event arrival;
};

static LIST_HEAD(, pipe_end) all = LIST_HEAD_INITIALIZER(all);

struct ipc {
	struct pipe_end *end;
	struct ready ready;
	bool told;
	ipc_cb *cb;
	void *arg;
};

static void
arrived(void *arg)
{
	struct pipe_end *e = arg;

	if (e->ipc != NULL)
		ready_want(&e->ipc->ready);
}

static void
look(struct pipe_end *e)
{
	if (!event_is_set(&e->arrival))
		event_set(&e->arrival, net_delay(e->proc->host, e->proc->host));
}

static struct pipe_end *
end_new(struct proc *p)
{
	struct pipe_end *e = xcalloc(1, sizeof(*e));

	e->proc = p;
	e->arrival.fn = arrived;
	e->arrival.arg = e;
	STAILQ_INIT(&e->queue);
	e->fd = fd_new(FD_PIPE, e);
	LIST_INSERT_HEAD(&all, e, link);
	return e;
}

void
pipe_pair(struct proc *a, struct proc *b, int fds[2])
{
	struct proc *was = proc_leave();
	struct pipe_end *one = end_new(a), *two = end_new(b);

	one->other = two;
	two->other = one;
	fds[0] = one->fd;
	fds[1] = two->fd;
	proc_return(was);
}

void
pipe_close(struct pipe_end *e)
{
	struct message *m;

	while ((m = STAILQ_FIRST(&e->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&e->queue, link);
		free(m);
	}
	event_stop(&e->arrival);
	if (e->other != NULL) {
		e->other->other = NULL;
		look(e->other);
	}
	fd_free(e->fd);
	LIST_REMOVE(e, link);
	free(e);
}

void
pipe_died(struct proc *p)
{
	struct pipe_end *e, *next;

	for (e = LIST_FIRST(&all); e != NULL; e = next) {
		next = LIST_NEXT(e, link);
		if (e->proc == p)
			pipe_close(e);
	}
}

int
ipc_pair(int fds[2], struct err *err)
{
	(void)err;
	pipe_pair(proc_current(), proc_current(), fds);
	return 0;
}

/* One message a call, so that a call back may free the ipc. */
static void
deliver(void *arg)
{
	struct ipc *i = arg;
	struct pipe_end *e = i->end;
	struct message *m = STAILQ_FIRST(&e->queue);
	struct ipc_message given = { .fd = -1 };

	if (m == NULL) {
		if (e->other == NULL && !i->told) {
			i->told = true;
			i->cb(i->arg, NULL);
		}
		return;
	}
	STAILQ_REMOVE_HEAD(&e->queue, link);
	e->count--;
	ready_want(&i->ready);
	given.type = m->type;
	given.id = m->id;
	given.payload = slice_of(m->octets, m->len);
	i->cb(i->arg, &given);
	free(m);
}

struct ipc *
ipc_new(struct loop *l, int fd, ipc_cb *cb, void *arg)
{
	struct ipc *i = xcalloc(1, sizeof(*i));

	i->end = fd_object(fd, FD_PIPE);
	i->end->ipc = i;
	i->cb = cb;
	i->arg = arg;
	ready_init(&i->ready, l, deliver, i);
	look(i->end);
	return i;
}

void
ipc_free(struct ipc **ip)
{
	struct ipc *i = *ip;

	if (i == NULL)
		return;
	ready_stop(&i->ready);
	pipe_close(i->end);
	free(i);
	*ip = NULL;
}

bool
ipc_send(struct ipc *i, uint32_t type, uint64_t id, struct slice payload,
    int fd)
{
	struct pipe_end *to = i->end->other;
	struct proc *was;
	struct message *m;

	static const uint8_t yes = 1;

	MUST(fd == -1);
	if (breaks_barrier() && type == FRONT_SYNC) {
		to = i->end;
		type = FRONT_SYNCED;
		payload = slice_of(&yes, 1);
	}
	if (to == NULL || to->count >= QUEUE_MAX)
		return false;
	was = proc_leave();
	m = xmalloc(sizeof(*m) + payload.len);
	*m = (struct message){ .type = type, .id = id, .len = payload.len };
	if (payload.len > 0)
		memcpy(m->octets, payload.ptr, payload.len);
	STAILQ_INSERT_TAIL(&to->queue, m, link);
	to->count++;
	look(to);
	proc_return(was);
	return true;
}
