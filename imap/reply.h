/*
 * reply: a server's responses, for a proxy.
 *
 * Each response is announced by its head: what kind it is, its number and
 * name.  The caller then has it either gathered whole, to be parsed, or passed
 * on octet for octet, literals counted and nothing held:
 *
 *	while ((ev = reply_next(&r, buf_data(in), buf_len(in), &item)) >
 *	    REPLY_MORE) {
 *		switch (ev) {
 *		case REPLY_HEAD:   look at item.head, then reply_gather() or
 *		                   reply_pass() or reply_drop()
 *		case REPLY_OCTETS: passed: put item.octets out (they begin
 *		                   with "* " and end with CR LF)
 *		case REPLY_GATHERED: nothing
 *		case REPLY_DONE:   gathered: parse reply_pieces()
 *		}
 *		buf_drop(in, item.taken);
 *	}
 *
 * REPLY_HEAD takes nothing: the octets come with what follows.  Gathered
 * pieces are those of imap/collect, starting at the "*" or the tag.  The law is
 * the framer's: cuts do not matter.
 *
 * CR LF ends lines, and a lone CR, LF or a NUL outside literals is an error;
 * so what is passed has exactly the boundaries that we saw.
 */
#ifndef IMAP_REPLY_H
#define IMAP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/collect.h"
#include "imap/parse.h"
#include "imap/respcode.h"
#include "imap/write.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;

enum {
	REPLY_HEAD_MAX = 256 /* octets: tag or "*", number, name */
};

enum reply_event {
	REPLY_ERROR = -1, /* unusable stream: reply_error() */
	REPLY_MORE = 0,
	REPLY_HEAD,
	REPLY_OCTETS,   /* only after reply_pass() */
	REPLY_GATHERED, /* some octets were stored; nothing to do */
	/* The response is over.  Head: its name and tag only if gathered. */
	REPLY_DONE
};

enum reply_kind {
	REPLY_CONTINUE, /* "+" */
	REPLY_STATUS,   /* "* OK" and its like */
	REPLY_DATA,     /* "* 12 FETCH", "* LIST" */
	REPLY_TAGGED    /* "a1 OK" */
};

struct reply_head {
	enum reply_kind kind;
	enum write_status status; /* STATUS, TAGGED */
	bool has_number;
	uint32_t number;   /* DATA: as in "* 12 FETCH" */
	struct slice name; /* DATA: "FETCH"; borrowed as octets are */
	struct slice tag;  /* TAGGED; borrowed as octets are */
};

struct reply_item {
	size_t taken;
	struct slice octets;    /* OCTETS: borrowed, the caller's buffer */
	struct reply_head head; /* HEAD: its slices are borrowed likewise */
};

struct reply_limits {
	size_t text_max;    /* of a gathered response */
	size_t literal_max; /* its literals together */
};

enum reply_state {
	REPLYING_HEAD,   /* at the start of a response */
	REPLYING_HELD,   /* HEAD said, nothing decided */
	REPLYING_PASS,   /* text, passed or dropped */
	REPLYING_GATHER, /* text, gathered by lines */
	REPLYING_OCTETS, /* a literal */
	REPLYING_DEAD
};

/* Embed it; the members are reply.c's own. */
struct reply {
	unsigned magic;
	enum reply_state state;
	enum reply_kind kind;
	struct reply_head head; /* of this response */
	struct reply_limits limits;
	struct arena *arena; /* of the response being gathered, or NULL */
	struct piece *first, *last;
	size_t scanned;      /* octets of this line already looked at */
	size_t text, stored; /* octets gathered */
	size_t filled;       /* octets of last, a literal, that are here */
	uint64_t left;       /* octets of the literal still to come */
	uint64_t size;       /* literal announced so far by this line */
	unsigned brace;      /* where in "{123}" CR LF we are */
	bool cr, quoted, escaped, dropping, over, binary;
	const char *error;
};

void reply_init(struct reply *r, const struct reply_limits *limits);

enum reply_event reply_next(struct reply *r, const uint8_t *in, size_t n,
    struct reply_item *item) MUST_CHECK;

/* After REPLY_HEAD.  Gathering borrows arena until REPLY_DONE. */
void reply_gather(struct reply *r, struct arena *arena);
void reply_pass(struct reply *r);
void reply_drop(struct reply *r); /* as passed; the OCTETS are empty */

/* After REPLY_DONE of a gathered response; in its arena. */
const struct piece *reply_pieces(const struct reply *r);

const char *reply_error(const struct reply *r);

/*
 * A gathered status or tagged response taken apart.  code is RESPCODE_NONE and
 * code_name empty without one; code_args is what follows the name in the
 * brackets, without the space.  All in the pieces.
 */
struct reply_text {
	enum respcode code;
	struct slice code_name, code_args, text;
};

void reply_parse_text(const struct piece *pieces, struct reply_text *t);

/*
 * p over a gathered DATA response, set behind its name: at the space in
 * "* LIST ()" and "* 12 FETCH (", at the end of "* 3 EXISTS".
 */
void reply_parse_data(struct parse *p, struct arena *arena,
    const struct piece *pieces);

#endif
