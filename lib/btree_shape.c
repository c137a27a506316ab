#include "lib/btree_shape.h"
#include "lib/err.h"
#include "lib/must.h"

int
shape_damaged(struct err *err)
{
	return err_set(err, "a tree is damaged");
}

/* --- splitting -------------------------------------------------------------- */

int
shape_patch(struct btree *bt, struct pages_set set, struct btree_step *s,
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
			    slice_common(slice_of(w.tail.key, w.tail.key_len),
			        key);

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
	if (page_level(page) > 0 && entries < SHAPE_CHILDREN_MIN)
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
split(struct btree *bt, struct pages_set set, struct btree_step *s,
    uint64_t *right, struct err *err)
{
	struct buf first;
	struct slice page;
	int rc;

	if (pages_get(bt->pages, set, s->number, &s->octets, &page, err) == -1)
		return -1;
	buf_init(&first, SHAPE_PAGE_MAX);
	buf_clear(&bt->half);
	rc = halve(bt, page, split_at(page, &s->place), &first, &bt->half);
	if (rc == -1)
		rc = shape_damaged(err);
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
int
shape_split(struct btree *bt, struct pages_set set, size_t len, struct err *err)
{
	for (size_t i = bt->depth; len > bt->full; i--) {
		struct btree_step *s = &bt->steps[i - 1], *above;
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
			return shape_damaged(err);
		buf_clear(&bt->patch.octets);
		if (page_put(&above->place, buf_slice(&bt->separator), &v,
		        &bt->patch) == -1)
			return shape_damaged(err);
		len = above->page.len - (bt->patch.to - bt->patch.from) +
		      buf_len(&bt->patch.octets);
		if (shape_patch(bt, set, above, err) == -1)
			return -1;
	}
	return 0;
}

/* --- joining ---------------------------------------------------------------- */

/* An inner root with one child is not needed: the child is the root. */
static int
shrink(struct btree *bt, struct pages_set set, struct err *err)
{
	struct btree_step *s = &bt->steps[0];
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
			return shape_damaged(err);
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
find_child(struct btree *bt, const struct btree_step *s, struct child *c)
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
int
shape_drop(struct btree *bt, struct pages_set set, struct btree_step *s,
    struct slice key, size_t *len, struct err *err)
{
	if (page_find(&s->place, s->page, key) == -1 || !s->place.found)
		return shape_damaged(err);
	buf_clear(&bt->patch.octets);
	if (page_delete(&s->place, key, &bt->patch) == -1)
		return shape_damaged(err);
	*len = s->page.len - (bt->patch.to - bt->patch.from) +
	       buf_len(&bt->patch.octets);
	return shape_patch(bt, set, s, err);
}

/*
 * The page of a step is nearly empty: puts the one behind it, of the same
 * parent, to it.  *len: octets left in the parent; SIZE_MAX: it was not to be.
 */
static int
merge(struct btree *bt, struct pages_set set, size_t i, size_t *len,
    struct err *err)
{
	struct btree_step *s = &bt->steps[i], *above = &bt->steps[i - 1];
	struct slice page, behind;
	struct child c;
	bool fits = false;

	*len = SIZE_MAX;
	if (find_child(bt, above, &c) == -1)
		return shape_damaged(err);
	if (!c.has_next)
		return 0;
	if (pages_get(bt->pages, set, s->number, &s->octets, &page, err) ==
	        -1 ||
	    pages_get(bt->pages, set, c.next.number, &bt->value, &behind,
	        err) == -1)
		return -1;
	if (join(bt, page, behind, &fits) == -1)
		return shape_damaged(err);
	if (!fits)
		return 0;
	if (pages_change(bt->pages, set, s->number, 0, page.len,
	        buf_slice(&bt->half), err) == -1 ||
	    pages_remove(bt->pages, set, c.next.number, err) == -1)
		return -1;
	return shape_drop(bt, set, above, buf_slice(&bt->separator), len, err);
}

/* Another child under the key in bt->taken. */
static int
replace_child(struct btree *bt, struct pages_set set, struct btree_step *s,
    const struct page_value *v, struct err *err)
{
	struct slice key = buf_slice(&bt->taken);

	if (page_find(&s->place, s->page, key) == -1 || !s->place.found)
		return shape_damaged(err);
	buf_clear(&bt->patch.octets);
	if (page_put(&s->place, key, v, &bt->patch) == -1)
		return shape_damaged(err);
	if (shape_patch(bt, set, s, err) == -1)
		return -1;
	return pages_get(bt->pages, set, s->number, &s->octets, &s->page, err);
}

/*
 * The child taken is gone.  Was it the first, the next is now.
 */
static int
drop_child(struct btree *bt, struct pages_set set, struct btree_step *s,
    size_t *len, struct err *err)
{
	struct child c;

	if (find_child(bt, s, &c) == -1)
		return shape_damaged(err);
	if (!c.is_first || !c.has_next)
		return shape_drop(bt, set, s, buf_slice(&bt->taken), len, err);
	if (replace_child(bt, set, s, &c.next, err) == -1)
		return -1;
	return shape_drop(bt, set, s, buf_slice(&bt->separator), len, err);
}

/* After a page has lost an entry: pages that are empty go, small ones join. */
int
shape_tidy(struct btree *bt, struct pages_set set, size_t len, struct err *err)
{
	size_t i = bt->depth - 1;

	for (; i > 0 && len < bt->full / SHAPE_SPARE; i--) {
		struct btree_step *s = &bt->steps[i],
		                  *above = &bt->steps[i - 1];

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
