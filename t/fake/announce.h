/*
 * fake_announce: backendd/announce.h over an update server that is a few
 * records in memory.  For unit tests of the mailbox list: who links this has no
 * other.
 *
 * Commands are answered in order, one a turn of the loop.  One of them can go
 * wrong: not heard, not answered, or refused.  Then the link is down until the
 * test says otherwise.
 */
#ifndef T_FAKE_ANNOUNCE_H
#define T_FAKE_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mboxrec.h"

struct announce;
struct loop;

enum fake_fault {
	FAULT_NONE,
	FAULT_UNHEARD,    /* lost before it came there */
	FAULT_UNANSWERED, /* done, and the answer lost */
	FAULT_REFUSED     /* NO, this once */
};

/* The test's own; see also fake_announce_put(). */
struct fake_update_server {
	bool extended;  /* XMURDER */
	bool remembers; /* it has ended every grant but those it has */
	bool no_lists;  /* XLIST and LIST are answered NO */
	bool lost;      /* a change has been: see announce_lost() */
	uint64_t revision;
	unsigned changes;  /* commands that change something, heard or not */
	unsigned lists;    /* XLISTs and LISTs */
	unsigned fault_at; /* the change that goes wrong, counted from 1 */
	enum fake_fault fault;
	void (*watch)(void *arg); /* after each command; or NULL */
	void *watch_arg;
};

struct announce *fake_announce_new(struct loop *l, const char *host,
    void (*changed)(void *arg, bool up), void *arg);
struct fake_update_server *fake_announce_server(struct announce *a);

/* Whom changed() is told from now on. */
void fake_announce_owner(struct announce *a, void *arg);

/* Down: what was asked is answered UNAVAILABLE.  Both call changed(). */
void fake_announce_down(struct announce *a);
void fake_announce_up(struct announce *a);

/* Of the update server's list; NULL if it has none. */
const struct mboxrec *fake_announce_find(struct announce *a, const char *name);
size_t fake_announce_count(struct announce *a);

/* Behind everybody's back; rec NULL: it goes. */
void fake_announce_put(struct announce *a, const char *name,
    const struct mboxrec *rec);

/* Nothing asked is unanswered. */
bool fake_announce_is_idle(const struct announce *a);

#endif
