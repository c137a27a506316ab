/*
 * id: RFC 2971.  A list of fields and values, or NIL.
 */
#ifndef IMAP_ID_H
#define IMAP_ID_H

#include <stddef.h>

#include "imap/parse.h"
#include "imap/write.h"
#include "lib/slice.h"

enum {
	ID_PAIRS_MAX = 30,
	ID_FIELD_MAX = 30,
	ID_VALUE_MAX = 1024
};

struct id_pair {
	struct slice field;
	struct slice value; /* .ptr NULL: NIL */
};

struct id {
	struct id_pair pairs[ID_PAIRS_MAX];
	size_t n; /* 0: NIL */
};

/* The argument of ID or of "* ID"; p fails if it is too much. */
void id_parse(struct parse *p, struct id *id);

void id_write(struct write *w, const struct id *id);

/* The value of a field in any case; .ptr NULL if it is not there. */
struct slice id_get(const struct id *id, const char *field);

#endif
