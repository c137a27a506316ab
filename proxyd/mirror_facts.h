/*
 * mirror_facts: what proxyd/mirror keeps beside the records, in the same
 * transactions.
 */
#ifndef PROXYD_MIRROR_FACTS_H
#define PROXYD_MIRROR_FACTS_H

#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"
#include "proxyd/mirror.h"

/* Numbers. */
#define FACT_COMPLETE "complete" /* 1: once all of a list had come */
#define FACT_WRITTEN  "written"  /* seconds since 1970, of the last change */
#define FACT_REMOVALS "removals" /* transactions with some */
#define FACT_RESERVED "reserved" /* entries that are so */

/* 0 if there is none. */
int facts_get(struct treedb *list, const char *fact, uint64_t *n,
    struct err *err) MUST_CHECK;
int facts_put(struct treedb *list, const char *fact, uint64_t n,
    struct err *err) MUST_CHECK;

/* The position, and as it is in the status. */
int facts_get_position(struct treedb *list, struct mirror_status *st,
    struct err *err) MUST_CHECK;
int facts_put_position(struct treedb *list, struct slice epoch,
    uint64_t revision, struct mirror_status *st, struct err *err) MUST_CHECK;

#endif
