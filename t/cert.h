/*
 * cert: keys and certificates for tests, made on the spot.
 */
#ifndef T_CERT_H
#define T_CERT_H

#include "lib/slice.h"

struct cert;

/*
 * For a host name (in the subject and as the name that clients look for); with
 * an emailAddress if not NULL.  Signed by ca; NULL: a CA of its own.
 */
struct cert *cert_new(const struct cert *ca, const char *name,
    const char *email);
void cert_free(struct cert **cp);

/* PEM texts, borrowed. */
struct slice cert_pem(const struct cert *c);
struct slice cert_key(const struct cert *c);

#endif
