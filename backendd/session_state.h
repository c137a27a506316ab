/*
 * session_state: what a session is made of, for session.c and session_cmd.c
 * only.
 */
#ifndef BACKENDD_SESSION_STATE_H
#define BACKENDD_SESSION_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/session.h"
#include "imap/collect.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/mono.h"

#define SESSION_MAGIC 0x5e551012u

/* Of a command with numbers, once UIDONLY is enabled. */
#define SESSION_ONLY_UIDS "Only UIDs are wanted"

struct backendd;
struct notices;
struct notify;
struct stream;

enum session_state {
	SESSION_TAKING,    /* a command, or its literals */
	SESSION_IDLING,    /* in IDLE: DONE, and what is new */
	SESSION_GATHERED,  /* it is there, but for messages on their way to
	                      a file */
	SESSION_RUNNING,   /* its handler has it */
	SESSION_ENDING,    /* answered; what is new is said first */
	SESSION_HANDSHAKE, /* STARTTLS, or TLS from the start */
	SESSION_FINISHING, /* BYE has been said */
	SESSION_LOST,      /* no connection; the handler still has a command */
	SESSION_OVER,      /* no connection, and the handler is done */
	SESSION_GONE       /* freed at the end of the turn */
};

enum session_end {
	END_NONE,
	END_LOGOUT,
	END_DISCONNECT,
	END_LOGIN_TIMEOUT,
	END_IDLE_TIMEOUT,
	END_INPUT,
	END_OUTPUT,
	END_BAD_COMMANDS,
	END_MAILBOX_LOST,
	END_DRAIN,
	END_TLS,
	END_BYE
};

/* NOTIFY's FETCH is what runs, at rest or while a command is being answered. */
struct session_unasked {
	bool runs;
	bool answers; /* there is such a command, and this is its */
	struct cmd *cmd;
	enum session_result result;
	const char *code, *text;
};

/* The command, or the part of one that has come: what the idle do without. */
struct session_work {
	TAILQ_ENTRY(session_work) waking; /* bd->woken, if it is woken */
	struct session *ss;
	struct collect collect;
	struct arena arena; /* of the command */
	struct buf sink;    /* output of the dead */

	struct cmd *cmd; /* in the arena; NULL: none */
	struct session_unasked unasked;
	struct parse args;
	size_t blobs_open;   /* of cmd, that have not ended */
	uint64_t streamed;   /* octets of messages, this command */
	uint64_t left;       /* of the message being taken */
	uint64_t held;       /* of backendd.held */
	const char *refused; /* a streamed command is not to run: why */
	const char *refused_code;
	bool refused_bad; /* with BAD */
	enum session_result result;
	const char *code, *text;

	/* What it waits for. */
	session_line_cb *line_cb;
	void *line_arg;
	session_cb *room_cb;
	void *room_arg;
	size_t room;

	const char *bye_code, *bye_text; /* to be said behind the reply */
};

/* How a trusted frontend calls it, in its log, and where the client is. */
struct session_client {
	char sid[32];
	char address[64];
};

/* What few sessions have. */
struct session_extras {
	struct session_client *client; /* NULL: no frontend's */
	struct notices *notices;       /* NULL: not asked for */
	struct notify *notify;         /* NULL: NOTIFY was not said */
	struct session_saved *saved;   /* "$"; NULL: empty */
	struct contexts *contexts;     /* NULL: none */
};

/* Which of bd's lists it is in: see session_list.c. */
enum session_where {
	SESSION_STRANGER,
	SESSION_ACTIVE,
	SESSION_RESTING
};

/* There are very many that do nothing: an octet here is one for each. */
struct session {
	unsigned magic;
	uint16_t bad;       /* commands in a row */
	uint16_t failures;  /* to log in */
	uint8_t state;      /* of enum session_state */
	uint8_t end;        /* of enum session_end */
	uint8_t enabled;    /* of enum session_enabled */
	uint8_t where : 2;  /* of enum session_where */
	uint8_t inside : 1; /* session_advance() */
	bool greeted : 1;
	bool idles : 1;        /* from IDLE to its reply */
	bool woken : 1;        /* is in bd->woken */
	bool deflate_next : 1; /* behind the reply: COMPRESS */
	bool tls_next : 1;     /* behind the reply: STARTTLS */
	bool log_out_next : 1; /* UNAUTHENTICATE */
	bool admin : 1, proxy : 1, trusted : 1;
	char sid[17];
	TAILQ_ENTRY(session) link; /* as where says */
	struct backendd *bd;
	struct stream *stream;
	struct session_work *w; /* NULL: nothing has come */
	struct mono active; /* when an octet last moved; a stranger's coming */
	char *user; /* NULL: a stranger.  If it idles: behind the NUL, IDLE's
	               tag */
	struct view *view;
	struct session_extras *extras; /* NULL: none of them */
};

/* To be read; and to be changed. */
const struct session_extras *session_has(const struct session *ss);
struct session_extras *session_extras(struct session *ss);

/* Literals of any size without waiting for "+"?  Frontends always may. */
bool session_may_pipeline(const struct session *ss);

struct session *session_of(void *arg); /* checks magic */

/* Is there nothing of a command? */
bool session_rests(const struct session *ss);

/* There is something for w. */
void session_need_work(struct session *ss);

/* Nothing of a command is left: as before the first octet. */
void session_drop_work(struct session *ss);

/* The collector's, as they are for who this is. */
void session_set_limits(struct session *ss);

/* The connection is over; a running command goes on to its end. */
void session_lose(struct session *ss, enum session_end why);

/* No more is said. */
void session_finish(struct session *ss);

/* "* BYE [code] text", and no more. */
void session_say_bye(struct session *ss, enum session_end why, const char *code,
    const char *text);

void session_put_status(struct session *ss, struct slice tag,
    enum write_status status, const char *code, const char *text);

/* Everything that may go on, does. */
void session_advance(struct session *ss);

/* --- session_take.c --- */

/* An event of what has come in.  False: there is none. */
bool session_take(struct session *ss);

/* A message's octets are to wait: its file does not take them as fast. */
bool session_blob_is_busy(struct session *ss);

/* All of it is there. */
void session_start_command(struct session *ss);

/* The reply, once what is new has been said: a handler's, or a refusal. */
void session_answer(struct session *ss, enum session_result r, const char *code,
    const char *text);

void session_free_blobs(struct session *ss);

/* --- session_end.c --- */

/* It is answered.  False: what is new has not all been said yet. */
bool session_end_command(struct session *ss);

/* Ready for the next command. */
void session_reset_command(struct session *ss);

/* What a client wants of new messages without asking each time. */
void session_fetch_unasked(struct session *ss, const char *items,
    const char *uids);

/* Before a context can tell that it has them.  False: nothing is wanted. */
bool session_fetch_for_contexts(struct session *ss);

/* --- session_tell.c --- */

enum {
	SESSION_REPLY_ROOM = 8 * 1024 /* kept free for the tagged reply */
};

/* Before the reply.  False: not all yet, or no room for the reply. */
bool session_tell_news(struct session *ss);

/* At rest, in IDLE or with NOTIFY. */
void session_tell_unasked(struct session *ss);

/* --- session_list.c --- */

void session_unwake(struct session *ss); /* it need not be */

/* Among those whose deadline comes last: it has just moved an octet. */
void session_enlist(struct session *ss);
void session_unlist(struct session *ss);

/* Its deadline has come. */
void session_expire(struct session *ss);

/* --- session_park.c --- */

/* It has been silent for park_after: what it does not need it gives up. */
void session_park(struct session *ss);

/* Does it have a view that can be asked? */
bool session_view_is_there(const struct session *ss);

/*
 * Something is to be done with the view.  True: it was parked, and is on its
 * way back; session_advance() is called then.
 */
bool session_resume(struct session *ss);

#endif
