/*
 * append_octets: how the octets of an append get to the disk, for append.c.
 *
 * Small ones are put into the change's record, and from there into the files
 * when it is durable (ahead.c, redo.c); large ones, many at once, and what is
 * read from elsewhere are a job's, which writes those that are large or many to
 * the data file and syncs it.  Then the record has their heads, which make a
 * frame of what was written, and their cache records go beside it
 * (change.aside).
 */
#ifndef BACKENDD_SPOOL_APPEND_OCTETS_H
#define BACKENDD_SPOOL_APPEND_OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/spool/data_out.h"
#include "backendd/spool/spool.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/slice.h"

enum {
	APPEND_ROW = 256 * 1024 /* octets of messages in one write */
};

/* A message on its way: what the job is told, and what it found. */
struct piece {
	struct slice octets;          /* given, or NULL and empty: see from */
	bool from;                    /* a copy of the message at place */
	bool direct;                  /* its frame is written by the job */
	bool gone;                    /* there is no such message */
	struct spool_mailbox *source; /* of a copy */
	unsigned side;                /* of its epoch */
	struct spool_place place;     /* of the source */
	uint64_t size;
	uint8_t emailid[16];
	uint32_t no; /* where the frame goes, if direct */
	uint64_t at;
	uint8_t *frame; /* head, and octets of a copy that is not direct */
	uint8_t *cache_area;
	struct slice cache;
};

struct appending {
	struct spool *sp;
	int dirfd;
	struct spool_mailbox *to, *from; /* from: a move */
	char id[STORE_ID_MAX + 1];       /* of to */
	struct store_append *items;
	size_t n;
	struct data_out out; /* what the job writes */
	struct buf row;      /* in the job: octets to be written to row_no... */
	uint32_t row_no;
	uint64_t row_at; /* ...here */
	uint8_t *copy;   /* in the job: a message on its way to a row */
	struct piece *pieces;
	bool job, direct;
	bool undelete;   /* one of them at least */
	unsigned side;   /* of to's epoch, if entered */
	bool entered;    /* from the job on, until the change has it */
	size_t cached;   /* octets of cache records in the pieces */
	uint64_t octets; /* of all that is not written yet */
	bool failed;
	struct err err;
	store_cb *cb;
	void *arg;
};

/*
 * In a job, or at once if there is nothing to read or write: checksums, copies
 * of other messages, frames that are written directly.  Sets failed and err.
 */
void append_octets_run(void *ap);

/* Where the frame and cache record of a message go: for its slot. */
void append_octets_place(struct spool_mailbox *mb, struct piece *p,
    struct store_msg *m);

/*
 * What an append adds goes into its record, when all is placed: one write for
 * each file, if it can be.  slot, cache_at: where what it adds begins.
 */
void append_octets_put(struct change *ch, const struct appending *ap,
    uint32_t slot, uint64_t cache_at);

#endif
