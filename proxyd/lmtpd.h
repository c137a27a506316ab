/*
 * lmtpd: the lmtp children of proxyd: listeners, and what their sessions share.
 */
#ifndef PROXYD_LMTPD_H
#define PROXYD_LMTPD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/daemon.h"
#include "lib/list.h"
#include "proxyd/worker.h"

struct deliveries;
struct listeners;
struct lmtp_session;

struct lmtpd {
	unsigned magic;
	struct worker worker;
	struct listeners *listeners;
	TAILQ_HEAD(, lmtp_session) sessions;
	size_t nsessions;
	struct deliveries *deliveries;
	bool draining;
};

/* A session, or a delivery that its session has left, has ended. */
void lmtpd_gone(struct lmtpd *d);

extern const struct daemon_child proxyd_lmtp_child;

#endif
