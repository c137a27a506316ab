/*
 * thread: messages grouped into threads (RFC 5256): ORDEREDSUBJECT by their
 * base subjects, REFERENCES by which replies to which.
 *
 *	t = thread_new(THREAD_REFERENCES, key);
 *	...thread_add(t, &m) for each message, in mailbox order
 *	thread_put(t, out);
 *	thread_free(&t);
 *
 * Messages are taken in one by one, and what is kept of each is a few dozen
 * octets: ids and subjects as digests.  Nothing recurses, however deep threads
 * are, and time is n log n in what was added, but for chains of replies that
 * were made to be slow.
 */
#ifndef IMAP_THREAD_H
#define IMAP_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct thread;

enum thread_algorithm {
	THREAD_ORDEREDSUBJECT,
	THREAD_REFERENCES
};

enum {
	THREAD_IDS_MAX = 16 * 1024 * 1024 /* different ones, in all */
};

struct thread_message {
	uint32_t number;      /* sequence number or UID: ascending */
	int64_t sent;         /* seconds since 1970 UTC */
	struct slice headers; /* at least those that name ids and the subject */
};

/* key: random, so that nobody can know which ids share a digest. */
struct thread *thread_new(enum thread_algorithm how, const uint64_t key[4]);
void thread_free(struct thread **tp);

/* False: too many ids, or too long chains of them; free it then. */
bool thread_add(struct thread *t, const struct thread_message *m) MUST_CHECK;

/* "* THREAD (1)(2 3)" and CR LF.  Once, and the last thing done with it. */
void thread_put(struct thread *t, struct buf *out);

/* Octets that is at most, for out's limit. */
size_t thread_size(const struct thread *t);

#endif
