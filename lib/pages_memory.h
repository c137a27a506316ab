/*
 * pages_memory: pages that are in memory only.  For lib/pages, whose calls
 * these are; what is said there holds.  A number is used again when its page
 * is gone.
 */
#ifndef LIB_PAGES_MEMORY_H
#define LIB_PAGES_MEMORY_H

#include "lib/pages.h"

struct memory;

struct memory *memory_new(unsigned shards);
void memory_free(struct memory **mp);
struct pages_root memory_root(const struct memory *m, struct pages_set set);
/* False: there is no such page. */
bool memory_get(const struct memory *m, struct pages_set set, uint64_t number,
    struct slice *octets);

void memory_begin(struct memory *m);
void memory_commit(struct memory *m);
void memory_cancel(struct memory *m);
void memory_root_put(struct memory *m, struct pages_set set,
    struct pages_root root);
uint64_t memory_add(struct memory *m, struct pages_set set,
    struct slice octets);
void memory_change(struct memory *m, struct pages_set set, uint64_t number,
    size_t from, size_t to, struct slice octets);
void memory_remove(struct memory *m, struct pages_set set, uint64_t number);

uint64_t memory_version(const struct memory *m);
uint64_t memory_octets(const struct memory *m);
struct pages_snapshot *memory_snapshot(struct memory *m);
void memory_snapshot_end(struct memory *m, struct pages_snapshot **sp,
    bool written);
int memory_load(struct memory *m, unsigned shard, struct db *db,
    struct err *err) MUST_CHECK;

#endif
