/*
 * Which sessions there are, which want a turn, and which have been silent for
 * too long: all of them together, so that one at rest needs neither a task nor
 * a timer.  Both lists are in the order in which their deadlines come.
 */
#include "backendd/conf.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "lib/list.h"
#include "lib/loop.h"

enum {
	TICK_MS = 100 /* deadlines need not be more exact */
};

static struct mono
deadline_of(const struct session *ss)
{
	const struct backendd_conf *conf = ss->bd->conf;

	return mono_after(ss->active, ss->user == NULL
	                                  ? (int64_t)conf->login_ms
	                                  : (int64_t)conf->idle_ms);
}

static int64_t
wait_for(const struct session *ss, int64_t most)
{
	int64_t ms;

	if (ss == NULL)
		return most;
	ms = deadline_of(ss).ms - loop_now(ss->bd->loop).ms;
	return ms < most ? ms : most;
}

static void
set_timer(struct backendd *bd)
{
	int64_t ms = wait_for(TAILQ_FIRST(&bd->strangers),
	    wait_for(TAILQ_FIRST(&bd->sessions), INT64_MAX));

	if (ms == INT64_MAX)
		timer_stop(bd->deadline);
	else
		timer_set(bd->deadline, ms > TICK_MS ? ms : TICK_MS);
}

static void
expire(struct backendd *bd, struct session_list *list)
{
	struct session *ss;

	while ((ss = TAILQ_FIRST(list)) != NULL &&
	       mono_reached(deadline_of(ss), loop_now(bd->loop))) {
		session_unlist(ss);
		session_enlist(ss);
		session_expire(ss); /* or it is busy: another time */
	}
}

static void
tick(void *arg)
{
	struct backendd *bd = arg;

	expire(bd, &bd->strangers);
	expire(bd, &bd->sessions);
	set_timer(bd);
}

void
session_unwake(struct session *ss)
{
	if (!ss->woken)
		return;
	ss->woken = false;
	ss->bd->nwoken--;
	TAILQ_REMOVE(&ss->bd->woken, ss, waking);
}

/* Those woken meanwhile have the next turn. */
static void
wake(void *arg)
{
	struct backendd *bd = arg;
	size_t n = bd->nwoken;
	struct session *ss;

	while (n-- > 0 && (ss = TAILQ_FIRST(&bd->woken)) != NULL) {
		session_unwake(ss);
		session_advance(ss);
	}
}

void
sessions_start(struct backendd *bd)
{
	TAILQ_INIT(&bd->sessions);
	TAILQ_INIT(&bd->strangers);
	TAILQ_INIT(&bd->woken);
	bd->deadline = timer_new(bd->loop, tick, bd);
	bd->wake = task_new(bd->loop, wake, bd);
}

void
sessions_end(struct backendd *bd)
{
	timer_free(&bd->deadline);
	task_free(&bd->wake);
}

void
sessions_drain(struct backendd *bd)
{
	struct session *ss, *next;

	TAILQ_FOREACH_SAFE (ss, &bd->strangers, link, next)
		session_drain(ss);
	TAILQ_FOREACH_SAFE (ss, &bd->sessions, link, next)
		session_drain(ss);
}

void
session_wake(struct session *ss)
{
	if (ss->woken)
		return;
	ss->woken = true;
	ss->bd->nwoken++;
	TAILQ_INSERT_TAIL(&ss->bd->woken, ss, waking);
	task_want(ss->bd->wake);
}

static struct session_list *
list_of(struct session *ss)
{
	return ss->listed_user ? &ss->bd->sessions : &ss->bd->strangers;
}

void
session_enlist(struct session *ss)
{
	struct session_list *list;
	bool first;

	ss->active = loop_now(ss->bd->loop);
	ss->listed_user = ss->user != NULL;
	list = list_of(ss);
	first = TAILQ_EMPTY(list);
	TAILQ_INSERT_TAIL(list, ss, link);
	if (first)
		set_timer(ss->bd);
}

void
session_unlist(struct session *ss)
{
	TAILQ_REMOVE(list_of(ss), ss, link);
}
