#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init() and its kin, see below */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#include "lib/hash.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* One nibble at a time: small, and only for machines without crc32. */
static const uint32_t nibble[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede,
	0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78,
	0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a,
	0xf36e6f75 };

static uint32_t
crc_table(uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n > 0; n--) {
		crc ^= *p++;
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
crc_sse42(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t wide = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		wide = _mm_crc32_u64(wide, v);
	}
	for (crc = (uint32_t)wide; n > 0; n--)
		crc = _mm_crc32_u8(crc, *p++);
	return crc;
}
#endif

uint32_t
hash_crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_sse42(~crc, p, n);
#endif
	return ~crc_table(~crc, p, n);
}

/* SipHash-2-4 as in its authors' paper, section 2. */
static uint64_t
rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
sip_rounds(uint64_t v[4], int rounds)
{
	while (rounds-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

/* Up to eight octets, little-endian. */
static uint64_t
word(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* The same of eight, which compilers know to be one load. */
static uint64_t
whole_word(const uint8_t *p)
{
	return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
	       (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
	       (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
	       (uint64_t)p[7] << 56;
}

uint64_t
hash_sip(const uint64_t key[2], struct slice s)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575ULL,
		key[1] ^ 0x646f72616e646f6dULL, key[0] ^ 0x6c7967656e657261ULL,
		key[1] ^ 0x7465646279746573ULL };
	size_t whole = s.len / 8 * 8;
	uint64_t m;

	for (size_t i = 0; i < whole; i += 8) {
		m = whole_word(s.ptr + i);
		v[3] ^= m;
		sip_rounds(v, 2);
		v[0] ^= m;
	}
	m = (uint64_t)s.len << 56;
	if (s.len > whole)
		m |= word(s.ptr + whole, s.len - whole);
	v[3] ^= m;
	sip_rounds(v, 2);
	v[0] ^= m;
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/*
 * Not through EVP, which looks its digests up by name under a lock each time:
 * that takes longer than to hash a Message-ID.
 */
struct hash_sha256 {
	SHA256_CTX ctx;
};

struct hash_sha256 *
hash_sha256_new(void)
{
	struct hash_sha256 *h = xcalloc(1, sizeof(*h));

	MUST(SHA256_Init(&h->ctx) == 1);
	return h;
}

void
hash_sha256_put(struct hash_sha256 *h, const void *p, size_t n)
{
	MUST(SHA256_Update(&h->ctx, p, n) == 1);
}

void
hash_sha256_end(struct hash_sha256 **hp, uint8_t out[32])
{
	struct hash_sha256 *h = *hp;

	MUST(SHA256_Final(out, &h->ctx) == 1);
	free(h);
	*hp = NULL;
}

void
hash_sha256_of(struct slice s, uint8_t out[32])
{
	struct hash_sha256 h;

	MUST(SHA256_Init(&h.ctx) == 1);
	hash_sha256_put(&h, s.ptr, s.len);
	MUST(SHA256_Final(out, &h.ctx) == 1);
}
