/*
 * write: commands and responses onto the wire.
 *
 * The only place that puts quotes, braces and CR LF.  What it writes goes into
 * a buf; ask buf_room() before and buf_failed() after.  Spaces are the
 * caller's, by write_sp().
 *
 *	write_untagged(&w, "LIST");          * LIST
 *	write_sp(&w);
 *	write_open(&w);                      (
 *	write_atom(&w, ...);                 \HasNoChildren
 *	write_close(&w);                     )
 *	write_sp(&w);
 *	write_string(&w, separator);         "/"
 *	write_sp(&w);
 *	write_mailbox(&w, name);             INBOX
 *	write_end(&w);
 */
#ifndef IMAP_WRITE_H
#define IMAP_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/command.h"
#include "imap/respcode.h"
#include "lib/slice.h"

struct buf;
struct date_time;
struct flags;
struct seqset;

enum write_side {
	WRITE_SERVER, /* literals are {n} */
	WRITE_CLIENT  /* ...{n+}: the peer has LITERAL+ */
};

enum write_status {
	WRITE_OK,
	WRITE_NO,
	WRITE_BAD,
	WRITE_BYE,
	WRITE_PREAUTH
};

/* Embed it, or make it on the stack; it owns nothing. */
struct write {
	struct buf *out; /* borrowed */
	enum write_side side;
	bool utf8; /* the peer takes it in quoted strings (RFC 6855) */
};

/* utf8 is false. */
void write_init(struct write *w, struct buf *out, enum write_side side);

/* Pieces. */
void write_sp(struct write *w);
void write_open(struct write *w);
void write_close(struct write *w);
void write_end(struct write *w);
void write_number(struct write *w, uint64_t n);

/* A word of ours or one that parse has accepted as an atom. */
void write_word(struct write *w, const char *word);
void write_atom(struct write *w, struct slice atom);

/* Text that imap/collect gave for a line: as it was, without CR, LF, NUL. */
void write_octets(struct write *w, struct slice text);

/* Atom, quoted or literal, whichever is the least that is right. */
void write_astring(struct write *w, struct slice s);

/* Quoted, or a literal if it must be. */
void write_string(struct write *w, struct slice s);

/* As write_string; NIL if s.ptr is NULL. */
void write_nstring(struct write *w, struct slice s);

/* Always a literal, "{n}" and the octets; literal8 for binary. */
void write_literal(struct write *w, struct slice s);
void write_literal8(struct write *w, struct slice s);

/* "{n}" CR LF; the caller sends the n octets after it. */
void write_literal_head(struct write *w, uint64_t n);
void write_literal8_head(struct write *w, uint64_t n);

/* The same, waiting for "+" whatever the side. */
void write_sync_literal_head(struct write *w, uint64_t n);

/* An external name. */
void write_mailbox(struct write *w, struct slice name);

/* "(\Seen $Junk)". */
void write_flags(struct write *w, const struct flags *f);
void write_seqset(struct write *w, const struct seqset *s);

/* "17-Jul-1996 02:44:25 -0700", in quotes. */
void write_date_time(struct write *w, const struct date_time *t);

/* "* NAME" / "* n NAME"; the latter's line is not ended either. */
void write_untagged(struct write *w, const char *name);
void write_untagged_number(struct write *w, uint64_t n, const char *name);

/* "tag NAME". */
void write_command(struct write *w, struct slice tag, const struct command *c);

/*
 * A status response whole: "tag OK [CODE] text" CR LF.  tag.len 0 means "*";
 * RESPCODE_NONE writes no code.  What cannot stand in text is written "?".
 */
void write_reply(struct write *w, struct slice tag, enum write_status status,
    enum respcode code, const char *text);

/*
 * The same in parts, for codes with arguments:
 *	write_status(w, tag, WRITE_OK);          tag OK
 *	write_code_open(w, RESPCODE_APPENDUID);  [APPENDUID
 *	write_sp(w); write_number(w, ...);        1 2
 *	write_code_close(w);                     ]
 *	write_text(w, "Done");                   Done
 *	write_end(w);
 */
void write_status(struct write *w, struct slice tag, enum write_status status);
void write_code_open(struct write *w, enum respcode code);
void write_code_close(struct write *w);

/* "[code] ", a code with its arguments, made of what may stand there. */
void write_code_text(struct write *w, const char *code);
void write_text(struct write *w, const char *text);

/* "+ text" CR LF.  text may be base64 of any length, or "". */
void write_continue(struct write *w, struct slice text);

/* A line as it is and CR LF: "DONE", base64.  It has no CR or LF itself. */
void write_line(struct write *w, struct slice line);

#endif
