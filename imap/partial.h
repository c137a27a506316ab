/*
 * partial: a window on results, "1:500" or "-1:-100" (RFC 9394, RFC 5267), of
 * SEARCH, SORT and UID FETCH.
 */
#ifndef IMAP_PARTIAL_H
#define IMAP_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct parse;

/* Zeroed, it is none: everything. */
struct partial {
	uint32_t first, last; /* as sent, in either order; 0: none */
	bool from_end;        /* 1 is the last result, 2 the one before */
};

/* Parse the range, from behind "PARTIAL ". */
void partial_parse(struct parse *p, struct partial *r);

static inline bool
partial_given(const struct partial *r)
{
	return r->first != 0;
}

/*
 * Of count results in order: those from *from up to, without, *to, counted
 * from 0.  False: none of them.
 */
bool partial_window(const struct partial *r, size_t count, size_t *from,
    size_t *to);

/* As it was sent. */
void partial_put(struct buf *out, const struct partial *r);

#endif
