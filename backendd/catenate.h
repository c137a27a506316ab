/*
 * catenate: the message that CATENATE describes (RFC 4469): texts, and parts
 * of messages in mailboxes that this user may read.
 */
#ifndef BACKENDD_CATENATE_H
#define BACKENDD_CATENATE_H

#include <stddef.h>

#include "lib/slice.h"

struct blob;
struct session;

enum {
	CATENATE_PARTS_MAX = 1000
};

struct catenate_part {
	struct blob *text; /* borrowed, has ended; or NULL: */
	struct slice url;
};

/* What it ends in. */
struct catenate_result {
	struct blob *blob; /* gives; has ended.  NULL: code and why */
	const char *code;  /* of the NO, with its arguments */
	const char *why;
};

typedef void catenate_cb(void *arg, const struct catenate_result *r);

/*
 * Of a running command; parts live in its arena.  Never calls back from
 * inside, and calls session_done() never.
 */
void catenate(struct session *ss, const struct catenate_part *parts, size_t n,
    catenate_cb *cb, void *arg);

#endif
