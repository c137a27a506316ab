/*
 * world: the simulator's clock, its chances, and the processes in it.
 *
 * Time is virtual and counted in microseconds; nothing happens but events, the
 * earliest first, and of those at the same instant the one asked for first.
 * Chances come from the seed.  So a seed is a run, and the same run each time.
 *
 * A process (struct proc) is what would be one on a real machine: a loop, a
 * heap and descriptors.  Product code runs only inside proc_enter(), which
 * says whose it is: what it allocates (lib/xalloc.h, replaced by memory.c) is
 * that process's, and goes when the process dies.  It may die anywhere, in the
 * middle of its own code too: proc_die() does not return then.
 */
#ifndef T_SIM_WORLD_H
#define T_SIM_WORLD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/list.h"

struct loop;
struct proc;

enum {
	US = 1,
	MS = 1000,
	SECOND = 1000 * 1000
};

/* --- chance ---------------------------------------------------------------- */

/* Before all else.  trace: tell what happens on standard output. */
void world_begin(uint64_t seed, bool trace);

uint64_t world_below(uint64_t n); /* 0 to n - 1; n is not 0 */
bool world_chance(unsigned per_mille);
int64_t world_between(int64_t least, int64_t most); /* inclusive */

/* What the product takes for randomness: a sequence of its own. */
uint64_t world_product_rand(void);

/* --- time and events ------------------------------------------------------- */

int64_t world_now(void);

/* Embed it, zeroed but for fn, arg and proc.  proc: whose; NULL: nobody's. */
struct event {
	int64_t at;
	uint64_t order;
	size_t index; /* 0: at rest */
	struct proc *proc;
	void (*fn)(void *arg);
	void *arg;
};

void event_set(struct event *e, int64_t us); /* from now; replaces */
void event_stop(struct event *e);
bool event_is_set(const struct event *e);

/* Calls fn(arg) once, for nobody. */
void world_later(int64_t us, void (*fn)(void *arg), void *arg);

/* Until world_stop(), or nothing is left to happen. */
void world_run(void);
void world_stop(void);

/* --- telling --------------------------------------------------------------- */

bool world_traces(void);
void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An invariant does not hold: says so, and how to see it again.  Exits. */
void world_fail(const char *invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3))) NORETURN;

/* Of all events so far: two runs of a seed have the same. */
uint64_t world_digest(void);
uint64_t world_events(void);

/* --- processes ------------------------------------------------------------- */

enum death {
	DEATH_KILL, /* the machine goes on: files and sockets are the kernel's */
	DEATH_POWER /* what was not synced is lost, and peers hear nothing */
};

struct block;

struct proc {
	char name[24];
	unsigned host;
	unsigned number;
	struct loop *loop;
	struct block *memory; /* what it has allocated */
	unsigned crash_in;    /* disk operations; 0: none */
	enum death crash_how;
	bool inside, dying, dead;
	enum death how;
	int64_t stalled; /* until when it gets no turn */
	jmp_buf escape;
	void (*died)(void *arg, enum death how); /* for its owner; once */
	void *arg;
	LIST_ENTRY(proc) link;
};

struct proc *proc_new(const char *name, unsigned host,
    void (*died)(void *arg, enum death how), void *arg);

/* Runs fn(arg) as p.  False: p has died of it. */
bool proc_enter(struct proc *p, void (*fn)(void *arg), void *arg);

/* The one that runs; NULL: the simulator itself. */
struct proc *proc_current(void);

/* For code of the simulator that is called by product code: as nobody. */
struct proc *proc_leave(void);
void proc_return(struct proc *p);

void proc_die(struct proc *p, enum death how);

/* Called after each turn of any, as nobody, while it lives. */
void proc_on_turn(void (*fn)(struct proc *p));

/* Frees what is left of one that has died. */
void proc_free(struct proc **pp);

/* --- memory (memory.c) ----------------------------------------------------- */

/* All of a process's. */
void memory_drop(struct proc *p);

#endif
