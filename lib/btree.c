#include <stdlib.h>

#include "lib/btree.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

/*
 * A page is: level (0 for a leaf), then entries.  An entry of a leaf is a key;
 * of an inner page a child's number and the key at or above which it is the
 * one to look in (the first child also below).
 */
enum {
	PAGE_MAX = 4096, /* octets; larger is split */
	PAGE_BUF = 2 * PAGE_MAX,
	PAGE_HEAD = 1,
	DEPTH_MAX = 24, /* deeper is damage */
	ROOT_VERSION = 1
};

struct root {
	uint64_t page, next, count; /* page 0: empty */
};

struct entry {
	size_t at, end; /* offsets in the page */
	uint64_t child;
	struct slice key;
};

/* One page of the way down, and which of its entries was taken. */
struct step {
	uint64_t page;
	struct entry taken;
	struct buf octets;
};

struct btree {
	struct db *db;
	struct root root;
	size_t depth; /* steps in use; the last is a leaf */
	struct step steps[DEPTH_MAX];
	size_t pull_at; /* in the leaf */
	struct buf scratch;
};

/* --- records --------------------------------------------------------------- */

struct page_key {
	uint8_t octets[10];
};

static struct slice
root_key(struct btree_set set, struct page_key *k)
{
	k->octets[0] = 'r';
	k->octets[1] = set.letter;
	return slice_of(k->octets, 2);
}

static struct slice
page_key(struct btree_set set, uint64_t page, struct page_key *k)
{
	k->octets[0] = 'p';
	k->octets[1] = set.letter;
	for (unsigned i = 0; i < 8; i++)
		k->octets[2 + i] = (uint8_t)(page >> (56 - 8 * i));
	return slice_of(k->octets, 10);
}

static int
damaged(struct err *err)
{
	return err_set(err, "the index is damaged");
}

static int
root_read(struct btree *bt, struct btree_set set, struct err *err)
{
	struct page_key k;
	struct wire w;
	int found;

	bt->root = (struct root){ 0, 1, 0 };
	buf_clear(&bt->scratch);
	found = db_get(bt->db, set.shard, root_key(set, &k), &bt->scratch, err);
	if (found != 1)
		return found;
	wire_init(&w, buf_slice(&bt->scratch));
	if (wire_u8(&w) != ROOT_VERSION)
		return damaged(err);
	bt->root.page = wire_u64(&w);
	bt->root.next = wire_u64(&w);
	bt->root.count = wire_u64(&w);
	return wire_done(&w) ? 0 : damaged(err);
}

static int
root_write(struct btree *bt, struct btree_set set, struct err *err)
{
	struct page_key k;

	buf_clear(&bt->scratch);
	wire_put_u8(&bt->scratch, ROOT_VERSION);
	wire_put_u64(&bt->scratch, bt->root.page);
	wire_put_u64(&bt->scratch, bt->root.next);
	wire_put_u64(&bt->scratch, bt->root.count);
	return db_put(bt->db, set.shard, root_key(set, &k),
	    buf_slice(&bt->scratch), err);
}

static int
page_write(struct btree *bt, struct btree_set set, uint64_t page,
    struct slice octets, struct err *err)
{
	struct page_key k;

	return db_put(bt->db, set.shard, page_key(set, page, &k), octets, err);
}

/* --- within a page --------------------------------------------------------- */

static bool
is_leaf(struct slice page)
{
	return page.ptr[0] == 0;
}

/* 1 and the entry at e->end; 0 at the page's end; -1 and *err. */
static int
entry_next(struct slice page, struct entry *e, struct err *err)
{
	struct wire w;
	size_t len;

	e->at = e->end;
	if (e->at == page.len)
		return 0;
	wire_init(&w, slice_skip(page, e->at));
	e->child = is_leaf(page) ? 0 : wire_u64(&w);
	len = wire_u16(&w);
	if (w.failed || len > w.rest.len)
		return damaged(err);
	e->key = slice_first(w.rest, len);
	e->end = page.len - w.rest.len + len;
	return 1;
}

static void
entry_put(struct buf *b, bool leaf, uint64_t child, struct slice key)
{
	if (!leaf)
		wire_put_u64(b, child);
	wire_put_u16(b, (uint16_t)key.len);
	buf_put_slice(b, key);
}

/* The first entry not below key: 1 if equal, 0 if not, -1 and *err. */
static int
leaf_find(struct slice page, struct slice key, struct entry *e, struct err *err)
{
	int more;

	*e = (struct entry){ .end = PAGE_HEAD };
	while ((more = entry_next(page, e, err)) == 1) {
		int order = slice_compare(e->key, key);

		if (order >= 0)
			return order == 0;
	}
	return more;
}

/* The entry to follow for key. */
static int
inner_find(struct slice page, struct slice key, struct entry *taken,
    struct err *err)
{
	struct entry e = { .end = PAGE_HEAD };
	int more;

	*taken = e;
	while ((more = entry_next(page, &e, err)) == 1) {
		if (e.at > PAGE_HEAD && slice_compare(e.key, key) > 0)
			break;
		*taken = e;
	}
	if (more == 0 && taken->end == PAGE_HEAD)
		return damaged(err);
	return more == -1 ? -1 : 0;
}

/* --- the way down ---------------------------------------------------------- */

static struct slice
step_page(const struct step *s)
{
	return buf_slice(&s->octets);
}

static int
step_read(struct btree *bt, struct btree_set set, uint64_t page,
    struct err *err)
{
	struct step *s = &bt->steps[bt->depth];
	struct page_key k;
	int found;

	if (bt->depth == DEPTH_MAX)
		return damaged(err);
	s->page = page;
	buf_clear(&s->octets);
	found =
	    db_get(bt->db, set.shard, page_key(set, page, &k), &s->octets, err);
	if (found == -1)
		return -1;
	if (found == 0 || buf_len(&s->octets) < PAGE_HEAD)
		return damaged(err);
	bt->depth++;
	return 0;
}

/* From the page numbered to the leaf for key. */
static int
descend(struct btree *bt, struct btree_set set, uint64_t page, struct slice key,
    struct err *err)
{
	while (step_read(bt, set, page, err) == 0) {
		struct step *s = &bt->steps[bt->depth - 1];

		if (is_leaf(step_page(s)))
			return 0;
		if (inner_find(step_page(s), key, &s->taken, err) == -1)
			return -1;
		page = s->taken.child;
	}
	return -1;
}

/* --- inserting ------------------------------------------------------------- */

/* The page with an entry put in at an offset. */
static void
page_splice(struct step *s, size_t at, uint64_t child, struct slice key,
    struct buf *out)
{
	struct slice page = step_page(s);

	buf_clear(out);
	buf_put_slice(out, slice_first(page, at));
	entry_put(out, is_leaf(page), child, key);
	buf_put_slice(out, slice_skip(page, at));
}

/*
 * Where to split: in the middle, but before an entry that was added at the
 * end, so that names that come in order leave full pages behind.
 */
static int
split_at(struct slice page, size_t added, size_t *at, struct err *err)
{
	struct entry e = { .end = PAGE_HEAD };
	int more;

	while ((more = entry_next(page, &e, err)) == 1) {
		if (e.end == page.len && e.at == added)
			break;
		if (e.at >= page.len / 2)
			break;
	}
	if (more == -1)
		return -1;
	*at = e.at;
	return *at > PAGE_HEAD && *at < page.len ? 0 : damaged(err);
}

/* Halves page into s's own and a new one; key is the new one's first. */
static int
split(struct btree *bt, struct btree_set set, struct step *s, struct slice page,
    size_t added, struct buf *key, uint64_t *right, struct err *err)
{
	struct entry first = { 0 };
	struct buf half;
	size_t at;
	int rc;

	if (split_at(page, added, &at, err) == -1)
		return -1;
	first.end = at;
	if (entry_next(page, &first, err) != 1)
		return damaged(err);
	buf_clear(key);
	buf_put_slice(key, first.key);
	*right = bt->root.next++;

	buf_init(&half, PAGE_BUF);
	buf_put_slice(&half, slice_first(page, PAGE_HEAD));
	buf_put_slice(&half, slice_skip(page, at));
	rc = page_write(bt, set, *right, buf_slice(&half), err);
	buf_fini(&half);
	if (rc == -1)
		return -1;
	return page_write(bt, set, s->page, slice_first(page, at), err);
}

/* The root was split: one above it. */
static int
grow(struct btree *bt, struct btree_set set, uint64_t right, struct slice key,
    struct err *err)
{
	struct slice old = step_page(&bt->steps[0]);
	struct buf page;
	int rc;

	buf_init(&page, PAGE_BUF);
	wire_put_u8(&page, (uint8_t)(old.ptr[0] + 1));
	entry_put(&page, false, bt->root.page, slice_of(NULL, 0));
	entry_put(&page, false, right, key);
	bt->root.page = bt->root.next++;
	rc = page_write(bt, set, bt->root.page, buf_slice(&page), err);
	buf_fini(&page);
	return rc;
}

/* Puts an entry into the last step's page at an offset, splitting upwards. */
static int
insert_at(struct btree *bt, struct btree_set set, size_t at, struct slice key,
    struct err *err)
{
	struct buf page, up;
	uint64_t child = 0;
	int rc = -1;

	buf_init(&page, PAGE_BUF);
	buf_init(&up, BTREE_KEY_MAX);
	for (size_t level = bt->depth; level > 0; level--) {
		struct step *s = &bt->steps[level - 1];

		if (level < bt->depth)
			at = s->taken.end;
		page_splice(s, at, child, key, &page);
		if (buf_len(&page) <= PAGE_MAX) {
			rc =
			    page_write(bt, set, s->page, buf_slice(&page), err);
			goto out;
		}
		if (split(bt, set, s, buf_slice(&page), at, &up, &child, err) ==
		    -1)
			goto out;
		key = buf_slice(&up);
	}
	rc = grow(bt, set, child, key, err);
out:
	buf_fini(&page);
	buf_fini(&up);
	return rc;
}

static int
insert_first(struct btree *bt, struct btree_set set, struct slice key,
    struct err *err)
{
	struct step *s = &bt->steps[0];

	buf_clear(&s->octets);
	wire_put_u8(&s->octets, 0);
	entry_put(&s->octets, true, 0, key);
	bt->root.page = bt->root.next++;
	return page_write(bt, set, bt->root.page, step_page(s), err);
}

int
btree_insert(struct btree *bt, struct btree_set set, struct slice key,
    struct err *err)
{
	struct entry e;
	int found;

	MUST(key.len > 0 && key.len <= BTREE_KEY_MAX);
	if (root_read(bt, set, err) == -1)
		return -1;
	bt->depth = 0;
	if (bt->root.page == 0) {
		found = insert_first(bt, set, key, err);
	} else {
		if (descend(bt, set, bt->root.page, key, err) == -1)
			return -1;
		found = leaf_find(step_page(&bt->steps[bt->depth - 1]), key, &e,
		    err);
		if (found == 1)
			return 0;
		if (found == 0)
			found = insert_at(bt, set, e.at, key, err);
	}
	bt->root.count++;
	if (found == -1 || root_write(bt, set, err) == -1)
		return -1;
	return 1;
}

/* --- removing -------------------------------------------------------------- */

/* An inner root with one child is not needed: the child is the root. */
static int
shrink(struct btree *bt, struct btree_set set, struct err *err)
{
	struct page_key k;
	struct entry e;
	struct slice page;

	for (;;) {
		bt->depth = 0;
		if (step_read(bt, set, bt->root.page, err) == -1)
			return -1;
		page = step_page(&bt->steps[0]);
		e = (struct entry){ .end = PAGE_HEAD };
		if (is_leaf(page))
			return 0;
		if (entry_next(page, &e, err) != 1)
			return damaged(err);
		if (e.end < page.len)
			return 0;
		if (db_delete(bt->db, set.shard,
		        page_key(set, bt->root.page, &k), err) == -1)
			return -1;
		bt->root.page = e.child;
	}
}

/* Takes an entry out of the last step's page, and emptied pages with it. */
static int
remove_at(struct btree *bt, struct btree_set set, struct entry e,
    struct err *err)
{
	for (size_t level = bt->depth; level > 0; level--) {
		struct step *s = &bt->steps[level - 1];
		struct slice page = step_page(s);
		struct page_key k;

		if (level < bt->depth)
			e = s->taken;
		buf_clear(&bt->scratch);
		buf_put_slice(&bt->scratch, slice_first(page, e.at));
		buf_put_slice(&bt->scratch, slice_skip(page, e.end));
		if (buf_len(&bt->scratch) > PAGE_HEAD) {
			if (page_write(bt, set, s->page,
			        buf_slice(&bt->scratch), err) == -1)
				return -1;
			return shrink(bt, set, err);
		}
		if (db_delete(bt->db, set.shard, page_key(set, s->page, &k),
		        err) == -1)
			return -1;
	}
	bt->root.page = 0;
	return 0;
}

int
btree_remove(struct btree *bt, struct btree_set set, struct slice key,
    struct err *err)
{
	struct entry e;
	int found;

	if (root_read(bt, set, err) == -1)
		return -1;
	bt->depth = 0;
	if (bt->root.page == 0)
		return 0;
	if (descend(bt, set, bt->root.page, key, err) == -1)
		return -1;
	found = leaf_find(step_page(&bt->steps[bt->depth - 1]), key, &e, err);
	if (found != 1)
		return found;
	if (remove_at(bt, set, e, err) == -1)
		return -1;
	if (bt->root.count > 0)
		bt->root.count--;
	return root_write(bt, set, err) == -1 ? -1 : 1;
}

/* --- reading --------------------------------------------------------------- */

int
btree_count(struct btree *bt, struct btree_set set, uint64_t *n,
    struct err *err)
{
	if (root_read(bt, set, err) == -1)
		return -1;
	*n = bt->root.count;
	return 0;
}

/* The leaf after the one we are in: up, one to the right, down. */
static int
next_leaf(struct btree *bt, struct btree_set set, struct err *err)
{
	while (bt->depth > 1) {
		struct step *s = &bt->steps[--bt->depth - 1];
		int more = entry_next(step_page(s), &s->taken, err);

		if (more == -1)
			return -1;
		if (more == 1)
			return descend(bt, set, s->taken.child,
			           slice_of(NULL, 0), err) == -1
			           ? -1
			           : 1;
	}
	return 0;
}

int
btree_seek(struct btree *bt, struct btree_set set, struct slice from,
    struct err *err)
{
	struct entry e;
	int more;

	if (root_read(bt, set, err) == -1)
		return -1;
	bt->depth = 0;
	if (bt->root.page == 0)
		return 0;
	if (descend(bt, set, bt->root.page, from, err) == -1)
		return -1;
	if (leaf_find(step_page(&bt->steps[bt->depth - 1]), from, &e, err) ==
	    -1)
		return -1;
	bt->pull_at = e.at;
	if (e.at < buf_len(&bt->steps[bt->depth - 1].octets))
		return 1;
	more = next_leaf(bt, set, err);
	bt->pull_at = PAGE_HEAD;
	return more;
}

int
btree_pull(struct btree *bt, struct slice *key, struct err *err)
{
	struct entry e = { .end = bt->pull_at };
	int more;

	MUST(bt->depth > 0);
	more = entry_next(step_page(&bt->steps[bt->depth - 1]), &e, err);
	if (more != 1)
		return more;
	bt->pull_at = e.end;
	*key = e.key;
	return 1;
}

/* --- birth and death ------------------------------------------------------- */

struct btree *
btree_new(struct db *db)
{
	struct btree *bt = xcalloc(1, sizeof(*bt));

	bt->db = db;
	buf_init(&bt->scratch, PAGE_BUF);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		buf_init(&bt->steps[i].octets, PAGE_BUF);
	return bt;
}

void
btree_free(struct btree **bp)
{
	struct btree *bt = *bp;

	if (bt == NULL)
		return;
	buf_fini(&bt->scratch);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		buf_fini(&bt->steps[i].octets);
	free(bt);
	*bp = NULL;
}
