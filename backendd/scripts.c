/*
 * Sieve scripts of users: the part of users.h about them.
 */
#include "backendd/conf.h"
#include "backendd/server.h"
#include "backendd/userdata.h"
#include "backendd/users.h"
#include "lib/arena.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/utf8.h"
#include "lib/wire.h"

#define KIND_SCRIPT "script"
#define KIND_ACTIVE "active"

struct lister {
	users_script_visit *visit;
	void *arg;
};

struct usage {
	size_t count;
};

static void
script_finish(const struct userdata_call *c, bool failed)
{
	users_script_cb *cb = (users_script_cb *)c->cb;

	cb(c->arg,
	    failed ? SCRIPT_FAILED : (enum users_script_result)c->result);
}

static void
answer_script(struct users *u, enum users_script_result r, users_script_cb *cb,
    void *arg)
{
	struct userdata_call call = { (void (*)(void))cb, arg, (int)r };

	userdata_answer(u, script_finish, call);
}

static void
commit_script(struct users *u, users_script_cb *cb, void *arg)
{
	struct userdata_call call = { (void (*)(void))cb, arg, SCRIPT_OK };

	userdata_commit(u, script_finish, call);
}

static struct slice
active_name(struct users *u, const char *user, struct arena *a)
{
	struct slice name;

	if (!userdata_get(u, user, KIND_ACTIVE, slice_of(NULL, 0), a, &name))
		return slice_of(NULL, 0);
	return name;
}

const char *
users_active_script(struct users *u, const char *user, struct arena *a)
{
	struct slice name = active_name(u, user, a);

	return name.len == 0 ? NULL : arena_string(a, name);
}

bool
users_script(struct users *u, const char *user, struct slice name,
    struct arena *a, struct slice *text)
{
	return userdata_name_ok(name, USERDATA_ITEM_MAX) &&
	       userdata_get(u, user, KIND_SCRIPT, name, a, text);
}

const char *
users_script_etag(struct users *u, const char *user, struct arena *a)
{
	struct slice name = active_name(u, user, a), text = { NULL, 0 };
	struct hash_sha256 *h = hash_sha256_new();
	uint8_t digest[32];
	char *hex = arena_alloc(a, 33);

	if (name.len > 0 && users_script(u, user, name, a, &text)) {
		hash_sha256_put(h, name.ptr, name.len);
		hash_sha256_put(h, "", 1);
		hash_sha256_put(h, text.ptr, text.len);
	}
	hash_sha256_end(&h, digest);
	for (size_t i = 0; i < 16; i++) {
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	return hex;
}

static bool
list_one(void *arg, struct slice item, struct slice value)
{
	struct lister *l = arg;

	return l->visit(l->arg, item, value.len);
}

void
users_each_script(struct users *u, const char *user, users_script_visit *visit,
    void *arg)
{
	struct lister l = { visit, arg };

	userdata_each(u, user, KIND_SCRIPT, list_one, &l);
}

static bool
count_one(void *arg, struct slice item, struct slice value)
{
	struct usage *use = arg;

	(void)item; /* only how many */
	(void)value;
	use->count++;
	return true;
}

static enum users_script_result
may_put(struct users *u, const char *user, struct slice name, struct slice text,
    struct arena *a)
{
	const struct backendd_conf *conf = u->bd->conf;
	struct usage use = { 0 };
	struct slice old;

	if (!userdata_name_ok(name, USERDATA_ITEM_MAX) || !utf8_valid(name))
		return SCRIPT_BAD_NAME;
	if (text.len > conf->script_size)
		return SCRIPT_QUOTA_SIZE;
	if (users_script(u, user, name, a, &old))
		return SCRIPT_OK;
	userdata_each(u, user, KIND_SCRIPT, count_one, &use);
	return use.count < conf->scripts_count ? SCRIPT_OK : SCRIPT_QUOTA_COUNT;
}

void
users_put_script(struct users *u, const char *user, struct slice name,
    struct slice text, users_script_cb *cb, void *arg)
{
	enum users_script_result r;
	struct arena a;

	arena_init(&a);
	r = may_put(u, user, name, text, &a);
	arena_reset(&a);
	if (r != SCRIPT_OK) {
		answer_script(u, r, cb, arg);
		return;
	}
	userdata_put(u, user, KIND_SCRIPT, name, text);
	commit_script(u, cb, arg);
}

void
users_activate_script(struct users *u, const char *user, struct slice name,
    users_script_cb *cb, void *arg)
{
	struct arena a;
	struct slice text;
	bool exists;

	if (name.len == 0) {
		userdata_delete(u, user, KIND_ACTIVE, name);
		commit_script(u, cb, arg);
		return;
	}
	arena_init(&a);
	exists = users_script(u, user, name, &a, &text);
	arena_reset(&a);
	if (!exists) {
		answer_script(u, SCRIPT_NONE, cb, arg);
		return;
	}
	userdata_put(u, user, KIND_ACTIVE, slice_of(NULL, 0), name);
	commit_script(u, cb, arg);
}

void
users_delete_script(struct users *u, const char *user, struct slice name,
    users_script_cb *cb, void *arg)
{
	enum users_script_result r = SCRIPT_OK;
	struct arena a;
	struct slice text;

	arena_init(&a);
	if (!users_script(u, user, name, &a, &text))
		r = SCRIPT_NONE;
	else if (slice_equal(active_name(u, user, &a), name))
		r = SCRIPT_ACTIVE;
	arena_reset(&a);
	if (r != SCRIPT_OK) {
		answer_script(u, r, cb, arg);
		return;
	}
	userdata_delete(u, user, KIND_SCRIPT, name);
	commit_script(u, cb, arg);
}

/* Gathers the change, if it may be made. */
static enum users_script_result
rename_script(struct users *u, const char *user, struct slice from,
    struct slice to, struct arena *a)
{
	struct slice text, other;

	if (!userdata_name_ok(to, USERDATA_ITEM_MAX) || !utf8_valid(to))
		return SCRIPT_BAD_NAME;
	if (!users_script(u, user, from, a, &text))
		return SCRIPT_NONE;
	if (users_script(u, user, to, a, &other))
		return SCRIPT_EXISTS;
	userdata_delete(u, user, KIND_SCRIPT, from);
	userdata_put(u, user, KIND_SCRIPT, to, text);
	if (slice_equal(active_name(u, user, a), from))
		userdata_put(u, user, KIND_ACTIVE, slice_of(NULL, 0), to);
	return SCRIPT_OK;
}

void
users_rename_script(struct users *u, const char *user, struct slice from,
    struct slice to, users_script_cb *cb, void *arg)
{
	enum users_script_result r;
	struct arena a;

	arena_init(&a);
	r = rename_script(u, user, from, to, &a);
	arena_reset(&a);
	if (r == SCRIPT_OK)
		commit_script(u, cb, arg);
	else
		answer_script(u, r, cb, arg);
}
