#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/pages_block.h"
#include "lib/pages_cache.h"
#include "lib/pages_disk.h"
#include "lib/xalloc.h"

enum {
	KEEP = 2048 /* pages, from one transaction to the next */
};

/* A page; block NULL: it is to be deleted. */
struct page {
	struct pages_set set;
	uint64_t number;
	struct block *block;
	bool changed;
};

struct root {
	struct pages_disk_root root;
	bool known, changed;
};

struct cache {
	struct db *db;
	struct map pages;
	struct page **changed; /* to be written */
	size_t nchanged, max;
	struct page *last; /* the one asked for last; NULL: none */
	struct buf room;
	struct root roots[];
};

/* What a page is called in the map. */
struct name {
	uint8_t octets[sizeof(unsigned) + 1 + sizeof(uint64_t)];
};

static struct slice
name_of(struct pages_set set, uint64_t number, struct name *n)
{
	n->octets[0] = (uint8_t)set.letter;
	memcpy(n->octets + 1, &set.shard, sizeof(set.shard));
	memcpy(n->octets + 1 + sizeof(set.shard), &number, sizeof(number));
	return slice_of(n->octets, sizeof(n->octets));
}

static struct page *
page_put(struct cache *c, struct pages_set set, uint64_t number,
    struct block *block)
{
	struct page *p = xcalloc(1, sizeof(*p));
	struct name n;

	p->set = set;
	p->number = number;
	p->block = block;
	MUST(map_put(&c->pages, name_of(set, number, &n), p) == NULL);
	return p;
}

static void
note_changed(struct cache *c, struct page *p)
{
	if (p->changed)
		return;
	p->changed = true;
	if (c->nchanged == c->max) {
		c->max = c->max == 0 ? 64 : c->max * 2;
		c->changed =
		    xreallocarray(c->changed, c->max, sizeof(c->changed[0]));
	}
	c->changed[c->nchanged++] = p;
}

/* Records come by turns of a page: mostly it is the last one again. */
static struct page *
page_find(struct cache *c, struct pages_set set, uint64_t number)
{
	struct page *p = c->last;
	struct name n;

	if (p == NULL || p->number != number || p->set.shard != set.shard ||
	    p->set.letter != set.letter)
		p = c->last = map_find(&c->pages, name_of(set, number, &n));
	return p;
}

/* NULL: and *err. */
static struct page *
page_get(struct cache *c, struct pages_set set, uint64_t number,
    struct err *err)
{
	struct page *p = page_find(c, set, number);
	int found;

	if (p == NULL) {
		buf_clear(&c->room);
		found = pages_disk_get(c->db, set, number, &c->room, err);
		if (found == -1)
			return NULL;
		if (found == 1)
			return page_put(c, set, number,
			    block_new(buf_slice(&c->room)));
	}
	if (p == NULL || p->block == NULL) {
		(void)err_set(err, "a page of a tree is missing");
		return NULL;
	}
	return p;
}

static struct root *
root_get(struct cache *c, struct pages_set set, struct err *err)
{
	struct root *r =
	    &c->roots[set.shard * PAGES_LETTERS + (unsigned)set.letter];

	if (!r->known && pages_disk_root(c->db, set, &r->root, err) == -1)
		return NULL;
	r->known = true;
	return r;
}

int
cache_root(struct cache *c, struct pages_set set, struct pages_root *root,
    struct err *err)
{
	struct root *r = root_get(c, set, err);

	if (r == NULL)
		return -1;
	*root = r->root.root;
	return 0;
}

int
cache_get(struct cache *c, struct pages_set set, uint64_t number,
    struct slice *octets, struct err *err)
{
	struct page *p = page_get(c, set, number, err);

	if (p == NULL)
		return -1;
	*octets = block_slice(p->block);
	return 0;
}

int
cache_root_put(struct cache *c, struct pages_set set, struct pages_root root,
    struct err *err)
{
	struct root *r = root_get(c, set, err);

	if (r == NULL)
		return -1;
	r->root.root = root;
	r->changed = true;
	return 0;
}

int
cache_add(struct cache *c, struct pages_set set, struct slice octets,
    uint64_t *number, struct err *err)
{
	struct root *r = root_get(c, set, err);

	if (r == NULL)
		return -1;
	*number = r->root.next++;
	r->changed = true;
	note_changed(c, page_put(c, set, *number, block_new(octets)));
	return 0;
}

int
cache_change(struct cache *c, struct pages_set set, uint64_t number,
    size_t from, size_t to, struct slice octets, struct err *err)
{
	struct page *p = page_get(c, set, number, err);

	if (p == NULL)
		return -1;
	block_change(&p->block, from, to, octets);
	note_changed(c, p);
	return 0;
}

int
cache_remove(struct cache *c, struct pages_set set, uint64_t number,
    struct err *err)
{
	struct page *p = page_get(c, set, number, err);

	if (p == NULL)
		return -1;
	free(p->block);
	p->block = NULL;
	note_changed(c, p);
	return 0;
}

/* --- writing ----------------------------------------------------------------- */

static void
page_free(struct page *p)
{
	free(p->block);
	free(p);
}

static int
write_page(struct cache *c, struct page *p, struct err *err)
{
	struct name n;
	int rc;

	if (p->block != NULL) {
		p->changed = false;
		return pages_disk_put(c->db, p->set, p->number,
		    block_slice(p->block), err);
	}
	rc = pages_disk_delete(c->db, p->set, p->number, err);
	c->last = NULL;
	MUST(map_remove(&c->pages, name_of(p->set, p->number, &n)) == p);
	page_free(p);
	return rc;
}

int
cache_write(struct cache *c, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < c->nchanged && rc == 0; i++)
		rc = write_page(c, c->changed[i], err);
	c->nchanged = 0;
	for (unsigned i = 0; i < db_shards(c->db) * PAGES_LETTERS; i++) {
		struct pages_set set = { i / PAGES_LETTERS,
			(enum pages_letter)(i % PAGES_LETTERS) };
		struct root *r = &c->roots[i];

		if (rc == 0 && r->changed)
			rc = pages_disk_root_put(c->db, set, &r->root, err);
		r->changed = false;
	}
	return rc;
}

static bool
forget_page(void *arg, struct slice name, void *value)
{
	(void)arg;
	(void)name;
	page_free(value);
	return true;
}

static void
forget_pages(struct cache *c)
{
	c->nchanged = 0;
	c->last = NULL;
	map_each(&c->pages, forget_page, c);
	map_fini(&c->pages);
	map_init(&c->pages);
}

void
cache_trim(struct cache *c)
{
	if (map_count(&c->pages) > KEEP)
		forget_pages(c);
}

void
cache_forget(struct cache *c)
{
	forget_pages(c);
	memset(c->roots, 0,
	    db_shards(c->db) * PAGES_LETTERS * sizeof(c->roots[0]));
}

/* --- birth and death --------------------------------------------------------- */

struct cache *
cache_new(struct db *db)
{
	struct cache *c = xcalloc(1,
	    sizeof(*c) + db_shards(db) * PAGES_LETTERS * sizeof(c->roots[0]));

	c->db = db;
	map_init(&c->pages);
	buf_init(&c->room, PAGES_OCTETS_MAX);
	return c;
}

void
cache_free(struct cache **cp)
{
	struct cache *c = *cp;

	if (c == NULL)
		return;
	forget_pages(c);
	map_fini(&c->pages);
	buf_fini(&c->room);
	free(c->changed);
	free(c);
	*cp = NULL;
}
