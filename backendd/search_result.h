/*
 * search_result: what SEARCH and SORT have found, and what becomes of it: the
 * response, "$", a context.
 *
 *	search_result_begin(&r, ss, &search, numbers, text);
 *	...search_hits_add(&r.hits, ...)
 *	search_result_make(&r);	in a thread, if there are many
 *	search_result_give(&r);	ends the command
 */
#ifndef BACKENDD_SEARCH_RESULT_H
#define BACKENDD_SEARCH_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "backendd/context.h"
#include "backendd/search_cmd.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/slice.h"

struct buf;
struct search;
struct search_facts;
struct search_found;
struct session;

struct search_hit {
	uint32_t uid, seq;
};

/* Messages found, in the order of the response. */
struct search_hits {
	struct search_hit *at;
	uint64_t *modseqs; /* of them; only if the search has MODSEQ */
	size_t count, size;
};

void search_hits_add(struct search_hits *h, const struct search *s,
    const struct search_facts *facts);
void search_hits_fini(struct search_hits *h);

/*
 * The response, put into out with a limit of its own.  found has what is not
 * told by the hits.
 */
void search_hits_write(const struct search_hits *h, const struct search *s,
    struct slice tag, struct search_found found, struct buf *out);

/* What SAVE keeps of them, by RETURN's other options (RFC 5182, 9394). */
void search_hits_saved(const struct search_hits *h, const struct search *s,
    struct arena *a, struct seqset *saved);

/* In the command's arena. */
struct search_result {
	struct session *ss;
	const struct search *search;
	const char *text; /* of the OK */
	struct slice tag;
	bool by_uid, sorted;
	struct search_hits hits;
	struct context *context;      /* NULL: none, or none is to be had */
	struct context_hits followed; /* what the context begins with */
	/* What is made of them. */
	struct arena arena;
	struct seqset saved;
	struct buf *out;
};

/* Of the running command. */
void search_result_begin(struct search_result *r, struct session *ss,
    const struct search *s, enum search_numbers numbers, const char *text);

/*
 * Touches it alone.  followed is made of hits unless it has been; hits are
 * emptied.
 */
void search_result_make(void *result);
void search_result_give(void *result);

/* Instead: nothing of it is good.  Says NO. */
void search_result_drop(struct search_result *r);

/* search_result_make() here or, if that takes long, in a job; and give. */
void search_result_finish(struct search_result *r);

#endif
