/*
 * lmtp: RFC 2033 and what of RFC 5321 it rests on, both sides.
 *
 * Lines, commands, replies and the dots of DATA.  Strict in CR LF: a lone CR
 * or LF in a command, or in the data, is an error, since another server might
 * take it for a line end ("smuggling").
 *
 * Commands:	lmtp_line() finds a line, lmtp_parse_command() takes it apart.
 * Data:	lmtp_undot() from the wire, lmtp_dot() onto it.
 * Replies:	lmtp_put_reply() writes, lmtp_reply_next() reads.
 */
#ifndef IMAP_LMTP_H
#define IMAP_LMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;

enum {
	LMTP_LINE_MAX = 16384, /* octets: AUTH and XFLAGS make long ones */
	LMTP_PATH_MAX = 512,   /* RFC 5321 4.5.3.1.3 has 256 */
	LMTP_PARAMS_MAX = 16,
	LMTP_REPLY_LINES_MAX = 100
};

/* ---- lines ---- */

enum lmtp_line_event {
	LMTP_LINE_ERROR = -1, /* too long, NUL, lone CR or LF: close */
	LMTP_LINE_MORE = 0,
	LMTP_LINE
};

/* Zeroed, it is at the start of a line. */
struct lmtp_lines {
	size_t scanned;
	bool cr;
};

/*
 * The next line of in: *line without CR LF, borrowed; *taken octets to drop.
 * MORE takes nothing: call again with the same octets and some more.
 */
enum lmtp_line_event lmtp_line(struct lmtp_lines *l, const uint8_t *in,
    size_t n, struct slice *line, size_t *taken) MUST_CHECK;

/* ---- commands, server side ---- */

enum lmtp_verb {
	LMTP_LHLO,
	LMTP_MAIL,
	LMTP_RCPT,
	LMTP_DATA,
	LMTP_RSET,
	LMTP_NOOP,
	LMTP_QUIT,
	LMTP_VRFY,
	LMTP_HELP,
	LMTP_STARTTLS,
	LMTP_AUTH,
	LMTP_HELO, /* HELO and EHLO: to be answered 500 */
	LMTP_UNKNOWN
};

struct lmtp_param {
	struct slice name;  /* as it came */
	struct slice value; /* .ptr NULL: no "=" */
};

/* A path taken apart; <> is empty in both. */
struct lmtp_path {
	struct slice local;  /* unquoted: "joe smith" of "\"joe smith\"@x" */
	struct slice domain; /* "x.org", "[192.0.2.1]", or empty */
};

struct lmtp_command {
	enum lmtp_verb verb;
	int code;         /* 0, or the reply for what is wrong: 500, 501, 555 */
	const char *why;  /* ...and its text with the enhanced code: static */
	struct slice arg; /* LHLO, VRFY, HELP, NOOP: the rest */
	struct lmtp_path path; /* MAIL, RCPT */
	struct slice raw_path; /* ...between < and >, as it came */
	size_t n;
	struct lmtp_param params[LMTP_PARAMS_MAX];
	struct slice mechanism; /* AUTH */
	struct slice initial;   /* ...base64; .ptr NULL: none; "=" is empty */
};

/* line is borrowed: what c has points into it, or into a for unquoted text. */
void lmtp_parse_command(struct arena *a, struct slice line,
    struct lmtp_command *c);

/* In any case; NULL if it is not there. */
const struct lmtp_param *lmtp_param(const struct lmtp_command *c,
    const char *name);

/* A path between < and > (or a bare address); false if it is none. */
bool lmtp_parse_path(struct arena *a, struct slice s, struct lmtp_path *path);

/* "local@domain", the local part quoted if it must be; "" for <>. */
void lmtp_put_path(struct buf *out, const struct lmtp_path *path);

/* RFC 3461 4: xtext. */
void lmtp_put_xtext(struct buf *out, struct slice s);

/* ---- commands, client side: whole lines ---- */

void lmtp_put_lhlo(struct buf *out, const char *host);

/* params is what follows, e.g. " SIZE=123", or NULL. */
void lmtp_put_mail(struct buf *out, const struct lmtp_path *from,
    const char *params);

/* mailbox, flags and key are XMURDER's parameters; .ptr NULL leaves one out. */
struct lmtp_target {
	struct slice mailbox; /* XMAILBOX: internal name */
	struct slice flags;   /* XFLAGS: flags separated by spaces */
	struct slice key;     /* XKEY: 64 hexadecimal digits */
};

void lmtp_put_rcpt(struct buf *out, const struct lmtp_path *to,
    const struct lmtp_target *target);

/*
 * The target in a RCPT's parameters, decoded into a.  NULL, or why not:
 * static text for a 501.
 */
const char *lmtp_parse_target(struct arena *a, const struct lmtp_command *c,
    struct lmtp_target *target);

/* "DATA", "RSET", "QUIT", "STARTTLS". */
void lmtp_put_command(struct buf *out, const char *command);

/* "AUTH PLAIN aGk="; initial.ptr NULL: without. */
void lmtp_put_auth(struct buf *out, const char *mechanism,
    struct slice initial);

/* A line that answers 334, or "*". */
void lmtp_put_line(struct buf *out, struct slice line);

/* ---- data ---- */

enum lmtp_data_event {
	LMTP_DATA_ERROR = -1, /* a NUL, a lone CR or LF: 5xx and close */
	LMTP_DATA_MORE = 0,   /* all that was usable has been taken */
	LMTP_DATA_OCTETS,     /* out: some octets of the message */
	LMTP_DATA_END         /* CR LF . CR LF has been taken */
};

/* Zeroed, it is at the start of the data. */
struct lmtp_undot {
	unsigned state;
};

/*
 * From the wire: *out, borrowed from in, is message octets; *taken to drop.
 * Call again until MORE (which may leave octets: keep them) or END.
 */
enum lmtp_data_event lmtp_undot(struct lmtp_undot *d, const uint8_t *in,
    size_t n, struct slice *out, size_t *taken) MUST_CHECK;

/* Zeroed, it is at the start of the data. */
struct lmtp_dot {
	unsigned state;
};

/*
 * Onto the wire: puts s with its dots doubled.  Bare LFs and CRs, which may
 * not be sent, become CR LF.  At most 2 * s.len + 1 octets.
 */
void lmtp_dot(struct lmtp_dot *d, struct buf *out, struct slice s);

/* A line end if one is missing, and ".". */
void lmtp_dot_end(struct lmtp_dot *d, struct buf *out);

/* ---- replies ---- */

/*
 * "250 2.0.0 text"; text may have several lines ('\n'), each gets the code.
 * enhanced is "2.0.0" or NULL.  Control characters become "?".
 */
void lmtp_put_reply(struct buf *out, int code, const char *enhanced,
    const char *text);

enum lmtp_reply_event {
	LMTP_REPLY_ERROR = -1,
	LMTP_REPLY_MORE = 0,
	LMTP_REPLY_LINE, /* one line of several */
	LMTP_REPLY_LAST  /* the last: the reply is complete */
};

struct lmtp_reply {
	int code;              /* 200 to 599 */
	struct slice enhanced; /* "2.1.5" or empty */
	struct slice text;     /* of this line, behind them; borrowed */
};

/* Zeroed, it is between replies. */
struct lmtp_replies {
	struct lmtp_lines lines;
	int code;   /* of a reply that has begun, or 0 */
	unsigned n; /* lines of it */
};

enum lmtp_reply_event lmtp_reply_next(struct lmtp_replies *r, const uint8_t *in,
    size_t n, struct lmtp_reply *reply, size_t *taken) MUST_CHECK;

#endif
