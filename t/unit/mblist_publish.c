/*
 * mblist and an update server: every change, and each of its commands in turn
 * is lost, or its answer, or refused; then what both say is the same, OK is so
 * and NO has changed nothing, and of a RENAME one of the names was there all
 * the time.  And what becomes of lists that differ.
 */
#include <stdio.h>

#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/users.h"
#include "lib/must.h"
#include "t/fake/published.h"
#include "t/tap.h"

enum {
	FAULTS_MAX = 64,
	SHORT_MS = 20 /* publish_timeout of what is to be too late */
};

static void
make_all(struct published *t)
{
	static const char *const names[] = { "s", "s.a", "s.b", "user.joe",
		"user.joe.x", "other" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		MUST(published_make(t, names[i], "joe\tlrsa\tann\tl\t") ==
		     MBLIST_OK);
	users_subscribe(t->f.bd.users, "joe", "user.joe.x", NULL, NULL);
	users_subscribe(t->f.bd.users, "joe", "other", NULL, NULL);
	published_settle(t);
	MUST(published_is_alike(t));
}

struct change {
	const char *what;
	void (*begin)(struct published *t);
	bool (*is_done)(struct published *t);
	bool (*is_undone)(struct published *t);
	const char *old, *new;
};

static void
begin_create(struct published *t)
{
	struct mblist_new how = { .acl = "joe\tlrsa\t", .special_use = "" };

	mblist_create(t->f.bd.list, "s.c", &how, published_answered, t);
}

static bool
is_created(struct published *t)
{
	return published_exists(t, "s.c");
}

static bool
not_created(struct published *t)
{
	return !published_exists(t, "s.c");
}

static void
begin_delete(struct published *t)
{
	mblist_delete(t->f.bd.list, "s.a", published_answered, t);
}

static bool
is_deleted(struct published *t)
{
	return !published_exists(t, "s.a");
}

static bool
not_deleted(struct published *t)
{
	return published_exists(t, "s.a");
}

static void
begin_delete_user(struct published *t)
{
	mblist_delete_tree(t->f.bd.list, "user.joe", published_answered, t);
}

static bool
is_user_deleted(struct published *t)
{
	return !published_exists(t, "user.joe") &&
	       !published_exists(t, "user.joe.x") &&
	       !users_has_any(t->f.bd.users, "joe");
}

static bool
not_user_deleted(struct published *t)
{
	return published_exists(t, "user.joe") &&
	       published_exists(t, "user.joe.x") &&
	       users_is_subscribed(t->f.bd.users, "joe", "other");
}

static void
begin_rename(struct published *t)
{
	mblist_rename(t->f.bd.list, "s", "to", published_answered, t);
}

static bool
is_renamed(struct published *t)
{
	return published_exists(t, "to") && published_exists(t, "to.a") &&
	       published_exists(t, "to.b") && !published_exists(t, "s") &&
	       !published_exists(t, "s.a") && !published_exists(t, "s.b");
}

static bool
not_renamed(struct published *t)
{
	return !published_exists(t, "to") && !published_exists(t, "to.a") &&
	       !published_exists(t, "to.b") && published_exists(t, "s") &&
	       published_exists(t, "s.a") && published_exists(t, "s.b");
}

static void
begin_rename_user(struct published *t)
{
	mblist_rename(t->f.bd.list, "user.joe", "user.jim", published_answered,
	    t);
}

static bool
is_user_renamed(struct published *t)
{
	struct users *u = t->f.bd.users;

	return published_exists(t, "user.jim") &&
	       published_exists(t, "user.jim.x") &&
	       !published_exists(t, "user.joe") &&
	       !published_exists(t, "user.joe.x") &&
	       users_is_subscribed(u, "jim", "user.jim.x") &&
	       users_is_subscribed(u, "jim", "other") &&
	       !users_has_any(u, "joe") &&
	       published_acl_is(t, "user.jim.x", "ann\tl\tjim\tlrsa\t");
}

static bool
not_user_renamed(struct published *t)
{
	struct users *u = t->f.bd.users;

	return !published_exists(t, "user.jim") &&
	       !published_exists(t, "user.jim.x") &&
	       published_exists(t, "user.joe") &&
	       published_exists(t, "user.joe.x") &&
	       users_is_subscribed(u, "joe", "user.joe.x") &&
	       users_is_subscribed(u, "joe", "other") &&
	       !users_has_any(u, "jim") &&
	       published_acl_is(t, "user.joe.x", "joe\tlrsa\tann\tl\t");
}

static void
begin_rename_inbox(struct published *t)
{
	mblist_rename(t->f.bd.list, "user.joe", "user.joe.y",
	    published_answered, t);
}

static bool
is_inbox_renamed(struct published *t)
{
	return published_exists(t, "user.joe") &&
	       published_exists(t, "user.joe.y") &&
	       published_exists(t, "user.joe.x");
}

static bool
not_inbox_renamed(struct published *t)
{
	return published_exists(t, "user.joe") &&
	       !published_exists(t, "user.joe.y");
}

static void
begin_set_acl(struct published *t)
{
	mblist_set_acl(t->f.bd.list, "s.a", "bob\tlr\t", published_answered, t);
}

static bool
is_acl_set(struct published *t)
{
	return published_acl_is(t, "s.a", "bob\tlr\t");
}

static bool
not_acl_set(struct published *t)
{
	return published_acl_is(t, "s.a", "joe\tlrsa\tann\tl\t");
}

static const struct change changes[] = {
	{ "CREATE", begin_create, is_created, not_created, NULL, NULL },
	{ "DELETE", begin_delete, is_deleted, not_deleted, NULL, NULL },
	{ "DELETE of a user", begin_delete_user, is_user_deleted,
	    not_user_deleted, NULL, NULL },
	{ "RENAME", begin_rename, is_renamed, not_renamed, "s.a", "to.a" },
	{ "RENAME of a user", begin_rename_user, is_user_renamed,
	    not_user_renamed, "user.joe.x", "user.jim.x" },
	{ "RENAME of an INBOX", begin_rename_inbox, is_inbox_renamed,
	    not_inbox_renamed, "user.joe", "user.joe.y" },
	{ "SETACL", begin_set_acl, is_acl_set, not_acl_set, NULL, NULL },
};

/* --- each of them, with each of its commands gone wrong ------------------------- */

enum comeback {
	COMES_AT_ONCE,
	COMES_TOO_LATE /* for publish_timeout */
};

struct result {
	unsigned unlike, wrong, silent, neither, refusals;
	bool reached; /* was there such a command? */
};

static void
one(const struct change *c, bool extended, unsigned at, enum fake_fault fault,
    enum comeback comeback, struct result *r)
{
	struct published t;
	bool right;

	published_init(&t);
	published_server(&t)->extended = extended;
	make_all(&t);
	published_server(&t)->changes = 0;
	published_server(&t)->fault_at = at;
	published_server(&t)->fault = fault;
	t.answers = 0;
	t.old = c->old;
	t.new = c->new;
	if (comeback == COMES_TOO_LATE || fault == FAULT_REFUSED)
		t.f.conf.publish_ms = SHORT_MS;
	c->begin(&t);
	while (t.answers == 0 && announce_is_up(t.f.bd.announce))
		published_turn(&t);
	if (comeback == COMES_TOO_LATE)
		published_await(&t, 1);
	published_link_up(&t);
	published_await(&t, 1);
	published_link_up(&t);
	published_settle(&t);
	r->reached = published_server(&t)->changes >= at;
	published_server(&t)->fault = FAULT_NONE;
	r->unlike += !published_is_alike(&t);
	right = t.result == MBLIST_OK ? c->is_done(&t) : c->is_undone(&t);
	r->wrong += !right;
	r->silent += t.answers != 1;
	r->neither += t.neither;
	r->refusals += t.result != MBLIST_OK;
	if (!right)
		printf("# %s: command %u, fault %d: %d\n", c->what, at,
		    (int)fault, (int)t.result);
	published_fini(&t);
}

static void
all_faults(const struct change *c, bool extended, enum fake_fault fault,
    enum comeback comeback)
{
	static const char *const faults[] = { "nothing", "command lost",
		"answer lost", "refused" };
	struct result r = { .reached = true };
	unsigned at = 1;

	for (; r.reached && at < FAULTS_MAX; at++)
		one(c, extended, at, fault, comeback, &r);
	ok(r.unlike + r.wrong + r.silent + r.neither == 0 && at > 2,
	    "%s%s, %s, %s: %u places, %u times NO", c->what,
	    extended ? "" : " plainly", faults[fault],
	    comeback == COMES_AT_ONCE ? "link back at once" : "link back later",
	    at - 2, r.refusals);
	if (r.unlike + r.wrong + r.silent + r.neither > 0)
		printf("# unlike %u, wrong %u, silent %u, neither %u\n",
		    r.unlike, r.wrong, r.silent, r.neither);
}

static void
test_changes(void)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];

		all_faults(c, true, FAULT_UNHEARD, COMES_AT_ONCE);
		all_faults(c, true, FAULT_UNHEARD, COMES_TOO_LATE);
		all_faults(c, true, FAULT_UNANSWERED, COMES_AT_ONCE);
		all_faults(c, true, FAULT_UNANSWERED, COMES_TOO_LATE);
		all_faults(c, true, FAULT_REFUSED, COMES_AT_ONCE);
	}
}

/* --- begun while the update server cannot be reached ----------------------------- */

static void
begin_cut_off(struct published *t, const struct change *c)
{
	make_all(t);
	t->answers = 0;
	fake_announce_down(t->f.bd.announce);
	c->begin(t);
}

static void
waits(const struct change *c)
{
	struct published t;

	published_init(&t);
	begin_cut_off(&t, c);
	published_turn(&t);
	ok(t.answers == 0 && c->is_undone(&t), "%s waits for the link",
	    c->what);
	fake_announce_up(t.f.bd.announce);
	published_await(&t, 1);
	published_settle(&t);
	ok(t.result == MBLIST_OK && c->is_done(&t) && published_is_alike(&t),
	    "and is done then");
	published_fini(&t);
}

static void
gives_up(const struct change *c)
{
	struct published t;

	published_init(&t);
	t.f.conf.publish_ms = SHORT_MS;
	begin_cut_off(&t, c);
	published_await(&t, 1);
	ok(t.result == MBLIST_UNAVAILABLE && c->is_undone(&t),
	    "%s: NO when that takes too long", c->what);
	c->begin(&t);
	published_turn(&t);
	ok(t.answers == 2 && t.result == MBLIST_UNAVAILABLE,
	    "and at once from then on");
	published_link_up(&t);
	published_settle(&t);
	ok(c->is_undone(&t) && published_is_alike(&t), "nothing comes of it");
	published_fini(&t);
}

static void
test_held(void)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		waits(&changes[i]);
		gives_up(&changes[i]);
	}
}

/* The list is closed with one that waits. */
static void
test_held_dropped(void)
{
	struct published t;

	published_init(&t);
	begin_cut_off(&t, &changes[0]);
	published_restart(&t);
	published_settle(&t);
	ok(t.answers == 0 && changes[0].is_undone(&t),
	    "what waits when the list is closed is forgotten");
	published_fini(&t);
}

int
main(void)
{
	test_held();
	test_held_dropped();
	test_changes();
	return done_testing();
}
