/*
 * store_crash: a store is killed, and its calls fail, at each system call that
 * changes its directory; what is then there is compared with a model.
 *
 * The workload is the same for the same seed, and its changes are durable in
 * the order they are asked for.  So the law is: what is recovered is the model
 * after the first j of them, for some j no less than were answered.  And of
 * calls that fail: what was refused has not happened, the rest has.
 *
 * What a power failure leaves is taken at its worst: files as they were when
 * last synced, and directories with the names they had when last synced.
 */
#ifndef T_STORE_CRASH_H
#define T_STORE_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "t/crash.h"

struct model;
struct op;
struct store_module;
struct store_options;
struct work;

enum store_crash_phase {
	STORE_CRASH_KILLS,   /* it is to be killed */
	STORE_CRASH_FAILS,   /* its calls are to fail */
	STORE_CRASH_RECOVERS /* it finds what that left */
};

/* Which store, and what is done to it. */
struct store_crash {
	const struct store_module *module;
	const struct store_naming *naming; /* or NULL */
	unsigned ops;                      /* of the workload */
	unsigned ops_fail;                 /* of it, where calls fail */
	unsigned ops_after;                /* done to what is recovered */
	unsigned at_once; /* changes before it waits for answers */

	/* The next of the workload; NULL: model_next(). */
	void (*next)(struct model *m, struct op *op);
	void (*options)(struct store_options *o, uint32_t seed);
	/* When it has started; or NULL. */
	void (*started)(struct work *w, uint32_t seed,
	    enum store_crash_phase phase);
	/* Does only a start help now?  Or NULL: never. */
	bool (*is_ailing)(struct work *w);
};

/* Of one test; emptied before each crash. */
struct places {
	char disk[CRASH_PATH];   /* where it happens */
	char synced[CRASH_PATH]; /* the shadow */
	char lost[CRASH_PATH];   /* what is left */
};

void places_clean(const char *top, struct places *p);

/* Kills it at the nth call, or not if n is 0.  How many were answered. */
unsigned store_crash_at(const struct store_crash *c, const struct places *p,
    uint32_t seed, int n, bool *crashed);

/* After how many changes dir is what it is; -1: it never was like that, and
 * store_crash_why() prints what it is instead. */
int store_crash_recovered(const struct store_crash *c, const char *dir,
    uint32_t seed, unsigned answered);
void store_crash_why(void);

/* Killed at each step-th call from the first on; true: all is well, and there
 * were at least "least" of them. */
bool store_crash_kills(const struct store_crash *c, const char *top,
    uint32_t seed, int first, int step, unsigned least);

struct failure {
	uint32_t seed;
	int errnum; /* or CRASH_SHORT */
	bool reads; /* they fail too */
	int step;
	unsigned refused; /* changes, at least */
};
/* One call fails, and then another; true: all is well. */
bool store_crash_failures(const struct store_crash *c, const char *top,
    const struct failure *f);

/* A number above 0 of the command line. */
uint64_t store_crash_number(const char *s);

#endif
