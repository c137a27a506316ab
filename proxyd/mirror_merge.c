#include <stdint.h>

#include "imap/mboxrec.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "proxyd/mirror_merge.h"

enum {
	AHEAD_RECORDS = 2000,
	AHEAD_OCTETS = 256 * 1024,
	REST_RECORDS = 10000
};

void
missing_put(struct missing *m, struct slice key, struct slice value)
{
	if (keyset_has(&m->keys, key))
		return;
	keyset_put(&m->keys, key);
	m->reserved += mboxrec_is_reserved(value);
}

void
missing_remove(struct missing *m, struct slice key, bool reserved)
{
	if (!keyset_has(&m->keys, key))
		return;
	MUST(!reserved || m->reserved > 0);
	keyset_remove(&m->keys, key);
	m->reserved -= reserved;
}

void
merge_init(struct merge *g, struct treedb *list, struct missing *missing)
{
	*g = (struct merge){ .list = list, .missing = missing };
	buf_init(&g->ahead, SIZE_MAX / 2);
	buf_init(&g->from, TREEDB_KEY_MAX + 1);
	buf_init(&g->last, TREEDB_KEY_MAX);
}

void
merge_fini(struct merge *g)
{
	buf_fini(&g->ahead);
	buf_fini(&g->from);
	buf_fini(&g->last);
}

struct reading {
	struct merge *merge;
	unsigned records;
};

static enum treedb_next
read_one(void *arg, struct slice key, struct slice value)
{
	struct reading *r = arg;
	struct merge *g = r->merge;

	wire_put_slice(&g->ahead, key);
	wire_put_slice(&g->ahead, value);
	/* Just above this key. */
	buf_clear(&g->from);
	buf_put_slice(&g->from, key);
	buf_putc(&g->from, '\0');
	return ++r->records >= AHEAD_RECORDS ||
	               buf_len(&g->ahead) >= AHEAD_OCTETS
	           ? TREEDB_STOP
	           : TREEDB_NEXT;
}

/* 1 and the copy's next record; 0 at its end. */
static int
peek(struct merge *g, struct slice *key, struct slice *value, struct err *err)
{
	struct slice none = { NULL, 0 };
	struct reading r = { g, 0 };
	struct wire w;

	if (buf_len(&g->ahead) == 0 && !g->over) {
		if (treedb_walk(g->list, none, buf_slice(&g->from), read_one,
		        &r, err) == -1)
			return -1;
		g->over = r.records == 0;
	}
	if (buf_len(&g->ahead) == 0)
		return 0;
	wire_init(&w, buf_slice(&g->ahead));
	*key = wire_slice(&w);
	*value = wire_slice(&w);
	MUST(!w.failed);
	return 1;
}

static void
drop(struct merge *g)
{
	struct wire w;

	wire_init(&w, buf_slice(&g->ahead));
	(void)wire_slice(&w);
	(void)wire_slice(&w);
	buf_drop(&g->ahead, buf_len(&g->ahead) - w.rest.len);
}

enum merge_found
merge_pass(struct merge *g, struct slice key, struct slice value,
    bool *reserved, struct err *err)
{
	enum merge_found found = MERGE_ABSENT;
	struct slice at, has;
	int more;

	if (slice_compare(key, buf_slice(&g->last)) <= 0)
		return MERGE_BEHIND;
	buf_clear(&g->last);
	buf_put_slice(&g->last, key);
	while ((more = peek(g, &at, &has, err)) == 1 &&
	       slice_compare(at, key) < 0) {
		missing_put(g->missing, at, has);
		drop(g);
	}
	if (more == -1)
		return MERGE_FAILED;
	if (more == 1 && slice_equal(at, key)) {
		found = slice_equal(has, value) ? MERGE_SAME : MERGE_DIFFERENT;
		*reserved = mboxrec_is_reserved(has);
		drop(g);
	}
	return found;
}

int
merge_rest(struct merge *g, struct err *err)
{
	struct slice at, has;
	int more = 1;

	for (unsigned i = 0; i < REST_RECORDS && more == 1; i++) {
		more = peek(g, &at, &has, err);
		if (more == 1) {
			missing_put(g->missing, at, has);
			drop(g);
		}
	}
	return more;
}
