#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/breaks.h"
#include "t/sim/disk.h"
#include "t/sim/world.h"

static struct {
	bool sync, commit;
} breaks;

bool
breaks_named(const char *name)
{
	if (strcmp(name, "sync") == 0)
		breaks.sync = true;
	else if (strcmp(name, "commit") == 0)
		breaks.commit = true;
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
