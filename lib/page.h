/*
 * page: a few kilobytes of sorted entries, each told by its difference to its
 * neighbours.
 *
 * An entry is a key and a value.  Of a key only what the one before it does
 * not begin with is kept; of a value, where that is shorter, how it differs
 * from the last one before it that is kept whole (the base).  So a user's ten
 * mailboxes on one server with one ACL take little more than one.  Nothing
 * here does I/O or knows of other pages; octets in, octets out.
 *
 * A page of level 0 is a leaf; above it values are numbers of other pages.
 * A far value is a number, too: of a page that holds nothing else.
 *
 * The laws: entries put and not deleted are found, in octet order of their
 * keys, with their values; octets that are no page are refused, never
 * followed.
 */
#ifndef LIB_PAGE_H
#define LIB_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	PAGE_KEY_MAX = 1300,
	PAGE_NEAR_MAX = 512, /* octets of a value in its page */
	PAGE_HEAD = 1        /* octets of a page without entries */
};

/* A value, to put or as it is found: number of a far one, else octets. */
struct page_value {
	bool far;
	uint64_t number;
	struct slice octets;
};

/* Octets of a page. */
struct page_span {
	size_t at, len;
};

/* Where a key is in a page, or would be.  Borrows the page and no key. */
struct page_place {
	struct slice page;
	bool found;
	bool at_end;          /* no entry is at the key or above it */
	size_t at, end;       /* the first entry not below the key */
	size_t suffix, value; /* its parts begin there */
	size_t shared;        /* octets it takes from the key before */
	size_t common;        /* octets it begins with as the key does */
	size_t before_common; /* the same, of the entry before */
	unsigned kind;
	struct page_span base;    /* for the entry found */
	struct page_span earlier; /* the base before it */
	struct page_span before;  /* the value of the entry before */
	bool has_before;
};

/* An empty page. */
void page_start(struct buf *out, unsigned level);
unsigned page_level(struct slice page);

/* 0, or -1: it is no page. */
int page_find(struct page_place *p, struct slice page,
    struct slice key) MUST_CHECK;

/*
 * The value of the entry found; octets are put into room and borrowed from it,
 * if they are not in the page whole.  -1: it is no page.
 */
int page_read(const struct page_place *p, struct buf *room,
    struct page_value *v) MUST_CHECK;

/*
 * For inner pages: the number of the page where the key is to be looked for.
 * The first one is also for keys below its own.
 */
int page_child(const struct page_place *p, uint64_t *number) MUST_CHECK;

/* 1 and the number of the page behind that one; 0: there is none; -1. */
int page_after(const struct page_place *p, uint64_t *number) MUST_CHECK;

/* Instead of the octets from "from" to "to" of a page. */
struct page_patch {
	size_t from, to;
	struct buf octets;
};

/* With patch->octets initialised: what puts the value there, or replaces. */
int page_put(const struct page_place *p, struct slice key,
    const struct page_value *v, struct page_patch *patch) MUST_CHECK;

/* What takes away the entry found. */
int page_delete(const struct page_place *p, struct slice key,
    struct page_patch *patch) MUST_CHECK;

/* Entries one after another.  Embed it. */
struct page_reader {
	struct slice page, base;
	size_t at, end; /* of the entry read */
	size_t key_len;
	struct buf room;
	uint8_t key[PAGE_KEY_MAX];
};

void page_reader_init(struct page_reader *r, struct slice page);
void page_reader_fini(struct page_reader *r);

/* Next is the entry where p has found the key, or a place for it. */
void page_reader_seek(struct page_reader *r, const struct page_place *p,
    struct slice key);

/* 1 and an entry, borrowed until the next; 0 at the end; -1: it is no page. */
int page_reader_next(struct page_reader *r, struct slice *key,
    struct page_value *v) MUST_CHECK;

/* How a page ends: what an entry behind its last is told by.  Embed it. */
struct page_tail {
	struct page_span base;
	size_t key_len; /* of the last entry; 0: there may be none */
	uint8_t key[PAGE_KEY_MAX];
};

/* 0, or -1: it is no page. */
int page_tail_find(struct page_tail *t, struct slice page) MUST_CHECK;

/*
 * The octets of an entry behind the last are appended to out, which may be the
 * page's own buffer; t is as of the page with them.
 */
void page_append(struct page_tail *t, struct slice page, struct slice key,
    const struct page_value *v, struct buf *out);

/* Entries, in order, into a page that is being made anew. */
struct page_writer {
	struct buf *out;
	struct page_tail tail;
};

/* Borrows out, which holds a page without entries. */
void page_writer_init(struct page_writer *w, struct buf *out);
void page_writer_put(struct page_writer *w, struct slice key,
    const struct page_value *v);

#endif
