/*
 * Summaries of messages that have none in the cache, some of which are gone,
 * long or damaged: each gets its own, and the cache has them then.
 */
#include "backendd/mailbox.h"
#include "backendd/summarise.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	LONG = 700 * 1024 /* two of them are not read at once */
};

static struct rig rig;
static struct mailboxes *boxes;
static struct mailbox *m;
static struct arena arena;

static void
opened(void *arg, struct mailbox *given, const char *why)
{
	(void)arg;
	m = given;
	rig_cb(&rig, why);
}

static void
done(void *arg)
{
	rig_cb(arg, NULL);
}

/* Every tenth is long; without a cache record. */
static void
append(unsigned i)
{
	struct store_append a = { 0 };
	struct buf b;

	buf_init(&b, 2 * LONG);
	buf_printf(&b, "Subject: number %u\r\n\r\ntext %u\r\n", i, i);
	while (i % 10 == 0 && buf_len(&b) < LONG)
		buf_puts(&b, "a line that makes it longer\r\n");
	a.octets = buf_slice(&b);
	rig_append(&rig, mailbox_store(m), &a, 1);
	buf_fini(&b);
}

static bool
is_number(const struct summary *s, unsigned i)
{
	char text[40];

	snprintf(text, sizeof text, "Subject: number %u\r\n", i);
	return s != NULL && slice_is(s->headers, text);
}

static void
ask(struct summarise_item *items, size_t n, bool cached_only)
{
	rig_ask(&rig);
	if (cached_only)
		summarise_cached(m, &arena, items, n, done, &rig);
	else
		summarise(m, &arena, items, n, done, &rig);
	rig_wait(&rig);
}

/* The numbers of those that have got theirs. */
static unsigned
count_right(const struct summarise_item *items, size_t n)
{
	unsigned right = 0;

	for (size_t i = 0; i < n; i++)
		right += is_number(items[i].summary, items[i].uid);
	return right;
}

static void
test_all(void)
{
	struct summarise_item items[SUMMARISE_MAX];
	uint32_t gone[] = { 7, 50 };

	for (unsigned i = 1; i <= SUMMARISE_MAX; i++) {
		append(i);
		items[i - 1].uid = i;
	}
	rig_ask(&rig);
	store_expunge(mailbox_store(m), gone, NITEMS(gone), 0, rig_cb, &rig);
	rig_wait(&rig);
	ask(items, NITEMS(items), true);
	ok(count_right(items, NITEMS(items)) == 0,
	    "from the cache alone: there are none");
	ask(items, NITEMS(items), false);
	ok(count_right(items, NITEMS(items)) == SUMMARISE_MAX - 2,
	    "each message gets its own");
	ok(items[6].summary == NULL && items[49].summary == NULL,
	    "what is gone has none");
	rig_idle(&rig);
	ask(items, NITEMS(items), true);
	ok(count_right(items, NITEMS(items)) == SUMMARISE_MAX - 2,
	    "then the cache has them");
	append(SUMMARISE_MAX + 1);
	items[0].uid = SUMMARISE_MAX + 1;
	items[1].uid = 7;
	ask(items, 3, false);
	ok(count_right(items, 3) == 2 && items[1].summary == NULL,
	    "one that is new, gone, cached");
	ask(items + 1, 1, false);
	ok(items[1].summary == NULL, "only one that is gone");
}

int
main(void)
{
	char dir[64];

	tempdir_make(dir);
	if (rig_start(&rig, &spool_module, dir) == -1)
		return 1;
	boxes = mailboxes_new(rig.loop);
	arena_init(&arena);
	rig_create(&rig, "box", "");
	rig_ask(&rig);
	mailbox_open(boxes, rig.store, slice_str("box"), opened, NULL);
	rig_wait(&rig);
	test_all();
	arena_reset(&arena);
	mailbox_release(&m);
	rig_idle(&rig);
	mailboxes_free(&boxes);
	rig_stop(&rig);
	tempdir_remove(dir);
	return done_testing();
}
