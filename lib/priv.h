/*
 * priv: give up what a child does not need.
 */
#ifndef LIB_PRIV_H
#define LIB_PRIV_H

#include <stdint.h>

#include "lib/cdefs.h"

struct err;

/* Becomes user (and its groups), if root; else nothing.  NULL: nothing. */
int priv_become(const char *user, struct err *err) MUST_CHECK;

/* Sets the soft descriptor limit to n, or to the hard limit if 0. */
int priv_descriptors(uint64_t n, uint64_t *got, struct err *err) MUST_CHECK;

/*
 * No new privileges; no exec, ptrace, mount, module or namespace calls from
 * now on (seccomp), where the kernel can.
 */
int priv_confine(struct err *err) MUST_CHECK;

#endif
