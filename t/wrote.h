/*
 * wrote: what was written to a buf, against what should have been.
 */
#ifndef T_WROTE_H
#define T_WROTE_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/buf.h"
#include "lib/slice.h"

/* Empties out. */
static inline bool
wrote(struct buf *out, const char *want)
{
	bool same = slice_is(buf_slice(out), want);

	if (!same)
		printf("#  got: %.*s\n", (int)buf_len(out),
		    (const char *)buf_data(out));
	buf_clear(out);
	return same;
}

#endif
