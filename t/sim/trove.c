#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/list.h"
#include "lib/xalloc.h"
#include "t/sim/murder.h"
#include "t/sim/store.h"
#include "t/sim/trove.h"
#include "t/sim/view.h"
#include "t/sim/world.h"

struct treasure {
	LIST_ENTRY(treasure) link;
	unsigned backend;
	char name[VIEW_NAME], id[VIEW_ID];
};

static LIST_HEAD(, treasure) trove = LIST_HEAD_INITIALIZER(trove);
static char text[256];

void
trove_made(unsigned backend, const char *name)
{
	struct view v = { .boxes = NULL };
	const struct box *b;
	struct proc *was;
	struct treasure *t;

	if (view_backend(&v, backend, name) &&
	    (b = view_find(&v, name)) != NULL) {
		was = proc_leave();
		t = xcalloc(1, sizeof(*t));
		t->backend = backend;
		snprintf(t->name, sizeof(t->name), "%s", name);
		snprintf(t->id, sizeof(t->id), "%s", b->id);
		LIST_INSERT_HEAD(&trove, t, link);
		proc_return(was);
	}
	view_fini(&v);
}

static bool
is_there(const struct view *v, const char *id)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->boxes[i].id, id) == 0)
			return true;
	return false;
}

void
trove_deleted(unsigned backend, const char *name)
{
	struct view v = { .boxes = NULL };
	struct treasure *t, *next;

	if (!view_backend(&v, backend, ""))
		return;
	for (t = LIST_FIRST(&trove); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		if (t->backend != backend || strcmp(t->name, name) != 0 ||
		    is_there(&v, t->id))
			continue;
		LIST_REMOVE(t, link);
		free(t);
	}
	view_fini(&v);
}

static bool
lacks(const struct treasure *t, const struct view *v)
{
	char spool[64];

	snprintf(spool, sizeof(spool), "/sim/be%u/spool", t->backend);
	if (is_there(v, t->id) && sim_store_has(spool, t->id))
		return false;
	snprintf(text, sizeof(text), "be%u: %s (%s) was made and is lost",
	    t->backend, t->name, t->id);
	return true;
}

const char *
trove_lacks(void)
{
	struct treasure *t;
	bool lost = false;

	for (unsigned i = 0; i < murder_backends() && !lost; i++) {
		struct view v = { .boxes = NULL };

		if (view_backend(&v, i, ""))
			LIST_FOREACH(t, &trove, link)
		lost = lost || (t->backend == i && lacks(t, &v));
		view_fini(&v);
	}
	return lost ? text : NULL;
}
