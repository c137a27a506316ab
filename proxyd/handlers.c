#include "imap/command.h"
#include "lib/must.h"
#include "proxyd/handlers.h"

static proxyd_handler *const handlers[COMMAND_MAX] = {
#define IMAP_COMMAND(id, name, states, route, flags) \
	[COMMAND_##id] = proxyd_##id,
#include "imap/command.def"
#undef IMAP_COMMAND
};

proxyd_handler *
proxyd_handler_of(const struct command *c)
{
	MUST(handlers[c->id] != NULL);
	return handlers[c->id];
}
