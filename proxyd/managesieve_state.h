/*
 * managesieve_state: a ManageSieve session, for the managesieve files only.
 */
#ifndef PROXYD_MANAGESIEVE_STATE_H
#define PROXYD_MANAGESIEVE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/collect.h"
#include "imap/managesieve.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/mono.h"
#include "proxyd/route.h"

struct auth_line;
struct imapd;
struct stream;
struct timer;
struct worker;
struct xcall;

enum {
	MANAGESIEVE_BEFORE_LOGIN_MAX = 16 * 1024, /* octets of a command */
	MANAGESIEVE_REST_MAX = 4096,    /* of a command beside its script */
	MANAGESIEVE_SLACK_SECONDS = 30, /* behind the timer, if BYE is stuck */
	MANAGESIEVE_BYE_SECONDS = 5
};

enum managesieve_phase {
	MANAGESIEVE_PHASE_READ,
	MANAGESIEVE_PHASE_RUN,  /* a command runs */
	MANAGESIEVE_PHASE_SASL, /* it waits for a line of an exchange */
	MANAGESIEVE_PHASE_CLOSING
};

struct sieve_session {
	unsigned magic;
	TAILQ_ENTRY(sieve_session) entry;
	struct imapd *imapd;
	struct worker *worker;
	struct stream *client;
	struct timer *timer; /* to log in, then of being idle */
	struct mono active;  /* when the client last said something */
	struct collect collect;
	struct arena arena;
	enum managesieve_phase phase;
	char sid[17];
	char *user; /* NULL before login */
	unsigned bad;
	bool greeted, draining;
	struct auth_line *exchange;

	/* The running command. */
	struct managesieve_command cmd;
	struct route_wait *wait;
	struct route_rate rate;
	struct xcall *call;
	struct buf answer; /* lines before the OK */
	bool found;        /* the script asked for is there */
	uint64_t count, size;
};

/* Checks the magic. */
struct sieve_session *managesieve_session_of(void *arg);

void managesieve_free(struct sieve_session *ss);

/* A line of the answer, of which more may come. */
void managesieve_reply(struct sieve_session *ss, enum managesieve_status status,
    const char *code, const char *text);

/* The command has been answered / is, by this. */
void managesieve_end(struct sieve_session *ss);
void managesieve_done(struct sieve_session *ss, enum managesieve_status status,
    const char *code, const char *text);

/* Goes on at the end of this turn; arg is the session. */
void managesieve_soon(void *arg);

/* managesieve_auth.c */
void managesieve_capabilities(struct sieve_session *ss);
void managesieve_greet(struct sieve_session *ss);
void managesieve_authenticate(struct sieve_session *ss);
void managesieve_response(struct sieve_session *ss);
void managesieve_starttls(struct sieve_session *ss);
void managesieve_unauthenticate(struct sieve_session *ss);

/* managesieve_cmd.c: the command that ss->cmd has. */
void managesieve_run(struct sieve_session *ss);

#endif
