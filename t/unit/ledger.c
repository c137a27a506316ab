/*
 * ledger: a page follows an open mailbox, keeps what it was when it was closed,
 * and is asked for where nothing is known.
 */
#include <stdio.h>
#include <string.h>

#include "backendd/ledger.h"
#include "lib/cdefs.h"
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

int
main(void)
{
	struct ledger *l = ledger_new();
	struct seen seen = { 0 };

	ledger_observe(l, on_numbers, &seen);
	test_open(l, &seen);
	test_fetch(l);
	ledger_observe(l, NULL, NULL);
	ledger_free(&l);
	return done_testing();
}
