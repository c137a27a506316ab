/*
 * mblist and an update server whose lists differ: they are made equal, nothing
 * is destroyed that another may need, and nobody is asked for what is equal.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backendd/announce.h"
#include "backendd/mblist_op.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/fake/published.h"
#include "t/tap.h"
#include "t/tempdir.h"

#define ACL "joe\tlrsa\t"

enum {
	MANY = 40,
	VERY_MANY = 4500
};

static void
make_many(struct published *t)
{
	char name[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		MUST(published_make(t, name, ACL) == MBLIST_OK);
	}
	published_settle(t);
	MUST(published_is_alike(t));
}

/* As if the link had been down for a moment. */
static void
meet_again(struct published *t)
{
	while (!fake_announce_is_idle(t->f.bd.announce))
		published_turn(t);
	fake_announce_down(t->f.bd.announce);
	published_link_up(t);
	published_settle(t);
}

static struct mboxrec
published_as(const char *location, uint64_t generation)
{
	return (struct mboxrec){ .state = MBOXREC_ACTIVE,
		.location = slice_str(location),
		.acl = slice_str(ACL),
		.mailboxid = slice_str("other"),
		.generation = generation };
}

static uint64_t
generation_of(struct published *t, const char *name)
{
	struct arena a;
	const struct mboxrec *rec;
	uint64_t generation;

	arena_init(&a);
	rec = mblist_get(t->f.bd.list, name, &a);
	generation = rec == NULL ? 0 : rec->generation;
	arena_reset(&a);
	return generation;
}

/* --- equal, wiped, odd ------------------------------------------------------------ */

/* One of each change. */
static void
change_some(struct published *t)
{
	struct mblist *l = t->f.bd.list;

	mblist_delete(l, "s1", published_answered, t);
	published_await(t, t->answers + 1);
	mblist_rename(l, "s2", "r2", published_answered, t);
	published_await(t, t->answers + 1);
	mblist_set_acl(l, "s3", "ann\tlr\t", published_answered, t);
	published_await(t, t->answers + 1);
	published_settle(t);
	MUST(published_is_alike(t));
}

static void
test_equal(void)
{
	struct published t;
	unsigned changes, notes;

	published_init(&t);
	make_many(&t);
	change_some(&t);
	published_server(&t)->lists = 0;
	changes = published_server(&t)->changes;
	meet_again(&t);
	ok(published_server(&t)->lists == 0 &&
	        published_server(&t)->changes == changes,
	    "what is equal is not asked for");
	notes = t.f.store.notes;
	published_restart(&t);
	published_settle(&t);
	ok(published_server(&t)->lists == 0 && published_is_alike(&t),
	    "nor after a restart: the digest is counted anew");
	published_restart(&t);
	ok(t.f.store.notes == notes && notes == 2,
	    "what RENAME and SETACL changed is noted in the store, once");
	published_fini(&t);
}

static void
test_differences(bool extended)
{
	struct mboxrec rec = published_as("test!default", 7);
	const char *words = extended ? "by digest" : "plainly";
	struct published t;

	published_init(&t);
	make_many(&t);
	published_server(&t)->extended = extended;
	fake_announce_put(t.f.bd.announce, "s7", NULL);
	fake_announce_put(t.f.bd.announce, "lacking", &rec);
	rec.state = MBOXREC_RESERVED;
	fake_announce_put(t.f.bd.announce, "left", &rec);
	fake_announce_put(t.f.bd.announce, "s8", &rec);
	meet_again(&t);
	ok(published_is_alike(&t),
	    "%s: lost, lacking, left reserved and withdrawn", words);
	for (int i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		fake_announce_put(t.f.bd.announce, name, NULL);
	}
	meet_again(&t);
	ok(published_is_alike(&t), "%s: all of it was lost", words);
	published_fini(&t);
}

static bool
is_told(struct published *t, const char *name)
{
	return fake_announce_find(t->f.bd.announce, name) != NULL;
}

/* It cannot answer just now: asked again, though it is not asked for fun. */
static void
test_given_up(void)
{
	struct published t;
	int64_t until = 0;

	published_init(&t);
	make_many(&t);
	t.f.conf.compare_ms = 5;
	published_server(&t)->extended = false;
	published_server(&t)->no_lists = true;
	fake_announce_put(t.f.bd.announce, "s7", NULL);
	published_server(&t)->lists = 0;
	meet_again(&t);
	while (published_server(&t)->lists < 2 && published_goes_on(&t, &until))
		continue;
	ok(published_server(&t)->lists >= 2, "what was refused is asked again");
	published_server(&t)->no_lists = false;
	while (!is_told(&t, "s7") && published_goes_on(&t, &until))
		continue;
	published_settle(&t);
	ok(published_is_alike(&t), "till it is made equal");
	published_server(&t)->lists = 0;
	while (timer_is_set(t.f.bd.list->compare))
		published_turn(&t);
	ok(published_server(&t)->lists == 0, "and then no more");
	published_fini(&t);
}

/* What was said on a connection that is gone may come in behind a new one. */
static void
test_late(void)
{
	struct mboxrec rec = published_as("test!default", 7);
	struct published t;
	int64_t until = 0;

	rec.state = MBOXREC_RESERVED;
	published_init(&t);
	make_many(&t);
	t.f.conf.compare_ms = 5;
	published_server(&t)->extended = false;
	published_server(&t)->fault = FAULT_UNHEARD;
	published_server(&t)->fault_at = published_server(&t)->changes + 1;
	ok(published_make(&t, "new", ACL) != MBLIST_OK, "a lost RESERVE");
	published_server(&t)->lists = 0;
	meet_again(&t);
	while (published_server(&t)->lists < 1 && published_goes_on(&t, &until))
		continue;
	fake_announce_put(t.f.bd.announce, "new", &rec);
	while (is_told(&t, "new") && published_goes_on(&t, &until))
		continue;
	published_settle(&t);
	ok(fake_announce_find(t.f.bd.announce, "new") == NULL,
	    "that comes late is found");
	published_server(&t)->lists = 0;
	while (timer_is_set(t.f.bd.list->compare))
		published_turn(&t);
	ok(published_server(&t)->lists == 0, "and no more is looked for");
	published_fini(&t);
}

/* It may be out of its mind; a name of ours is never so long. */
static void
test_long_name(void)
{
	static char name[40000];
	struct mboxrec rec = published_as("test!default", 7);
	struct published t;

	memset(name, 'x', sizeof(name) - 1);
	published_init(&t);
	make_many(&t);
	fake_announce_put(t.f.bd.announce, name, &rec);
	fake_announce_put(t.f.bd.announce, "s7", NULL);
	meet_again(&t);
	ok(fake_announce_find(t.f.bd.announce, "s7") != NULL,
	    "a name that is far too long is passed over");
	fake_announce_put(t.f.bd.announce, name, NULL);
	published_settle(&t);
	published_fini(&t);
}

/* --- conflicts --------------------------------------------------------------------- */

static void
test_conflicts(void)
{
	struct mboxrec rec;
	struct published t;
	uint64_t ours;
	char aside[64];

	published_init(&t);
	make_many(&t);
	ours = generation_of(&t, "s1");

	rec = published_as("elsewhere!x", ours + 1);
	fake_announce_put(t.f.bd.announce, "s1", &rec);
	snprintf(aside, sizeof(aside), "quarantine.s1.%llu",
	    (unsigned long long)ours);
	meet_again(&t);
	ok(!published_exists(&t, "s1") && published_exists(&t, aside),
	    "a later grant of another's: ours is set aside");
	ok(mblist_counts(t.f.bd.list)->quarantined == 1, "and counted");
	ok(fake_backend_is_whole(&t.f), "and nothing is destroyed");

	ours = generation_of(&t, "s2");
	rec = published_as("elsewhere!x", ours - 1);
	fake_announce_put(t.f.bd.announce, "s2", &rec);
	meet_again(&t);
	ok(slice_is(fake_announce_find(t.f.bd.announce, "s2")->location,
	       "test!default"),
	    "an earlier grant of another's: taken over");

	published_server(&t)->remembers = true;
	rec = published_as("elsewhere!x", generation_of(&t, "s5") - 1);
	fake_announce_put(t.f.bd.announce, "s5", &rec);
	meet_again(&t);
	published_server(&t)->remembers = false;
	ok(!published_exists(&t, "s5") &&
	        mblist_counts(t.f.bd.list)->quarantined == 2,
	    "unless it knows that our grant has ended: set aside");

	ours = generation_of(&t, "s3");
	rec = published_as("elsewhere!x", ours);
	fake_announce_put(t.f.bd.announce, "s3", &rec);
	meet_again(&t);
	ok(published_exists(&t, "s3") &&
	        mblist_counts(t.f.bd.list)->quarantined == 2,
	    "the same grant under another host's name stays");

	rec = published_as("test!default", generation_of(&t, "s4") + 5);
	fake_announce_put(t.f.bd.announce, "s4", &rec);
	meet_again(&t);
	ok(generation_of(&t, "s4") == rec.generation &&
	        !slice_is(fake_announce_find(t.f.bd.announce, "s4")->mailboxid,
	            "other"),
	    "what was granted to us since is ours");

	mblist_rename(t.f.bd.list, aside, "free", published_answered, &t);
	published_await(&t, t.answers + 1);
	published_settle(&t);
	rec = *fake_announce_find(t.f.bd.announce, "free");
	ok(t.result == MBLIST_OK && published_exists(&t, "free") &&
	        rec.state == MBOXREC_ACTIVE &&
	        published_acl_is(&t, "free", ACL),
	    "what was set aside is brought back, with its ACL");
	published_fini(&t);
}

/* --- what is lacking here ------------------------------------------------------------ */

static void
say_are_here(struct published *t, int n)
{
	struct mboxrec rec = published_as("test!default", 7);
	char name[16];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "gone%d", i);
		fake_announce_put(t->f.bd.announce, name, &rec);
	}
}

static void
say_many_are_here(struct published *t)
{
	say_are_here(t, MANY);
}

static void
accept_list(struct published *t)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/accept-list", t->f.dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	MUST(fd != -1 && close(fd) == 0);
}

static void
test_lacking(void)
{
	struct mboxrec rec = published_as("test!default", 7);
	struct published t;

	published_init(&t);
	MUST(published_make(&t, "one", ACL) == MBLIST_OK);
	say_many_are_here(&t);
	meet_again(&t);
	ok(fake_announce_find(t.f.bd.announce, "gone3") != NULL &&
	        mblist_counts(t.f.bd.list)->withheld == MANY,
	    "too much is lacking: nothing is deleted there");
	accept_list(&t);
	meet_again(&t);
	ok(published_is_alike(&t) && mblist_counts(t.f.bd.list)->withheld == 0,
	    "until an administrator says so");
	say_many_are_here(&t);
	meet_again(&t);
	ok(mblist_counts(t.f.bd.list)->withheld == MANY, "which was for once");
	published_fini(&t);

	published_init(&t);
	published_settle(&t);
	fake_announce_put(t.f.bd.announce, "last", &rec);
	meet_again(&t);
	ok(published_is_alike(&t), "a few may be all that there was");
	published_fini(&t);
}

/* More than a turn takes. */
static void
test_very_many_lacking(void)
{
	struct published t;
	size_t most = 0, n;
	int64_t until = 0;

	published_init(&t);
	MUST(published_make(&t, "one", ACL) == MBLIST_OK);
	say_are_here(&t, VERY_MANY);
	accept_list(&t);
	fake_announce_down(t.f.bd.announce);
	published_link_up(&t);
	while (fake_announce_count(t.f.bd.announce) > 1 &&
	       published_goes_on(&t, &until)) {
		n = mblist_unsettled(t.f.bd.list);
		if (n > most)
			most = n;
	}
	ok(fake_announce_count(t.f.bd.announce) == 1 && most < VERY_MANY / 2,
	    "very many are given up, at most %zu at a time", most);
	published_settle(&t);
	ok(published_is_alike(&t), "and what is here stays");
	published_fini(&t);
}

/* --- a lost list ------------------------------------------------------------------------- */

static void
lose_list(struct published *t)
{
	char path[128];

	fake_announce_down(t->f.bd.announce);
	fake_backend_close(&t->f);
	snprintf(path, sizeof(path), "%s/list", t->f.dir);
	tempdir_remove(path);
	fake_backend_open(&t->f);
	fake_announce_owner(t->f.bd.announce, t->f.bd.list);
	fake_announce_up(t->f.bd.announce);
	published_settle(t);
}

static void
test_lost_list(void)
{
	struct published t;
	struct arena a;

	published_init(&t);
	make_many(&t);
	mblist_rename(t.f.bd.list, "s1", "r1", published_answered, &t);
	published_await(&t, t.answers + 1);
	mblist_set_acl(t.f.bd.list, "s2", "ann\tlr\t", published_answered, &t);
	published_await(&t, t.answers + 1);
	published_settle(&t);
	lose_list(&t);
	ok(published_is_alike(&t) && published_exists(&t, "r1") &&
	        published_acl_is(&t, "s2", "ann\tlr\t"),
	    "a lost list is made anew, with names and ACLs as they were");

	arena_init(&a);
	t.f.store.damaged =
	    arena_string(&a, mblist_get(t.f.bd.list, "s3", &a)->mailboxid);
	lose_list(&t);
	ok(!published_exists(&t, "s3") &&
	        mblist_counts(t.f.bd.list)->damaged == 1,
	    "but for what is damaged");
	ok(fake_announce_find(t.f.bd.announce, "s3") != NULL,
	    "which is not deleted there");
	published_restart(&t);
	published_settle(&t);
	ok(fake_announce_find(t.f.bd.announce, "s3") != NULL &&
	        mblist_counts(t.f.bd.list)->damaged == 1,
	    "nor after another start");
	accept_list(&t);
	meet_again(&t);
	ok(fake_announce_find(t.f.bd.announce, "s3") == NULL,
	    "until an administrator says so");
	arena_reset(&a);
	published_fini(&t);
}

/* --- what is busy -------------------------------------------------------------------------- */

static void
test_busy(void)
{
	struct mblist_new how = { .acl = ACL, .special_use = "" };
	struct mblist *l;
	struct published t;

	published_init(&t);
	l = t.f.bd.list;
	MUST(published_make(&t, "a.b", ACL) == MBLIST_OK);
	MUST(published_make(&t, "a.b.c", ACL) == MBLIST_OK);
	mblist_rename(l, "a.b", "x.y", published_answered, &t);
	ok(op_is_busy(l, "a.b", OP_NAME) && op_is_busy(l, "x.y", OP_NAME),
	    "both names of a RENAME are busy");
	ok(op_is_busy(l, "a.b.c", OP_NAME) && op_is_busy(l, "x.y.q", OP_NAME),
	    "and what is below them");
	ok(!op_is_busy(l, "a", OP_NAME) && !op_is_busy(l, "x", OP_NAME) &&
	        !op_is_busy(l, "a.bc", OP_NAME),
	    "not what is above or beside");
	ok(op_is_busy(l, "a", OP_SUBTREE) && op_is_busy(l, "x", OP_SUBTREE),
	    "but their trees are");
	published_await(&t, t.answers + 1);
	mblist_create(l, "a.z", &how, published_answered, &t);
	ok(op_is_busy(l, "a.z", OP_NAME) && !op_is_busy(l, "a.z.x", OP_NAME),
	    "a CREATE is busy with one name");
	published_await(&t, t.answers + 1);
	ok(!op_is_busy(l, "a.z", OP_NAME) && !op_is_busy(l, "a", OP_SUBTREE),
	    "and then not any more");
	published_fini(&t);
}

/* A name with a change under way when it is compared is looked at later. */
static void
test_busy_when_compared(void)
{
	struct mboxrec rec = published_as("test!default", 7);
	struct mblist_new how = { .acl = ACL, .special_use = "" };
	struct published t;

	published_init(&t);
	published_settle(&t);
	rec.state = MBOXREC_RESERVED;
	fake_announce_put(t.f.bd.announce, "left", &rec);
	fake_announce_down(t.f.bd.announce);
	published_link_up(&t); /* asks for the digest */
	t.f.store.refuse = 1;
	mblist_create(t.f.bd.list, "left", &how, published_answered, &t);
	published_await(&t, t.answers + 1);
	published_settle(&t);
	ok(t.result == MBLIST_FAILED && published_is_alike(&t),
	    "a reservation that was busy does not stay");
	published_fini(&t);
}

static void
test_refused_by_disk(void)
{
	struct published t;

	published_init(&t);
	t.f.store.refuse = 1;
	ok(published_make(&t, "new", ACL) == MBLIST_FAILED,
	    "the disk refuses a CREATE");
	published_settle(&t);
	ok(fake_announce_count(t.f.bd.announce) == 0,
	    "and its name is released");
	published_fini(&t);
}

int
main(void)
{
	test_equal();
	test_differences(true);
	test_differences(false);
	test_given_up();
	test_late();
	test_long_name();
	test_conflicts();
	test_lacking();
	test_very_many_lacking();
	test_lost_list();
	test_busy();
	test_busy_when_compared();
	test_refused_by_disk();
	return done_testing();
}
