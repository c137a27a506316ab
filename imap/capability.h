/*
 * capability: what a server offers, as a set of bits, and when it may be said.
 *
 * A daemon states the set it can do; capability_put() writes those of it that
 * are to be offered now.
 */
#ifndef IMAP_CAPABILITY_H
#define IMAP_CAPABILITY_H

#include <stdint.h>

struct buf;

enum capability {
#define CAPABILITY(id, name, when) CAPABILITY_##id,
#include "imap/capability.def"
#undef CAPABILITY
	CAPABILITY_MAX
};

#define CAPABILITY_BIT(id) (UINT64_C(1) << CAPABILITY_##id)

enum capability_when {              /* bits */
	CAPABILITY_PLAIN = 1 << 0,  /* not authenticated, no TLS yet */
	CAPABILITY_BEFORE = 1 << 1, /* not authenticated */
	CAPABILITY_AFTER = 1 << 2   /* authenticated */
};

/*
 * Writes "IMAP4rev1 LITERAL+ ... AUTH=PLAIN", with no space at either end, of
 * the set what may be said now.  now is BEFORE, BEFORE|PLAIN or AFTER.
 * mechs is a list of mechanism names separated by spaces, or "": they are
 * offered before login only.
 */
void capability_put(struct buf *out, uint64_t set, unsigned now,
    const char *mechs);

#endif
