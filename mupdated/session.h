/*
 * session: one connection, from its banner to its end.
 *
 * Commands run one after another.  An answer that tells of the list is held
 * until what it tells of is durable; commands behind it run meanwhile, so that
 * one sync answers many.  While the list is sent (LIST, UPDATE), in slices,
 * nothing else runs.
 */
#ifndef MUPDATED_SESSION_H
#define MUPDATED_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mupdate.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/slice.h"
#include "mupdated/feed.h"

struct auth_exchange;
struct server;
struct stream;
struct task;
struct timer;

enum session_state {
	SESSION_HANDSHAKE, /* TLS from the start, or after STARTTLS */
	SESSION_LOGIN,     /* nobody yet */
	SESSION_CHECKING,  /* the auth child is asked */
	SESSION_RESPONSE,  /* the client is: a line of SASL's */
	SESSION_LAST_WORD, /* the same, but all is decided */
	SESSION_READY,
	SESSION_LISTING,
	SESSION_SYNCING, /* UPDATE's list */
	SESSION_SYNCED,  /* its OK waits to be durable */
	SESSION_STREAMING,
	SESSION_LEAVING, /* LOGOUT's BYE waits behind other answers */
	SESSION_CLOSING,
	SESSION_STATES
};

enum session_end {
	SESSION_END_LOGOUT,
	SESSION_END_PEER, /* closed, or idle for too long: the stream says */
	SESSION_END_PROTOCOL,
	SESSION_END_LOGIN, /* took too long */
	SESSION_END_BEHIND,
	SESSION_END_FULL,
	SESSION_END_DRAIN,
	SESSION_END_STORAGE
};

enum session_role {
	ROLE_NONE,
	ROLE_READER,
	ROLE_WRITER,
	ROLE_ADMIN
};

struct reply;
TAILQ_HEAD(replies, reply);

/* For session*.c only, and TAILQs of the server. */
struct session {
	unsigned magic;
	TAILQ_ENTRY(session) link, waiting_link;
	struct server *server;
	struct stream *stream;
	struct mupdate *parser;
	struct task *task;
	struct timer *login; /* its deadline, for all of it */
	enum session_state state;
	enum session_end end;
	bool waiting;
	struct replies replies;
	size_t held; /* octets of them */
	struct auth_exchange *exchange;
	char auth_tag[MUPDATE_TAG_MAX + 1];
	enum session_role role;
	char *user; /* NULL before login */
	struct buf walk_at;
	struct slice walk_prefix; /* of locations; ours to free */
	char walk_tag[MUPDATE_TAG_MAX + 1];
	struct subscriber subscriber;
	uint64_t commands;
};

/* Takes fd. */
void session_new(struct server *sv, int fd, bool tls);

/* As far as it goes; level-triggered. */
void session_advance(struct session *ss);

/* A commit failed: answers that hang on it are other ones. */
void session_commit_failed(struct session *ss, uint64_t number);

/* Says BYE, and closes when that is sent. */
void session_close(struct session *ss, enum session_end end, const char *text);

/* Without a word: at the end of the process. */
void session_free(struct session *ss);

/* --- for the commands ------------------------------------------------------ */

void session_enter(struct session *ss, enum session_state state);

/*
 * An answer, given when commit number is durable; if it fails, a write's
 * answer is NO and other sessions end.
 */
void session_answer(struct session *ss, enum mupdate_response id,
    const char *text, uint64_t number, bool write);

/* The same for lines; read from the list, which may change back. */
void session_answer_lines(struct session *ss, struct slice lines,
    uint64_t number);

/* The list has been sent: OK, and the stream if it was for UPDATE. */
void session_end_walk(struct session *ss, bool syncing);

/* What is held goes out first, then it closes. */
void session_logout(struct session *ss);

/* Runs the command that the parser holds. */
void session_command(struct session *ss, const struct mupdate_message *m);

/* The next slice of LIST or UPDATE. */
void session_walk(struct session *ss);

/* AUTHENTICATE, and the lines after it. */
void session_authenticate(struct session *ss, const struct mupdate_message *m);
void session_response(struct session *ss, struct slice line);

/* --- who may what ---------------------------------------------------------- */

enum session_role session_role_of(const struct server *sv, const char *user);

/* Text of the NO; NULL if the session may change the entry so. */
const char *session_may(struct session *ss, enum mupdate_command id,
    struct slice name, const struct slice *location);

#endif
