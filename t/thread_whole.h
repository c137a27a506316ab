/*
 * thread_whole: is the text of a THREAD response in order?
 */
#ifndef T_THREAD_WHOLE_H
#define T_THREAD_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

/* Is every number up to n there once, and are parentheses in pairs? */
bool thread_whole(struct slice s, size_t n);

#endif
