/*
 * bench/load: many clients at once against one server, and what they measured.
 *
 * A protocol is a table of functions over a client; this module opens the
 * clients, starts the clock when all of them are ready, and counts.
 */
#ifndef T_BENCH_LOAD_H
#define T_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct client;
struct jobs;
struct loop;
struct timer;
struct tls;

struct load_options {
	const char *address;
	const char *user; /* followed by a number */
	const char *password;
	const char *mailbox; /* that is selected */
	const char *command; /* what is sent again and again */
	const char *server;  /* MUPDATE: for whom mailboxes are reserved */
	uint64_t users;      /* numbered from 1 */
	uint64_t clients;
	uint64_t ms;     /* for so long */
	uint64_t octets; /* LMTP: of a message */
	uint64_t window; /* MUPDATE: commands under way on a connection */
	uint64_t names;  /* MUPDATE: mailboxes in all */
	uint64_t boxes;  /* ...of one user */
	uint64_t rate;   /* MUPDATE: changes a second */
	bool tls;
};

struct protocol {
	const char *mode;
	const char *help;
	/* Every client opens a connection of its own for each operation. */
	bool reconnects;
	/* Clients rest when they are ready, until our input ends. */
	bool rests;
	/* A whole line, its literals left out. */
	void (*line)(struct client *c, struct slice line);
	/* Starts an operation; not if it reconnects or rests. */
	void (*go)(struct client *c);
	/* A literal, whole; NULL: they are skipped. */
	void (*literal)(struct client *c, struct slice octets);
	/* All lines that were there have been seen.  May be NULL. */
	void (*seen)(struct client *c);
	/* After the report's own figures: ", \"key\": 1".  May be NULL. */
	void (*report)(struct load *l);
};

extern const struct protocol protocol_login, protocol_command, protocol_idle,
    protocol_lmtp, protocol_mupdate, protocol_fill, protocol_update,
    protocol_propagate;

/* What protocols see of it. */
struct load {
	const struct load_options *options;
	const struct protocol *protocol;
	struct loop *loop;
	struct jobs *jobs;
	struct tls *tls; /* NULL: plain */
	uint64_t octets; /* that came in */
	uint64_t unique; /* counts up: for names and Message-IDs */
	uint64_t run;    /* tells this run from others */
	void *state;     /* the protocol's, for free() */

	/* load.c's own */
	struct client *clients;
	struct timer *timer;
	size_t opened, opening, ready, failed;
	bool measuring;
	int64_t since, until; /* microseconds */
	uint64_t octets_before;
	double *samples; /* microseconds */
	size_t nsamples, room;
	char why[200]; /* of the first failure */
};

/* Microseconds since some moment. */
int64_t load_clock(void);

/* The next user's number, in turn. */
unsigned load_user(struct load *l);

/* This client is set up; protocol->go is called when all are. */
void load_ready(struct client *c);

/* The operation begun at c->began is done; the next one may begin. */
void load_done(struct client *c);

/* An operation that took so long is done; what is next is the caller's. */
void load_sample(struct load *l, int64_t us);

/* All is done that there was to do. */
void load_stop(struct load *l);

/* The client is out of the game: what it was told instead. */
void load_failed(struct client *c, struct slice why);

#endif
