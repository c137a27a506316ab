/*
 * value: any argument of any command or response, as a tree.
 *
 * A proxy does not forward text, it writes commands anew, and most arguments
 * it need not understand for that.  The law: a value written and parsed again
 * is the same value.
 *
 * Trees have at most VALUE_DEPTH_MAX levels and VALUE_ITEMS_MAX nodes; a
 * command with more is refused.  Nothing here recurses.
 */
#ifndef IMAP_VALUE_H
#define IMAP_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/parse.h"
#include "lib/slice.h"

struct arena;
struct write;

enum {
	VALUE_DEPTH_MAX = 64,
	VALUE_ITEMS_MAX = 20000
};

enum value_kind {
	VALUE_ATOM,    /* word, number, NIL, flag, sequence set, pattern */
	VALUE_STRING,  /* quoted or literal; which of them is write's choice */
	VALUE_LIST,    /* ( items ) */
	VALUE_SECTION, /* BODY[ items ]<tail>: text, items, tail */
	VALUE_STREAM   /* a literal that is not here: size */
};

struct value {
	enum value_kind kind;
	bool binary;         /* STRING, STREAM: literal8 */
	bool has_tail;       /* SECTION: there is a <...> */
	struct slice text;   /* ATOM, STRING; SECTION: before the bracket */
	struct slice tail;   /* SECTION: between < and > */
	uint64_t size;       /* STREAM */
	struct value *items; /* LIST, SECTION: the first */
	struct value *next;  /* the following sibling */
};

/* One value.  NULL, and p failed, if there is none. */
struct value *value_parse(struct parse *p);

/*
 * All values to the end, separated by single spaces, with nothing before the
 * first; NULL if p is at its end, or failed.
 */
struct value *value_parse_all(struct parse *p);

/* One value and its descendants, not its siblings. */
void value_write(struct write *w, const struct value *v);

/* v and its siblings, separated by spaces.  NULL writes nothing. */
void value_write_all(struct write *w, const struct value *v);

/* Made by the caller, in the arena. */
struct value *value_atom(struct arena *a, struct slice text);
struct value *value_string(struct arena *a, struct slice text);

/* An atom that is this word, in any case. */
bool value_is(const struct value *v, const char *word);

/* Same trees (of v and w themselves, not their siblings)? */
bool value_equal(const struct value *v, const struct value *w);

size_t value_count(const struct value *first);

#endif
