/*
 * submit: mail that a script sends: redirect, and reject as a notice; and what
 * it files on a server that cannot remember what it took.
 *
 * Mail goes to smtp_relay.  Once it is there the user's home backend remembers so
 * (XREMEMBER), and is asked beforehand at every attempt, so that a retry does
 * not send it twice; a loss of power between the two may.
 */
#ifndef PROXYD_SUBMIT_H
#define PROXYD_SUBMIT_H

#include "imap/lmtp.h"
#include "lib/slice.h"

struct blob;
struct filing;
struct mailer;
struct worker;
struct xmurder;

struct submission {
	const char *home; /* server that remembers */
	struct slice key;
	const struct filing *filing; /* put it there; NULL: mail */
	struct lmtp_path from, to;   /* of mail */
	struct slice head;           /* before blob's octets, or all there is */
	struct blob *blob;           /* NULL: none; else referenced */
};

/* code: 250, or of the refusal or failure, with text. */
typedef void submit_cb(void *arg, int code, const char *text);

/* All of s is copied.  Never calls back from inside; always does in the end. */
void submit(struct worker *w, struct xmurder *x, struct mailer *m,
    const struct submission *s, submit_cb *cb, void *arg);

#endif
