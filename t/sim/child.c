#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/child.h"
#include "t/sim/loop.h"
#include "t/sim/net.h"
#include "t/sim/wrap.h"

struct child {
	const struct child_plan *plan;
	struct proc *proc;
	struct loop *loop; /* these are the process's */
	struct log *log;
	void *conf;
	void *state;
	int listener;
	struct event birth;
};

struct call {
	struct ready ready;
	struct event event;
	void (*fn)(void *arg);
	void *arg;
};

/* --- what the child's own code asks ---------------------------------------- */

struct loop *
child_loop(struct child *c)
{
	return c->loop;
}

struct log *
child_log(struct child *c)
{
	return c->log;
}

const void *
child_conf(struct child *c)
{
	return c->conf;
}

unsigned
child_index(struct child *c)
{
	(void)c;
	return 0;
}

unsigned
child_count(struct child *c, const char *name)
{
	(void)c, (void)name;
	return 1;
}

int
child_listener(struct child *c, const char *name, unsigned n)
{
	return n == 0 && c->plan->port != 0 && strcmp(name, "listen") == 0
	           ? c->listener
	           : -1;
}

struct slice
child_file(struct child *c, const char *name)
{
	(void)c, (void)name;
	return slice_of(NULL, 0);
}

void
child_drained(struct child *c)
{
	(void)c;
	MUST(false); /* nobody drains here */
}

/* A child that cannot go on ends; its parent starts it again. */
void
__wrap_exit(int status)
{
	world_trace("exit(%d)", status);
	proc_die(proc_current(), DEATH_KILL);
	abort();
}

/* --- its life --------------------------------------------------------------- */

static void
begin(void *arg)
{
	struct child *c = arg;
	const struct child_plan *p = c->plan;
	void *state = NULL;
	struct err err;

	c->loop = loop_new();
	c->log = log_new(p->name, LOG_LEVEL_DEBUG, true);
	c->conf = conf_parse(p->table, p->name, slice_str(p->text), &err);
	if (c->conf == NULL)
		world_fail("the configuration is right", "%s", err.text);
	if (p->port != 0)
		c->listener = listener_new(c->proc, p->port);
	if (p->kind != NULL && p->kind->start(c, &state, &err) == -1) {
		p->started(p->arg, NULL, err.text);
		return;
	}
	c->state = state;
	p->started(p->arg, state, NULL);
}

struct child *
child_new(const struct child_plan *plan)
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->plan = plan;
	c->proc = proc_new(plan->name, plan->host, plan->died, plan->arg);
	c->birth.proc = c->proc;
	c->birth.fn = begin;
	c->birth.arg = c;
	event_set(&c->birth, world_between(100, 20 * MS));
	return c;
}

struct proc *
child_proc(struct child *c)
{
	return c->proc;
}

void *
child_state(struct child *c)
{
	return c->state;
}

void
child_free(struct child **cp)
{
	if (*cp == NULL)
		return;
	event_stop(&(*cp)->birth);
	proc_free(&(*cp)->proc);
	free(*cp);
	*cp = NULL;
}

static void
call_now(void *arg)
{
	struct call *k = arg;
	void (*fn)(void *) = k->fn;
	void *fn_arg = k->arg;

	free(k);
	fn(fn_arg);
}

static void
call_due(void *arg)
{
	struct call *k = arg;

	ready_want(&k->ready);
}

struct calling {
	struct child *child;
	struct call call;
	int64_t us;
};

/* Its memory is the process's: it goes with it. */
static void
call_begin(void *arg)
{
	struct calling *g = arg;
	struct call *k = xmemdup(&g->call, sizeof(g->call));

	ready_init(&k->ready, g->child->loop, call_now, k);
	k->event.proc = g->child->proc;
	k->event.fn = call_due;
	k->event.arg = k;
	event_set(&k->event, g->us);
}

void
child_call(struct child *c, int64_t us, void (*fn)(void *arg), void *arg)
{
	struct calling g = { .child = c,
		.call = { .fn = fn, .arg = arg },
		.us = us };

	MUST(c->loop != NULL);
	(void)proc_enter(c->proc, call_begin, &g); /* it cannot die of it */
}

struct introduction {
	struct child *to;
	const char *name;
	int fd;
};

static void
introduced(void *arg)
{
	struct introduction *i = arg;
	struct child *to = i->to;

	to->plan->kind->neighbour(to->state, i->name, 0, i->fd);
	free(i);
}

static void
introduce(struct child *to, const char *name, int fd)
{
	struct introduction *i = xcalloc(1, sizeof(*i));

	*i = (struct introduction){ to, name, fd };
	child_call(to, 0, introduced, i);
}

void
child_introduce(struct child *a, struct child *b)
{
	int fds[2];

	pipe_pair(a->proc, b->proc, fds);
	introduce(a, b->plan->kind->name, fds[0]);
	introduce(b, a->plan->kind->name, fds[1]);
}
