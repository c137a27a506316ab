/*
 * map: octet strings to pointers.  Keys are copied, values are the caller's.
 * Hashed with a secret, so that peers who choose keys cannot choose chains.
 */
#ifndef LIB_MAP_H
#define LIB_MAP_H

#include <stddef.h>

#include "lib/slice.h"

struct map_node;

/* Embed it; the members are map.c's own. */
struct map {
	struct map_node **slots;
	size_t nslots, count;
	uint64_t key[2];
};

void map_init(struct map *m);

/* Frees keys and slots; values are the caller's to free first. */
void map_fini(struct map *m);

/* NULL if there is none. */
void *map_find(const struct map *m, struct slice key);

/* Value may not be NULL.  Gives the value that was there, or NULL. */
void *map_put(struct map *m, struct slice key, void *value);

/* Gives the value, NULL if there was none. */
void *map_remove(struct map *m, struct slice key);

size_t map_count(const struct map *m);

/*
 * Each entry in no order; visit may remove the entry it is shown, and nothing
 * else.  Returning false stops.
 */
typedef bool map_visit(void *arg, struct slice key, void *value);
void map_each(struct map *m, map_visit *visit, void *arg);

#endif
