/*
 * mono: two kinds of time that must not be mixed.
 *
 * Deadlines are mono, what users see is wall.  Both in milliseconds; ask the
 * loop for either (loop_now(), loop_wall()).
 */
#ifndef LIB_MONO_H
#define LIB_MONO_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
	int64_t ms; /* since some moment in the past */
};

struct wall {
	int64_t ms; /* since 1970-01-01T00:00:00Z */
};

static inline struct mono
mono_after(struct mono t, int64_t ms)
{
	return (struct mono){ t.ms + ms };
}

static inline bool
mono_reached(struct mono deadline, struct mono now)
{
	return now.ms >= deadline.ms;
}

#endif
