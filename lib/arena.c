#include <stdarg.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	ARENA_SMALL = 464,  /* payload of the first block: a NOOP's */
	ARENA_MIDDLE = 976, /* of the second */
	ARENA_BLOCK = 4000, /* of the others */
	ARENA_LARGE = 1000  /* from here a piece has a block of its own */
};

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) uint8_t octets[];
};

void
arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

void
arena_reset(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	a->used = 0;
}

void
arena_again(struct arena *a)
{
	struct arena_block *b = a->blocks;

	if (b == NULL || b->next != NULL || b->size > ARENA_MIDDLE) {
		arena_reset(a);
		return;
	}
	memset(b->octets, 0, b->used);
	b->used = 0;
	a->used = 0;
}

/* Behind a's first block, in which there may be room left. */
void
arena_join(struct arena *a, struct arena *from)
{
	struct arena_block **end = &a->blocks;

	if (*end != NULL)
		end = &(*end)->next;
	while (from->blocks != NULL) {
		struct arena_block *b = from->blocks;

		from->blocks = b->next;
		b->next = *end;
		*end = b;
		end = &b->next;
	}
	a->used += from->used;
	from->used = 0;
}

static struct arena_block *
block_new(size_t size)
{
	struct arena_block *b;

	MUST(size <= SIZE_MAX / 2);
	b = xcalloc(1, sizeof(*b) + size);
	b->size = size;
	return b;
}

/*
 * A block for one large piece goes behind the head, so that what is left of
 * the head is still used.
 */
static void *
large(struct arena *a, size_t n)
{
	struct arena_block *b = block_new(n);

	b->used = n;
	if (a->blocks == NULL) {
		a->blocks = b;
	} else {
		b->next = a->blocks->next;
		a->blocks->next = b;
	}
	return b->octets;
}

/* They grow: most arenas never need another block. */
static size_t
block_size(const struct arena_block *last, size_t n)
{
	if (last == NULL && n <= ARENA_SMALL)
		return ARENA_SMALL;
	if ((last == NULL || last->size <= ARENA_SMALL) && n <= ARENA_MIDDLE)
		return ARENA_MIDDLE;
	return ARENA_BLOCK;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *b = a->blocks;
	void *p;

	MUST(n <= SIZE_MAX / 4);
	n = n == 0 ? align : (n + align - 1) / align * align;
	a->used += n;
	if (n >= ARENA_LARGE)
		return large(a, n);
	if (b == NULL || b->size - b->used < n) {
		b = block_new(block_size(b, n) / align * align);
		b->next = a->blocks;
		a->blocks = b;
	}
	p = b->octets + b->used;
	b->used += n;
	return p;
}

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	MUST(!__builtin_mul_overflow(n, size, &total));
	return arena_alloc(a, total);
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.len);

	if (s.len > 0)
		memcpy(p, s.ptr, s.len);
	return slice_of(p, s.len);
}

char *
arena_string(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (s.len > 0)
		memcpy(p, s.ptr, s.len);
	return p;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	MUST(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}
