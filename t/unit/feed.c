/*
 * feed: who takes what there is has it all and in order; who does not is lost,
 * and what is kept stays below its ceiling.
 */
#include <stdio.h>

#include "imap/mboxrec.h"
#include "lib/must.h"
#include "mupdated/answers.h"
#include "mupdated/feed.h"
#include "mupdated/list.h"
#include "t/tap.h"

enum {
	MAX = 64 * 1024
};

static unsigned wakes;

static void
wake(void *arg)
{
	(void)arg;
	wakes++;
}

struct reader {
	struct subscriber s;
	struct buf out;
};

static void
join(struct feed *f, struct reader *r, enum feed_form form, const char *tag,
    uint64_t after)
{
	*r = (struct reader){ .s.wake = wake };
	buf_init(&r->out, 4 << 20);
	feed_join(f, &r->s, form, slice_str(tag), &r->out, after);
}

static void
leave(struct feed *f, struct reader *r)
{
	feed_leave(f, &r->s);
	feed_leave(f, &r->s);
	buf_fini(&r->out);
}

static void
push(struct feed *f, uint64_t revision, bool exists, size_t acl_octets)
{
	static char acl[32 * 1024];
	struct list_event ev = { .number = revision + 100,
		.revision = revision,
		.exists = exists,
		.name = slice_str("user.x") };

	memset(acl, 'x', sizeof(acl));
	ev.record = (struct mboxrec){ .state = MBOXREC_ACTIVE,
		.revision = revision,
		.location = slice_str("be1!p"),
		.acl = slice_of(acl, acl_octets) };
	feed_push(f, &ev);
}

static bool
took(struct feed *f, struct reader *r, const char *want)
{
	bool same;

	feed_take(f, &r->s, FEED_IN_TIME);
	same = slice_is(buf_slice(&r->out), want);
	if (!same)
		printf("# got: %.*s\n", (int)buf_len(&r->out),
		    (const char *)buf_data(&r->out));
	buf_clear(&r->out);
	return same;
}

static void
test_forms(void)
{
	struct reader plain, ext, late;
	struct feed f;

	feed_init(&f, MAX);
	push(&f, 1, true, 0);
	ok(f.octets == 0, "nobody, nothing");
	join(&f, &plain, FEED_PLAIN, "U1", 2);
	join(&f, &ext, FEED_EXT, "X1", 3);
	push(&f, 2, true, 1);
	push(&f, 3, true, 1);
	push(&f, 4, false, 0);
	ok(took(&f, &plain, "") && wakes == 0, "not before it is live");
	ok(!feed_behind(&plain.s, 102), "nor does anything wait for it");
	feed_live(&plain.s);
	ok(feed_behind(&plain.s, 102) && !feed_behind(&plain.s, 101) &&
	        feed_before(&plain.s) == 101,
	    "then it is behind");
	feed_live(&ext.s);
	ok(took(&f, &plain,
	       "U1 MAILBOX {6+}\r\nuser.x {5+}\r\nbe1!p {1+}\r\nx\r\n"
	       "U1 DELETE {6+}\r\nuser.x\r\n"),
	    "what came after its revision, in its form");
	ok(!feed_behind(&plain.s, 1000) && f.octets > 0,
	    "it has all, another has not");
	ok(took(&f, &ext, "X1 XGONE \"4\" {6+}\r\nuser.x\r\n"),
	    "the other form");
	ok(f.octets == 0, "nothing is kept for nobody");
	join(&f, &late, FEED_EXT, "X2", 4);
	feed_live(&late.s);
	push(&f, 5, false, 0);
	ok(wakes == 3, "the live ones are woken");
	ok(took(&f, &late, "X2 XGONE \"5\" {6+}\r\nuser.x\r\n"), "each tag");
	leave(&f, &plain);
	leave(&f, &ext);
	leave(&f, &late);
	ok(f.octets == 0, "who leaves keeps nothing");
	feed_fini(&f);
}

static void
test_ceiling(void)
{
	struct reader slow, fast;
	bool below = true;
	struct feed f;

	feed_init(&f, MAX);
	join(&f, &slow, FEED_PLAIN, "S", 0);
	join(&f, &fast, FEED_PLAIN, "F", 0);
	feed_live(&fast.s);
	for (uint64_t i = 1; i <= 20; i++) {
		push(&f, i, true, 10000);
		below = below && f.octets <= MAX;
		feed_take(&f, &fast.s, FEED_IN_TIME);
		buf_clear(&fast.out);
	}
	ok(below, "never above the ceiling");
	ok(slow.s.lost && f.lost == 1, "the slow one is lost");
	ok(!fast.s.lost && f.octets == 0, "the other is not");
	ok(!feed_behind(&slow.s, 1000), "and holds up nothing more");
	push(&f, 21, true, 10000);
	feed_live(&slow.s);
	ok(took(&f, &slow, ""), "nor gets anything");
	leave(&f, &slow);
	leave(&f, &fast);
	feed_fini(&f);
}

static void
test_room(void)
{
	struct reader r;
	struct feed f;

	feed_init(&f, 64 << 20);
	join(&f, &r, FEED_EXT, "S", 0);
	feed_live(&r.s);
	for (uint64_t i = 1; i <= 100; i++)
		push(&f, i, true, 20000);
	feed_take(&f, &r.s, FEED_IN_TIME);
	ok(buf_len(&r.out) < 600 * 1024 && feed_behind(&r.s, 200),
	    "it takes what it has room for");
	for (unsigned i = 0; i < 8; i++) {
		buf_clear(&r.out);
		feed_take(&f, &r.s, FEED_IN_TIME);
	}
	ok(!feed_behind(&r.s, 1000) && f.octets == 0, "and then the rest");
	leave(&f, &r);
	feed_fini(&f);
}

static void
hold(struct answers *a, const char *text, uint64_t number, bool write)
{
	size_t before = buf_len(answers_room(a));

	buf_puts(answers_room(a), text);
	answers_mark(a, buf_len(answers_room(a)) - before, number, write);
}

static void
test_answers(void)
{
	struct answers a;
	struct buf out;

	answers_init(&a, 4096);
	buf_init(&out, 4096);
	hold(&a, "a OK \"x\"\r\n", 1, true);
	hold(&a, "b OK \"x\"\r\n", 2, true);
	hold(&a, "c BAD \"x\"\r\n", 0, false);
	hold(&a, "d OK \"x\"\r\n", 3, true);
	hold(&a, "e OK \"x\"\r\n", 3, false);
	ok(answers_settle(&a, &out, 1) &&
	        slice_is(buf_slice(&out), "a OK \"x\"\r\n"),
	    "what is durable goes out");
	answers_failed(&a, 2);
	buf_clear(&out);
	ok(answers_settle(&a, &out, 1) &&
	        slice_is(buf_slice(&out),
	            "b NO \"[UNAVAILABLE] cannot store the change now\"\r\n"
	            "c BAD \"x\"\r\n"),
	    "what failed is NO, in its place");
	answers_failed(&a, 3);
	ok(!answers_settle(&a, &out, 1), "who was shown it has to go");
	ok(answers_empty(&a) && answers_held(&a) == 0, "nothing is held");
	answers_fini(&a);
	buf_fini(&out);
}

static void
reserve(struct feed *f, uint64_t revision, const char *name)
{
	struct list_event ev = { .number = revision + 100,
		.revision = revision,
		.exists = true,
		.name = slice_str(name) };

	ev.record = (struct mboxrec){ .state = MBOXREC_RESERVED,
		.revision = revision,
		.location = slice_str("be1!p"),
		.owner = slice_str("be1") };
	feed_push(f, &ev);
}

/* The plain form's reservations wait, and are overtaken. */
static void
test_quiet(void)
{
	static const char mailbox[] =
	    "U1 MAILBOX {6+}\r\nuser.x {5+}\r\nbe1!p {0+}\r\n\r\n";
	static const char reserved[] =
	    "U1 RESERVE {6+}\r\nuser.y {5+}\r\nbe1!p\r\n";
	struct reader plain, ext;
	struct feed f;

	feed_init(&f, MAX);
	join(&f, &plain, FEED_PLAIN, "U1", 0);
	join(&f, &ext, FEED_EXT, "X1", 0);
	feed_live(&plain.s);
	feed_live(&ext.s);
	reserve(&f, 1, "user.x");
	ok(took(&f, &plain, "") && feed_is_quiet(&f), "not told yet");
	feed_take(&f, &ext.s, FEED_IN_TIME);
	ok(buf_len(&ext.out) > 0 && !feed_behind(&ext.s, 101),
	    "the other form does not wait");
	ok(feed_behind(&plain.s, 101), "which counts as being behind");
	push(&f, 2, true, 0);
	ok(took(&f, &plain, mailbox) && !feed_is_quiet(&f), "overtaken");
	reserve(&f, 3, "user.y");
	push(&f, 4, true, 0);
	ok(took(&f, &plain, ""), "others behind it wait as well");
	feed_take(&f, &plain.s, FEED_NOW);
	ok(slice_starts(buf_slice(&plain.out), slice_str(reserved)) &&
	        !feed_behind(&plain.s, 1000),
	    "but not for who asks");
	buf_clear(&plain.out);
	buf_clear(&ext.out);
	feed_take(&f, &ext.s, FEED_IN_TIME);
	ok(!feed_is_quiet(&f), "nothing is kept for nobody");
	reserve(&f, 5, "user.y");
	feed_ripen(&f);
	ok(took(&f, &plain, reserved) && !feed_is_quiet(&f), "nor for ever");
	leave(&f, &plain);
	leave(&f, &ext);
	feed_fini(&f);
}

int
main(void)
{
	test_forms();
	test_ceiling();
	test_room();
	test_answers();
	test_quiet();
	return done_testing();
}
