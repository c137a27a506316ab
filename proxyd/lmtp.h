/*
 * lmtp: one connection of an MX host (RFC 2033).
 *
 * A recipient is looked up when it is named, so RCPT's answer is the truth:
 * 250, 550 if there is no such user, 451 if that cannot be known now.  The
 * message is collected in a blob, delivered by deliver.h, and answered once
 * for each recipient.
 */
#ifndef PROXYD_LMTP_H
#define PROXYD_LMTP_H

struct lmtp_session;
struct lmtpd;

/* Takes fd. */
void lmtp_session_new(struct lmtpd *d, int fd);

/* 421 now, or after the running transaction. */
void lmtp_session_drain(struct lmtp_session *ls);

/* For a walk over lmtpd's list. */
struct lmtp_session *lmtp_session_next(struct lmtp_session *ls);

#endif
