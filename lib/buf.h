/*
 * buf: a queue of octets with a ceiling.
 *
 * Put at the tail, drop from the head.  The storage grows as needed and never
 * past the ceiling given at birth: a put that would pass it puts nothing and
 * marks the buffer failed, and so does every put after it.  Write a whole
 * response, then ask buf_failed() once.  An empty buffer that has been
 * trimmed holds no storage.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

/* Embed it; the members are buf.c's own. */
struct buf {
	uint8_t *area;
	size_t size; /* octets at area */
	size_t head; /* first octet kept */
	size_t tail; /* just past the last */
	size_t ceiling;
	bool failed;
};

void buf_init(struct buf *b, size_t ceiling);

/* Frees the storage; b is empty, not failed, and may be used again. */
void buf_fini(struct buf *b);

void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_put_slice(struct buf *b, struct slice s);
static inline void buf_putc(struct buf *b, uint8_t c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTFLIKE(2, 3);
void buf_put_number(struct buf *b, uint64_t n);

/* The first n octets are done with; n is at most buf_len(). */
void buf_drop(struct buf *b, size_t n);

/* Forget the last octets, so that n are left; n is at most buf_len(). */
void buf_truncate(struct buf *b, size_t n);

/* Empty again, and not failed; storage is kept. */
void buf_clear(struct buf *b);

/* Give back storage that an empty buffer does not need. */
void buf_trim(struct buf *b);

/* Borrowed, until the next put or drop. */
const uint8_t *buf_data(const struct buf *b);
struct slice buf_slice(const struct buf *b);

size_t buf_len(const struct buf *b);

/* What may still be put. */
size_t buf_room(const struct buf *b);

/*
 * Space for a read straight into the buffer: *n octets wanted, as many or
 * fewer given, NULL if there is no room.  buf_grew() says how many were used.
 */
uint8_t *buf_space(struct buf *b, size_t *n);
void buf_grew(struct buf *b, size_t n);

static inline void
buf_putc(struct buf *b, uint8_t c)
{
	/* The storage may be larger than the ceiling. */
	if (b->tail < b->size && b->tail - b->head < b->ceiling && !b->failed)
		b->area[b->tail++] = c;
	else
		buf_put(b, &c, 1);
}

/* Was a put refused since birth, buf_clear() or buf_fini()? */
bool buf_failed(const struct buf *b) MUST_CHECK;

#endif
