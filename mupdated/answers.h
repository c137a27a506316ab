/*
 * answers: those that wait until what they tell of is durable, in order.
 *
 * An answer is whole lines that begin with its tag.  When its commit fails, a
 * write's answer becomes a NO; another one has shown what is not so, and its
 * session must end.
 */
#ifndef MUPDATED_ANSWERS_H
#define MUPDATED_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

/* Embed it; the members are answers.c's own. */
struct answers {
	struct buf octets;
	struct buf marks;
};

/* max: of octets. */
void answers_init(struct answers *a, size_t max);
void answers_fini(struct answers *a);

bool answers_empty(const struct answers *a);

/* Octets and what it takes to keep them. */
size_t answers_held(const struct answers *a);

/* Put the answer here, then say how long it was and what it waits for. */
struct buf *answers_room(struct answers *a);
void answers_mark(struct answers *a, size_t len, uint64_t number, bool write);

/* This commit, and all after it, are not so. */
void answers_failed(struct answers *a, uint64_t number);

/* Those up to number go out; false if one was shown what is not so. */
bool answers_settle(struct answers *a, struct buf *out, uint64_t number);

#endif
