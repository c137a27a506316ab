/*
 * mailer: mail going out, by LMTP to backends and by SMTP to the relay.
 *
 * Connections are kept and used again, at most lmtp_connections to a server;
 * mailings wait in line for one.  The whole envelope goes in one write where
 * the server has PIPELINING.  A connection that breaks while a mailing waits
 * for its envelope's first answer was an old one: the mailing is sent again,
 * once.  Otherwise what has no answer yet gets 451.
 */
#ifndef PROXYD_MAILER_H
#define PROXYD_MAILER_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/lmtp.h"
#include "lib/slice.h"

struct blob;
struct mailer;
struct mailing;
struct worker;

enum {
	MAIL_TEXT = 160,
	MAIL_NO_WAY = 600 /* a code: the server is not ours, and there is no
	                     plain path */
};

struct mailer *mailer_new(struct worker *w);

/* For one that goes to another mailbox or address; part of the caller's. */
struct mail_rcpt {
	struct lmtp_path to;
	struct lmtp_target target; /* our backends only */
	struct lmtp_path plain;    /* others'; local empty: no such way */
	int code;                  /* the answer */
	char enhanced[16];         /* "2.1.5", or "" */
	char text[MAIL_TEXT];
};

/* All borrowed until done; blob by a reference. */
struct mail {
	const char *backend; /* its name; NULL: the relay */
	const char *sid;     /* told to backends, for their log; may be NULL */
	struct lmtp_path from;
	struct mail_rcpt **rcpts;
	size_t nrcpts;
	struct slice head; /* before blob's octets */
	struct blob *blob; /* NULL: head is all there is */
};

/*
 * done is called once every rcpt has its answer: never from inside.  It cannot
 * be taken back.
 */
void mailer_send(struct mailer *m, const struct mail *mail,
    void (*done)(void *arg), void *arg);

#endif
