/*
 * announce: what this server says to the update server of its mailboxes, and
 * what it asks there.
 *
 * In the words of our extension if the server's banner has XMURDER, else in
 * those of RFC 3656 alone; then there are no generations and no digests, and
 * because Cyrus's server dies of a DELETE or DEACTIVATE of what is not so,
 * FIND goes before them.  Whoever asks here need not know which.
 *
 * Answers are about what is the case, not about what a text says: a NO whose
 * reason is not plain is followed by FIND.  The owner's changed() is called
 * after each connection is made, and then it compares and repairs, and after
 * it is lost.
 */
#ifndef BACKENDD_ANNOUNCE_H
#define BACKENDD_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct announce;
struct jobs;
struct log;
struct loop;
struct mboxdigest;
struct mboxrec;
struct uplink_conf;

enum announce_result {
	ANNOUNCE_OK,
	ANNOUNCE_TAKEN,      /* another server has the name */
	ANNOUNCE_FENCED,     /* this server has been granted it anew since */
	ANNOUNCE_REFUSED,    /* not now: its disk, a limit, a rule */
	ANNOUNCE_UNAVAILABLE /* not asked, or not answered */
};

struct announce_answer {
	enum announce_result result;
	uint64_t generation; /* granted; 0: none was */
	const char *text;    /* for logs */
};

typedef void announce_cb(void *arg, const struct announce_answer *answer);

/* Borrows conf for its life. */
struct announce *announce_new(struct loop *l, struct jobs *jobs,
    struct log *log, const struct uplink_conf *conf,
    void (*changed)(void *arg, bool up), void *arg);

/* What is under way is not called back. */
void announce_free(struct announce **ap);

bool announce_is_up(const struct announce *a);

/* Can it compare by announce_digest()? */
bool announce_has_digests(const struct announce *a);

/*
 * Has a change been asked for and not been answered, since this was last
 * asked?  At first yes: the process before this one may have.  An update server without XMURDER does not know which connections are
 * one server's: what is still on the way to it on an older one may come to be
 * after what a new one has seen.
 */
bool announce_lost(struct announce *a);

/* None calls back from inside.  Strings are copied; cb may be NULL. */

/* The name is ours, and nobody sees it yet. */
void announce_reserve(struct announce *a, const char *name,
    const char *location, announce_cb *cb, void *arg);

/* How we come to say that a mailbox is here. */
enum announce_title {
	ANNOUNCE_HELD,   /* we hold the name there: reserved, or active */
	ANNOUNCE_UNSURE, /* it may be another's by now */
};

/* Of rec: location, ACL, generation, MAILBOXID, special uses, type. */
void announce_activate(struct announce *a, const char *name,
    const struct mboxrec *rec, enum announce_title title, announce_cb *cb,
    void *arg);

/* OK: nobody sees a mailbox of that name here (any more). */
void announce_deactivate(struct announce *a, const char *name,
    const char *location, announce_cb *cb, void *arg);

/* OK: the name is not ours there (any more).  location: of our host. */
void announce_delete(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg);

/*
 * What it has, each, before the end is called back: state, location, ACL; and,
 * with XMURDER, generation, MAILBOXID, special uses and type.  Borrowed.
 */
typedef void announce_entry_cb(void *arg, struct slice name,
    const struct mboxrec *rec);
void announce_find(struct announce *a, const char *name,
    announce_entry_cb *entry, announce_cb *cb, void *arg);

/* All of a host; or, n above 0, with digests: these buckets, at most 30. */
void announce_list(struct announce *a, const char *host, const uint8_t *buckets,
    size_t n, announce_entry_cb *entry, announce_cb *cb, void *arg);

/* digest is borrowed, and NULL unless OK. */
typedef void announce_digest_cb(void *arg, const struct announce_answer *answer,
    const struct mboxdigest *digest);
void announce_digest(struct announce *a, const char *host,
    announce_digest_cb *cb, void *arg);

#endif
