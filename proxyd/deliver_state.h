/*
 * deliver_state: what deliver's parts share.
 *
 *	deliver.c	a delivery from its first recipient to its last answer
 *	deliver_plan.c	what one recipient's script wants: stores and mails
 *	deliver_send.c	doing it
 */
#ifndef PROXYD_DELIVER_STATE_H
#define PROXYD_DELIVER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/lmtp.h"
#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/slice.h"
#include "proxyd/route.h"
#include "proxyd/stores.h"

struct blob;
struct mailer;
struct route_wait;
struct script;
struct script_wait;
struct scripts;
struct task;
struct worker;
struct xmurder;

enum {
	DELIVER_HERE_MAX = 64 * 1024 /* octets; larger ones are a job's */
};

struct deliveries {
	struct worker *worker;
	struct xmurder *xmurder;
	struct scripts *scripts;
	struct mailer *mailer;
	size_t left;
	void (*gone)(void *arg);
	void *arg;
};

enum recipient_state {
	RECIPIENT_ASKING,   /* for the script */
	RECIPIENT_READY,    /* the script's answer is known */
	RECIPIENT_PLANNING, /* it runs, and names are looked up */
	RECIPIENT_PLANNED
};

/* A mail to be sent. */
struct outgoing {
	struct outgoing *next;
	const char *why; /* "redirect", "reject" */
	struct slice address;
	struct lmtp_path from, to;
	struct slice head;
	bool with_message;
};

struct recipient {
	struct delivery *delivery;
	struct arena arena; /* its own: a job may use it */
	enum recipient_state state;
	const struct recipient *same; /* named before: answered alike */

	struct lmtp_path path;
	struct slice raw, detail, mailbox;
	char *user; /* NULL: nobody's */
	char *server;
	struct script_wait *script_wait;
	struct script *script; /* NULL: not known */

	/* The plan. */
	struct sieve_message message;
	struct sieve_limits limits;
	uint8_t separator;
	struct sieve_result result;
	struct sieve_error error;
	bool failed;                 /* the run */
	unsigned at;                 /* action */
	bool created;                /* ...CREATE has been tried for it */
	struct slice name, external; /* ...its mailbox */
	struct route_wait *wait;
	struct stores stores;
	struct outgoing *outgoing;

	/* The answer. */
	int code; /* 0: none yet */
	const char *enhanced, *text;
};

enum delivery_state {
	DELIVERY_OPEN,     /* takes recipients */
	DELIVERY_READING,  /* a digest is made */
	DELIVERY_PLANNING, /* for each recipient */
	DELIVERY_SENDING,
	DELIVERY_DONE
};

struct delivery {
	enum delivery_state state;
	struct deliveries *all;
	struct worker *worker;
	struct arena arena;
	char *sid;
	struct lmtp_path from;
	struct slice from_raw;
	struct recipient **recipients;
	size_t n, size;

	struct task *task;
	bool left; /* nobody listens any more */
	struct blob *blob;
	struct slice octets;
	uint8_t digest[32];
	struct slice trace;     /* before what is stored */
	struct slice received;  /* before what is sent on */
	size_t unplanned;       /* recipients */
	size_t pending;         /* mailings and submissions */
	struct route_rate rate; /* of look-ups that miss */
	void (*done)(void *arg);
	void *arg;
};

/* Each ends, sooner or later, in delivery_planned(). */
void deliver_plan(struct recipient *r);
void delivery_planned(struct recipient *r);

/* All are planned: ends in delivery_sent() as often as pending says. */
void deliver_send(struct delivery *d);
void delivery_sent(struct delivery *d);

/* Joins an answer to the one so far: the worst counts. */
void recipient_answer(struct recipient *r, int code, const char *enhanced,
    const char *text);

#endif
