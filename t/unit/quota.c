/*
 * quota: RFC 9208's examples, and what is no list of limits; roots in a list
 * of mailboxes that changes at random: usage counted on is usage counted anew.
 */
#include <stdio.h>
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/quota.h"
#include "backendd/quota_warning.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/fake_backend.h"
#include "t/tap.h"

/* --- the grammar --------------------------------------------------------------- */

static void
is_response(void (*put)(struct write *w), const char *want)
{
	struct buf out;
	struct write w;

	buf_init(&out, 4096);
	write_init(&w, &out, WRITE_SERVER);
	put(&w);
	buf_putc(&out, '\0');
	is_str((const char *)buf_data(&out), want, want);
	buf_fini(&out);
}

static void
put_sda4(struct write *w)
{
	struct quota_limits limits = quota_unlimited;
	struct quota_usage usage = { .octets = 104 * 1024 - 1 };

	limits.limit[QUOTA_STORAGE] = 10923847;
	quota_write(w, slice_str("!partition/sda4"), &limits, &usage);
}

static void
put_alice(struct write *w)
{
	struct quota_limits limits = quota_unlimited;
	struct quota_usage usage = { .octets = 54 * 1024, .messages = 42 };

	limits.limit[QUOTA_STORAGE] = 111;
	limits.limit[QUOTA_MESSAGE] = 1000;
	quota_write(w, slice_str("#user/alice"), &limits, &usage);
}

static void
put_unnamed(struct write *w)
{
	struct quota_limits limits = quota_unlimited;
	struct quota_usage usage = { .octets = 10 * 1024 };

	limits.limit[QUOTA_STORAGE] = 512;
	quota_write(w, slice_str(""), &limits, &usage);
}

static void
put_none(struct write *w)
{
	struct quota_usage usage = { 0 };

	quota_write(w, slice_str("a b"), &quota_unlimited, &usage);
}

static void
put_root(struct write *w)
{
	quota_write_root(w, slice_str("INBOX"), slice_str(""));
}

static void
put_no_root(struct write *w)
{
	quota_write_root(w, slice_str("comp.mail.mime"), slice_of(NULL, 0));
}

static void
test_responses(void)
{
	is_response(put_sda4,
	    "* QUOTA !partition/sda4 (STORAGE 104 10923847)\r\n");
	is_response(put_alice,
	    "* QUOTA #user/alice (STORAGE 54 111 MESSAGE 42 1000)\r\n");
	is_response(put_unnamed, "* QUOTA \"\" (STORAGE 10 512)\r\n");
	is_response(put_none, "* QUOTA \"a b\" ()\r\n");
	is_response(put_root, "* QUOTAROOT INBOX \"\"\r\n");
	is_response(put_no_root, "* QUOTAROOT comp.mail.mime\r\n");
}

static bool
parses(const char *text, struct quota_limits *limits)
{
	struct arena a;
	struct parse p;
	bool good;

	arena_init(&a);
	parse_init_text(&p, &a, slice_str(text));
	quota_parse_limits(&p, limits);
	parse_end(&p);
	good = parse_error(&p) == NULL;
	arena_reset(&a);
	return good;
}

static void
test_limits(void)
{
	static const char *const wrong[] = { "", "STORAGE 1", "(STORAGE)",
		"(STORAGE 1", "(STORAGE 1 )", "(STORAGE 1 STORAGE 1)",
		"(NOSUCH 1)", "(STORAGE -1)", "(STORAGE 1MESSAGE 2)",
		"(STORAGE 9223372036854775808)", "((STORAGE 1))" };
	struct quota_limits l;

	ok(parses("(STORAGE 510)", &l) && l.limit[QUOTA_STORAGE] == 510 &&
	        l.limit[QUOTA_MESSAGE] == QUOTA_UNLIMITED &&
	        l.limit[QUOTA_MAILBOX] == QUOTA_UNLIMITED,
	    "what is not named is not limited");
	ok(parses("(mailbox 0 Message 9223372036854775807)", &l) &&
	        l.limit[QUOTA_MAILBOX] == 0 &&
	        l.limit[QUOTA_MESSAGE] == INT64_MAX,
	    "in any case and order");
	ok(parses("()", &l) && memcmp(&l, &quota_unlimited, sizeof(l)) == 0,
	    "none");
	for (size_t i = 0; i < NITEMS(wrong); i++)
		ok(!parses(wrong[i], &l), "wrong: %s", wrong[i]);
}

static void
test_warnings(void)
{
	static const char *const wrong[] = { "x", "0", "101", "80,90", "80 x",
		"99999999999999999999" };
	struct err err;

	ok(quota_warning_check("80 90 100", &err) == 0 &&
	        quota_warning_check("", &err) == 0,
	    "quota_warnings: percentages, or none");
	for (size_t i = 0; i < NITEMS(wrong); i++)
		ok(quota_warning_check(wrong[i], &err) == -1,
		    "quota_warnings: not \"%s\"", wrong[i]);
}

/* --- roots --------------------------------------------------------------------- */

static const char *const names[] = { "user.a", "user.a.x", "user.a.x.y",
	"user.a.xy", "user.b", "user.b.x", "s", "s.t", "s.t.u", "s-t",
	"d!user.a", "d!user.a.x", "d!s", "d!" };

enum {
	ROOTS = NITEMS(names),
	NAMES = ROOTS - 1 /* a domain is no mailbox */
};

struct test {
	struct fake_backend f;
	unsigned seed, due;
	uint64_t mailboxes;
	enum quota_verdict verdict;
};

static unsigned
roll(struct test *t, unsigned n)
{
	t->seed = t->seed * 1103515245u + 12345u;
	return (t->seed >> 16) % n;
}

static void
wait_all(struct test *t)
{
	while (t->due > 0)
		fake_backend_turn(&t->f);
}

static void
changed(void *arg, enum mblist_result r, const char *text)
{
	struct test *t = arg;

	(void)r, (void)text; /* whatever became of it */
	t->due--;
}

static void
limits_set(void *arg, bool failed)
{
	struct test *t = arg;

	MUST(!failed);
	t->due--;
}

static void
told(void *arg, const struct quota_usage *usage)
{
	struct test *t = arg;

	t->mailboxes = usage->mailboxes;
	t->due--;
}

static uint64_t
count(struct test *t, const char *root)
{
	t->due++;
	quota_usage(t->f.bd.quotas, root, told, t);
	wait_all(t);
	return t->mailboxes;
}

static void
set(struct test *t, const char *root, enum quota_resource what, uint64_t most)
{
	struct quota_limits limits = quota_unlimited;

	limits.limit[what] = most;
	t->due++;
	quota_set(t->f.bd.quotas, root, &limits, limits_set, t);
	wait_all(t);
}

static void
change(struct test *t)
{
	static const struct quota_limits limits = { { 100, 100, 5 } };
	struct mblist_new how = { .acl = "a\tlrswipkxtea\t",
		.special_use = "",
		.quota = roll(t, 3) == 0 ? &limits : NULL };
	const char *name = names[roll(t, NAMES)];
	const char *other = names[roll(t, NAMES)];
	struct mblist *list = t->f.bd.list;

	t->due++;
	switch (roll(t, 4)) {
	case 0:
	case 1:
		mblist_create(list, name, &how, changed, t);
		break;
	case 2:
		if (roll(t, 2) == 0)
			mblist_delete(list, name, changed, t);
		else
			mblist_delete_tree(list, name, changed, t);
		break;
	default:
		if (strcmp(name, other) == 0 ||
		    mboxname_is_below(slice_str(other), slice_str(name)))
			t->due--;
		else
			mblist_rename(list, name, other, changed, t);
		break;
	}
}

struct recount {
	struct test *t;
	const char *root;
	uint64_t n;
};

static bool
recount_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct recount *r = arg;
	struct arena a;
	const char *root;

	(void)rec;
	arena_init(&a);
	root = quota_root_of(r->t->f.bd.quotas, name, &a);
	r->n += root != NULL && strcmp(root, r->root) == 0;
	arena_reset(&a);
	return true;
}

static bool
all_right(struct test *t)
{
	for (size_t i = 0; i < ROOTS; i++) {
		struct recount r = { t, names[i], 0 };
		struct quota_limits limits;

		if (!quota_limits(t->f.bd.quotas, names[i], &limits))
			continue;
		mblist_each(t->f.bd.list, "", recount_one, &r);
		if (count(t, names[i]) == r.n)
			continue;
		printf("# %s: counted %llu, has %llu\n", names[i],
		    (unsigned long long)t->mailboxes, (unsigned long long)r.n);
		return false;
	}
	return true;
}

static void
test_random(unsigned seed)
{
	struct test t = { .seed = seed };
	bool good = true;

	fake_backend_init(&t.f, "quota.t");
	t.f.conf.delete_delay_ms = seed % 2 == 0 ? 1000 : 0;
	fake_backend_open(&t.f);
	for (unsigned i = 0; i < 300 && good; i++) {
		change(&t);
		if (roll(&t, 2) == 0)
			change(&t); /* at once */
		wait_all(&t);
		if (roll(&t, 5) == 0)
			set(&t, names[roll(&t, ROOTS)], QUOTA_MAILBOX,
			    roll(&t, 9));
		good = all_right(&t);
		if (roll(&t, 40) == 0) {
			fake_backend_close(&t.f);
			fake_backend_open(&t.f);
			good = good && all_right(&t);
		}
	}
	ok(good, "usage follows the list (seed %u)", seed);
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
}

static void
checked(void *arg, enum quota_verdict v)
{
	struct test *t = arg;

	t->verdict = v;
	t->due--;
}

static enum quota_verdict
verdict(struct test *t, const char *name, const struct quota_need *need)
{
	t->verdict = quota_check(t->f.bd.quotas, name, need, checked, t);
	if (t->verdict == QUOTA_LATER)
		t->due++;
	wait_all(t);
	return t->verdict;
}

static enum quota_verdict
check(struct test *t, const char *name, uint64_t mailboxes, const char *from)
{
	struct quota_need need = { .mailboxes = mailboxes, .from = from };

	return verdict(t, name, &need);
}

static bool
fits(struct test *t, const char *name, uint64_t messages, struct quota_hold *h)
{
	struct quota_need need = { .messages = messages, .hold = h };

	return verdict(t, name, &need) != QUOTA_OVER;
}

/* Mailboxes that are on their way to a name. */
static bool
may_come(struct test *t, const char *name, uint64_t octets,
    struct quota_hold *h)
{
	struct quota_need need = { .octets = octets,
		.mailboxes = 2,
		.hold = h };

	return verdict(t, name, &need) != QUOTA_OVER;
}

static void
make(struct test *t, const char *name)
{
	static const struct mblist_new how = { .acl = "", .special_use = "" };

	t->due++;
	mblist_create(t->f.bd.list, name, &how, changed, t);
	wait_all(t);
}

static void
test_check(void)
{
	struct test t = { .seed = 1 };
	static const char *const made[] = { "user.a", "user.a.x", "s", "s.t" };

	fake_backend_init(&t.f, "quota.t");
	fake_backend_open(&t.f);
	for (size_t i = 0; i < NITEMS(made); i++)
		make(&t, made[i]);
	ok(check(&t, "user.a", 1000, NULL) == QUOTA_FITS, "no root, no limit");
	set(&t, "user.a", QUOTA_MAILBOX, 10);
	ok(check(&t, "user.a.y", 5, NULL) == QUOTA_FITS, "some");
	ok(check(&t, "user.a.y", 6, NULL) == QUOTA_SOFT, "up to a warning");
	ok(check(&t, "user.a.y", 8, NULL) == QUOTA_SOFT, "up to the limit");
	ok(check(&t, "user.a.y", 9, NULL) == QUOTA_OVER, "and no more");
	ok(check(&t, "user.a.y", 0, NULL) == QUOTA_FITS, "nothing fits always");
	ok(check(&t, "user.ab", 9, NULL) == QUOTA_FITS, "another's name");
	ok(check(&t, "user.a", 9, "user.a.x") == QUOTA_FITS,
	    "within the root nothing is added");
	ok(check(&t, "user.a", 9, "s") == QUOTA_OVER, "from elsewhere it is");
	set(&t, "user.a", QUOTA_MAILBOX, 1);
	ok(check(&t, "user.a", 1, NULL) == QUOTA_OVER, "less than is there");
	ok(check(&t, "user.a", 0, NULL) == QUOTA_FITS, "is no error");
	set(&t, "user.a.x", QUOTA_MAILBOX, 1);
	ok(count(&t, "user.a") == 1 && count(&t, "user.a.x") == 1,
	    "a root below takes its mailboxes");
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
}

/* What was deleted and is kept for a while takes nothing of a domain's. */
static void
test_deleted(void)
{
	struct test t = { .seed = 1 };

	fake_backend_init(&t.f, "quota.t");
	t.f.conf.delete_delay_ms = 1000;
	fake_backend_open(&t.f);
	set(&t, "d!", QUOTA_MAILBOX, 1);
	make(&t, "d!s");
	ok(check(&t, "d!t", 1, NULL) == QUOTA_OVER, "a domain is full");
	t.due++;
	mblist_delete(t.f.bd.list, "d!s", changed, &t);
	wait_all(&t);
	ok(check(&t, "d!t", 1, NULL) != QUOTA_OVER,
	    "DELETE makes room, whatever is kept");
	set(&t, "d!", QUOTA_MAILBOX, 1);
	ok(count(&t, "d!") == 0, "also when it is counted anew");
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
}

static void
renamed(struct test *t, const char *from, const char *to)
{
	t->due++;
	mblist_rename(t->f.bd.list, from, to, changed, t);
	wait_all(t);
}

/* What is on its way counts from when it was found to fit. */
static void
test_hold(void)
{
	struct test t = { .seed = 1 };
	static const char *const made[] = { "user.a", "user.a.x", "s" };
	struct quota_hold one = { 0 }, two = { 0 };
	struct quotas *q;

	fake_backend_init(&t.f, "quota.t");
	fake_backend_open(&t.f);
	q = t.f.bd.quotas;
	for (size_t i = 0; i < NITEMS(made); i++)
		make(&t, made[i]);
	ok(fits(&t, "user.a", 6, &one) && one.page == NULL,
	    "without a root nothing is held");
	set(&t, "user.a", QUOTA_MESSAGE, 10);
	ok(fits(&t, "user.a", 6, &one), "some are on their way");
	ok(!fits(&t, "user.a.x", 5, &two) && two.page == NULL,
	    "others that fit but for them do not");
	ok(fits(&t, "user.a.x", 4, &two), "fewer do");
	ok(!fits(&t, "user.a.x", 1, NULL), "then it is full");
	quota_release(q, &two);
	quota_release(q, &two);
	ok(fits(&t, "user.a.x", 4, NULL) && !fits(&t, "user.a.x", 5, NULL),
	    "what does not come makes room, once");
	quota_arrived(&one, 0, 4);
	ok(fits(&t, "user.a.x", 8, NULL) && !fits(&t, "user.a.x", 9, NULL),
	    "what has come is counted by what is there");
	set(&t, "user.a", QUOTA_MESSAGE, 5);
	ok(fits(&t, "user.a", 3, NULL) && !fits(&t, "user.a", 4, NULL),
	    "it is on its way when all is counted anew");
	set(&t, "s", QUOTA_MESSAGE, 3);
	ok(fits(&t, "user.a.x", 3, &two), "more");
	renamed(&t, "user.a.x", "s.x");
	ok(fits(&t, "user.a", 3, NULL) && !fits(&t, "s", 1, NULL),
	    "it goes where its mailbox goes");
	quota_release(q, &one);
	quota_release(q, &two);
	ok(fits(&t, "user.a", 5, NULL) && fits(&t, "s", 3, NULL), "all over");
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
}

static void
test_coming(void)
{
	struct test t = { .seed = 1 };
	struct quota_hold one = { 0 }, two = { 0 };
	struct quotas *q;

	fake_backend_init(&t.f, "quota.t");
	fake_backend_open(&t.f);
	q = t.f.bd.quotas;
	make(&t, "user.a");
	set(&t, "user.a", QUOTA_MAILBOX, 5);
	ok(may_come(&t, "user.a.x", 0, &one), "mailboxes are on their way");
	ok(check(&t, "user.a.y", 3, NULL) == QUOTA_OVER &&
	        check(&t, "user.a.y", 2, NULL) != QUOTA_OVER,
	    "others have the rest of the limit");
	ok(may_come(&t, "user.a.y", 0, &two), "so have these");
	ok(check(&t, "user.a.z", 1, NULL) == QUOTA_OVER, "then it is full");
	make(&t, "user.a.x");
	make(&t, "user.a.x.z");
	ok(one.mailboxes == 0 && two.mailboxes == 2 && count(&t, "user.a") == 3,
	    "listed, they are counted once");
	quota_release(q, &two);
	quota_release(q, &two);
	ok(check(&t, "user.a.y", 2, NULL) != QUOTA_OVER,
	    "what does not come makes room");
	quota_release(q, &one);
	ok(check(&t, "user.a.y", 2, NULL) != QUOTA_OVER &&
	        check(&t, "user.a.y", 3, NULL) == QUOTA_OVER,
	    "what has come has come");
	set(&t, "user.a", QUOTA_STORAGE, 10);
	ok(may_come(&t, "user.a.y", 9 * 1024, &one) &&
	        !may_come(&t, "user.a", 2 * 1024, &two),
	    "what is in them counts, too");
	quota_release(q, &one);
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
}

/* As a list that could not be written does. */
static void
checked_in_doubt(void *arg, enum quota_verdict v)
{
	struct test *t = arg;

	quotas_doubt(t->f.bd.quotas);
	checked(t, v);
	t->mailboxes += v == QUOTA_OVER;
}

/* Who is told does what makes all be counted anew. */
static void
test_doubt(void)
{
	struct test t = { .seed = 1 };
	struct quota_need need = { .mailboxes = 2 };

	fake_backend_init(&t.f, "quota.t");
	fake_backend_open(&t.f);
	make(&t, "user.a");
	set(&t, "user.a", QUOTA_MAILBOX, 2);
	while (t.due < 3) {
		t.due++;
		t.verdict = quota_check(t.f.bd.quotas, "user.a.x", &need,
		    checked_in_doubt, &t);
		ok(t.verdict == QUOTA_LATER, "some wait");
	}
	wait_all(&t);
	ok(t.mailboxes == 3, "all are told");
	ok(count(&t, "user.a") == 1, "and it is counted");
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
}

/* A mailbox with two names, for a RENAME, and news of it by the old one. */
static void
test_two_names(void)
{
	struct test t = { .seed = 1 };
	struct quota_need need = { .mailboxes = 1 };
	struct mblist *list;
	struct mboxrec rec;
	struct arena a;

	arena_init(&a);
	fake_backend_init(&t.f, "quota.t");
	fake_backend_open(&t.f);
	list = t.f.bd.list;
	make(&t, "user.a");
	make(&t, "s");
	set(&t, "user.a", QUOTA_MAILBOX, 2);
	ok(count(&t, "user.a") == 1, "one is counted");
	t.due++;
	mblist_rename(list, "s", "user.a.s", changed, &t);
	rec = *mblist_get(list, "s", &a);
	rec.acl = slice_str("a\tl\t");
	op_put(list, "s", &rec);
	op_commit_later(list);
	ok(mblist_get(list, "user.a.s", &a) != NULL &&
	        quota_check(t.f.bd.quotas, "user.a.x", &need, checked, &t) ==
	            QUOTA_OVER,
	    "it is counted where it comes to");
	wait_all(&t);
	ok(count(&t, "user.a") == 2, "and there it is");
	fake_backend_close(&t.f);
	fake_backend_fini(&t.f);
	arena_reset(&a);
}

int
main(void)
{
	test_doubt();
	test_two_names();
	test_coming();
	test_responses();
	test_limits();
	test_warnings();
	test_check();
	test_deleted();
	test_hold();
	for (unsigned seed = 1; seed <= 4; seed++)
		test_random(seed);
	return done_testing();
}
