/*
 * memory_store: a mail store (backendd/store.h) for tests, in memory.
 *
 * It keeps all that a store promises to keep, as long as the process lives: a
 * directory that is started again has what it had.  And it fails at will: a
 * kind of call refuses, or waits until it is let go on.
 */
#ifndef T_MEMORY_STORE_H
#define T_MEMORY_STORE_H

#include <stdbool.h>

struct store;

extern const struct store_module memory_module;

enum memory_call {
	MEMORY_CREATE,
	MEMORY_DESTROY,
	MEMORY_OPEN,
	MEMORY_APPEND,
	MEMORY_MOVE,
	MEMORY_CHANGE,
	MEMORY_EXPUNGE,
	MEMORY_SET_META,
	MEMORY_SYNC,
	MEMORY_PEEK, /* from here on: those that change nothing */
	MEMORY_READ,
	MEMORY_PUT_CACHE,
	MEMORY_EXPUNGED,
	MEMORY_HELD,
	MEMORY_CALLS
};

/* Static text to refuse those with that have not begun; NULL: not any more. */
void memory_store_fail(struct store *st, enum memory_call call,
    const char *why);

/*
 * They do not begin, nor does what was asked behind them: of changes the
 * changes, of others the others.
 */
void memory_store_delay(struct store *st, enum memory_call call, bool delay);

/* All that is kept of stores that have been stopped. */
void memory_store_forget(void);

#endif
