/*
 * lmtp: mail coming in (RFC 2033), from a frontend or an MX host.
 *
 * A session takes one message at a time into a blob, then delivers it to all
 * recipients at once and gives one reply each.  250 means durably stored.  A
 * frontend that has authenticated as a proxy may say with each recipient which
 * mailbox, with which flags, under which key (XMAILBOX, XFLAGS, XKEY);
 * man/protocols.7.
 */
#ifndef BACKENDD_LMTP_H
#define BACKENDD_LMTP_H

struct backendd;
struct lmtp_session;

void lmtp_session_new(struct backendd *bd, int fd);

struct lmtp_session *lmtp_session_next(struct lmtp_session *ls);

/* A drain: says 421 to those at rest, the others after their message. */
void lmtp_session_drain(struct lmtp_session *ls);

#endif
