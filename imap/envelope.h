/*
 * envelope: the ENVELOPE of a message as RFC 9051 7.5.2 writes it.
 *
 * Text is passed on as it stands (encoded words stay encoded); 8-bit text goes
 * into literals, NULs are left out.
 */
#ifndef IMAP_ENVELOPE_H
#define IMAP_ENVELOPE_H

#include "lib/slice.h"

struct arena;
struct buf;

/* "(...)" for the header at the front of octets.  The arena is for scratch. */
void envelope_write(struct buf *out, struct arena *a, struct slice octets);

/* An nstring: NIL if s.ptr is NULL, else quoted or a literal; no NULs. */
void envelope_string(struct buf *out, struct arena *a, struct slice s);

#endif
