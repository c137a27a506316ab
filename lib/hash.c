#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init() and its kin, see below */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#include <wmmintrin.h>
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
enum {
	LANE = 336,          /* octets, a multiple of 8 */
	BLOCK = 3 * LANE + 8 /* three lanes, and a word that joins them */
};

static uint64_t
load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* The checksum with so many zero octets behind it, before the last word. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t
shifted(uint64_t crc, uint32_t power)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc),
	    _mm_cvtsi64_si128((int64_t)power), 0);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

/*
 * An instruction waits for the one before it in its lane, so that three lanes
 * side by side take as long as one.
 */
__attribute__((target("sse4.2,pclmul"))) static uint64_t
crc_blocks(uint64_t crc, const uint8_t *p, size_t blocks)
{
	/* x^(8n - 33) modulo the polynomial, bits reflected */
	const uint32_t two_lanes = 0xe417f38a; /* n = 2 * LANE + 8 */
	const uint32_t one_lane = 0x8f158014;  /* n = LANE + 8 */

	for (; blocks > 0; blocks--, p += BLOCK) {
		uint64_t second = 0, third = 0;

		for (size_t i = 0; i < LANE; i += 8) {
			crc = _mm_crc32_u64(crc, load(p + i));
			second = _mm_crc32_u64(second, load(p + LANE + i));
			third = _mm_crc32_u64(third, load(p + 2 * LANE + i));
		}
		crc = _mm_crc32_u64(third, load(p + 3 * LANE) ^
		                               shifted(crc, two_lanes) ^
		                               shifted(second, one_lane));
	}
	return crc;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc_words(uint32_t crc, const uint8_t *p, size_t n)
{
	size_t blocks = n / BLOCK;
	uint64_t wide = crc_blocks(crc, p, blocks);

	p += blocks * BLOCK;
	n -= blocks * BLOCK;
	for (; n >= 8; n -= 8, p += 8)
		wide = _mm_crc32_u64(wide, load(p));
	for (crc = (uint32_t)wide; n > 0; n--)
		crc = _mm_crc32_u8(crc, *p++);
	return crc;
}
#endif

uint32_t
hash_crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2") &&
	    __builtin_cpu_supports("pclmul"))
		return ~crc_words(~crc, p, n);
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
