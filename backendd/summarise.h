/*
 * summarise: summaries of stored messages: from the store's cache, else made
 * from the message and put there.
 *
 * For messages that came without one, or whose cache was lost or written by
 * another version.  Those are read and looked at some at a time, in several
 * jobs at once; what was made goes to the cache behind the answer.
 */
#ifndef BACKENDD_SUMMARISE_H
#define BACKENDD_SUMMARISE_H

#include <stddef.h>
#include <stdint.h>

struct arena;
struct mailbox;
struct summary;

struct summarise_item {
	uint32_t uid;
	const struct summary *summary; /* result, in the arena; NULL: the
	                                  message is gone or cannot be read,
	                                  or was not to be */
};

typedef void summarise_cb(void *arg);

enum {
	SUMMARISE_MAX = 128 /* items at once */
};

/*
 * Never calls back from inside.  items and the arena live until then; nobody
 * else uses the arena meanwhile.
 */
void summarise(struct mailbox *m, struct arena *a, struct summarise_item *items,
    size_t n, summarise_cb *cb, void *arg);

/* The same, but only from the cache: no message is read. */
void summarise_cached(struct mailbox *m, struct arena *a,
    struct summarise_item *items, size_t n, summarise_cb *cb, void *arg);

#endif
