/*
 * load: clients that change mailboxes at backends and look names up at
 * frontends, and the invariants that can be seen while they do.
 *
 * A client has a part of the names to itself and knows what must be there: what
 * was answered OK, not what was answered NO, and of what was never answered,
 * because the backend died, all or nothing.  Other names are everybody's, and
 * of those only what holds for all names is known.
 */
#ifndef T_SIM_LOAD_H
#define T_SIM_LOAD_H

#include <stdbool.h>

struct load_plan {
	unsigned clients;
	bool
	    list_may_be_lost; /* the update server's: names may be made twice */
};

void load_begin(const struct load_plan *plan);

/* No new requests from now on. */
void load_stop(void);
bool load_is_over(void); /* all are answered, or never will be */

/* For murder_plan.changed. */
void load_host_changed(void *arg, unsigned host, bool up);

/* What a client knows is so; NULL, or what is not. */
const char *load_disagrees(void);

/* How much was done. */
struct load_counts {
	unsigned long ok, no, lost, found, none, unknown;
};
struct load_counts load_counts(void);

/* --- for look.c ------------------------------------------------------------ */

/* A name that is there, or may be soon.  Borrowed until the next call. */
const char *load_some_name(void);
struct load_counts *load_counters(void);

#endif
