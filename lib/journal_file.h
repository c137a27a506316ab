/*
 * journal_file: one file of a journal, as octets.  Blocks; for lib/journal.
 *
 * A file is a header and records one after another:
 *
 *	"murderJ1" first:64 prev:64 salt:32 crc:32
 *	{ size:32 number:64 prev:64 durable:64 crc:32 headcrc:32 octets }
 *
 * All big-endian.  prev is the number of the record before, in the file before
 * if need be; so a file or record that is missing shows.  durable is the last
 * record known to be on disk when this one was written: that is what tells a
 * damaged record from one whose writing was cut short, since a record that a
 * later one calls durable must be whole.  Checksums are CRC-32C, begun with
 * the file's random salt, so that octets put into a record do not pass for a
 * record.  The header is synced before any record is written.
 *
 * A file may be longer than its records: room is made ahead of them, so that a
 * sync has the octets to write and nothing about the file.  Behind the last
 * record are zeros then; or, if the file is an old one that is written again,
 * what it had, which is no record's as its salt was another.  Whether the last
 * record of a file is missing shows in the next one.
 */
#ifndef LIB_JOURNAL_FILE_H
#define LIB_JOURNAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;

enum {
	JOURNAL_HEADER = 32,  /* octets before the first record */
	JOURNAL_RECORD = 36,  /* octets before each record's own */
	JOURNAL_NAME_MAX = 17 /* octets of a file's name, with its NUL */
};

/* --- writing -------------------------------------------------------------- */

/* Embed it; the members may be read. */
struct journal_file {
	int fd; /* -1: none */
	uint32_t salt;
	uint64_t end;  /* octets that are durable */
	uint64_t room; /* octets up to here have their place on the disk */
};

void journal_file_name(char name[JOURNAL_NAME_MAX], uint64_t first);

/* Makes a durable file without records.  On -1 f has no file. */
int journal_file_create(struct journal_file *f, int dirfd, uint64_t first,
    uint64_t prev, struct err *err) MUST_CHECK;

/*
 * The same of an old file, whose records nobody needs any more and which then
 * has another name; on -1 it is gone, if the disk allowed that.
 */
int journal_file_reuse(struct journal_file *f, int dirfd, const char *old,
    uint64_t first, uint64_t prev, struct err *err) MUST_CHECK;

/* A record's place in a batch: JOURNAL_RECORD octets, then its own. */
void journal_record_head(uint8_t head[JOURNAL_RECORD], size_t size,
    uint64_t number, uint64_t prev);

/*
 * Completes the heads of a batch of records and makes them durable.  On -1 the
 * file is as long as before, if the disk allowed that.
 */
int journal_file_append(struct journal_file *f, uint8_t *batch, size_t len,
    uint64_t durable, struct err *err) MUST_CHECK;

/* Removes what is not durable, durably. */
int journal_file_cut(struct journal_file *f, struct err *err) MUST_CHECK;

/* Gives room back that was not needed; if that fails, zeros stay. */
void journal_file_close(struct journal_file *f);

/* --- reading -------------------------------------------------------------- */

struct journal_text {
	uint8_t *octets; /* free() it; NULL when nothing was read */
	size_t len;
	bool whole_header;
	uint64_t first, prev;
	uint32_t salt;
};

/* Reads at most so many octets.  -1: the disk; t is empty. */
int journal_text_read(struct journal_text *t, int dirfd, const char *name,
    size_t most, struct err *err) MUST_CHECK;

struct journal_scan {
	const struct journal_text *text;
	size_t at;     /* end of the last whole record */
	uint64_t last; /* its number */
};

void journal_scan_init(struct journal_scan *s, const struct journal_text *t);

/* The next record, borrowed from the text; false: no other whole one here. */
bool journal_scan_next(struct journal_scan *s, uint64_t *number,
    struct slice *record);

/* After that: is there something which proves that a record is missing? */
bool journal_scan_damaged(const struct journal_scan *s);

#endif
