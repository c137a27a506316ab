#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/xalloc.h"

static void *
or_die(void *p, size_t n)
{
	if (p == NULL) {
		fprintf(stderr, "out of memory: %zu octets\n", n);
		abort();
	}
	return p;
}

void *
xmalloc(size_t n)
{
	return or_die(malloc(n > 0 ? n : 1), n);
}

void *
xcalloc(size_t n, size_t size)
{
	if (n == 0 || size == 0)
		n = size = 1;
	return or_die(calloc(n, size), size);
}

void *
xrealloc(void *p, size_t n)
{
	return or_die(realloc(p, n > 0 ? n : 1), n);
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	size_t total;

	MUST(!__builtin_mul_overflow(n, size, &total));
	return xrealloc(p, total);
}

char *
xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

void *
xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *
xstrndup(const void *p, size_t n)
{
	char *s = xmalloc(n + 1);

	if (n > 0)
		memcpy(s, p, n);
	s[n] = '\0';
	return s;
}

void
wipe(void *p, size_t n)
{
	if (n == 0)
		return;
	memset(p, 0, n);
	/* The octets are used, as far as the compiler can tell. */
	__asm__ __volatile__("" : : "r"(p) : "memory");
}
