/*
 * partition: which store module a partition is of, and what its mailboxes are
 * called, for those modules that have to know.
 */
#ifndef BACKENDD_PARTITION_H
#define BACKENDD_PARTITION_H

#include <stdint.h>

#include "backendd/store.h"

struct backendd_conf;
struct mboxname_layout;

/* *layout is borrowed from conf; NULL: the module's own. */
const struct store_module *partition_module(const struct backendd_conf *conf,
    const char *name, const char **layout);

/* Borrows names, for the life of the stores that are given it. */
struct store_naming partition_naming(const struct mboxname_layout *names);

#endif
