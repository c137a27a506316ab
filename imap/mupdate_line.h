/*
 * mupdate_line: a line of MUPDATE, made in one piece of a buffer.
 *
 * Lists are a million of them, so their length is bounded once and the octets
 * are written without asking again.  For imap/mupdate_*.c only.
 */
#ifndef IMAP_MUPDATE_LINE_H
#define IMAP_MUPDATE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/slice.h"

enum {
	MUPDATE_LINE_NUMBER = 20, /* digits at most */
	/* Around the octets of any piece: a space, {n+} CR LF or quotes. */
	MUPDATE_LINE_PIECE = MUPDATE_LINE_NUMBER + 8
};

struct mupdate_line {
	struct buf *out;
	uint8_t *from, *at;
	size_t room;
};

/* most: octets of its pieces, and MUPDATE_LINE_PIECE for each.  False: the
 * buffer has no room and has failed. */
static inline bool
mupdate_line_begin(struct mupdate_line *l, struct buf *out, size_t most)
{
	size_t n = most;

	*l = (struct mupdate_line){ .out = out, .room = most };
	l->from = l->at = buf_space(out, &n);
	if (n < most)
		out->failed = true;
	return !out->failed;
}

static inline void
mupdate_line_octets(struct mupdate_line *l, const void *p, size_t n)
{
	if (n > 0)
		memcpy(l->at, p, n);
	l->at += n;
}

static inline void
mupdate_line_slice(struct mupdate_line *l, struct slice s)
{
	mupdate_line_octets(l, s.ptr, s.len);
}

static inline void
mupdate_line_number(struct mupdate_line *l, uint64_t n)
{
	uint8_t digits[MUPDATE_LINE_NUMBER];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (uint8_t)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	mupdate_line_octets(l, digits + i, sizeof(digits) - i);
}

/* A space and s as a literal. */
static inline void
mupdate_line_string(struct mupdate_line *l, struct slice s)
{
	mupdate_line_octets(l, " {", 2);
	mupdate_line_number(l, s.len);
	mupdate_line_octets(l, "+}\r\n", 4);
	mupdate_line_slice(l, s);
}

/* A space and s, quoted; it holds neither quotes nor controls. */
static inline void
mupdate_line_word(struct mupdate_line *l, struct slice s)
{
	mupdate_line_octets(l, " \"", 2);
	mupdate_line_slice(l, s);
	mupdate_line_octets(l, "\"", 1);
}

static inline void
mupdate_line_quoted_number(struct mupdate_line *l, uint64_t n)
{
	mupdate_line_octets(l, " \"", 2);
	mupdate_line_number(l, n);
	mupdate_line_octets(l, "\"", 1);
}

static inline void
mupdate_line_end(struct mupdate_line *l)
{
	mupdate_line_octets(l, "\r\n", 2);
	MUST((size_t)(l->at - l->from) <= l->room);
	buf_grew(l->out, (size_t)(l->at - l->from));
}

#endif
