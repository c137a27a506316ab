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

/* The command, or the part of one that has come: what the idle do without. */
struct session_work {
	struct collect collect;
	struct arena arena; /* of the command */
	struct buf sink;    /* output of the dead */

	struct cmd *cmd; /* in the arena; NULL: none */
	bool unasked;    /* cmd is nobody's: NOTIFY's FETCH */
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

struct session {
	unsigned magic;
	uint8_t state;  /* of enum session_state */
	uint8_t end;    /* of enum session_end */
	uint8_t inside; /* session_advance() */
	bool greeted : 1;
	bool woken : 1;        /* is in bd->woken */
	bool listed_user : 1;  /* is in bd->sessions, else in bd->strangers */
	bool deflate_next : 1; /* behind the reply: COMPRESS */
	bool tls_next : 1;     /* behind the reply: STARTTLS */
	bool log_out_next : 1; /* UNAUTHENTICATE */
	bool admin : 1, proxy : 1, trusted : 1;
	uint8_t enabled;             /* of enum session_enabled */
	uint16_t bad;                /* commands in a row */
	uint16_t failures;           /* to log in */
	TAILQ_ENTRY(session) link;   /* bd->sessions or bd->strangers */
	TAILQ_ENTRY(session) waking; /* bd->woken */
	struct backendd *bd;
	struct stream *stream;
	struct session_work *w;        /* NULL: nothing has come */
	struct mono active;            /* when an octet last moved; a stranger's
	                            coming */
	char *idle_tag;                /* of IDLE, while it waits */
	char *user;                    /* NULL: a stranger */
	struct session_client *client; /* NULL: no frontend's */
	struct view *view;
	struct notices *notices;     /* NULL: not asked for */
	struct notify *notify;       /* NULL: NOTIFY was not said */
	struct session_saved *saved; /* "$"; NULL: empty */
	struct contexts *contexts;   /* NULL: none */
	char sid[20];
};

/* Literals of any size without waiting for "+"?  Frontends always may. */
bool session_may_pipeline(const struct session *ss);

/* Everything that may go on, does. */
void session_advance(struct session *ss);

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

#endif
