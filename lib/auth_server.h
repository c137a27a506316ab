/*
 * auth_server: SASL's server side, for the auth child.  Blocks.
 *
 * A password that was right is remembered for a while, as an HMAC under a
 * secret of the process, so that a client's twentieth connection of a minute
 * costs no look-up.  A failure is never remembered.
 */
#ifndef LIB_AUTH_SERVER_H
#define LIB_AUTH_SERVER_H

#include "lib/auth.h"
#include "lib/cdefs.h"
#include "lib/mono.h"

struct auth_server;
struct auth_try;
struct err;

/* One a process, since SASL has globals.  Borrows conf and log. */
struct auth_server *auth_server_new(const struct auth_conf *conf,
    struct log *log, struct err *err) MUST_CHECK;

/* Every try has been freed before. */
void auth_server_free(struct auth_server **sp);

/* Names, space between; borrowed.  EXTERNAL is not among them. */
const char *auth_server_mechanisms(const struct auth_server *s, bool plaintext);

/* One client's attempt. */
struct auth_try *auth_try_new(struct auth_server *s, const struct auth_peer *p);
void auth_try_free(struct auth_try **tp);

/* Fills *a; what it refers to is borrowed until the next step. */
void auth_try_start(struct auth_try *t, struct slice mechanism,
    const struct slice *initial, struct mono now, struct auth_answer *a);
void auth_try_step(struct auth_try *t, struct slice response, struct mono now,
    struct auth_answer *a);
void auth_try_login(struct auth_try *t, struct slice user,
    struct slice password, struct mono now, struct auth_answer *a);

/* Is there such a user?  OK, FAIL, or UNAVAILABLE: that is not known. */
void auth_try_exists(struct auth_try *t, struct slice user,
    struct auth_answer *a);

#endif
