/*
 * progress: "12,345 of 1,000,000 entries" on a terminal, while one waits.
 *
 * Nothing if standard error is no terminal, nor if what is counted scrolls by
 * on one anyway.
 */
#ifndef LIB_PROGRESS_H
#define LIB_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/mono.h"

struct loop;

struct progress {
	const struct loop *loop;
	bool on, shown;
	uint64_t done, of;
	struct mono next; /* not more often than one can read */
};

enum progress_rows {
	PROGRESS_ROWS,   /* each is shown on standard output */
	PROGRESS_SILENCE /* nothing is, until the end */
};

void progress_init(struct progress *p, const struct loop *l,
    enum progress_rows rows);

/* One more; of: how many there will be, about. */
void progress_step(struct progress *p, uint64_t of);

/* Leaves a clean line. */
void progress_end(struct progress *p);

#endif
