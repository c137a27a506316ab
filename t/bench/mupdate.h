/*
 * bench/mupdate: what the MUPDATE load generators share: names, and logging in.
 */
#ifndef T_BENCH_MUPDATE_H
#define T_BENCH_MUPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct client;

/* States of a client; a protocol's own begin after these. */
enum mupdate_state {
	MUPDATE_BANNER,
	MUPDATE_LOGIN,
	MUPDATE_READY
};

/*
 * Takes a line of the greeting or of the login, if that is where the client is:
 * true.  load_ready() is called when it is over.
 */
bool mupdate_greet(struct client *c, struct slice line);

/* 'TAG VERB "name" "server!default"' of this name. */
void mupdate_put(struct client *c, char tag, const char *verb,
    const char *name);

/* The rest of an ACTIVATE: the ACL, for this identifier. */
void mupdate_put_acl(struct client *c, const char *identifier);

#endif
