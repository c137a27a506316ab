/*
 * mblist: random changes against a model, one after another and many at once;
 * what is listed is what the store has, also after it is opened again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/mblist.h"
#include "backendd/mblist_note.h"
#include "backendd/mblist_op.h"
#include "backendd/userdata.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/cdefs.h"
#include "lib/keeper.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/fake_backend.h"
#include "t/tap.h"

enum {
	STEPS = 600,
	ROUNDS = 60,
	AT_ONCE = 12,
	NAMES_MAX = 64,
	NAME_MAX_OCTETS = 64
};

/* Names that get in each other's way. */
static const char *const names[] = { "user.a", "user.a.x", "user.a.x.y",
	"user.a.xy", "user.b", "user.b.x", "s", "s.t", "s.t.u", "s-t" };

/* --- a backend ------------------------------------------------------------------- */

struct test {
	struct fake_backend f;
	unsigned seed, due;
	char *model[NAMES_MAX]; /* names, sorted */
	size_t nmodel;
};

static unsigned
roll(struct test *t, unsigned n)
{
	t->seed = t->seed * 1103515245u + 12345u;
	return (t->seed >> 16) % n;
}

static void
setup(struct test *t, unsigned seed)
{
	*t = (struct test){ .seed = seed };
	fake_backend_init(&t->f, "mblist.t");
	fake_backend_open(&t->f);
}

static void
teardown(struct test *t)
{
	fake_backend_close(&t->f);
	for (size_t i = 0; i < t->nmodel; i++)
		free(t->model[i]);
	fake_backend_fini(&t->f);
}

/* --- the model ------------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t
model_find(const struct test *t, const char *name)
{
	for (size_t i = 0; i < t->nmodel; i++)
		if (strcmp(t->model[i], name) == 0)
			return i;
	return NAMES_MAX;
}

static void
model_add(struct test *t, const char *name)
{
	MUST(t->nmodel < NAMES_MAX);
	t->model[t->nmodel++] = xstrdup(name);
	qsort(t->model, t->nmodel, sizeof(t->model[0]), by_name);
}

static void
model_remove(struct test *t, size_t i)
{
	free(t->model[i]);
	t->model[i] = t->model[--t->nmodel];
	qsort(t->model, t->nmodel, sizeof(t->model[0]), by_name);
}

static bool
is_at_or_below(const char *name, const char *top)
{
	return strcmp(name, top) == 0 ||
	       mboxname_is_below(slice_str(name), slice_str(top));
}

static bool
keeps_inbox(const char *from, const char *to)
{
	return mboxname_is_inbox(slice_str(from)) &&
	       !mboxname_is_inbox(slice_str(to));
}

/* A name that a RENAME would make, if it moves this one. */
static void
renamed(const char *name, const char *from, const char *to,
    char out[NAME_MAX_OCTETS])
{
	snprintf(out, NAME_MAX_OCTETS, "%s%s", to, name + strlen(from));
}

static enum mblist_result
model_rename(struct test *t, const char *from, const char *to)
{
	char new[NAME_MAX_OCTETS];
	size_t n = t->nmodel;

	if (model_find(t, from) == NAMES_MAX)
		return MBLIST_NONE;
	if (model_find(t, to) != NAMES_MAX)
		return MBLIST_EXISTS;
	if (keeps_inbox(from, to)) {
		model_add(t, to);
		return MBLIST_OK;
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_at_or_below(t->model[i], from))
			continue;
		renamed(t->model[i], from, to, new);
		if (model_find(t, new) != NAMES_MAX)
			return MBLIST_EXISTS;
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_at_or_below(t->model[i], from))
			continue;
		renamed(t->model[i], from, to, new);
		free(t->model[i]);
		t->model[i] = xstrdup(new);
	}
	qsort(t->model, t->nmodel, sizeof(t->model[0]), by_name);
	return MBLIST_OK;
}

/* --- comparing --------------------------------------------------------------------- */

struct listed {
	char *names[NAMES_MAX];
	size_t n;
};

static bool
list_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct listed *l = arg;

	(void)rec; /* by name */
	MUST(l->n < NAMES_MAX);
	l->names[l->n++] = xstrdup(name);
	return true;
}

static void
list_fini(struct listed *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
}

static bool
is_as_model(struct test *t)
{
	struct listed l = { .n = 0 };
	bool same;

	mblist_each(t->f.bd.list, "", list_one, &l);
	qsort(l.names, l.n, sizeof(l.names[0]), by_name);
	same = l.n == t->nmodel;
	for (size_t i = 0; same && i < l.n; i++)
		same = strcmp(l.names[i], t->model[i]) == 0;
	list_fini(&l);
	return same;
}

/* --- changes -------------------------------------------------------------------------- */

enum kind {
	CREATE,
	DELETE,
	RENAME,
	SETACL,
	KINDS
};

static const struct mblist_new how = { .acl = "a\tlrs\t", .special_use = "" };

struct change {
	struct test *test;
	enum kind kind;
	const char *from, *to;
	enum mblist_result result;
	unsigned answers;
};

static void
answered(void *arg, enum mblist_result r, const char *text)
{
	struct change *c = arg;

	(void)text; /* for logs */
	c->result = r;
	c->answers++;
	if (--c->test->due == 0)
		loop_stop(c->test->f.bd.loop);
}

/* A RENAME to below itself is not the list's to refuse. */
static void
pick(struct test *t, struct change *c)
{
	*c = (struct change){ .test = t };
	do {
		c->kind = (enum kind)roll(t, KINDS);
		c->from = names[roll(t, sizeof(names) / sizeof(names[0]))];
		c->to = names[roll(t, sizeof(names) / sizeof(names[0]))];
	} while (c->kind == RENAME && !keeps_inbox(c->from, c->to) &&
	         is_at_or_below(c->to, c->from));
}

static void
begin(struct change *c)
{
	struct mblist *l = c->test->f.bd.list;

	c->test->due++;
	switch (c->kind) {
	case CREATE:
		mblist_create(l, c->from, &how, answered, c);
		break;
	case DELETE:
		mblist_delete(l, c->from, answered, c);
		break;
	case RENAME:
		mblist_rename(l, c->from, c->to, answered, c);
		break;
	case SETACL:
	case KINDS:
		mblist_set_acl(l, c->from, "b\tlr\t", answered, c);
		break;
	}
}

static enum mblist_result
model_change(struct test *t, const struct change *c)
{
	size_t i = model_find(t, c->from);

	switch (c->kind) {
	case CREATE:
		if (i != NAMES_MAX)
			return MBLIST_EXISTS;
		model_add(t, c->from);
		return MBLIST_OK;
	case DELETE:
		if (i == NAMES_MAX)
			return MBLIST_NONE;
		model_remove(t, i);
		return MBLIST_OK;
	case RENAME:
		return model_rename(t, c->from, c->to);
	case SETACL:
	case KINDS:
		break;
	}
	return i == NAMES_MAX ? MBLIST_NONE : MBLIST_OK;
}

static void
test_one_by_one(unsigned seed)
{
	unsigned wrong = 0, done = 0;
	struct change c;
	struct test t;

	setup(&t, seed);
	for (int i = 0; i < STEPS; i++) {
		enum mblist_result want;

		pick(&t, &c);
		begin(&c);
		loop_run(t.f.bd.loop);
		want = model_change(&t, &c);
		done += c.result == MBLIST_OK;
		if (c.answers == 1 && c.result == want && is_as_model(&t))
			continue;
		if (wrong++ == 0)
			printf("# step %d: kind %d %s %s: %d, not %d\n", i,
			    (int)c.kind, c.from, c.to, (int)c.result,
			    (int)want);
	}
	ok(wrong == 0, "seed %u: each change as in the model", seed);
	ok(done > STEPS / 8, "seed %u: and many are made (%u)", seed, done);
	fake_backend_turn(&t.f);
	ok(fake_backend_is_whole(&t.f), "seed %u: the store has what is listed",
	    seed);
	fake_backend_close(&t.f);
	fake_backend_open(&t.f);
	ok(is_as_model(&t) && fake_backend_is_whole(&t.f),
	    "seed %u: opened again", seed);
	teardown(&t);
}

static void
test_at_once(unsigned seed)
{
	struct change c[AT_ONCE];
	unsigned answers = 0, busy = 0, broken = 0;
	struct test t;

	setup(&t, seed);
	for (int round = 0; round < ROUNDS; round++) {
		t.f.store.refuse = roll(&t, 3) == 0 ? 1 : 0;
		for (size_t i = 0; i < AT_ONCE; i++) {
			pick(&t, &c[i]);
			begin(&c[i]);
		}
		loop_run(t.f.bd.loop);
		fake_backend_turn(&t.f);
		for (size_t i = 0; i < AT_ONCE; i++) {
			answers += c[i].answers;
			busy += c[i].result == MBLIST_BUSY;
		}
		broken += !fake_backend_is_whole(&t.f);
	}
	ok(answers == ROUNDS * AT_ONCE, "seed %u: one answer each", seed);
	ok(busy > 0, "seed %u: some were in each other's way", seed);
	ok(broken == 0, "seed %u: list and store always agree", seed);
	fake_backend_close(&t.f);
	fake_backend_open(&t.f);
	ok(fake_backend_is_whole(&t.f), "seed %u: and after opening again",
	    seed);
	teardown(&t);
}

static void
stored(void *arg, const char *why)
{
	(void)arg;
	MUST(why == NULL);
}

/* Notes of what was under way, in a list that may be a copy of long ago. */
static void
test_doomed(void)
{
	static const char *const ids[] = { "new", "used", "removed" };
	struct test t;
	struct store_create c = { .uidvalidity = 1,
		.meta = slice_str("a note") };
	struct map *there;

	setup(&t, 1);
	for (size_t i = 0; i < NITEMS(ids); i++) {
		c.id = ids[i];
		store_create(&t.f.store.store, &c, stored, NULL);
		op_doom(t.f.bd.list, ids[i], t.f.partition.name,
		    i < 2 ? OP_MAKING : OP_REMOVING);
	}
	op_commit_later(t.f.bd.list);
	fake_backend_turn(&t.f);
	t.f.store.used = "used";
	t.f.store.store.uidvalidity = 0; /* it does not know how old it is */
	fake_backend_close(&t.f);
	fake_backend_open(&t.f);
	fake_backend_turn(&t.f);
	fake_backend_turn(&t.f);
	there = &t.f.store.ids;
	ok(map_find(there, slice_str("new")) == NULL,
	    "what was being made is removed");
	ok(map_find(there, slice_str("used")) != NULL,
	    "but if it has been used since it is not");
	ok(map_find(there, slice_str("removed")) == NULL,
	    "what was being removed is");
	teardown(&t);
}

/* --- what is kept for a user --------------------------------------------------- */

#define BACK "deleted.user.b.7"

static void
set_up_user(struct test *t, const char *user)
{
	users_subscribe(t->f.bd.users, user, "s.t", NULL, NULL);
	fake_backend_turn(&t->f);
}

static bool
has_kept(struct test *t, const char *user)
{
	return users_has_any(t->f.bd.users, user);
}

struct deleting {
	struct change change;
	bool durable; /* what became of the user's data, by the answer */
};

static void
deleted(void *arg, enum mblist_result r, const char *text)
{
	struct deleting *d = arg;
	const struct keeper *k = d->change.test->f.bd.users->keeper;

	d->durable = keeper_durable(k) == keeper_last(k);
	answered(&d->change, r, text);
}

static char *
first_name(struct test *t)
{
	struct listed l = { .n = 0 };

	mblist_each(t->f.bd.list, "", list_one, &l);
	MUST(l.n == 1);
	return l.names[0];
}

/* delay: of conf.delete_delay_ms. */
static void
test_delete_user(uint64_t delay)
{
	struct deleting d = { .durable = false };
	struct test t;
	char *name;

	setup(&t, 1);
	t.f.conf.delete_delay_ms = delay;
	d.change.test = &t;
	t.due = 1;
	mblist_create(t.f.bd.list, "user.a", &how, answered, &d.change);
	loop_run(t.f.bd.loop);
	set_up_user(&t, "a");
	t.due = 1;
	mblist_delete_tree(t.f.bd.list, "user.a", deleted, &d);
	loop_run(t.f.bd.loop);
	ok(d.change.result == MBLIST_OK && !has_kept(&t, "a"),
	    "DELETE of a user: nothing is kept under the name");
	ok(d.durable, "and that is durable when it is answered");
	if (delay > 0) {
		name = first_name(&t);
		ok(has_kept(&t, name), "but under the INBOX's new one");
		free(name);
	}
	teardown(&t);
}

static void
moved(void *arg, bool failed)
{
	struct test *t = arg;

	ok(!failed, "what is kept for a user may be very much");
	loop_stop(t->f.bd.loop);
}

static void
stored_much(const struct userdata_call *c, bool failed)
{
	struct test *t = c->arg;

	MUST(!failed);
	loop_stop(t->f.bd.loop);
}

/* More than a keeper takes at once. */
static void
test_much(void)
{
	const size_t len = 1024 * 1024;
	uint8_t *octets = xcalloc(len, 1);
	struct slice value;
	struct arena a;
	struct test t;
	char item[8];
	bool all = true;

	setup(&t, 1);
	arena_init(&a);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(item, sizeof(item), "%u", i);
		userdata_put(t.f.bd.users, "a", "kind", slice_str(item),
		    slice_of(octets, len));
		userdata_commit(t.f.bd.users, stored_much,
		    (struct userdata_call){ .arg = &t });
		loop_run(t.f.bd.loop);
	}
	users_move(t.f.bd.users, "a", "b", moved, &t);
	loop_run(t.f.bd.loop);
	ok(!has_kept(&t, "a"), "all of it is moved");
	for (unsigned i = 0; i < 20; i++) {
		snprintf(item, sizeof(item), "%u", i);
		all = all && userdata_get(t.f.bd.users, "b", "kind",
		                 slice_str(item), &a, &value);
	}
	ok(all, "and is there");
	users_forget(t.f.bd.users, "b", moved, &t);
	loop_run(t.f.bd.loop);
	ok(!has_kept(&t, "b"), "till it goes");
	arena_reset(&a);
	free(octets);
	teardown(&t);
}

static void
test_subscriptions(void)
{
	struct test t;
	char name[32];

	setup(&t, 1);
	for (unsigned i = 1; i < USERS_SUBSCRIPTIONS_MAX; i++) {
		snprintf(name, sizeof(name), "s.%u", i);
		users_subscribe(t.f.bd.users, "a", name, NULL, NULL);
	}
	ok(users_may_subscribe(t.f.bd.users, "a", "s.0"), "one more");
	users_subscribe(t.f.bd.users, "a", "s.0", NULL, NULL);
	ok(!users_may_subscribe(t.f.bd.users, "a", "t"), "and no more");
	ok(users_may_subscribe(t.f.bd.users, "a", "s.1"), "but what is there");
	ok(users_may_subscribe(t.f.bd.users, "b", "t"), "each his own");
	teardown(&t);
}

static void
put_deleted(struct test *t, const char *name, const char *location)
{
	struct mboxrec rec = { .state = MBOXREC_ACTIVE,
		.location = slice_str(location),
		.mailboxid = slice_first(slice_skip(slice_str(name),
		                             sizeof("deleted.") - 1),
		    2) };

	op_put(t->f.bd.list, name, &rec);
	op_commit_later(t->f.bd.list);
}

static void
give_up(void *arg)
{
	struct test *t = arg;

	loop_stop(t->f.bd.loop);
}

/* Some cannot go, since their partition is not there: the others do. */
static void
test_reaped(void)
{
	static const char good[] = "deleted.y1.1";
	struct arena a;
	struct test t;
	char name[32];
	struct timer *end;

	setup(&t, 1);
	t.f.conf.delete_delay_ms = 1000;
	for (unsigned i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "deleted.x%c.1", (int)('a' + i));
		put_deleted(&t, name, "test!none");
	}
	snprintf(name, sizeof(name), "test!%s", t.f.partition.name);
	put_deleted(&t, good, name);
	fake_backend_turn(&t.f);
	fake_backend_close(&t.f);
	fake_backend_open(&t.f);
	end = timer_new(t.f.bd.loop, give_up, &t);
	arena_init(&a);
	for (int i = 0; i < 20; i++) {
		if (mblist_raw(t.f.bd.list, good, &a) == NULL)
			break;
		timer_set(end, 1000);
		loop_run(t.f.bd.loop);
	}
	ok(mblist_raw(t.f.bd.list, good, &a) == NULL,
	    "what was deleted long ago goes, also if other ones cannot");
	ok(mblist_raw(t.f.bd.list, "deleted.xc.1", &a) != NULL,
	    "and those stay");
	arena_reset(&a);
	timer_free(&end);
	teardown(&t);
}

/* A crash came between the commit of the list and that of users' data. */
static void
test_followed(void)
{
	static const struct rename_note notes[] = {
		{ "user.a", "user.c", RENAME_NEW, false },
		{ "user.b", "deleted.user.b.8", RENAME_NEW, false },
		{ BACK, "user.d", RENAME_NEW, false },
		{ "user.e", "", RENAME_GONE, false },
		{ "deleted.user.e.9", "", RENAME_GONE, false },
	};
	static const char *const before[] = { "a", "b", BACK, "e",
		"deleted.user.e.9" };
	static const char *const after[] = { "c", "deleted.user.b.8", "d" };
	struct test t;

	setup(&t, 1);
	for (size_t i = 0; i < NITEMS(notes); i++) {
		set_up_user(&t, before[i]);
		rename_note_put(t.f.bd.list, &notes[i]);
	}
	op_commit_later(t.f.bd.list);
	fake_backend_turn(&t.f);
	fake_backend_close(&t.f);
	fake_backend_open(&t.f);
	fake_backend_turn(&t.f);
	for (size_t i = 0; i < NITEMS(before); i++)
		ok(!has_kept(&t, before[i]), "%s: nothing is left", before[i]);
	for (size_t i = 0; i < NITEMS(after); i++)
		ok(has_kept(&t, after[i]), "%s: it is there", after[i]);
	teardown(&t);
}

static void
made(void *arg, enum mblist_result r, const char *text)
{
	struct change *c = arg;

	answered(c, r, text);
}

/* Two that need the same INBOX make one. */
static void
test_make_user(void)
{
	char sent[] = "\\Sent Sent";
	char *uses[] = { sent };
	struct change a, b;
	struct arena arena;
	struct test t;
	const struct mboxrec *rec;

	setup(&t, 1);
	t.f.conf.special_use = (struct conf_list){ uses, 1 };
	a = b = (struct change){ .test = &t };
	t.due = 2;
	mblist_make_user(t.f.bd.list, "joe", made, &a);
	mblist_make_user(t.f.bd.list, "joe", made, &b);
	loop_run(t.f.bd.loop);
	ok(a.result == MBLIST_OK && b.result == MBLIST_OK, "both are served");
	arena_init(&arena);
	ok(mblist_get(t.f.bd.list, "user.joe", &arena) != NULL, "an INBOX");
	rec = mblist_get(t.f.bd.list, "user.joe.Sent", &arena);
	ok(rec != NULL && slice_is(rec->special_uses, "\\Sent"),
	    "and what belongs to it");
	ok(users_is_subscribed(t.f.bd.users, "joe", "user.joe.Sent"),
	    "subscribed");
	ok(map_count(&t.f.store.ids) == 2, "each once");
	arena_reset(&arena);
	teardown(&t);
}

int
main(void)
{
	for (unsigned seed = 1; seed <= 2; seed++) {
		test_one_by_one(seed);
		test_at_once(seed);
	}
	test_make_user();
	test_doomed();
	test_delete_user(0);
	test_delete_user(1000);
	test_followed();
	test_much();
	test_subscriptions();
	test_reaped();
	return done_testing();
}
