/*
 * summary_of: the summary of one message, as summary_make() has it.
 */
#ifndef T_SUMMARY_OF_H
#define T_SUMMARY_OF_H

#include "imap/summary.h"

static inline void
summary_of(struct arena *a, struct slice message, struct summary *s)
{
	struct summary_room *r = summary_room_new();

	summary_make(r, a, message, s);
	summary_room_free(&r);
}

#endif
