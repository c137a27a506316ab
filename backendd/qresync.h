/*
 * qresync: what a client has missed of a mailbox since a MODSEQ (RFC 7162 3.2).
 *
 * Both work on the selected mailbox, in turns of the loop, and call back from
 * one, also if the mailbox or the connection is lost meanwhile.
 */
#ifndef BACKENDD_QRESYNC_H
#define BACKENDD_QRESYNC_H

#include <stdint.h>

struct seqset;
struct session;

/* why: NULL, or why there is no answer, fit for the client. */
typedef void qresync_cb(struct session *ss, void *arg, const char *why);

/*
 * "VANISHED (EARLIER)": those of uids (NULL: all) above uid that were expunged
 * after since, and that the client does not count any more.  Borrows uids,
 * which is resolved.
 */
void qresync_vanished(struct session *ss, uint64_t since,
    const struct seqset *uids, uint32_t above, qresync_cb *cb, void *arg);

/* FETCH of those of uids (NULL: all) that were changed after since. */
void qresync_changed(struct session *ss, uint64_t since,
    const struct seqset *uids, qresync_cb *cb, void *arg);

#endif
