/*
 * list: the C library's queue(3), and the one macro glibc's lacks.
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <stddef.h>
#include <sys/queue.h>

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                  \
	for ((var) = TAILQ_FIRST(head),                             \
	    (next) = (var) == NULL ? NULL : TAILQ_NEXT(var, field); \
	     (var) != NULL; (var) = (next),                         \
	    (next) = (var) == NULL ? NULL : TAILQ_NEXT(var, field))
#endif

#endif
