/*
 * data_out: what a job writes to the data files of a mailbox, and syncs.
 *
 * A file is synced by the descriptor that wrote to it: of an error in writing
 * back each descriptor is told once, and one that is opened later is not told
 * of what another has been told.  The directories that lead to a file that may
 * be new are synced, too.
 *
 *	data_out_init(&o, dirfd, id, mb->named);	in the loop
 *	jobs_put(...);
 *
 *	while (...) {					in the job
 *		int fd = data_out_file(&o, no, err);
 *		...write to it, if it is not -1...
 *	}
 *	if (...all went well...)
 *		result = data_out_end(&o, err);
 *	data_out_close(&o);
 *
 *	data_out_done(&o, mb, err.text);		in the loop again
 */
#ifndef BACKENDD_SPOOL_DATA_OUT_H
#define BACKENDD_SPOOL_DATA_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/err.h"

struct spool_mailbox;

struct data_out {
	int dirfd;
	const char *id; /* the mailbox's; borrowed */
	int fd;         /* of data file no; or -1 */
	uint32_t no;
	uint32_t opened; /* files below this may have been made */
	uint32_t named;  /* ...and below this have names that are synced */
	bool unsynced;   /* a sync failed: see change_unsynced() */
};

/* Borrows id until data_out_close(). */
void data_out_init(struct data_out *o, int dirfd, const char *id,
    uint32_t named);

/*
 * The data file, to write to and to read, until the next call: for another file
 * this one is synced and closed.  -1: that has failed, or there is none.
 */
int data_out_file(struct data_out *o, uint32_t no, struct err *err) MUST_CHECK;

/* All that has been written is to last. */
int data_out_end(struct data_out *o, struct err *err) MUST_CHECK;

/* After that, or instead: what has been written is of no use. */
void data_out_close(struct data_out *o);

/* What it has come to.  why: what went wrong, if anything. */
void data_out_done(const struct data_out *o, struct spool_mailbox *mb,
    const char *why);

#endif
