/*
 * mupdate_login: a client's way from the banner to "Authenticated".
 *
 * Banner, STARTTLS if wanted, banner again, AUTHENTICATE.  It computes what to
 * write; the caller owns the connection and gives it every event of its
 * struct mupdate until the answer is no longer MUPDATE_LOGIN_WAIT.
 */
#ifndef IMAP_MUPDATE_LOGIN_H
#define IMAP_MUPDATE_LOGIN_H

#include <stdbool.h>

#include "imap/mupdate.h"

struct auth_secret;
struct buf;
struct err;
struct mupdate_login;

struct mupdate_login_want {
	const struct auth_secret *secret; /* borrowed while it lasts */
	const char *host;                 /* as SASL should know it */
	bool starttls;                    /* no login without it */
	bool external;                    /* a client certificate is used */
};

enum mupdate_login_step {
	MUPDATE_LOGIN_WAIT,
	MUPDATE_LOGIN_TLS, /* send what is in out, start TLS, go on */
	MUPDATE_LOGIN_DONE,
	MUPDATE_LOGIN_FAILED /* *err says why */
};

struct mupdate_login *mupdate_login_new(const struct mupdate_login_want *w);
void mupdate_login_free(struct mupdate_login **lp);

/* ev is what mupdate_next(m) said: a message or a line. */
enum mupdate_login_step mupdate_login_take(struct mupdate_login *l,
    struct mupdate *m, enum mupdate_event ev, struct buf *out,
    struct err *err) MUST_CHECK;

/* After MUPDATE_LOGIN_DONE: did the banner offer our extension? */
bool mupdate_login_xmurder(const struct mupdate_login *l);

#endif
