#include <stdlib.h>

#include "lib/hash.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	MAP_FIRST = 16 /* slots; a power of two, and so ever after */
};

struct map_node {
	struct map_node *next;
	uint64_t hash;
	void *value;
	size_t len;
	uint8_t octets[];
};

void
map_init(struct map *m)
{
	*m = (struct map){ 0 };
	rand_bytes(m->key, sizeof(m->key));
}

void
map_fini(struct map *m)
{
	for (size_t i = 0; i < m->nslots; i++) {
		while (m->slots[i] != NULL) {
			struct map_node *n = m->slots[i];

			m->slots[i] = n->next;
			free(n);
		}
	}
	free(m->slots);
	m->slots = NULL;
	m->nslots = m->count = 0;
}

/* Where the pointer to the key's node is, or would be. */
static struct map_node **
place(const struct map *m, uint64_t hash, struct slice key)
{
	struct map_node **np = &m->slots[hash & (m->nslots - 1)];

	while (*np != NULL &&
	       ((*np)->hash != hash ||
	           !slice_equal(slice_of((*np)->octets, (*np)->len), key)))
		np = &(*np)->next;
	return np;
}

void *
map_find(const struct map *m, struct slice key)
{
	struct map_node *n;

	if (m->count == 0)
		return NULL;
	n = *place(m, hash_sip(m->key, key), key);
	return n == NULL ? NULL : n->value;
}

static void
grow(struct map *m)
{
	size_t nslots = m->nslots == 0 ? MAP_FIRST : m->nslots * 2;
	struct map_node **slots = xcalloc(nslots, sizeof(struct map_node *));

	for (size_t i = 0; i < m->nslots; i++) {
		while (m->slots[i] != NULL) {
			struct map_node *n = m->slots[i];

			m->slots[i] = n->next;
			n->next = slots[n->hash & (nslots - 1)];
			slots[n->hash & (nslots - 1)] = n;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->nslots = nslots;
}

void *
map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = hash_sip(m->key, key);
	struct map_node **np, *n;
	void *old;

	MUST(value != NULL);
	if (m->count >= m->nslots)
		grow(m);
	np = place(m, hash, key);
	if (*np != NULL) {
		old = (*np)->value;
		(*np)->value = value;
		return old;
	}
	n = xcalloc(1, sizeof(*n) + key.len);
	n->hash = hash;
	n->value = value;
	n->len = key.len;
	if (key.len > 0)
		memcpy(n->octets, key.ptr, key.len);
	*np = n;
	m->count++;
	return NULL;
}

void *
map_remove(struct map *m, struct slice key)
{
	struct map_node **np, *n;
	void *value;

	if (m->count == 0)
		return NULL;
	np = place(m, hash_sip(m->key, key), key);
	if (*np == NULL)
		return NULL;
	n = *np;
	*np = n->next;
	value = n->value;
	free(n);
	m->count--;
	return value;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

void
map_each(struct map *m, map_visit *visit, void *arg)
{
	for (size_t i = 0; i < m->nslots; i++) {
		struct map_node *n, *next;

		for (n = m->slots[i]; n != NULL; n = next) {
			next = n->next;
			if (!visit(arg, slice_of(n->octets, n->len), n->value))
				return;
		}
	}
}
