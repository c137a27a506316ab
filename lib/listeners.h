/*
 * listeners: all the sockets at which a child accepts.
 *
 * Read from what the parent bound for it, paused together at a limit of
 * sessions, and gone together at a drain.
 */
#ifndef LIB_LISTENERS_H
#define LIB_LISTENERS_H

#include "lib/listen.h"

struct child;
struct listeners;

struct listeners *listeners_new(struct child *c);

/* Those bound under this name (child_listener()): accept(arg, fd) from now. */
void listeners_add(struct listeners *ls, const char *name, listen_cb *accept,
    void *arg);

enum listeners_wish {
	LISTENERS_ACCEPT,
	LISTENERS_PAUSE
};

/* Idempotent: say it after every session's begin and end. */
void listeners_want(struct listeners *ls, enum listeners_wish wish);

/* NULL is fine. */
void listeners_free(struct listeners **lp);

#endif
