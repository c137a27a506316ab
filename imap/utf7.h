/*
 * utf7: the modified UTF-7 of mailbox names (RFC 3501 5.1.3), strictly: one
 * form for each name, so that equal names are equal octets.
 */
#ifndef IMAP_UTF7_H
#define IMAP_UTF7_H

#include <stdbool.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;

/* Well formed and in the one form that utf7_encode() makes? */
bool utf7_valid(struct slice s);

/* UTF-7 to UTF-8; -1 if s is not utf7_valid(): out is then unchanged. */
int utf7_decode(struct buf *out, struct slice s) MUST_CHECK;

/* UTF-8 to UTF-7; -1 if s is no UTF-8: out is then unchanged. */
int utf7_encode(struct buf *out, struct slice s) MUST_CHECK;

#endif
