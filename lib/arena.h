/*
 * arena: memory that is given back all at once.
 *
 * One for each command or message: arguments, names, parsed parts live there
 * and go together.  There is no free for one piece.  An empty arena holds no
 * memory, so an idle session's costs only its struct.
 */
#ifndef LIB_ARENA_H
#define LIB_ARENA_H

#include <stddef.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena_block;

/* Embed it; the members are arena.c's own. */
struct arena {
	struct arena_block *blocks;
	size_t used; /* octets given out since init or reset */
};

void arena_init(struct arena *a);

/* Gives everything back; the arena is empty and may be used again. */
void arena_reset(struct arena *a);

/* The same, but a small block is kept for what comes at once. */
void arena_again(struct arena *a);

/* What is in from is in a from now on; from is empty. */
void arena_join(struct arena *a, struct arena *from);

/* Aligned for any type, zeroed.  Never NULL. */
void *arena_alloc(struct arena *a, size_t n);

/* n items of size octets, zeroed; dies on overflow. */
void *arena_array(struct arena *a, size_t n, size_t size);

struct slice arena_copy(struct arena *a, struct slice s);

/* With a NUL behind it. */
char *arena_string(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTFLIKE(2, 3);

/* Octets given out: for limits on what one command may hold. */
size_t arena_used(const struct arena *a);

#endif
