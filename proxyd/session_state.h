/*
 * session_state: what session.c and session_cmd.c share.
 */
#ifndef PROXYD_SESSION_STATE_H
#define PROXYD_SESSION_STATE_H

#include <stdbool.h>

#include "proxyd/session.h"

enum {
	SESSION_MAGIC = 0x73657373
};

/* One thing of what the client sent, if it may be looked at; false: none. */
bool session_step(struct session *ss);

/* Is the client to be read? */
bool session_wants_input(struct session *ss);

/* Of the command that runs, if one does, nothing is left. */
void session_forget_command(struct session *ss);

#endif
