#include "lib/buf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/pages_disk.h"
#include "lib/wire.h"

enum {
	ROOT_VERSION = 2,
	ROOT_OCTETS_MAX = 100
};

/* 'r' and a letter: a root; 'p', a letter and a number: a page. */
struct key {
	uint8_t octets[10];
};

static uint8_t
letter_of(struct pages_set set)
{
	static const char letters[PAGES_LETTERS] = { 'n', 't', 'f' };

	return (uint8_t)letters[set.letter];
}

static struct slice
root_key(struct pages_set set, struct key *k)
{
	k->octets[0] = 'r';
	k->octets[1] = letter_of(set);
	return slice_of(k->octets, 2);
}

static struct slice
page_key(struct pages_set set, uint64_t number, struct key *k)
{
	k->octets[0] = 'p';
	k->octets[1] = letter_of(set);
	for (unsigned i = 0; i < 8; i++)
		k->octets[2 + i] = (uint8_t)(number >> (56 - 8 * i));
	return slice_of(k->octets, 10);
}

int
pages_disk_root(struct db *db, struct pages_set set,
    struct pages_disk_root *root, struct err *err)
{
	struct buf b;
	struct key k;
	struct wire w;
	int found;

	*root = (struct pages_disk_root){ .next = 1 };
	buf_init(&b, ROOT_OCTETS_MAX);
	found = db_get(db, set.shard, root_key(set, &k), &b, err);
	if (found == 1) {
		wire_init(&w, buf_slice(&b));
		if (wire_u8(&w) != ROOT_VERSION)
			w.failed = true;
		root->root.top = wire_u64(&w);
		root->next = wire_u64(&w);
		root->root.count = wire_u64(&w);
		if (!wire_done(&w) || root->next == 0)
			found = err_set(err, "the root of a tree is damaged");
	}
	buf_fini(&b);
	return found;
}

int
pages_disk_root_put(struct db *db, struct pages_set set,
    const struct pages_disk_root *root, struct err *err)
{
	struct buf b;
	struct key k;
	int rc;

	buf_init(&b, ROOT_OCTETS_MAX);
	wire_put_u8(&b, ROOT_VERSION);
	wire_put_u64(&b, root->root.top);
	wire_put_u64(&b, root->next);
	wire_put_u64(&b, root->root.count);
	rc = db_put(db, set.shard, root_key(set, &k), buf_slice(&b), err);
	buf_fini(&b);
	return rc;
}

int
pages_disk_get(struct db *db, struct pages_set set, uint64_t number,
    struct buf *out, struct err *err)
{
	struct key k;

	return db_get(db, set.shard, page_key(set, number, &k), out, err);
}

int
pages_disk_put(struct db *db, struct pages_set set, uint64_t number,
    struct slice octets, struct err *err)
{
	struct key k;

	return db_put(db, set.shard, page_key(set, number, &k), octets, err);
}

int
pages_disk_delete(struct db *db, struct pages_set set, uint64_t number,
    struct err *err)
{
	struct key k;

	return db_delete(db, set.shard, page_key(set, number, &k), err);
}
