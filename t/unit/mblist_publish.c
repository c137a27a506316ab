/*
 * mblist and an update server: every change, and each of its commands in turn
 * is lost, or its answer, or refused; then what both say is the same, OK is so
 * and NO has changed nothing, and of a RENAME one of the names was there all
 * the time.  And what becomes of lists that differ.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/seen.h"
#include "backendd/userdata.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/fake/announce.h"
#include "t/fake_backend.h"
#include "t/tap.h"

enum {
	TURNS_MAX = 200000,
	FAULTS_MAX = 64
};

struct test {
	struct fake_backend f;
	unsigned answers;
	enum mblist_result result;
	const char *old, *new; /* a RENAME under way; or NULL */
	unsigned neither;
};

static struct fake_update_server *
server(struct test *t)
{
	return fake_announce_server(t->f.bd.announce);
}

static void
turn(struct test *t)
{
	fake_backend_turn(&t->f);
}

/* Until all has been said that there is to be said. */
static void
settle(struct test *t)
{
	struct mblist *l = t->f.bd.list;

	for (int i = 0; i < TURNS_MAX; i++) {
		turn(t);
		if (mblist_unsettled(l) == 0 && l->sync == NULL &&
		    TAILQ_EMPTY(&l->ops) &&
		    fake_announce_is_idle(t->f.bd.announce))
			return;
	}
	ok(false, "it never comes to rest");
}

static void
link_up(struct test *t)
{
	while (!fake_announce_is_idle(t->f.bd.announce))
		turn(t);
	if (!announce_is_up(t->f.bd.announce))
		fake_announce_up(t->f.bd.announce);
}

static bool
is_seen(struct test *t, const char *name)
{
	const struct mboxrec *there =
	    fake_announce_find(t->f.bd.announce, name);
	struct arena a;
	bool here;

	arena_init(&a);
	here = mblist_get(t->f.bd.list, name, &a) != NULL;
	arena_reset(&a);
	return here && there != NULL && there->state == MBOXREC_ACTIVE;
}

/* Published and here: whoever looks for one of the two finds it. */
static void
watch(void *arg)
{
	struct test *t = arg;

	if (t->old != NULL && !is_seen(t, t->old) && !is_seen(t, t->new))
		t->neither++;
}

static void
setup(struct test *t, const char *settings)
{
	*t = (struct test){ .answers = 0 };
	fake_backend_init(&t->f, "publish.t");
	t->f.conf.mupdate_server = (char *)(uintptr_t)settings;
	t->f.conf.publish_ms = 20;
	t->f.conf.compare_ms = 100000;
	fake_backend_open(&t->f);
	t->f.bd.announce = fake_announce_new(t->f.bd.loop, "test",
	    mblist_connected, t->f.bd.list);
	server(t)->watch = watch;
	server(t)->watch_arg = t;
	fake_announce_up(t->f.bd.announce);
	settle(t);
}

static void
teardown(struct test *t)
{
	while (!fake_announce_is_idle(t->f.bd.announce))
		turn(t);
	announce_free(&t->f.bd.announce);
	fake_backend_close(&t->f);
	fake_backend_fini(&t->f);
}

/* --- do the two say the same? ------------------------------------------------- */

struct comparison {
	struct test *t;
	size_t n;
	bool same;
};

static bool
compare_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct comparison *c = arg;
	const struct mboxrec *there =
	    fake_announce_find(c->t->f.bd.announce, name);

	if (mblist_is_aside(name))
		return true;
	c->n++;
	if (there == NULL || there->state != MBOXREC_ACTIVE ||
	    !slice_equal(there->acl, rec->acl) ||
	    !slice_equal(there->location, rec->location) ||
	    !slice_equal(there->mailboxid, rec->mailboxid) ||
	    there->generation != rec->generation) {
		printf("# %s: %s\n", name,
		    there == NULL ? "not there" : "differs there");
		c->same = false;
	}
	return true;
}

static bool
is_alike(struct test *t)
{
	struct comparison c = { t, 0, true };

	mblist_each(t->f.bd.list, "", compare_one, &c);
	if (c.n != fake_announce_count(t->f.bd.announce))
		printf("# %zu here, %zu there\n", c.n,
		    fake_announce_count(t->f.bd.announce));
	return c.same && c.n == fake_announce_count(t->f.bd.announce) &&
	       fake_backend_is_whole(&t->f);
}

static bool
exists(struct test *t, const char *name)
{
	struct arena a;
	bool found;

	arena_init(&a);
	found = mblist_get(t->f.bd.list, name, &a) != NULL;
	arena_reset(&a);
	return found;
}

static bool
acl_is(struct test *t, const char *name, const char *acl)
{
	const struct mboxrec *rec;
	struct arena a;
	bool is;

	arena_init(&a);
	rec = mblist_get(t->f.bd.list, name, &a);
	is = rec != NULL && slice_is(rec->acl, acl);
	arena_reset(&a);
	return is;
}

/* --- changes ------------------------------------------------------------------ */

static void
answered(void *arg, enum mblist_result r, const char *text)
{
	struct test *t = arg;

	(void)text; /* for logs */
	t->result = r;
	t->answers++;
}

static void
await_answer(struct test *t, unsigned n)
{
	for (int i = 0; i < TURNS_MAX && t->answers < n; i++)
		turn(t);
	MUST(t->answers == n);
}

static enum mblist_result
make(struct test *t, const char *name, const char *acl)
{
	struct mblist_new how = { .acl = acl, .special_use = "" };

	mblist_create(t->f.bd.list, name, &how, answered, t);
	await_answer(t, t->answers + 1);
	return t->result;
}

static void
make_all(struct test *t)
{
	static const char *const names[] = { "s", "s.a", "s.b", "user.joe",
		"user.joe.x", "other" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		MUST(make(t, names[i], "joe\tlrsa\tann\tl\t") == MBLIST_OK);
	users_subscribe(t->f.bd.users, "joe", "user.joe.x", NULL, NULL);
	users_subscribe(t->f.bd.users, "joe", "other", NULL, NULL);
	settle(t);
	MUST(is_alike(t));
}

struct change {
	const char *what;
	void (*begin)(struct test *t);
	bool (*is_done)(struct test *t);
	bool (*is_undone)(struct test *t);
	const char *old, *new;
};

static void
begin_create(struct test *t)
{
	struct mblist_new how = { .acl = "joe\tlrsa\t", .special_use = "" };

	mblist_create(t->f.bd.list, "s.c", &how, answered, t);
}

static bool
is_created(struct test *t)
{
	return exists(t, "s.c");
}

static bool
not_created(struct test *t)
{
	return !exists(t, "s.c");
}

static void
begin_delete(struct test *t)
{
	mblist_delete(t->f.bd.list, "s.a", answered, t);
}

static bool
is_deleted(struct test *t)
{
	return !exists(t, "s.a");
}

static bool
not_deleted(struct test *t)
{
	return exists(t, "s.a");
}

static void
begin_delete_user(struct test *t)
{
	mblist_delete_tree(t->f.bd.list, "user.joe", answered, t);
}

static bool
is_user_deleted(struct test *t)
{
	return !exists(t, "user.joe") && !exists(t, "user.joe.x") &&
	       !users_has_any(t->f.bd.users, "joe");
}

static bool
not_user_deleted(struct test *t)
{
	return exists(t, "user.joe") && exists(t, "user.joe.x") &&
	       users_is_subscribed(t->f.bd.users, "joe", "other");
}

static void
begin_rename(struct test *t)
{
	mblist_rename(t->f.bd.list, "s", "to", answered, t);
}

static bool
is_renamed(struct test *t)
{
	return exists(t, "to") && exists(t, "to.a") && exists(t, "to.b") &&
	       !exists(t, "s") && !exists(t, "s.a") && !exists(t, "s.b");
}

static bool
not_renamed(struct test *t)
{
	return !exists(t, "to") && !exists(t, "to.a") && !exists(t, "to.b") &&
	       exists(t, "s") && exists(t, "s.a") && exists(t, "s.b");
}

static void
begin_rename_user(struct test *t)
{
	mblist_rename(t->f.bd.list, "user.joe", "user.jim", answered, t);
}

static bool
is_user_renamed(struct test *t)
{
	struct users *u = t->f.bd.users;

	return exists(t, "user.jim") && exists(t, "user.jim.x") &&
	       !exists(t, "user.joe") && !exists(t, "user.joe.x") &&
	       users_is_subscribed(u, "jim", "user.jim.x") &&
	       users_is_subscribed(u, "jim", "other") &&
	       !users_has_any(u, "joe") &&
	       acl_is(t, "user.jim.x", "ann\tl\tjim\tlrsa\t");
}

static bool
not_user_renamed(struct test *t)
{
	struct users *u = t->f.bd.users;

	return !exists(t, "user.jim") && !exists(t, "user.jim.x") &&
	       exists(t, "user.joe") && exists(t, "user.joe.x") &&
	       users_is_subscribed(u, "joe", "user.joe.x") &&
	       users_is_subscribed(u, "joe", "other") &&
	       !users_has_any(u, "jim") &&
	       acl_is(t, "user.joe.x", "joe\tlrsa\tann\tl\t");
}

static void
begin_rename_inbox(struct test *t)
{
	mblist_rename(t->f.bd.list, "user.joe", "user.joe.y", answered, t);
}

static bool
is_inbox_renamed(struct test *t)
{
	return exists(t, "user.joe") && exists(t, "user.joe.y") &&
	       exists(t, "user.joe.x");
}

static bool
not_inbox_renamed(struct test *t)
{
	return exists(t, "user.joe") && !exists(t, "user.joe.y");
}

static void
begin_set_acl(struct test *t)
{
	mblist_set_acl(t->f.bd.list, "s.a", "bob\tlr\t", answered, t);
}

static bool
is_acl_set(struct test *t)
{
	return acl_is(t, "s.a", "bob\tlr\t");
}

static bool
not_acl_set(struct test *t)
{
	return acl_is(t, "s.a", "joe\tlrsa\tann\tl\t");
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
	struct test t;
	bool right;

	setup(&t, "fake");
	server(&t)->extended = extended;
	make_all(&t);
	server(&t)->changes = 0;
	server(&t)->fault_at = at;
	server(&t)->fault = fault;
	t.answers = 0;
	t.old = c->old;
	t.new = c->new;
	c->begin(&t);
	while (t.answers == 0 && announce_is_up(t.f.bd.announce))
		turn(&t);
	if (comeback == COMES_TOO_LATE)
		await_answer(&t, 1);
	link_up(&t);
	await_answer(&t, 1);
	link_up(&t);
	settle(&t);
	r->reached = server(&t)->changes >= at;
	server(&t)->fault = FAULT_NONE;
	r->unlike += !is_alike(&t);
	right = t.result == MBLIST_OK ? c->is_done(&t) : c->is_undone(&t);
	r->wrong += !right;
	r->silent += t.answers != 1;
	r->neither += t.neither;
	r->refusals += t.result != MBLIST_OK;
	if (!right)
		printf("# %s: command %u, fault %d: %d\n", c->what, at,
		    (int)fault, (int)t.result);
	teardown(&t);
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

int
main(void)
{
	test_changes();
	return done_testing();
}
