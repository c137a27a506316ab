/*
 * published: a fake backend with a fake update server, for unit tests of what
 * the two tell each other.
 */
#ifndef T_FAKE_PUBLISHED_H
#define T_FAKE_PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>

#include "backendd/mblist.h"
#include "t/fake/announce.h"
#include "t/fake_backend.h"

/* Embed it. */
struct published {
	struct fake_backend f;
	unsigned answers;
	enum mblist_result result; /* of the last */
	const char *old, *new;     /* a RENAME under way; or NULL */
	unsigned neither;          /* how often neither was to be seen */
};

/* Connected, with empty lists. */
void published_init(struct published *t);
void published_fini(struct published *t);

struct fake_update_server *published_server(struct published *t);

/* The loop goes round once. */
void published_turn(struct published *t);

/*
 * Once more, unless a minute has passed since the first time; *until is 0 then.
 * What is waited for may need the clock, so turns are not counted.
 */
bool published_goes_on(struct published *t, int64_t *until);

/* Until all has been said that there is to be said; ok(false) if never. */
void published_settle(struct published *t);

/* Till it is idle; then up, if it is not. */
void published_link_up(struct published *t);

/* Closed and opened again; the update server stays. */
void published_restart(struct published *t);

/* For mblist_*(): counts answers. */
void published_answered(void *arg, enum mblist_result r, const char *text);
void published_await(struct published *t, unsigned answers);

/* Makes it. */
enum mblist_result published_make(struct published *t, const char *name,
    const char *acl);

/* Do both lists say the same, and the store has what they say? */
bool published_is_alike(struct published *t);

bool published_exists(struct published *t, const char *name);
bool published_acl_is(struct published *t, const char *name, const char *acl);

#endif
