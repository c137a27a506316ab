/*
 * quota_warning: the percentages of a limit at which somebody is told.
 */
#ifndef BACKENDD_QUOTA_WARNING_H
#define BACKENDD_QUOTA_WARNING_H

#include <stdbool.h>

#include "imap/quota.h"
#include "lib/cdefs.h"

struct backendd;
struct buf;
struct err;

/* Is this option "80 90" as it should be? */
int quota_warning_check(const char *text, struct err *err) MUST_CHECK;

/* The percentages reached now, without a word. */
void quota_warning_begin(const struct backendd *bd,
    const struct quota_limits *limits, const struct quota_usage *usage,
    unsigned warned[QUOTA_RESOURCES]);

/* Usage has changed: logs what has been reached since.  How many lines. */
unsigned quota_warning_tell(struct backendd *bd, const char *root,
    const struct quota_limits *limits, const struct quota_usage *usage,
    unsigned warned[QUOTA_RESOURCES]);

/* Would a percentage be reached? */
bool quota_warning_is_due(const struct backendd *bd,
    const struct quota_limits *limits, const struct quota_usage *now,
    const struct quota_usage *then);

/* "STORAGE 91 MESSAGE 80": those at or above the least of them. */
void quota_warning_put(const struct backendd *bd,
    const struct quota_limits *limits, const struct quota_usage *usage,
    struct buf *out);

#endif
