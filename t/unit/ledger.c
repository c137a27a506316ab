/*
 * ledger: a page follows an open mailbox, keeps what it was when it was closed,
 * and is asked for where nothing is known, or where others may have changed it.
 */
#include <stdio.h>
#include <string.h>

#include "backendd/ledger.h"
#include "lib/cdefs.h"
#include "lib/loop.h"
#include "t/tap.h"

static struct store_msg msgs[] = { { .uid = 1 }, { .uid = 5 }, { .uid = 9 } };

static const struct store_msg *
at(const struct store_mailbox *mb, uint32_t i)
{
	(void)mb;
	return &msgs[i];
}

static struct {
	size_t asked;
	struct store_peek *peeks;
	size_t n;
	store_peek_cb *cb;
	void *arg;
} last;

/* Answered by answer(). */
static void
peek(struct store *st, struct store_peek *p, size_t n, store_peek_cb *cb,
    void *arg)
{
	(void)st;
	last.asked += n;
	last.peeks = p;
	last.n = n;
	last.cb = cb;
	last.arg = arg;
}

static void
answer(void)
{
	for (size_t i = 0; i < last.n; i++) {
		struct store_peek *p = &last.peeks[i];

		p->why = strcmp(p->id, "bad") == 0 ? "damaged" : NULL;
		p->numbers.exists = 7;
		p->recent = 4;
	}
	last.cb(last.arg);
}

static const struct store_module module = { .at = at, .peek = peek };
static struct store store = { .module = &module };

static const struct store_module shared_module = { .at = at,
	.peek = peek,
	.shared = true };
static struct store shared = { .module = &shared_module };

struct seen {
	unsigned calls;
	uint32_t from, to;
};

static void
on_numbers(void *arg, struct ledger_page *p, const struct store_numbers *old)
{
	struct seen *s = arg;

	s->calls++;
	s->from = old->exists;
	s->to = p->numbers.exists;
}

static void
fetched(void *arg)
{
	++*(unsigned *)arg;
}

static void
test_open(struct ledger *l, struct seen *seen)
{
	struct store_mailbox mb = { .module = &module,
		.store = &store,
		.numbers = { .exists = 2, .uidnext = 6 },
		.recent = 5,
		.id = "box" };
	struct ledger_page *p = ledger_opened(l, &mb), *same = p;

	ok(p->known && p->numbers.exists == 2 && seen->from == 0 &&
	        seen->to == 2,
	    "an open one is known");
	ok(ledger_recent(p) == 1, "one not shown to anybody");
	mb.numbers.exists = 3;
	ledger_news(l, p);
	ok(p->numbers.exists == 3 && seen->from == 2 && seen->to == 3,
	    "it is followed");
	ok(ledger_recent(p) == 2, "as it is now");
	mb.recent = 9;
	ledger_closed(l, &p);
	ok(p == NULL, "closed");
	p = ledger_find(l, &store, slice_str("box"));
	ok(p == same && p->known && p->numbers.exists == 3 &&
	        ledger_recent(p) == 1,
	    "and known as it was");
	p = ledger_opened(l, &mb);
	ok(p == same, "open again");
	ledger_closed(l, &p);
}

static void
test_fetch(struct ledger *l)
{
	const struct slice ids[] = { slice_str("box"), slice_str("other"),
		slice_str("bad") };
	struct ledger_page *p;
	unsigned came = 0;

	ok(ledger_knows(l, &store, ids, 1) && !ledger_knows(l, &store, ids, 2),
	    "what is known");
	ledger_fetch(l, &store, ids, 3, fetched, &came);
	ok(last.asked == 2 && came == 0, "only what is not is asked for");
	ledger_made(l, &store, slice_str("other"), 1);
	answer();
	p = ledger_find(l, &store, slice_str("other"));
	ok(came == 1 && p->numbers.exists == 0,
	    "what became known meanwhile is newer");
	ok(ledger_find(l, &store, slice_str("bad")) == NULL,
	    "what cannot be read is not known");
	ledger_forget(l, &store, slice_str("other"));
	ok(ledger_find(l, &store, slice_str("other")) == NULL, "forgotten");
	ledger_fetch(l, &store, ids, 2, fetched, &came);
	answer();
	p = ledger_find(l, &store, slice_str("other"));
	ok(came == 2 && p->numbers.exists == 7 && ledger_recent(p) == 4,
	    "asked for again");
}

static void
at_time(void *arg)
{
	loop_stop(arg);
}

/* Until a moment's numbers are not true any more. */
static void
wait_long(struct loop *loop)
{
	struct timer *t = timer_new(loop, at_time, loop);

	timer_set(t, LEDGER_TRUE_MS + 2);
	loop_run(loop);
	timer_free(&t);
}

/* Others deliver to it, too. */
static void
test_shared(struct ledger *l, struct loop *loop)
{
	struct store_mailbox mb = { .module = &shared_module,
		.store = &shared,
		.numbers = { .exists = 3, .uidnext = 10 },
		.recent = 10,
		.id = "box" };
	const struct slice id = slice_str("box");
	struct ledger_page *p = ledger_opened(l, &mb);
	unsigned came = 0;
	size_t asked = last.asked;

	wait_long(loop);
	ok(ledger_is_true(l, p), "shared: true while it is open");
	ledger_closed(l, &p);
	p = ledger_find(l, &shared, id);
	ok(ledger_is_true(l, p), "and when it was closed just now");
	wait_long(loop);
	ok(p->known && !ledger_is_true(l, p) &&
	        !ledger_knows(l, &shared, &id, 1),
	    "but not for long");
	ledger_fetch(l, &shared, &id, 1, fetched, &came);
	ok(last.asked == asked + 1, "it is asked for again");
	answer();
	ok(came == 1 && p->numbers.exists == 7 && ledger_recent(p) == 4 &&
	        ledger_is_true(l, p),
	    "and is what others made it");
	ledger_fetch(l, &shared, &id, 1, fetched, &came);
	ok(last.n == 0, "and not asked for at once again");
	answer();
	wait_long(loop);
	ledger_fetch(l, &shared, &id, 1, fetched, &came);
	p = ledger_opened(l, &mb);
	ledger_closed(l, &p);
	answer();
	p = ledger_find(l, &shared, id);
	ok(came == 3 && p->numbers.exists == 3,
	    "what was seen meanwhile is newer");
}

int
main(void)
{
	struct loop *loop = loop_new();
	struct ledger *l = ledger_new(loop);
	struct seen seen = { 0 };

	ledger_observe(l, on_numbers, &seen);
	test_open(l, &seen);
	test_fetch(l);
	test_shared(l, loop);
	ledger_observe(l, NULL, NULL);
	ledger_free(&l);
	loop_free(&loop);
	return done_testing();
}
