/*
 * whole: all octets to a descriptor that blocks, whatever the kernel takes at a
 * time.
 */
#ifndef LIB_WHOLE_H
#define LIB_WHOLE_H

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;

int whole_write(int fd, struct slice s, struct err *err) MUST_CHECK;

#endif
