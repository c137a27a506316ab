/*
 * net: hosts, the connections between them, and what goes wrong with both.
 *
 * Octets of one direction of a connection come in order, cut anywhere, some
 * time after they were sent; between connections there is no order.  What is
 * between two hosts that are parted waits, and a connection over which nothing
 * comes through for long breaks.  A process that is killed closes its
 * connections; a machine that loses power just falls silent.
 *
 * Descriptors are numbers that the kernel does not give: see fd.c.
 */
#ifndef T_SIM_NET_H
#define T_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "t/sim/world.h"

struct io;

enum {
	NET_HOSTS = 16
};

void net_begin(void);

/* --- descriptors (fd.c) ---------------------------------------------------- */

enum fd_kind {
	FD_NONE, /* not ours */
	FD_SOCKET,
	FD_FILE,
	FD_DIR,
	FD_PIPE,
	FD_LISTEN
};

int fd_new(enum fd_kind kind, void *object);
enum fd_kind fd_kind(int fd);
void *fd_object(int fd, enum fd_kind kind);
struct io *fd_io(int fd);
void fd_free(int fd);

/* --- for the loop ---------------------------------------------------------- */

void net_watch(int fd, struct io *io);
unsigned net_ready(int fd); /* of enum io_want */

/* --- connections ----------------------------------------------------------- */

struct side;

/*
 * A connection between two processes: each end's descriptor.  The second is
 * the listener's.
 */
void net_connect(struct proc *from, struct proc *to, int fds[2]);

void side_close(struct side *s);

/* --- faults ---------------------------------------------------------------- */

void net_part(unsigned a, unsigned b, bool parted);
bool net_is_parted(unsigned a, unsigned b);
void net_host_up(unsigned host, bool up);
bool net_host_is_up(unsigned host);

/* Breaks some connection between two hosts, if there is one. */
void net_cut(unsigned a, unsigned b);

/* One way, now: most are quick, some are not. */
int64_t net_delay(unsigned a, unsigned b);

/* From now on this much more, at most. */
void net_slow(int64_t us);

/* All its connections, listeners and pipes. */
void net_died(struct proc *p, enum death how);

/* --- listeners (dial.c) ---------------------------------------------------- */

/* A descriptor for child_listener(): this process's, at this port. */
int listener_new(struct proc *p, unsigned port);
void listener_died(struct proc *p);

/* --- pipes between processes of a machine (ipc.c) -------------------------- */

void pipe_pair(struct proc *a, struct proc *b, int fds[2]);
void pipe_died(struct proc *p);

struct pipe_end;
void pipe_close(struct pipe_end *e);

#endif
