/*
 * imap_trace: feed octets to a collect or a reply in given pieces and write
 * down what it says.  Their law is that the pieces do not matter, so the unit
 * tests and the fuzzers compare traces.
 */
#ifndef T_IMAP_TRACE_H
#define T_IMAP_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "imap/collect.h"
#include "imap/reply.h"
#include "t/trace.h"

/*
 * A string the caller frees, e.g. "CMD(a noop) ERROR(NUL in command)".
 * Streamed literals above 20 octets are refused, or skipped if they cannot be.
 */
char *collect_trace(const uint8_t *in, size_t n, enum collect_dialect dialect,
    const struct collect_limits *limits, trace_cut *cut, void *arg);

enum trace_way {
	TRACE_GATHER,
	TRACE_PASS,
	TRACE_DROP
};

char *reply_trace(const uint8_t *in, size_t n, enum trace_way way,
    const struct reply_limits *limits, trace_cut *cut, void *arg);

/* The pieces as they are in a trace; the caller frees. */
char *trace_pieces(const struct piece *pieces);

#endif
