/*
 * front_state: what the files of proxyd/front share.
 *
 * front.c has the states, the barrier and the life; front_feed.c the
 * connection and what comes over it; front_report.c what is told to people.
 */
#ifndef PROXYD_FRONT_STATE_H
#define PROXYD_FRONT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/auth.h"
#include "lib/endpoint.h"
#include "lib/list.h"
#include "lib/mono.h"
#include "proxyd/front.h"

struct mirror;

enum front_state {
	FRONT_RESTING,    /* until the next attempt */
	FRONT_CONNECTING, /* dial, banner, login */
	FRONT_LOADING,    /* a whole list or a difference comes */
	FRONT_STREAMING
};

/* Members are written by the file named. */
struct front {
	unsigned magic;
	struct front_setup use;
	struct mirror *mirror; /* NULL: failed, to be opened again */

	/* front.c */
	TAILQ_HEAD(, front_wait) waits;
	size_t nwaits;
	enum front_state state;
	struct timer *timer; /* of the state */
	struct mono since;   /* of the state */
	int64_t retry_ms;
	unsigned noop;     /* the last sent */
	unsigned noop_out; /* not yet answered; 0: none */
	bool noop_ok;      /* it is, but the mirror is busy */
	char why[200];     /* the last connection's end; "": none yet */
	uint64_t losses, barriers, barrier_noes;

	/* front_feed.c */
	char host[ENDPOINT_HOST]; /* "" of a path */
	struct dial *dial;
	struct stream *stream;
	struct mupdate *parser;
	struct mupdate_login *login;
	struct auth_secret secret;
	struct task *step; /* of a busy mirror */
	bool whole;        /* the list that comes is, not a difference */
	uint64_t expected; /* its entries; 0: not told */
	uint64_t octets;   /* of the stream, at the last look */
	uint64_t connects;

	/* front_report.c */
	struct wall current; /* when the copy was last known to be */
	struct timer *nag;   /* the next line in the log */
	int64_t nag_ms;
	struct timer *accept; /* the next look for a word */
};

struct front *front_of(void *arg);

/* --- front.c */
void front_enter(struct front *f, enum front_state state);

/* The connection is over, or cannot be made. */
void front_fail(struct front *f, const char *why);

/* So is the copy: it will be opened anew, and is as of a commit then. */
void front_fail_mirror(struct front *f, const struct err *err);

void front_send_noop(struct front *f);

/* The OK of our NOOP: all before it is in the copy, or soon will be. */
void front_noop_answered(struct front *f);

/* --- front_feed.c */
void front_dial(struct front *f);
void front_hang_up(struct front *f);

/* The mirror is busy: nothing is read until it is not. */
void front_want_step(struct front *f);

/* False: for mupdate_timeout too little of a list has come. */
bool front_feed_comes_on(struct front *f);

/* --- front_report.c */
void front_report_init(struct front *f);

/* The copy is current, but for what is held back. */
void front_is_current(struct front *f);

/* Looks whether the log, and an administrator, have to be told of something. */
void front_look(struct front *f);

#endif
