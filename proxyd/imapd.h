/*
 * imapd: the imap children of proxyd: listeners and sessions.
 */
#ifndef PROXYD_IMAPD_H
#define PROXYD_IMAPD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/daemon.h"
#include "lib/list.h"
#include "proxyd/worker.h"

struct listeners;
struct session;
struct sieve_session;
struct xmurder;

struct imapd {
	unsigned magic;
	struct worker worker;
	struct listeners *listeners;
	TAILQ_HEAD(, session) sessions;
	TAILQ_HEAD(, sieve_session) sieve_sessions;
	struct xmurder *xmurder; /* for ManageSieve */
	size_t nsessions;
	bool draining;
};

/* A session has ended. */
void imapd_session_gone(struct imapd *d);

extern const struct daemon_child proxyd_imap_child;

#endif
