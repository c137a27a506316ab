/*
 * parse: a cursor over one collected command or response.
 *
 * Each function takes one thing off the front.  Failure sticks: after the
 * first thing that is not as it should be the cursor stays where it is, every
 * further call returns something empty, and parse_error() has the text for the
 * BAD.  So read the lot, then ask once:
 *
 *	parse_sp(&p);
 *	mailbox = parse_mailbox(&p);
 *	parse_end(&p);
 *	if (parse_error(&p) != NULL)
 *		...BAD...
 *
 * A list:
 *
 *	parse_open(&p);
 *	while (parse_more(&p))
 *		item = parse_astring(&p);
 *
 * Slices point into the pieces where they can and into the arena where a
 * quoted string had escapes.
 */
#ifndef IMAP_PARSE_H
#define IMAP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/collect.h"
#include "lib/slice.h"

struct arena;
struct command;
struct date_time;
struct flags;
struct seqset;

enum parse_peek {
	PARSE_END = -1,     /* the command ends here */
	PARSE_LITERAL = -2, /* a literal is next, stored or streamed */
	PARSE_FAILED = -3   /* there was an error before */
};

/* Embed it; the members are parse.c's own. */
struct parse {
	struct arena *arena;
	const struct piece *piece; /* NULL: past the last */
	size_t at;
	const char *error;
	bool utf8;         /* 8-bit quoted strings are UTF-8, or wrong */
	struct piece only; /* of parse_init_text() */
};

/* Borrows arena and pieces. */
void parse_init(struct parse *p, struct arena *arena,
    const struct piece *pieces);

/*
 * The same as from has before it, over a copy of those pieces in the arena.
 * from is not one of parse_init_text().
 */
void parse_init_copy(struct parse *p, struct arena *arena,
    const struct parse *from);

/* Over text without literals: a line.  p may not be copied after. */
void parse_init_text(struct parse *p, struct arena *arena, struct slice text);

/* From now on (RFC 6855 3): the client has said that it will. */
void parse_want_utf8(struct parse *p);

/* NULL, or what was wrong first: static text fit for a BAD. */
const char *parse_error(const struct parse *p);

/* Fails with why (static) unless it has failed before. */
void parse_fail(struct parse *p, const char *why);

/* The next octet, or one of enum parse_peek.  Takes nothing. */
int parse_peek(const struct parse *p);

/* Is the text ahead this word, in any case, and then no atom character? */
bool parse_at_word(const struct parse *p, const char *word);

/* Takes c if it is next / the word if parse_at_word(). */
bool parse_try(struct parse *p, uint8_t c);
bool parse_try_word(struct parse *p, const char *word);

/* Takes c, one space, this word; or fails. */
void parse_char(struct parse *p, uint8_t c);
void parse_sp(struct parse *p);
void parse_word(struct parse *p, const char *word);

/* Nothing may be left. */
void parse_end(struct parse *p);

void parse_open(struct parse *p);

/* Inside a list: takes the space before an item, true; or ")", false. */
bool parse_more(struct parse *p);

struct slice parse_tag(struct parse *p);

/*
 * The command's name, "UID FETCH" being one.  NULL, and failed, if there is no
 * such command.
 */
const struct command *parse_command(struct parse *p);

struct slice parse_atom(struct parse *p);
struct slice parse_astring(struct parse *p);
struct slice parse_string(struct parse *p);

/* As parse_string, or NIL: then .ptr is NULL.  (A string's never is.) */
struct slice parse_nstring(struct parse *p);

/* An astring; INBOX in any case is given as "INBOX". */
struct slice parse_mailbox(struct parse *p);

/* As parse_astring, and % and * may stand unquoted. */
struct slice parse_list_mailbox(struct parse *p);

uint32_t parse_number(struct parse *p);
uint32_t parse_nz_number(struct parse *p);

/* At most 2^63-1, as modseqs are. */
uint64_t parse_number64(struct parse *p);

/* The streamed literal of an APPEND: its size.  *binary if literal8. */
uint64_t parse_stream(struct parse *p, bool *binary);

/* A flag list in parentheses / also without them, up to the end (STORE). */
void parse_flag_list(struct parse *p, struct flags *f);
void parse_store_flags(struct parse *p, struct flags *f);

/* date-time, quoted; date, quoted or not: midnight UTC. */
void parse_date_time(struct parse *p, struct date_time *t);
int64_t parse_date(struct parse *p);

/* Not resolved: may hold "*". */
void parse_seqset(struct parse *p, struct seqset *s);

/* The same, where "$" may be in it. */
void parse_seqset_saved(struct parse *p, struct seqset *s);

/*
 * The text between two places of the same command; .ptr NULL if a literal is
 * between them.  from is a copy of p, made before.
 */
struct slice parse_between(const struct parse *from, const struct parse *p);

/* Octets of text up to, not including, the next of these or the end. */
struct slice parse_until(struct parse *p, const char *stops);

/* All of the text that is left in this piece (resp-text and the like). */
struct slice parse_rest(struct parse *p);

#endif
