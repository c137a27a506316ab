/*
 * mailer_piece: the next octets of a message that goes out, read by a job if
 * they are in a file.
 */
#ifndef PROXYD_MAILER_PIECE_H
#define PROXYD_MAILER_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct blob;
struct jobs;
struct mailer_piece;

/* A message going out: a head, then a blob's octets.  Embed it. */
struct mailer_source {
	struct slice head; /* both borrowed */
	struct blob *blob; /* NULL: head is all there is */
	uint64_t at;       /* octets done with */
	struct mailer_piece *piece;
};

uint64_t mailer_source_octets(const struct mailer_source *s);

/*
 * The next octets, borrowed; none, and true, at the end.  false: a job reads
 * them, and read is called once it has.
 */
bool mailer_source_next(struct mailer_source *s, struct jobs *jobs,
    void (*read)(void *arg), void *arg, struct slice *octets);

/* n of them are done with. */
void mailer_source_used(struct mailer_source *s, size_t n);

/* No call back any more; from the start again. */
void mailer_source_rewind(struct mailer_source *s);

#endif
