#include <stdlib.h>

#include "backendd/nameset.h"
#include "lib/hash.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	SLOTS_FIRST = 1024
};

void
nameset_init(struct nameset *s)
{
	*s = (struct nameset){ .slots = NULL };
	rand_bytes(s->key, sizeof(s->key));
}

void
nameset_fini(struct nameset *s)
{
	free(s->slots);
	*s = (struct nameset){ .slots = NULL };
}

static uint64_t
hash_of(const struct nameset *s, struct slice name)
{
	uint64_t h = hash_sip(s->key, name);

	return h == 0 ? 1 : h;
}

/* Where it is, or where it would be.  There is always a free slot. */
static size_t
place(const struct nameset *s, uint64_t h)
{
	size_t i = (size_t)h & (s->nslots - 1);

	while (s->slots[i] != 0 && s->slots[i] != h)
		i = (i + 1) & (s->nslots - 1);
	return i;
}

static void
grow(struct nameset *s)
{
	uint64_t *old = s->slots;
	size_t nold = s->nslots;

	s->nslots = nold == 0 ? SLOTS_FIRST : 2 * nold;
	s->slots = xcalloc(s->nslots, sizeof(*s->slots));
	for (size_t i = 0; i < nold; i++)
		if (old[i] != 0)
			s->slots[place(s, old[i])] = old[i];
	free(old);
}

void
nameset_add(struct nameset *s, struct slice name)
{
	uint64_t h = hash_of(s, name);
	size_t i;

	if (2 * s->count >= s->nslots)
		grow(s);
	i = place(s, h);
	s->count += s->slots[i] == 0;
	s->slots[i] = h;
}

bool
nameset_has(const struct nameset *s, struct slice name)
{
	return s->nslots > 0 && s->slots[place(s, hash_of(s, name))] != 0;
}
