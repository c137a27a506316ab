/*
 * child: the process that owns the list: its listeners, keys and signals.
 */
#ifndef MUPDATED_CHILD_H
#define MUPDATED_CHILD_H

#include "lib/daemon.h"

extern const struct daemon_child list_child;

#endif
