/*
 * look: who looks mailboxes up at the frontends, and what they must not see.
 *
 * "Does not exist" must have been so at the update server at some moment
 * between question and answer.  And while a mailbox is renamed, a frontend that
 * had it has it under one name or the other at each moment.
 */
#ifndef T_SIM_LOOK_H
#define T_SIM_LOOK_H

void look_begin(void);
void look_stop(void);

/* Client c renames; until it asks for something else. */
void look_watch(unsigned c, const char *from, const char *to);
void look_forget(unsigned c);

/* A process of this frontend's machine has died. */
void look_host_died(unsigned host);

#endif
