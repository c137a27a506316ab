/*
 * front: murder-front, the child that keeps the frontend's mailbox list.
 *
 * It subscribes to the update server (RFC 3656 UPDATE), applies what comes to
 * the list's copy in bounded transactions, and is that copy's only writer.  A
 * full list is applied as a difference: at no moment is the copy emptied or
 * half-filled.  A full list that lacks more than list_shrink percent of the
 * copy removes nothing until an admin makes the file DIRECTORY/accept-list.
 *
 * Workers ask it over ipc to synchronise: it sends NOOP up the stream, whose OK
 * says that all earlier changes have come (RFC 3656, 4.8 NOOP), and answers
 * when they are in the copy.  One NOOP serves all who asked before it was sent.
 */
#ifndef PROXYD_FRONT_H
#define PROXYD_FRONT_H

#include "lib/daemon.h"

/* Between a worker and front; the payload is empty but for the answer's. */
enum front_ipc {
	FRONT_SYNC = 1, /* worker: tell me when the copy is current */
	FRONT_SYNCED,   /* the same id; one octet: 1 it is, 0 cannot know */
};

/* Where the list is: DIRECTORY "/mailboxes", for lib/treedb. */
#define FRONT_LIST "mailboxes"

extern const struct daemon_child proxyd_front_child;

#endif
