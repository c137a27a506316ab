/*
 * loop: a turn's order, what may be freed where, and the clock.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/tap.h"

struct world {
	struct loop *loop;
	struct io *io, *other;
	struct timer *timer, *guard;
	struct task *task, *task2;
	struct waker *waker;
	struct mono set_at;
	int fds[2];
	int count;
	char trace[64];
};

static void
note(struct world *w, char c)
{
	size_t n = strlen(w->trace);

	MUST(n + 1 < sizeof(w->trace));
	w->trace[n] = c;
}

static void
too_late(void *arg)
{
	struct world *w = arg;

	note(w, '!');
	loop_stop(w->loop);
}

static void
world_init(struct world *w)
{
	*w = (struct world){ .loop = loop_new() };
	MUST(pipe(w->fds) == 0);
	w->guard = timer_new(w->loop, too_late, w);
	timer_set(w->guard, 60000);
}

static void
world_fini(struct world *w)
{
	timer_free(&w->timer);
	timer_free(&w->guard);
	task_free(&w->task);
	task_free(&w->task2);
	io_free(&w->io);
	io_free(&w->other);
	waker_free(&w->waker);
	close(w->fds[0]);
	close(w->fds[1]);
	loop_free(&w->loop);
}

static void
end_note(void *arg)
{
	note(arg, 'e');
}

static void
task_note(void *arg)
{
	struct world *w = arg;

	note(w, 't');
	loop_at_end(w->loop, end_note, w);
	if (++w->count < 3)
		task_want(w->task); /* next turn, not this one */
	else
		loop_stop(w->loop);
}

static void
read_note(void *arg, unsigned ready)
{
	struct world *w = arg;
	char c;

	MUST(ready == IO_READ && read(w->fds[0], &c, 1) == 1);
	note(w, c);
	loop_at_end(w->loop, end_note, w);
	task_want(w->task);
	task_want(w->task); /* once all the same */
}

static void
test_order(void)
{
	struct world w;

	world_init(&w);
	w.io = io_new(w.loop, w.fds[0], read_note, &w);
	w.task = task_new(w.loop, task_note, &w);
	io_want(w.io, IO_READ);
	io_want(w.io, IO_READ);
	MUST(write(w.fds[1], "abc", 3) == 3);
	loop_run(w.loop);
	/* An event, its task behind it, ends last; each turn by itself. */
	is_str(w.trace, "ateebteectee", "events, tasks, ends, turn by turn");
	world_fini(&w);
}

static void
last_note(void *arg)
{
	struct world *w = arg;

	note(w, 'l');
	if (++w->count < 5)
		task_want(w->task2); /* next turn, not this one */
	else
		loop_stop(w->loop);
}

static void
first_note(void *arg)
{
	struct world *w = arg;

	note(w, 't');
	loop_at_end(w->loop, end_note, w);
	task_want(w->task2);
	if (++w->count < 2)
		task_want(w->task);
}

static void
test_last(void)
{
	struct world w;

	world_init(&w);
	w.task = task_new(w.loop, first_note, &w);
	w.task2 = task_new_last(w.loop, last_note, &w);
	task_want(w.task2);
	task_want(w.task);
	loop_run(w.loop);
	/* Wanted before it or by it, still behind it; itself, next turn. */
	is_str(w.trace, "tletlel",
	    "a last task ends the turn of those that want it");
	world_fini(&w);
}

static void
free_all(void *arg, unsigned ready)
{
	struct world *w = arg;

	(void)ready;
	note(w, 'f');
	/* Both are ready in this turn; whoever comes first ends the other. */
	io_free(&w->io);
	io_free(&w->other);
	timer_free(&w->timer);
	task_free(&w->task2);
	task_want(w->task);
}

static void
task_stop(void *arg)
{
	struct world *w = arg;

	note(w, 's');
	task_free(&w->task);
	loop_stop(w->loop);
}

static void
test_free(void)
{
	struct world w;

	world_init(&w);
	w.io = io_new(w.loop, w.fds[0], free_all, &w);
	w.other = io_new(w.loop, w.fds[1], free_all, &w);
	w.timer = timer_new(w.loop, too_late, &w);
	w.task = task_new(w.loop, task_stop, &w);
	w.task2 = task_new(w.loop, too_late, &w);
	io_want(w.io, IO_READ);
	io_want(w.other, IO_WRITE);
	timer_set(w.timer, 60000);
	task_want(w.task2);
	MUST(write(w.fds[1], "x", 1) == 1);
	loop_run(w.loop);
	is_str(w.trace, "fs", "what is freed is not called again");
	world_fini(&w);
}

static void
timer_ends(void *arg)
{
	struct world *w = arg;

	note(w, mono_reached(mono_after(w->set_at, 5), loop_now(w->loop))
	            ? 'r'
	            : 'n');
	loop_stop(w->loop);
}

static void
test_timer(void)
{
	struct world w;
	bool reached = true;

	world_init(&w);
	w.timer = timer_new(w.loop, timer_ends, &w);
	ok(!timer_is_set(w.timer), "a timer is at rest");
	timer_set(w.timer, 1);
	timer_set(w.timer, 60000);
	timer_stop(w.timer);
	timer_stop(w.timer);
	ok(!timer_is_set(w.timer), "and again when stopped");
	for (int i = 0; i < 20; i++) {
		memset(w.trace, 0, sizeof(w.trace));
		w.set_at = loop_now(w.loop);
		timer_set(w.timer, 5);
		loop_run(w.loop);
		reached = reached && strcmp(w.trace, "r") == 0;
	}
	ok(reached, "when a timer goes off its time has been reached");
	ok(loop_wall(w.loop).ms > 1600000000000, "wall time is wall time");
	world_fini(&w);
}

static void
got_signal(void *arg, int signo)
{
	struct world *w = arg;

	note(w, signo == SIGUSR1 ? '1' : '2');
	if (++w->count == 2)
		loop_stop(w->loop);
	else
		kill(getpid(), SIGUSR2);
}

static void
test_signal(void)
{
	struct world w;

	for (int i = 0; i < 2; i++) { /* also in a loop made later */
		world_init(&w);
		loop_signal(w.loop, SIGUSR1, got_signal, &w);
		loop_signal(w.loop, SIGUSR2, got_signal, &w);
		kill(getpid(), SIGUSR1);
		loop_run(w.loop);
		is_str(w.trace, "12", "signals are events");
		world_fini(&w);
	}
}

static void
woken(void *arg)
{
	struct world *w = arg;

	note(w, 'w');
	loop_stop(w->loop);
}

static void
test_waker(void)
{
	struct world w;

	world_init(&w);
	w.waker = waker_new(w.loop, woken, &w);
	waker_wake(w.waker);
	waker_wake(w.waker);
	loop_run(w.loop);
	is_str(w.trace, "w", "wakes are joined");
	world_fini(&w);
}

int
main(void)
{
	test_order();
	test_last();
	test_free();
	test_timer();
	test_signal();
	test_waker();
	return done_testing();
}
