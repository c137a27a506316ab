/*
 * conf: a configuration file, by a table.
 *
 *	# comment
 *	name = value            rest of the line, trimmed; "" for an empty one
 *
 * A list's name may stand in several lines, each one item; they replace the
 * preset, and "" empties the list.
 *
 * One table a daemon says what may stand there.  The file is read into a fresh
 * struct, whole or not at all; every error of the file is reported with its
 * line, not only the first.
 */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;

/* What a member is, in C and in the file. */
enum conf_kind {
	CONF_STRING,   /* char *; NULL if unset and no default */
	CONF_LIST,     /* struct conf_list; one item a line, may repeat */
	CONF_BOOL,     /* bool; yes or no */
	CONF_NUMBER,   /* uint64_t */
	CONF_SIZE,     /* uint64_t octets; 10, 64k, 50M, 2G */
	CONF_DURATION, /* uint64_t milliseconds; 500ms, 30s, 5m, 1h, 3d */
	CONF_CHOICE    /* int, index into a list of words: "spool maildir" */
};

struct conf_list {
	char **items;
	size_t count;
};

struct conf_item {
	const char *name;
	enum conf_kind kind;
	size_t offset;        /* of the member */
	const char *preset;   /* as in the file; NULL: unset */
	uint64_t least, most; /* of numbers; most 0: any */
	const char *choices;  /* CONF_CHOICE: words, space between */
	const char *help;     /* one sentence, for the manual and -n */
};

struct conf_table {
	const struct conf_item *items;
	size_t count, size; /* items; octets of the struct */
	/* Checks that no table can make; may be NULL. */
	int (*check)(const void *conf, struct err *err);
};

/*
 * A struct for conf_free(), or NULL and *err ("FILE:LINE: what, and what to do"
 * for each line that is wrong, separated by newlines, cut at the end).
 */
void *conf_parse(const struct conf_table *t, const char *file,
    struct slice text, struct err *err) MUST_CHECK;

/* Opens and reads too. */
void *conf_read(const struct conf_table *t, const char *file,
    struct err *err) MUST_CHECK;

/*
 * Any file's octets, at most a megabyte: *octets is the caller's to free (and
 * to wipe() before, if they are secret).
 */
int conf_load(const char *file, uint8_t **octets, size_t *n,
    struct err *err) MUST_CHECK;

/* "64k", "2G": what CONF_SIZE takes. */
bool conf_size(struct slice s, uint64_t *n);

void conf_free(const struct conf_table *t, void **confp);

/* What is in force, as a file that would parse to it, with help as comments. */
void conf_print(const struct conf_table *t, const void *conf, FILE *f);

#endif
