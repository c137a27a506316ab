/*
 * admin: lib/admin.h for nobody: no operator is simulated.
 */
#include <stdlib.h>

#include "lib/admin.h"
#include "lib/xalloc.h"

struct admin {
	char nothing;
};

struct admin *
admin_new(struct child *c)
{
	(void)c;
	return xcalloc(1, sizeof(struct admin));
}

void
admin_free(struct admin **ap)
{
	free(*ap);
	*ap = NULL;
}

void
admin_counter(struct admin *a, const char *name, const char *help,
    const uint64_t *value)
{
	(void)a, (void)name, (void)help, (void)value;
}

void
admin_gauge(struct admin *a, const char *name, const char *help,
    admin_number_cb *number, void *arg)
{
	(void)a, (void)name, (void)help, (void)number, (void)arg;
}

void
admin_health(struct admin *a, const char *name, admin_health_cb *check,
    void *arg)
{
	(void)a, (void)name, (void)check, (void)arg;
}
