/*
 * pages_disk: pages and roots as records of a db.  For lib/pages.
 */
#ifndef LIB_PAGES_DISK_H
#define LIB_PAGES_DISK_H

#include "lib/pages.h"

/* A root as it is kept. */
struct pages_disk_root {
	struct pages_root root;
	uint64_t next; /* number for a page that is added; 1 at first */
};

/* 1; 0 and the root of an empty set; -1 and *err. */
int pages_disk_root(struct db *db, struct pages_set set,
    struct pages_disk_root *root, struct err *err) MUST_CHECK;
int pages_disk_root_put(struct db *db, struct pages_set set,
    const struct pages_disk_root *root, struct err *err) MUST_CHECK;

/* 1 and the octets in out, which is empty before; 0; -1 and *err. */
int pages_disk_get(struct db *db, struct pages_set set, uint64_t number,
    struct buf *out, struct err *err) MUST_CHECK;
int pages_disk_put(struct db *db, struct pages_set set, uint64_t number,
    struct slice octets, struct err *err) MUST_CHECK;
int pages_disk_delete(struct db *db, struct pages_set set, uint64_t number,
    struct err *err) MUST_CHECK;

#endif
