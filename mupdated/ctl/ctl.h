/*
 * ctl: one run of murderctl, and its commands.
 */
#ifndef MUPDATED_CTL_CTL_H
#define MUPDATED_CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"
#include "lib/out.h"

struct ctl_conf;
struct asker;
struct loop;
struct mboxrec;
struct mupdate_lease;

/* What murderctl(8) promises. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NOT_FOUND = 3
};

struct ctl {
	struct loop *loop;
	const struct ctl_conf *conf;
	struct asker *asker;
	bool json;
	struct out out;

	/* Of the command line; NULL if not given. */
	const char *name, *host;
	uint64_t generation; /* 0: not given */
};

/* Each says on standard error what is wrong, and what to do. */
enum ctl_exit ctl_status(struct ctl *c);
enum ctl_exit ctl_list(struct ctl *c);
enum ctl_exit ctl_explain(struct ctl *c);
enum ctl_exit ctl_reservations(struct ctl *c);
enum ctl_exit ctl_break(struct ctl *c);

/* "murderctl: TEXT"; CTL_FAILED. */
enum ctl_exit ctl_fail(const char *text);

/* The text of a NO, and what to do about it. */
enum ctl_exit ctl_refused(const struct ctl *c, const struct err *err);

/* "active", "reserved", "moving" */
struct slice ctl_state(const struct mboxrec *r);

/* "3d 4h", of seconds; "22-Nov-2026 07:40:12 +0000" */
void ctl_put_age(struct buf *b, uint64_t seconds);
void ctl_put_time(struct buf *b, uint64_t seconds);

uint64_t ctl_now(const struct ctl *c); /* seconds since 1970 */

/* Of a JSON object. */
void ctl_put_lease(struct out *o, const struct mupdate_lease *lease);

#endif
