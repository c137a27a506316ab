/*
 * assemble: a message made of pieces: octets at hand, octets to be put into
 * base64, and octets of stored messages.
 *
 * Pieces are read and written a window at a time, so the message may be as
 * long as any; nothing blocks the loop.
 */
#ifndef BACKENDD_ASSEMBLE_H
#define BACKENDD_ASSEMBLE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct backendd;
struct blob;
struct mailbox;

enum assemble_kind {
	ASSEMBLE_OCTETS, /* may be a mapped file */
	ASSEMBLE_BASE64, /* the same, as lines of base64 */
	ASSEMBLE_STORED
};

struct assemble_piece {
	enum assemble_kind kind;
	struct slice octets; /* borrowed until the call back */
	struct mailbox *m;   /* STORED: the caller's hold, until then */
	uint32_t uid;
	uint64_t at, len; /* within the message */
};

/* Gives b, which has ended; or NULL and why not. */
typedef void assemble_cb(void *arg, struct blob *b, const char *why);

/*
 * What is longer than memory goes to a file.  Pieces have octets.  Never calls
 * back from inside; they live until then.
 */
void assemble(struct backendd *bd, const struct assemble_piece *pieces,
    size_t n, size_t memory, assemble_cb *cb, void *arg);

#endif
