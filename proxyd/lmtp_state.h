/*
 * lmtp_state: a session, for lmtp.c and lmtp_rcpt.c.
 */
#ifndef PROXYD_LMTP_STATE_H
#define PROXYD_LMTP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/lmtp.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/slice.h"

struct blob;
struct delivery;
struct lmtpd;
struct route_wait;
struct stream;
struct task;
struct timer;
struct worker;

enum lmtp_phase {
	LMTP_PHASE_COMMAND,
	LMTP_PHASE_ROUTING, /* a recipient is looked for */
	LMTP_PHASE_DATA,
	LMTP_PHASE_ENDING, /* the blob comes to its end */
	LMTP_PHASE_DELIVERING,
	LMTP_PHASE_HANDSHAKE,
	LMTP_PHASE_FINISHING
};

struct lmtp_session {
	unsigned magic;
	TAILQ_ENTRY(lmtp_session) entry;
	struct lmtpd *lmtpd;
	struct worker *worker;
	enum lmtp_phase phase;
	struct stream *stream;
	struct timer *timer; /* of a transaction until its message is here */
	struct task *turn;
	struct arena line_arena; /* of one command */
	struct lmtp_lines lines;
	struct lmtp_undot undot;
	bool greeted, draining;
	unsigned bad; /* commands in a row */
	char sid[17], lhlo[256];

	/* The transaction: there is one if delivery is not NULL. */
	struct arena arena;
	struct delivery *delivery;
	struct slice from; /* as it came */
	struct blob *blob;
	uint64_t size;

	/* The recipient that is looked for. */
	struct lmtp_path path;
	struct slice raw, user, detail, mailbox;
	bool shared;
	struct route_wait *wait;
};

void lmtp_answer(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text);
void lmtp_advance(struct lmtp_session *ls);

/* MAIL and RCPT are answered; RCPT perhaps later. */
void lmtp_mail(struct lmtp_session *ls, const struct lmtp_command *c);
void lmtp_rcpt(struct lmtp_session *ls, const struct lmtp_command *c);

#endif
