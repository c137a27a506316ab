#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "mupdated/rules.h"
#include "t/sim/breaks.h"
#include "t/sim/disk.h"
#include "t/sim/world.h"

static struct {
	bool sync, commit, grant, barrier;
} breaks;

bool
breaks_named(const char *name)
{
	if (strcmp(name, "sync") == 0)
		breaks.sync = true;
	else if (strcmp(name, "commit") == 0)
		breaks.commit = true;
	else if (strcmp(name, "grant") == 0)
		breaks.grant = true;
	else if (strcmp(name, "barrier") == 0)
		breaks.barrier = true;
	else
		return false;
	return true;
}

void
breaks_begin(void)
{
	disk_lie(breaks.sync);
}

/* --- commit: what is not durable is said to be ----------------------------- */

struct early {
	keeper_cb *cb;
	void *arg;
	uint64_t number;
};

int __wrap_keeper_commit(struct keeper *k, keeper_cb *cb, void *arg,
    struct err *err);
int __real_keeper_commit(struct keeper *k, keeper_cb *cb, void *arg,
    struct err *err) MUST_CHECK;

static void
say_early(void *arg)
{
	struct early *e = arg;

	e->cb(e->arg, e->number, false);
	free(e);
}

int
__wrap_keeper_commit(struct keeper *k, keeper_cb *cb, void *arg,
    struct err *err)
{
	struct early *e;

	if (!breaks.commit || cb == NULL)
		return __real_keeper_commit(k, cb, arg, err);
	if (__real_keeper_commit(k, NULL, NULL, err) == -1)
		return -1;
	e = xcalloc(1, sizeof(*e));
	*e = (struct early){ cb, arg, keeper_last(k) };
	loop_at_end(proc_current()->loop, say_early, e);
	return 0;
}

/* --- grant: a name that somebody has is given to the next who asks ---------- */

struct rules_verdict __wrap_rules_apply(const struct rules_request *rq,
    const struct mboxrec *old, const struct rules_who *who,
    const struct rules_now *now);
struct rules_verdict __real_rules_apply(const struct rules_request *rq,
    const struct mboxrec *old, const struct rules_who *who,
    const struct rules_now *now);

struct rules_verdict
__wrap_rules_apply(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_who *who, const struct rules_now *now)
{
	bool reserves =
	    rq->id == MUPDATE_CMD_RESERVE || rq->id == MUPDATE_CMD_XRESERVE;

	return __real_rules_apply(rq, breaks.grant && reserves ? NULL : old,
	    who, now);
}

/* --- barrier: a copy is said to be current, unasked -------------------------- */

bool
breaks_barrier(void)
{
	return breaks.barrier;
}
