/*
 * auth_cache: passwords that were right, for a while.
 *
 * Of a fixed size: what is new takes the place of what was there.  Nothing of
 * it tells a password, since all that is kept is an HMAC-SHA-256.
 */
#ifndef LIB_AUTH_CACHE_H
#define LIB_AUTH_CACHE_H

#include "lib/mono.h"
#include "lib/slice.h"

struct auth_cache;

struct auth_cache *auth_cache_new(void);
void auth_cache_free(struct auth_cache **cp);

void auth_cache_put(struct auth_cache *c, const char *service,
    struct slice user, struct slice password, const char *canonical,
    struct mono until);

/* The canonical name, borrowed until the next put; or NULL. */
const char *auth_cache_find(struct auth_cache *c, const char *service,
    struct slice user, struct slice password, struct mono now);

#endif
