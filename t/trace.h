/*
 * trace: how the octets of a trace are cut.  A trace is what a parser says of
 * some input, written down; the law is that cuts do not matter.
 */
#ifndef T_TRACE_H
#define T_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many more octets arrive each time; 0 counts as 1. */
typedef size_t trace_cut(void *arg);

/* All at once. */
static inline size_t
trace_whole(void *arg)
{
	(void)arg;
	return SIZE_MAX / 2;
}

/* In two, at *arg (size_t), which it changes. */
static inline size_t
trace_at(void *arg)
{
	size_t *at = arg, n = *at;

	*at = SIZE_MAX / 2;
	return n;
}

/* 1 to 8 octets, by the seed in *arg (uint32_t). */
static inline size_t
trace_some(void *arg)
{
	uint32_t *seed = arg;

	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 24 & 7) + 1;
}

/* The trace of the nth case: a string to be freed. */
typedef char *trace_case(size_t nth, trace_cut *cut, void *arg);

/* len octets, in two pieces at every place. */
static inline bool
trace_same(trace_case *trace, size_t nth, size_t len, const char *want)
{
	bool same = true;

	for (size_t at = 1; at <= len && same; at++) {
		size_t where = at;
		char *got = trace(nth, trace_at, &where);

		same = strcmp(got, want) == 0;
		if (!same)
			printf("# cut at %zu: %s\n", at, got);
		free(got);
	}
	return same;
}

#endif
