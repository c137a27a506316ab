/*
 * bench/spool: appends a second into a spool, with every one synced.
 *
 *	spool DIR [octets [mailboxes [seconds]]]
 *
 * For 1, 16 and 64 at a time: that many askers, each with its own mailbox
 * (they share them round robin), each asking for the next append when the last
 * is answered.  Then how long an append took at worst, what the process grew
 * to, and how long it takes to stop, and to open what a kill leaves.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
	struct mono since;
};

struct bench {
	struct rig rig;
	size_t nboxes, running;
	struct store_mailbox *boxes[MAILBOXES_MAX];
	struct asker askers[ASKERS_MAX];
	uint8_t *octets;
	size_t len;
	size_t answered;
	int64_t worst_ms;
	bool over;
};

static void ask(struct asker *a);

static void
answered(void *arg, const char *why)
{
	struct asker *a = arg;
	struct bench *b = a->bench;

	int64_t ms = loop_now(b->rig.loop).ms - a->since.ms;

	MUST(why == NULL);
	b->answered++;
	if (ms > b->worst_ms)
		b->worst_ms = ms;
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
	a->since = loop_now(b->rig.loop);
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
	b->worst_ms = 0;
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
	printf("%2zu at a time: %8.0f appends/s, %7.1f MB/s, worst %lld ms\n",
	    askers, per, per * (double)b->len / 1e6, (long long)b->worst_ms);
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

static void
open_all(struct bench *b, const char *dir)
{
	char id[24];

	if (rig_start(&b->rig, &spool_module, dir) == -1)
		exit(1);
	for (size_t i = 0; i < b->nboxes; i++) {
		snprintf(id, sizeof id, "bench-%zu", i);
		(void)rig_create(&b->rig, id, ""); /* or it is there */
		b->boxes[i] = rig_open(&b->rig, id);
		MUST(b->boxes[i] != NULL);
	}
}

static void
close_all(struct bench *b)
{
	for (size_t i = 0; i < b->nboxes; i++)
		store_close(&b->boxes[i]);
	rig_stop(&b->rig);
}

static int64_t
ms_now(void)
{
	struct timespec t;

	MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Ends it by SIGKILL. */
static void
load_and_die(struct bench *b, const char *dir, int64_t seconds)
{
	static const size_t askers[] = { 1, 16, ASKERS_MAX };
	struct rusage u;

	open_all(b, dir);
	for (size_t i = 0; i < NITEMS(askers); i++)
		run(b, askers[i], seconds);
	MUST(getrusage(RUSAGE_SELF, &u) == 0);
	printf("memory at most: %ld MB\n", u.ru_maxrss / 1024);
	fflush(stdout);
	kill(getpid(), SIGKILL);
}

int
main(int argc, char **argv)
{
	struct bench *b = xcalloc(1, sizeof *b);
	int64_t seconds, since;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: spool dir [octets [mailboxes [s]]]\n");
		return 1;
	}
	b->len = number(argc, argv, 2, 1 << 26, 4096);
	b->nboxes = number(argc, argv, 3, MAILBOXES_MAX, 64);
	seconds = (int64_t)number(argc, argv, 4, 3600, 3);
	b->octets = octets_new(1, b->len);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0)
		load_and_die(b, argv[1], seconds);
	MUST(waitpid(pid, NULL, 0) == pid);
	since = ms_now();
	open_all(b, argv[1]);
	printf("opened after a kill: %lld ms\n", (long long)(ms_now() - since));
	since = ms_now();
	close_all(b);
	printf("closed: %lld ms\n", (long long)(ms_now() - since));
	free(b->octets);
	free(b);
	return 0;
}
