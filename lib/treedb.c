#include <stdlib.h>

#include "lib/btree.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

/*
 * In each shard: records ('k' and the key), the set of keys (btree 'n') and
 * the set of tag NUL key (btree 't').  Facts ('f' and the name) are in shard 0.
 */
enum {
	WHOLE_VERSION = 1,
	WHOLE_MAX = 64 * 1024 * 1024,
	BATCH_MAX = 256 * 1024 /* octets of records read ahead in a walk */
};

struct treedb {
	struct db *db;
	struct btree *index;
	struct buf key, old, fresh, tag; /* scratch */
};

int
treedb_open(struct treedb **tp, const char *dir, unsigned shards,
    enum db_mode mode, struct err *err)
{
	struct db *db;
	struct treedb *t;

	*tp = NULL;
	if (db_open(&db, dir, shards, mode, err) == -1)
		return -1;
	t = xcalloc(1, sizeof(*t));
	t->db = db;
	t->index = btree_new(db);
	buf_init(&t->key, BTREE_KEY_MAX);
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
	btree_free(&t->index);
	db_close(&t->db);
	buf_fini(&t->key);
	buf_fini(&t->tag);
	buf_fini(&t->old);
	buf_fini(&t->fresh);
	free(t);
	*tp = NULL;
}

struct db *
treedb_db(struct treedb *t)
{
	return t->db;
}

unsigned
treedb_shards(const struct treedb *t)
{
	return db_shards(t->db);
}

bool
treedb_was_emptied(const struct treedb *t)
{
	return db_was_emptied(t->db);
}

int
treedb_begin(struct treedb *t, struct err *err)
{
	return db_begin(t->db, err);
}

int
treedb_commit(struct treedb *t, struct err *err)
{
	return db_commit(t->db, err);
}

void
treedb_cancel(struct treedb *t)
{
	db_cancel(t->db);
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

	return hash_crc32c(0, part.ptr, part.len) % db_shards(t->db);
}

static struct btree_set
names_in(unsigned shard)
{
	return (struct btree_set){ shard, 'n' };
}

static struct btree_set
tags_in(unsigned shard)
{
	return (struct btree_set){ shard, 't' };
}

static struct slice
prefixed(struct treedb *t, char letter, struct slice s)
{
	buf_clear(&t->key);
	buf_putc(&t->key, (uint8_t)letter);
	buf_put_slice(&t->key, s);
	MUST(!buf_failed(&t->key));
	return buf_slice(&t->key);
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

/* --- one record ------------------------------------------------------------ */

int
treedb_get_whole(struct treedb *t, struct slice key, struct buf *out,
    struct err *err)
{
	if (key.len == 0 || key.len > TREEDB_KEY_MAX)
		return 0;
	return db_get(t->db, treedb_shard(t, key), prefixed(t, 'k', key), out,
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
	struct btree_set set = tags_in(treedb_shard(t, key));

	while (of.len > 0) {
		struct slice tag = tag_take(&of), k;
		int rc;

		if (tag_is_among(tag, but))
			continue;
		k = tag_key(t, tag, key);
		rc = insert ? btree_insert(t->index, set, k, err)
		            : btree_remove(t->index, set, k, err);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* old, if there was one, and fresh, if there is to be one. */
static int
replace(struct treedb *t, struct slice key, const struct whole *old,
    const struct whole *fresh, struct err *err)
{
	struct slice none = { NULL, 0 };
	struct slice had = old == NULL ? none : old->tags;
	struct slice has = fresh == NULL ? none : fresh->tags;

	if (index_tags(t, key, had, has, false, err) == -1)
		return -1;
	return index_tags(t, key, has, had, true, err);
}

int
treedb_put_whole(struct treedb *t, struct slice key, struct slice whole,
    struct err *err)
{
	unsigned shard = treedb_shard(t, key);
	struct whole fresh, old;
	int found;

	MUST(key.len > 0 && key.len <= TREEDB_KEY_MAX);
	if (whole_parse(&fresh, whole, err) == -1)
		return -1;
	buf_clear(&t->old);
	found = treedb_get_whole(t, key, &t->old, err);
	if (found == -1)
		return -1;
	if (found == 1 && whole_parse(&old, buf_slice(&t->old), err) == -1)
		return -1;
	if (replace(t, key, found == 1 ? &old : NULL, &fresh, err) == -1)
		return -1;
	if (found == 0 &&
	    btree_insert(t->index, names_in(shard), key, err) == -1)
		return -1;
	return db_put(t->db, shard, prefixed(t, 'k', key), whole, err);
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
	unsigned shard = treedb_shard(t, key);
	struct whole old;
	int found;

	buf_clear(&t->old);
	found = treedb_get_whole(t, key, &t->old, err);
	if (found != 1)
		return found;
	if (whole_parse(&old, buf_slice(&t->old), err) == -1 ||
	    replace(t, key, &old, NULL, err) == -1 ||
	    btree_remove(t->index, names_in(shard), key, err) == -1)
		return -1;
	return db_delete(t->db, shard, prefixed(t, 'k', key), err);
}

/* --- walking --------------------------------------------------------------- */

/* Records of one shard, read ahead from one page of its index. */
struct lane {
	unsigned shard;
	bool over;       /* the index ends here, or the prefix does */
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

static int
read_record(struct walk *wk, struct lane *l, struct slice key, struct err *err)
{
	struct treedb *t = wk->t;
	int found;

	buf_clear(&t->old);
	key = slice_skip(key, wk->cut);
	found = db_get(t->db, l->shard, prefixed(t, 'k', key), &t->old, err);
	if (found == 0)
		return err_set(err, "the index names a record that is not");
	if (found == -1)
		return -1;
	wire_put_slice(&l->ahead, key);
	wire_put_slice(&l->ahead, buf_slice(&t->old));
	return 0;
}

/* What one page of the index has from l->from on. */
static int
read_page(struct walk *wk, struct lane *l, struct err *err)
{
	struct btree_set set =
	    wk->tags ? tags_in(l->shard) : names_in(l->shard);
	struct btree *index = wk->t->index;
	struct slice key;
	int more = btree_seek(index, set, buf_slice(&l->from), err);

	if (more == 0)
		l->over = true;
	while (more == 1 && (more = btree_pull(index, &key, err)) == 1) {
		if (!slice_starts(key, wk->prefix)) {
			l->over = true;
			return 0;
		}
		if (read_record(wk, l, key, err) == -1)
			return -1;
		/* Just above this key. */
		buf_clear(&l->from);
		buf_put_slice(&l->from, key);
		buf_putc(&l->from, '\0');
		if (buf_len(&l->ahead) > BATCH_MAX)
			return 0;
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
		if (db_hold(wk->t->db, l->shard, err) == -1)
			return -1;
		rc = read_page(wk, l, err);
		db_release(wk->t->db, l->shard);
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

static struct lane *
lowest(struct walk *wk)
{
	struct lane *low = NULL;

	for (unsigned i = 0; i < wk->nlanes; i++) {
		struct lane *l = &wk->lanes[i];

		if (l->key.len > 0 &&
		    (low == NULL || slice_compare(l->key, low->key) < 0))
			low = l;
	}
	return low;
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
	struct buf skip;
	struct lane *l;
	int rc = 0;

	buf_init(&skip, BTREE_KEY_MAX);
	for (unsigned i = 0; i < wk->nlanes && rc == 0; i++)
		rc = lane_advance(wk, &wk->lanes[i], err);
	while (rc == 0 && (l = lowest(wk)) != NULL) {
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
	return walk_shards(&wk, 0, db_shards(t->db), from, visit, arg, err);
}

int
treedb_walk_tag(struct treedb *t, struct slice tag, treedb_visit *visit,
    void *arg, struct err *err)
{
	struct walk wk = { .t = t, .tags = true, .cut = tag.len + 1 };
	struct buf prefix;
	int rc = 0;

	if (tag.len > TREEDB_TAG_MAX || slice_find(tag, '\0') < tag.len)
		return 0;
	buf_init(&prefix, TREEDB_TAG_MAX + 1);
	buf_put_slice(&prefix, tag);
	buf_putc(&prefix, '\0');
	wk.prefix = buf_slice(&prefix);
	rc = walk_shards(&wk, 0, db_shards(t->db), wk.prefix, visit, arg, err);
	buf_fini(&prefix);
	return rc;
}

/* --- all of it ------------------------------------------------------------- */

int
treedb_count(struct treedb *t, uint64_t *n, struct err *err)
{
	*n = 0;
	for (unsigned i = 0; i < db_shards(t->db); i++) {
		uint64_t count;

		if (btree_count(t->index, names_in(i), &count, err) == -1)
			return -1;
		*n += count;
	}
	return 0;
}

/* --- facts ----------------------------------------------------------------- */

int
treedb_get_fact(struct treedb *t, const char *name, struct buf *out,
    struct err *err)
{
	return db_get(t->db, 0, prefixed(t, 'f', slice_str(name)), out, err);
}

int
treedb_put_fact(struct treedb *t, const char *name, struct slice value,
    struct err *err)
{
	return db_put(t->db, 0, prefixed(t, 'f', slice_str(name)), value, err);
}
