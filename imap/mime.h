/*
 * mime: the parts of a message, by offsets.
 *
 * One pass over the octets makes a flat table of parts in the order in which
 * they stand; nothing recurses and nothing is copied.  Past the limits on
 * depth or number, what is inside a part is left unopened: the part is then an
 * opaque leaf, the rest of the message is still served octet for octet, and
 * mime.cut says so.
 *
 * A boundary line is "--boundary" with only spaces behind it, or the same with
 * "--" for the last; the line end before it belongs to it.  A boundary of an
 * outer part ends the inner ones.  Lines may end in LF alone.
 *
 * message/rfc822 and message/global without a transfer encoding are opened:
 * such a part has one child, the message in it.
 */
#ifndef IMAP_MIME_H
#define IMAP_MIME_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/header.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;

enum {
	MIME_NONE = UINT16_MAX /* no such part */
};

struct mime_limits {
	unsigned depth; /* of parts in parts, at most 64 */
	unsigned parts; /* of a message, below MIME_NONE */
};

extern const struct mime_limits mime_limits_default; /* 64, 4000 */

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART,
	MIME_MESSAGE, /* its first child is the message in it */
	MIME_KINDS
};

/* What a part's lack of a Content-Type means; also RFC 2046 5.1.5. */
enum mime_default {
	MIME_DEFAULT_TEXT,
	MIME_DEFAULT_MESSAGE /* in multipart/digest */
};

/* How a part's body is encoded, for who decodes it. */
enum mime_encoding {
	MIME_IDENTITY, /* 7bit, 8bit, binary, or not said */
	MIME_BASE64,
	MIME_QUOTED,
	MIME_UNKNOWN, /* something else */
	MIME_ENCODINGS
};

/* Offsets are from the message's first octet. */
struct mime_part {
	uint64_t header_at;
	uint64_t header_len; /* the empty line included */
	uint64_t body_at, body_len;
	uint32_t body_lines; /* line ends in the body */
	uint16_t parent;     /* of part 0: MIME_NONE */
	uint16_t child;      /* the first, or MIME_NONE */
	uint16_t next;       /* sibling, or MIME_NONE */
	uint16_t depth;
	enum mime_kind kind;
	enum mime_default fallback;
	enum mime_encoding encoding;
};

struct mime_said;

struct mime {
	const struct mime_part *parts; /* [0] is the message itself */
	unsigned count;                /* at least 1 */
	bool cut;                      /* limits left something unopened */
	const struct mime_said *said;  /* see mime_said_of(); or NULL */
};

/* The table lives in the arena. */
void mime_parse(struct arena *a, struct slice message,
    const struct mime_limits *limits, struct mime *m);

/* The same; what was found in headers is kept in scratch, as m->said. */
void mime_parse_said(struct arena *a, struct arena *scratch,
    struct slice message, const struct mime_limits *limits, struct mime *m);

/* A Content-Type, Content-Disposition or similar value, taken apart. */
struct mime_param {
	struct slice name;  /* as it stands: "filename*0*" */
	struct slice value; /* without quotes */
};

struct mime_value {
	struct slice type, subtype; /* subtype len 0: no slash */
	const struct mime_param *params;
	unsigned nparams;
};

enum {
	MIME_PARAMS_MAX = 100 /* of one field; what follows is dropped */
};

/* False if there is no type.  Comments are skipped.  Copies only to unquote. */
bool mime_value_parse(struct arena *a, struct slice value,
    struct mime_value *v);

/* The parameter's value, len 0 and ptr NULL if there is none. */
struct slice mime_param_find(const struct mime_value *v, const char *name);

/*
 * The Content-Type of a header, or what its absence means; _from if the field
 * has been found, or has not: its name is empty.
 */
void mime_type_of(struct arena *a, struct slice header,
    enum mime_default fallback, struct mime_value *v);
void mime_type_from(struct arena *a, const struct header_field *f,
    enum mime_default fallback, struct mime_value *v);

/* The fields of a header that speak of the part. */
enum mime_field {
	MIME_FIELD_TYPE,
	MIME_FIELD_ENCODING,
	MIME_FIELD_ID,
	MIME_FIELD_DESCRIPTION,
	MIME_FIELD_MD5,
	MIME_FIELD_DISPOSITION,
	MIME_FIELD_LANGUAGE,
	MIME_FIELD_LOCATION,
	MIME_FIELDS
};

/* What a part's header says of it; slices of the message, mostly. */
struct mime_said {
	struct header_field fields[MIME_FIELDS]; /* name empty: none */
	struct mime_value type;                  /* or what its absence means */
	bool known;
	uint64_t header_len; /* as far as was looked */
};

/* Of part i: borrowed from m->said, or found now, in the arena. */
const struct mime_said *mime_said_of(const struct mime *m, unsigned i,
    struct arena *a, struct slice message);

/* The slice of the message that is a part's header, or its body. */
struct slice mime_header(const struct mime_part *p, struct slice message);
struct slice mime_body(const struct mime_part *p, struct slice message);

#endif
