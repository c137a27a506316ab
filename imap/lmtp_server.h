/*
 * lmtp_server: one LMTP session (RFC 2033), as the server sees it: which
 * command may come when, how much of anything there may be, and one answer for
 * each recipient.  Octets in, events and replies out; whose mail is taken, and
 * where it goes, is the owner's.
 *
 *	ev = lmtp_server_next(&s, in, n, out, &item);
 *	...for OCTETS, keep item.octets...
 *	...drop item.taken octets of the input...
 *	switch (ev) ...
 *
 * Events that want an answer hold the session until it is given, at once or
 * later: lmtp_server_offer(), _reply(), _challenge(), _answer().  MORE takes
 * nothing: call again with more octets, when there is room in out, or after an
 * answer.
 */
#ifndef IMAP_LMTP_SERVER_H
#define IMAP_LMTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/lmtp.h"
#include "lib/arena.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;

enum {
	LMTP_SERVER_ROOM = 4 * 1024, /* in out, before a command is taken */
	LMTP_SERVER_LHLO_MAX = 255,
	LMTP_SERVER_REFUSED_MAX = 1000 /* recipients; then 421 */
};

/* Of the session's whole life; the name is copied. */
struct lmtp_server_conf {
	const char *hostname;
	uint64_t message_max;
	uint64_t recipients_max;
	uint64_t bad_max; /* wrong commands in a row, then 421 */
	bool has_xmurder; /* the extension, for those that are trusted */
};

enum lmtp_server_event {
	LMTP_SERVER_MORE,
	LMTP_SERVER_ANSWERED,  /* a command was dealt with here: go on */
	LMTP_SERVER_LHLO,      /* lmtp_server_offer() */
	LMTP_SERVER_STARTTLS,  /* was answered: flush, begin; then _secure() */
	LMTP_SERVER_AUTH,      /* command: _challenge() or _reply() */
	LMTP_SERVER_AUTH_LINE, /* line: the same */
	LMTP_SERVER_SENDER,    /* command: _reply() */
	LMTP_SERVER_RECIPIENT, /* command: _reply() */
	LMTP_SERVER_MESSAGE,   /* begins */
	LMTP_SERVER_OCTETS,    /* of the message */
	LMTP_SERVER_END,   /* of the message: _answer() for each recipient */
	LMTP_SERVER_RESET, /* the transaction is over, without a message */
	LMTP_SERVER_FINISH /* once: send what is in out, and close */
};

enum lmtp_server_state {
	LMTP_SERVER_COMMAND,
	LMTP_SERVER_OFFERING,
	LMTP_SERVER_CHECKING_SENDER,
	LMTP_SERVER_CHECKING_RECIPIENT,
	LMTP_SERVER_AUTHENTICATING,
	LMTP_SERVER_AUTH_LINE_AWAITED,
	LMTP_SERVER_RECEIVING,
	LMTP_SERVER_DELIVERING,
	LMTP_SERVER_HANDSHAKE,
	LMTP_SERVER_ENDING, /* the last word was said, FINISH is next */
	LMTP_SERVER_FINISHED
};

struct lmtp_server_answer {
	int code; /* 0: not given yet */
	const char *enhanced, *text;
};

/* Embed it; the members are lmtp_server.c's own, but to be read. */
struct lmtp_server {
	unsigned magic;
	struct lmtp_server_conf conf;
	char hostname[256];
	enum lmtp_server_state state;
	struct lmtp_lines lines;
	struct lmtp_undot undot;
	struct arena line; /* of one command */
	uint64_t bad;
	bool has_tls, has_auth;     /* were offered */
	bool greeted, is_logged_in; /* LHLO was said, AUTH went well */
	bool is_trusted, is_draining;
	char lhlo[LMTP_SERVER_LHLO_MAX + 1]; /* what may be printed of it */

	/* The transaction. */
	bool has_sender;
	size_t recipients, refused;
	uint64_t size; /* octets of the message so far */
	struct arena arena;
	struct lmtp_server_answer *answers;
	size_t written; /* answers that went out */
};

struct lmtp_server_item {
	const struct lmtp_command *command; /* until the next call */
	struct slice line;                  /* until the next call */
	struct slice octets;                /* borrowed: of the input */
	size_t taken;
};

/* Puts the greeting. */
void lmtp_server_init(struct lmtp_server *s,
    const struct lmtp_server_conf *conf, struct buf *out);
void lmtp_server_fini(struct lmtp_server *s);

enum lmtp_server_event lmtp_server_next(struct lmtp_server *s,
    const uint8_t *in, size_t n, struct buf *out,
    struct lmtp_server_item *item) MUST_CHECK;

/* Would more octets be used?  (A handshake uses them elsewhere.) */
bool lmtp_server_wants_octets(const struct lmtp_server *s);

/*
 * After LHLO, which ends a transaction: may TLS be begun, and by which
 * mechanisms may the peer log in ("": by none).
 */
void lmtp_server_offer(struct lmtp_server *s, struct buf *out, bool has_tls,
    const char *mechanisms);

/* The handshake is over. */
void lmtp_server_secure(struct lmtp_server *s);

/* Text is base64 already; a line is awaited. */
void lmtp_server_challenge(struct lmtp_server *s, struct buf *out,
    const char *text);

/*
 * To AUTH, MAIL or RCPT; a code of 2xx is its success.  After AUTH a trusted
 * peer may use XMURDER's parameters.
 */
void lmtp_server_reply(struct lmtp_server *s, struct buf *out, int code,
    const char *enhanced, const char *text);
void lmtp_server_trust(struct lmtp_server *s);

/*
 * After END: of the nth recipient that was accepted; all in any order, each
 * once.  Texts are borrowed until the last is given: then the transaction is
 * over.  Each goes out as soon as those before it have.
 */
void lmtp_server_answer(struct lmtp_server *s, struct buf *out, size_t nth,
    int code, const char *enhanced, const char *text);
void lmtp_server_answer_all(struct lmtp_server *s, struct buf *out, int code,
    const char *enhanced, const char *text);

/* Says 421 at once, or when the transaction is over: then FINISH comes. */
void lmtp_server_drain(struct lmtp_server *s);

/* 421, whatever goes on: then FINISH comes. */
void lmtp_server_abort(struct lmtp_server *s, struct buf *out,
    const char *enhanced, const char *text);

#endif
