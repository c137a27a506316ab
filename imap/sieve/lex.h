/*
 * lex: a Sieve script's tokens (RFC 5228 8.1), pulled one at a time.
 *
 * Strings come out as they are meant: unescaped, multi-line ones without their
 * dots.  Comments and white space are skipped, lines counted.
 */
#ifndef IMAP_SIEVE_LEX_H
#define IMAP_SIEVE_LEX_H

#include <stdint.h>

#include "lib/slice.h"

struct arena;

enum lex_kind {
	LEX_END,
	LEX_ERROR, /* .error says why */
	LEX_WORD,  /* .text: an identifier */
	LEX_TAG,   /* .text: without its colon */
	LEX_NUMBER,
	LEX_STRING, /* .text, in the arena */
	LEX_MARK    /* .mark: one of ( ) { } [ ] , ; */
};

struct lex_token {
	enum lex_kind kind;
	unsigned line;
	uint8_t mark;
	uint64_t number;
	struct slice text;
	const char *error; /* static */
};

/* Embed it; the members are lex.c's own. */
struct lex {
	struct arena *arena;
	struct slice rest;
	unsigned line;
};

/* Borrows arena and script. */
void lex_init(struct lex *l, struct arena *arena, struct slice script);

void lex_next(struct lex *l, struct lex_token *t);

#endif
