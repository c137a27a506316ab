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
#include "imap/flag.h"
#include "imap/lmtp.h"
#include "lib/arena.h"
#include "lib/auth.h"

#define LMTP_MAGIC 0x17b95e55u

struct backendd;
struct blob;
struct stream;
struct task;

enum lmtp_state {
	LMTP_COMMAND,
	LMTP_WAITING,   /* for what a command has begun */
	LMTP_AUTH_LINE, /* the next line is SASL's */
	LMTP_DATA_STATE,
	LMTP_STORING,
	LMTP_HANDSHAKE,
	LMTP_FINISHING,
	LMTP_GONE
};

/* An accepted recipient, in the transaction's arena. */
struct recipient {
	struct recipient *next;
	struct lmtp_session *session;
	const char *address; /* for the log */
	const char *name;    /* internal, of the mailbox */
	struct flags flags;
	struct mailbox_append append;
	bool has_key;
	int code; /* of its reply, 0: not known yet */
	const char *enhanced, *text;
};

struct lmtp_session {
	unsigned magic;
	enum lmtp_state state;
	TAILQ_ENTRY(lmtp_session) link;
	struct backendd *bd;
	struct stream *stream; /* NULL: lost, and what is pending goes on */
	struct task *turn;
	size_t pending; /* call backs that are due */
	bool inside;    /* lmtp_advance() */
	bool greeted;   /* LHLO was said */
	unsigned bad;   /* commands in a row */
	struct arena line_arena;
	struct lmtp_lines lines;
	struct lmtp_undot undot;
	struct auth_exchange *exchange;
	char *proxy; /* authenticated as a frontend; NULL: it is not */
	char sid[24], lhlo[256];

	/* The transaction. */
	struct arena arena;
	bool has_mail, too_big;
	const char *sender;
	struct recipient *recipients, **last;
	size_t nrecipients, undelivered;
	uint64_t size;
	struct blob *blob;
	struct letter *letter;
};

void lmtp_advance(struct lmtp_session *ls);

/* text may have several lines; nothing if the connection is lost. */
void lmtp_reply(struct lmtp_session *ls, int code, const char *enhanced,
    const char *text);
void lmtp_reset(struct lmtp_session *ls);

/*
 * A call back is due; it has come.  False: the connection is lost, and the
 * session may be gone.
 */
void lmtp_pending(struct lmtp_session *ls);
bool lmtp_arrived(struct lmtp_session *ls);

/* lmtp_rcpt.c: NULL, or MAIL was answered with what is wrong. */
const char *lmtp_check_mail(struct lmtp_session *ls,
    const struct lmtp_command *c);
void lmtp_add_recipient(struct lmtp_session *ls, const struct lmtp_command *c);

/* lmtp_deliver.c: the blob has ended; answers every recipient. */
void lmtp_deliver(struct lmtp_session *ls);

/* lmtp_auth.c */
struct auth_peer lmtp_peer(struct lmtp_session *ls);
void lmtp_start_auth(struct lmtp_session *ls, const struct lmtp_command *c);
void lmtp_auth_line(struct lmtp_session *ls, struct slice line);

#endif
