/*
 * session_state: what a session is made of, for session.c and session_cmd.c
 * only.
 */
#ifndef BACKENDD_SESSION_STATE_H
#define BACKENDD_SESSION_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "backendd/session.h"
#include "imap/collect.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/mono.h"

#define SESSION_MAGIC 0x5e551012u

struct backendd;
struct stream;
struct task;
struct timer;

enum session_state {
	SESSION_TAKING,    /* a command, or its literals */
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

struct session {
	unsigned magic;
	enum session_state state;
	TAILQ_ENTRY(session) link;
	struct backendd *bd;
	struct stream *stream;
	struct timer *deadline;
	struct task *turn;
	struct collect collect;
	struct arena arena; /* of the command */
	struct buf sink;    /* output of the dead */
	struct mono active; /* when an octet last moved */

	/* The command. */
	struct cmd *cmd; /* in the arena; NULL: none */
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

	/* What follows the reply. */
	bool tls_next;     /* STARTTLS */
	bool log_out_next; /* UNAUTHENTICATE */
	bool greeted;
	bool inside; /* session_advance() */
	enum session_end end;
	const char *bye_code, *bye_text;

	/* Who. */
	char *user, *authcid;
	bool admin, proxy, trusted;
	unsigned enabled;  /* of enum session_enabled */
	unsigned bad;      /* commands in a row */
	unsigned failures; /* to log in */
	struct view *view;
	struct session_saved *saved; /* "$"; NULL: empty */
	char sid[32];
	char client[64]; /* as a trusted frontend says */
};

/* Literals of any size without waiting for "+"?  Frontends always may. */
bool session_may_pipeline(const struct session *ss);

/* Everything that may go on, does. */
void session_advance(struct session *ss);

#endif
