/*
 * deflate: octets compressed one way and the other (RFC 1951), for
 * COMPRESS=DEFLATE (RFC 4978).  zlib's door.
 *
 * Memory: what compresses takes about 70 kB, what inflates about 40 kB.  At
 * rest the first takes nothing, and the second what the peer may still refer
 * to: as many octets as it has sent since the beginning, 32 kB at most.
 */
#ifndef LIB_DEFLATE_H
#define LIB_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct deflate;

struct deflate *deflate_new(void);
void deflate_free(struct deflate **dp);

enum deflate_how {
	DEFLATE_MORE, /* follows at once */
	DEFLATE_FLUSH /* the peer is to see all of it now */
};

/* As buf_put() does, out may fail. */
void deflate_put(struct deflate *d, struct slice in, enum deflate_how how,
    struct buf *out);

/*
 * Inflates into room octets at out: *made are there, *used were taken of in.
 * If room was filled there may be more to come, without more input.  -1: it is
 * malformed.
 */
int deflate_take(struct deflate *d, struct slice in, size_t *used, uint8_t *out,
    size_t room, size_t *made) MUST_CHECK;

/* The peer has ended it: no more is taken. */
bool deflate_is_over(const struct deflate *d);

/* Nothing goes on: memory is given back as far as it can be. */
void deflate_rest(struct deflate *d);

#endif
