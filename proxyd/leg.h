/*
 * leg: a session's connection to one backend, with what was asked there.
 *
 * An ask is one command sent and not yet answered.  Untagged responses belong
 * to the ask at the head of the queue: they are passed on to the client, octet
 * for octet, or gathered and relayed whole, or shown, or dropped, as the ask has
 * it.  News of the selected mailbox is the client's to know whatever was asked.
 * While one leg is in the midst of a response to the client, others wait.
 */
#ifndef PROXYD_LEG_H
#define PROXYD_LEG_H

#include <stdbool.h>

#include "imap/reply.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/slice.h"
#include "proxyd/link.h"

struct ask;
struct leg;
struct session;
struct timer;

enum ask_policy {
	ASK_PASS,   /* untagged responses and the tagged one go to the client */
	ASK_ANSWER, /* untagged ones, short, do; the tagged one is shown */
	ASK_SHOW,   /* all are shown, but news of the selected mailbox */
	ASK_FETCH,  /* the same; FETCH is no news, but shown too */
	ASK_DROP    /* none matters; failure neither */
};

/* The tagged response; text is NULL if it was passed, or if the leg is lost. */
struct ask_answer {
	bool lost; /* the leg is gone, whatever was done there */
	enum write_status status;
	const struct reply_text *text;
};

struct ask_use {
	enum ask_policy policy;
	void (*data)(struct session *ss, struct leg *g,
	    const struct reply_head *head,
	    const struct piece *pieces);                     /* SHOW, FETCH */
	void (*go_ahead)(struct session *ss, struct leg *g); /* the first "+" */
	/* With PASS, of a NO before the client has it; true: it never does. */
	bool (*refused)(struct session *ss, struct leg *g,
	    const struct reply_text *text);
	void (*answer)(struct session *ss, struct leg *g,
	    const struct ask_answer *a); /* not with DROP */
};

struct leg {
	TAILQ_ENTRY(leg) entry;
	struct session *ss;
	struct link *link;
	TAILQ_HEAD(, ask) asks;
	struct arena arena; /* of the response being gathered */
	bool passing;       /* in the midst of a response */
	bool gathering;     /* one that is looked at */
	bool relaying;      /* it goes to the client when it is whole */
	bool wants_room;    /* the client's buffer was full */
	size_t room;        /* that writable waits for */
	unsigned last_tag;
	void (*opened)(struct session *ss, struct leg *g);   /* NULL: waiting
	                                                    for nothing */
	void (*failed)(struct session *ss, struct leg *g);   /* instead of NO */
	void (*writable)(struct session *ss, struct leg *g); /* likewise */
	struct timer *timer; /* while something is asked */
	bool unhurried;      /* what is asked has no deadline */
	char server[];
};

struct leg *leg_new(struct session *ss, const char *server);

/* The session's; answers nothing any more. */
void leg_free(struct leg **gp);

/*
 * cb is called when the leg is open; if it cannot be opened, the command is
 * answered NO [UNAVAILABLE] instead.  May call at once.
 */
void leg_when_open(struct leg *g,
    void (*cb)(struct session *ss, struct leg *g));

/*
 * Ask with a tag of our own (tag.len 0) or the client's; write the command
 * through the writer given back, then leg_flush().
 */
struct write leg_ask(struct leg *g, struct slice tag,
    const struct ask_use *use);

/* The tag is written; name and arguments follow.  For simple ones: */
void leg_ask_text(struct leg *g, const char *text, const struct ask_use *use);
void leg_flush(struct leg *g);

/* The same; if it cannot be opened failed is called and the leg is freed. */
void leg_try_open(struct leg *g, void (*cb)(struct session *ss, struct leg *g),
    void (*failed)(struct session *ss, struct leg *g));

/* cb is called once n octets fit in the out buffer; may call at once. */
void leg_when_room(struct leg *g, size_t n,
    void (*cb)(struct session *ss, struct leg *g));

/* The client's buffer has room again, or the leg has octets: go on. */
void leg_advance(struct leg *g);

/* What is asked may take for ever: IDLE.  From here on it may not any more. */
void leg_no_deadline(struct leg *g);
void leg_new_deadline(struct leg *g);

/* The command is over: nothing of what was asked for it is told any more. */
void leg_forget(struct leg *g);

#endif
