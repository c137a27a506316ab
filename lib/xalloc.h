/*
 * xalloc: memory or death.  Running out is fatal here; being made to run out
 * is prevented by limits, checked before anything is allocated.
 */
#ifndef LIB_XALLOC_H
#define LIB_XALLOC_H

#include <stddef.h>

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size); /* zeroed; dies on overflow */
void *xrealloc(void *p, size_t n);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
void *xmemdup(const void *p, size_t n);
char *xstrndup(const void *p, size_t n); /* n octets and a NUL */

/* Overwrites a secret; the compiler may not leave it out. */
void wipe(void *p, size_t n);

#endif
