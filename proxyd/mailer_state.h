/*
 * mailer_state: what mailer's two halves share: the lines (mailer.c) and the
 * connections (mailer_conn.c).
 */
#ifndef PROXYD_MAILER_STATE_H
#define PROXYD_MAILER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/lmtp.h"
#include "imap/mboxrec.h"
#include "lib/list.h"
#include "lib/mono.h"
#include "proxyd/mailer.h"
#include "proxyd/mailer_piece.h"

struct auth_client;
struct dial;
struct stream;
struct task;
struct timer;
struct worker;

enum {
	MAILER_MECHANISMS = 512,
	MAILER_WHY = 200
};

struct mailing {
	TAILQ_ENTRY(mailing) entry;
	struct mail mail;
	void (*done)(void *arg);
	void *arg;
	bool again; /* it was lost with an old connection once */

	/* While it is on a connection. */
	size_t sent, answered; /* of MAIL, each RCPT, DATA */
	int mail_code;         /* of MAIL's answer */
	size_t accepted;       /* recipients */
	size_t next;           /* recipient whose final reply is next */
	struct mailer_source source;
	struct lmtp_dot dot;
};

/* A server, and who waits for it. */
struct mailer_peer {
	TAILQ_ENTRY(mailer_peer) entry;
	struct mailer *mailer;
	bool relay;
	char name[MBOXREC_HOST]; /* backend's */
	TAILQ_HEAD(, mailer_conn) conns;
	size_t nconns;
	TAILQ_HEAD(, mailing) waiting;
	struct task *task;
	struct mono rest_until;
	char why[MAILER_WHY]; /* it rests */
};

enum mailer_conn_state {
	CONN_DIALING,
	CONN_GREETING,
	CONN_HELLO,
	CONN_STARTTLS,
	CONN_HANDSHAKE,
	CONN_AUTH,
	CONN_IDLE,
	CONN_ENVELOPE,
	CONN_BODY,
	CONN_FINAL, /* waits for the answers to the message */
	CONN_RSET,
	CONN_CLOSED
};

struct mailer_conn {
	unsigned magic;
	TAILQ_ENTRY(mailer_conn) entry;
	struct mailer_peer *peer;
	enum mailer_conn_state state;
	struct dial *dial;
	struct stream *stream;
	struct timer *timer;
	struct lmtp_replies replies;
	unsigned lines; /* of the reply that has begun */
	unsigned used;  /* mailings before this one */
	struct mailing *mailing;
	struct auth_client *auth;
	bool pipelining, eight, size, starttls, xmurder;
	char mechanisms[MAILER_MECHANISMS];
};

struct mailer {
	struct worker *worker;
	TAILQ_HEAD(, mailer_peer) peers;
};

/* Begins to connect. */
void mailer_conn_new(struct mailer_peer *p);

/* c is idle. */
void mailer_conn_start(struct mailer_conn *c, struct mailing *m);

/* --- mailer.c, for connections ---------------------------------------- */

/* An answer for a recipient that has none, or only 250 to its RCPT. */
void mailing_answer(struct mail_rcpt *r, int code, struct slice enhanced,
    struct slice text);

/* Those without a final answer get 451 and why; then done is called. */
void mailing_end(struct mailing *m, const char *why);

/* c is idle, or has gone: who is next? */
void mailer_peer_wake(struct mailer_peer *p);

/* c could not be made. */
void mailer_peer_failed(struct mailer_peer *p, const char *why);

#endif
