#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"
#include "t/sim/disk.h"
#include "t/sim/net.h"
#include "t/sim/world.h"

enum {
	TRACE_MAX = 1024,
	STILL_MAX = 200000 /* events at one instant: somebody spins */
};

static struct {
	uint64_t seed;
	uint64_t chance[4], product[4]; /* states of two generators */
	bool trace, stopped;
	int64_t now;
	uint64_t order, events, digest;
	unsigned still; /* events since time went on */
	struct event **heap;
	size_t count, max;
	struct proc *current;
	unsigned procs;
	void (*on_turn)(struct proc *p);
	LIST_HEAD(, proc) all;
} world;

/* --- chance ---------------------------------------------------------------- */

static uint64_t
split_mix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t
rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** */
static uint64_t
next(uint64_t s[4])
{
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

void
world_begin(uint64_t seed, bool trace)
{
	uint64_t x = seed;

	memset(&world, 0, sizeof(world));
	world.seed = seed;
	world.trace = trace;
	world.digest = 0xcbf29ce484222325u;
	for (int i = 0; i < 4; i++)
		world.chance[i] = split_mix(&x);
	for (int i = 0; i < 4; i++)
		world.product[i] = split_mix(&x);
	LIST_INIT(&world.all);
}

uint64_t
world_below(uint64_t n)
{
	MUST(n > 0);
	return next(world.chance) % n; /* evenly enough */
}

bool
world_chance(unsigned per_mille)
{
	return world_below(1000) < per_mille;
}

int64_t
world_between(int64_t least, int64_t most)
{
	MUST(least <= most);
	return least + (int64_t)world_below((uint64_t)(most - least) + 1);
}

uint64_t
world_product_rand(void)
{
	return next(world.product);
}

/* --- the events: a heap, the earliest at 1 --------------------------------- */

static bool
before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void
place(struct event *e, size_t i)
{
	world.heap[i] = e;
	e->index = i;
}

static void
sift(struct event *e, size_t i)
{
	for (; i > 1 && before(e, world.heap[i / 2]); i /= 2)
		place(world.heap[i / 2], i);
	for (size_t child; (child = 2 * i) <= world.count; i = child) {
		if (child < world.count &&
		    before(world.heap[child + 1], world.heap[child]))
			child++;
		if (!before(world.heap[child], e))
			break;
		place(world.heap[child], i);
	}
	place(e, i);
}

void
event_stop(struct event *e)
{
	size_t i = e->index;
	struct event *last;

	if (i == 0)
		return;
	e->index = 0;
	last = world.heap[world.count--];
	if (last != e)
		sift(last, i);
}

void
event_set(struct event *e, int64_t us)
{
	struct proc *was = proc_leave();

	event_stop(e);
	if (world.count + 2 > world.max) {
		world.max = world.max * 2 + 256;
		world.heap = xreallocarray(world.heap, world.max,
		    sizeof(struct event *));
	}
	e->at = world.now + (us > 0 ? us : 0);
	e->order = ++world.order;
	world.count++;
	sift(e, world.count);
	proc_return(was);
}

bool
event_is_set(const struct event *e)
{
	return e->index != 0;
}

struct later {
	struct event event;
	void (*fn)(void *arg);
	void *arg;
};

static void
later_now(void *arg)
{
	struct later *l = arg;
	void (*fn)(void *) = l->fn;
	void *fn_arg = l->arg;

	free(l);
	fn(fn_arg);
}

void
world_later(int64_t us, void (*fn)(void *arg), void *arg)
{
	struct proc *was = proc_leave();
	struct later *l = xcalloc(1, sizeof(*l));

	l->fn = fn;
	l->arg = arg;
	l->event.fn = later_now;
	l->event.arg = l;
	event_set(&l->event, us);
	proc_return(was);
}

int64_t
world_now(void)
{
	return world.now;
}

static void
digest(uint64_t v)
{
	world.digest = (world.digest ^ v) * 0x100000001b3u;
}

static void
happen(struct event *e)
{
	struct proc *p = e->proc;

	world.still = e->at == world.now ? world.still + 1 : 0;
	if (world.still > STILL_MAX)
		world_fail("time goes on", "%s is busy for ever",
		    p != NULL ? p->name : "the simulator");
	world.now = e->at;
	world.events++;
	digest((uint64_t)e->at);
	digest(p != NULL ? p->number : 0);
	event_stop(e);
	if (p == NULL)
		e->fn(e->arg);
	else if (proc_enter(p, e->fn, e->arg) && world.on_turn != NULL)
		world.on_turn(p);
}

void
world_run(void)
{
	world.stopped = false;
	while (world.count > 0 && !world.stopped)
		happen(world.heap[1]);
}

void
world_stop(void)
{
	world.stopped = true;
}

uint64_t
world_digest(void)
{
	return world.digest;
}

uint64_t
world_events(void)
{
	return world.events;
}

/* --- telling --------------------------------------------------------------- */

bool
world_traces(void)
{
	return world.trace;
}

static void
say(const char *format, va_list ap)
{
	char text[TRACE_MAX];

	vsnprintf(text, sizeof(text), format, ap);
	printf("# %10.6f %-10s %s\n", (double)world.now / SECOND,
	    world.current != NULL ? world.current->name : "-", text);
}

void
world_trace(const char *format, ...)
{
	va_list ap;

	if (!world.trace)
		return;
	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

void
world_fail(const char *invariant, const char *format, ...)
{
	va_list ap;

	printf("# seed %" PRIu64 ": broken: %s\n", world.seed, invariant);
	va_start(ap, format);
	say(format, ap);
	va_end(ap);
	printf("# again: build/t/sim/sim --seed %" PRIu64 " --trace\n",
	    world.seed);
	fflush(stdout);
	_Exit(1);
}

/* A bug of the product's own, or of the simulator's. */
void
must_fail(const char *expr, const char *file, int line, const char *func)
{
	world_fail("no MUST() fails", "%s:%d: %s: MUST(%s)", file, line, func,
	    expr);
}

/* --- what the product takes for chance ------------------------------------- */

uint64_t
rand_u64(void)
{
	return world_product_rand();
}

void
rand_bytes(void *p, size_t n)
{
	uint8_t *at = p;
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0)
			v = world_product_rand();
		at[i] = (uint8_t)(v >> 8 * (i % 8));
	}
}

uint64_t
rand_below(uint64_t n)
{
	MUST(n > 0);
	return world_product_rand() % n;
}

/* --- processes ------------------------------------------------------------- */

struct proc *
proc_current(void)
{
	return world.current;
}

struct proc *
proc_leave(void)
{
	struct proc *was = world.current;

	world.current = NULL;
	return was;
}

void
proc_return(struct proc *p)
{
	world.current = p;
}

struct proc *
proc_new(const char *name, unsigned host,
    void (*died)(void *arg, enum death how), void *arg)
{
	struct proc *was = proc_leave();
	struct proc *p = xcalloc(1, sizeof(*p));

	snprintf(p->name, sizeof(p->name), "%s", name);
	p->host = host;
	p->number = ++world.procs;
	p->died = died;
	p->arg = arg;
	LIST_INSERT_HEAD(&world.all, p, link);
	proc_return(was);
	return p;
}

/* Its events, then what others know of it, then its memory. */
static void
bury(struct proc *p)
{
	struct proc *was = proc_leave();

	MUST(!p->dead);
	p->dead = true;
	world_trace("%s dies: %s", p->name,
	    p->how == DEATH_POWER ? "power failure" : "killed");
	for (size_t i = 1; i <= world.count;) {
		if (world.heap[i]->proc == p) {
			event_stop(world.heap[i]);
			i = 1;
		} else {
			i++;
		}
	}
	net_died(p, p->how);
	disk_died(p);
	p->loop = NULL;
	memory_drop(p);
	p->died(p->arg, p->how);
	proc_return(was);
}

void
proc_die(struct proc *p, enum death how)
{
	if (p->dead || p->dying)
		return;
	p->how = how;
	p->dying = true;
	if (p == world.current) {
		MUST(p->inside);
		longjmp(p->escape, 1);
	}
	MUST(!p->inside);
	bury(p);
}

bool
proc_enter(struct proc *p, void (*fn)(void *arg), void *arg)
{
	struct proc *was = world.current;

	if (p == was) {
		fn(arg);
		return true;
	}
	MUST(!p->dead && !p->inside);
	world.current = p;
	p->inside = true;
	if (setjmp(p->escape) == 0)
		fn(arg);
	p->inside = false;
	world.current = was;
	if (p->dying)
		bury(p);
	return !p->dead;
}

void
proc_on_turn(void (*fn)(struct proc *p))
{
	world.on_turn = fn;
}

void
proc_free(struct proc **pp)
{
	struct proc *p = *pp;

	if (p == NULL)
		return;
	MUST(p->dead && !p->inside);
	LIST_REMOVE(p, link);
	free(p);
	*pp = NULL;
}
