/*
 * mailer_piece: the next octets of a message that is in a file, read by a job.
 */
#ifndef PROXYD_MAILER_PIECE_H
#define PROXYD_MAILER_PIECE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

struct blob;
struct jobs;
struct mailer_piece;

/* From the front of octets, which are blob's.  read is called once it is. */
struct mailer_piece *mailer_piece_read(struct jobs *jobs, struct blob *blob,
    struct slice octets, void (*read)(void *arg), void *arg);

/* What is left of it, borrowed; false: not read yet. */
bool mailer_piece_ready(const struct mailer_piece *p, struct slice *s);

/* n octets are done with; frees and clears it when none is left. */
void mailer_piece_used(struct mailer_piece **pp, size_t n);

/* No call back.  NULL is fine. */
void mailer_piece_leave(struct mailer_piece **pp);

#endif
