/*
 * emailid: a message's EMAILID and THREADID (RFC 8474) as they are sent.
 */
#ifndef BACKENDD_EMAILID_H
#define BACKENDD_EMAILID_H

#include "lib/slice.h"

struct arena;

/* "M", "T", and hexadecimal digits, in the arena. */
struct slice emailid_text(struct arena *a, const uint8_t id[16]);
struct slice threadid_text(struct arena *a, const uint8_t id[16]);

#endif
