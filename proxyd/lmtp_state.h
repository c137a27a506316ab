/*
 * lmtp_state: a session, for lmtp.c and lmtp_rcpt.c.
 */
#ifndef PROXYD_LMTP_STATE_H
#define PROXYD_LMTP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/lmtp_server.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/slice.h"
#include "proxyd/route.h"

struct blob;
struct delivery;
struct lmtpd;
struct route_wait;
struct stream;
struct task;
struct timer;
struct worker;

struct lmtp_session {
	unsigned magic;
	TAILQ_ENTRY(lmtp_session) entry;
	struct lmtpd *lmtpd;
	struct worker *worker;
	struct stream *stream;
	struct timer *timer; /* of a transaction until its message is here */
	struct task *turn;
	struct lmtp_server server;
	char sid[17];

	/* The transaction: there is one if delivery is not NULL. */
	struct arena arena;
	struct delivery *delivery;
	struct slice from; /* as it came */
	struct blob *blob;

	/* The recipient that is looked for. */
	struct lmtp_path path;
	struct slice raw, user, detail, mailbox;
	bool shared;
	struct route_wait *wait;
	struct route_rate rate;
};

/* To MAIL and RCPT; RCPT perhaps later. */
void lmtp_reply(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text);
void lmtp_mail(struct lmtp_session *ls, const struct lmtp_command *c);
void lmtp_rcpt(struct lmtp_session *ls, const struct lmtp_command *c);

void lmtp_advance(struct lmtp_session *ls);

#endif
