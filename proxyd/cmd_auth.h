/*
 * cmd_auth: the greeting, and what a client may do before it logs in.
 */
#ifndef PROXYD_CMD_AUTH_H
#define PROXYD_CMD_AUTH_H

struct session;

void cmd_auth_greet(struct session *ss);

#endif
