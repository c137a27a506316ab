/*
 * handlers: one function for each line of imap/command.def.
 *
 * Called by the session when the command is whole (or, of a streamed one, all
 * before its message) and legal in the session's state; the arguments are in
 * ss->cmd.args.  Ends the command once, by session_done() or its kin.
 */
#ifndef PROXYD_HANDLERS_H
#define PROXYD_HANDLERS_H

struct command;
struct session;

typedef void proxyd_handler(struct session *ss);

#define IMAP_COMMAND(id, name, states, route, flags) proxyd_handler proxyd_##id;
#include "imap/command.def"
#undef IMAP_COMMAND

/* Never NULL: every command has a handler. */
proxyd_handler *proxyd_handler_of(const struct command *c);

#endif
