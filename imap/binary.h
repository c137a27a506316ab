/*
 * binary: a message with NULs in it, as every client can be served it.
 *
 * A literal8 (RFC 3516) brings parts whose encoding is "binary".  BODY[] and
 * BODYSTRUCTURE must show each message as one without NULs, so a part that has
 * one is stored in base64, and its header, and the headers of what it is in,
 * say so.  What has no NUL stays as it came, octet for octet: signatures hold.
 *
 * The law: FETCH BINARY of a part gives the octets that came.
 */
#ifndef IMAP_BINARY_H
#define IMAP_BINARY_H

#include <stddef.h>

#include "lib/slice.h"

struct arena;
struct mime;

enum binary_kind {
	BINARY_AS_IS,
	BINARY_TO_BASE64 /* as lines of base64, the last one ended too */
};

enum {
	BINARY_LINE = 57 /* octets that make a line of base64 */
};

struct binary_piece {
	enum binary_kind kind;
	struct slice octets;
};

/*
 * The pieces, one after another, are the message without NULs but those that
 * are in no part's body: look again.  Octets are of the message or in the
 * arena.
 */
const struct binary_piece *binary_pieces(struct arena *a, struct slice message,
    const struct mime *m, size_t *n);

#endif
