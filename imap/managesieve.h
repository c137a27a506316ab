/*
 * managesieve: RFC 5804's commands, and the writing of its responses.
 *
 * Commands are gathered by imap/collect with COLLECT_SIEVE and parsed here.
 * Names and scripts are UTF-8.
 */
#ifndef IMAP_MANAGESIEVE_H
#define IMAP_MANAGESIEVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/collect.h"
#include "lib/slice.h"

struct arena;
struct buf;

enum {
	MANAGESIEVE_NAME_MAX = 512 /* octets; RFC 5804 1.6: 128 characters */
};

enum managesieve_verb {
	MANAGESIEVE_AUTHENTICATE,
	MANAGESIEVE_STARTTLS,
	MANAGESIEVE_LOGOUT,
	MANAGESIEVE_CAPABILITY,
	MANAGESIEVE_HAVESPACE,
	MANAGESIEVE_PUTSCRIPT,
	MANAGESIEVE_LISTSCRIPTS,
	MANAGESIEVE_SETACTIVE,
	MANAGESIEVE_GETSCRIPT,
	MANAGESIEVE_DELETESCRIPT,
	MANAGESIEVE_RENAMESCRIPT,
	MANAGESIEVE_CHECKSCRIPT,
	MANAGESIEVE_NOOP,
	MANAGESIEVE_UNAUTHENTICATE,
	MANAGESIEVE_MAX
};

enum managesieve_state {             /* bits: where a command is legal */
	MANAGESIEVE_BEFORE = 1 << 0, /* not authenticated */
	MANAGESIEVE_AFTER = 1 << 1   /* authenticated */
};

struct managesieve_command {
	enum managesieve_verb verb;
	struct slice name;    /* script, or the mechanism in upper case */
	struct slice to;      /* RENAMESCRIPT: new name */
	struct slice content; /* script; AUTHENTICATE: base64 of the initial
	                         response; NOOP: its string.  .ptr NULL: none */
	uint32_t size;        /* HAVESPACE */
};

/* NULL, or why not: static text for a NO. */
const char *managesieve_parse(struct arena *a, const struct piece *pieces,
    struct managesieve_command *c);

/* Where the verb is legal, of enum managesieve_state. */
unsigned managesieve_states(enum managesieve_verb verb);

/*
 * What a client sends in an exchange of AUTHENTICATE, gathered as a command:
 * one string, base64.  "*" gives up.  NULL or why not.
 */
const char *managesieve_parse_response(struct arena *a,
    const struct piece *pieces, struct slice *response);

/* RFC 5804 1.6: no control characters, valid UTF-8, not empty, not too long. */
bool managesieve_name_valid(struct slice name);

enum managesieve_status {
	MANAGESIEVE_OK,
	MANAGESIEVE_NO,
	MANAGESIEVE_BYE
};

/*
 * OK (CODE) "text" CR LF.  code is e.g. "NONEXISTENT" or "QUOTA/MAXSIZE",
 * NULL for none; text may be empty, or have several lines.
 */
void managesieve_put_reply(struct buf *out, enum managesieve_status status,
    const char *code, struct slice text);

/* The same with a code that has a string: OK (TAG "x"), OK (SASL "..."). */
void managesieve_put_reply_arg(struct buf *out, enum managesieve_status status,
    const char *code, struct slice arg, struct slice text);

/* Quoted, or a literal {n} if it must be. */
void managesieve_put_string(struct buf *out, struct slice s);

/* "name" "value" CR LF; value.ptr NULL: no value. */
void managesieve_put_capability(struct buf *out, const char *name,
    struct slice value);

/* Lines of LISTSCRIPTS: "name" CR LF; "name" ACTIVE CR LF. */
void managesieve_put_script(struct buf *out, struct slice name);
void managesieve_put_active_script(struct buf *out, struct slice name);

/* The answer to GETSCRIPT up to its OK: a literal and CR LF. */
void managesieve_put_content(struct buf *out, struct slice content);

#endif
