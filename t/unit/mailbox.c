/*
 * Who has a mailbox open while its store is late or refuses.
 */
#include "backendd/letter.h"
#include "backendd/mailbox.h"
#include "t/memory_store.h"
#include "t/store_help.h"
#include "t/tap.h"

static struct rig rig;
static struct mailboxes *boxes;

/* --- letter.h: one letter, a text --- */

struct slice
letter_octets(const struct letter *l)
{
	(void)l;
	return slice_str("a letter");
}

struct slice
letter_cache(const struct letter *l)
{
	(void)l;
	return slice_of(NULL, 0);
}

const uint8_t *
letter_emailid(const struct letter *l)
{
	static const uint8_t id[16] = { 1 };

	(void)l;
	return id;
}

/* --- */

struct asker {
	unsigned calls;
	struct mailbox *m;
	char why[80];
};

static void
opened(void *arg, struct mailbox *m, const char *why)
{
	struct asker *a = arg;

	a->calls++;
	a->m = m;
	snprintf(a->why, sizeof a->why, "%s", why != NULL ? why : "");
	rig_cb(&rig, NULL);
}

static void
answered(void *arg, const char *why)
{
	opened(arg, NULL, why);
}

static void
evicted(void *arg)
{
	opened(arg, NULL, NULL);
}

static void
ask(struct asker *a)
{
	*a = (struct asker){ 0 };
	rig_ask(&rig);
	mailbox_open(boxes, rig.store, slice_str("box"), opened, a);
}

static void
evict(struct asker *a)
{
	*a = (struct asker){ 0 };
	rig_ask(&rig);
	mailbox_evict(boxes, rig.store, slice_str("box"), evicted, a);
}

static void
deliver(struct asker *a, struct mailbox_append *item)
{
	*a = (struct asker){ 0 };
	*item = (struct mailbox_append){ 0 };
	rig_ask(&rig);
	mailbox_deliver(boxes, rig.store, slice_str("box"), item, answered, a);
}

/* Turns until there is nothing to do but to wait for the store. */
static void
turn(void)
{
	struct timer *t = timer_new(rig.loop, rig_poll, rig.loop);

	timer_set(t, 20);
	loop_run(rig.loop);
	timer_free(&t);
}

static void
test_late_open(void)
{
	struct asker a, b;

	memory_store_delay(rig.store, MEMORY_OPEN, true);
	ask(&a);
	ask(&b);
	turn();
	ok(a.calls == 0 && b.calls == 0, "nobody is told before it is open");
	memory_store_delay(rig.store, MEMORY_OPEN, false);
	rig_wait(&rig);
	ok(a.calls == 1 && b.calls == 1 && a.m != NULL && a.m == b.m,
	    "then all are, of the same");
	mailbox_release(&a.m);
	mailbox_release(&b.m);
}

static void
test_failing_open(void)
{
	struct asker a, b;

	evict(&a);
	rig_wait(&rig);
	mailbox_forgive(boxes, rig.store, slice_str("box"));
	memory_store_fail(rig.store, MEMORY_OPEN, "Input/output error");
	ask(&a);
	ask(&b);
	rig_wait(&rig);
	ok(a.m == NULL && b.m == NULL &&
	        strcmp(a.why, "Input/output error") == 0 &&
	        strcmp(b.why, a.why) == 0,
	    "all are told why it cannot be opened");
	memory_store_fail(rig.store, MEMORY_OPEN, NULL);
	ask(&a);
	rig_wait(&rig);
	ok(a.m != NULL, "who asks again is not told the same");
	mailbox_release(&a.m);
}

/* It is to be destroyed, and somebody is waiting for it. */
static void
test_evicted_late(void)
{
	struct asker a, gone;

	evict(&gone);
	rig_wait(&rig);
	mailbox_forgive(boxes, rig.store, slice_str("box"));
	memory_store_delay(rig.store, MEMORY_OPEN, true);
	ask(&a);
	turn();
	evict(&gone);
	turn();
	ok(gone.calls == 0, "evicted not before the store has answered");
	memory_store_delay(rig.store, MEMORY_OPEN, false);
	rig_wait(&rig);
	ok(a.calls == 1 && a.m == NULL && a.why[0] != '\0',
	    "who waited is refused");
	ok(gone.calls == 1, "and it is closed");
	mailbox_forgive(boxes, rig.store, slice_str("box"));
}

/* It has been found to be damaged, and is destroyed before it is repaired. */
static void
test_evicted_damaged(bool held)
{
	const struct store_news damaged = { .damaged = true };
	struct store_mailbox *mb;
	struct asker a, gone;

	ask(&a);
	rig_wait(&rig);
	mb = mailbox_store(a.m);
	if (!held)
		mailbox_release(&a.m);
	mb->observer(mb->observer_arg, &damaged);
	evict(&gone);
	turn();
	ok(gone.calls == !held, "a damaged one: not before nobody has it");
	mailbox_release(&a.m);
	rig_wait(&rig);
	ok(gone.calls == 1, "then, once");
	mailbox_forgive(boxes, rig.store, slice_str("box"));
}

static void
test_failing_delivery(void)
{
	struct mailbox_append item;
	struct asker a, gone;

	memory_store_fail(rig.store, MEMORY_APPEND, "No space left on device");
	deliver(&a, &item);
	rig_wait(&rig);
	ok(strcmp(a.why, "No space left on device") == 0,
	    "a delivery is told that there is no room");
	memory_store_fail(rig.store, MEMORY_APPEND, NULL);
	deliver(&a, &item);
	rig_wait(&rig);
	ok(a.why[0] == '\0' && item.outcome == STORE_DONE && item.uid == 1,
	    "and the next succeeds, as if there had been none");
	memory_store_delay(rig.store, MEMORY_APPEND, true);
	deliver(&a, &item);
	turn();
	evict(&gone);
	turn();
	ok(a.calls == 0 && gone.calls == 0,
	    "what is being delivered to is not closed");
	memory_store_delay(rig.store, MEMORY_APPEND, false);
	rig_wait(&rig);
	ok(a.calls == 1 && a.why[0] == '\0' && item.uid == 2,
	    "the delivery is made");
	ok(gone.calls == 1, "then it is closed");
	mailbox_forgive(boxes, rig.store, slice_str("box"));
}

int
main(void)
{
	if (rig_start(&rig, &memory_module, "memory") == -1)
		return 1;
	boxes = mailboxes_new(rig.loop);
	rig_create(&rig, "box", "");
	test_late_open();
	test_failing_open();
	test_evicted_late();
	test_evicted_damaged(true);
	test_evicted_damaged(false);
	test_failing_delivery();
	mailboxes_free(&boxes);
	rig_stop(&rig);
	memory_store_forget();
	return done_testing();
}
