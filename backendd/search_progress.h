/*
 * search_progress: a client that waits hears how far its command has come:
 * "* OK [INPROGRESS ("a1" 175 1000)]" (RFC 9585), every progress_interval.
 */
#ifndef BACKENDD_SEARCH_PROGRESS_H
#define BACKENDD_SEARCH_PROGRESS_H

#include <stdint.h>

struct search_progress;
struct session;

typedef void search_progress_count(void *arg, uint32_t *done, uint32_t *total);

/* For the running command, until freed. */
struct search_progress *search_progress_new(struct session *ss,
    search_progress_count *count, void *arg);
void search_progress_free(struct search_progress **pp);

#endif
