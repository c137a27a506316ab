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

static struct {
	struct question questions[FRONTS_MAX];
	struct watch watches[CLIENTS];
	bool stopped;
} looks;

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
	snprintf(q->name, sizeof(q->name), "%s", load_some_name());
	q->out = true;
	event_set(&q->deadline, ANSWER_MOST);
	child_call(murder_worker_child(q->front), 0, ask, q);
}

/* --- neither name ---------------------------------------------------------- */

void
look_watch(unsigned c, const char *from, const char *to)
{
	struct watch *w = &looks.watches[c];

	MUST(c < CLIENTS);
	w->on = true;
	snprintf(w->from, sizeof(w->from), "%s", from);
	snprintf(w->to, sizeof(w->to), "%s", to);
	for (unsigned i = 0; i < murder_fronts(); i++)
		w->seen[i] = view_front_has(i, from);
}

void
look_forget(unsigned c)
{
	looks.watches[c].on = false;
}

static void
check_watch(struct watch *w, unsigned front)
{
	bool has;

	if (!w->on)
		return;
	has = view_front_has(front, w->from) || view_front_has(front, w->to);
	if (w->seen[front] && !has)
		world_fail("one name of a rename is there",
		    "fe%u has neither %s nor %s", front, w->from, w->to);
	w->seen[front] = has;
}

/* --- turns ----------------------------------------------------------------- */

static void
after_turn(struct proc *p)
{
	unsigned front = p->host - HOST_FRONT;

	if (p->host == HOST_UPDATE)
		for (unsigned i = 0; i < murder_fronts(); i++)
			if (looks.questions[i].out)
				observe(&looks.questions[i]);
	if (p->host >= HOST_FRONT && murder_front_child(front) != NULL &&
	    child_proc(murder_front_child(front)) == p &&
	    murder_route(front) != NULL)
		for (unsigned i = 0; i < CLIENTS; i++)
			check_watch(&looks.watches[i], front);
}

void
look_host_died(unsigned host)
{
	unsigned front = host - HOST_FRONT;
	struct question *q = &looks.questions[front];

	/* A copy may be lost with the power, and fetched anew. */
	for (unsigned i = 0; i < CLIENTS; i++)
		looks.watches[i].seen[front] = false;
	if (q->out && murder_route(front) == NULL)
		rest(q);
}

void
look_begin(void)
{
	memset(&looks, 0, sizeof(looks));
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
