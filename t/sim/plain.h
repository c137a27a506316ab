/*
 * plain: in some runs the update server does not tell of our extension, so that
 * backends and frontends speak RFC 3656 to it.
 */
#ifndef T_SIM_PLAIN_H
#define T_SIM_PLAIN_H

#include <stdbool.h>

void plain_begin(bool is);

#endif
