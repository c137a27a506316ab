/*
 * managesieve: one client's ManageSieve connection (RFC 5804).
 *
 * Scripts are kept at the user's home backend, where XSCRIPT puts and gets them
 * (xmurder.h); they are compiled here before they are accepted, by the same
 * code that will run them.
 */
#ifndef PROXYD_MANAGESIEVE_H
#define PROXYD_MANAGESIEVE_H

struct imapd;

/* Takes fd. */
void sieve_session_new(struct imapd *imapd, int fd);

/* BYE to all, after the running command. */
void sieve_sessions_drain(struct imapd *imapd);

#endif
