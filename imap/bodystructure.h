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

/*
 * BODYSTRUCTURE, and BODY, which is the same without the extension data.  The
 * arena is for scratch.
 */
void bodystructure_write(struct buf *extended, struct buf *basic,
    struct arena *a, struct slice message, const struct mime *m);

#endif
