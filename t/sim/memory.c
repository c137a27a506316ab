/*
 * memory: lib/xalloc.h, and free(), with an owner for each block, so that a
 * process can die without being asked to tidy up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/world.h"
#include "t/sim/wrap.h"

#define MAGIC 0x51b10c6d51b10c6du

struct block {
	struct block *next, **prev;
	struct proc *owner;
	uint64_t magic;
};

_Static_assert(sizeof(struct block) % 16 == 0, "what follows is aligned");

static struct block *
block_of(void *p)
{
	struct block *b = (struct block *)p - 1;

	MUST(b->magic == MAGIC);
	return b;
}

static void
link_in(struct block *b)
{
	struct block **head;

	b->prev = NULL;
	b->next = NULL;
	if (b->owner == NULL)
		return;
	head = &b->owner->memory;
	b->next = *head;
	if (b->next != NULL)
		b->next->prev = &b->next;
	b->prev = head;
	*head = b;
}

static void
link_out(struct block *b)
{
	if (b->prev == NULL)
		return;
	*b->prev = b->next;
	if (b->next != NULL)
		b->next->prev = b->prev;
}

static void *
fresh(size_t n, struct proc *owner)
{
	struct block *b = malloc(sizeof(*b) + n);

	if (b == NULL)
		abort();
	b->owner = owner;
	b->magic = MAGIC;
	link_in(b);
	return b + 1;
}

void *
xmalloc(size_t n)
{
	return fresh(n > 0 ? n : 1, proc_current());
}

void *
xcalloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	MUST(!__builtin_mul_overflow(n, size, &total));
	p = xmalloc(total);
	memset(p, 0, total);
	return p;
}

void *
xrealloc(void *p, size_t n)
{
	struct block *b;

	if (p == NULL)
		return xmalloc(n);
	b = block_of(p);
	link_out(b);
	b = realloc(b, sizeof(*b) + (n > 0 ? n : 1));
	if (b == NULL)
		abort();
	link_in(b);
	return b + 1;
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	size_t total;

	MUST(!__builtin_mul_overflow(n, size, &total));
	return xrealloc(p, total);
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
xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
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
	if (n > 0)
		memset(p, 0, n);
}

void
__wrap_free(void *p)
{
	struct block *b;

	if (p == NULL)
		return;
	b = block_of(p);
	b->magic = 0;
	link_out(b);
	__real_free(b);
}

void
memory_drop(struct proc *p)
{
	struct block *b;

	while ((b = p->memory) != NULL) {
		link_out(b);
		__real_free(b);
	}
}
