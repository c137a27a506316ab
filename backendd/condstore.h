/*
 * condstore: a client says that it knows MODSEQ (RFC 7162 3.1).
 */
#ifndef BACKENDD_CONDSTORE_H
#define BACKENDD_CONDSTORE_H

struct session;

/*
 * The running command is a CONDSTORE enabling one.  The first in a session
 * with a mailbox selected is told HIGHESTMODSEQ.
 */
void condstore_enable(struct session *ss);

#endif
