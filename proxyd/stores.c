#include <string.h>

#include "lib/arena.h"
#include "lib/hash.h"
#include "lib/slice.h"
#include "proxyd/stores.h"

enum {
	STORES_FIRST = 4
};

static bool
has_flag(struct slice flags, struct slice flag)
{
	while (flags.len > 0) {
		size_t end = slice_find(flags, ' ');

		if (slice_equal_nocase(slice_first(flags, end), flag))
			return true;
		flags = slice_skip(flags, end < flags.len ? end + 1 : end);
	}
	return false;
}

/* Those of a, then those of b that a does not have. */
static struct slice
join_flags(struct arena *a, struct slice have, struct slice more)
{
	uint8_t *out = arena_alloc(a, have.len + more.len + 1);
	size_t n = have.len;

	if (n > 0)
		memcpy(out, have.ptr, n);
	while (more.len > 0) {
		size_t end = slice_find(more, ' ');
		struct slice flag = slice_first(more, end);

		if (flag.len > 0 && !has_flag(slice_of(out, n), flag)) {
			if (n > 0)
				out[n++] = ' ';
			memcpy(out + n, flag.ptr, flag.len);
			n += flag.len;
		}
		more = slice_skip(more, end < more.len ? end + 1 : end);
	}
	return slice_of(out, n);
}

static struct store_wish *
add_empty(struct arena *a, struct stores *s)
{
	if (s->n == s->size) {
		size_t size = s->size == 0 ? STORES_FIRST : s->size * 2;
		struct store_wish *at = arena_array(a, size, sizeof(*at));

		if (s->n > 0)
			memcpy(at, s->at, s->n * sizeof(*at));
		s->at = at;
		s->size = size;
	}
	return &s->at[s->n++];
}

void
stores_add(struct arena *a, struct stores *s, const struct store_wish *wish)
{
	struct store_wish *w;

	for (size_t i = 0; i < s->n; i++)
		if (slice_equal(s->at[i].mailbox, wish->mailbox)) {
			s->at[i].flags =
			    join_flags(a, s->at[i].flags, wish->flags);
			return;
		}
	w = add_empty(a, s);
	*w = *wish;
	w->mailbox = arena_copy(a, wish->mailbox);
	w->flags = join_flags(a, slice_of(NULL, 0), wish->flags);
}

/* Its length first, so that no two lists of parts are the same octets. */
static void
put_part(struct hash_sha256 *h, struct slice s)
{
	const uint8_t len[4] = { (uint8_t)(s.len >> 24), (uint8_t)(s.len >> 16),
		(uint8_t)(s.len >> 8), (uint8_t)s.len };

	hash_sha256_put(h, len, sizeof(len));
	hash_sha256_put(h, s.ptr, s.len);
}

void
stores_key(char key[STORES_KEY], const uint8_t digest[32],
    struct slice recipient, struct slice target, const char *action)
{
	struct hash_sha256 *h = hash_sha256_new();
	uint8_t out[32];

	hash_sha256_put(h, digest, 32);
	put_part(h, recipient);
	put_part(h, target);
	put_part(h, slice_str(action));
	hash_sha256_end(&h, out);
	for (size_t i = 0; i < sizeof(out); i++) {
		key[2 * i] = "0123456789abcdef"[out[i] >> 4];
		key[2 * i + 1] = "0123456789abcdef"[out[i] & 15];
	}
}

/*
 * A temporary failure is to be tried again, whatever else was refused for
 * good; a refusal is to be told, whatever else was stored.
 */
static int
rank(int code)
{
	if (code == 0)
		return 0;
	return code / 100 == 2 ? 1 : code / 100 == 5 ? 2 : 3;
}

int
stores_worse(int a, int b)
{
	return rank(b) > rank(a) ? b : a;
}
