/*
 * search_state: what a search under way is made of, for search_run.c and
 * search_read.c only.
 */
#ifndef BACKENDD_SEARCH_STATE_H
#define BACKENDD_SEARCH_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/search_run.h"
#include "imap/search.h"
#include "lib/arena.h"

struct mailbox;
struct reading;
struct task;

struct search_run {
	struct search_ask ask;
	struct mailbox *m; /* a hold */
	struct task *turn;
	uint32_t next_uid; /* 0: no more */
	size_t next;       /* of ask.uids */
	uint32_t looked, total;
	unsigned looked_max;
	bool stopped;
	int keywords[SEARCH_KEYWORDS_MAX]; /* their numbers here; -1: none */
	unsigned quick_mask;               /* flags in the index itself */
	struct arena ids;                  /* EMAILIDs of a slice */
	struct reading *rd;                /* search_read.c's */

	/* Waits for a place: then go on there. */
	TAILQ_ENTRY(search_run) waiting;
	void (*resume)(struct search_run *r); /* NULL: it does not */
};

/*
 * A slice is over: the next one, or the end.  found: some of what was read is.
 */
void search_run_go_on(struct search_run *r, bool found);

/* --- search_read.c --- */

/* One more of the slice: not decided, or found behind one that is not. */
void search_read_add(struct search_run *r, const struct search_facts *facts,
    enum search_answer answer);

/* No more of them in this slice. */
bool search_read_is_full(const struct search_run *r);

/* How many are not tested yet. */
size_t search_read_due(const struct search_run *r);

/*
 * Reads and tests those of the slice, gives what is found and goes on:
 * search_run_go_on(), perhaps at once.
 */
void search_read(struct search_run *r);

void search_read_free(struct search_run *r);

#endif
