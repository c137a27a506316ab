/*
 * err: why something failed, in words, built from the inside out.
 *
 * The callee says what failed; each caller adds what it was doing; whoever
 * decides what happens next logs it, once.  Long texts are cut.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include "lib/cdefs.h"

struct err {
	char text[480];
};

/* All return -1, so that "return err_set(...)" is the whole error path. */
int err_set(struct err *err, const char *fmt, ...) PRINTFLIKE(2, 3);

/* As err_set, then ": " and what errno says.  Call it before anything else. */
int err_sys(struct err *err, const char *fmt, ...) PRINTFLIKE(2, 3);

/* Puts "WHAT: " before the text that is there. */
int err_add(struct err *err, const char *fmt, ...) PRINTFLIKE(2, 3);

#endif
