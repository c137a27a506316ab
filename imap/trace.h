/*
 * trace: what is put in front of mail that comes in (RFC 5321 4.4).
 */
#ifndef IMAP_TRACE_H
#define IMAP_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;

struct trace {
	struct slice from; /* envelope's */
	const char *lhlo, *peer, *host, *sid;
	bool secure;
	int64_t seconds; /* since 1970 */
};

/* Return-Path and Received. */
void trace_put(struct buf *out, const struct trace *t);

/* Received alone: for mail that is sent on. */
void trace_put_received(struct buf *out, const struct trace *t);

/* Control characters as "?": a peer has no business to end our lines. */
void trace_put_clean(struct buf *out, struct slice s);

#endif
