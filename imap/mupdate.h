/*
 * mupdate: the grammar of RFC 3656, both sides, as Cyrus speaks it too.
 *
 * The strings of our extension XMURDER are imap/mupdate_ext's to make and to
 * understand; here they are commands and responses like any other.
 *
 * The parser takes octets as they come and keeps what it needs of them, so the
 * input buffer may be small; between messages it holds no memory.  Pull:
 *
 *	do {
 *		ev = mupdate_next(m, in, n, &taken);
 *		...drop taken octets from the input, in any case...
 *		MUPDATE_MESSAGE: use mupdate_message(m)
 *		MUPDATE_GO_AHEAD: server: mupdate_put_go_ahead(), the octets
 *			of a literal follow
 *		MUPDATE_LINE: mupdate_line(m), after mupdate_expect_line()
 *	} while (ev > MUPDATE_MORE);
 *
 * MUPDATE_MORE has taken everything.  The events are the same however the
 * input is divided.  Lines end in CR LF only; NULs are refused.
 *
 * A message that can be read to its end but is wrong is a message with an
 * "error": answer BAD with that text.  MUPDATE_ERROR is for what leaves the
 * stream unusable: say BYE with mupdate_error() and close.
 */
#ifndef IMAP_MUPDATE_H
#define IMAP_MUPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct mupdate;

enum mupdate_command {
#define MUPDATE_COMMAND(id, name, least, most, flags) MUPDATE_CMD_##id,
#include "imap/mupdate.def"
#undef MUPDATE_COMMAND
	MUPDATE_CMD_MAX
};

enum mupdate_flags {
	MUPDATE_NOT_AUTHENTICATED = 1 << 0,
	MUPDATE_AUTHENTICATED = 1 << 1,
	MUPDATE_STREAMING = 1 << 2,
	MUPDATE_WRITES = 1 << 3,
	MUPDATE_MANAGES = 1 << 4
};

enum mupdate_response {
#define MUPDATE_RESPONSE(id, name, least, most) MUPDATE_##id,
#include "imap/mupdate.def"
#undef MUPDATE_RESPONSE
	/* Untagged lines before "* OK MUPDATE" are capabilities. */
	MUPDATE_BANNER,   /* args: server, implementation, version, role */
	MUPDATE_CAP_AUTH, /* args: mechanisms */
	MUPDATE_CAP_STARTTLS,
	MUPDATE_CAP_XMURDER, /* args: version */
	MUPDATE_CAP_OTHER,   /* to be ignored; no args */
	MUPDATE_PLUS,        /* "+ go ahead" */
	MUPDATE_RESPONSE_MAX
};

enum {
	MUPDATE_ARGS_MAX = 32,
	MUPDATE_TAG_MAX = 64
};

enum mupdate_event {
	MUPDATE_ERROR = -1,
	MUPDATE_MORE = 0,
	MUPDATE_MESSAGE,
	MUPDATE_GO_AHEAD, /* the peer waits for "+" before it sends a literal */
	MUPDATE_LINE
};

enum mupdate_side {
	MUPDATE_SERVER, /* parses commands */
	MUPDATE_CLIENT  /* parses responses */
};

struct mupdate_limits {
	size_t line;    /* octets of one message outside literals */
	size_t literal; /* octets of one literal */
	size_t message; /* octets of one message, all told */
};

/* 8 KiB, 128 KiB, 512 KiB: more than RFC 3656 asks for. */
struct mupdate_limits mupdate_defaults(void);

struct mupdate_message {
	struct slice tag; /* "*" if untagged; "" if there was none to read */
	int id; /* enum mupdate_command or mupdate_response; -1: see error */
	size_t nargs;
	struct slice args[MUPDATE_ARGS_MAX]; /* OK NO BAD BYE: the text */
	const char *error; /* server: text of a BAD; client: why it is wrong */
};

struct mupdate *mupdate_new(enum mupdate_side side,
    const struct mupdate_limits *limits);
void mupdate_free(struct mupdate **mp);

/* As new: after STARTTLS. */
void mupdate_reset(struct mupdate *m);

/* Between messages: from the next one on. */
void mupdate_set_limits(struct mupdate *m, const struct mupdate_limits *limits);

enum mupdate_event mupdate_next(struct mupdate *m, const uint8_t *in, size_t n,
    size_t *taken) MUST_CHECK;

/* Borrowed, until the next call of mupdate_next(). */
const struct mupdate_message *mupdate_message(const struct mupdate *m);
const char *mupdate_error(const struct mupdate *m);

/*
 * The next line is one of SASL's, bare base64 (or "*"), and comes as
 * MUPDATE_LINE; for that line only.  A client gives the tag of its
 * AUTHENTICATE: a line that begins with it and a space is a message as usual.
 */
void mupdate_expect_line(struct mupdate *m, const char *tag);
struct slice mupdate_line(const struct mupdate *m);

/* --- the table ------------------------------------------------------------ */

const char *mupdate_command_name(enum mupdate_command id);

/* In any case; -1 if there is no such command. */
int mupdate_command_find(struct slice word);
unsigned mupdate_command_flags(enum mupdate_command id);

/* Those of mupdate.def only. */
const char *mupdate_response_name(enum mupdate_response id);
int mupdate_response_find(struct slice word);

/* How many a message may have; id is of a command or a response. */
void mupdate_arguments(enum mupdate_side side, int id, size_t *least,
    size_t *most);

/* --- writing -------------------------------------------------------------- */

/* As Cyrus writes data: {n+}.  s holds no NUL. */
void mupdate_put_string(struct buf *b, struct slice s);

/* A client's command; mechanism names and short texts are quoted. */
void mupdate_put_command(struct buf *b, const char *tag,
    enum mupdate_command id, const struct slice *args, size_t nargs);

/* OK, NO, BAD or BYE; text is printable ASCII of ours. */
void mupdate_put_reply(struct buf *b, struct slice tag,
    enum mupdate_response id, const char *text);
void mupdate_put_mailbox(struct buf *b, struct slice tag, struct slice name,
    struct slice location, struct slice acl);
void mupdate_put_reserve(struct buf *b, struct slice tag, struct slice name,
    struct slice location);
void mupdate_put_delete(struct buf *b, struct slice tag, struct slice name);
void mupdate_put_go_ahead(struct buf *b);

/* A SASL blob as a line of base64. */
void mupdate_put_line(struct buf *b, struct slice blob);

struct mupdate_banner {
	const char *mechanisms; /* space between; "" for none now */
	bool starttls;
	bool xmurder; /* our extension */
	const char *server, *implementation, *version;
	const char *master; /* "(master)" or a URL */
};
void mupdate_put_banner(struct buf *b, const struct mupdate_banner *banner);

#endif
