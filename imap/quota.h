/*
 * quota: RFC 9208's resources and limits, asked for and answered.
 */
#ifndef IMAP_QUOTA_H
#define IMAP_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "imap/parse.h"
#include "imap/write.h"
#include "lib/slice.h"

enum quota_resource {
	QUOTA_STORAGE, /* units of 1024 octets */
	QUOTA_MESSAGE,
	QUOTA_MAILBOX,
	QUOTA_RESOURCES
};

#define QUOTA_UNLIMITED UINT64_MAX

/* Of a quota root. */
struct quota_limits {
	uint64_t limit[QUOTA_RESOURCES]; /* or QUOTA_UNLIMITED */
};
struct quota_usage {
	uint64_t octets;
	uint64_t messages, mailboxes;
};

/* Nothing is limited. */
extern const struct quota_limits quota_unlimited;

const char *quota_resource_name(enum quota_resource r);

/* In units of the resource: octets are rounded up. */
uint64_t quota_used(const struct quota_usage *u, enum quota_resource r);

/*
 * "(STORAGE 512 MESSAGE 1000)".  What is not named is not limited.  Fails p if
 * it is no list, or names a resource that is not there or is there already.
 */
void quota_parse_limits(struct parse *p, struct quota_limits *limits);

/* * QUOTA root (STORAGE 10 512) */
void quota_write(struct write *w, struct slice root,
    const struct quota_limits *limits, const struct quota_usage *usage);

/* * QUOTAROOT mailbox root; root.ptr NULL: it has none. */
void quota_write_root(struct write *w, struct slice mailbox, struct slice root);

#endif
