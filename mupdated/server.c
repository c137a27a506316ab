#include <stdlib.h>

#include "lib/auth.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "mupdated/conf.h"
#include "mupdated/leases.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"

enum {
	/* Cyrus IMAP 3.6's backend takes about 10 ms from RESERVE to ACTIVATE;
	 * RFC 3656 would allow 30 s. */
	QUIET_MS = 500
};

/* --- changes --------------------------------------------------------------- */

/* One turn for all commits of a sync. */
static void
settle(void *arg)
{
	struct server *sv = arg;
	struct session *ss, *next;

	TAILQ_FOREACH_SAFE (ss, &sv->waiting, waiting_link, next)
		session_advance(ss);
}

/*
 * SESSION:loser, in t/model/murder.pml.
 *
 * An entry of this host is not its own any more, by somebody else's command.
 * The host finds out when it compares its list with ours, which it does when it
 * connects again; until then it would serve the name.
 */
static void
make_look(struct server *sv, struct slice host)
{
	struct session *ss;

	TAILQ_FOREACH (ss, &sv->sessions, link) {
		if (ss->host == NULL || !slice_is(host, ss->host) ||
		    ss->state == SESSION_CLOSING)
			continue;
		sv->taken++;
		session_close(ss, SESSION_END_TAKEN,
		    "[TAKEN] compare your list with this one");
	}
}

/* What has been reserved, and nothing has followed. */
static void
ripen(void *arg)
{
	struct server *sv = arg;

	sv->ripening = false;
	feed_ripen(&sv->feed);
	task_want(sv->settle);
}

static void
changed(void *arg, const struct list_event *ev)
{
	struct server *sv = arg;

	feed_push(&sv->feed, ev);
	if (feed_is_quiet(&sv->feed) && !sv->ripening) {
		sv->ripening = true;
		timer_set(sv->ripen, QUIET_MS);
	}
	if (ev->loser.len > 0) {
		log_warn(sv->log, "name taken from its host", "mailbox",
		    LOG_SLICE(ev->name), "host", LOG_SLICE(ev->loser), "now",
		    LOG_SLICE(ev->record.location), NULL);
		make_look(sv, ev->loser);
	}
	task_want(sv->settle);
}

static void
failed(void *arg, uint64_t number)
{
	struct server *sv = arg;
	struct session *ss;

	/* What was durable before goes out as what it is. */
	settle(sv);
	TAILQ_FOREACH (ss, &sv->waiting, waiting_link)
		session_commit_failed(ss, number);
	leases_check(sv->leases);
	task_want(sv->settle);
}

static void
begun(void *arg)
{
	struct server *sv = arg;

	task_want(sv->settle);
}

/* --- who is here ------------------------------------------------------------ */

/* Of "192.0.2.1:143" or "[2001:db8::1]:143" or a path. */
static struct slice
address_of(const struct session *ss)
{
	struct slice peer = slice_str(stream_peer(ss->stream));

	return slice_first(peer, slice_rfind(peer, ':'));
}

void
server_add(struct server *sv, struct session *ss)
{
	size_t *n = map_find(&sv->addresses, address_of(ss));

	if (n == NULL) {
		n = xcalloc(1, sizeof(*n));
		map_put(&sv->addresses, address_of(ss), n);
	}
	++*n;
	ss->serial = ++sv->serial;
	sv->accepted++;
	sv->nsessions++;
	sv->nstrangers++;
	TAILQ_INSERT_TAIL(&sv->sessions, ss, link);
}

void
server_remove(struct server *sv, struct session *ss)
{
	size_t *n = map_find(&sv->addresses, address_of(ss));

	MUST(n != NULL && *n > 0);
	if (--*n == 0)
		free(map_remove(&sv->addresses, address_of(ss)));
	sv->nsessions--;
	if (!ss->known)
		sv->nstrangers--;
	TAILQ_REMOVE(&sv->sessions, ss, link);
}

const char *
server_full(const struct server *sv, const struct session *ss)
{
	const struct mupdated_conf *c = sv->conf;
	const size_t *n = map_find(&sv->addresses, address_of(ss));

	if (sv->nsessions > c->max_sessions)
		return "[LIMIT] too many connections";
	if (sv->nstrangers > c->max_strangers)
		return "[LIMIT] too many connections that have not logged in";
	if (*n > c->max_per_address)
		return "[LIMIT] too many connections from your address";
	return NULL;
}

void
server_known(struct server *sv, struct session *ss)
{
	MUST(!ss->known);
	ss->known = true;
	sv->nstrangers--;
	leases_come(sv->leases, slice_str(ss->user));
}

/* --- backends ---------------------------------------------------------------- */

static bool
is_of(const struct session *ss, const struct session *other, struct slice host)
{
	return other != ss && other->host != NULL &&
	       other->state != SESSION_CLOSING && slice_is(host, other->host) &&
	       strcmp(other->user, ss->user) == 0;
}

/* SESSION:fence, in t/model/murder.pml. */
bool
server_claim(struct server *sv, struct session *ss, struct slice host)
{
	struct rules_who who = session_who(ss);
	struct session *other;

	if (sv->conf->check_owner && !rules_owns(&who, host))
		return true;
	free(ss->host);
	ss->host = xstrndup(host.ptr, host.len);
	TAILQ_FOREACH (other, &sv->sessions, link) {
		if (!is_of(ss, other, host))
			continue;
		sv->superseded++;
		if (other->serial < ss->serial) {
			session_close(other, SESSION_END_SUPERSEDED,
			    "your host has connected again");
			continue;
		}
		session_close(ss, SESSION_END_SUPERSEDED,
		    "your host has connected again");
		return false;
	}
	return true;
}

/* --- sessions ---------------------------------------------------------------- */

void
server_accept(struct server *sv, int fd, bool tls)
{
	session_new(sv, fd, tls);
}

void
server_drain(struct server *sv)
{
	struct session *ss, *next;

	TAILQ_FOREACH_SAFE (ss, &sv->sessions, link, next)
		session_close(ss, SESSION_END_DRAIN, "server shutting down");
}

bool
server_is_drained(const struct server *sv)
{
	return TAILQ_EMPTY(&sv->sessions);
}

/* --- birth and death ---------------------------------------------------------- */

int
server_open(struct server *sv, struct jobs *jobs, struct err *err)
{
	const struct mupdated_conf *c = sv->conf;
	const struct list_options o = { .directory = c->directory,
		.shards = (unsigned)c->shards,
		.change_log = (size_t)c->change_log };
	const struct list_watch w = { changed, failed, begun, sv };

	TAILQ_INIT(&sv->sessions);
	TAILQ_INIT(&sv->waiting);
	map_init(&sv->addresses);
	feed_init(&sv->feed, (size_t)c->max_backlog);
	sv->settle = task_new(sv->loop, settle, sv);
	sv->ripen = timer_new(sv->loop, ripen, sv);
	if (list_open(&sv->list, sv->loop, jobs, sv->log, &o, &w, err) == -1)
		return -1;
	sv->leases = leases_new(sv->loop, sv->log, sv->list, c->lease_ms);
	return 0;
}

void
server_reload(struct server *sv)
{
	auth_reload(sv->auth, &sv->conf->auth);
	leases_reload(sv->leases, sv->conf->lease_ms);
	sv->feed.max = (size_t)sv->conf->max_backlog;
}

void
server_close(struct server *sv)
{
	struct session *ss;

	while ((ss = TAILQ_FIRST(&sv->sessions)) != NULL)
		session_free(ss);
	leases_free(&sv->leases);
	list_close(&sv->list);
	feed_fini(&sv->feed);
	map_fini(&sv->addresses);
	task_free(&sv->settle);
	timer_free(&sv->ripen);
}
