/*
 * slice: octets somebody else keeps, and how many.  Passed by value.
 */
#ifndef LIB_SLICE_H
#define LIB_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/must.h"

struct slice {
	const uint8_t *ptr; /* borrowed; may be NULL if len is 0 */
	size_t len;
};

static inline struct slice
slice_of(const void *p, size_t n)
{
	return (struct slice){ p, n };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ (const uint8_t *)s, strlen(s) };
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len &&
	       (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Octet order, shorter first. */
int slice_compare(struct slice a, struct slice b);

/* ASCII letters in any case, whatever the locale. */
bool slice_equal_nocase(struct slice a, struct slice b);

/* Is it this text, in exactly this case / in any case? */
bool slice_is(struct slice a, const char *s);
static inline bool
slice_is_nocase(struct slice a, const char *s)
{
	return slice_equal_nocase(a, slice_str(s));
}

bool slice_starts(struct slice a, struct slice prefix);
bool slice_starts_nocase(struct slice a, const char *prefix);

/* The rest after n octets; n is at most a.len. */
static inline struct slice
slice_skip(struct slice a, size_t n)
{
	MUST(n <= a.len);
	/* NULL + 0 is undefined in C11. */
	return n == 0 ? a : slice_of(a.ptr + n, a.len - n);
}

/* First n octets; n is at most a.len. */
static inline struct slice
slice_first(struct slice a, size_t n)
{
	MUST(n <= a.len);
	return slice_of(a.ptr, n);
}

/* How many octets both begin with. */
size_t slice_common(struct slice a, struct slice b);

/* Where c is first / last; a.len if nowhere. */
static inline size_t
slice_find(struct slice a, uint8_t c)
{
	const uint8_t *p = a.len > 0 ? memchr(a.ptr, c, a.len) : NULL;

	return p == NULL ? a.len : (size_t)(p - a.ptr);
}

size_t slice_rfind(struct slice a, uint8_t c);

/* The next word of s, between spaces; s moves behind it.  len 0: none is left. */
struct slice slice_word(struct slice *s);

/* Where c is first outside "quoted strings" (with \ and \"); else a.len. */
size_t slice_find_unquoted(struct slice a, uint8_t c);

/* Without spaces and tabs (CR and LF too) at either end. */
struct slice slice_trim(struct slice a);

#endif
