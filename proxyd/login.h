/*
 * login: what IMAP and ManageSieve on a frontend have in common about who the
 * client is.
 *
 * A protocol says each outcome in its own words; whether it is one, who may act
 * for whom, the log and the texts are here.
 */
#ifndef PROXYD_LOGIN_H
#define PROXYD_LOGIN_H

#include "lib/auth.h"

struct auth_line_answer;
struct stream;
struct worker;

enum login_outcome {
	LOGIN_ASK,         /* the exchange goes on */
	LOGIN_OK,          /* as user */
	LOGIN_FAILED,      /* name or password is wrong */
	LOGIN_NOT_ALLOWED, /* to act for that user */
	LOGIN_UNAVAILABLE, /* it cannot be known now */
	LOGIN_BAD          /* cancelled, or malformed */
};

struct login {
	enum login_outcome outcome;
	const char *user; /* borrowed from the answer */
	const char *text; /* for the client, of what is not OK */
};

/* Who is at the other end, for the auth child. */
struct auth_peer login_peer(struct stream *client, const char *service);

struct login login_take(struct worker *w, const char *sid,
    struct stream *client, const struct auth_line_answer *a);

#endif
