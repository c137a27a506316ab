/*
 * stream: a non-blocking connection, plain or TLS, with a buffer each way.
 *
 * The stream moves octets between the socket and its two buffers and tells the
 * owner when there are more, when there is room again, or when it is over.
 * The owner reads and writes the buffers, never the socket.
 *
 * A stream calls back only from the event loop, never from inside a call made
 * to it, so the owner may free it anywhere, its own callback included.  An idle
 * stream holds no buffer memory, of its own or in TLS.
 *
 * lib/stream.c speaks to the kernel; a simulation implements this same header
 * over memory, a virtual clock and a seed.
 */
#ifndef LIB_STREAM_H
#define LIB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"

struct buf;
struct err;
struct loop;
struct stream;
struct tls;

enum stream_event {
	STREAM_READ,    /* the in buffer has grown */
	STREAM_WRITTEN, /* the out buffer has shrunk */
	STREAM_SECURE,  /* the TLS handshake is done */
	STREAM_CLOSED   /* no more of anything; stream_error() tells why */
};

typedef void stream_cb(void *owner, enum stream_event ev);

struct stream_limits {
	size_t in, out; /* buffer ceilings, octets */
	unsigned idle;  /* seconds without an octet before STREAM_CLOSED */
};

/* Takes fd: it is the stream's to close.  Reading starts off. */
struct stream *stream_new(struct loop *loop, int fd,
    const struct stream_limits *limits, stream_cb *cb, void *owner);

/* Drops unsent output, closes, frees, and sets *sp to NULL. */
void stream_free(struct stream **sp);

/* Borrowed, for the life of the stream.  Call stream_flush() after puts. */
struct buf *stream_in(struct stream *s);
struct buf *stream_out(struct stream *s);

/*
 * The owner has no pointer to the buffers any more, from those two, nor to the
 * names of the ends: what need not be kept costs nothing from now on.
 */
void stream_rest(struct stream *s);

/* Sends what is in the out buffer as far as the socket takes it. */
void stream_flush(struct stream *s);

/*
 * No more will be put; STREAM_CLOSED comes when the last octet is sent (and
 * TLS closed), or in any case after seconds.
 */
void stream_finish(struct stream *s, unsigned seconds);

/*
 * Whether to read the socket from now on.  Idempotent: say what you want after
 * every event instead of tracking what you said before.
 */
void stream_want_read(struct stream *s, bool want);

/* Replaces limits->idle. */
void stream_set_idle(struct stream *s, unsigned seconds);

/*
 * Borrows tls, a context of the right side (server or client).  Discards input
 * not yet taken, as STARTTLS must.  What is in the out buffer goes out in the
 * clear before.  name: what a client expects of the certificate, NULL for none.
 */
int stream_start_tls(struct stream *s, struct tls *tls, const char *name,
    struct err *err) MUST_CHECK;

/*
 * Both sides compress from here on (RFC 4978), within TLS if there is any:
 * what is put from now on, and what comes.  Discards input not yet taken.
 * What waits for the stream to be read waits compressed too, so in is as
 * bounded as ever.
 */
void stream_start_deflate(struct stream *s);

/*
 * No more: what has been put is compressed, what will be is not.  So is what
 * the peer has sent behind its last block, if it ended with one.
 */
void stream_end_deflate(struct stream *s);
bool stream_is_deflated(const struct stream *s);

bool stream_is_secure(const struct stream *s);

/* After STREAM_SECURE: "TLSv1.3 TLS_AES_256_GCM_SHA384"; NULL if plain. */
const char *stream_tls_text(const struct stream *s);

/*
 * The peer certificate's subject, verified against the context's CA, as
 * SASL EXTERNAL's identity (its emailAddress, else its CN); NULL if none.
 */
const char *stream_tls_peer(const struct stream *s);

/*
 * "192.0.2.1:143" or "[2001:db8::1]:143" or a path; for the stream's life, or
 * until stream_rest().
 */
const char *stream_peer(const struct stream *s);
const char *stream_local(const struct stream *s);
bool stream_is_loopback(const struct stream *s);

/* Static text or the stream's own, after STREAM_CLOSED. */
const char *stream_error(const struct stream *s);

/* Octets moved so far, for the log. */
uint64_t stream_octets_in(const struct stream *s);
uint64_t stream_octets_out(const struct stream *s);

#endif
