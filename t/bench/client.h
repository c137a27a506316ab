/*
 * bench/client: one connection of a load generator, reading line by line.
 *
 * It connects, with TLS if told so, and hands every line to its owner, without
 * CRLF; literals are counted, and handed over if it wants them.  Octets are acknowledged at once
 * (TCP_QUICKACK), or a server that writes its answer in two pieces would be
 * measured by our kernel's delayed acknowledgement.
 */
#ifndef T_BENCH_CLIENT_H
#define T_BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;
struct dial;
struct load;
struct stream;

/* Embed it.  state, number, began, count, sent are the
 * protocol's to use. */
struct client {
	struct load *load;
	unsigned state;
	unsigned number; /* of this client, from 0 */
	unsigned user;   /* whom it is logged in as, from 1 */
	unsigned count, sent;
	int64_t began; /* microseconds: the operation that is under way */

	/* client.c's own */
	struct dial *dial;
	struct stream *stream;
	int fd;
	uint64_t literal; /* octets still to skip */
	bool inside;      /* the line goes on after a literal */
	bool gone;        /* this turn, while lines are handed out */
};

/* Connects anew; protocol->line is called for every line from then on. */
void client_open(struct client *c);

/* Hangs up. */
void client_close(struct client *c);

/* What is put goes out at client_flush(). */
struct buf *client_out(struct client *c);
void client_flush(struct client *c);

#endif
