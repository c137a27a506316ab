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

/*
 * Those of one command, looked at in jobs, many in each, while more come in.
 *
 *	for each message that has come in:
 *		letters_add(ls, number, blob);
 *	if (letters_ready(ls, cb, arg))
 *		...at once what cb would do...
 *	l = letters_take(ls, number);
 */
struct letters;

struct letters *letters_new(struct jobs *jobs);

/* What jobs look at meanwhile goes when they have; NULL is fine. */
void letters_free(struct letters **lsp);

/* Of a blob that has ended; a number is an index, and used once. */
void letters_add(struct letters *ls, size_t number, struct blob *blob);

/* Has one of that number been added? */
bool letters_has(const struct letters *ls, size_t number);

/*
 * Have all that were added been looked at?  If not, cb is called when they
 * have; never from inside.
 */
typedef void letters_cb(void *arg);
bool letters_ready(struct letters *ls, letters_cb *cb, void *arg);

/* When they are ready: gives it, the caller's to free. */
struct letter *letters_take(struct letters *ls, size_t number);

/* Frees the blob too; NULL is fine. */
void letter_free(struct letter **lp);

/* No message may have one where it is not sent as a literal8 (RFC 9051 4.3). */
bool letter_has_nul(const struct letter *l);

/* Borrowed, for the life of the letter. */
struct slice letter_octets(const struct letter *l);
struct slice letter_cache(const struct letter *l);
const uint8_t *letter_emailid(const struct letter *l); /* 16 octets */

#endif
