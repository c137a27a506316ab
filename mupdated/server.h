/*
 * server: the list, the feed, the leases and the sessions.
 *
 * All of mupdated but its process: mupdated/child.h has listeners, keys and
 * signals.  It asks the system for nothing; time comes from the loop.
 */
#ifndef MUPDATED_SERVER_H
#define MUPDATED_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/slice.h"
#include "mupdated/feed.h"

struct auth;
struct err;
struct jobs;
struct leases;
struct list;
struct log;
struct loop;
struct mupdated_conf;
struct session;
struct task;
struct tls;

TAILQ_HEAD(session_list, session);

/* Borrowed by sessions, which do not outlive it. */
struct server {
	struct loop *loop;
	struct log *log;
	const struct mupdated_conf *conf;
	struct auth *auth;
	struct tls *tls; /* NULL: none */
	struct list *list;
	struct leases *leases;
	struct feed feed;
	struct session_list sessions;
	struct session_list waiting;  /* for something to be durable */
	size_t nsessions, nstrangers; /* strangers have not logged in */
	struct map addresses;         /* how many sessions: size_t */
	uint64_t serial;              /* of the last session */
	struct task *settle;
	struct timer *ripen; /* what the feed is to tell a little later */
	bool ripening;
	/* Since the start: */
	uint64_t accepted, refused, full, resumed, superseded, taken;
};

/*
 * loop, log, conf, auth and tls are there and outlive it; tls and conf may be
 * replaced, then say so.
 */
int server_open(struct server *sv, struct jobs *jobs,
    struct err *err) MUST_CHECK;
void server_reload(struct server *sv);

/* Takes fd. */
void server_accept(struct server *sv, int fd, bool tls);

/* All are told to go. */
void server_drain(struct server *sv);
bool server_is_drained(const struct server *sv);

/* Without a word to those who are still there. */
void server_close(struct server *sv);

/* --- for the sessions ------------------------------------------------------ */

void server_add(struct server *sv, struct session *ss);
void server_remove(struct server *sv, struct session *ss);

/* Why there is no place for it; NULL if there is. */
const char *server_full(const struct server *sv, const struct session *ss);

/* It has logged in. */
void server_known(struct server *sv, struct session *ss);

/*
 * It is the backend of that host: older sessions of it end, unread.  False if
 * there is a later one: then this one has ended.  Without effect for who does
 * not own the host.
 */
bool server_claim(struct server *sv, struct session *ss, struct slice host);

#endif
