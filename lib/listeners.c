#include <stdlib.h>

#include "lib/daemon.h"
#include "lib/listeners.h"
#include "lib/xalloc.h"

enum {
	LISTENERS_MAX = 64
};

struct listeners {
	struct child *child;
	struct listen *all[LISTENERS_MAX];
	size_t n;
};

struct listeners *
listeners_new(struct child *c)
{
	struct listeners *ls = xcalloc(1, sizeof(*ls));

	ls->child = c;
	return ls;
}

void
listeners_add(struct listeners *ls, const char *name, listen_cb *accept,
    void *arg)
{
	int fd;

	for (unsigned i = 0; ls->n < LISTENERS_MAX &&
	                     (fd = child_listener(ls->child, name, i)) != -1;
	     i++)
		ls->all[ls->n++] = listen_new(child_loop(ls->child),
		    child_log(ls->child), fd, accept, arg);
}

void
listeners_want(struct listeners *ls, enum listeners_wish wish)
{
	for (size_t i = 0; i < ls->n; i++)
		if (wish == LISTENERS_PAUSE)
			listen_pause(ls->all[i]);
		else
			listen_resume(ls->all[i]);
}

void
listeners_free(struct listeners **lp)
{
	struct listeners *ls = *lp;

	if (ls == NULL)
		return;
	for (size_t i = 0; i < ls->n; i++)
		listen_free(&ls->all[i]);
	free(ls);
	*lp = NULL;
}
