/*
 * fetch_decode: parts of stored messages with their transfer encoding undone,
 * for BINARY.
 *
 * How long a part is must be said before it is sent, so it is measured first,
 * by decoding it; if it is small what came of that is kept, else it is decoded
 * again as the client takes it.  A window is held, never a part.
 */
#ifndef BACKENDD_FETCH_DECODE_H
#define BACKENDD_FETCH_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/fetch.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct fetch_decoding;
struct jobs;
struct store_mailbox;

typedef void fetch_decode_cb(void *arg);

/* Borrows mb, which is open as long. */
struct fetch_decoding *fetch_decode_new(struct store_mailbox *mb,
    struct jobs *jobs);

/* Nothing is under way; NULL is fine. */
void fetch_decode_free(struct fetch_decoding **dp);

enum fetch_decode_keep {
	FETCH_DECODE_COUNT,
	FETCH_DECODE_KEEP /* if it is small */
};

/* Never calls back from inside. */
void fetch_decode_measure(struct fetch_decoding *d, uint32_t uid,
    struct section_range r, enum transfer_encoding encoding,
    enum fetch_decode_keep keep, fetch_decode_cb *cb, void *arg);

/* What that found; octets in the arena.  False: it could not be read. */
bool fetch_decode_measured(struct fetch_decoding *d, struct arena *a,
    struct fetch_decoded *result);

/* A piece of a plan, to be sent: from its first octet that counts. */
void fetch_decode_open(struct fetch_decoding *d, uint32_t uid,
    const struct fetch_piece *p);
bool fetch_decode_is_open(const struct fetch_decoding *d);
void fetch_decode_close(struct fetch_decoding *d);

/* Borrowed until the drop. */
struct slice fetch_decode_at_hand(const struct fetch_decoding *d);
void fetch_decode_drop(struct fetch_decoding *d, size_t n);

/*
 * Nothing is at hand: reads on.  False: there is no more, or it cannot be
 * read; else cb comes, not from inside, perhaps with nothing at hand yet.
 */
bool fetch_decode_more(struct fetch_decoding *d, fetch_decode_cb *cb,
    void *arg) MUST_CHECK;

#endif
