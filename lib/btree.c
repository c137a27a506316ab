#include <stdlib.h>

#include "lib/btree_shape.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* --- the way down ---------------------------------------------------------- */

static int
step_read(struct btree *bt, struct pages_set set, uint64_t number,
    struct slice key, struct err *err)
{
	struct btree_step *s = &bt->steps[bt->depth];

	if (bt->depth == SHAPE_DEPTH_MAX)
		return shape_damaged(err);
	s->number = number;
	if (pages_get(bt->pages, set, number, &s->octets, &s->page, err) == -1)
		return -1;
	if (page_find(&s->place, s->page, key) == -1)
		return shape_damaged(err);
	bt->depth++;
	return 0;
}

/* Is that where the last way down has led, and nothing has changed since? */
static bool
is_there(const struct btree *bt, struct pages_set set, struct slice key)
{
	return bt->version != 0 && bt->version == pages_version(bt->pages) &&
	       bt->found_set.shard == set.shard &&
	       bt->found_set.letter == set.letter &&
	       slice_equal(buf_slice(&bt->found_key), key);
}

static void
remember(struct btree *bt, struct pages_set set, struct slice key)
{
	bt->version = pages_version(bt->pages);
	bt->found_set = set;
	buf_clear(&bt->found_key);
	buf_put_slice(&bt->found_key, key);
}

/* From the root, which has been read, to the leaf for key. */
static int
descend(struct btree *bt, struct pages_set set, struct slice key,
    struct err *err)
{
	uint64_t number = bt->root.top;
	unsigned level = 0;

	if (is_there(bt, set, key))
		return 0;
	bt->version = 0;
	bt->depth = 0;
	while (step_read(bt, set, number, key, err) == 0) {
		struct btree_step *s = &bt->steps[bt->depth - 1];
		unsigned here = page_level(s->page);

		if (bt->depth > 1 && here + 1 != level)
			return shape_damaged(err);
		level = here;
		if (level == 0) {
			remember(bt, set, key);
			return 0;
		}
		if (page_child(&s->place, &number) == -1)
			return shape_damaged(err);
	}
	return -1;
}

static struct btree_step *
leaf_of(struct btree *bt)
{
	return &bt->steps[bt->depth - 1];
}

/* Far values are pages, too.  Borrowed from room. */
static int
resolve(struct btree *bt, struct pages_set set, const struct page_value *v,
    struct buf *room, struct slice *octets, struct err *err)
{
	*octets = v->octets;
	if (!v->far)
		return 0;
	return pages_get(bt->pages, set, v->number, room, octets, err);
}

/* The value of the entry found, appended to out; *v: as it is in the page. */
static int
read_found(struct btree *bt, struct pages_set set, struct page_value *v,
    struct buf *out, struct err *err)
{
	const struct page_place *p = &leaf_of(bt)->place;
	struct slice octets;

	if (page_read(p, &bt->value, v) == -1)
		return shape_damaged(err);
	if (out == NULL)
		return 0;
	if (resolve(bt, set, v, &bt->value, &octets, err) == -1)
		return -1;
	if (octets.len > buf_room(out))
		return err_set(err, "a record is larger than its buffer");
	buf_put_slice(out, octets);
	return 0;
}

/* 1 and what there is; 0; -1.  The steps to it are kept. */
static int
find(struct btree *bt, struct pages_set set, struct slice key,
    struct page_value *v, struct buf *out, struct err *err)
{
	*v = (struct page_value){ .far = false };
	if (pages_root(bt->pages, set, &bt->root, err) == -1)
		return -1;
	if (bt->root.top == 0)
		return 0;
	if (descend(bt, set, key, err) == -1)
		return -1;
	if (!leaf_of(bt)->place.found)
		return 0;
	return read_found(bt, set, v, out, err) == -1 ? -1 : 1;
}

int
btree_get(struct btree *bt, struct pages_set set, struct slice key,
    struct buf *out, struct err *err)
{
	struct page_value v;

	MUST(key.len > 0 && key.len <= BTREE_KEY_MAX);
	return find(bt, set, key, &v, out, err);
}

/* --- the edge --------------------------------------------------------------- */

static struct btree_edge **
edge_of(struct btree *bt, struct pages_set set)
{
	MUST(set.shard < pages_shards(bt->pages));
	return &bt->edges[set.shard * PAGES_LETTERS + (unsigned)set.letter];
}

static void
forget_edge(struct btree *bt, struct pages_set set)
{
	struct btree_edge *e = *edge_of(bt, set);

	if (e != NULL)
		e->known = false;
}

/* If what was put is behind all there was: it was put into the last leaf. */
static int
note_edge(struct btree *bt, struct pages_set set, struct err *err)
{
	struct btree_edge **ep = edge_of(bt, set);
	struct slice page;

	for (size_t i = 0; i < bt->depth; i++)
		if (!bt->steps[i].place.at_end)
			return 0;
	if (*ep == NULL)
		*ep = xcalloc(1, sizeof(**ep));
	(*ep)->number = leaf_of(bt)->number;
	if (pages_get(bt->pages, set, (*ep)->number, &bt->value, &page, err) ==
	    -1)
		return -1;
	if (page_tail_find(&(*ep)->tail, page) == -1)
		return shape_damaged(err);
	(*ep)->undone = pages_undone(bt->pages);
	(*ep)->known = true;
	return 0;
}

/*
 * Names that are put in order are put here.  1: done; 0: it is to be put as
 * others are; -1.
 */
static int
put_behind(struct btree *bt, struct pages_set set, struct slice key,
    const struct page_value *v, struct err *err)
{
	struct btree_edge *e = *edge_of(bt, set);
	struct slice page;

	if (e == NULL || !e->known || e->undone != pages_undone(bt->pages) ||
	    slice_compare(key, slice_of(e->tail.key, e->tail.key_len)) <= 0 ||
	    v->octets.len > PAGE_NEAR_MAX)
		return 0;
	if (pages_root(bt->pages, set, &bt->root, err) == -1 ||
	    pages_get(bt->pages, set, e->number, &bt->value, &page, err) == -1)
		return -1;
	buf_clear(&bt->patch.octets);
	page_append(&e->tail, page, key, v, &bt->patch.octets);
	if (page.len + buf_len(&bt->patch.octets) > bt->full) {
		e->known = false;
		return 0;
	}
	if (pages_change(bt->pages, set, e->number, page.len, page.len,
	        buf_slice(&bt->patch.octets), err) == -1)
		return -1;
	bt->root.count++;
	return pages_root_put(bt->pages, set, bt->root, err) == -1 ? -1 : 1;
}

/* --- putting ------------------------------------------------------------------ */

static int
put_first(struct btree *bt, struct pages_set set, struct slice key,
    const struct page_value *v, struct err *err)
{
	struct page_writer w;

	buf_clear(&bt->half);
	page_start(&bt->half, 0);
	page_writer_init(&w, &bt->half);
	page_writer_put(&w, key, v);
	return pages_add(bt->pages, set, buf_slice(&bt->half), &bt->root.top,
	    err);
}

/* Into the leaf that was found. */
static int
put_value(struct btree *bt, struct pages_set set, struct slice key,
    const struct page_value *v, struct err *err)
{
	struct btree_step *s = leaf_of(bt);
	size_t len;

	buf_clear(&bt->patch.octets);
	if (page_put(&s->place, key, v, &bt->patch) == -1)
		return shape_damaged(err);
	len = s->page.len - (bt->patch.to - bt->patch.from) +
	      buf_len(&bt->patch.octets);
	if (shape_patch(bt, set, s, err) == -1)
		return -1;
	if (len > bt->full)
		return shape_split(bt, set, len, err);
	return note_edge(bt, set, err);
}

static int
put_far(struct btree *bt, struct pages_set set, struct page_value *v,
    struct err *err)
{
	if (v->octets.len <= PAGE_NEAR_MAX)
		return 0;
	if (pages_add(bt->pages, set, v->octets, &v->number, err) == -1)
		return -1;
	v->far = true;
	return 0;
}

int
btree_put(struct btree *bt, struct pages_set set, struct slice key,
    struct slice value, struct buf *old, struct err *err)
{
	struct page_value v = { .octets = value }, was;
	struct pages_root before;
	int found, rc;

	MUST(key.len > 0 && key.len <= BTREE_KEY_MAX);
	MUST(value.len <= PAGES_OCTETS_MAX);
	rc = put_behind(bt, set, key, &v, err);
	if (rc != 0)
		return rc == -1 ? -1 : 0;
	forget_edge(bt, set);
	found = find(bt, set, key, &was, old, err);
	if (found == -1 || put_far(bt, set, &v, err) == -1)
		return -1;
	before = bt->root;
	rc = bt->root.top == 0 ? put_first(bt, set, key, &v, err)
	                       : put_value(bt, set, key, &v, err);
	if (rc == -1)
		return -1;
	if (was.far && pages_remove(bt->pages, set, was.number, err) == -1)
		return -1;
	bt->root.count += found == 0;
	if (bt->root.top != before.top || found == 0)
		rc = pages_root_put(bt->pages, set, bt->root, err);
	return rc == -1 ? -1 : found;
}

/* --- deleting ----------------------------------------------------------------- */

int
btree_delete(struct btree *bt, struct pages_set set, struct slice key,
    struct buf *old, struct err *err)
{
	struct page_value was;
	int found;
	size_t len;

	MUST(key.len > 0 && key.len <= BTREE_KEY_MAX);
	found = find(bt, set, key, &was, old, err);
	if (found != 1)
		return found;
	forget_edge(bt, set);
	if (shape_drop(bt, set, leaf_of(bt), key, &len, err) == -1)
		return -1;
	if (len < bt->full / SHAPE_SPARE)
		found = shape_tidy(bt, set, len, err) == -1 ? -1 : 1;
	else if (len > bt->full)
		found = shape_split(bt, set, len, err) == -1 ? -1 : 1;
	if (found == -1 ||
	    (was.far && pages_remove(bt->pages, set, was.number, err) == -1))
		return -1;
	if (bt->root.count > 0)
		bt->root.count--;
	return pages_root_put(bt->pages, set, bt->root, err) == -1 ? -1 : 1;
}

/* --- scanning ----------------------------------------------------------------- */

int
btree_count(struct btree *bt, struct pages_set set, uint64_t *n,
    struct err *err)
{
	if (pages_root(bt->pages, set, &bt->root, err) == -1)
		return -1;
	*n = bt->root.count;
	return 0;
}

/* The leaf behind the one we are in: up, one on, down.  1, 0, -1. */
static int
next_leaf(struct btree *bt, struct pages_set set, struct err *err)
{
	uint64_t number;
	int more = 0;

	bt->version = 0;
	while (more == 0 && bt->depth > 1)
		more = page_after(&bt->steps[--bt->depth - 1].place, &number);
	if (more == 0)
		return 0;
	while (more == 1) {
		struct btree_step *s = &bt->steps[bt->depth];

		if (step_read(bt, set, number, slice_of(NULL, 0), err) == -1)
			return -1;
		if (page_level(s->page) == 0)
			return 1;
		more = page_child(&s->place, &number) == -1 ? -1 : 1;
	}
	return shape_damaged(err);
}

int
btree_seek(struct btree *bt, struct pages_set set, struct slice from,
    struct err *err)
{
	if (pages_root(bt->pages, set, &bt->root, err) == -1)
		return -1;
	if (bt->root.top == 0)
		return 0;
	if (descend(bt, set, from, err) == -1)
		return -1;
	if (leaf_of(bt)->place.at_end) {
		int more = next_leaf(bt, set, err);

		if (more != 1)
			return more;
		if (leaf_of(bt)->place.at_end)
			return shape_damaged(err);
		from = slice_of(NULL, 0);
	}
	bt->scan_set = set;
	buf_clear(&bt->leaf);
	buf_put_slice(&bt->leaf, leaf_of(bt)->page);
	if (buf_failed(&bt->leaf))
		return shape_damaged(err);
	page_reader_fini(&bt->reader);
	page_reader_init(&bt->reader, buf_slice(&bt->leaf));
	page_reader_seek(&bt->reader, &leaf_of(bt)->place, from);
	return 1;
}

int
btree_pull(struct btree *bt, struct slice *key, struct slice *value,
    struct err *err)
{
	struct page_value v;
	int more = page_reader_next(&bt->reader, key, &v);

	if (more == -1)
		return shape_damaged(err);
	if (more == 1 &&
	    resolve(bt, bt->scan_set, &v, &bt->value, value, err) == -1)
		return -1;
	return more;
}

/* --- birth and death ---------------------------------------------------------- */

struct btree *
btree_new(struct pages *p)
{
	struct btree *bt = xcalloc(1, sizeof(*bt));

	bt->pages = p;
	bt->edges = xcalloc((size_t)pages_shards(p) * PAGES_LETTERS,
	    sizeof(bt->edges[0]));
	bt->full = pages_are_memory(p) ? SHAPE_FULL_MEMORY : SHAPE_FULL_DISK;
	for (unsigned i = 0; i < SHAPE_DEPTH_MAX; i++)
		buf_init(&bt->steps[i].octets, PAGES_OCTETS_MAX);
	buf_init(&bt->patch.octets, SHAPE_PAGE_MAX);
	buf_init(&bt->half, SHAPE_PAGE_MAX);
	buf_init(&bt->value, PAGES_OCTETS_MAX);
	buf_init(&bt->separator, BTREE_KEY_MAX);
	buf_init(&bt->taken, BTREE_KEY_MAX);
	buf_init(&bt->found_key, BTREE_KEY_MAX);
	buf_init(&bt->leaf, SHAPE_PAGE_MAX);
	page_reader_init(&bt->reader, slice_of(NULL, 0));
	return bt;
}

void
btree_free(struct btree **bp)
{
	struct btree *bt = *bp;

	if (bt == NULL)
		return;
	for (unsigned i = 0; i < pages_shards(bt->pages) * PAGES_LETTERS; i++)
		free(bt->edges[i]);
	free(bt->edges);
	for (unsigned i = 0; i < SHAPE_DEPTH_MAX; i++)
		buf_fini(&bt->steps[i].octets);
	buf_fini(&bt->patch.octets);
	buf_fini(&bt->half);
	buf_fini(&bt->value);
	buf_fini(&bt->separator);
	buf_fini(&bt->taken);
	buf_fini(&bt->found_key);
	buf_fini(&bt->leaf);
	page_reader_fini(&bt->reader);
	free(bt);
	*bp = NULL;
}
