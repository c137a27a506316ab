/*
 * lmtp_state: what an LMTP session is made of, for the lmtp files only.
 */
#ifndef BACKENDD_LMTP_STATE_H
#define BACKENDD_LMTP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/letter.h"
#include "backendd/mailbox.h"
#include "backendd/quota.h"
#include "imap/flag.h"
#include "imap/lmtp_server.h"
#include "lib/arena.h"

#define LMTP_MAGIC 0x17b95e55u

struct auth_line;
struct backendd;
struct blob;
struct stream;
struct task;
struct timer;

/* An accepted recipient, in the transaction's arena. */
struct recipient {
	struct recipient *next;
	struct lmtp_session *session;
	const char *address; /* for the log */
	const char *user;    /* whose INBOX is to be made, if it is */
	const char *name;    /* internal, of the mailbox */
	struct flags flags;
	struct mailbox_append append;
	struct quota_hold hold;
	bool has_key;
	size_t nth;
};

struct lmtp_session {
	unsigned magic;
	TAILQ_ENTRY(lmtp_session) link;
	struct backendd *bd;
	struct stream *stream; /* NULL: lost, and what is pending goes on */
	struct timer *timer;   /* of a transaction until its message is here */
	struct task *turn;
	size_t pending; /* call backs that are due */
	bool inside;    /* lmtp_advance() */
	struct lmtp_server server;
	struct auth_line *exchange;
	char *proxy; /* authenticated as a frontend; NULL: it is not */
	char sid[24];

	/* The transaction. */
	struct arena arena;
	const char *sender;
	uint64_t size; /* as MAIL said; 0: it did not */
	struct recipient *recipients, **last;
	struct blob *blob;
	struct letter *letter;
};

void lmtp_advance(struct lmtp_session *ls);

/*
 * To what the session was asked for last; nothing if the connection is lost, or
 * told to go.
 */
void lmtp_reply(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text);

/* The same of one recipient, when the message is here. */
void lmtp_answer(struct recipient *r, int code, const char *enhanced,
    const char *text);

/* Forgets the transaction if every recipient has been answered. */
void lmtp_settle(struct lmtp_session *ls);

/*
 * A call back is due; it has come.  False: the connection is lost, and the
 * session may be gone.
 */
void lmtp_pending(struct lmtp_session *ls);
bool lmtp_arrived(struct lmtp_session *ls);

/* lmtp_rcpt.c: MAIL and RCPT are answered, RCPT perhaps later. */
void lmtp_mail(struct lmtp_session *ls, const struct lmtp_command *c);
void lmtp_rcpt(struct lmtp_session *ls, const struct lmtp_command *c);

/* What is said when somebody is over quota: of the configuration. */
struct lmtp_refusal {
	int code;
	const char *enhanced, *text;
};
struct lmtp_refusal lmtp_over_quota(const struct backendd *bd);

/* lmtp_deliver.c: the blob has ended; answers every recipient. */
void lmtp_deliver(struct lmtp_session *ls);

/* lmtp_auth.c */
const char *lmtp_mechanisms(struct lmtp_session *ls);
void lmtp_start_auth(struct lmtp_session *ls, const struct lmtp_command *c);

#endif
