/*
 * out: what is shown: a row of a table for people, an object of JSON on a line
 * of its own for programs.
 *
 * It goes to standard output as it comes, so that a long list takes no memory.
 * Whatever a name holds, a terminal is not made to do anything by it, and JSON
 * is UTF-8: octets that are not are shown as \xNN, in either.
 *
 *	out_json(&o);                   out_cell(&o, name, 40);
 *	out_str(&o, "name", name);      out_cell(&o, host, 0);
 *	out_end(&o);                    out_end(&o);
 */
#ifndef LIB_OUT_H
#define LIB_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/slice.h"

struct out {
	struct buf line;
	unsigned depth; /* of brackets that are open */
	bool comma;     /* before the next member */
	bool failed;    /* standard output is no longer there */
};

void out_init(struct out *o);

/* False: not all of it could be written. */
bool out_fini(struct out *o);

/* One with the next, blanks behind it up to width; 0: the last. */
void out_cell(struct out *o, struct slice s, size_t width);
void out_cell_number(struct out *o, uint64_t n, size_t width);

/* key NULL: an item of an array. */
void out_open(struct out *o, const char *key, char bracket);
void out_close(struct out *o, char bracket);
void out_str(struct out *o, const char *key, struct slice s);
void out_number(struct out *o, const char *key, uint64_t n);
void out_null(struct out *o, const char *key);

/* The line is written.  False: there is nobody to read it. */
bool out_end(struct out *o);

#endif
