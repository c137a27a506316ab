/*
 * breaks: faults in the simulator itself, to test the test.
 */
#ifndef T_SIM_BREAKS_H
#define T_SIM_BREAKS_H

#include <stdbool.h>

/* From now on; false: there is none such. */
bool breaks_named(const char *name);
void breaks_begin(void);

/* Is every frontend's copy said to be current? */
bool breaks_barrier(void);

#endif
