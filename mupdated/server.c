#include <stdlib.h>

#include "lib/auth.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "mupdated/conf.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"

enum {
	LISTENERS_MAX = 64,
	THREADS = 2, /* one syncs, one may write a checkpoint */
	READY_POLL_MS = 10,
	READY_POLLS = 500, /* then accept without knowing the mechanisms */
	DRAIN_POLL_MS = 20
};

struct owner;

struct listener {
	struct owner *owner;
	struct listen *listen;
	bool tls;
};

/* The child's state: the server, and what only starting and ending need. */
struct owner {
	struct server server;
	struct child *child;
	struct jobs *jobs;
	struct task *settle; /* what has become durable */
	struct timer *ready; /* is auth there? */
	struct timer *drain;
	unsigned polls;
	struct listener listeners[LISTENERS_MAX];
	size_t nlisteners;
};

/* --- changes --------------------------------------------------------------- */

/* One turn for all commits of a sync. */
static void
settle(void *arg)
{
	struct owner *o = arg;
	struct session *ss, *next;

	TAILQ_FOREACH_SAFE (ss, &o->server.waiting, waiting_link, next)
		session_advance(ss);
}

static void
changed(void *arg, const struct list_event *ev)
{
	struct owner *o = arg;
	struct session *ss;

	if (ev->failed) {
		settle(o);
		TAILQ_FOREACH (ss, &o->server.waiting, waiting_link)
			session_commit_failed(ss, ev->number);
	}
	feed_push(&o->server.feed, ev);
	task_want(o->settle);
}

/* --- accepting ------------------------------------------------------------- */

static void
accepted(void *arg, int fd)
{
	struct listener *l = arg;

	session_new(&l->owner->server, fd, l->tls);
}

static void
listen_all(struct owner *o, const char *name, bool tls)
{
	int fd;

	for (unsigned n = 0; (fd = child_listener(o->child, name, n)) != -1;
	     n++) {
		struct listener *l = &o->listeners[o->nlisteners];

		MUST(o->nlisteners < LISTENERS_MAX);
		o->nlisteners++;
		l->owner = o;
		l->tls = tls;
		l->listen =
		    listen_new(o->server.loop, o->server.log, fd, accepted, l);
	}
}

/* A banner without mechanisms would send clients away. */
static void
poll_ready(void *arg)
{
	struct owner *o = arg;
	struct auth_peer peer = { "mupdate", "ready", NULL, true };

	if (auth_mechanisms(o->server.auth, &peer)[0] == '\0' &&
	    ++o->polls < READY_POLLS) {
		timer_set(o->ready, READY_POLL_MS);
		return;
	}
	listen_all(o, "listen", false);
	listen_all(o, "listen_tls", true);
	log_info(o->server.log, "ready", NULL);
}

/* --- the child ------------------------------------------------------------- */

static unsigned
count(const void *conf)
{
	(void)conf;
	return 1; /* a list has one owner */
}

static int
make_tls(struct owner *o, struct tls **tp, struct err *err)
{
	struct tls_material m = { .cert = child_file(o->child, "tls_cert"),
		.key = child_file(o->child, "tls_key"),
		.ca = child_file(o->child, "tls_ca") };

	*tp = NULL;
	if (m.cert.len == 0)
		return 0;
	*tp = tls_server_new(&m, err);
	return *tp == NULL ? -1 : 0;
}

static void
owner_free(struct owner *o)
{
	struct server *sv = &o->server;

	list_close(&sv->list);
	jobs_free(&o->jobs);
	tls_free(&sv->tls);
	auth_free(&sv->auth);
	task_free(&o->settle);
	timer_free(&o->ready);
	timer_free(&o->drain);
	feed_fini(&sv->feed);
	free(o);
}

static void check_drained(void *arg);

static int
start(struct child *c, void **statep, struct err *err)
{
	struct owner *o = xcalloc(1, sizeof(*o));
	struct server *sv = &o->server;

	o->child = c;
	sv->loop = child_loop(c);
	sv->log = child_log(c);
	sv->conf = child_conf(c);
	TAILQ_INIT(&sv->sessions);
	TAILQ_INIT(&sv->waiting);
	feed_init(&sv->feed);
	o->jobs = jobs_new(sv->loop, THREADS);
	o->settle = task_new(sv->loop, settle, o);
	o->ready = timer_new(sv->loop, poll_ready, o);
	o->drain = timer_new(sv->loop, check_drained, o);
	sv->auth = auth_new(sv->loop, sv->log, &sv->conf->auth);
	if (make_tls(o, &sv->tls, err) == -1 ||
	    list_open(&sv->list, sv->loop, o->jobs, sv->log,
	        sv->conf->directory, (unsigned)sv->conf->shards, changed, o,
	        err) == -1) {
		owner_free(o);
		return -1;
	}
	timer_set(o->ready, 0);
	*statep = o;
	return 0;
}

static void
neighbour(void *state, const char *name, unsigned index, int fd)
{
	struct owner *o = state;

	MUST(strcmp(name, "auth") == 0);
	auth_neighbour(o->server.auth, index, fd);
}

static void
reload(void *state)
{
	struct owner *o = state;
	struct server *sv = &o->server;
	struct tls *fresh;
	struct err err;

	sv->conf = child_conf(o->child);
	auth_reload(sv->auth, &sv->conf->auth);
	if (make_tls(o, &fresh, &err) == -1) {
		log_err(sv->log, "cannot use the new certificate", "why",
		    err.text, NULL);
		return;
	}
	tls_free(&sv->tls);
	sv->tls = fresh;
}

static void
check_drained(void *arg)
{
	struct owner *o = arg;
	struct child *c = o->child;

	if (!TAILQ_EMPTY(&o->server.sessions)) {
		timer_set(o->drain, DRAIN_POLL_MS);
		return;
	}
	owner_free(o);
	child_drained(c);
}

static void
drain(void *state)
{
	struct owner *o = state;
	struct session *ss, *next;

	timer_stop(o->ready);
	for (size_t i = 0; i < o->nlisteners; i++)
		listen_free(&o->listeners[i].listen);
	TAILQ_FOREACH_SAFE (ss, &o->server.sessions, link, next)
		session_close(ss, SESSION_END_DRAIN, "server shutting down");
	check_drained(o);
}

const struct daemon_child server_child = {
	.name = "list",
	.count = count,
	.start = start,
	.neighbour = neighbour,
	.reload = reload,
	.drain = drain,
};
