/*
 * tls_conn: one TLS connection over a non-blocking socket.  For lib/stream.
 *
 * It does what a socket does, except that reading may have to write and the
 * other way round, and that it holds octets back: a read that was not answered
 * with TLS_WANT_* must be repeated without waiting for the descriptor.
 */
#ifndef LIB_TLS_CONN_H
#define LIB_TLS_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"

struct err;
struct tls;
struct tls_conn;

enum tls_result {
	TLS_DONE,       /* some octets moved, or the step is complete */
	TLS_WANT_READ,  /* again when the descriptor is readable */
	TLS_WANT_WRITE, /* ...writable */
	TLS_CLOSED,     /* the peer has closed */
	TLS_FAILED      /* *err tells */
};

/* Borrows fd.  name: whom a client expects, NULL for anybody. */
struct tls_conn *tls_conn_new(struct tls *t, int fd, const char *name,
    struct err *err) MUST_CHECK;
void tls_conn_free(struct tls_conn **cp);

enum tls_result tls_conn_handshake(struct tls_conn *c,
    struct err *err) MUST_CHECK;
enum tls_result tls_conn_read(struct tls_conn *c, void *p, size_t *n,
    struct err *err) MUST_CHECK;

/* After TLS_WANT_* the same octets must be given again, or more. */
enum tls_result tls_conn_write(struct tls_conn *c, const void *p, size_t *n,
    struct err *err) MUST_CHECK;

/* Says that no more will be written. */
enum tls_result tls_conn_close(struct tls_conn *c, struct err *err) MUST_CHECK;

/* For the connection's life; see lib/stream.h. */
const char *tls_conn_text(struct tls_conn *c);
const char *tls_conn_peer(struct tls_conn *c);

#endif
