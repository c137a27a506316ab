/*
 * section: what stands between the brackets of BODY[...], RFC 9051 6.4.5.
 *
 * Every section but HEADER.FIELDS and HEADER.FIELDS.NOT is a range of the
 * message's octets and is found from the part table alone.  Those two are
 * rendered from the range of the header that they select from.
 */
#ifndef IMAP_SECTION_H
#define IMAP_SECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/mime.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;
struct parse;

enum section_text {
	SECTION_ALL, /* BODY[] or BODY[1.2] */
	SECTION_HEADER,
	SECTION_FIELDS,
	SECTION_FIELDS_NOT,
	SECTION_TEXT,
	SECTION_MIME
};

enum {
	SECTION_PATH_MAX = 64,
	SECTION_FIELDS_MAX = 200
};

struct section {
	const uint32_t *path;
	unsigned npath;
	enum section_text text;
	const struct slice *fields; /* names; upper or lower case as sent */
	unsigned nfields;
};

struct section_range {
	uint64_t at, len; /* octets of the message */
};

/* Parse "[...]", brackets in; p fails if it is none. */
void section_parse(struct parse *p, struct section *s);

/* The same of BINARY: part numbers, or nothing (RFC 3516). */
void section_parse_binary(struct parse *p, struct section *s);

/* "[...]", for the response. */
void section_write(struct buf *out, const struct section *s);

/* False: there is no such part, answer NIL.  FIELDS: the whole header. */
bool section_find(const struct section *s, const struct mime *m,
    struct section_range *r);

/* How the body of a part, which there is, is encoded; [] is not. */
enum mime_encoding section_encoding(const struct section *s,
    const struct mime *m);

/* For FIELDS and FIELDS_NOT: those fields of this header and an empty line. */
void section_fields(struct buf *out, const struct section *s,
    struct slice header);

#endif
