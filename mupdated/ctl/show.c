/*
 * What several commands show, and how they fail.
 */
#include <stdio.h>

#include "imap/date.h"
#include "imap/mboxrec.h"
#include "imap/mupdate_ext.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "mupdated/ctl/conf.h"
#include "mupdated/ctl/ctl.h"

enum {
	MINUTE = 60,
	HOUR = 60 * MINUTE,
	DAY = 24 * HOUR
};

enum ctl_exit
ctl_fail(const char *text)
{
	(void)fflush(stdout); /* it is looked at when the program ends */
	fprintf(stderr, "murderctl: %s\n", text);
	return CTL_FAILED;
}

enum ctl_exit
ctl_refused(const struct ctl *c, const struct err *err)
{
	const char *user = c->conf->user != NULL ? c->conf->user : "(EXTERNAL)";
	struct err e = *err;

	switch (mupdate_ext_code(slice_str(err->text))) {
	case MUPDATE_CODE_READONLY:
	case MUPDATE_CODE_NOTOWNER:
		(void)err_set(&e,
		    "the update server refuses: %.200s; make %.60s an admin "
		    "in mupdated.conf, or log in as one",
		    err->text, user);
		break;
	case MUPDATE_CODE_UNAVAILABLE:
		(void)err_set(&e,
		    "the update server refuses: %.200s; look at its log and "
		    "its disk, and try again",
		    err->text);
		break;
	default:
		(void)err_add(&e, "the update server refuses");
	}
	return ctl_fail(e.text);
}

struct slice
ctl_state(const struct mboxrec *r)
{
	switch (r->state) {
	case MBOXREC_RESERVED:
		return slice_str("reserved");
	case MBOXREC_ACTIVE:
		return slice_str("active");
	case MBOXREC_MOVING:
		return slice_str("moving");
	}
	must_fail("a state", __FILE__, __LINE__, __func__);
}

void
ctl_put_age(struct buf *b, uint64_t seconds)
{
	if (seconds >= DAY)
		buf_printf(b, "%llud %lluh",
		    (unsigned long long)(seconds / DAY),
		    (unsigned long long)(seconds % DAY / HOUR));
	else if (seconds >= HOUR)
		buf_printf(b, "%lluh %llum",
		    (unsigned long long)(seconds / HOUR),
		    (unsigned long long)(seconds % HOUR / MINUTE));
	else if (seconds >= MINUTE)
		buf_printf(b, "%llum %llus",
		    (unsigned long long)(seconds / MINUTE),
		    (unsigned long long)(seconds % MINUTE));
	else
		buf_printf(b, "%llus", (unsigned long long)seconds);
}

void
ctl_put_time(struct buf *b, uint64_t seconds)
{
	struct date_time t = { .seconds = (int64_t)seconds };

	date_put_time(b, &t);
}

uint64_t
ctl_now(const struct ctl *c)
{
	return (uint64_t)(loop_wall(c->loop).ms / 1000);
}

void
ctl_put_lease(struct out *o, const struct mupdate_lease *lease)
{
	static const char *const ends[] = {
		[MUPDATE_LEASE_HELD] = "held",
		[MUPDATE_LEASE_ENDING] = "ending",
		[MUPDATE_LEASE_NEVER] = "never",
	};

	out_str(o, "owner", lease->owner);
	out_number(o, "since", lease->since);
	out_str(o, "ends", slice_str(ends[lease->ends]));
	if (lease->ends == MUPDATE_LEASE_ENDING)
		out_number(o, "expires", lease->expires);
	else
		out_null(o, "expires");
}
