/*
 * bodystructure: BODY and BODYSTRUCTURE of a message, RFC 9051 7.5.2.
 *
 * Parameters are given as they stand (RFC 2231 forms included), types and
 * encodings in upper case, and what is missing as the RFC's defaults.
 */
#ifndef IMAP_BODYSTRUCTURE_H
#define IMAP_BODYSTRUCTURE_H

#include "lib/slice.h"

struct arena;
struct buf;
struct mime;

enum bodystructure_form {
	BODYSTRUCTURE_BASIC,   /* BODY */
	BODYSTRUCTURE_EXTENDED /* BODYSTRUCTURE: with the extension data */
};

/* The arena is for scratch. */
void bodystructure_write(struct buf *out, struct arena *a, struct slice message,
    const struct mime *m, enum bodystructure_form form);

#endif
