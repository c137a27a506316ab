#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/must.h"
#include "lib/keyset.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	SLOTS_FIRST = 64, /* a power of two, and so ever after */
	HEAD = 2,         /* octets before a name */
	REMOVED = 0x8000  /* in its head */
};

void
keyset_init(struct keyset *n, size_t ceiling)
{
	MUST(ceiling < UINT32_MAX);
	*n = (struct keyset){ 0 };
	buf_init(&n->names, ceiling);
	rand_bytes(n->key, sizeof(n->key));
}

void
keyset_fini(struct keyset *n)
{
	buf_fini(&n->names);
	free(n->slots);
	n->slots = NULL;
	n->nslots = n->used = n->count = 0;
}

static uint16_t
head_at(const struct keyset *n, size_t at)
{
	const uint8_t *p = buf_data(&n->names) + at;

	return (uint16_t)(p[0] << 8 | p[1]);
}

static struct slice
name_at(const struct keyset *n, size_t at)
{
	return slice_of(buf_data(&n->names) + at + HEAD,
	    head_at(n, at) & KEYSET_NAME_MAX);
}

/* The slot that has the name, or where it would go. */
static size_t
find(const struct keyset *n, struct slice name)
{
	size_t i = hash_sip(n->key, name) & (n->nslots - 1);

	while (
	    n->slots[i] != 0 && !slice_equal(name_at(n, n->slots[i] - 1), name))
		i = (i + 1) & (n->nslots - 1);
	return i;
}

static void
grow(struct keyset *n)
{
	uint32_t *old = n->slots;
	size_t nold = n->nslots;

	n->nslots = nold == 0 ? SLOTS_FIRST : nold * 2;
	n->slots = xcalloc(n->nslots, sizeof(*n->slots));
	for (size_t i = 0; i < nold; i++)
		if (old[i] != 0)
			n->slots[find(n, name_at(n, old[i] - 1))] = old[i];
	free(old);
}

/* A name keeps its place when it is removed, and has it again when put. */
static void
mark(struct keyset *n, size_t at, bool removed)
{
	uint16_t head = head_at(n, at);
	uint8_t *p;

	if (((head & REMOVED) != 0) == removed)
		return;
	/* The buffer is ours, and its octets are only lent as const. */
	p = (uint8_t *)(uintptr_t)buf_data(&n->names) + at;
	p[0] ^= REMOVED >> 8;
	if (removed)
		n->count--;
	else
		n->count++;
}

void
keyset_put(struct keyset *n, struct slice name)
{
	size_t at = buf_len(&n->names), i;

	MUST(name.len <= KEYSET_NAME_MAX);
	if (n->used * 4 >= n->nslots * 3)
		grow(n);
	i = find(n, name);
	if (n->slots[i] != 0) {
		mark(n, n->slots[i] - 1, false);
		return;
	}
	if (buf_room(&n->names) < HEAD + name.len) {
		/* Too much: this fails the buffer, and so the set. */
		buf_put(&n->names, NULL, buf_room(&n->names) + 1);
		return;
	}
	buf_putc(&n->names, (uint8_t)(name.len >> 8));
	buf_putc(&n->names, (uint8_t)name.len);
	buf_put_slice(&n->names, name);
	if (buf_failed(&n->names))
		return;
	n->slots[i] = (uint32_t)at + 1;
	n->used++;
	n->count++;
}

void
keyset_remove(struct keyset *n, struct slice name)
{
	size_t i;

	if (n->count == 0)
		return;
	i = find(n, name);
	if (n->slots[i] != 0)
		mark(n, n->slots[i] - 1, true);
}

bool
keyset_has(const struct keyset *n, struct slice name)
{
	size_t i;

	if (n->count == 0)
		return false;
	i = find(n, name);
	return n->slots[i] != 0 && !(head_at(n, n->slots[i] - 1) & REMOVED);
}

size_t
keyset_count(const struct keyset *n)
{
	return n->count;
}

bool
keyset_failed(const struct keyset *n)
{
	return buf_failed(&n->names);
}

bool
keyset_next(const struct keyset *n, size_t *at, struct slice *name)
{
	while (*at < buf_len(&n->names)) {
		size_t here = *at;

		*name = name_at(n, here);
		*at += HEAD + name->len;
		if (!(head_at(n, here) & REMOVED))
			return true;
	}
	return false;
}
