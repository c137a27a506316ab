/*
 * fetch: what a FETCH asks for, and the response for one message.
 *
 * A response is made as a plan: pieces in the order in which they go out, each
 * either text or a range of the message's octets, so that a 50 MB BODY[] is
 * copied nowhere.  The caller, for each message:
 *
 *	if (fetch_needs(&f) & FETCH_SUMMARY)
 *		facts.summary = ...from the cache;
 *	range = fetch_header_needed(&f, &facts);
 *	if (range.len > 0)
 *		facts.header = ...those octets of the message, read;
 *	if (fetch_needs(&f) & FETCH_DECODED)
 *		for each item, if fetch_decode_needed(...) is FETCH_DECODE
 *			facts.decoded[i] = ...of that range, decoded
 *	fetch_plan(&f, arena, &facts, &plan);
 *	...put plan.total octets, piece by piece
 *
 * Ranges are checked against facts.size_octets: what the plan names exists.
 */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/partial.h"
#include "imap/section.h"
#include "imap/transfer.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct parse;
struct summary;

enum fetch_kind {
	FETCH_UID,
	FETCH_FLAGS,
	FETCH_INTERNALDATE,
	FETCH_SIZE, /* RFC822.SIZE */
	FETCH_MODSEQ,
	FETCH_EMAILID,
	FETCH_THREADID,
	FETCH_SAVEDATE,
	FETCH_ENVELOPE,
	FETCH_BODY,          /* without brackets */
	FETCH_BODYSTRUCTURE, /* ... */
	FETCH_SECTION,       /* BODY[...], BODY.PEEK[...] */
	FETCH_RFC822,
	FETCH_RFC822_HEADER,
	FETCH_RFC822_TEXT,
	FETCH_PREVIEW, /* RFC 8970 */
	FETCH_BINARY,  /* BINARY[...], BINARY.PEEK[...] (RFC 3516) */
	FETCH_BINARY_SIZE,
	FETCH_KINDS
};

enum fetch_need {               /* bits */
	FETCH_SUMMARY = 1 << 0, /* facts.summary */
	FETCH_OCTETS = 1 << 1,  /* the plan may have ranges of the message */
	FETCH_LAZY = 1 << 2,    /* facts.summary, if it costs nothing */
	FETCH_DECODED = 1 << 3, /* facts.decoded */
	FETCH_OBJECTID = 1 << 4 /* facts.emailid */
};

enum {
	FETCH_ITEMS_MAX = 64,
	FETCH_HEADER_MAX = 256 * 1024 /* of a header, for HEADER.FIELDS */
};

struct fetch_item {
	enum fetch_kind kind;
	struct section section; /* SECTION, BINARY, BINARY_SIZE */
	bool lazy;              /* PREVIEW (LAZY) */
	bool partial;           /* <offset.count> was given */
	uint32_t offset;
	uint32_t count;
};

struct fetch {
	struct fetch_item items[FETCH_ITEMS_MAX];
	unsigned count;
	bool sets_seen;     /* some BODY[] without PEEK, RFC822, RFC822.TEXT */
	bool changed_since; /* CHANGEDSINCE was given... */
	uint64_t changed_modseq; /* ...with this */
	struct partial window;   /* PARTIAL, of the set of UIDs */
	bool vanished;           /* VANISHED was given (RFC 7162 3.2.6) */
	unsigned needs;          /* of enum fetch_need */
};

/* Asks for nothing. */
void fetch_init(struct fetch *f);

/* Ask for a plain item (not a SECTION) if that is not yet asked for. */
void fetch_want(struct fetch *f, enum fetch_kind kind);

/* UID FETCH: UID, and as the first unless the client said where. */
void fetch_want_uid(struct fetch *f);

/* "(UID FLAGS)" alone, from its "(" to its ")".  Failure is p's. */
void fetch_parse_items(struct parse *p, struct fetch *f);

/*
 * Parse from the item or "(" after the sequence set up to the command's end,
 * modifiers included; CHANGEDSINCE asks for MODSEQ.  Names live in p's arena.
 * NULL, or what to say with BAD.  A UID FETCH then wants the UID.
 */
const char *fetch_parse(struct parse *p, struct fetch *f) MUST_CHECK;

/* Of enum fetch_need: for all messages alike, so ask once. */
unsigned fetch_needs(const struct fetch *f);

/* What a part is when its transfer encoding is undone. */
struct fetch_decoded {
	uint64_t size;
	bool has_nul;
	struct slice octets; /* ptr NULL: not at hand, decode them again */
};

struct fetch_facts {
	uint32_t seq, uid;
	bool uidfetch; /* the client hears of no numbers (RFC 9586) */
	uint64_t modseq;
	uint64_t size_octets;     /* of the message */
	int64_t internal_seconds; /* since 1970 UTC */
	int internal_zone;        /* minutes east, for display */
	bool saved;               /* there is a save date: */
	int64_t saved_seconds;
	struct slice flags;    /* ready: "\Seen $Junk", no parentheses */
	struct slice emailid;  /* len 0: none */
	struct slice threadid; /* len 0: none, NIL */
	const struct summary *summary; /* NULL if not needed, or only by what
	                                  is lazy, and not at hand */
	struct slice header; /* the octets asked for, ptr NULL if none */
	struct section_range header_range;   /* ...where they are from */
	const struct fetch_decoded *decoded; /* by item; NULL: none needed */
};

/*
 * The octets of the message that must be read to make the plan: what
 * HEADER.FIELDS selects from and the summary has not kept.  len 0: none.
 * HEADER.FIELDS looks at the first FETCH_HEADER_MAX octets of a header only;
 * other sections have no limit.
 */
struct section_range fetch_header_needed(const struct fetch *f,
    const struct fetch_facts *facts);

enum fetch_decode {
	FETCH_DECODE_NOT,    /* no such item or part, or it is as it is */
	FETCH_DECODE,        /* *range, in *encoding */
	FETCH_DECODE_UNKNOWN /* NO [UNKNOWN-CTE] */
};

enum fetch_decode fetch_decode_needed(const struct fetch_item *item,
    const struct fetch_facts *facts, struct section_range *range,
    enum transfer_encoding *encoding);

struct fetch_piece {
	struct slice text;          /* ptr NULL: a range */
	struct section_range range; /* of the message */

	/* Not BINARY: the range is to be decoded; what counts are so many
	 * octets of that. */
	enum transfer_encoding encoding;
	uint64_t skip, take;
};

/* Octets of it that go out. */
uint64_t fetch_piece_len(const struct fetch_piece *p);

struct fetch_plan {
	const struct fetch_piece *pieces;
	size_t count;
	uint64_t total; /* octets of the whole response, CR LF included */
};

/* "* 7 FETCH (...)" CR LF.  Pieces and texts live in the arena. */
void fetch_plan(const struct fetch *f, struct arena *a,
    const struct fetch_facts *facts, struct fetch_plan *plan);

#endif
