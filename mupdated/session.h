/*
 * session: one connection, from its banner to its end.
 *
 * Commands run one after another.  An answer that tells of the list is held
 * until what it tells of is durable; commands behind it run meanwhile, so that
 * one sync answers many.  While the list is sent (LIST, UPDATE and others of
 * mupdated/walk.h), in slices, nothing else runs.
 */
#ifndef MUPDATED_SESSION_H
#define MUPDATED_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/slice.h"
#include "mupdated/answers.h"
#include "mupdated/feed.h"
#include "mupdated/rules.h"

struct auth_exchange;
struct err;
struct server;
struct stream;
struct task;
struct timer;
struct walk;

enum session_state {
	SESSION_HANDSHAKE, /* TLS from the start, or after STARTTLS */
	SESSION_LOGIN,     /* nobody yet */
	SESSION_CHECKING,  /* the auth child is asked */
	SESSION_RESPONSE,  /* the client is: a line of SASL's */
	SESSION_LAST_WORD, /* the same, but all is decided */
	SESSION_READY,
	SESSION_WALKING,
	SESSION_SYNCING, /* the same, for a subscriber */
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
	SESSION_END_SUPERSEDED, /* its host has come again */
	SESSION_END_TAKEN,      /* an entry of its host, by somebody else */
	SESSION_END_DRAIN,
	SESSION_END_STORAGE
};

enum session_role {
	ROLE_NONE,
	ROLE_READER,
	ROLE_WRITER,
	ROLE_ADMIN
};

/* For session*.c and walk.c only, and TAILQs of the server. */
struct session {
	unsigned magic;
	TAILQ_ENTRY(session) link, waiting_link;
	struct server *server;
	uint64_t serial; /* later ones have greater ones */
	struct stream *stream;
	struct mupdate *parser;
	struct task *task;
	struct timer *login; /* its deadline, for all of it */
	enum session_state state;
	enum session_end end;
	bool waiting;
	struct answers answers;
	struct auth_exchange *exchange;
	char auth_tag[MUPDATE_TAG_MAX + 1];
	enum session_role role;
	bool known;        /* logged in: user and role are so */
	char *user;        /* NULL before login */
	char *host;        /* whose backend it is, by XDIGEST; or NULL */
	struct walk *walk; /* while WALKING or SYNCING */
	struct subscriber subscriber;
	uint64_t commands;
};

/* Takes fd. */
void session_new(struct server *sv, int fd, bool tls);

/* As far as it goes; level-triggered. */
void session_advance(struct session *ss);

/* A commit failed: answers that hang on it are other ones. */
void session_commit_failed(struct session *ss, uint64_t number);

/* Says BYE, and closes when that is sent.  Nothing more is read or answered. */
void session_close(struct session *ss, enum session_end end, const char *text);

/* Without a word: at the end of the process. */
void session_free(struct session *ss);

/* --- for the commands ------------------------------------------------------ */

void session_enter(struct session *ss, enum session_state state);

/*
 * An answer, given when commit number is durable; if it fails, a write's
 * answer is NO and other sessions end.  Put it into the buffer, then end it.
 */
struct session_room {
	struct session *ss;
	struct buf *out;
	size_t from;
	uint64_t number;
	bool held, write;
};
struct session_room session_begin(struct session *ss, uint64_t number,
    bool write);
void session_end(const struct session_room *room);

/* The same for one line, under the tag of the command that runs. */
void session_answer(struct session *ss, enum mupdate_response id,
    const char *text, uint64_t number, bool write);
void session_refuse(struct session *ss, enum mupdate_code code,
    const char *text);

/* The list cannot be read. */
void session_unreadable(struct session *ss, const struct err *err);

/* Does it, and answers OK or NO. */
void session_change(struct session *ss, const struct rules_request *rq);

/* The entry named by the command, if it is there, and OK. */
typedef void session_put(struct buf *b, struct slice tag, struct slice name,
    const struct mboxrec *r);
void session_find(struct session *ss, const struct mupdate_message *m,
    session_put *put);

/* Runs the command that the parser holds. */
void session_command(struct session *ss, const struct mupdate_message *m);

/* The rest of mupdate.def: one function each, in session_ext.c. */
void session_xactivate(struct session *ss, const struct mupdate_message *m);
void session_xbreak(struct session *ss, const struct mupdate_message *m);
void session_xdigest(struct session *ss, const struct mupdate_message *m);
void session_xfind(struct session *ss, const struct mupdate_message *m);
void session_xleases(struct session *ss, const struct mupdate_message *m);
void session_xlist(struct session *ss, const struct mupdate_message *m);
void session_xreserve(struct session *ss, const struct mupdate_message *m);
void session_xupdate(struct session *ss, const struct mupdate_message *m);

/* user and role are so from now on. */
void session_is_known(struct session *ss);

/* AUTHENTICATE, and the lines after it. */
void session_authenticate(struct session *ss, const struct mupdate_message *m);
void session_response(struct session *ss, struct slice line);

/* --- who may what ---------------------------------------------------------- */

enum session_role session_role_of(const struct server *sv, const char *user);
struct rules_who session_who(const struct session *ss);

#endif
