/*
 * respcode: the names in brackets of OK, NO, BAD and BYE.
 */
#ifndef IMAP_RESPCODE_H
#define IMAP_RESPCODE_H

#include "lib/slice.h"

enum respcode {
	RESPCODE_NONE, /* no code; from respcode_find(): one we do not know */
#define RESPCODE(id, name) RESPCODE_##id,
#include "imap/respcode.def"
#undef RESPCODE
	RESPCODE_MAX
};

/* As on the wire; code is not NONE. */
const char *respcode_name(enum respcode code);

/* In any case. */
enum respcode respcode_find(struct slice name);

#endif
