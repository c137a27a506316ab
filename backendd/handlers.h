/*
 * handlers: one function for each line of imap/command.def.
 *
 * A handler is called by the session when a whole command is there and may run
 * in the session's state; it never checks those again.  It takes its arguments
 * from cmd->args, and sooner or later, from wherever, calls session_done()
 * exactly once.  Until then the session takes no other command.
 */
#ifndef BACKENDD_HANDLERS_H
#define BACKENDD_HANDLERS_H

struct cmd;
struct command;
struct session;

typedef void backendd_handler(struct session *ss, struct cmd *cmd);

#define IMAP_COMMAND(id, name, states, route, flags) \
	backendd_handler backendd_##id;
#include "imap/command.def"
#undef IMAP_COMMAND

backendd_handler *backendd_handler_of(const struct command *c);

#endif
