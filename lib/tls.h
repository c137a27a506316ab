/*
 * tls: contexts.  The only user of OpenSSL's SSL_*; lib/stream drives it.
 *
 * TLS 1.2 and later, OpenSSL's defaults for ciphers, no renegotiation, no
 * compression, buffers released when idle.
 */
#ifndef LIB_TLS_H
#define LIB_TLS_H

#include <stdbool.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;
struct tls;

/* PEM texts, read by the parent: children never open key files. */
struct tls_material {
	struct slice cert; /* chain, leaf first */
	struct slice key;
	struct slice ca; /* whom to trust; empty: nobody (server),
	                      the system's store (client) */
	bool require;    /* server: demand a client certificate;
	                      client: verify the server's */
};

struct tls *tls_server_new(const struct tls_material *m,
    struct err *err) MUST_CHECK;
struct tls *tls_client_new(const struct tls_material *m,
    struct err *err) MUST_CHECK;

/* Counted: streams in use keep it alive. */
void tls_free(struct tls **tp);

#endif
