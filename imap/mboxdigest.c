#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/hash.h"

enum {
	DIGITS = 16,
	ROOT_COMPONENTS = 2
};

/* Both ends must have the same, so these never change. */
static const uint64_t bucket_key[2] = { 0x6d75726465722e31, 1 };
static const uint64_t entry_key[2] = { 0x6d75726465722e31, 2 };
static const uint64_t chain_key = 0x6d75726465722e31;

struct slice
mboxdigest_root(struct slice name)
{
	size_t at = slice_find(name, '!');
	unsigned dots = 0;

	/* The dots of a domain divide nothing. */
	at = at == name.len ? 0 : at + 1;
	for (; at < name.len; at++)
		if (name.ptr[at] == '.' && ++dots == ROOT_COMPONENTS)
			break;
	return slice_first(name, at);
}

uint8_t
mboxdigest_bucket(struct slice name)
{
	return (uint8_t)hash_sip(bucket_key, mboxdigest_root(name));
}

static void
store64(uint8_t *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* Each string under what was before it, so that no two can trade octets. */
static uint64_t
chain(uint64_t sum, struct slice s)
{
	const uint64_t key[2] = { chain_key, sum };

	return hash_sip(key, s);
}

uint64_t
mboxdigest_entry(struct slice name, const struct mboxrec *r)
{
	uint8_t fixed[10];
	uint64_t sum;

	store64(fixed, r->generation);
	fixed[8] = (uint8_t)r->state;
	fixed[9] = r->type;
	sum = hash_sip(entry_key, slice_of(fixed, sizeof(fixed)));
	sum = chain(sum, name);
	sum = chain(sum, r->location);
	sum = chain(sum, r->acl);
	sum = chain(sum, r->mailboxid);
	return chain(sum, r->special_uses);
}

void
mboxdigest_add(struct mboxdigest *d, struct slice name, const struct mboxrec *r)
{
	d->count++;
	d->sums[mboxdigest_bucket(name)] += mboxdigest_entry(name, r);
}

void
mboxdigest_remove(struct mboxdigest *d, struct slice name,
    const struct mboxrec *r)
{
	d->count--;
	d->sums[mboxdigest_bucket(name)] -= mboxdigest_entry(name, r);
}

size_t
mboxdigest_differences(const struct mboxdigest *a, const struct mboxdigest *b,
    uint8_t buckets[MBOXDIGEST_BUCKETS])
{
	size_t n = 0;

	for (unsigned i = 0; i < MBOXDIGEST_BUCKETS; i++)
		if (a->sums[i] != b->sums[i])
			buckets[n++] = (uint8_t)i;
	return n;
}

void
mboxdigest_put(struct buf *b, const struct mboxdigest *d)
{
	for (unsigned i = 0; i < MBOXDIGEST_BUCKETS; i++)
		buf_printf(b, "%016llx", (unsigned long long)d->sums[i]);
}

bool
mboxdigest_parse(struct mboxdigest *d, struct slice s)
{
	uint64_t sums[MBOXDIGEST_BUCKETS] = { 0 };

	if (s.len != MBOXDIGEST_TEXT)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int digit = ascii_hex(s.ptr[i]);

		if (digit == -1)
			return false;
		sums[i / DIGITS] = sums[i / DIGITS] << 4 | (unsigned)digit;
	}
	memcpy(d->sums, sums, sizeof(sums));
	return true;
}
