/*
 * utf8: RFC 3629, strict: no surrogates, no overlong forms, at most U+10FFFF.
 */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;

bool utf8_valid(struct slice s);

/* Takes one code point off the front; UINT32_MAX if it is malformed or none. */
uint32_t utf8_take(struct slice *s);

/* Octets of it, one to four; how many. */
size_t utf8_encode(uint8_t room[4], uint32_t codepoint);
void utf8_put(struct buf *b, uint32_t codepoint);

#endif
