/*
 * notice: mail that we write ourselves, and how we know it again.  Pure.
 */
#ifndef PROXYD_NOTICE_H
#define PROXYD_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;

/* The field by which we know what we have sent on for this recipient. */
void notice_put_redirected(struct buf *out, struct slice recipient);
bool notice_was_redirected(struct slice message, struct slice recipient);

/* RFC 5321 6.3: more Received fields than any way is long. */
bool notice_loops(struct slice message);

struct notice_reject {
	const char *host, *postmaster, *id; /* id: unique, for Message-ID */
	struct slice to;                    /* who sent it */
	struct slice recipient;
	struct slice reason;  /* UTF-8 */
	struct slice message; /* what was rejected: its header is enclosed */
	int64_t seconds;
};

/* A failure MDN, whole (RFC 5429 2.2.1, RFC 8098). */
void notice_put_reject(struct buf *out, const struct notice_reject *r);

#endif
