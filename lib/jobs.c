#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/jobs.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

TAILQ_HEAD(joblist, job);

struct job {
	TAILQ_ENTRY(job) entry;
	job_run *run;
	job_done *done;
	void *arg;
};

struct jobs {
	struct waker *waker;
	size_t count; /* the loop's own */

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t given, ran;
	struct joblist waiting, active, finished;
	bool ends;

	unsigned nthreads;
	pthread_t threads[];
};

static void *
thread_main(void *arg)
{
	struct jobs *j = arg;
	struct job *job;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		while ((job = TAILQ_FIRST(&j->waiting)) == NULL && !j->ends)
			pthread_cond_wait(&j->given, &j->lock);
		if (job == NULL)
			break;
		TAILQ_REMOVE(&j->waiting, job, entry);
		TAILQ_INSERT_TAIL(&j->active, job, entry);
		pthread_mutex_unlock(&j->lock);
		job->run(job->arg);
		pthread_mutex_lock(&j->lock);
		TAILQ_REMOVE(&j->active, job, entry);
		TAILQ_INSERT_TAIL(&j->finished, job, entry);
		pthread_cond_broadcast(&j->ran);
		/* Who wakes finds the lock free; so in jobs_put(). */
		pthread_mutex_unlock(&j->lock);
		waker_wake(j->waker);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static struct job *
finished_take(struct jobs *j)
{
	struct job *job;

	pthread_mutex_lock(&j->lock);
	job = TAILQ_FIRST(&j->finished);
	if (job != NULL)
		TAILQ_REMOVE(&j->finished, job, entry);
	pthread_mutex_unlock(&j->lock);
	return job;
}

/*
 * A done may put and settle jobs, so the list is taken from one by one; it
 * ends because a turn's own jobs are counted first.
 */
static void
jobs_event(void *arg)
{
	struct jobs *j = arg;
	struct job *job;
	size_t n = j->count;

	while (n-- > 0 && (job = finished_take(j)) != NULL) {
		job_done *done = job->done;
		void *done_arg = job->arg;

		j->count--;
		free(job);
		if (done != NULL)
			done(done_arg);
	}
}

/* Signals are the loop's: a thread of the pool takes none. */
static void
threads_start(struct jobs *j, unsigned n)
{
	sigset_t all, before;

	sigfillset(&all);
	MUST(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	for (; j->nthreads < n; j->nthreads++)
		MUST(pthread_create(&j->threads[j->nthreads], NULL, thread_main,
		         j) == 0);
	MUST(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

struct jobs *
jobs_new(struct loop *l, unsigned threads)
{
	struct jobs *j;

	MUST(threads > 0 && threads < 1000);
	j = xcalloc(1, sizeof(*j) + threads * sizeof(j->threads[0]));
	j->waker = waker_new(l, jobs_event, j);
	TAILQ_INIT(&j->waiting);
	TAILQ_INIT(&j->active);
	TAILQ_INIT(&j->finished);
	MUST(pthread_mutex_init(&j->lock, NULL) == 0);
	MUST(pthread_cond_init(&j->given, NULL) == 0);
	MUST(pthread_cond_init(&j->ran, NULL) == 0);
	threads_start(j, threads);
	return j;
}

static void
all_ran_wait(struct jobs *j)
{
	pthread_mutex_lock(&j->lock);
	while (!TAILQ_EMPTY(&j->waiting) || !TAILQ_EMPTY(&j->active))
		pthread_cond_wait(&j->ran, &j->lock);
	pthread_mutex_unlock(&j->lock);
}

void
jobs_free(struct jobs **jp)
{
	struct jobs *j = *jp;

	if (j == NULL)
		return;
	while (j->count > 0) { /* a done may put another */
		all_ran_wait(j);
		jobs_event(j);
	}
	pthread_mutex_lock(&j->lock);
	j->ends = true;
	pthread_cond_broadcast(&j->given);
	pthread_mutex_unlock(&j->lock);
	for (unsigned i = 0; i < j->nthreads; i++)
		MUST(pthread_join(j->threads[i], NULL) == 0);
	pthread_cond_destroy(&j->given);
	pthread_cond_destroy(&j->ran);
	pthread_mutex_destroy(&j->lock);
	waker_free(&j->waker);
	free(j);
	*jp = NULL;
}

void
jobs_put(struct jobs *j, job_run *run, job_done *done, void *arg)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->run = run;
	job->done = done;
	job->arg = arg;
	j->count++;
	pthread_mutex_lock(&j->lock);
	TAILQ_INSERT_TAIL(&j->waiting, job, entry);
	pthread_mutex_unlock(&j->lock);
	pthread_cond_signal(&j->given);
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

	pthread_mutex_lock(&j->lock);
	while (
	    job_of(&j->waiting, arg) != NULL || job_of(&j->active, arg) != NULL)
		pthread_cond_wait(&j->ran, &j->lock);
	while ((job = job_of(&j->finished, arg)) != NULL) {
		TAILQ_REMOVE(&j->finished, job, entry);
		free(job);
		j->count--;
	}
	pthread_mutex_unlock(&j->lock);
}

size_t
jobs_count(const struct jobs *j)
{
	return j->count;
}
