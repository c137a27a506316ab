/*
 * fetch_state: what a FETCH under way is made of, for fetch_run.c,
 * fetch_gather.c and fetch_send.c only.
 */
#ifndef BACKENDD_FETCH_STATE_H
#define BACKENDD_FETCH_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/store.h"
#include "backendd/summarise.h"
#include "imap/fetch.h"
#include "lib/arena.h"
#include "lib/buf.h"

struct cmd;
struct fetch_decoding;
struct fetching;
struct mailbox;
struct msgset;
struct seeing;
struct session;
struct task;

enum {
	BATCH = SUMMARISE_MAX, /* messages whose summaries are got at once */
	BATCHES = 3,           /* one is sent, the others come behind it, */
	BATCHES_MAX = 1024 * 1024, /* ...unless all have so many octets */
	LOOKED_MAX = 4096,         /* messages looked at in one turn */
	HEADERS_MAX = 256 * 1024,  /* octets of headers read at once */
	FIELDS_MAX = 1024 * 1024,  /* octets of fields planned at once */
	WINDOW = 256 * 1024,       /* octets of messages read at once */
	WINDOW_PARTS = 128,
	ROOM = 32 * 1024, /* to wait for when there is none */
	FLAGS_MAX = 16 * 1024
};

enum fetch_state {
	STATE_GATHER,  /* find the next batches, and take the first */
	STATE_HEADERS, /* of a group: as many as may be read at once */
	STATE_DECODE,  /* what BINARY asks for, of the group */
	STATE_PLAN,
	STATE_SEND, /* the group */
	STATE_WAIT, /* for a call back */
	STATE_END   /* all is sent; \Seen may be on its way */
};

/* A message of the batch. */
struct item {
	struct fetch_facts facts;
	struct fetch_plan plan;
	struct fetch_decoded *decoded; /* by item of the FETCH, or NULL */
	bool failed;                   /* it is gone, or cannot be read */
};

/* Messages that have been found, and their summaries, or they are coming. */
struct batch {
	struct fetching *fe;
	struct arena arena;
	struct item items[BATCH];
	struct summarise_item summaries[BATCH];
	size_t n;
	struct seeing *seeing; /* NULL: no \Seen is set */
	bool summarising;      /* the arena is not ours meanwhile */
};

/* Octets of a message, read or to be read. */
struct piece_at {
	size_t item, piece;
	uint64_t at; /* offset in the piece */
};

/* Octets of messages at hand, or being read, in the order they are sent. */
struct window {
	struct store_part parts[WINDOW_PARTS];
	struct piece_at at[WINDOW_PARTS]; /* where parts[i] begins */
	size_t n, part;                   /* part: the next to be sent */
	struct piece_at end;              /* what comes behind it */
	struct store_chunk *chunk;
};

enum ahead {
	AHEAD_NONE,
	AHEAD_READING,
	AHEAD_READY
};

struct fetching {
	struct session *ss;
	struct cmd *cmd;
	const struct fetch *f;
	struct msgset *set;
	struct mailbox *m; /* a hold */
	struct task *turn;
	enum fetch_state state;
	unsigned needs;
	bool sets_seen, unreadable, unknown_cte;
	unsigned seen_waiting; /* call backs to come */

	/*
	 * A ring of nbatches from batches[first] on, which is b: it is sent,
	 * or will be when its summaries are there.
	 */
	struct batch *batches[BATCHES]; /* NULL: not needed so far */
	unsigned first, nbatches;
	struct batch *b;
	bool waits_batch;
	bool all_gathered;
	struct buf flags;        /* of one message, while it is gathered */
	size_t group, group_end; /* items planned and sent together */
	struct arena plans;      /* ...and their plans */
	unsigned nfields;        /* items that are fields of a header */

	/* What is sent next, and what is at hand of the messages. */
	struct piece_at pos;

	struct window windows[2];
	struct window *win;   /* what is being sent */
	struct window *ahead; /* what comes behind it */
	enum ahead ahead_is;
	bool waits_ahead;
	struct store_chunk *headers;     /* of the group */
	struct fetch_decoding *decoding; /* NULL: nothing is decoded */
};

/* Everything that may go on, does. */
void fetch_advance(struct fetching *fe);

/* --- fetch_gather.c --- */

/* STATE_GATHER */
void fetch_gather(struct fetching *fe);

/* Are there summaries to come?  Then it cannot end yet. */
bool fetch_is_gathering(const struct fetching *fe);
void fetch_gather_end(struct fetching *fe);

/* It cannot be read, or it is gone: then the client may be told so. */
void fetch_fail(struct fetching *fe, struct item *item);

/* --- fetch_send.c --- */

/* One more part of a window. */
void fetch_add_part(struct fetching *fe, struct window *w, struct piece_at at,
    const struct section_range *r);

/* STATE_SEND: the group goes out, as far as there is room and it is at hand. */
void fetch_send(struct fetching *fe);

#endif
