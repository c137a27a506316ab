/*
 * btree_shape: pages that are split, joined and taken away.  For lib/btree,
 * whose innards are here.
 */
#ifndef LIB_BTREE_SHAPE_H
#define LIB_BTREE_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/btree.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/page.h"
#include "lib/pages.h"

enum {
	/*
	 * Octets of a page; larger is split.  Searching a page is going through
	 * it, so in memory they are small; on disk each costs a record.
	 */
	SHAPE_FULL_MEMORY = 1024,
	SHAPE_FULL_DISK = 2048,
	SHAPE_CHILDREN_MIN =
	    4,           /* of an inner page to be split, or there is no end */
	SHAPE_SPARE = 4, /* what fills less than a part is put to another */
	SHAPE_DEPTH_MAX = 24,      /* deeper is damage */
	SHAPE_PAGE_MAX = 64 * 1024 /* more than any page of entries has */
};

/* One page of the way down, and what was found there. */
struct btree_step {
	uint64_t number;
	struct slice page; /* in octets, or the pages' own */
	struct page_place place;
	struct buf octets;
};

/*
 * The last leaf of a set, and its last key: what is above that goes behind it,
 * without looking for its place.
 */
struct btree_edge {
	bool known;
	uint64_t undone; /* pages_undone() then */
	uint64_t number;
	struct page_tail tail;
};

/*
 * In an inner page an entry's child has the keys from the entry's on, up to the
 * next entry's.  The first entry's key is empty: it has all below the second's.
 */
struct btree {
	struct pages *pages;
	size_t full;
	struct pages_root root;
	size_t depth; /* steps in use; the last is a leaf */
	struct btree_step steps[SHAPE_DEPTH_MAX];
	/* What they lead to, as of a version of the pages; 0: to nothing.  Who
	 * changes a record has mostly just looked it up. */
	uint64_t version;
	struct pages_set found_set;
	struct buf found_key;
	struct btree_edge **edges; /* by set; NULL until a put was at one */
	struct page_patch patch;
	struct buf half, value, separator, taken; /* scratch */

	/* A scan's page. */
	struct pages_set scan_set;
	struct buf leaf;
	struct page_reader reader;
};

/* Always -1. */
int shape_damaged(struct err *err);

/* Puts bt->patch into the page of a step. */
int shape_patch(struct btree *bt, struct pages_set set, struct btree_step *s,
    struct err *err) MUST_CHECK;

/* The last step's page was changed, to len octets: splits it if need be, and so
 * upwards. */
int shape_split(struct btree *bt, struct pages_set set, size_t len,
    struct err *err) MUST_CHECK;

/* An entry out of the page of a step; *len: octets left. */
int shape_drop(struct btree *bt, struct pages_set set, struct btree_step *s,
    struct slice key, size_t *len, struct err *err) MUST_CHECK;

/* After that, in a leaf: pages that are empty go, small ones join. */
int shape_tidy(struct btree *bt, struct pages_set set, size_t len,
    struct err *err) MUST_CHECK;

#endif
