/*
 * header: the fields of an RFC 5322 header, found where they stand.
 *
 * Nothing is copied: a field is three slices of the caller's octets.  Stored
 * mail is not all clean, so lines may end in LF alone and a line that is no
 * field at all comes out as one with an empty name, its octets kept.
 *
 *	header_init(&it, octets);
 *	while (header_next(&it, &f))
 *		...
 *
 * The law: the fields' whole octets, one after another, are the header without
 * the empty line that ends it.  No octet is looked at twice, so a million
 * fields cost what their octets cost.
 */
#ifndef IMAP_HEADER_H
#define IMAP_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

struct arena;

struct header_field {
	struct slice
	    name; /* before the colon, spaces off; empty: not a field */
	struct slice value; /* after it, still folded, last line end off */
	struct slice whole; /* from the name to the last line end, both in */
};

/* Embed it; the members are header.c's own. */
struct header_iter {
	struct slice rest;
};

/* octets: a header, or a message or part that begins with one. */
void header_init(struct header_iter *it, struct slice octets);

/* False at the empty line or at the end of the octets. */
bool header_next(struct header_iter *it, struct header_field *f);

/* As header_next(): the next one of this name in any case. */
bool header_next_of(struct header_iter *it, struct slice name,
    struct header_field *f);

/* A list of names: HEADER_NAME("Subject"), ... */
struct header_name {
	size_t len;
	const char *text;
};
#define HEADER_NAME(s)           \
	{                        \
		sizeof(s) - 1, s \
	}

/* Which of them it is, in any case; n: none. */
size_t header_name_of(struct slice name, const struct header_name *names,
    size_t n);

/* The first field of each of n names, in one pass; name empty: there is none. */
void header_find_each(struct slice octets, const struct header_name *names,
    size_t n, struct header_field *fields);

/* The first field of this name in any case. */
bool header_find(struct slice octets, const char *name, struct header_field *f);

/* Octets of the header at the front, its empty line included. */
size_t header_length(struct slice octets);

/* Takes one line off the front, its end included; empty when all is taken. */
struct slice header_line(struct slice *octets);

/* Line ends gone, no spaces at the ends.  Copied only if it was folded. */
struct slice header_unfold(struct arena *a, struct slice value);

#endif
