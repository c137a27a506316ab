/*
 * auth_line: a SASL exchange in lines of base64, as IMAP, LMTP and ManageSieve
 * have it.
 *
 * "=" is an empty initial response, "*" gives up.  A protocol whose success
 * has no place for the server's last word sends it as a challenge, which the
 * client answers with an empty line.  Responses are wiped once used.
 */
#ifndef LIB_AUTH_LINE_H
#define LIB_AUTH_LINE_H

#include "lib/auth.h"
#include "lib/slice.h"

struct auth_line;

enum {
	AUTH_LINE_MAX = 16 * 1024 /* octets of a line */
};

enum auth_line_result {
	AUTH_LINE_CHALLENGE,   /* send coded, then auth_line_put() */
	AUTH_LINE_OK,          /* authcid, authzid; coded if it is not NULL */
	AUTH_LINE_FAIL,        /* text is for the log */
	AUTH_LINE_UNAVAILABLE, /* the same */
	AUTH_LINE_CANCELLED,   /* by the client */
	AUTH_LINE_MALFORMED    /* not base64, or more than there was to say */
};

struct auth_line_answer {
	enum auth_line_result result;
	const char *coded; /* base64; NULL: none */
	const char *authcid, *authzid;
	const char *text;
};

/*
 * All but CHALLENGE end the exchange: *it frees itself then*.  What the answer
 * points to is borrowed for the call.
 */
typedef void auth_line_cb(void *arg, const struct auth_line_answer *a);

enum auth_line_last {              /* the server's last word goes */
	AUTH_LINE_LAST_APART,      /* as a challenge */
	AUTH_LINE_LAST_WITH_RESULT /* with OK */
};

/*
 * initial is base64, .ptr NULL for none.  NULL if it is none, and nothing is
 * called; never calls back from inside.
 */
struct auth_line *auth_line_start(struct auth *a, const struct auth_peer *p,
    const char *mechanism, struct slice initial, enum auth_line_last last,
    auth_line_cb *cb, void *arg);

/* By name and password: for LOGIN. */
struct auth_line *auth_line_login(struct auth *a, const struct auth_peer *p,
    struct slice user, struct slice password, auth_line_cb *cb, void *arg);

/* After CHALLENGE: what the client said.  May call back from inside. */
void auth_line_put(struct auth_line *x, struct slice line);

/* No call back after it.  Sets *xp to NULL; NULL is fine. */
void auth_line_cancel(struct auth_line **xp);

#endif
