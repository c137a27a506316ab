#include <stdlib.h>

#include "lib/btree.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/page.h"
#include "lib/xalloc.h"

enum {
	/*
	 * Octets of a page; larger is split.  Searching a page is going through
	 * it, so in memory they are small; on disk each costs a record.
	 */
	FULL_MEMORY = 1024,
	FULL_DISK = 2048,
	CHILDREN_MIN = 4, /* of an inner page to be split, or there is no end */
	SPARE = 4,        /* what fills less than a part is put to another */
	DEPTH_MAX = 24,   /* deeper is damage */
	PAGE_OCTETS = 64 * 1024 /* more than any page of entries has */
};

/* One page of the way down, and what was found there. */
struct step {
	uint64_t number;
	struct slice page; /* in octets, or the pages' own */
	struct page_place place;
	struct buf octets;
};

/*
 * In an inner page an entry's child has the keys from the entry's on, up to the
 * next entry's.  The first entry's key is empty: it has all below the second's.
 */
struct btree {
	struct pages *pages;
	size_t full;
	struct pages_root root;
	size_t depth; /* steps in use; the last is a leaf */
	struct step steps[DEPTH_MAX];
	/* What they lead to, as of a version of the pages; 0: to nothing.  Who
	 * changes a record has mostly just looked it up. */
	uint64_t version;
	struct pages_set found_set;
	struct buf found_key;
	struct page_patch patch;
	struct buf half, value, separator, taken; /* scratch */

	/* A scan's page. */
	struct pages_set scan_set;
	struct buf leaf;
	struct page_reader reader;
};

static int
damaged(struct err *err)
{
	return err_set(err, "a tree is damaged");
}

/* --- the way down ---------------------------------------------------------- */

static int
step_read(struct btree *bt, struct pages_set set, uint64_t number,
    struct slice key, struct err *err)
{
	struct step *s = &bt->steps[bt->depth];

	if (bt->depth == DEPTH_MAX)
		return damaged(err);
	s->number = number;
	if (pages_get(bt->pages, set, number, &s->octets, &s->page, err) == -1)
		return -1;
	if (page_find(&s->place, s->page, key) == -1)
		return damaged(err);
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
		struct step *s = &bt->steps[bt->depth - 1];
		unsigned here = page_level(s->page);

		if (bt->depth > 1 && here + 1 != level)
			return damaged(err);
		level = here;
		if (level == 0) {
			remember(bt, set, key);
			return 0;
		}
		if (page_child(&s->place, &number) == -1)
			return damaged(err);
	}
	return -1;
}

static struct step *
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
		return damaged(err);
	if (out == NULL)
		return 0;
	if (resolve(bt, set, v, &bt->value, &octets, err) == -1)
		return -1;
	if (octets.len > buf_room(out))
		return err_set(err, "a record is larger than its buffer");
	buf_put_slice(out, octets);
	return 0;
}

int
btree_get(struct btree *bt, struct pages_set set, struct slice key,
    struct buf *out, struct err *err)
{
	struct page_value v;

	MUST(key.len > 0 && key.len <= BTREE_KEY_MAX);
	if (pages_root(bt->pages, set, &bt->root, err) == -1)
		return -1;
	if (bt->root.top == 0)
		return 0;
	if (descend(bt, set, key, err) == -1)
		return -1;
	if (!leaf_of(bt)->place.found)
		return 0;
	return read_found(bt, set, &v, out, err) == -1 ? -1 : 1;
}

/* --- splitting -------------------------------------------------------------- */

static int
patch_page(struct btree *bt, struct pages_set set, struct step *s,
    struct err *err)
{
	return pages_change(bt->pages, set, s->number, bt->patch.from,
	    bt->patch.to, buf_slice(&bt->patch.octets), err);
}

/*
 * The page in two: entries that end after "at" go into the second.  separator
 * is the shortest key above the first's keys.  1; 0: it has too few; -1.
 */
static int
halve(struct btree *bt, struct slice page, size_t at, struct buf *first,
    struct buf *second)
{
	struct page_writer w;
	struct page_reader r;
	struct page_value v;
	struct slice key;
	unsigned entries = 0;
	bool split = false;
	int more;

	page_start(first, page_level(page));
	page_start(second, page_level(page));
	page_writer_init(&w, first);
	page_reader_init(&r, page);
	while ((more = page_reader_next(&r, &key, &v)) == 1) {
		if (!split && r.end > at && buf_len(first) > PAGE_HEAD) {
			size_t n =
			    slice_common(slice_of(w.key, w.key_len), key);

			if (n == key.len)
				break; /* out of order */
			/* Of an inner page: keys between the two are below
			 * the first's last child. */
			if (page_level(page) > 0)
				n = key.len - 1;
			buf_clear(&bt->separator);
			buf_put_slice(&bt->separator, slice_first(key, n + 1));
			page_writer_init(&w, second);
			split = true;
			if (page_level(page) > 0)
				key = slice_of(NULL, 0);
		}
		page_writer_put(&w, key, &v);
		entries++;
	}
	page_reader_fini(&r);
	if (page_level(page) > 0 && entries < CHILDREN_MIN)
		split = false;
	return more != 0 ? -1 : split;
}

/*
 * Where: in the middle, but before an entry that was added at the end, so that
 * names that come in order leave full pages behind.
 */
static size_t
split_at(struct slice page, const struct page_place *added)
{
	return added->at_end ? page.len - 1 : page.len / 2;
}

/*
 * Splits the step's page, which is too large; the new one's number in *right.
 * 1; 0 if it cannot be; -1.
 */
static int
split(struct btree *bt, struct pages_set set, struct step *s, uint64_t *right,
    struct err *err)
{
	struct buf first;
	struct slice page;
	int rc;

	if (pages_get(bt->pages, set, s->number, &s->octets, &page, err) == -1)
		return -1;
	buf_init(&first, PAGE_OCTETS);
	buf_clear(&bt->half);
	rc = halve(bt, page, split_at(page, &s->place), &first, &bt->half);
	if (rc == -1)
		rc = damaged(err);
	if (rc == 1 && (pages_add(bt->pages, set, buf_slice(&bt->half), right,
	                    err) == -1 ||
	                   pages_change(bt->pages, set, s->number, 0, page.len,
	                       buf_slice(&first), err) == -1))
		rc = -1;
	buf_fini(&first);
	return rc;
}

/* The root was split: one above it. */
static int
grow(struct btree *bt, struct pages_set set, unsigned level, uint64_t right,
    struct err *err)
{
	struct page_value left_value = { .far = true, .number = bt->root.top };
	struct page_value right_value = { .far = true, .number = right };
	struct page_writer w;

	buf_clear(&bt->half);
	page_start(&bt->half, level);
	page_writer_init(&w, &bt->half);
	page_writer_put(&w, slice_of(NULL, 0), &left_value);
	page_writer_put(&w, buf_slice(&bt->separator), &right_value);
	return pages_add(bt->pages, set, buf_slice(&bt->half), &bt->root.top,
	    err);
}

/* The last step's page was changed: splits it if need be, and so upwards. */
static int
split_upwards(struct btree *bt, struct pages_set set, size_t len,
    struct err *err)
{
	for (size_t i = bt->depth; len > bt->full; i--) {
		struct step *s = &bt->steps[i - 1], *above;
		struct page_value v = { .far = true };
		unsigned level = (unsigned)(bt->depth - i);

		int rc = split(bt, set, s, &v.number, err);

		if (rc != 1)
			return rc;
		if (i == 1)
			return grow(bt, set, level + 1, v.number, err);
		above = &bt->steps[i - 2];
		if (page_find(&above->place, above->page,
		        buf_slice(&bt->separator)) == -1)
			return damaged(err);
		buf_clear(&bt->patch.octets);
		if (page_put(&above->place, buf_slice(&bt->separator), &v,
		        &bt->patch) == -1)
			return damaged(err);
		len = above->page.len - (bt->patch.to - bt->patch.from) +
		      buf_len(&bt->patch.octets);
		if (patch_page(bt, set, above, err) == -1)
			return -1;
	}
	return 0;
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
	struct step *s = leaf_of(bt);
	size_t len;

	buf_clear(&bt->patch.octets);
	if (page_put(&s->place, key, v, &bt->patch) == -1)
		return damaged(err);
	len = s->page.len - (bt->patch.to - bt->patch.from) +
	      buf_len(&bt->patch.octets);
	if (patch_page(bt, set, s, err) == -1)
		return -1;
	return len > bt->full ? split_upwards(bt, set, len, err) : 0;
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

/* 1 and what there was; 0; -1. */
static int
find_old(struct btree *bt, struct pages_set set, struct slice key,
    struct page_value *was, struct buf *old, struct err *err)
{
	*was = (struct page_value){ .far = false };
	if (pages_root(bt->pages, set, &bt->root, err) == -1)
		return -1;
	if (bt->root.top == 0)
		return 0;
	if (descend(bt, set, key, err) == -1)
		return -1;
	if (!leaf_of(bt)->place.found)
		return 0;
	return read_found(bt, set, was, old, err) == -1 ? -1 : 1;
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
	found = find_old(bt, set, key, &was, old, err);
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

/* An inner root with one child is not needed: the child is the root. */
static int
shrink(struct btree *bt, struct pages_set set, struct err *err)
{
	struct step *s = &bt->steps[0];
	struct page_reader r;
	struct page_value v;
	struct slice page, key;
	int more;

	for (;;) {
		uint64_t only;

		if (pages_get(bt->pages, set, bt->root.top, &s->octets, &page,
		        err) == -1)
			return -1;
		if (page_level(page) == 0)
			return 0;
		page_reader_init(&r, page);
		more = page_reader_next(&r, &key, &v);
		only = v.number;
		page_reader_fini(&r);
		if (more != 1)
			return damaged(err);
		if (r.end < page.len)
			return 0;
		if (pages_remove(bt->pages, set, bt->root.top, err) == -1)
			return -1;
		bt->root.top = only;
	}
}

/*
 * The child taken of an inner page, its key in bt->taken, and the next, its
 * key in bt->separator.
 */
struct child {
	bool is_first, has_next;
	struct page_value next;
};

static int
find_child(struct btree *bt, const struct step *s, struct child *c)
{
	struct page_reader r;
	struct page_value v;
	struct slice key;
	uint64_t taken;
	int more;

	*c = (struct child){ .is_first = true };
	buf_clear(&bt->taken);
	buf_clear(&bt->separator);
	if (page_child(&s->place, &taken) == -1)
		return -1;
	page_reader_init(&r, s->page);
	while (
	    (more = page_reader_next(&r, &key, &v)) == 1 && v.number != taken)
		c->is_first = false;
	if (more == 1) {
		buf_put_slice(&bt->taken, key);
		more = page_reader_next(&r, &key, &c->next);
		c->has_next = more == 1;
		if (c->has_next)
			buf_put_slice(&bt->separator, key);
	} else {
		more = -1;
	}
	page_reader_fini(&r);
	return more == -1 ? -1 : 0;
}

/* Does the page behind, whose key is bt->separator, fit in?  Then all is in
 * bt->half. */
static int
join(struct btree *bt, struct slice page, struct slice behind, bool *fits)
{
	struct slice both[2] = { page, behind }, key;
	struct page_writer w;
	struct page_reader r;
	struct page_value v;
	int more = 0;

	*fits = page.len + behind.len < bt->full * 3 / 4;
	if (!*fits)
		return 0;
	buf_clear(&bt->half);
	page_start(&bt->half, page_level(page));
	page_writer_init(&w, &bt->half);
	for (unsigned i = 0; i < 2 && more != -1; i++) {
		page_reader_init(&r, both[i]);
		while ((more = page_reader_next(&r, &key, &v)) == 1) {
			/* No longer the first: it needs its key. */
			if (i == 1 && r.at == PAGE_HEAD && page_level(page) > 0)
				key = buf_slice(&bt->separator);
			page_writer_put(&w, key, &v);
		}
		page_reader_fini(&r);
	}
	return more;
}

/* An entry out of the page of a step. */
static int
drop_entry(struct btree *bt, struct pages_set set, struct step *s,
    struct slice key, size_t *len, struct err *err)
{
	if (page_find(&s->place, s->page, key) == -1 || !s->place.found)
		return damaged(err);
	buf_clear(&bt->patch.octets);
	if (page_delete(&s->place, key, &bt->patch) == -1)
		return damaged(err);
	*len = s->page.len - (bt->patch.to - bt->patch.from) +
	       buf_len(&bt->patch.octets);
	return patch_page(bt, set, s, err);
}

/*
 * The page of a step is nearly empty: puts the one behind it, of the same
 * parent, to it.  *len: octets left in the parent; SIZE_MAX: it was not to be.
 */
static int
merge(struct btree *bt, struct pages_set set, size_t i, size_t *len,
    struct err *err)
{
	struct step *s = &bt->steps[i], *above = &bt->steps[i - 1];
	struct slice page, behind;
	struct child c;
	bool fits = false;

	*len = SIZE_MAX;
	if (find_child(bt, above, &c) == -1)
		return damaged(err);
	if (!c.has_next)
		return 0;
	if (pages_get(bt->pages, set, s->number, &s->octets, &page, err) ==
	        -1 ||
	    pages_get(bt->pages, set, c.next.number, &bt->value, &behind,
	        err) == -1)
		return -1;
	if (join(bt, page, behind, &fits) == -1)
		return damaged(err);
	if (!fits)
		return 0;
	if (pages_change(bt->pages, set, s->number, 0, page.len,
	        buf_slice(&bt->half), err) == -1 ||
	    pages_remove(bt->pages, set, c.next.number, err) == -1)
		return -1;
	return drop_entry(bt, set, above, buf_slice(&bt->separator), len, err);
}

/* Another child under the key in bt->taken. */
static int
replace_child(struct btree *bt, struct pages_set set, struct step *s,
    const struct page_value *v, struct err *err)
{
	struct slice key = buf_slice(&bt->taken);

	if (page_find(&s->place, s->page, key) == -1 || !s->place.found)
		return damaged(err);
	buf_clear(&bt->patch.octets);
	if (page_put(&s->place, key, v, &bt->patch) == -1)
		return damaged(err);
	if (patch_page(bt, set, s, err) == -1)
		return -1;
	return pages_get(bt->pages, set, s->number, &s->octets, &s->page, err);
}

/*
 * The child taken is gone.  Was it the first, the next is now.
 */
static int
drop_child(struct btree *bt, struct pages_set set, struct step *s, size_t *len,
    struct err *err)
{
	struct child c;

	if (find_child(bt, s, &c) == -1)
		return damaged(err);
	if (!c.is_first || !c.has_next)
		return drop_entry(bt, set, s, buf_slice(&bt->taken), len, err);
	if (replace_child(bt, set, s, &c.next, err) == -1)
		return -1;
	return drop_entry(bt, set, s, buf_slice(&bt->separator), len, err);
}

/* After a page has lost an entry: pages that are empty go, small ones join. */
static int
tidy_upwards(struct btree *bt, struct pages_set set, size_t len,
    struct err *err)
{
	size_t i = bt->depth - 1;

	for (; i > 0 && len < bt->full / SPARE; i--) {
		struct step *s = &bt->steps[i], *above = &bt->steps[i - 1];

		if (len > PAGE_HEAD) {
			if (merge(bt, set, i, &len, err) == -1)
				return -1;
			continue;
		}
		if (pages_remove(bt->pages, set, s->number, err) == -1 ||
		    drop_child(bt, set, above, &len, err) == -1)
			return -1;
	}
	if (i > 0)
		return 0;
	if (len > PAGE_HEAD)
		return shrink(bt, set, err);
	if (pages_remove(bt->pages, set, bt->root.top, err) == -1)
		return -1;
	bt->root.top = 0;
	return 0;
}

int
btree_delete(struct btree *bt, struct pages_set set, struct slice key,
    struct buf *old, struct err *err)
{
	struct page_value was;
	int found;
	size_t len;

	MUST(key.len > 0 && key.len <= BTREE_KEY_MAX);
	found = find_old(bt, set, key, &was, old, err);
	if (found != 1)
		return found;
	if (drop_entry(bt, set, leaf_of(bt), key, &len, err) == -1)
		return -1;
	if (len < bt->full / SPARE)
		found = tidy_upwards(bt, set, len, err) == -1 ? -1 : 1;
	else if (len > bt->full)
		found = split_upwards(bt, set, len, err) == -1 ? -1 : 1;
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
		struct step *s = &bt->steps[bt->depth];

		if (step_read(bt, set, number, slice_of(NULL, 0), err) == -1)
			return -1;
		if (page_level(s->page) == 0)
			return 1;
		more = page_child(&s->place, &number) == -1 ? -1 : 1;
	}
	return damaged(err);
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
			return damaged(err);
		from = slice_of(NULL, 0);
	}
	bt->scan_set = set;
	buf_clear(&bt->leaf);
	buf_put_slice(&bt->leaf, leaf_of(bt)->page);
	if (buf_failed(&bt->leaf))
		return damaged(err);
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
		return damaged(err);
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
	bt->full = pages_are_memory(p) ? FULL_MEMORY : FULL_DISK;
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		buf_init(&bt->steps[i].octets, PAGES_OCTETS_MAX);
	buf_init(&bt->patch.octets, PAGE_OCTETS);
	buf_init(&bt->half, PAGE_OCTETS);
	buf_init(&bt->value, PAGES_OCTETS_MAX);
	buf_init(&bt->separator, BTREE_KEY_MAX);
	buf_init(&bt->taken, BTREE_KEY_MAX);
	buf_init(&bt->found_key, BTREE_KEY_MAX);
	buf_init(&bt->leaf, PAGE_OCTETS);
	page_reader_init(&bt->reader, slice_of(NULL, 0));
	return bt;
}

void
btree_free(struct btree **bp)
{
	struct btree *bt = *bp;

	if (bt == NULL)
		return;
	for (unsigned i = 0; i < DEPTH_MAX; i++)
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
