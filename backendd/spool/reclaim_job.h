/*
 * reclaim_job: what reclaim.c has jobs do.
 *
 * Each is a job_run whose arg is a struct reclaim_job, which nobody else
 * touches until it is done.  They read the index as applied, while others may
 * be writing it.
 */
#ifndef BACKENDD_SPOOL_RECLAIM_JOB_H
#define BACKENDD_SPOOL_RECLAIM_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/spool/data_out.h"
#include "backendd/store.h"
#include "lib/err.h"

enum {
	RECLAIM_BATCH = 1024,    /* messages moved at a time */
	RECLAIM_BUCKETS = 65536, /* directories m/xx/yy */
	RECLAIM_STEPS = 256,     /* of those, that need not be there, at once */
	RECLAIM_FOUND = 64       /* mailboxes, at once */
};

struct move {
	struct store_msg msg; /* as listed */
	uint32_t no;          /* where it goes */
	uint64_t at;
	bool bare;   /* it stays, but its octets are given up */
	bool failed; /* damaged: it stays where it is */
};

struct reclaim_job {
	/* What it is about; of a look through directories: its own. */
	char id[STORE_ID_MAX + 1];
	int dirfd;
	int64_t now, held_since;
	unsigned percent;
	uint64_t least;
	uint32_t uidvalidity;

	bool failed; /* see err */
	struct err err;

	/* To choose a file. */
	uint32_t last; /* the file that grows */
	bool chosen;
	uint32_t file; /* to be emptied, for what follows, too */
	uint64_t file_size;
	uint64_t dead;      /* octets, as seen */
	int64_t first_held; /* expunged then; INT64_MAX: none */
	struct scan_file *files;
	size_t nfiles;

	/* To list messages in it, and to move them. */
	struct move *moves; /* room for RECLAIM_BATCH */
	size_t nmoves;
	uint64_t octets; /* of those that are kept */
	struct data_out out;

	/* To look through directories. */
	uint32_t bucket;                 /* the last one */
	char (*found)[STORE_ID_MAX + 1]; /* room for RECLAIM_FOUND */
	size_t nfound;
};

/* The file with the most to gain, if any is worth it; what is dead. */
void reclaim_job_choose(void *job);

/* What the index has in the file, as much as is moved at a time. */
void reclaim_job_list(void *job);

/* Their frames to where they go, synced. */
void reclaim_job_move(void *job);

/* Mailboxes that are worth it, from bucket on. */
void reclaim_job_look(void *job);

#endif
