/*
 * context: searches whose results a client is kept up to date about (RFC 5267:
 * RETURN (UPDATE), CANCELUPDATE).
 *
 * A context has its own copy of the search, what it found, and the UIDs that
 * something has happened to since.  At the end of a command and in IDLE those
 * are searched again, as the client counts them then, and it is told the
 * difference: REMOVEFROM of what is expunged before the EXPUNGE, the rest
 * behind EXISTS and FETCH.  What only time changes (OLDER, YOUNGER) it is not
 * told.
 *
 *	cx = context_new(ss, numbers, behind);	before the search begins
 *	...parse context_parse(cx) into context_search(cx)
 *	context_bind(cx);
 *	...
 *	if (!context_start(&cx, &found))	when it has ended
 *		...NOUPDATE
 */
#ifndef BACKENDD_CONTEXT_H
#define BACKENDD_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/search_cmd.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;
struct context;
struct contexts; /* a session's: NULL while it has none */
struct parse;
struct search;
struct search_hits;
struct session;
struct sort;
struct sorted;

enum {
	CONTEXTS_MAX = 16,                   /* of a session */
	CONTEXT_HITS_MAX = 1024 * 1024,      /* of one, at its start */
	CONTEXT_KEYS_MAX = 128 * 1024 * 1024 /* octets of sort keys, the same */
};

/* What a context has found, in order. */
struct context_hit {
	uint64_t prefix; /* of the key */
	uint8_t *key;    /* NULL: mailbox order */
	uint32_t key_len, uid;
};

struct context_hits {
	struct context_hit *at;
	size_t count;
};

/* From a search, and from a sort (in a thread, perhaps). */
void context_hits_of(struct context_hits *to, const struct search_hits *h);
void context_hits_sorted(struct context_hits *to, const struct sorted *s);
void context_hits_free(struct context_hits *h);

bool context_tag_used(struct session *ss, struct slice tag);

/*
 * For the running command, whose tag it takes; args as they were before
 * anything behind the command's name was parsed.  NULL: there are too many.
 */
struct context *context_new(struct session *ss, enum search_numbers numbers,
    const struct parse *args);

/* A copy of args, and where to: all of it lives as long as the context. */
struct parse *context_parse(struct context *cx);
struct search *context_search(struct context *cx);
struct sort *context_sort(struct context *cx); /* zeroed: none */

/* As search_bind(); from now on news are noted. */
void context_bind(struct context *cx);

/* Takes hits.  false: that is too much to keep, and cx is gone. */
bool context_start(struct context **cxp, struct context_hits *hits) MUST_CHECK;

/* The command has failed; NULL is fine. */
void context_drop(struct context **cxp);

/* It may be none of a context. */
void contexts_cancel(struct session *ss, struct slice tag);

/* The mailbox is not selected any more, or the session ends. */
void contexts_free(struct contexts **csp);

/*
 * Before view_tell(): what is expunged.  After it: what else is new, which may
 * have to be searched for; then CONTEXTS_LATER, and session_wake() follows.
 * CONTEXTS_ROOM: again when there is room in out.  CONTEXTS_FETCH: again when
 * the client was sent what it wants to have of new messages.
 */
enum contexts_told {
	CONTEXTS_TOLD,
	CONTEXTS_ROOM,
	CONTEXTS_LATER,
	CONTEXTS_FETCH /* contexts_fetch() says what */
};
enum contexts_told contexts_tell_gone(struct contexts *cs, struct buf *out);
enum contexts_told contexts_tell_new(struct contexts *cs, struct buf *out);

/* Items to FETCH of uids, "(UID FLAGS)"; NULL: nothing.  Both in a. */
const char *contexts_fetch(struct contexts *cs, struct arena *a,
    const char **uids);

/* Has something come since? */
bool contexts_pending(const struct contexts *cs);

#endif
