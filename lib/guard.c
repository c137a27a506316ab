#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/guard.h"
#include "lib/must.h"

#define GUARD_MAGIC 0x67756172u

enum {
	STACK = 64 * 1024
};

TAILQ_HEAD(owners, guard_owner);

/* At the low end of the stack, which grows towards it. */
struct guard {
	unsigned magic;
	struct owners owners;
	stack_t stack_before;
	struct sigaction action_before;
};

static struct guard *
guard_of(const stack_t *s)
{
	struct guard *g = s->ss_sp;

	if ((s->ss_flags & SS_DISABLE) || s->ss_size != STACK ||
	    g->magic != GUARD_MAGIC)
		return NULL;
	return g;
}

/* False: it is no page of ours, or there is none to put there. */
static bool
put_zeros(const struct guard *g, uint8_t *at)
{
	uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint8_t *page = at - ((uintptr_t)at & (size - 1));
	struct guard_owner *o;
	bool writable = false;

	TAILQ_FOREACH (o, &g->owners, link)
		if (o->covers(o->arg, at, &writable))
			return mmap(page, size,
			           writable ? PROT_READ | PROT_WRITE
			                    : PROT_READ,
			           MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
			           0) != MAP_FAILED;
	return false;
}

static void
on_bus_error(int signo, siginfo_t *info, void *context)
{
	struct guard *g;
	stack_t s;

	(void)context; /* the read is simply done again */
	if (info->si_code == BUS_ADRERR && sigaltstack(NULL, &s) == 0 &&
	    (s.ss_flags & SS_ONSTACK) && (g = guard_of(&s)) != NULL &&
	    put_zeros(g, info->si_addr))
		return;
	signal(signo, SIG_DFL); /* and this time it is the end */
}

static struct guard *
guard_new(const stack_t *before)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t s = { .ss_size = STACK };
	struct guard *g;

	s.ss_sp = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(s.ss_sp != MAP_FAILED); /* out of memory */
	g = s.ss_sp;
	g->magic = GUARD_MAGIC;
	TAILQ_INIT(&g->owners);
	g->stack_before = *before;
	action.sa_sigaction = on_bus_error;
	sigemptyset(&action.sa_mask);
	MUST(sigaltstack(&s, NULL) == 0);
	MUST(sigaction(SIGBUS, &action, &g->action_before) == 0);
	return g;
}

void
guard_join(struct guard_owner *o)
{
	struct guard *g;
	stack_t s;

	MUST(sigaltstack(NULL, &s) == 0);
	g = guard_of(&s);
	if (g == NULL)
		g = guard_new(&s);
	TAILQ_INSERT_TAIL(&g->owners, o, link);
}

void
guard_leave(struct guard_owner *o)
{
	struct guard *g;
	stack_t s;

	MUST(sigaltstack(NULL, &s) == 0);
	g = guard_of(&s);
	MUST(g != NULL);
	TAILQ_REMOVE(&g->owners, o, link);
	if (!TAILQ_EMPTY(&g->owners))
		return;
	MUST(sigaction(SIGBUS, &g->action_before, NULL) == 0);
	MUST(sigaltstack(&g->stack_before, NULL) == 0);
	MUST(munmap(g, STACK) == 0);
}
