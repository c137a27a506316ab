/*
 * loop: the event loop and the clock.  The only user of libev.
 *
 * Nothing called from here may block.  Objects are freed at the end of the
 * turn in which their _free was called, so a callback may free anything,
 * itself included; a freed object is not called again.
 *
 * A loop does not survive a fork: the child frees what it has from its parent
 * and makes its own.
 */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/mono.h"

struct loop;

/* The process ignores SIGPIPE from now on. */
struct loop *loop_new(void);

/* Everything made from it has been freed before. */
void loop_free(struct loop **lp);

/* Until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* As of the start of this turn. */
struct mono loop_now(const struct loop *l);
struct wall loop_wall(const struct loop *l);

/* Now, in ns since some moment in the past: to measure; of any thread. */
uint64_t loop_clock(void);

/* A descriptor to watch; it stays the caller's to close, after io_free(). */
struct io;
enum io_want { /* bits */
	IO_READ = 1,
	IO_WRITE = 2
};
typedef void io_cb(void *arg, unsigned ready);
struct io *io_new(struct loop *l, int fd, io_cb *cb, void *arg);
void io_want(struct io *io, unsigned want); /* idempotent */
void io_free(struct io **iop);

/* A deadline; at rest until set. */
struct timer;
typedef void timer_cb(void *arg);
struct timer *timer_new(struct loop *l, timer_cb *cb, void *arg);
void timer_set(struct timer *t, int64_t ms); /* from now; replaces */
void timer_stop(struct timer *t);            /* idempotent */
bool timer_is_set(const struct timer *t);
void timer_free(struct timer **tp);

/* A turn of its own, behind everybody who is waiting now. */
struct task;
typedef void task_cb(void *arg);
struct task *task_new(struct loop *l, task_cb *cb, void *arg);

/*
 * One that runs behind all tasks of its turn, and in that turn still if one of
 * them wants it: for what sends what they have put.
 */
struct task *task_new_last(struct loop *l, task_cb *cb, void *arg);
void task_want(struct task *t); /* idempotent until it has run */
void task_free(struct task **tp);

/* A POSIX signal, as an event.  Lives as long as the loop. */
typedef void signal_cb(void *arg, int signo);
void loop_signal(struct loop *l, int signo, signal_cb *cb, void *arg);

/* Calls fn(arg) at the end of this turn: how _free functions free. */
void loop_at_end(struct loop *l, void (*fn)(void *arg), void *arg);

/*
 * The one call another thread may make: cb runs in the loop soon after, at
 * least once for any number of wakes.  For lib/jobs.
 */
struct waker;
struct waker *waker_new(struct loop *l, void (*cb)(void *arg), void *arg);
void waker_wake(struct waker *w);
void waker_free(struct waker **wp);

#endif
