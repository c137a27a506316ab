/*
 * filing: a message put into a mailbox by IMAP APPEND, as its user.
 *
 * For backends that are not of our kind: their LMTP can name neither a mailbox
 * nor flags.  The connection is made for this message alone, with the user as
 * the authorisation identity, so that the backend looks at the ACL.
 */
#ifndef PROXYD_FILING_H
#define PROXYD_FILING_H

#include "lib/slice.h"

struct blob;
struct worker;

struct filing { /* all borrowed until it is done */
	const char *server, *user;
	const char *sid;      /* told to the backend */
	struct slice mailbox; /* as that user writes it */
	struct slice flags;   /* separated by spaces */
	struct slice head;    /* before blob's octets */
	struct blob *blob;
};

/* code: 250, or what to tell a sender, with text. */
typedef void filing_cb(void *arg, int code, const char *text);

/* Never calls back from inside; always does in the end. */
void filing_append(struct worker *w, const struct filing *f, filing_cb *cb,
    void *arg);

#endif
