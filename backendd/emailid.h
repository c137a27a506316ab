/*
 * emailid: a message's EMAILID (RFC 8474) as it is sent.
 */
#ifndef BACKENDD_EMAILID_H
#define BACKENDD_EMAILID_H

#include "lib/slice.h"

struct arena;

/* "M" and hexadecimal digits, in the arena. */
struct slice emailid_text(struct arena *a, const uint8_t id[16]);

#endif
