/*
 * notice: what we put in front of mail, and mail that we write ourselves.  Pure.
 */
#ifndef PROXYD_NOTICE_H
#define PROXYD_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;

struct notice_trace {
	struct slice from; /* envelope's */
	const char *lhlo, *peer, *host, *sid;
	bool secure;
	int64_t seconds; /* since 1970 */
};

/* Return-Path and Received (RFC 5321 4.4). */
void notice_put_trace(struct buf *out, const struct notice_trace *t);

/* Received alone: for mail that is sent on. */
void notice_put_received(struct buf *out, const struct notice_trace *t);

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
