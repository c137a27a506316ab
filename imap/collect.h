/*
 * collect: gather one command, its text and its literals, for the parser.
 *
 * The framer says where lines and literals are; collect decides about the
 * literals, copies everything into the command's arena and hands the command
 * over whole.  What is too much is refused before it is stored.  One command
 * at a time: until collect_done(), or while a literal waits for a decision,
 * collect_next() says COLLECT_MORE and looks at nothing.
 *
 *	while ((ev = collect_next(&c, buf_data(in), buf_len(in), &item)) >
 *	    COLLECT_MORE) {
 *		switch (ev) {
 *		case COLLECT_GATHERED: nothing
 *		case COLLECT_CONTINUE: write "+ OK"
 *		case COLLECT_REFUSED:  answer collect_tag() with BAD or NO
 *		                       [TOOBIG] item.why, then collect_done()
 *		case COLLECT_STREAM:   parse what is there; collect_accept()
 *		                       (and write "+ OK" if item.sync), or
 *		                       collect_refuse(), or collect_skip()
 *		case COLLECT_DATA:     put item.octets where they go
 *		case COLLECT_COMMAND:  parse, run; when answered collect_done()
 *		case COLLECT_LINE:     after collect_want_line() only
 *		}
 *		buf_drop(in, item.taken);
 *	}
 *
 * item.octets point into the caller's buffer: use them before the drop.  The
 * pieces are in the arena.
 *
 * The literal of a CMD_STREAM command (APPEND) that is not its first argument
 * is not stored: it becomes a PIECE_STREAM with its size, and its octets come
 * as COLLECT_DATA, in parts.  A small literal can be wanted whole; that is for
 * the caller to do.  A literal behind the word URL, one of CATENATE's, is
 * stored.
 */
#ifndef IMAP_COLLECT_H
#define IMAP_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/framer.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;

enum piece_kind {
	PIECE_TEXT,    /* octets without {n} and CRLF; may be empty */
	PIECE_LITERAL, /* octets of a literal */
	PIECE_STREAM   /* a literal whose octets went elsewhere; size only */
};

struct piece {
	enum piece_kind kind;
	struct slice octets; /* in the command's arena */
	uint64_t size;       /* of a literal */
	bool binary;         /* literal8 */
	struct piece *next;
};

struct collect_limits {
	size_t text_max;     /* a command's lines together */
	size_t literal_max;  /* its stored literals together */
	size_t literals_max; /* ...and how many */
};

/* What not every server has. */
struct collect_extras {
	uint64_t nonsync_max; /* of an {n+} (LITERAL-); 0: as of any */
	size_t stream_text;   /* text that each streamed literal brings with
	                         it, beside text_max: flags, a date */
};

enum collect_dialect {
	COLLECT_IMAP,
	COLLECT_SIEVE /* ManageSieve: clients may send {n+} only */
};

enum collect_event {
	COLLECT_ERROR = -1, /* unusable stream, say BYE: collect_error() */
	COLLECT_MORE = 0,   /* nothing complete yet */
	COLLECT_GATHERED,   /* some octets were stored; nothing to do */
	COLLECT_CONTINUE,   /* a literal is welcome: write "+ OK" */
	COLLECT_REFUSED,    /* a literal was not: answer item.why */
	COLLECT_STREAM,     /* a literal to be streamed: decide */
	COLLECT_DATA,       /* some of its octets */
	COLLECT_COMMAND,    /* the command is complete: collect_pieces() */
	COLLECT_LINE        /* the line asked for: item.octets */
};

struct collect_item {
	size_t taken;        /* octets the caller now drops */
	struct slice octets; /* DATA, LINE: borrowed, the caller's buffer */
	uint64_t size;       /* STREAM: octets announced */
	bool sync;           /* STREAM: the client waits for "+" */
	bool too_big;        /* REFUSED, ERROR: for its size, [TOOBIG] fits;
	                        STREAM: more than LITERAL- allows */
	const char *why;     /* REFUSED: static text */
};

enum collect_state {
	COLLECTING_TEXT,
	COLLECTING_LITERAL,
	COLLECTING_HELD,   /* STREAM said, nothing decided */
	COLLECTING_STREAM, /* handing out its octets */
	COLLECTING_SKIP,   /* dropping them */
	COLLECTING_LINE,   /* the next line is no command */
	COLLECTED,         /* COMMAND or REFUSED said */
	COLLECTING_DEAD
};

/* Embed it; the members are collect.c's own. */
struct collect {
	unsigned magic;
	enum collect_state state;
	enum collect_dialect dialect;
	struct framer framer;
	struct collect_limits limits;
	const struct collect_extras *extras;
	struct arena *arena;
	struct piece *first, *last;
	size_t filled;   /* octets of last, a literal, that are here */
	size_t stored;   /* octets of literals, this command */
	size_t literals; /* how many literals, this command */
	const char *error;
};

/* Borrows arena, which is the command's and empties at collect_done(). */
void collect_init(struct collect *c, enum collect_dialect dialect,
    const struct collect_limits *limits, struct arena *arena);

/* From now on; borrowed. */
void collect_set_extras(struct collect *c, const struct collect_extras *extras);

/* From the next command on: more is allowed after login than before. */
void collect_set_limits(struct collect *c, const struct collect_limits *limits);

enum collect_event collect_next(struct collect *c, const uint8_t *in, size_t n,
    struct collect_item *item) MUST_CHECK;

/* After COLLECT_STREAM.  Its octets come as COLLECT_DATA. */
void collect_accept(struct collect *c);

/* After COLLECT_STREAM with item.sync: answer NO, then collect_done(). */
void collect_refuse(struct collect *c);

/*
 * After COLLECT_STREAM without item.sync, when the answer will be NO: take the
 * octets and drop them; COLLECT_COMMAND comes when they are through.
 */
void collect_skip(struct collect *c);

/*
 * The command, complete after COLLECT_COMMAND, and as far as it is there after
 * COLLECT_STREAM, where the PIECE_STREAM is last.  Borrowed until
 * collect_done().
 */
const struct piece *collect_pieces(const struct collect *c);

/* The tag to answer with; "*" if there is none that is well formed. */
struct slice collect_tag(const struct collect *c);

/*
 * The command has been answered.  Wipes what it held, which may have been a
 * password, resets the arena, and is ready for the next.
 */
void collect_done(struct collect *c);

/*
 * The next line answers a "+" of ours (AUTHENTICATE, IDLE) and is no command:
 * it comes as COLLECT_LINE, once.  Legal while a command is being run, and
 * before the first octet of one.
 */
void collect_want_line(struct collect *c);

/* No line any more (IDLE ended by us); the command still needs its _done. */
void collect_unwant_line(struct collect *c);

/* Has nothing of a command arrived?  Then an idle session may be let go. */
bool collect_is_idle(const struct collect *c);

/* Static text after COLLECT_ERROR, fit for the client; NULL before it. */
const char *collect_error(const struct collect *c);

#endif
