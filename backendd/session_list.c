/*
 * Which sessions there are, which want a turn, and which have been silent for
 * long: all of them together, so that one at rest needs neither a task nor a
 * timer.  The lists are in the order in which their deadlines come: strangers
 * have to log in; those active are parked, and rest then until they are sent
 * away.
 */
#include "backendd/conf.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "lib/list.h"
#include "lib/loop.h"

enum {
	TICK_MS = 100 /* deadlines need not be more exact, if they are longer */
};

static bool
parks(const struct backendd_conf *conf)
{
	return conf->park_ms > 0 && conf->park_ms < conf->idle_ms;
}

static struct mono
deadline_of(const struct session *ss)
{
	const struct backendd_conf *conf = ss->bd->conf;
	uint64_t ms = conf->idle_ms;

	if (ss->where == SESSION_STRANGER)
		ms = conf->login_ms;
	else if (ss->where == SESSION_ACTIVE && parks(conf))
		ms = conf->park_ms;
	return mono_after(ss->active, (int64_t)ms);
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
	int64_t tick = TICK_MS,
	        ms = wait_for(TAILQ_FIRST(&bd->strangers),
	            wait_for(TAILQ_FIRST(&bd->sessions),
	                wait_for(TAILQ_FIRST(&bd->resting), INT64_MAX)));

	if (parks(bd->conf) && bd->conf->park_ms < TICK_MS)
		tick = (int64_t)bd->conf->park_ms;
	if (ms == INT64_MAX)
		timer_stop(bd->deadline);
	else
		timer_set(bd->deadline, ms > tick ? ms : tick);
}

static struct session_list *
list_of(struct session *ss)
{
	switch ((enum session_where)ss->where) {
	case SESSION_STRANGER:
		return &ss->bd->strangers;
	case SESSION_ACTIVE:
		return &ss->bd->sessions;
	case SESSION_RESTING:
		break;
	}
	return &ss->bd->resting;
}

static void
enlist(struct session *ss, enum session_where where)
{
	struct session_list *list;
	bool first;

	ss->where = where;
	list = list_of(ss);
	first = TAILQ_EMPTY(list);
	TAILQ_INSERT_TAIL(list, ss, link);
	if (first)
		set_timer(ss->bd);
}

/* One that is busy has its time again when it has said something. */
static void
park(struct backendd *bd)
{
	struct session *ss;

	while ((ss = TAILQ_FIRST(&bd->sessions)) != NULL &&
	       mono_reached(deadline_of(ss), loop_now(bd->loop))) {
		session_unlist(ss);
		enlist(ss, SESSION_RESTING);
		session_park(ss);
	}
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

	if (parks(bd->conf))
		park(bd);
	else
		expire(bd, &bd->sessions);
	expire(bd, &bd->strangers);
	expire(bd, &bd->resting);
	set_timer(bd);
}

void
session_unwake(struct session *ss)
{
	if (!ss->woken)
		return;
	ss->woken = false;
	ss->bd->nwoken--;
	TAILQ_REMOVE(&ss->bd->woken, ss->w, waking);
}

/* Those woken meanwhile have the next turn. */
static void
wake(void *arg)
{
	struct backendd *bd = arg;
	size_t n = bd->nwoken;
	struct session_work *w;

	while (n-- > 0 && (w = TAILQ_FIRST(&bd->woken)) != NULL) {
		struct session *ss = w->ss;

		session_unwake(ss);
		session_advance(ss);
	}
}

void
sessions_start(struct backendd *bd)
{
	TAILQ_INIT(&bd->sessions);
	TAILQ_INIT(&bd->strangers);
	TAILQ_INIT(&bd->resting);
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
	TAILQ_FOREACH_SAFE (ss, &bd->resting, link, next)
		session_drain(ss);
}

void
session_wake(struct session *ss)
{
	if (ss->woken || ss->state == SESSION_GONE)
		return;
	session_need_work(ss);
	ss->woken = true;
	ss->bd->nwoken++;
	TAILQ_INSERT_TAIL(&ss->bd->woken, ss->w, waking);
	task_want(ss->bd->wake);
}

void
session_enlist(struct session *ss)
{
	ss->active = loop_now(ss->bd->loop);
	enlist(ss, ss->user != NULL ? SESSION_ACTIVE : SESSION_STRANGER);
}

void
session_unlist(struct session *ss)
{
	TAILQ_REMOVE(list_of(ss), ss, link);
}
