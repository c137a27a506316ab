/*
 * stores: what is to be stored and sent for one recipient, made from what its
 * script did.  Pure.
 *
 * Two actions that name the same mailbox are one store with both their flags.
 * The key of a store is the same at every attempt to deliver this message to
 * this recipient and mailbox, and different for any other.
 */
#ifndef PROXYD_STORES_H
#define PROXYD_STORES_H

#include <stddef.h>
#include <stdint.h>

#include "imap/mboxrec.h"
#include "lib/slice.h"

struct arena;

enum {
	STORES_KEY = 64 /* hexadecimal digits */
};

struct store_wish {
	struct slice mailbox; /* internal name */
	struct slice flags;   /* separated by spaces */
	/*
	 * A server that is not of our kind, and knows nothing but addresses,
	 * will put it there for this local part.  Empty: for none.
	 */
	struct slice plain;
	char server[MBOXREC_HOST];
	unsigned line;   /* of the script; 0: nobody asked for it */
	const char *why; /* for the log: static */
};

/* Zeroed, it is empty.  In an arena. */
struct stores {
	struct store_wish *at;
	size_t n, size;
};

/* Copies; adds, or joins the flags to those of the store that is there. */
void stores_add(struct arena *a, struct stores *s,
    const struct store_wish *wish);

/* digest: SHA-256 of the message as received.  Not NUL-terminated. */
void stores_key(char key[STORES_KEY], const uint8_t digest[32],
    struct slice recipient, struct slice target, const char *action);

/* Of two answers' codes the one that the sender must hear; 0 is none yet. */
int stores_worse(int a, int b);

#endif
