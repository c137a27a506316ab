/*
 * charset: text of messages as UTF-8.
 *
 * us-ascii, utf-8, iso-8859-1, iso-8859-15 and windows-1252 are built in, so
 * they work wherever the process is confined; others go through iconv(3).
 * What a charset has no meaning for becomes U+FFFD: searching must not fail
 * because a message lies about itself.
 *
 * A charset is a converter for a stream of octets; its law is that cuts do
 * not matter.
 */
#ifndef IMAP_CHARSET_H
#define IMAP_CHARSET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct charset;

/* NULL if the name (in any case) is of no charset known here. */
struct charset *charset_new(struct slice name);

/*
 * Is it one?  What mailers write who do not know theirs ("x-unknown") is read
 * as UTF-8, and is none.
 */
bool charset_is_known(struct slice name);

/* Frees and sets *cp to NULL; NULL is fine. */
void charset_free(struct charset **cp);

/* UTF-8 for these octets; what an incomplete character needs is kept. */
void charset_put(struct charset *c, struct slice in, struct buf *out);

/* The end of the octets; c is as new. */
void charset_end(struct charset *c, struct buf *out);

/* A whole text at once.  -1: no such charset, out has in's octets as ASCII. */
int charset_convert(struct buf *out, struct slice name,
    struct slice in) MUST_CHECK;

/*
 * A header's value: unfolded, encoded words (RFC 2047) decoded, spaces between
 * two of them dropped.  False: something became U+FFFD, or a word was in a
 * charset that is not known.
 */
bool charset_header(struct buf *out, struct slice value);

/* The same with the words' octets as they are, in whatever charset. */
void charset_header_octets(struct buf *out, struct slice value);

#endif
