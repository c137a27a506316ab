#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/userdata.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

#define KIND_SUBSCRIPTION "sub"
#define KIND_SEEN         "seen"

enum {
	EXPIRE_MS = 10 * 60 * 1000,
	EXPIRE_BATCH = 2000, /* records a commit */
	MEMORY_KEY_MAX = 512,
	MOVE_OCTETS = 4 * 1024 * 1024 /* a commit; and a record more */
};

struct names {
	users_name_visit *visit;
	void *arg;
};

/* --- memory of what was done ---------------------------------------------- */

/* Its own tree, so that what has expired is found without users' records. */
static void
memory_key(struct buf *b, struct slice key)
{
	uint8_t spread = 0;

	for (size_t i = 0; i < key.len; i++)
		spread = (uint8_t)(spread * 31 + key.ptr[i]);
	buf_puts(b, "memory");
	buf_putc(b, TREEDB_SEP);
	buf_printf(b, "%02x", spread);
	buf_putc(b, TREEDB_SEP);
	buf_put_slice(b, key);
}

static void
memory_finish(const struct userdata_call *c, bool failed)
{
	users_memory_cb *cb = (users_memory_cb *)c->cb;

	cb(c->arg, failed ? MEMORY_FAILED : (enum users_memory)c->result);
}

static bool
memory_has(struct users *u, struct slice key, int64_t now)
{
	struct wire w;
	struct buf out;
	struct err err;
	uint64_t until = 0;
	int found;

	buf_init(&out, 64);
	found = treedb_get(keeper_tree(u->keeper), key, &out, &err);
	MUST(found != -1);
	if (found) {
		wire_init(&w, buf_slice(&out));
		until = wire_u64(&w);
	}
	buf_fini(&out);
	return until > (uint64_t)now;
}

bool
users_remembers(struct users *u, struct slice key)
{
	struct buf k;
	bool has;

	MUST(userdata_name_ok(key, MEMORY_KEY_MAX));
	buf_init(&k, TREEDB_KEY_MAX);
	memory_key(&k, key);
	has = memory_has(u, buf_slice(&k), loop_wall(u->bd->loop).ms);
	buf_fini(&k);
	return has;
}

void
users_remember(struct users *u, struct slice key, users_memory_cb *cb,
    void *arg)
{
	struct userdata_call call = { (void (*)(void))cb, arg, MEMORY_NEW };
	int64_t now = loop_wall(u->bd->loop).ms;
	struct buf k, value;

	MUST(userdata_name_ok(key, MEMORY_KEY_MAX));
	buf_init(&k, TREEDB_KEY_MAX);
	buf_init(&value, 64);
	memory_key(&k, key);
	if (memory_has(u, buf_slice(&k), now))
		call.result = MEMORY_SEEN;
	/*
	 * Written again when it is known: who remembered it first may still
	 * wait for the disk, and must be durable before anyone hears "seen".
	 */
	wire_put_u64(&value, (uint64_t)now + u->bd->conf->duplicate_ms);
	keeper_put(u->keeper, buf_slice(&k), buf_slice(&value), NULL, 0);
	buf_fini(&k);
	buf_fini(&value);
	userdata_commit(u, memory_finish, call);
}

struct expiry {
	struct users *u;
	uint64_t now;
	size_t found;
};

static enum treedb_next
expire_one(void *arg, struct slice key, struct slice value)
{
	struct expiry *e = arg;
	struct wire w;

	wire_init(&w, value);
	if (wire_u64(&w) > e->now)
		return TREEDB_NEXT;
	keeper_delete(e->u->keeper, key);
	return ++e->found < EXPIRE_BATCH ? TREEDB_NEXT : TREEDB_STOP;
}

static void
expire(void *arg)
{
	struct users *u = arg;
	struct expiry e = { u, (uint64_t)loop_wall(u->bd->loop).ms, 0 };
	struct slice prefix = slice_of("memory\x1f", 7);
	struct err err;

	MUST(treedb_walk(keeper_tree(u->keeper), prefix, prefix, expire_one, &e,
	         &err) == 0);
	/* What cannot be forgotten now is found again next time. */
	if (e.found > 0 && keeper_commit(u->keeper, NULL, NULL, &err) == -1)
		log_warn(u->bd->log, "expiry put off", "why", err.text, NULL);
	timer_set(u->expire, e.found < EXPIRE_BATCH ? EXPIRE_MS : 1000);
}

/* --- subscriptions --------------------------------------------------------- */

static void
plain_finish(const struct userdata_call *c, bool failed)
{
	users_cb *cb = (users_cb *)c->cb;

	if (cb != NULL)
		cb(c->arg, failed);
}

bool
users_is_subscribed(struct users *u, const char *user, const char *name)
{
	struct arena a;
	struct slice value;
	bool found;

	arena_init(&a);
	found = userdata_get(u, user, KIND_SUBSCRIPTION, slice_str(name), &a,
	    &value);
	arena_reset(&a);
	return found;
}

static bool
visit_name(void *arg, struct slice item, struct slice value)
{
	struct names *n = arg;
	char name[USERDATA_ITEM_MAX + 1];

	(void)value; /* the key says it all */
	MUST(item.len < sizeof(name));
	memcpy(name, item.ptr, item.len);
	name[item.len] = '\0';
	return n->visit(n->arg, name);
}

void
users_each_subscription(struct users *u, const char *user,
    users_name_visit *visit, void *arg)
{
	struct names n = { visit, arg };

	userdata_each(u, user, KIND_SUBSCRIPTION, visit_name, &n);
}

bool
users_some_subscriptions(struct users *u, const char *user, struct buf *cursor,
    size_t most, users_name_visit *visit, void *arg)
{
	struct names n = { visit, arg };

	return userdata_some(u, user, KIND_SUBSCRIPTION, cursor, most,
	    visit_name, &n);
}

static bool
count_one(void *arg, const char *name)
{
	size_t *n = arg;

	(void)name; /* how many they are */
	return ++*n < USERS_SUBSCRIPTIONS_MAX;
}

bool
users_may_subscribe(struct users *u, const char *user, const char *name)
{
	size_t n = 0;

	users_each_subscription(u, user, count_one, &n);
	return n < USERS_SUBSCRIPTIONS_MAX ||
	       users_is_subscribed(u, user, name);
}

struct subscribing {
	struct users *u;
	users_cb *cb;
	void *arg;
	char *name; /* behind user */
	char user[];
};

static void
subscription_changed(const struct userdata_call *c, bool failed)
{
	struct subscribing *sub = c->arg;

	if (!failed)
		notify_subscribed(sub->u->bd, sub->user, sub->name);
	if (sub->cb != NULL)
		sub->cb(sub->arg, failed);
	free(sub);
}

static void
commit_subscription(struct users *u, const char *user, const char *name,
    users_cb *cb, void *arg)
{
	size_t n = strlen(user) + 1, len = strlen(name) + 1;
	struct subscribing *sub = xcalloc(1, sizeof(*sub) + n + len);

	sub->u = u;
	sub->cb = cb;
	sub->arg = arg;
	sub->name = sub->user + n;
	memcpy(sub->user, user, n);
	memcpy(sub->name, name, len);
	userdata_commit(u, subscription_changed,
	    (struct userdata_call){ .arg = sub });
}

void
users_subscribe(struct users *u, const char *user, const char *name,
    users_cb *cb, void *arg)
{
	MUST(userdata_name_ok(slice_str(name), USERDATA_ITEM_MAX));
	userdata_put(u, user, KIND_SUBSCRIPTION, slice_str(name),
	    slice_of("\1", 1));
	commit_subscription(u, user, name, cb, arg);
}

void
users_unsubscribe(struct users *u, const char *user, const char *name,
    users_cb *cb, void *arg)
{
	MUST(userdata_name_ok(slice_str(name), USERDATA_ITEM_MAX));
	userdata_delete(u, user, KIND_SUBSCRIPTION, slice_str(name));
	commit_subscription(u, user, name, cb, arg);
}

/* --- seen ------------------------------------------------------------------ */

struct slice
users_seen(struct users *u, const char *user, struct slice mailboxid,
    struct arena *a)
{
	struct slice value = { NULL, 0 };

	if (!userdata_get(u, user, KIND_SEEN, mailboxid, a, &value))
		return slice_of(NULL, 0);
	return value;
}

void
users_set_seen(struct users *u, const char *user, struct slice mailboxid,
    struct slice state, users_cb *cb, void *arg)
{
	struct userdata_call call = { (void (*)(void))cb, arg, 0 };

	MUST(userdata_name_ok(mailboxid, USERDATA_ITEM_MAX));
	userdata_put(u, user, KIND_SEEN, mailboxid, state);
	userdata_commit(u, plain_finish, call);
}

/* --- all of it ------------------------------------------------------------- */

static void
each_record(struct users *u, const char *user, treedb_visit *visit, void *arg)
{
	struct buf prefix;
	struct err err;

	buf_init(&prefix, TREEDB_KEY_MAX);
	userdata_user_key(&prefix, user);
	MUST(!buf_failed(&prefix));
	MUST(treedb_walk(keeper_tree(u->keeper), buf_slice(&prefix),
	         buf_slice(&prefix), visit, arg, &err) == 0);
	buf_fini(&prefix);
}

static enum treedb_next
find_any(void *arg, struct slice key, struct slice value)
{
	(void)key; /* that there is one is enough */
	(void)value;
	*(bool *)arg = true;
	return TREEDB_STOP;
}

bool
users_has_any(struct users *u, const char *user)
{
	bool any = false;

	each_record(u, user, find_any, &any);
	return any;
}

struct move {
	struct users *u;
	struct arena arena;
	const char *from, *to; /* to NULL: they go */
	users_cb *cb;
	void *arg;
	size_t prefix;                     /* octets before the kind */
	struct slice from_inbox, to_inbox; /* .len 0: no such names */
	size_t gathered;                   /* octets, about */
};

/* What was subscribed to by one's own name is by the new one. */
static struct slice
new_item(struct move *m, struct slice kind, struct slice item)
{
	struct slice renamed;

	if (!slice_is(kind, KIND_SUBSCRIPTION) || m->from_inbox.len == 0 ||
	    m->to_inbox.len == 0)
		return item;
	if (!slice_equal(item, m->from_inbox) &&
	    !mboxname_is_below(item, m->from_inbox))
		return item;
	renamed = mboxname_rebase(&m->arena, item, m->from_inbox, m->to_inbox);
	return renamed.len <= USERDATA_ITEM_MAX ? renamed : item;
}

static void
put_moved(struct move *m, struct slice key, struct slice value)
{
	struct slice rest = slice_skip(key, m->prefix), kind, item;
	size_t end = slice_find(rest, TREEDB_SEP);

	MUST(end < rest.len); /* a kind, and an item that may be empty */
	kind = slice_first(rest, end);
	item = slice_skip(rest, end + 1);
	userdata_put(m->u, m->to, arena_string(&m->arena, kind),
	    new_item(m, kind, item), value);
	m->gathered += key.len + value.len;
}

static enum treedb_next
move_one(void *arg, struct slice key, struct slice value)
{
	struct move *m = arg;

	if (m->to != NULL)
		put_moved(m, key, value);
	keeper_delete(m->u->keeper, key);
	m->gathered += key.len + 16;
	return m->gathered < MOVE_OCTETS ? TREEDB_NEXT : TREEDB_STOP;
}

static void moved(const struct userdata_call *c, bool failed);

static void
move_some(struct move *m)
{
	m->gathered = 0;
	each_record(m->u, m->from, move_one, m);
	userdata_commit(m->u, moved, (struct userdata_call){ .arg = m });
}

static void
moved(const struct userdata_call *c, bool failed)
{
	struct move *m = c->arg;

	if (!failed && m->gathered >= MOVE_OCTETS) {
		move_some(m);
		return;
	}
	if (m->cb != NULL)
		m->cb(m->arg, failed);
	arena_reset(&m->arena);
	free(m);
}

static struct move *
move_new(struct users *u, const char *from, users_cb *cb, void *arg)
{
	struct move *m = xcalloc(1, sizeof(*m));

	m->u = u;
	m->cb = cb;
	m->arg = arg;
	arena_init(&m->arena);
	m->from = arena_string(&m->arena, slice_str(from));
	return m;
}

void
users_move(struct users *u, const char *from, const char *to, users_cb *cb,
    void *arg)
{
	const struct mboxname_layout *layout = &u->bd->layout;
	struct move *m = move_new(u, from, cb, arg);
	struct buf prefix;

	m->to = arena_string(&m->arena, slice_str(to));
	if (mboxname_of_user(&m->arena, layout, slice_str(m->from),
	        &m->from_inbox) != NULL ||
	    mboxname_of_user(&m->arena, layout, slice_str(m->to),
	        &m->to_inbox) != NULL)
		m->from_inbox = m->to_inbox = slice_of(NULL, 0);
	buf_init(&prefix, TREEDB_KEY_MAX);
	userdata_user_key(&prefix, from);
	m->prefix = buf_len(&prefix);
	buf_fini(&prefix);
	move_some(m);
}

void
users_forget(struct users *u, const char *user, users_cb *cb, void *arg)
{
	move_some(move_new(u, user, cb, arg));
}

int
users_open(struct users **up, struct backendd *bd, struct err *err)
{
	struct users *u = xcalloc(1, sizeof(*u));
	struct buf dir;
	int r;

	u->bd = bd;
	buf_init(&dir, 4096);
	buf_printf(&dir, "%s/users", bd->conf->directory);
	buf_putc(&dir, '\0');
	MUST(!buf_failed(&dir));
	r = keeper_open(&u->keeper, bd->loop, bd->jobs, bd->log,
	    (const char *)buf_data(&dir), NULL, err);
	buf_fini(&dir);
	if (r == -1) {
		free(u);
		return -1;
	}
	u->expire = timer_new(bd->loop, expire, u);
	timer_set(u->expire, EXPIRE_MS);
	*up = u;
	return 0;
}

void
users_close(struct users **up)
{
	struct users *u = *up;

	if (u == NULL)
		return;
	timer_free(&u->expire);
	keeper_close(&u->keeper);
	free(u);
	*up = NULL;
}
