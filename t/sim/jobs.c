/*
 * jobs: lib/jobs.h without threads.  A job runs at one instant, some time
 * after it was given; its end is told some time later.  What the loop does in
 * between has not seen it, or has seen it without being told.
 */
#include <stdlib.h>

#include "lib/jobs.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/disk.h"
#include "t/sim/loop.h"
#include "t/sim/world.h"

TAILQ_HEAD(joblist, job);

struct job {
	TAILQ_ENTRY(job) entry;
	struct joblist *list;
	struct jobs *jobs;
	struct event event; /* it runs, or its end is told */
	job_run *run;
	job_done *done;
	void *arg;
};

struct jobs {
	struct loop *loop;
	struct proc *proc;
	struct ready ready;
	struct joblist waiting, active, told;
	size_t count, nactive;
	unsigned threads;
};

static void
move(struct job *job, struct joblist *to)
{
	if (job->list != NULL)
		TAILQ_REMOVE(job->list, job, entry);
	job->list = to;
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, job, entry);
}

static void start_more(struct jobs *j);

static void
end_told(void *arg)
{
	struct job *job = arg;
	struct jobs *j = job->jobs;

	move(job, &j->told);
	j->nactive--;
	ready_want(&j->ready);
	start_more(j);
}

static void
run_now(void *arg)
{
	struct job *job = arg;

	job->event.fn = end_told;
	event_set(&job->event, disk_delay(job->jobs->proc->host));
	job->run(job->arg);
}

static void
start_more(struct jobs *j)
{
	struct job *job;

	while (j->nactive < j->threads &&
	       (job = TAILQ_FIRST(&j->waiting)) != NULL) {
		move(job, &j->active);
		j->nactive++;
		job->event.fn = run_now;
		job->event.proc = j->proc;
		job->event.arg = job;
		event_set(&job->event, disk_delay(j->proc->host));
	}
}

static void
tell(void *arg)
{
	struct jobs *j = arg;
	struct job *job;
	size_t n = j->count;

	while (n-- > 0 && (job = TAILQ_FIRST(&j->told)) != NULL) {
		job_done *done = job->done;
		void *done_arg = job->arg;

		move(job, NULL);
		j->count--;
		free(job);
		if (done != NULL)
			done(done_arg);
	}
}

struct jobs *
jobs_new(struct loop *l, unsigned threads)
{
	struct jobs *j = xcalloc(1, sizeof(*j));

	MUST(threads > 0);
	j->loop = l;
	j->proc = proc_current();
	j->threads = threads;
	ready_init(&j->ready, l, tell, j);
	TAILQ_INIT(&j->waiting);
	TAILQ_INIT(&j->active);
	TAILQ_INIT(&j->told);
	return j;
}

/* At once: its owner blocks until it has run. */
static void
run_out(struct job *job)
{
	bool ran = job->list == &job->jobs->active && job->event.fn == end_told;

	event_stop(&job->event);
	if (job->list == &job->jobs->active)
		job->jobs->nactive--;
	move(job, &job->jobs->told);
	if (!ran)
		job->run(job->arg);
}

void
jobs_free(struct jobs **jp)
{
	struct jobs *j = *jp;
	struct job *job;

	if (j == NULL)
		return;
	while (j->count > 0) { /* a done may put another */
		while ((job = TAILQ_FIRST(&j->active)) != NULL ||
		       (job = TAILQ_FIRST(&j->waiting)) != NULL)
			run_out(job);
		tell(j);
	}
	ready_stop(&j->ready);
	free(j);
	*jp = NULL;
}

void
jobs_put(struct jobs *j, job_run *run, job_done *done, void *arg)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->jobs = j;
	job->run = run;
	job->done = done;
	job->arg = arg;
	j->count++;
	move(job, &j->waiting);
	start_more(j);
}

static struct job *
job_of(const struct joblist *list, const void *arg)
{
	struct job *job;

	TAILQ_FOREACH (job, list, entry)
		if (job->arg == arg)
			return job;
	return NULL;
}

void
jobs_settle(struct jobs *j, const void *arg)
{
	struct job *job;

	while ((job = job_of(&j->active, arg)) != NULL ||
	       (job = job_of(&j->waiting, arg)) != NULL)
		run_out(job);
	while ((job = job_of(&j->told, arg)) != NULL) {
		move(job, NULL);
		free(job);
		j->count--;
	}
	start_more(j);
}

size_t
jobs_count(const struct jobs *j)
{
	return j->count;
}
