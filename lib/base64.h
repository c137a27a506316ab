/*
 * base64: RFC 4648 section 4, strict: padded, no line breaks, no spare bits.
 */
#ifndef LIB_BASE64_H
#define LIB_BASE64_H

#include <stddef.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;

void base64_encode(struct buf *out, struct slice in);

/* -1 if in is not base64; out then has what came before. */
int base64_decode(struct buf *out, struct slice in) MUST_CHECK;

#endif
