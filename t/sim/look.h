/*
 * look: who looks mailboxes up at the frontends, and what they must not see.
 *
 * "Does not exist" must have been so at the update server at some moment
 * between question and answer.  And while a mailbox is renamed, a frontend that
 * had it has it under one name or the other at each moment.  And what is there
 * all the time does not leave a copy that has it.
 */
#ifndef T_SIM_LOOK_H
#define T_SIM_LOOK_H

#include <stdbool.h>

void look_begin(bool list_may_be_lost);
void look_stop(void);

/* Client c renames the mailbox of this id; until it asks for something else. */
void look_watch(unsigned c, const char *from, const char *to, const char *id);
void look_forget(unsigned c);

/* A process of this frontend's machine has died. */
void look_host_died(unsigned host);

#endif
