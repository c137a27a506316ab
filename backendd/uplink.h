/*
 * uplink: one MUPDATE connection to the update server, that stays.
 *
 * Authenticated, with any number of commands under way; answers are matched in
 * order.  When it breaks, what was under way ends UPLINK_LOST, and it is made
 * again after a pause that doubles, with jitter.  While it is down, commands
 * end UPLINK_LOST at once.  What is asked, and what an answer means, is
 * backendd/announce's.
 */
#ifndef BACKENDD_UPLINK_H
#define BACKENDD_UPLINK_H

#include <stdbool.h>

#include "imap/mupdate.h"

struct buf;
struct jobs;
struct log;
struct loop;
struct tls;
struct uplink;

struct uplink_conf {        /* borrowed for the life of the object */
	const char *server; /* host:port */
	const char *user, *password, *mechanisms;
	struct tls *tls;            /* NULL: never */
	bool implicit;              /* TLS from the first octet */
	bool starttls;              /* refuse a server without it */
	bool external;              /* tls has a client certificate */
	unsigned first_ms, last_ms; /* pause before the next attempt */
	unsigned answer_ms;         /* a command's deadline */
};

/* changed is called after each login (up), and when what followed one ends. */
struct uplink *uplink_new(struct loop *l, struct jobs *jobs, struct log *log,
    const struct uplink_conf *conf, void (*changed)(void *arg, bool up),
    void *arg);

/* What is under way is not called back. */
void uplink_free(struct uplink **up);

bool uplink_is_up(const struct uplink *u);

/* Did the server of this connection offer our extension? */
bool uplink_has_xmurder(const struct uplink *u);

enum uplink_end {
	UPLINK_OK,
	UPLINK_NO,  /* or BAD */
	UPLINK_LOST /* not asked, or not answered */
};

/* What comes before the end of an answer, and the end, with its text. */
typedef void uplink_line(void *arg, const struct mupdate_message *msg);
typedef void uplink_done(void *arg, enum uplink_end end, const char *text);

/* Writes the command, at once and once. */
typedef void uplink_put(void *arg, struct buf *out, const char *tag);

/* Never calls back from inside, but for put. */
void uplink_ask(struct uplink *u, uplink_put *put, uplink_line *line,
    uplink_done *done, void *arg);

#endif
