/*
 * dial: connect to a host by name or address, without blocking.
 *
 * Names are looked up in a job thread; their addresses are tried in turn.  One
 * deadline covers the look-up and all attempts, shared out among those left,
 * so that one address nobody answers at does not use all of it.
 */
#ifndef LIB_DIAL_H
#define LIB_DIAL_H

struct dial;
struct jobs;
struct loop;

/* fd >= 0 is the callee's, non-blocking, TCP_NODELAY set; or -1 and why. */
typedef void dial_cb(void *arg, int fd, const char *why);

/*
 * address: "host:port", "192.0.2.1:143", "[2001:db8::1]:143" or "/a/socket".
 * Never calls back from inside this call.  d ends with the call back: free it
 * there or later.
 */
struct dial *dial_new(struct loop *l, struct jobs *jobs, const char *address,
    unsigned seconds, dial_cb *cb, void *arg);

/* Gives up: no call back after it. */
void dial_free(struct dial **dp);

#endif
