/*
 * fake_backend: a struct backendd for unit tests of the mailbox list, over a
 * store that keeps nothing but ids and notes, and no update server unless the
 * test brings one.
 */
#ifndef T_FAKE_BACKEND_H
#define T_FAKE_BACKEND_H

#include "backendd/conf.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "lib/map.h"

struct fake_store {
	struct store store;
	struct loop *loop;
	struct map ids;      /* id: its note, opaque */
	unsigned refuse;     /* the next so many creations fail */
	unsigned notes;      /* written anew */
	const char *damaged; /* this id is; borrowed */
	const char *used;    /* this id has had messages; borrowed */
};

/* Embed it. */
struct fake_backend {
	struct backendd bd;
	struct backendd_conf conf;
	struct partition partition;
	struct fake_store store;
	char dir[64];
	char warnings[8];
};

/* All but the users' data and the list: fake_backend_open(). */
void fake_backend_init(struct fake_backend *f, const char *log_name);
void fake_backend_fini(struct fake_backend *f);

/* Dies if it cannot. */
void fake_backend_open(struct fake_backend *f);

/* What is due is done first. */
void fake_backend_close(struct fake_backend *f);

/* The loop goes round once: what was freed is gone. */
void fake_backend_turn(struct fake_backend *f);

/* Is the list what the store has, and nothing else? */
bool fake_backend_is_whole(struct fake_backend *f);

#endif
