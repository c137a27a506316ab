/*
 * mblist_quota: the limits of quota roots, kept beside the list's records, so
 * that they change with the names they are for.
 *
 * A root is a name as imap/mboxname has it, of a mailbox or not, or a domain
 * with its "!".
 */
#ifndef BACKENDD_MBLIST_QUOTA_H
#define BACKENDD_MBLIST_QUOTA_H

#include <stdbool.h>

#include "imap/quota.h"
#include "lib/slice.h"

struct mblist;

/* May a root be called this? */
bool mblist_quota_name_ok(struct slice root);

/* false: there is no such root. */
bool mblist_quota_get(struct mblist *l, struct slice root,
    struct quota_limits *limits);

/* Calls back when it is durable, or refused. */
typedef void mblist_quota_cb(void *arg, bool failed);
void mblist_quota_set(struct mblist *l, const char *root,
    const struct quota_limits *limits, mblist_quota_cb *cb, void *arg);

/* Gathered, to be committed with what else changes. */
void mblist_quota_put(struct mblist *l, const char *root,
    const struct quota_limits *limits);

/*
 * The roots at and below a name: they go (to is NULL), or get another's place.
 * False: there are none.
 */
bool mblist_quota_move(struct mblist *l, const char *from, const char *to);

#endif
