/*
 * pages_cache: pages of a db, for the one that writes it.  For lib/pages,
 * whose calls these are; what is said there holds.
 *
 * Pages used are kept, as nobody else changes them; pages changed are written
 * when the transaction is committed.
 */
#ifndef LIB_PAGES_CACHE_H
#define LIB_PAGES_CACHE_H

#include "lib/pages.h"

struct cache;

struct cache *cache_new(struct db *db);
void cache_free(struct cache **cp);
int cache_root(struct cache *c, struct pages_set set, struct pages_root *root,
    struct err *err) MUST_CHECK;
int cache_get(struct cache *c, struct pages_set set, uint64_t number,
    struct slice *octets, struct err *err) MUST_CHECK;

/* Between db_begin() and db_commit(), which is to follow cache_write(). */
int cache_root_put(struct cache *c, struct pages_set set,
    struct pages_root root, struct err *err) MUST_CHECK;
int cache_add(struct cache *c, struct pages_set set, struct slice octets,
    uint64_t *number, struct err *err) MUST_CHECK;
int cache_change(struct cache *c, struct pages_set set, uint64_t number,
    size_t from, size_t to, struct slice octets, struct err *err) MUST_CHECK;
int cache_remove(struct cache *c, struct pages_set set, uint64_t number,
    struct err *err) MUST_CHECK;
int cache_write(struct cache *c, struct err *err) MUST_CHECK;

/* Some of it, if it is large; all of it: the db is not as this has it. */
void cache_trim(struct cache *c);
void cache_forget(struct cache *c);

#endif
