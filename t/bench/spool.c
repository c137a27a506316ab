/*
 * bench/spool: appends a second into a spool, with every one synced.
 *
 *	spool DIR [octets [mailboxes [seconds]]]
 *
 * For 1, 16 and 64 at a time: that many askers, each with its own mailbox
 * (they share them round robin), each asking for the next append when the last
 * is answered.
 */
#include "lib/ascii.h"
#include "t/store_help.h"

enum {
	ASKERS_MAX = 64,
	MAILBOXES_MAX = 1024
};

struct asker {
	struct bench *bench;
	struct store_append append;
	unsigned next;
};

struct bench {
	struct rig rig;
	size_t nboxes, running;
	struct store_mailbox *boxes[MAILBOXES_MAX];
	struct asker askers[ASKERS_MAX];
	uint8_t *octets;
	size_t len;
	size_t answered;
	bool over;
};

static void ask(struct asker *a);

static void
answered(void *arg, const char *why)
{
	struct asker *a = arg;
	struct bench *b = a->bench;

	MUST(why == NULL);
	b->answered++;
	if (!b->over)
		ask(a);
	else if (--b->running == 0)
		loop_stop(b->rig.loop);
}

static void
ask(struct asker *a)
{
	struct bench *b = a->bench;
	struct store_mailbox *mb = b->boxes[a->next++ % b->nboxes];

	a->append =
	    (struct store_append){ .octets = slice_of(b->octets, b->len) };
	store_append(mb, &a->append, 1, answered, a);
}

static void
enough(void *arg)
{
	struct bench *b = arg;

	b->over = true;
}

static void
run(struct bench *b, size_t askers, int64_t seconds)
{
	struct timer *t = timer_new(b->rig.loop, enough, b);
	double per;

	b->answered = 0;
	b->over = false;
	b->running = askers;
	timer_set(t, seconds * 1000);
	for (size_t i = 0; i < askers; i++) {
		b->askers[i] =
		    (struct asker){ .bench = b, .next = (unsigned)(i * 17) };
		ask(&b->askers[i]);
	}
	loop_run(b->rig.loop);
	timer_free(&t);
	per = (double)b->answered / (double)seconds;
	printf("%2zu at a time: %8.0f appends/s, %7.1f MB/s\n", askers, per,
	    per * (double)b->len / 1e6);
}

static uint64_t
number(int argc, char **argv, int i, uint64_t max, uint64_t otherwise)
{
	uint64_t n;

	if (i >= argc)
		return otherwise;
	if (!ascii_number(slice_str(argv[i]), max, &n) || n == 0) {
		fprintf(stderr, "spool: %s is not a number to use\n", argv[i]);
		exit(1);
	}
	return n;
}

int
main(int argc, char **argv)
{
	static const size_t askers[] = { 1, 16, ASKERS_MAX };
	struct bench *b = xcalloc(1, sizeof *b);
	int64_t seconds;
	char id[24];

	if (argc < 2) {
		fprintf(stderr, "usage: spool dir [octets [mailboxes [s]]]\n");
		return 1;
	}
	b->len = number(argc, argv, 2, 1 << 26, 4096);
	b->nboxes = number(argc, argv, 3, MAILBOXES_MAX, 64);
	seconds = (int64_t)number(argc, argv, 4, 3600, 3);
	b->octets = octets_new(1, b->len);
	if (rig_start(&b->rig, &spool_module, argv[1]) == -1)
		return 1;
	for (size_t i = 0; i < b->nboxes; i++) {
		snprintf(id, sizeof id, "bench-%zu", i);
		if (rig_create(&b->rig, id, "") != NULL)
			fprintf(stderr, "%s is used again\n", id);
		b->boxes[i] = rig_open(&b->rig, id);
		MUST(b->boxes[i] != NULL);
	}
	for (size_t i = 0; i < NITEMS(askers); i++)
		run(b, askers[i], seconds);
	for (size_t i = 0; i < b->nboxes; i++)
		store_close(&b->boxes[i]);
	rig_stop(&b->rig);
	free(b->octets);
	free(b);
	return 0;
}
