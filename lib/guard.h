/*
 * guard: files that are mapped, and a disk that cannot be read.
 *
 * To read a page of a mapped file that the disk does not give is a SIGBUS, and
 * that is the end of the process: of all its users for one bad sector.  A
 * guard puts a page of zeros there instead, and its owner, who is told, takes
 * zeros for damage.  Only for pages that are its owner's, and only on the
 * thread that has joined; any other SIGBUS ends the process as ever.
 *
 * The handler finds what it needs on the thread's own signal stack, so that
 * there is no global.
 */
#ifndef LIB_GUARD_H
#define LIB_GUARD_H

#include <stdbool.h>
#include <sys/queue.h>

/*
 * Is the page at this address of a mapping of yours?  Called in a signal
 * handler, while this thread reads from it: looks and sets members, no more.
 * *writable: what the mapping is.
 */
typedef bool guard_covers(void *arg, const void *at, bool *writable);

struct guard_owner { /* embed it */
	TAILQ_ENTRY(guard_owner) link;
	guard_covers *covers;
	void *arg;
};

/* On this thread, until it leaves. */
void guard_join(struct guard_owner *o);
void guard_leave(struct guard_owner *o);

#endif
