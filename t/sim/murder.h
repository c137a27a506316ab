/*
 * murder: the machines of a run, and what is on them: one update server, some
 * backends, some frontends (each front and one worker).
 *
 * What dies is started again, as the daemons' parents and operators would.
 */
#ifndef T_SIM_MURDER_H
#define T_SIM_MURDER_H

#include <stdbool.h>
#include <stddef.h>

#include "t/sim/world.h"

struct backendd;
struct child;
struct list;
struct route;

enum {
	BACKENDS_MAX = 3,
	FRONTS_MAX = 2,
	HOST_UPDATE = 0,
	HOST_BACKEND = 1,                         /* and those that follow */
	HOST_FRONT = HOST_BACKEND + BACKENDS_MAX, /* likewise */
	HOSTS = HOST_FRONT + FRONTS_MAX
};

struct murder_plan {
	unsigned backends, fronts;
	/* A process has died or started, with its host. */
	void (*changed)(void *arg, unsigned host, bool up);
	void *arg;
};

void murder_begin(const struct murder_plan *plan);
unsigned murder_backends(void);
unsigned murder_fronts(void);
bool murder_has_host(unsigned host);
const char *murder_host_name(unsigned host);

/* All processes are up. */
bool murder_is_up(void);

/* --- what to look at; NULL: it is down ------------------------------------- */

struct list *murder_list(void);
struct backendd *murder_backend(unsigned i);
struct route *murder_route(unsigned i);

/* To run something as it: at once (reading), or in a turn of its loop. */
struct child *murder_update_child(void);
struct child *murder_backend_child(unsigned i);
struct child *murder_worker_child(unsigned i);
struct child *murder_front_child(unsigned i);

/* --- faults ---------------------------------------------------------------- */

/* One process of the host, or its power, for so long. */
void murder_kill(unsigned host);
void murder_power(unsigned host, int64_t us);

/* It dies at its nth change of the disk from now on. */
void murder_arm(unsigned host, unsigned n, enum death how);

/* All processes of a host get no turn for so long. */
void murder_stall(unsigned host, int64_t us);

/* The update server stops, its list goes (or an older one comes), it starts. */
void murder_keep_list(void);
void murder_lose_list(void);

/* The operator agrees to what has been held back for a word of theirs. */
void murder_agree(void);

/* Nothing more goes wrong by itself; what is down comes back soon. */
void murder_heal(void);

#endif
