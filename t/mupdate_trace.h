/*
 * mupdate_trace: what the parser says of an input, as text, for tests whose
 * law is that the text does not depend on how the input is cut.
 */
#ifndef T_MUPDATE_TRACE_H
#define T_MUPDATE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mupdate.h"

struct mupdate_trace_opt {
	enum mupdate_side side;
	struct mupdate_limits limits;
	bool lines;      /* after AUTHENTICATE expect two of SASL's */
	const char *tag; /* client: expect lines from the start, with this */
};

/* size gives the octets of the next piece.  The text is the caller's. */
char *mupdate_trace(const uint8_t *in, size_t n,
    const struct mupdate_trace_opt *opt, size_t (*size)(void *arg), void *arg);

#endif
