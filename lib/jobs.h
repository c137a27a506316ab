/*
 * jobs: a pool of threads for what blocks.  The only user of pthread_*.
 *
 * A job is a function over data it owns, run on a pool thread; its result is
 * handed back to the loop.  A job touches nothing the loop can see meanwhile:
 * there are no other locks in the program.
 */
#ifndef LIB_JOBS_H
#define LIB_JOBS_H

#include <stddef.h>

struct jobs;
struct loop;

struct jobs *jobs_new(struct loop *l, unsigned threads);

/* Waits for those that run, and calls done for all. */
void jobs_free(struct jobs **jp);

typedef void job_run(void *arg);  /* on a pool thread */
typedef void job_done(void *arg); /* in the loop */

/* Runs in the order given as threads come free.  Cannot be taken back. */
void jobs_put(struct jobs *j, job_run *run, job_done *done, void *arg);

/*
 * Blocks until the jobs given with this arg, if any, have run; their done is
 * not called.  For an owner that must go at once, at shutdown.
 */
void jobs_settle(struct jobs *j, const void *arg);

/* Given and not yet done: for limits and for the log. */
size_t jobs_count(const struct jobs *j);

#endif
