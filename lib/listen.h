/*
 * listen: sockets that accept, and what to do when descriptors run out.
 *
 * The parent binds (listen_bind), children accept (listen_new).  At the
 * process's descriptor limit a reserve is kept, accepting pauses and resumes
 * by itself, and the log says so once.
 */
#ifndef LIB_LISTEN_H
#define LIB_LISTEN_H

#include <stddef.h>

#include "lib/cdefs.h"

struct err;
struct listen;
struct log;
struct loop;

/*
 * "127.0.0.1:143", "[::1]:143", "*:143", "[*]:143" or "/a/socket".  Port 0 lets
 * the kernel choose.  A descriptor, or -1 and *err.  Blocks, for three seconds
 * at most, while the address is in use: for start-up.
 */
int listen_bind(const char *address, struct err *err) MUST_CHECK;

/*
 * A path for who speaks lib/ipc: root, and owner if we are root, else us; no
 * others may connect.
 */
int listen_bind_packets(const char *path, const char *owner,
    struct err *err) MUST_CHECK;

/* "127.0.0.1:40123": what was bound, NUL-terminated, cut to n. */
void listen_name(int fd, char *name, size_t n);

/* fd is the callee's, non-blocking, TCP_NODELAY set. */
typedef void listen_cb(void *arg, int fd);

/* Borrows fd, which several processes may share. */
struct listen *listen_new(struct loop *l, struct log *log, int fd,
    listen_cb *cb, void *arg);
void listen_pause(struct listen *l); /* at a session limit; idempotent */
void listen_resume(struct listen *l);
void listen_free(struct listen **lp);

#endif
