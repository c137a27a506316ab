/*
 * ipc: messages between processes of one daemon, over a socket pair, or with a
 * tool of it, over a socket that listen_bind_packets() has bound.
 *
 * A message is a type, an id and a payload of at most IPC_MAX octets, with at
 * most one descriptor beside it.  It arrives whole or not at all.  Messages
 * that the socket does not take are queued, up to a ceiling.
 */
#ifndef LIB_IPC_H
#define LIB_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

enum {
	IPC_MAX = 64 * 1024
};

struct err;
struct ipc;
struct loop;

/* A pair of connected descriptors (SOCK_SEQPACKET, close-on-exec). */
int ipc_pair(int fds[2], struct err *err) MUST_CHECK;

/* To such a socket; blocks.  -1 and *err: nobody listens there. */
int ipc_connect(const char *path, struct err *err) MUST_CHECK;

struct ipc_message {
	uint32_t type;        /* of the protocol the two sides agree on */
	uint64_t id;          /* of a request, repeated in its answer */
	struct slice payload; /* borrowed for the call */
	int fd; /* -1, or the callee's; -1 too if we are out of descriptors */
};

/*
 * m is NULL once: the other side is gone, or has sent what is no message; free
 * the ipc.
 */
typedef void ipc_cb(void *arg, const struct ipc_message *m);

/* Takes fd. */
struct ipc *ipc_new(struct loop *l, int fd, ipc_cb *cb, void *arg);
void ipc_free(struct ipc **ip);

/*
 * Takes fd (-1: none).  False if the queue is full or the other side gone: the
 * message was dropped, and fd closed.
 */
bool ipc_send(struct ipc *i, uint32_t type, uint64_t id, struct slice payload,
    int fd) MUST_CHECK;

#endif
