#include <stdlib.h>

#include "lib/admin.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "mupdated/child.h"
#include "mupdated/conf.h"
#include "mupdated/leases.h"
#include "mupdated/list.h"
#include "mupdated/server.h"

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
	struct admin *admin;
	struct timer *ready; /* is auth there? */
	struct timer *drain;
	unsigned polls;
	struct listener listeners[LISTENERS_MAX];
	size_t nlisteners;
};

/* --- accepting ------------------------------------------------------------- */

static void
accepted(void *arg, int fd)
{
	struct listener *l = arg;

	server_accept(&l->owner->server, fd, l->tls);
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

	admin_free(&o->admin);
	server_close(sv);
	jobs_free(&o->jobs);
	tls_free(&sv->tls);
	auth_free(&sv->auth);
	timer_free(&o->ready);
	timer_free(&o->drain);
	free(o);
}

/* --- numbers ---------------------------------------------------------------- */

static uint64_t
sessions(void *arg)
{
	const struct owner *o = arg;

	return o->server.nsessions;
}

static uint64_t
subscribers(void *arg)
{
	const struct owner *o = arg;

	return o->server.feed.count[FEED_PLAIN] +
	       o->server.feed.count[FEED_EXT];
}

static uint64_t
mailboxes(void *arg)
{
	const struct owner *o = arg;

	return list_holders(o->server.list)->entries;
}

static uint64_t
reservations(void *arg)
{
	const struct owner *o = arg;

	return list_holders(o->server.list)->reservations;
}

static uint64_t
revision(void *arg)
{
	const struct owner *o = arg;

	return list_revision(o->server.list);
}

static uint64_t
backlog(void *arg)
{
	const struct owner *o = arg;

	return o->server.feed.octets;
}

static bool
disk_is_well(void *arg, struct buf *line)
{
	const struct owner *o = arg;
	bool failed = list_failed(o->server.list);

	buf_puts(line, failed ? "the disk refuses changes; see the log"
	                      : "changes are stored");
	return !failed;
}

static void
register_numbers(struct owner *o)
{
	const struct server *sv = &o->server;
	struct admin *a = o->admin = admin_new(o->child);

	admin_gauge(a, "murder_sessions", "Connections now.", sessions, o);
	admin_gauge(a, "murder_subscribers", "Subscribers now.", subscribers,
	    o);
	admin_gauge(a, "murder_mailboxes", "Names in the list.", mailboxes, o);
	admin_gauge(a, "murder_reservations", "Names that are reserved.",
	    reservations, o);
	admin_gauge(a, "murder_revision", "Revision of the last change.",
	    revision, o);
	admin_gauge(a, "murder_backlog_octets",
	    "Changes kept for subscribers that are behind.", backlog, o);
	admin_counter(a, "murder_accepted_total", "Connections accepted.",
	    &sv->accepted);
	admin_counter(a, "murder_refused_total",
	    "Connections refused for a limit.", &sv->refused);
	admin_counter(a, "murder_full_lists_total",
	    "Subscriptions that began with the whole list.", &sv->full);
	admin_counter(a, "murder_resumed_total",
	    "Subscriptions that began with a difference.", &sv->resumed);
	admin_counter(a, "murder_lost_subscribers_total",
	    "Subscribers that fell too far behind.", &sv->feed.lost);
	admin_counter(a, "murder_leases_ended_total",
	    "Reservations whose owner stayed away.", leases_ended(sv->leases));
	admin_counter(a, "murder_superseded_total",
	    "Sessions of backends that had connected again.", &sv->superseded);
	admin_counter(a, "murder_taken_total",
	    "Sessions of backends that have lost a name to another.",
	    &sv->taken);
	admin_health(a, "storage", disk_is_well, o);
}

/* --- the child, again -------------------------------------------------------- */

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
	o->jobs = jobs_new(sv->loop, THREADS);
	o->ready = timer_new(sv->loop, poll_ready, o);
	o->drain = timer_new(sv->loop, check_drained, o);
	sv->auth = auth_new(sv->loop, sv->log, &sv->conf->auth);
	if (server_open(sv, o->jobs, err) == -1 ||
	    make_tls(o, &sv->tls, err) == -1) {
		owner_free(o);
		return -1;
	}
	register_numbers(o);
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
	server_reload(sv);
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

	if (!server_is_drained(&o->server)) {
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

	timer_stop(o->ready);
	for (size_t i = 0; i < o->nlisteners; i++)
		listen_free(&o->listeners[i].listen);
	server_drain(&o->server);
	check_drained(o);
}

const struct daemon_child list_child = {
	.name = "list",
	.count = count,
	.start = start,
	.neighbour = neighbour,
	.reload = reload,
	.drain = drain,
};
