/*
 * route: mailbox name -> backend, by the frontend's copy of the list.
 *
 * The answer is one of three: it is here, it does not exist, or we cannot know
 * now.  On a miss front is asked to synchronise with the update server, and the
 * copy is looked at again (DESIGN "Two connections"): so a mailbox made a
 * moment ago by another frontend is found, and "does not exist" is never said
 * while the update server could say otherwise.
 */
#ifndef PROXYD_ROUTE_H
#define PROXYD_ROUTE_H

#include <stdbool.h>

#include "imap/mboxrec.h"
#include "lib/cdefs.h"
#include "lib/slice.h"
#include "lib/treedb.h"

struct err;
struct log;
struct loop;
struct proxyd_conf;
struct route;

struct route *route_new(struct loop *l, struct log *log,
    const struct proxyd_conf *conf);
void route_free(struct route **rp);
void route_reload(struct route *r, const struct proxyd_conf *conf);

/* front's end of the ipc has come: takes fd. */
void route_neighbour(struct route *r, int fd);

enum route_answer {
	ROUTE_FOUND,  /* active: the record says where */
	ROUTE_NONE,   /* does not exist */
	ROUTE_UNKNOWN /* cannot know now: NO [UNAVAILABLE], 4xx */
};

/*
 * A look at the copy alone.  rec is borrowed until the next call of any
 * route_*().  A name that is only reserved does not exist.
 */
enum route_answer route_look(struct route *r, struct slice name,
    struct mboxrec *rec);

/* rec is borrowed for the call; NULL unless FOUND. */
typedef void route_cb(void *arg, enum route_answer answer,
    const struct mboxrec *rec);

struct route_wait;

/*
 * Looks, synchronises on a miss, looks again.  Never calls back from inside; the
 * wait frees itself with the call back.
 */
struct route_wait *route_find(struct route *r, struct slice name, route_cb *cb,
    void *arg);

/*
 * Until the copy has every change that the update server had when this was
 * called: after CREATE, RENAME, DELETE, SETACL.  answer is ROUTE_FOUND, or
 * ROUTE_UNKNOWN.
 */
struct route_wait *route_sync(struct route *r, route_cb *cb, void *arg);

/* No call back.  Sets *wp to NULL; NULL is fine. */
void route_cancel(struct route_wait **wp);

/* The copy, to walk; NULL if there is none yet. */
struct treedb *route_list(struct route *r);

/*
 * Which server a new mailbox should live on: its nearest ancestor's; for a new
 * root one of the configured backends by weight.  "" if there is none.
 */
void route_place(struct route *r, struct slice name, char server[64]);

/* The host of a location, as a string. */
void route_server(const struct mboxrec *rec, char server[64]);

#endif
