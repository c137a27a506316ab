#include <stdlib.h>

#include "imap/mboxrec.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "mupdated/holders.h"

void
holders_init(struct holders *h)
{
	*h = (struct holders){ 0 };
	map_init(&h->hosts);
	map_init(&h->reserved);
}

static bool
free_value(void *arg, struct slice key, void *value)
{
	(void)arg;
	(void)key;
	free(value);
	return true;
}

void
holders_fini(struct holders *h)
{
	map_each(&h->hosts, free_value, NULL);
	map_each(&h->reserved, free_value, NULL);
	map_fini(&h->hosts);
	map_fini(&h->reserved);
}

/* The value of the key, made of zeros if there is none. */
static void *
obtain(struct map *m, struct slice key, size_t size)
{
	void *value = map_find(m, key);

	if (value == NULL) {
		value = xcalloc(1, size);
		map_put(m, key, value);
	}
	return value;
}

void
holders_add(struct holders *h, struct slice name, const struct mboxrec *r)
{
	uint64_t *reserved;

	h->entries++;
	mboxdigest_add(obtain(&h->hosts, mboxrec_host(r->location),
	                   sizeof(struct mboxdigest)),
	    name, r);
	if (r->state != MBOXREC_RESERVED)
		return;
	h->reservations++;
	reserved = obtain(&h->reserved, r->owner, sizeof(*reserved));
	++*reserved;
}

void
holders_remove(struct holders *h, struct slice name, const struct mboxrec *r)
{
	struct slice host = mboxrec_host(r->location);
	struct mboxdigest *d = map_find(&h->hosts, host);
	uint64_t *reserved;

	MUST(d != NULL && d->count > 0);
	h->entries--;
	mboxdigest_remove(d, name, r);
	if (d->count == 0)
		free(map_remove(&h->hosts, host));
	if (r->state != MBOXREC_RESERVED)
		return;
	h->reservations--;
	reserved = map_find(&h->reserved, r->owner);
	MUST(reserved != NULL && *reserved > 0);
	if (--*reserved == 0)
		free(map_remove(&h->reserved, r->owner));
}

const struct mboxdigest *
holders_digest(const struct holders *h, struct slice host)
{
	return map_find(&h->hosts, host);
}

size_t
holders_hosts(const struct holders *h)
{
	return map_count(&h->hosts);
}

uint64_t
holders_reserved(const struct holders *h, struct slice owner)
{
	const uint64_t *reserved = map_find(&h->reserved, owner);

	return reserved == NULL ? 0 : *reserved;
}

struct visiting {
	holders_visit *visit;
	void *arg;
};

static bool
visit_owner(void *arg, struct slice key, void *value)
{
	struct visiting *v = arg;

	(void)value;
	v->visit(v->arg, key);
	return true;
}

void
holders_each_owner(const struct holders *h, holders_visit *visit, void *arg)
{
	struct visiting v = { visit, arg };
	/* map_each() lets its visitor remove what it is shown; ours does not,
	 * so the map stays as it is. */
	struct map m = h->reserved;

	map_each(&m, visit_owner, &v);
}
