/*
 * search_run: messages looked at, one after another, in slices and in jobs.
 *
 * What the index tells is tested in the loop, some thousand messages a turn;
 * what needs a summary or the message is read and tested in job threads, many
 * at a time.  So a long search holds up nobody but who asked for it.
 */
#ifndef BACKENDD_SEARCH_RUN_H
#define BACKENDD_SEARCH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct backendd;
struct search;
struct search_facts;
struct search_run;
struct view;

/*
 * A message was found; they come by ascending UID.  Not always in the loop, but
 * never two at once, and done comes after the last.  headers: the fields that
 * summaries keep, if they were asked for; facts->summary has the date.  Not
 * good: the index was found to be damaged, so nothing found is to be believed.
 */
typedef void search_found_cb(void *arg, const struct search_facts *facts,
    struct slice headers);

struct search_ask {
	struct backendd *bd;
	const struct view *view;
	const struct search *search; /* bound; borrowed until done */
	const uint32_t *uids;        /* only these, ascending; NULL: all that */
	size_t nuids;                /* ...the view counts */
	bool headers;
	bool first_only; /* one is enough */
	bool costly;     /* found does more than to note the message */
	search_found_cb *found;
	bool (*gone)(void *arg); /* nobody waits any more; or NULL */
	void (*done)(void *arg, bool good);
	void *arg;
};

/* Begins.  Gives what is valid until done, which never comes from inside. */
struct search_run *search_run_new(const struct search_ask *ask);

/* Nothing more is looked at, nor the view; done comes all the same. */
void search_run_stop(struct search_run *r);

/* How many messages were looked at, and how many there are to look at. */
void search_run_progress(const struct search_run *r, uint32_t *done,
    uint32_t *total);

#endif
