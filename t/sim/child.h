/*
 * child: a daemon's child (lib/daemon.h) as a process of the simulator.
 *
 *	c = child_new("be1", host, &backendd_store_child, &table, text, ...);
 *
 * The configuration is text, parsed anew each time, so that options have the
 * presets of the real one.
 */
#ifndef T_SIM_CHILD_H
#define T_SIM_CHILD_H

#include <stdbool.h>

#include "t/sim/world.h"

struct conf_table;
struct daemon_child;
struct child;

struct child_plan {
	const char *name;
	unsigned host;
	const struct daemon_child *kind; /* NULL: begin is called instead */
	const struct conf_table *table;
	const char *text; /* of the configuration; borrowed */
	unsigned port;    /* of its listener; 0: none */
	void (*died)(void *arg, enum death how);
	/* Within it, when it has started; or has not (state NULL). */
	void (*started)(void *arg, void *state, const char *why);
	void *arg;
};

/* Begins soon.  Borrows plan. */
struct child *child_new(const struct child_plan *plan);
struct proc *child_proc(struct child *c);
void *child_state(struct child *c); /* NULL: not started */

/* Of one that has died. */
void child_free(struct child **cp);

/* Calls fn(arg) in a turn of its loop; not, if it dies before. */
void child_call(struct child *c, int64_t us, void (*fn)(void *arg), void *arg);

/* Both ends of a pipe, each told of as a neighbour. */
void child_introduce(struct child *a, struct child *b);

#endif
