/*
 * route: mailbox name -> backend, by the frontend's copy of the list.
 *
 * The answer is one of three: it is here, it does not exist, or we cannot know
 * now.  On a miss front is asked to synchronise with the update server, and the
 * copy is looked at again: so a mailbox made a moment ago by another frontend
 * is found, and "does not exist" is never said while the update server could
 * say otherwise.
 *
 * It cannot be known now: of a name that is not in the copy, while the update
 * server does not answer in time or the copy is filled for the first time; and
 * of a name that is reserved, which is being made, or (by a Cyrus backend)
 * moved.  A name that is moving is where it was; its backend has the say.
 *
 * A copy that was never complete tells what it has and nothing else: there is
 * no list to walk then, and no place for new mailboxes.
 *
 * Misses cost others something, so who makes them has a route_rate: past so
 * many at once they wait their turn.
 */
#ifndef PROXYD_ROUTE_H
#define PROXYD_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

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

/* Embed one in whatever makes the look-ups: a client's session. */
struct route_rate {
	unsigned burst, per_second;
	int64_t due_ms; /* when all that were made have been paid for */
};

/* For people; for MX hosts, who name many recipients. */
#define ROUTE_RATE_CLIENT ((struct route_rate){ 50, 20, 0 })
#define ROUTE_RATE_MX     ((struct route_rate){ 1000, 200, 0 })

/* Notes one more; how many ms it has to wait.  For tests. */
int64_t route_rate_take(struct route_rate *rate, int64_t now_ms);

enum route_answer {
	ROUTE_FOUND,  /* active: the record says where */
	ROUTE_NONE,   /* does not exist */
	ROUTE_UNKNOWN /* cannot know now: NO [UNAVAILABLE], 4xx */
};

/*
 * A look at the copy alone: NONE is no certainty, and UNKNOWN a name that is
 * reserved.  rec is borrowed until the next call of any route_*().
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
struct route_wait *route_find(struct route *r, struct route_rate *rate,
    struct slice name, route_cb *cb, void *arg);

/*
 * Synchronises, then looks: for whom the copy must be right in what it has,
 * too.
 */
struct route_wait *route_find_current(struct route *r, struct route_rate *rate,
    struct slice name, route_cb *cb, void *arg);

/*
 * Until the copy has every change that the update server had when this was
 * called: after CREATE, RENAME, DELETE, SETACL.  answer is ROUTE_FOUND, or
 * ROUTE_UNKNOWN.
 */
struct route_wait *route_sync(struct route *r, route_cb *cb, void *arg);

/* No call back.  Sets *wp to NULL; NULL is fine. */
void route_cancel(struct route_wait **wp);

/* The copy, to walk; NULL if there is none, or none that is complete, yet. */
struct treedb *route_list(struct route *r);

/*
 * Which server a new mailbox should live on: its nearest ancestor's; for a new
 * root one of the configured backends by weight.  "" if there is none, or no
 * list to look for ancestors in.
 */
void route_place(struct route *r, struct slice name, char server[MBOXREC_HOST]);

/* The host of a location, as a string; "" if it is too long for one. */
void route_server(const struct mboxrec *rec, char server[MBOXREC_HOST]);

#endif
