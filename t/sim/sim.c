/*
 * sim: runs seeds; see t/sim/world.h for what a seed is.
 *
 *	sim [--seed N | --from N --seeds M] [--trace] [--break WHAT]
 *
 * One seed is run as it is, many each in a process of its own; then the output
 * is TAP.  --break makes the simulator itself wrong, to see that the invariants
 * notice: "sync" is a disk that says it has synced and has not; "commit" tells
 * of a list that it is durable before it is; "grant" gives a name that somebody
 * has to the next who asks; "barrier" says of each copy that it is current.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "t/sim/breaks.h"
#include "t/sim/check.h"
#include "t/sim/disk.h"
#include "t/sim/faults.h"
#include "t/sim/load.h"
#include "t/sim/look.h"
#include "t/sim/murder.h"
#include "t/sim/net.h"
#include "t/sim/plain.h"
#include "t/sim/world.h"

enum {
	GROUP = 50,                 /* seeds of a line of TAP */
	CPU_SECONDS = 60,           /* for one of them; only a bug takes it */
	SETTLE_MOST = 240 * SECOND, /* half-open connections take a while */
	SETTLE_LOOK = 500 * MS,
	AGREE_EACH = 60 /* looks */
};

static struct {
	struct event stop, look;
	int64_t deadline;
	unsigned looks;
} run;

/* --- a run ----------------------------------------------------------------- */

static void
stop_load(void *arg)
{
	(void)arg;
	world_trace("faults end, and requests");
	faults_end();
	load_stop();
	look_stop();
	run.deadline = world_now() + SETTLE_MOST;
	event_set(&run.look, SETTLE_LOOK);
}

static void
look(void *arg)
{
	const char *why = load_is_over() ? check_all() : "requests are open";

	(void)arg;
	if (why == NULL) {
		world_trace("all is well");
		world_stop();
		return;
	}
	if (world_now() >= run.deadline)
		world_fail("in the end all is well", "%s", why);
	/* What happened while one was away, or what came of a list that was
	 * lost, may be too much at once to be believed without a word. */
	if (++run.looks % AGREE_EACH == 0)
		murder_agree();
	event_set(&run.look, SETTLE_LOOK);
}

static void
plan_run(void)
{
	struct murder_plan murder = { .backends = (unsigned)world_between(2, 3),
		.fronts = (unsigned)world_between(1, 2),
		.changed = load_host_changed };
	struct load_plan load = { .clients = (unsigned)world_between(3, 6) };
	struct faults_plan faults = { .pause = world_between(60, 1500) * MS };

	if (world_chance(80))
		faults.pause = 0;
	faults.disk_refuses = world_chance(200);
	faults.list_lost = load.list_may_be_lost = world_chance(150);
	/* Without generations an older list cannot be told from a newer. */
	plain_begin(!faults.list_lost && world_chance(100));
	murder_begin(&murder);
	load_begin(&load);
	look_begin(faults.list_lost);
	faults_begin(&faults);
}

static void
run_seed(uint64_t seed, bool trace)
{
	struct load_counts n;

	world_begin(seed, trace);
	net_begin();
	disk_begin();
	breaks_begin();
	run.stop.fn = stop_load;
	run.look.fn = look;
	plan_run();
	event_set(&run.stop, world_between(12, 40) * SECOND);
	world_run();
	n = load_counts();
	if (!trace)
		return;
	printf("# seed %" PRIu64 ": %.1f s, %" PRIu64
	       " events, digest %016" PRIx64
	       "; requests: %lu OK, %lu NO, %lu lost; look-ups: "
	       "%lu found, %lu none, %lu unknown\n",
	    seed, (double)world_now() / SECOND, world_events(), world_digest(),
	    n.ok, n.no, n.lost, n.found, n.none, n.unknown);
}

/* --- many ------------------------------------------------------------------ */

static bool
run_apart(uint64_t seed)
{
	const struct rlimit cpu = { CPU_SECONDS, CPU_SECONDS };
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		MUST(setrlimit(RLIMIT_CPU, &cpu) == 0);
		run_seed(seed, false);
		fflush(stdout);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		printf("# seed %" PRIu64 ": broken: ended by signal %d\n", seed,
		    WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int
run_many(uint64_t from, uint64_t count)
{
	unsigned line = 0;
	bool all = true;

	for (uint64_t done = 0; done < count;) {
		uint64_t first = from + done, n = 0, failed = 0;

		for (; n < GROUP && done < count; n++, done++)
			failed += !run_apart(from + done);
		printf("%sok %u - seeds %" PRIu64 " to %" PRIu64 "\n",
		    failed > 0 ? "not " : "", ++line, first, first + n - 1);
		all = all && failed == 0;
	}
	printf("1..%u\n", line);
	return all ? 0 : 1;
}

/* --- options --------------------------------------------------------------- */

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n;

	if (text == NULL)
		n = 0, end = NULL;
	else
		n = strtoull(text, &end, 10);
	if (end == NULL || *end != '\0' || end == text) {
		fprintf(stderr, "sim: a number is missing\n");
		_exit(2);
	}
	return n;
}

int
main(int argc, char **argv)
{
	uint64_t from = 1, count = 100;
	bool trace = false, one = false;

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];

		if (strcmp(name, "--trace") == 0) {
			trace = true;
			continue;
		}
		i++;
		if (strcmp(name, "--seed") == 0) {
			from = number(argv[i]);
			one = true;
		} else if (strcmp(name, "--from") == 0) {
			from = number(argv[i]);
		} else if (strcmp(name, "--seeds") == 0) {
			count = number(argv[i]);
		} else if (strcmp(name, "--break") != 0 || argv[i] == NULL ||
		           !breaks_named(argv[i])) {
			fprintf(stderr, "sim: %s: see t/sim/sim.c\n", name);
			return 2;
		}
	}
	if (!one)
		return run_many(from, count);
	run_seed(from, trace);
	printf("# seed %" PRIu64 ": good, digest %016" PRIx64 "\n", from,
	    world_digest());
	return 0;
}
