/*
 * letter: a message that has come in whole, with what is to be known of it
 * before it is stored: its summary for the store's cache, and its EMAILID.
 *
 * The EMAILID is a digest of the octets, so that a message that reaches several
 * mailboxes, on whatever server, has one (RFC 8474 4.1).
 *
 * Made once, then delivered to as many mailboxes as need be.
 */
#ifndef BACKENDD_LETTER_H
#define BACKENDD_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct blob;
struct jobs;
struct letter;
struct loop;

/* Gives l. */
typedef void letter_cb(void *arg, struct letter *l);

/*
 * Takes blob, which has ended (blob_end()).  Large ones are looked at in a
 * job, small ones here; either way cb is called later, never from inside.
 */
void letter_make(struct loop *loop, struct jobs *jobs, struct blob *blob,
    letter_cb *cb, void *arg);

struct letter_order {
	struct blob *blob;     /* ended; becomes the letter's */
	struct letter *letter; /* set when cb is called; the caller's to free */
};
typedef void letters_cb(void *arg);

/*
 * Many at once, looked at side by side in jobs; at least one.  Borrows the
 * orders until cb, which is never called from inside; takes their blobs.
 */
void letters_make(struct jobs *jobs, struct letter_order *orders, size_t n,
    letters_cb *cb, void *arg);

/* Frees the blob too; NULL is fine. */
void letter_free(struct letter **lp);

/* No message may have one where it is not sent as a literal8 (RFC 9051 4.3). */
bool letter_has_nul(const struct letter *l);

/* Borrowed, for the life of the letter. */
struct slice letter_octets(const struct letter *l);
struct slice letter_cache(const struct letter *l);
const uint8_t *letter_emailid(const struct letter *l); /* 16 octets */

#endif
