/*
 * trove: mailboxes under everybody's names that were made, so an OK said, and
 * not deleted: each is to be found at its backend to the end, under its name or
 * set aside.
 */
#ifndef T_SIM_TROVE_H
#define T_SIM_TROVE_H

/* The name was made at this backend: the mailbox that has it is one. */
void trove_made(unsigned backend, const char *name);

/* It was deleted, or may have been: what is not there now need not be. */
void trove_deleted(unsigned backend, const char *name);

/* NULL, or what is missing; a backend that is down is not looked at. */
const char *trove_lacks(void);

#endif
