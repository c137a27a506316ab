/*
 * flag: message flags: the system's as bits, keywords as names.
 *
 * Flags are compared in any ASCII case; the case first seen is kept.
 */
#ifndef IMAP_FLAG_H
#define IMAP_FLAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct arena;
struct buf;

enum flag_bits { /* stored on disk: never renumber */
	FLAG_SEEN = 1 << 0,
	FLAG_ANSWERED = 1 << 1,
	FLAG_FLAGGED = 1 << 2,
	FLAG_DELETED = 1 << 3,
	FLAG_DRAFT = 1 << 4,
	FLAG_RECENT = 1 << 5, /* never stored, never taken from a client */
	FLAG_ALL =
	    FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT
};

enum {
	FLAG_KEYWORDS_MAX = 128, /* keywords in one list */
	FLAG_KEYWORD_MAX = 128   /* octets of one */
};

/* Zeroed, it has none.  Names are borrowed from where they were parsed. */
struct flags {
	unsigned system; /* of enum flag_bits */
	size_t n;
	struct slice *keywords; /* in the arena, without repetitions */
};

/*
 * One flag as a client may send it, "\Seen" or "$Junk": adds it.  NULL, or why
 * not: static text.  "\Recent" and unknown "\..." are refused.
 */
const char *flags_add(struct arena *a, struct flags *f, struct slice flag);

/*
 * Flags separated by spaces, without parentheses (XFLAGS, a spooled list).
 * NULL or why not.
 */
const char *flags_parse(struct arena *a, struct slice list, struct flags *f);

/* As on the wire, without parentheses: "\Answered \Seen $Junk". */
void flags_put(struct buf *out, const struct flags *f);

/* May it be one?  Else it could not be sent. */
bool flag_is_keyword(struct slice name);

bool flags_has_keyword(const struct flags *f, struct slice keyword);

/* A system flag's bit, or 0; its name.  "\Recent" is known here. */
unsigned flag_bit(struct slice name);
const char *flag_name(unsigned bit);

#endif
