/*
 * loop: what the simulator's other parts need of its lib/loop.h.
 *
 * A turn runs what has become ready, then the tasks, then the ends, as the
 * real loop does.  How long a process lets its events wait for a turn is a
 * matter of chance.
 */
#ifndef T_SIM_LOOP_H
#define T_SIM_LOOP_H

#include <stdbool.h>

#include "lib/list.h"

struct io;
struct loop;

/* Something to be called in a loop's turn.  Embed it, zeroed. */
struct ready {
	TAILQ_ENTRY(ready) link;
	struct loop *loop;
	bool waits;
	void (*fn)(void *arg);
	void *arg;
};

void ready_init(struct ready *r, struct loop *l, void (*fn)(void *arg),
    void *arg);
void ready_want(struct ready *r); /* idempotent until it is called */
void ready_stop(struct ready *r);

/* A descriptor of the simulator's may be ready now. */
void io_look(struct io *io);

/* A turn soon: tasks and ends may have been left by a call from outside. */
void loop_wake(struct loop *l);

#endif
