/*
 * server: the child that owns the list, its listeners and its sessions.
 */
#ifndef MUPDATED_SERVER_H
#define MUPDATED_SERVER_H

#include <stddef.h>

#include "lib/daemon.h"
#include "lib/list.h"
#include "mupdated/feed.h"

struct auth;
struct list;
struct log;
struct loop;
struct mupdated_conf;
struct session;
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
	struct feed feed;
	struct session_list sessions;
	struct session_list waiting; /* for something to be durable */
	size_t nsessions;
};

extern const struct daemon_child server_child;

#endif
