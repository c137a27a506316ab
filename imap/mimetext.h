/*
 * mimetext: the text of a message as a reader sees it, as a stream of UTF-8.
 *
 * Bodies of text parts and of what is like text are decoded (transfer encoding
 * and charset), headers unfolded and their words decoded; other parts are left
 * out.  Memory is that of one piece of the text, however long the message.
 */
#ifndef IMAP_MIMETEXT_H
#define IMAP_MIMETEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct arena;
struct mime;

/*
 * Some octets of text, whole characters.  ends: a field or a part is over, what
 * follows does not join it.  Returning false stops.
 */
typedef bool mimetext_cb(void *arg, struct slice utf8, bool ends);

enum mimetext_scope {              /* bits */
	MIMETEXT_HEADER = 1 << 0,  /* the message's own */
	MIMETEXT_HEADERS = 1 << 1, /* those of parts and messages in it */
	MIMETEXT_BODIES = 1 << 2
};

/* The arena is for scratch. */
void mimetext_read(struct arena *a, struct slice message, const struct mime *m,
    unsigned scope, mimetext_cb *cb, void *arg);

/* One part's body, if it is text. */
struct mime_part;
void mimetext_read_body(struct arena *a, struct slice message,
    const struct mime_part *p, mimetext_cb *cb, void *arg);

/* The same, of a part whose header says that its type is type. */
struct header_field;
struct mime_value;
void mimetext_read_as(struct slice body, const struct mime_value *type,
    const struct header_field *encoding, mimetext_cb *cb, void *arg);

#endif
