/*
 * store: what the simulator asks its mail store.  dir: of a partition.
 */
#ifndef T_SIM_STORE_H
#define T_SIM_STORE_H

#include <stdbool.h>

/* Every mailbox that is there, until visit says false. */
void sim_store_each(const char *dir, bool (*visit)(void *arg, const char *id),
    void *arg);
bool sim_store_has(const char *dir, const char *id);

/* Its process has died: what was on its way is done, or not. */
void sim_store_crash(const char *dir);

#endif
