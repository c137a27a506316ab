/*
 * front_child: murder-front, the child that keeps the frontend's mailbox list.
 *
 * A proxyd/front, the workers that ask it to synchronise, and the operators'
 * HTTP (lib/admin).
 */
#ifndef PROXYD_FRONT_CHILD_H
#define PROXYD_FRONT_CHILD_H

#include "lib/daemon.h"

/* Between a worker and front; the payload is empty but for the answer's. */
enum front_ipc {
	FRONT_SYNC = 1, /* worker: tell me when the copy is current */
	FRONT_SYNCED    /* the same id; one octet: 1 it is, 0 cannot know */
};

extern const struct daemon_child proxyd_front_child;

#endif
