/*
 * remote: a store whose partition a backendd has that runs.
 *
 * A store module for backendadm alone: what that asks of a store is asked of
 * the backendd, at its admin_socket (backendd/adm_wire.h).  It has the functions
 * that backendadm uses and no others, waits for the answer, and so calls back
 * from inside.  The messages of a mailbox are those it had when it was opened.
 */
#ifndef BACKENDD_ADM_REMOTE_H
#define BACKENDD_ADM_REMOTE_H

#include <stddef.h>

#include "lib/cdefs.h"
#include "backendd/store.h"

struct err;
struct loop;
struct remote;

/* Takes fd, of ipc_connect().  NULL and *err. */
struct remote *remote_new(struct loop *loop, int fd, struct err *err);
void remote_free(struct remote **rp);

/* A partition of it; both are borrowed. */
struct store *remote_store(struct remote *r, const char *partition);

/*
 * Looks at them only: results are in parts[i].why, which may be one text for
 * all.  NULL, or why that could not be done.
 */
const char *remote_check(struct store_mailbox *mb, struct store_part *parts,
    size_t n);

/* A mailbox that was deleted gets this name.  NULL, or why not. */
const char *remote_restore(struct remote *r, const char *from, const char *to);

#endif
