/*
 * xmurder: what a worker asks of backends for itself, not for a client.
 *
 * One connection to each backend, logged in as proxy_user and acting for no
 * user, with the commands of our own extension (XSCRIPT, XREMEMBER; see
 * protocols(7)) pipelined on it.  Made when first needed, made again after a
 * loss, closed when it has been idle for a while.
 */
#ifndef PROXYD_XMURDER_H
#define PROXYD_XMURDER_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/respcode.h"
#include "imap/write.h"
#include "lib/slice.h"

struct parse;
struct worker;
struct xcall;
struct xmurder;

/* Lives as long as the worker. */
struct xmurder *xmurder_new(struct worker *w);

struct xanswer {
	bool lost;    /* no connection, or it broke: whether it was done is not
	              known */
	bool foreign; /* that server is not of our kind: nothing was asked */
	enum write_status status;
	enum respcode code;
	struct slice code_name, text;
};

/* p stands behind the name of an untagged "* XSCRIPT". */
typedef void xcall_data(void *arg, struct parse *p);
typedef void xcall_done(void *arg, const struct xanswer *a);

/*
 * words: "XSCRIPT GET"; args are written as astrings.  data may be NULL.
 * Never calls back from inside; ends with done.  NULL, and no call back, if too
 * much waits for that backend already.
 */
struct xcall *xmurder_call(struct xmurder *x, const char *server,
    const char *words, const struct slice *args, size_t nargs, xcall_data *data,
    xcall_done *done, void *arg);

/* No call back any more; the backend may do it all the same. */
void xcall_cancel(struct xcall **cp);

#endif
