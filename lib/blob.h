/*
 * blob: a message on its way in: octets collected, in memory while small, in
 * an unlinked temporary file beyond, then read as often as needed.
 *
 * The file is written and read by jobs, so no disk is waited for in the loop;
 * while blob_busy() the writer's source should not be read.
 */
#ifndef LIB_BLOB_H
#define LIB_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct blob;
struct err;
struct jobs;

/* memory: octets to keep before a file in dir is used. */
struct blob *blob_new(struct jobs *jobs, const char *dir, size_t memory);

/* So many octets are to come, as far as is known. */
void blob_expect(struct blob *b, uint64_t octets);

/* No call back after the last one; the loop's thread only, as all but slice. */
void blob_free(struct blob **bp);

void blob_put(struct blob *b, struct slice s);

/* Too much is on its way to the file; changed is called once when less is. */
bool blob_busy(struct blob *b, void (*changed)(void *arg), void *arg);

/*
 * No more to come: done is called, soon, with why NULL or the failure's text.
 * Never from inside.
 */
void blob_end(struct blob *b, void (*done)(void *arg, const char *why),
    void *arg);

/*
 * The same at once, if all of it is in memory: true, and nobody is called.
 * False: nothing was done, blob_end() has to be called.
 */
bool blob_end_here(struct blob *b) MUST_CHECK;

/* blob_slice() may be called. */
bool blob_is_ready(const struct blob *b);

uint64_t blob_len(const struct blob *b);

/*
 * All of it, in one piece, after done: memory, or the file mapped.  Borrowed
 * until blob_free().  Reading a mapped one may block: do it in a job.
 */
struct slice blob_slice(struct blob *b);
bool blob_in_memory(const struct blob *b);

/* Another owner; the last blob_free() frees. */
struct blob *blob_ref(struct blob *b);

#endif
