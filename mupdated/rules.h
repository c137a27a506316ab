/*
 * rules: what a command does to an entry of the list, or why it does not.
 *
 * A pure function of the command, the entry as it is, who asks, and the next
 * revision; the list carries it out.  The rules are RFC 3656's; where it and
 * Cyrus differ, the one that harms nobody: what Cyrus crashes on is refused,
 * and RESERVE of what is active at the same place succeeds and changes
 * nothing.  On top of them, ours:
 *
 * - A writer changes entries of its own hosts only, and takes a name from
 *   another host only if that has let go of it (DEACTIVATE).
 * - The generation of a name's location is the revision at which it was
 *   granted.  It is kept as long as the name stays with the host.
 * - XACTIVATE with an older generation than the stored one is fenced.  With a
 *   newer one it takes the name from another host if that generation is of no
 *   run of this list: then the list was lost after it had granted that, and
 *   the other is the stale one.  If the list knows it, it has ended it, too.
 */
#ifndef MUPDATED_RULES_H
#define MUPDATED_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/slice.h"

struct conf_list;
struct runs;

enum {
	RULES_MAILBOXID_MAX = 255,
	RULES_SPECIAL_USES_MAX = 1024
};

/* Who asks. */
struct rules_who {
	struct slice user;
	const struct conf_list *hosts; /* "user:host" */
	bool everything;               /* an admin, or nobody checks */
	struct slice host; /* whose backend it says it is; "" if it does not */
};

/* Is the host theirs: named as the user, or by the configuration? */
bool rules_owns(const struct rules_who *who, struct slice host);

struct rules_request {
	enum mupdate_command id;
	struct slice name;
	/* Of what the command carries: location, acl, mailboxid, special_uses,
	 * type, generation. */
	struct mboxrec wanted;
};

struct rules_now {
	uint64_t revision; /* that the change would have */
	uint64_t seconds;  /* since 1970 */
	const struct runs *runs;
};

enum rules_outcome {
	RULES_PUT,    /* record replaces the entry */
	RULES_REMOVE, /* the entry */
	RULES_KEEP,   /* it is so already: OK */
	RULES_REFUSE  /* NO: code and text */
};

struct rules_verdict {
	enum rules_outcome outcome;
	enum mupdate_code code;
	const char *text;
	struct mboxrec record;
	bool taken; /* from another host, which must look */
};

/* old is NULL if there is no entry.  The result borrows from all of them. */
struct rules_verdict rules_apply(const struct rules_request *rq,
    const struct mboxrec *old, const struct rules_who *who,
    const struct rules_now *now);

/* Is it fit to be in the list? */
bool rules_is_name(struct slice name);

#endif
