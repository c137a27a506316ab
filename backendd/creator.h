/*
 * creator: for whom are mailboxes made when they are first needed, and how.
 *
 * Who logs in, or gets mail, and has no INBOX: the policy says whether one is
 * made.  What it is like (partition, quota) says the configuration: for all,
 * and for one user in a line of "account".  The making itself is mblist_make_user,
 * which asks the update server, so that of two servers one makes it.
 *
 * A policy is one small function; see policies[] in creator.c.
 */
#ifndef BACKENDD_CREATOR_H
#define BACKENDD_CREATOR_H

#include <stdbool.h>

#include "imap/quota.h"
#include "lib/cdefs.h"

struct arena;
struct backendd;
struct conf_list;
struct err;

enum creator_cause {
	CREATOR_LOGIN, /* the user has proved to be one */
	CREATOR_MAIL   /* somebody wrote that name on an envelope */
};

/* Are mailboxes made for this user? */
enum creator_verdict {
	CREATOR_NO,
	CREATOR_YES,
	CREATOR_ASK /* if there is such a user: creator_ask() */
};
enum creator_verdict creator_wants(const struct backendd *bd, const char *user,
    enum creator_cause cause);

/* Never called back from inside. */
enum creator_answer {
	CREATOR_IS_USER,
	CREATOR_IS_NONE,
	CREATOR_UNKNOWN /* cannot be known now */
};
typedef void creator_cb(void *arg, enum creator_answer answer);
void creator_ask(struct backendd *bd, const char *user, creator_cb *cb,
    void *arg);

/* How; in the arena. */
struct creator_settings {
	const char *partition;     /* NULL: the default */
	struct quota_limits quota; /* of the INBOX and all below it */
	bool has_quota;
};
void creator_settings(const struct backendd *bd, const char *user,
    struct arena *a, struct creator_settings *s);

/* Are the lines of "account" as they should be? */
int creator_check(const struct conf_list *accounts,
    const struct conf_list *partitions, struct err *err) MUST_CHECK;

#endif
