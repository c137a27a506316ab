#include <stdlib.h>
#include <string.h>

#include "backendd/server.h"
#include "backendd/userdata.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"

enum {
	VALUE_MAX = 16 * 1024 * 1024
};

struct waiter {
	userdata_finish *finish;
	struct userdata_call call;
	bool failed;
};

struct reader {
	userdata_visit *visit;
	void *arg;
	size_t prefix;
};

void
userdata_user_key(struct buf *b, const char *user)
{
	buf_puts(b, "user");
	buf_putc(b, TREEDB_SEP);
	buf_puts(b, user);
	buf_putc(b, TREEDB_SEP);
}

void
userdata_key(struct buf *b, const char *user, const char *kind,
    struct slice item)
{
	userdata_user_key(b, user);
	buf_puts(b, kind);
	buf_putc(b, TREEDB_SEP);
	buf_put_slice(b, item);
}

bool
userdata_name_ok(struct slice name, size_t max)
{
	if (name.len == 0 || name.len > max)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
			return false;
	return true;
}

bool
userdata_get(struct users *u, const char *user, const char *kind,
    struct slice item, struct arena *a, struct slice *value)
{
	struct buf key, out;
	struct err err;
	int found;

	buf_init(&key, TREEDB_KEY_MAX);
	buf_init(&out, VALUE_MAX);
	userdata_key(&key, user, kind, item);
	/* A key that is too long cannot have been stored. */
	found = buf_failed(&key) ? 0
	                         : treedb_get(keeper_tree(u->keeper),
	                               buf_slice(&key), &out, &err);
	MUST(found != -1 && !buf_failed(&out));
	if (found)
		*value = arena_copy(a, buf_slice(&out));
	buf_fini(&key);
	buf_fini(&out);
	return found != 0;
}

static enum treedb_next
read_one(void *arg, struct slice key, struct slice value)
{
	struct reader *r = arg;

	return r->visit(r->arg, slice_skip(key, r->prefix), value)
	           ? TREEDB_NEXT
	           : TREEDB_STOP;
}

void
userdata_each(struct users *u, const char *user, const char *kind,
    userdata_visit *visit, void *arg)
{
	userdata_each_from(u, user, kind, slice_of(NULL, 0), visit, arg);
}

void
userdata_each_from(struct users *u, const char *user, const char *kind,
    struct slice prefix, userdata_visit *visit, void *arg)
{
	struct reader r = { visit, arg, 0 };
	struct buf key;
	struct err err;

	buf_init(&key, TREEDB_KEY_MAX);
	userdata_key(&key, user, kind, slice_of(NULL, 0));
	r.prefix = buf_len(&key);
	buf_put_slice(&key, prefix);
	if (!buf_failed(&key))
		MUST(treedb_walk(keeper_tree(u->keeper), buf_slice(&key),
		         buf_slice(&key), read_one, &r, &err) == 0);
	buf_fini(&key);
}

bool
userdata_some(struct users *u, const char *user, const char *kind,
    struct buf *cursor, size_t most, userdata_visit *visit, void *arg)
{
	struct reader r = { visit, arg, 0 };
	struct treedb_turn turn = { read_one, &r, cursor, most };
	struct buf key, from;
	struct err err;

	buf_init(&key, TREEDB_KEY_MAX);
	buf_init(&from, TREEDB_KEY_MAX + 1);
	userdata_key(&key, user, kind, slice_of(NULL, 0));
	buf_put_slice(&from, buf_slice(cursor));
	r.prefix = buf_len(&key);
	MUST(!buf_failed(&key));
	MUST(treedb_walk(keeper_tree(u->keeper), buf_slice(&key),
	         buf_slice(&from), treedb_turn_visit, &turn, &err) == 0);
	buf_fini(&key);
	buf_fini(&from);
	return turn.left > 0;
}

void
userdata_put(struct users *u, const char *user, const char *kind,
    struct slice item, struct slice value)
{
	bool tagged = strcmp(kind, USERDATA_METADATA) == 0;
	struct slice tag = slice_first(item, slice_find(item, TREEDB_SEP));
	struct buf key;

	buf_init(&key, TREEDB_KEY_MAX);
	userdata_key(&key, user, kind, item);
	MUST(!buf_failed(&key));
	keeper_put(u->keeper, buf_slice(&key), value, &tag, tagged ? 1 : 0);
	buf_fini(&key);
}

void
userdata_delete(struct users *u, const char *user, const char *kind,
    struct slice item)
{
	struct buf key;

	buf_init(&key, TREEDB_KEY_MAX);
	userdata_key(&key, user, kind, item);
	MUST(!buf_failed(&key));
	keeper_delete(u->keeper, buf_slice(&key));
	buf_fini(&key);
}

static void
answer(void *arg)
{
	struct waiter *w = arg;

	w->finish(&w->call, w->failed);
	free(w);
}

static void
committed(void *arg, bool failed)
{
	struct waiter *w = arg;

	w->failed = failed;
	answer(w);
}

static struct waiter *
waiter_new(userdata_finish *finish, struct userdata_call call)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->finish = finish;
	w->call = call;
	return w;
}

void
userdata_commit(struct users *u, userdata_finish *finish,
    struct userdata_call call)
{
	keeper_commit_for(u->keeper, "user data not stored", NULL, committed,
	    waiter_new(finish, call));
}

void
userdata_answer(struct users *u, userdata_finish *finish,
    struct userdata_call call)
{
	loop_at_end(u->bd->loop, answer, waiter_new(finish, call));
}
