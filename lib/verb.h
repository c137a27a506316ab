/*
 * verb: the commands of a program's command line: "NAME ARGUMENT ...".
 *
 * A program has an array of structs that each begin with a struct verb; what
 * else is in them is its own.
 */
#ifndef LIB_VERB_H
#define LIB_VERB_H

#include <stddef.h>
#include <stdio.h>

#include "lib/cdefs.h"

struct err;

struct verb {
	const char *name;
	size_t least, most; /* arguments */
	const char *arguments, *help;
};

/* n structs of size octets. */
struct verbs {
	const void *array;
	size_t n, size;
};

/*
 * The struct of that name, which takes so many arguments.  NULL, and *err: a
 * usage error.
 */
const void *verb_find(const struct verbs *v, const char *name,
    size_t narguments, struct err *err) MUST_CHECK;

/* A line for each: for a usage message. */
void verb_print(const struct verbs *v, FILE *out);

#endif
