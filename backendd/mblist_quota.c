#include "backendd/mblist_op.h"
#include "backendd/mblist_quota.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"

enum {
	VERSION = 1,
	VALUE_MAX = 256
};

struct move {
	struct mblist *list;
	struct arena arena;
	struct slice from, to; /* to.ptr NULL: they go */
	bool any;
};

static void
root_key(struct buf *key, struct slice root)
{
	op_note_key(key, OP_QUOTA, "");
	mboxname_key(key, root);
}

bool
mblist_quota_name_ok(struct slice root)
{
	if (root.len > 1 && root.ptr[root.len - 1] == '!')
		root = slice_first(root, root.len - 1);
	return mboxname_invalid(root) == NULL;
}

/* --- records ------------------------------------------------------------------- */

static void
put_limits(struct buf *b, const struct quota_limits *limits)
{
	uint8_t mask = 0;

	for (unsigned r = 0; r < QUOTA_RESOURCES; r++)
		if (limits->limit[r] != QUOTA_UNLIMITED)
			mask |= (uint8_t)(1u << r);
	wire_put_u8(b, VERSION);
	wire_put_u8(b, mask);
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++)
		if (mask & 1u << r)
			wire_put_packed(b, limits->limit[r]);
}

static bool
get_limits(struct slice value, struct quota_limits *limits)
{
	struct wire w;
	uint8_t version, mask;

	wire_init(&w, value);
	version = wire_u8(&w);
	mask = wire_u8(&w);
	*limits = quota_unlimited;
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++)
		if (mask & 1u << r)
			limits->limit[r] = wire_packed(&w);
	return version == VERSION && wire_done(&w);
}

bool
mblist_quota_get(struct mblist *l, struct slice root,
    struct quota_limits *limits)
{
	struct buf key, out;
	struct err err;
	int found;

	root_key(&key, root);
	buf_init(&out, VALUE_MAX);
	found = buf_failed(&key) ? 0
	                         : treedb_get(keeper_tree(l->keeper),
	                               buf_slice(&key), &out, &err);
	MUST(found != -1 && !buf_failed(&out));
	if (found)
		MUST(get_limits(buf_slice(&out), limits)); /* we wrote it */
	buf_fini(&key);
	buf_fini(&out);
	return found != 0;
}

void
mblist_quota_put(struct mblist *l, const char *root,
    const struct quota_limits *limits)
{
	struct buf key, value;

	root_key(&key, slice_str(root));
	buf_init(&value, VALUE_MAX);
	put_limits(&value, limits);
	MUST(!buf_failed(&key) && !buf_failed(&value));
	keeper_put(l->keeper, buf_slice(&key), buf_slice(&value), NULL, 0);
	buf_fini(&key);
	buf_fini(&value);
}

/* --- setting one ------------------------------------------------------------------ */

void
mblist_quota_set(struct mblist *l, const char *root,
    const struct quota_limits *limits, mblist_quota_cb *cb, void *arg)
{
	mblist_quota_put(l, root, limits);
	keeper_commit_for(l->keeper, "quota not changed", root, cb, arg);
}

/* --- with the names ---------------------------------------------------------------- */

static enum treedb_next
move_one(void *arg, struct slice key, struct slice value)
{
	struct move *m = arg;
	struct slice name = mboxname_of_key_in(&m->arena, slice_skip(key, 2));
	struct quota_limits limits;
	struct slice to;

	if (!slice_equal(name, m->from) && !mboxname_is_below(name, m->from))
		return TREEDB_NEXT;
	m->any = true;
	keeper_delete(m->list->keeper, key);
	if (m->to.ptr == NULL)
		return TREEDB_NEXT;
	MUST(get_limits(value, &limits)); /* we wrote it */
	to = mboxname_rebase(&m->arena, name, m->from, m->to);
	/* What has become too long has no mailbox either. */
	if (mblist_quota_name_ok(to))
		mblist_quota_put(m->list, op_str(&m->arena, to), &limits);
	return TREEDB_NEXT;
}

bool
mblist_quota_move(struct mblist *l, const char *from, const char *to)
{
	struct move m = { .list = l, .from = slice_str(from) };
	struct buf key;
	struct err err;

	if (to != NULL)
		m.to = slice_str(to);
	arena_init(&m.arena);
	root_key(&key, m.from);
	if (!buf_failed(&key))
		MUST(treedb_walk(keeper_tree(l->keeper), buf_slice(&key),
		         buf_slice(&key), move_one, &m, &err) == 0);
	buf_fini(&key);
	arena_reset(&m.arena);
	return m.any;
}
