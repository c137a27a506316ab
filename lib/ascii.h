/*
 * ascii: characters and numbers of protocols, independent of the locale.
 */
#ifndef LIB_ASCII_H
#define LIB_ASCII_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

static inline bool
ascii_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool
ascii_alpha(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static inline bool
ascii_alnum(uint8_t c)
{
	return ascii_alpha(c) || ascii_digit(c);
}

static inline uint8_t
ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static inline uint8_t
ascii_upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c & ~0x20) : c;
}

/* 0 to 15, or -1. */
int ascii_hex(uint8_t c);

/*
 * The whole of s is decimal digits and at most max: true, and *n.  No sign, no
 * space, no empty number; leading zeros are allowed.
 */
bool ascii_number(struct slice s, uint64_t max, uint64_t *n);

#endif
