/*
 * check: what must be so when everything works and nobody asks for anything.
 */
#ifndef T_SIM_CHECK_H
#define T_SIM_CHECK_H

/* NULL: all of it is.  Else what is not; borrowed until the next call. */
const char *check_all(void);

#endif
