/*
 * preview: the first words of a message, for a list of messages (RFC 8970).
 *
 * Of the first text part that has any words: text/plain before text/html, no
 * attachments.  Decoded, in UTF-8, markup and invisible characters gone,
 * white space made one space each.  Empty if there is no such text: the
 * message is encrypted, a picture.
 */
#ifndef IMAP_PREVIEW_H
#define IMAP_PREVIEW_H

#include "lib/slice.h"

struct arena;
struct mime;

enum {
	PREVIEW_CHARS = 200, /* RFC 8970 3.3 */
	PREVIEW_MAX = 4 * PREVIEW_CHARS
};

/* At most PREVIEW_MAX octets, in the arena. */
struct slice preview_make(struct arena *a, struct arena *scratch,
    struct slice message, const struct mime *m);

#endif
