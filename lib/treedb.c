#include <stdlib.h>

#include "lib/btree.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/pages.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

/*
 * In each shard: the records (whole, by key) and the set of tag NUL key.
 * Facts, by name, are in shard 0.
 */
enum {
	WHOLE_VERSION = 1,
	WHOLE_MAX = 64 * 1024 * 1024,
	/* Read ahead in a walk: octets of records at most; records at first,
	 * then twice as many, as most walks are short. */
	BATCH_MAX = 256 * 1024,
	BATCH_FIRST = 16
};

struct treedb {
	struct db *db; /* NULL: in memory only */
	struct pages *pages;
	struct btree *records, *index;
	struct buf old, fresh, tag; /* scratch */
};

int
treedb_open(struct treedb **tp, const char *dir, unsigned shards,
    enum db_mode mode, struct err *err)
{
	struct db *db = NULL;
	struct treedb *t;

	*tp = NULL;
	if (mode != DB_MEMORY && db_open(&db, dir, shards, mode, err) == -1)
		return -1;
	t = xcalloc(1, sizeof(*t));
	t->db = db;
	t->pages =
	    db == NULL ? pages_new(shards) : pages_over(db, mode == DB_READ);
	t->records = btree_new(t->pages);
	t->index = btree_new(t->pages);
	buf_init(&t->tag, BTREE_KEY_MAX);
	buf_init(&t->old, WHOLE_MAX);
	buf_init(&t->fresh, WHOLE_MAX);
	*tp = t;
	return 0;
}

void
treedb_close(struct treedb **tp)
{
	struct treedb *t = *tp;

	if (t == NULL)
		return;
	btree_free(&t->records);
	btree_free(&t->index);
	pages_free(&t->pages);
	db_close(&t->db);
	buf_fini(&t->tag);
	buf_fini(&t->old);
	buf_fini(&t->fresh);
	free(t);
	*tp = NULL;
}

struct pages *
treedb_pages(struct treedb *t)
{
	return t->pages;
}

unsigned
treedb_shards(const struct treedb *t)
{
	return pages_shards(t->pages);
}

int
treedb_begin(struct treedb *t, struct err *err)
{
	return pages_begin(t->pages, err);
}

int
treedb_commit(struct treedb *t, struct err *err)
{
	return pages_commit(t->pages, err);
}

void
treedb_cancel(struct treedb *t)
{
	pages_cancel(t->pages);
}

/* --- keys ------------------------------------------------------------------ */

/* The first two components; *whole: the second is complete. */
static struct slice
shard_part(struct slice key, bool *whole)
{
	size_t one = slice_find(key, TREEDB_SEP), two;

	*whole = false;
	if (one == key.len)
		return key;
	two = slice_find(slice_skip(key, one + 1), TREEDB_SEP);
	*whole = one + 1 + two < key.len;
	return slice_first(key, one + 1 + two);
}

unsigned
treedb_shard(const struct treedb *t, struct slice key)
{
	bool whole;
	struct slice part = shard_part(key, &whole);

	return hash_crc32c(0, part.ptr, part.len) % pages_shards(t->pages);
}

static struct pages_set
names_in(unsigned shard)
{
	return (struct pages_set){ shard, PAGES_NAMES };
}

static struct pages_set
tags_in(unsigned shard)
{
	return (struct pages_set){ shard, PAGES_TAGS };
}

static struct slice
tag_key(struct treedb *t, struct slice tag, struct slice key)
{
	buf_clear(&t->tag);
	buf_put_slice(&t->tag, tag);
	buf_putc(&t->tag, '\0');
	buf_put_slice(&t->tag, key);
	MUST(!buf_failed(&t->tag));
	return buf_slice(&t->tag);
}

/* --- wholes ---------------------------------------------------------------- */

/* A whole is: version, how many tags, each with its length, the value. */
struct whole {
	unsigned ntags;
	struct slice tags; /* to be taken one by one */
	struct slice value;
};

static struct slice
tag_take(struct slice *tags)
{
	struct slice tag = slice_of(tags->ptr + 1, tags->ptr[0]);

	*tags = slice_skip(*tags, 1 + tag.len);
	return tag;
}

static int
whole_parse(struct whole *v, struct slice s, struct err *err)
{
	struct slice rest;
	struct wire w;

	wire_init(&w, s);
	if (wire_u8(&w) != WHOLE_VERSION)
		return err_set(err, "a record of a version not known");
	v->ntags = wire_u16(&w);
	rest = v->tags = w.rest;
	if (w.failed)
		return err_set(err, "a damaged record");
	for (unsigned i = 0; i < v->ntags; i++) {
		if (rest.len == 0 || rest.ptr[0] >= rest.len)
			return err_set(err, "a damaged record");
		tag_take(&rest);
	}
	v->value = rest;
	v->tags = slice_first(v->tags, v->tags.len - rest.len);
	return 0;
}

static bool
tag_is_among(struct slice tag, struct slice tags)
{
	while (tags.len > 0)
		if (slice_equal(tag, tag_take(&tags)))
			return true;
	return false;
}

void
treedb_whole(struct buf *b, struct slice value, const struct slice *tags,
    size_t ntags)
{
	MUST(ntags <= TREEDB_TAGS_MAX);
	wire_put_u8(b, WHOLE_VERSION);
	wire_put_u16(b, (uint16_t)ntags);
	for (size_t i = 0; i < ntags; i++) {
		MUST(tags[i].len <= TREEDB_TAG_MAX);
		MUST(slice_find(tags[i], '\0') == tags[i].len);
		wire_put_u8(b, (uint8_t)tags[i].len);
		buf_put_slice(b, tags[i]);
	}
	buf_put_slice(b, value);
}

size_t
treedb_whole_size(struct slice value, const struct slice *tags, size_t ntags)
{
	size_t n = 3 + value.len;

	for (size_t i = 0; i < ntags; i++)
		n += 1 + tags[i].len;
	return n;
}

/* --- one record ------------------------------------------------------------ */

/* Reading one key of a shard: one state of it. */
static int
get_in(struct treedb *t, struct btree *bt, struct pages_set set,
    struct slice key, struct buf *out, struct err *err)
{
	int found;

	if (pages_hold(t->pages, set.shard, err) == -1)
		return -1;
	found = btree_get(bt, set, key, out, err);
	pages_release(t->pages, set.shard);
	return found;
}

int
treedb_get_whole(struct treedb *t, struct slice key, struct buf *out,
    struct err *err)
{
	if (key.len == 0 || key.len > TREEDB_KEY_MAX)
		return 0;
	return get_in(t, t->records, names_in(treedb_shard(t, key)), key, out,
	    err);
}

int
treedb_get(struct treedb *t, struct slice key, struct buf *out, struct err *err)
{
	struct whole v;
	int found;

	buf_clear(&t->old);
	found = treedb_get_whole(t, key, &t->old, err);
	if (found != 1)
		return found;
	if (whole_parse(&v, buf_slice(&t->old), err) == -1)
		return -1;
	if (v.value.len > buf_room(out))
		return err_set(err, "a record is larger than its buffer");
	buf_put_slice(out, v.value);
	return 1;
}

/* Index entries of the tags in "of" that are not in "but". */
static int
index_tags(struct treedb *t, struct slice key, struct slice of,
    struct slice but, bool insert, struct err *err)
{
	struct pages_set set = tags_in(treedb_shard(t, key));
	const struct slice nothing = { NULL, 0 };

	while (of.len > 0) {
		struct slice tag = tag_take(&of), k;
		int rc;

		if (tag_is_among(tag, but))
			continue;
		k = tag_key(t, tag, key);
		rc = insert ? btree_put(t->index, set, k, nothing, NULL, err)
		            : btree_delete(t->index, set, k, NULL, err);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* What was in t->old, if found, and is fresh, if there is to be one. */
static int
retag(struct treedb *t, struct slice key, int found, const struct whole *fresh,
    struct err *err)
{
	struct whole old = { .ntags = 0 };
	struct slice has = { NULL, 0 };

	if (found == 1 && whole_parse(&old, buf_slice(&t->old), err) == -1)
		return -1;
	if (fresh != NULL)
		has = fresh->tags;
	if (index_tags(t, key, old.tags, has, false, err) == -1)
		return -1;
	return index_tags(t, key, has, old.tags, true, err);
}

int
treedb_swap_whole(struct treedb *t, struct slice key, const struct slice *whole,
    struct slice *old, struct err *err)
{
	struct pages_set set = names_in(treedb_shard(t, key));
	struct whole fresh;
	int found;

	MUST(key.len > 0 && key.len <= TREEDB_KEY_MAX);
	if (whole != NULL && whole_parse(&fresh, *whole, err) == -1)
		return -1;
	buf_clear(&t->old);
	found = whole != NULL
	            ? btree_put(t->records, set, key, *whole, &t->old, err)
	            : btree_delete(t->records, set, key, &t->old, err);
	if (found == -1 ||
	    retag(t, key, found, whole == NULL ? NULL : &fresh, err) == -1)
		return -1;
	*old = buf_slice(&t->old);
	return found;
}

int
treedb_put_whole(struct treedb *t, struct slice key, struct slice whole,
    struct err *err)
{
	struct slice old;

	return treedb_swap_whole(t, key, &whole, &old, err) == -1 ? -1 : 0;
}

int
treedb_put(struct treedb *t, struct slice key, struct slice value,
    const struct slice *tags, size_t ntags, struct err *err)
{
	buf_clear(&t->fresh);
	treedb_whole(&t->fresh, value, tags, ntags);
	if (buf_failed(&t->fresh))
		return err_set(err, "a record is too large");
	return treedb_put_whole(t, key, buf_slice(&t->fresh), err);
}

int
treedb_delete(struct treedb *t, struct slice key, struct err *err)
{
	struct slice old;

	if (key.len == 0 || key.len > TREEDB_KEY_MAX)
		return 0;
	return treedb_swap_whole(t, key, NULL, &old, err) == -1 ? -1 : 0;
}

/* --- walking --------------------------------------------------------------- */

/* Records of one shard, read ahead from one page of its index. */
struct lane {
	unsigned shard;
	bool over;       /* the index ends here, or the prefix does */
	unsigned batch;  /* records to read ahead */
	struct buf from; /* where to read on */
	struct buf ahead;
	struct slice key, value; /* the next; key.len 0: none */
};

struct walk {
	struct treedb *t;
	struct slice prefix; /* of keys to read on */
	size_t cut;          /* octets to take off keys of the index */
	bool tags;
	struct lane *lanes;
	unsigned nlanes;
};

/* A record's key and whole, for later.  Of the index, the record it names. */
static int
read_record(struct walk *wk, struct lane *l, struct slice key,
    struct slice whole, struct err *err)
{
	struct treedb *t = wk->t;
	int found;

	if (wk->tags) {
		buf_clear(&t->old);
		found = btree_get(t->records, names_in(l->shard), key, &t->old,
		    err);
		if (found == 0)
			return err_set(err,
			    "the index names a record that is not");
		if (found == -1)
			return -1;
		whole = buf_slice(&t->old);
	}
	wire_put_slice(&l->ahead, key);
	wire_put_slice(&l->ahead, whole);
	return 0;
}

/* What one page has from l->from on. */
static int
read_page(struct walk *wk, struct lane *l, struct err *err)
{
	struct btree *bt = wk->tags ? wk->t->index : wk->t->records;
	unsigned n = 0;
	struct slice key, value;
	int more =
	    btree_seek(bt, wk->tags ? tags_in(l->shard) : names_in(l->shard),
	        buf_slice(&l->from), err);

	if (more == 0)
		l->over = true;
	while (more == 1 && (more = btree_pull(bt, &key, &value, err)) == 1) {
		if (!slice_starts(key, wk->prefix)) {
			l->over = true;
			return 0;
		}
		if (key.len - wk->cut > TREEDB_KEY_MAX || key.len == wk->cut)
			return err_set(err, "a key is damaged");
		if (read_record(wk, l, slice_skip(key, wk->cut), value, err) ==
		    -1)
			return -1;
		/* Just above this key. */
		buf_clear(&l->from);
		buf_put_slice(&l->from, key);
		buf_putc(&l->from, '\0');
		if (++n >= l->batch || buf_len(&l->ahead) > BATCH_MAX) {
			l->batch *= l->batch < BATCH_MAX ? 2 : 1;
			return 0;
		}
	}
	return more;
}

/* Makes l->key the next record's, if there is one. */
static int
lane_advance(struct walk *wk, struct lane *l, struct err *err)
{
	struct whole v;
	struct wire w;
	int rc = 0;

	l->key = slice_of(NULL, 0);
	while (buf_len(&l->ahead) == 0 && !l->over && rc == 0) {
		if (pages_hold(wk->t->pages, l->shard, err) == -1)
			return -1;
		rc = read_page(wk, l, err);
		pages_release(wk->t->pages, l->shard);
	}
	if (rc == -1 || buf_len(&l->ahead) == 0)
		return rc;
	MUST(!buf_failed(&l->ahead));
	wire_init(&w, buf_slice(&l->ahead));
	l->key = wire_slice(&w);
	if (whole_parse(&v, wire_slice(&w), err) == -1)
		return -1;
	l->value = v.value;
	MUST(!w.failed);
	/* They stay where they are until the next put. */
	buf_drop(&l->ahead, buf_len(&l->ahead) - w.rest.len);
	return 0;
}

/*
 * The lane with the lowest key; *next: the one that comes then, NULL if there
 * is none.
 */
static struct lane *
lowest(struct walk *wk, struct lane **next)
{
	struct lane *low = NULL;

	*next = NULL;
	for (unsigned i = 0; i < wk->nlanes; i++) {
		struct lane *l = &wk->lanes[i];

		if (l->key.len == 0)
			continue;
		if (low == NULL || slice_compare(l->key, low->key) < 0) {
			*next = low;
			low = l;
		} else if (*next == NULL ||
		           slice_compare(l->key, (*next)->key) < 0) {
			*next = l;
		}
	}
	return low;
}

/* A tree is in one shard, so the next record is mostly the same lane's. */
static struct lane *
choose(struct walk *wk, struct lane *last, struct lane **next)
{
	if (last != NULL && last->key.len > 0 &&
	    (*next == NULL || slice_compare(last->key, (*next)->key) < 0))
		return last;
	return lowest(wk, next);
}

/* Is the lane's next key below the one to skip?  Then go on behind it all. */
static int
pass_skipped(struct walk *wk, struct lane *l, const struct buf *skip,
    bool *passed, struct err *err)
{
	struct slice s = buf_slice(skip);

	*passed = s.len > 0 && slice_starts(l->key, s);
	if (!*passed)
		return 0;
	buf_clear(&l->ahead);
	buf_clear(&l->from);
	buf_put_slice(&l->from, slice_first(wk->prefix, wk->cut));
	buf_put_slice(&l->from, slice_first(s, s.len - 1));
	buf_putc(&l->from, TREEDB_SEP + 1);
	return lane_advance(wk, l, err);
}

static int
walk_merged(struct walk *wk, treedb_visit *visit, void *arg, struct err *err)
{
	struct lane *l = NULL, *second = NULL;
	struct buf skip;
	int rc = 0;

	buf_init(&skip, BTREE_KEY_MAX);
	for (unsigned i = 0; i < wk->nlanes && rc == 0; i++)
		rc = lane_advance(wk, &wk->lanes[i], err);
	while (rc == 0 && (l = choose(wk, l, &second)) != NULL) {
		enum treedb_next next;
		bool passed;

		rc = pass_skipped(wk, l, &skip, &passed, err);
		if (passed)
			continue;
		next = visit(arg, l->key, l->value);
		if (next == TREEDB_STOP)
			break;
		if (next == TREEDB_SKIP) {
			buf_clear(&skip);
			buf_put_slice(&skip, l->key);
			buf_putc(&skip, TREEDB_SEP);
		}
		rc = lane_advance(wk, l, err);
	}
	buf_fini(&skip);
	return rc;
}

static int
walk_shards(struct walk *wk, unsigned first, unsigned n, struct slice from,
    treedb_visit *visit, void *arg, struct err *err)
{
	int rc;

	wk->lanes = xcalloc(n, sizeof(*wk->lanes));
	wk->nlanes = n;
	for (unsigned i = 0; i < n; i++) {
		struct lane *l = &wk->lanes[i];

		l->shard = first + i;
		l->batch = BATCH_FIRST;
		buf_init(&l->from, BTREE_KEY_MAX + 1);
		buf_init(&l->ahead, WHOLE_MAX + 2 * BATCH_MAX);
		buf_put_slice(&l->from, from);
	}
	rc = walk_merged(wk, visit, arg, err);
	for (unsigned i = 0; i < n; i++) {
		buf_fini(&wk->lanes[i].from);
		buf_fini(&wk->lanes[i].ahead);
	}
	free(wk->lanes);
	return rc;
}

int
treedb_walk(struct treedb *t, struct slice prefix, struct slice from,
    treedb_visit *visit, void *arg, struct err *err)
{
	struct walk wk = { .t = t, .prefix = prefix };
	bool whole;

	MUST(from.len <= TREEDB_KEY_MAX + 1);
	if (prefix.len > TREEDB_KEY_MAX)
		return 0;
	if (slice_compare(from, prefix) < 0)
		from = prefix;
	shard_part(prefix, &whole);
	if (whole)
		return walk_shards(&wk, treedb_shard(t, prefix), 1, from, visit,
		    arg, err);
	return walk_shards(&wk, 0, treedb_shards(t), from, visit, arg, err);
}

struct top {
	struct slice key;
	treedb_visit *visit;
	void *arg;
	enum treedb_next next;
};

/* The first key from there on is the one, or it is not there. */
static enum treedb_next
see_top(void *arg, struct slice key, struct slice value)
{
	struct top *top = arg;

	if (key.len == top->key.len)
		top->next = top->visit(top->arg, key, value);
	return TREEDB_STOP;
}

static int
walk_below(struct treedb *t, struct slice key, struct slice from,
    treedb_visit *visit, void *arg, struct err *err)
{
	struct buf below;
	int rc;

	buf_init(&below, TREEDB_KEY_MAX);
	buf_put_slice(&below, key);
	buf_putc(&below, TREEDB_SEP);
	rc = treedb_walk(t, buf_slice(&below), from, visit, arg, err);
	buf_fini(&below);
	return rc;
}

int
treedb_walk_tree_from(struct treedb *t, struct slice key, struct slice from,
    treedb_visit *visit, void *arg, struct err *err)
{
	struct walk wk = { .t = t, .prefix = key };
	struct top top = { key, visit, arg, TREEDB_NEXT };

	if (key.len == 0)
		return treedb_walk(t, key, from, visit, arg, err);
	if (key.len > TREEDB_KEY_MAX)
		return 0;
	if (slice_compare(from, key) <= 0 &&
	    walk_shards(&wk, treedb_shard(t, key), 1, key, see_top, &top,
	        err) == -1)
		return -1;
	if (top.next != TREEDB_NEXT || key.len == TREEDB_KEY_MAX)
		return 0;
	return walk_below(t, key, from, visit, arg, err);
}

int
treedb_walk_tree(struct treedb *t, struct slice key, treedb_visit *visit,
    void *arg, struct err *err)
{
	return treedb_walk_tree_from(t, key, slice_of(NULL, 0), visit, arg,
	    err);
}

int
treedb_walk_tag_from(struct treedb *t, struct slice tag, struct slice from,
    treedb_visit *visit, void *arg, struct err *err)
{
	struct walk wk = { .t = t, .tags = true, .cut = tag.len + 1 };
	struct buf at;
	int rc = 0;

	MUST(from.len <= TREEDB_KEY_MAX + 1);
	if (tag.len > TREEDB_TAG_MAX || slice_find(tag, '\0') < tag.len)
		return 0;
	buf_init(&at, TREEDB_TAG_MAX + 1 + TREEDB_KEY_MAX + 1);
	buf_put_slice(&at, tag);
	buf_putc(&at, '\0');
	buf_put_slice(&at, from);
	wk.prefix = slice_first(buf_slice(&at), wk.cut);
	rc = walk_shards(&wk, 0, treedb_shards(t), buf_slice(&at), visit, arg,
	    err);
	buf_fini(&at);
	return rc;
}

int
treedb_walk_tag(struct treedb *t, struct slice tag, treedb_visit *visit,
    void *arg, struct err *err)
{
	return treedb_walk_tag_from(t, tag, slice_of(NULL, 0), visit, arg, err);
}

enum treedb_next
treedb_turn_visit(void *turn, struct slice key, struct slice value)
{
	struct treedb_turn *tt = turn;

	buf_clear(tt->cursor);
	buf_put_slice(tt->cursor, key);
	buf_putc(tt->cursor, '\0'); /* just behind it */
	MUST(!buf_failed(tt->cursor) && tt->left > 0);
	if (tt->visit(tt->arg, key, value) == TREEDB_STOP)
		return TREEDB_STOP;
	return --tt->left > 0 ? TREEDB_NEXT : TREEDB_STOP;
}

/* --- all of it ------------------------------------------------------------- */

int
treedb_count(struct treedb *t, uint64_t *n, struct err *err)
{
	*n = 0;
	for (unsigned i = 0; i < treedb_shards(t); i++) {
		uint64_t count;

		if (btree_count(t->records, names_in(i), &count, err) == -1)
			return -1;
		*n += count;
	}
	return 0;
}

/* --- facts ----------------------------------------------------------------- */

static const struct pages_set facts = { 0, PAGES_FACTS };

int
treedb_get_fact(struct treedb *t, const char *name, struct buf *out,
    struct err *err)
{
	return get_in(t, t->records, facts, slice_str(name), out, err);
}

int
treedb_swap_fact(struct treedb *t, struct slice name, const struct slice *value,
    struct slice *old, struct err *err)
{
	int found;

	buf_clear(&t->old);
	found = value != NULL
	            ? btree_put(t->records, facts, name, *value, &t->old, err)
	            : btree_delete(t->records, facts, name, &t->old, err);
	*old = buf_slice(&t->old);
	return found;
}

int
treedb_put_fact(struct treedb *t, const char *name, struct slice value,
    struct err *err)
{
	struct slice old;

	return treedb_swap_fact(t, slice_str(name), &value, &old, err) == -1
	           ? -1
	           : 0;
}
