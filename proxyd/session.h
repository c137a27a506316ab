/*
 * session: one client's IMAP connection on the frontend.
 *
 * The session cuts the client's input into commands, refuses what is malformed
 * or out of place, and calls the command's handler (handlers.h), which ends the
 * command by session_done() or one of its kin, from wherever.  One command at
 * a time; input pipelined behind it waits in the socket.
 *
 * Towards backends it has legs (leg.h), one for each server it needs, made when
 * first needed.  The selected mailbox is on one of them.
 *
 * A handler's rules: ss and its command live until the command is ended or the
 * session freed; whatever the handler waits for is tied to the session (cmd
 * members below, legs) and goes with it, so no call back comes after that.
 */
#ifndef PROXYD_SESSION_H
#define PROXYD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/collect.h"
#include "imap/command.h"
#include "imap/parse.h"
#include "imap/respcode.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/mono.h"
#include "lib/slice.h"
#include "proxyd/leg.h"
#include "proxyd/route.h"

struct auth_line;
struct imapd;
struct mboxname_layout;
struct route_wait;
struct stream;
struct timer;
struct trip;
struct worker;

enum session_phase {
	PHASE_READ, /* between commands, or in the midst of one's text */
	PHASE_HELD, /* a streamed literal waits for its handler's decision */
	PHASE_DATA, /* its octets flow */
	PHASE_SKIP, /* they are dropped: the answer is given already */
	PHASE_RUN,  /* a command runs */
	PHASE_LINE, /* it runs, and wants a line of the client */
	PHASE_CLOSING
};

enum session_close {
	CLOSE_LOGOUT,
	CLOSE_CLIENT, /* the client went away */
	CLOSE_TIMEOUT,
	CLOSE_PROTOCOL,
	CLOSE_BACKEND, /* lost in the midst of a response */
	CLOSE_DRAIN
};

/* The running command.  Handlers keep what they wait for here. */
struct cmd {
	const struct command *what; /* NULL: none runs */
	struct slice tag;
	struct parse args; /* behind the name */
	struct route_wait *wait;
	struct trip *trip;                /* if it is about a mailbox */
	void *state;                      /* the handler's own, in the arena */
	void (*fini)(struct session *ss); /* NULL, or frees what state owns */

	/* Streamed literal (APPEND). */
	struct leg *stream_to; /* once accepted; NULL again: lost */
	bool stream_answered;  /* the reply came before the last octet */
	uint64_t stream_size;
	bool stream_sync; /* the client waits for "+" */
	/* All octets are through; or it was lost, but answered: NULL then. */
	void (*streamed)(struct session *ss);

	/* The client's out buffer has room for so many octets: once. */
	void (*room)(struct session *ss);
	size_t room_wanted;

	/* The next line of the client, without CR LF. */
	void (*line)(struct session *ss, struct slice line);
};

struct session {
	unsigned magic;
	TAILQ_ENTRY(session) entry;
	struct imapd *imapd;
	struct worker *worker;
	struct stream *client;
	struct timer *timer; /* to log in, then of being idle */
	struct mono active;  /* when the client last said something */
	struct collect collect;
	struct arena arena; /* of the command */
	enum session_phase phase;
	enum session_close reason;
	enum command_state state;
	char sid[17];
	char *user; /* canonical; NULL before login */
	bool admin, condstore, draining, greeted;
	unsigned bad;           /* commands in a row */
	struct route_rate rate; /* of look-ups that miss */
	struct auth_line *exchange;
	struct cmd cmd;
	TAILQ_HEAD(, leg) legs;
	struct leg *selected; /* NULL: none */
	struct leg *passing;  /* in the midst of a response to the client */
};

/* Takes fd. */
void session_new(struct imapd *imapd, int fd, bool tls);
void session_free(struct session *ss, enum session_close reason);
const char *session_close_name(enum session_close reason);

/* Looks at everything and does what can be done; idempotent. */
void session_advance(struct session *ss);

/* The same at the end of this turn. */
void session_soon(struct session *ss);

/* BYE after the running command. */
void session_drain(struct session *ss);

/* --- for handlers --------------------------------------------------------- */

/* The tagged reply; the command is over. */
void session_done(struct session *ss, enum write_status status,
    enum respcode code, const char *text);

/* The reply has been passed on already. */
void session_passed(struct session *ss);

/* Did parsing fail?  Then it has been answered. */
bool session_bad_args(struct session *ss);

/* NO [UNAVAILABLE] with this text. */
void session_unavailable(struct session *ss, const char *text);

/* A writer on the client's out buffer; then session_flush(). */
struct write session_write(struct session *ss);
void session_flush(struct session *ss);

/* Octets the client's buffer takes now; be called when it takes n. */
size_t session_room(struct session *ss);
void session_when_room(struct session *ss, size_t n,
    void (*room)(struct session *ss));

/* PHASE_LINE until the line has come. */
void session_want_line(struct session *ss,
    void (*line)(struct session *ss, struct slice line));

/*
 * The held literal: its octets go to this leg, then streamed is called.  To
 * refuse it, end the command.
 */
void session_accept_stream(struct session *ss, struct leg *to,
    void (*streamed)(struct session *ss));

/* What names look like to this client. */
const struct mboxname_layout *session_layout(const struct session *ss);

/* The internal name; .ptr NULL, and it has been answered, if there is none. */
struct slice session_name(struct session *ss, struct slice external);

/* May this user do all of need there?  Admins may look and administer. */
unsigned session_rights(struct session *ss, struct slice name,
    struct slice acl);

/*
 * The leg to a server, made if there is none, open or not.  leg_when_open()
 * goes on from there.
 */
struct leg *session_leg(struct session *ss, const char *server);

/*
 * Says why and closes when the client has it; a command that runs is not
 * answered.
 */
void session_bye(struct session *ss, enum session_close reason,
    enum respcode code, const char *text);

/* The command was LOGOUT: close when all is sent. */
void session_close_after(struct session *ss, enum session_close reason);

/* The auth child has said who it is. */
void session_logged_in(struct session *ss, const char *user);

/* The selection is over: by the client's wish / its server is lost. */
void session_unselect(struct session *ss);
void session_lost_selection(struct session *ss);

#endif
