#include "lib/daemon.h"
#include "mupdated/child.h"
#include "mupdated/server.h"
#include "t/sim/update.h"

const struct daemon_child *
update_child(void)
{
	return &list_child;
}

/* The child's state begins with the struct server that its modules share. */
struct list *
update_list(void *state)
{
	return ((struct server *)state)->list;
}
