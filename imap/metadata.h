/*
 * metadata: RFC 5464's commands and response.
 *
 * Names of entries are case-insensitive: what is parsed is in lower case, as
 * it is kept and answered.
 */
#ifndef IMAP_METADATA_H
#define IMAP_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/parse.h"
#include "imap/write.h"
#include "lib/slice.h"

struct arena;
struct value;

enum {
	METADATA_NAME_MAX = 256, /* octets of an entry's name */
	METADATA_ITEMS_MAX = 100 /* entries of one command */
};

enum metadata_depth {
	METADATA_ONLY,  /* DEPTH 0 */
	METADATA_BELOW, /* DEPTH 1: and those immediately below */
	METADATA_ALL    /* DEPTH infinity */
};

/* GETMETADATA.  The slices are in the arena. */
struct metadata_get {
	struct slice mailbox; /* empty: the server */
	uint64_t maxsize;     /* UINT64_MAX: any */
	enum metadata_depth depth;
	struct slice entries[METADATA_ITEMS_MAX];
	size_t n;
};

/*
 * p stands at the first argument; failure is p's.  Options are taken before
 * the mailbox, as the grammar has it, and behind it, as the RFC's examples do.
 */
void metadata_parse_get(struct parse *p, struct metadata_get *g);

/* SETMETADATA. */
struct metadata_item {
	struct slice entry;
	struct slice value; /* .ptr NULL: NIL, it is to go */
};
struct metadata_set {
	struct slice mailbox;
	struct metadata_item items[METADATA_ITEMS_MAX];
	size_t n;
};
void metadata_parse_set(struct parse *p, struct metadata_set *s);

/* An entry or a list of them, as LIST RETURN (METADATA ...) has it. */
size_t metadata_entries(struct parse *p, const struct value *v,
    struct slice entries[METADATA_ITEMS_MAX]);

/* NULL, or what is wrong with the name. */
const char *metadata_invalid(struct slice entry);

bool metadata_is_private(struct slice entry);

/* Is it the entry itself, or as far below as depth says? */
bool metadata_matches(struct slice name, struct slice entry,
    enum metadata_depth depth);

/* * METADATA mailbox (entry value entry value); value.ptr NULL: NIL. */
void metadata_write(struct write *w, struct slice mailbox,
    const struct metadata_item *items, size_t n);

/* * METADATA mailbox entry: it has changed. */
void metadata_write_change(struct write *w, struct slice mailbox,
    struct slice entry);

#endif
