/*
 * trip: the way of a command about one mailbox to the backend that has it.
 *
 * The command's arguments as values, the name among them looked for in the
 * list, and the command written anew on the leg.  A handler puts a struct trip
 * first in what it keeps in ss->cmd.state.
 */
#ifndef PROXYD_TRIP_H
#define PROXYD_TRIP_H

#include <stddef.h>

#include "imap/write.h"
#include "lib/slice.h"

struct session;
struct value;

struct trip {
	struct value *args; /* the first is a name */

	/* Where the mailbox is. */
	void (*go)(struct session *ss, const char *server);
};

/*
 * In the arena, of this size, zeroed, as ss->cmd.state.  NULL, and answered, if
 * the arguments are none.
 */
void *trip_begin(struct session *ss, size_t size,
    void (*go)(struct session *ss, const char *server));

/* Calls go, now or later, or answers that there is none or none known. */
void trip_find(struct session *ss, struct slice name);

/* The command's name and arguments, and its end. */
void trip_write(struct session *ss, struct write *w);

#endif
