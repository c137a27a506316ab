/*
 * jobs: every job runs, its end comes in the loop, and none is lost at the end.
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/tap.h"

enum {
	MANY = 200
};

struct piece {
	struct world *world;
	int ran, done;
	int fd; /* waits for an octet, if not -1 */
};

struct world {
	struct loop *loop;
	struct jobs *jobs;
	struct piece pieces[MANY];
	int order[MANY];
	int ndone;
};

static void
piece_run(void *arg)
{
	struct piece *p = arg;
	char c;

	if (p->fd != -1)
		MUST(read(p->fd, &c, 1) == 1);
	p->ran++;
}

static void
piece_done(void *arg)
{
	struct piece *p = arg;
	struct world *w = p->world;

	p->done++;
	w->order[w->ndone++] = (int)(p - w->pieces);
	if (w->ndone == MANY)
		loop_stop(w->loop);
}

static void
world_init(struct world *w, unsigned threads)
{
	*w = (struct world){ .loop = loop_new() };
	w->jobs = jobs_new(w->loop, threads);
	for (int i = 0; i < MANY; i++)
		w->pieces[i] = (struct piece){ w, 0, 0, -1 };
}

static bool
all_once(const struct world *w)
{
	for (int i = 0; i < MANY; i++)
		if (w->pieces[i].ran != 1 || w->pieces[i].done != 1)
			return false;
	return true;
}

static void
test_all(unsigned threads)
{
	struct world w;
	bool sorted = true;

	world_init(&w, threads);
	for (int i = 0; i < MANY; i++)
		jobs_put(w.jobs, piece_run, piece_done, &w.pieces[i]);
	ok(jobs_count(w.jobs) == MANY && w.ndone == 0, "none is done by put");
	loop_run(w.loop);
	ok(all_once(&w), "each ran and was done once, %u threads", threads);
	ok(jobs_count(w.jobs) == 0, "none is left");
	for (int i = 0; i < MANY; i++)
		sorted = sorted && w.order[i] == i;
	ok(sorted || threads > 1, "one thread keeps the order");
	jobs_free(&w.jobs);
	loop_free(&w.loop);
}

static void
test_free(void)
{
	struct world w;

	world_init(&w, 3);
	for (int i = 0; i < MANY; i++)
		jobs_put(w.jobs, piece_run, piece_done, &w.pieces[i]);
	jobs_free(&w.jobs);
	ok(w.jobs == NULL && all_once(&w), "free ends with all of them done");
	loop_free(&w.loop);
}

static void
test_settle(void)
{
	struct world w;
	int fds[2];

	world_init(&w, 1);
	MUST(pipe(fds) == 0);
	w.pieces[0].fd = fds[0];
	for (int i = 0; i < 3; i++)
		jobs_put(w.jobs, piece_run, piece_done, &w.pieces[i]);
	MUST(write(fds[1], "x", 1) == 1);
	jobs_settle(w.jobs, &w.pieces[1]);
	ok(w.pieces[1].ran == 1 && jobs_count(w.jobs) == 2,
	    "settled: it ran, and is not counted");
	jobs_settle(w.jobs, &w.pieces[1]);
	jobs_free(&w.jobs);
	ok(w.pieces[1].done == 0, "and its done was not called");
	ok(w.pieces[0].done == 1 && w.pieces[2].done == 1, "others' was");
	close(fds[0]);
	close(fds[1]);
	loop_free(&w.loop);
}

int
main(void)
{
	test_all(1);
	test_all(4);
	test_free();
	test_settle();
	return done_testing();
}
