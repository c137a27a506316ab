#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "lib/auth_cache.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	DIGEST = 32,
	ENTRIES = 8192
};

struct entry {
	uint8_t digest[DIGEST];
	struct mono until;
	char *canonical; /* NULL: no entry */
};

struct auth_cache {
	uint8_t key[DIGEST];
	struct entry entries[ENTRIES];
};

struct auth_cache *
auth_cache_new(void)
{
	struct auth_cache *c = xcalloc(1, sizeof(*c));

	rand_bytes(c->key, sizeof(c->key));
	return c;
}

void
auth_cache_free(struct auth_cache **cp)
{
	struct auth_cache *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < ENTRIES; i++)
		free(c->entries[i].canonical);
	wipe(c, sizeof(*c));
	free(c);
	*cp = NULL;
}

/* Lengths are part of it, so that no two inputs are the same octets. */
static void
digest(const struct auth_cache *c, const char *service, struct slice user,
    struct slice password, uint8_t out[DIGEST])
{
	size_t n = 12 + strlen(service) + user.len + password.len;
	size_t want = n;
	unsigned len = DIGEST;
	struct buf b;

	buf_init(&b, n);
	MUST(buf_space(&b, &want) != NULL && want == n);
	wire_put_str(&b, service);
	wire_put_slice(&b, user);
	wire_put_slice(&b, password);
	MUST(!buf_failed(&b));
	MUST(HMAC(EVP_sha256(), c->key, sizeof(c->key), buf_data(&b), n, out,
	         &len) != NULL);
	wipe((void *)(uintptr_t)buf_data(&b), n); /* ours to change */
	buf_fini(&b);
}

static size_t
place(const uint8_t d[DIGEST])
{
	return ((size_t)d[0] << 8 | d[1]) % ENTRIES;
}

void
auth_cache_put(struct auth_cache *c, const char *service, struct slice user,
    struct slice password, const char *canonical, struct mono until)
{
	uint8_t d[DIGEST];
	struct entry *e;

	digest(c, service, user, password, d);
	e = &c->entries[place(d)];
	free(e->canonical);
	memcpy(e->digest, d, DIGEST);
	e->canonical = xstrdup(canonical);
	e->until = until;
}

const char *
auth_cache_find(struct auth_cache *c, const char *service, struct slice user,
    struct slice password, struct mono now)
{
	uint8_t d[DIGEST];
	struct entry *e;

	digest(c, service, user, password, d);
	e = &c->entries[place(d)];
	if (e->canonical == NULL || CRYPTO_memcmp(e->digest, d, DIGEST) != 0 ||
	    mono_reached(e->until, now))
		return NULL;
	return e->canonical;
}
