/*
 * worker: what the imap and the lmtp children of proxyd have in common.
 */
#ifndef PROXYD_WORKER_H
#define PROXYD_WORKER_H

#include "imap/mboxname.h"
#include "lib/cdefs.h"

struct auth;
struct child;
struct err;
struct jobs;
struct links;
struct log;
struct loop;
struct proxyd_conf;
struct route;
struct tls;

/* Embedded in each child's state; members are read by all its modules. */
struct worker {
	struct child *child;
	const struct proxyd_conf *conf;
	struct loop *loop;
	struct log *log;
	struct jobs *jobs; /* name look-ups and temporary files */
	struct auth *auth;
	struct tls *server_tls;  /* NULL: no certificate */
	struct tls *backend_tls; /* NULL: backend_tls is no */
	struct route *route;
	struct links *links;
	struct mboxname_layout layout;
	struct mboxname_layout admin_layout; /* as administrators see names */
};

int worker_start(struct worker *w, struct child *c, struct err *err) MUST_CHECK;
void worker_neighbour(struct worker *w, const char *name, unsigned index,
    int fd);
void worker_reload(struct worker *w);

/* What names look like to this user. */
const struct mboxname_layout *worker_layout(const struct worker *w,
    const char *user);

/* A session id, unique among frontends: for the log and for backends. */
void worker_new_sid(char sid[17]);

#endif
