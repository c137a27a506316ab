/*
 * search: what a SEARCH asks, whether a message answers to it, the response.
 *
 * Keys are compiled into a program without recursion, depth and number
 * limited.  A message is tested with what is at hand; if that cannot decide,
 * the answer says what is needed, and the caller asks again with more:
 *
 *	switch (search_test(s, &facts)) {
 *	case SEARCH_NO:
 *	case SEARCH_YES:           ...
 *	case SEARCH_NEEDS_SUMMARY: facts.summary = ...; again
 *	case SEARCH_NEEDS_MESSAGE: facts.message = ...; again
 *
 * A search is read-only once parsed and bound, so search_test() may run in job
 * threads.  With the message given, time is linear in its octets times the
 * number of keys.
 */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/partial.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;
struct parse;
struct seqset;
struct summary;
struct search_node;

enum {
	SEARCH_DEPTH_MAX = 50,
	SEARCH_KEYS_MAX = 1000,
	SEARCH_TEXT_MAX = 1000,  /* octets of one string, folded */
	SEARCH_TEXTS_MAX = 50,   /* keys that look into the message */
	SEARCH_KEYWORDS_MAX = 64 /* different ones in one search */
};

/* The code of a NO: what can always be used. */
#define SEARCH_BADCHARSET \
	"BADCHARSET (US-ASCII UTF-8 ISO-8859-1 ISO-8859-15 WINDOWS-1252)"

enum search_return { /* bits */
	SEARCH_RETURN_MIN = 1 << 0,
	SEARCH_RETURN_MAX = 1 << 1,
	SEARCH_RETURN_ALL = 1 << 2,
	SEARCH_RETURN_COUNT = 1 << 3,
	SEARCH_RETURN_PARTIAL = 1 << 4, /* RFC 9394: search.window */
	SEARCH_RETURN_SAVE = 1 << 5,    /* RFC 5182 */
	SEARCH_RETURN_CONTEXT = 1 << 6, /* RFC 5267 */
	SEARCH_RETURN_UPDATE = 1 << 7
};

enum {
	/* Those that make a response. */
	SEARCH_RETURNS_DATA = (1 << 5) - 1
};

enum search_answer {
	SEARCH_NO,
	SEARCH_YES,
	SEARCH_NEEDS_SUMMARY,
	SEARCH_NEEDS_MESSAGE
};

struct search {
	struct search_node *nodes; /* search.c's own */
	unsigned count;
	bool esearch;     /* RETURN was given: answer with ESEARCH */
	unsigned returns; /* of enum search_return; never 0 if esearch */
	struct partial window;
	struct slice
	    update_items; /* UPDATE's, "(UID FLAGS)"; .ptr NULL: none */
	bool modseq;      /* MODSEQ was a key: answer with the highest */
	bool charset;     /* one was named */
	bool numbers;     /* message numbers are asked about */
	bool saved;       /* "$" is */
	bool emailid;
	bool flags; /* the answer changes with flags and MODSEQ */
	const struct slice *keywords; /* the different ones asked about */
	unsigned nkeywords;
	/*
	 * Messages whose flags differ from wanted_flags in these bits are not
	 * found, whatever else is asked; flags_only: all others are.
	 */
	unsigned flags_mask, wanted_flags;
	bool flags_only;
};

/*
 * Parse from after "SEARCH " to the command's end.  Everything lives in p's
 * arena.  NULL, or what to say: with BAD, or, if *badcharset is set, with
 * NO [BADCHARSET].
 */
const char *search_parse(struct parse *p, struct search *s,
    bool *badcharset) MUST_CHECK;

/* As if the client had said RETURN (ALL), if it said no RETURN. */
void search_want_esearch(struct search *s);

/*
 * The same in parts.  "RETURN (...) " if it is next; *s is set in any case.
 * Then the keys, with a charset before them as SEARCH has it or as SORT does.
 */
enum search_charset {
	SEARCH_CHARSET_NAMED, /* "CHARSET utf-8 ", or nothing */
	SEARCH_CHARSET_FIRST  /* "utf-8 " */
};
void search_parse_return(struct parse *p, struct search *s);
const char *search_parse_keys(struct parse *p, struct search *s,
    enum search_charset how, bool *badcharset) MUST_CHECK;

/*
 * What "*" means in this mailbox (0 if it is empty), and "$".  Before
 * search_test(), and again for another mailbox.  What it makes lives in the
 * arena; saved is borrowed.
 */
void search_bind(struct search *s, struct arena *a, uint32_t max_seq,
    uint32_t max_uid, const struct seqset *saved);

struct search_facts {
	int64_t now; /* seconds since 1970, for OLDER, YOUNGER */
	/* of the message */
	uint32_t seq, uid;
	uint64_t modseq, size_octets;
	int64_t internal_seconds; /* since 1970 UTC */
	int internal_zone;        /* minutes east */
	bool saved;
	int64_t saved_seconds;
	unsigned flags;    /* of enum flag_bits, FLAG_RECENT too */
	uint64_t keywords; /* bit i: has search.keywords[i] */
	struct slice emailid;
	struct slice threadid;         /* ptr NULL: the summary has it */
	const struct summary *summary; /* NULL: not at hand */
	struct slice message;          /* ptr NULL: not at hand */
};

enum search_answer search_test(const struct search *s,
    const struct search_facts *facts) MUST_CHECK;

/* What was found, gathered and then written. */
struct search_found {
	bool by_uid;             /* numbers are UIDs */
	bool sorted;             /* the answer to a SORT: not ascending */
	const uint32_t *numbers; /* borrowed */
	size_t count;
	uint64_t modseq; /* highest of them; 0: not to be shown */
	/* ESEARCH of a mailbox that need not be selected (RFC 7377). */
	struct slice mailbox; /* external name; ptr NULL: it is */
	bool utf8;            /* ...as it is, in quotes */
	uint32_t uidvalidity;
};

/*
 * "* SEARCH ...", "* SORT ..." or "* ESEARCH (TAG ...) ..." and CR LF; nothing
 * if only SAVE was asked for.  If MIN or MAX alone are asked for, modseq is of
 * those (RFC 7162 3.1.10).
 */
void search_write(struct buf *out, const struct search *s, struct slice tag,
    const struct search_found *found);

/*
 * RFC 5267: "* ESEARCH (TAG "B01") UID ADDTO (0 7:9)" and CR LF.  places are
 * the numbers' positions in the result, from 1 and ascending: after they were
 * added, or before they are removed.  NULL: in mailbox order, so 0 says it.
 */
enum search_update {
	SEARCH_ADDTO,
	SEARCH_REMOVEFROM
};
struct search_updated {
	enum search_update what;
	bool by_uid;
	const uint32_t *numbers;
	const uint32_t *places;
	size_t count; /* not 0 */
};
void search_write_update(struct buf *out, struct slice tag,
    const struct search_updated *u);

/* Octets that it may be, beside the mailbox's name. */
size_t search_write_size(const struct search_found *found);

#endif
