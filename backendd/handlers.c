#include <stddef.h>

#include "backendd/handlers.h"
#include "imap/command.h"
#include "lib/must.h"

static backendd_handler *const handlers[COMMAND_MAX] = {
#define IMAP_COMMAND(id, name, states, route, flags) \
	[COMMAND_##id] = backendd_##id,
#include "imap/command.def"
#undef IMAP_COMMAND
};

backendd_handler *
backendd_handler_of(const struct command *c)
{
	MUST(handlers[c->id] != NULL);
	return handlers[c->id];
}
