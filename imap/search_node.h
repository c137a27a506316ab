/*
 * search_node: a SEARCH program, for search's own files.
 *
 * Keys stand in the order in which they were sent, each node before its
 * children: AND, OR and NOT are nodes whose children name them as parent.
 */
#ifndef IMAP_SEARCH_NODE_H
#define IMAP_SEARCH_NODE_H

#include <stdint.h>

#include "imap/needle.h"
#include "imap/seqset.h"
#include "lib/slice.h"

enum search_op {
	OP_AND,
	OP_OR,
	OP_NOT,
	OP_ALL,
	OP_SEQ,     /* set */
	OP_UID,     /* set */
	OP_FLAGS,   /* (flags & mask) == number */
	OP_KEYWORD, /* number: of search.keywords */
	OP_UNKEYWORD,
	OP_BEFORE, /* number: a day since 1970 */
	OP_ON,
	OP_SINCE,
	OP_SENTBEFORE,
	OP_SENTON,
	OP_SENTSINCE,
	OP_SAVEDBEFORE,
	OP_SAVEDON,
	OP_SAVEDSINCE,
	OP_SAVEDATESUPPORTED,
	OP_LARGER, /* number: octets */
	OP_SMALLER,
	OP_OLDER, /* number: seconds */
	OP_YOUNGER,
	OP_MODSEQ,  /* number */
	OP_EMAILID, /* name */
	OP_THREADID,
	OP_HEADER, /* name, needle */
	OP_BODY,   /* needle */
	OP_TEXT
};

struct search_node {
	enum search_op op;
	unsigned parent; /* of the first: itself */
	unsigned mask;
	uint64_t number;
	struct slice name;
	struct seqset sent, set;    /* as sent, and resolved */
	const struct seqset *saved; /* "$" is in it: UIDs; or NULL */
	struct needle needle;
};

#endif
