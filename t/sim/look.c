#include <stdio.h>
#include <string.h>

#include "lib/must.h"
#include "proxyd/route.h"
#include "t/sim/child.h"
#include "t/sim/load.h"
#include "t/sim/look.h"
#include "t/sim/murder.h"
#include "t/sim/net.h"
#include "t/sim/view.h"
#include "t/sim/world.h"

enum {
	CLIENTS = 8,
	ANSWER_MOST = 20 * SECOND, /* far beyond sync_timeout: it may stall */
	PAUSE_LEAST = 5 * MS,
	PAUSE_MOST = 250 * MS
};

/* One at a time, at each frontend. */
struct question {
	unsigned front;
	bool out;        /* asked, not answered */
	bool absent;     /* it was, at some moment since it was asked */
	uint64_t commit; /* the latest that made it active; 0: it was not */
	struct event next, deadline;
	char name[VIEW_NAME];
};

struct watch {
	bool on, seen[FRONTS_MAX];
	char from[VIEW_NAME], to[VIEW_NAME];
};

/* A name that is there at the update server and in the copy, both the same. */
struct steady {
	bool on;
	char name[VIEW_NAME];
};

static struct {
	struct steady steadies[FRONTS_MAX];
	bool list_may_be_lost;
	struct question questions[FRONTS_MAX];
	struct watch watches[CLIENTS];
	bool stopped;
} looks;

/*
 * A copy that lags behind may have an earlier mailbox of that name, or the same
 * one from before it was renamed to and fro.
 */
static bool
copy_is_of(unsigned front, const struct box *now)
{
	struct view copy = { .boxes = NULL };
	const struct box *b = NULL;
	bool is;

	if (view_front(&copy, front, now->name))
		b = view_find(&copy, now->name);
	is = b != NULL && b->active && now->id[0] != '\0' &&
	     strcmp(b->id, now->id) == 0 && b->generation == now->generation;
	view_fini(&copy);
	return is;
}

/* --- what stays ------------------------------------------------------------- */

/* A copy is never emptied, nor half full, nor does it lose what is there. */
static void
check_steady(unsigned front)
{
	struct steady *s = &looks.steadies[front];

	if (s->on && !view_front_has(front, s->name))
		world_fail("what is there stays in the copies",
		    "fe%u has lost %s", front, s->name);
}

static void
still_steady(struct steady *s)
{
	if (s->on && !view_update_state(s->name).active)
		s->on = false;
}

static void
choose_steady(unsigned front)
{
	struct steady *s = &looks.steadies[front];
	struct view update = { .boxes = NULL };
	const struct box *b;

	s->on = false;
	if (looks.list_may_be_lost || !view_update(&update))
		return;
	snprintf(s->name, sizeof(s->name), "%s", load_some_name());
	b = view_find(&update, s->name);
	s->on = b != NULL && b->active && copy_is_of(front, b);
	view_fini(&update);
}

/* --- does it exist? -------------------------------------------------------- */

/* What is not durable yet nobody has been told of. */
static void
observe(struct question *q)
{
	struct view_state st = view_update_state(q->name);

	if (!st.known)
		return;
	if (!st.active) {
		q->absent = true;
		q->commit = 0;
		return;
	}
	if (q->commit == 0)
		q->commit = st.commit + 1;
	if (st.durable + 1 < q->commit)
		q->absent = true;
}

static void
rest(struct question *q)
{
	q->out = false;
	event_stop(&q->deadline);
	if (!looks.stopped)
		event_set(&q->next, world_between(PAUSE_LEAST, PAUSE_MOST));
}

static void
told(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct question *q = arg;

	(void)rec;
	if (!q->out)
		world_fail("one answer to each question", "%s at fe%u", q->name,
		    q->front);
	observe(q);
	switch (answer) {
	case ROUTE_FOUND:
		load_counters()->found++;
		break;
	case ROUTE_UNKNOWN:
		load_counters()->unknown++;
		break;
	case ROUTE_NONE:
		load_counters()->none++;
		if (!q->absent)
			world_fail("\"does not exist\" was so",
			    "%s at fe%u: it was there all the time", q->name,
			    q->front);
		break;
	}
	rest(q);
}

static void
too_late(void *arg)
{
	struct question *q = arg;

	world_fail("an answer within the deadline", "%s at fe%u", q->name,
	    q->front);
}

static void
ask(void *arg)
{
	struct question *q = arg;
	struct route_rate rate = ROUTE_RATE_CLIENT;

	q->absent = false;
	q->commit = 0;
	observe(q);
	(void)route_find(murder_route(q->front), &rate, slice_str(q->name),
	    told, q);
}

static void
next(void *arg)
{
	struct question *q = arg;

	if (looks.stopped)
		return;
	if (murder_route(q->front) == NULL) {
		rest(q);
		return;
	}
	if (!looks.steadies[q->front].on || world_chance(100))
		choose_steady(q->front);
	snprintf(q->name, sizeof(q->name), "%s", load_some_name());
	q->out = true;
	event_set(&q->deadline, ANSWER_MOST);
	child_call(murder_worker_child(q->front), 0, ask, q);
}

/* --- neither name ---------------------------------------------------------- */

void
look_watch(unsigned c, const char *from, const char *to, const char *id)
{
	struct watch *w = &looks.watches[c];
	struct view update = { .boxes = NULL };
	const struct box *b = NULL;

	MUST(c < CLIENTS);
	w->on = true;
	snprintf(w->from, sizeof(w->from), "%s", from);
	snprintf(w->to, sizeof(w->to), "%s", to);
	if (view_update(&update))
		b = view_find(&update, from);
	for (unsigned i = 0; i < murder_fronts(); i++)
		w->seen[i] = b != NULL && b->active && strcmp(b->id, id) == 0 &&
		             copy_is_of(i, b);
	view_fini(&update);
}

void
look_forget(unsigned c)
{
	looks.watches[c].on = false;
}

static void
check_watch(struct watch *w, unsigned front)
{
	if (w->on && w->seen[front] && !view_front_has(front, w->from) &&
	    !view_front_has(front, w->to))
		world_fail("one name of a rename is there",
		    "fe%u has neither %s nor %s", front, w->from, w->to);
}

/* --- turns ----------------------------------------------------------------- */

static void
after_turn(struct proc *p)
{
	unsigned front = p->host - HOST_FRONT;

	for (unsigned i = 0; p->host == HOST_UPDATE && i < murder_fronts();
	     i++) {
		if (looks.questions[i].out)
			observe(&looks.questions[i]);
		still_steady(&looks.steadies[i]);
	}
	if (p->host >= HOST_FRONT && murder_front_child(front) != NULL &&
	    child_proc(murder_front_child(front)) == p &&
	    murder_route(front) != NULL) {
		check_steady(front);
		for (unsigned i = 0; i < CLIENTS; i++)
			check_watch(&looks.watches[i], front);
	}
}

void
look_host_died(unsigned host)
{
	unsigned front = host - HOST_FRONT;
	struct question *q = &looks.questions[front];

	/* A copy may be lost with the power, and fetched anew. */
	for (unsigned i = 0; i < CLIENTS; i++)
		looks.watches[i].seen[front] = false;
	looks.steadies[front].on = false;
	if (q->out && murder_route(front) == NULL)
		rest(q);
}

void
look_begin(bool list_may_be_lost)
{
	memset(&looks, 0, sizeof(looks));
	looks.list_may_be_lost = list_may_be_lost;
	for (unsigned i = 0; i < murder_fronts(); i++) {
		struct question *q = &looks.questions[i];

		q->front = i;
		q->next.fn = next;
		q->deadline.fn = too_late;
		q->next.arg = q->deadline.arg = q;
		event_set(&q->next, world_between(SECOND, 3 * SECOND));
	}
	proc_on_turn(after_turn);
}

void
look_stop(void)
{
	looks.stopped = true;
}
