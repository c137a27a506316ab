/*
 * disk: what the simulated machines keep, and what a crash leaves of it.
 *
 * Files (open, pwrite, fsync, ...; paths below /sim/) are for lib/journal;
 * databases (db.c) are lib/db.h, whose own crash tests are t/fault's: here a
 * commit is one step.  Paths begin with /sim/HOST/, HOST being a name.
 *
 * When a process is killed the machine keeps what was written.  When power
 * fails, what was written since the last sync of a file is there, or not, or
 * in part; and so with the names in a directory, a later change never without
 * the earlier ones.
 */
#ifndef T_SIM_DISK_H
#define T_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "t/sim/world.h"

struct err;

void disk_begin(void);

/* How long a job that writes takes, half of it. */
int64_t disk_delay(unsigned host);

/* A step that changes a disk: the process may die of it, here. */
void disk_tick(void);

/* The disk of this host refuses changes (true), or works again. */
void disk_refuse(unsigned host, bool refuses);
bool disk_refuses(void); /* the current process's, this time */

/* It says that it has synced, and has not: for the test of the test. */
void disk_lie(bool lies);

/* Power has failed.  name: of the host, as in its paths. */
void disk_lose(const char *name);

/* An empty file, likewise, if its directory is there. */
void disk_touch(const char *path);

/* A directory, if it is missing: as an operator would, before the start. */
void disk_make(const char *format, ...) __attribute__((format(printf, 1, 2)));

void disk_died(struct proc *p);
void disk_close(int fd);

/* --- copies, of all below /sim/HOST/ --------------------------------------- */

struct disk_copy;
struct disk_copy *disk_copy(const char *name);
void disk_restore(const char *name, const struct disk_copy *c);
void disk_copy_free(struct disk_copy **cp);
void disk_wipe(const char *name);

/* --- databases (db.c) ------------------------------------------------------ */

void db_begin_all(void);
void db_died(struct proc *p);
void db_lose(const char *prefix); /* caches are not synced */
void db_wipe(const char *prefix);

struct db_copy;
struct db_copy *db_copy_of(const char *prefix);
void db_restore(const char *prefix, const struct db_copy *c);
void db_copy_free(struct db_copy **cp);

#endif
