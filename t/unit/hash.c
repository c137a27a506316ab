/*
 * hash: published vectors, and that pieces give what the whole gives.
 */
#include <string.h>

#include "lib/cdefs.h"
#include "lib/hash.h"
#include "lib/rand.h"
#include "t/tap.h"

static void
hex(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

/* As the definition has it. */
static uint32_t
bit_by_bit(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ ((crc & 1) ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void
test_crc(void)
{
	uint8_t octets[64];
	uint32_t whole;

	/* RFC 3720 B.4 */
	memset(octets, 0, 32);
	ok(hash_crc32c(0, octets, 32) == 0x8a9136aa, "32 zeros");
	memset(octets, 0xff, 32);
	ok(hash_crc32c(0, octets, 32) == 0x62a8ab43, "32 ones");
	for (int i = 0; i < 32; i++)
		octets[i] = (uint8_t)i;
	ok(hash_crc32c(0, octets, 32) == 0x46dd794e, "ascending");
	ok(hash_crc32c(0, "123456789", 9) == 0xe3069283, "the check value");
	ok(hash_crc32c(0, "", 0) == 0, "nothing");

	rand_bytes(octets, sizeof(octets));
	whole = hash_crc32c(0, octets, sizeof(octets));
	for (size_t cut = 0; cut <= sizeof(octets); cut++)
		ok(hash_crc32c(hash_crc32c(0, octets, cut), octets + cut,
		       sizeof(octets) - cut) == whole,
		    "cut at %zu", cut);
	ok(whole == bit_by_bit(octets, sizeof(octets)),
	    "as the definition has it");
}

/* Long enough for what takes many octets at once, at any place. */
static void
test_long_crc(void)
{
	enum {
		LONG = 5000
	};
	static uint8_t octets[LONG + 8];
	size_t bad = 0;
	uint32_t crc;

	rand_bytes(octets, sizeof(octets));
	for (size_t n = 0; n <= LONG; n += n < 1000 ? 97 : 7)
		for (size_t at = 0; at < 8; at += 5)
			bad += hash_crc32c(0, octets + at, n) !=
			       bit_by_bit(octets + at, n);
	ok(bad == 0, "of any length");
	crc = hash_crc32c(0, octets, 1234);
	ok(hash_crc32c(crc, octets + 1234, LONG - 1234) ==
	        bit_by_bit(octets, LONG),
	    "a long one goes on");
}

static void
test_sip(void)
{
	/* The paper's appendix A, and the reference vectors' first. */
	static const uint64_t key[2] = { 0x0706050403020100,
		0x0f0e0d0c0b0a0908 };
	uint8_t in[15];

	for (uint8_t i = 0; i < 15; i++)
		in[i] = i;
	ok(hash_sip(key, slice_of(in, 15)) == 0xa129ca6149be45e5, "15 octets");
	ok(hash_sip(key, slice_of(in, 8)) == 0x93f5f5799a932462, "8 octets");
	ok(hash_sip(key, slice_of(NULL, 0)) == 0x726fdb47dd0e0e31, "nothing");
}

static void
test_sha256(void)
{
	struct hash_sha256 *h = hash_sha256_new();
	uint8_t out[32];
	char text[65];

	hash_sha256_put(h, "a", 1);
	hash_sha256_put(h, "", 0);
	hash_sha256_put(h, "bc", 2);
	hash_sha256_end(&h, out);
	hex(out, 32, text);
	is_str(text,
	    "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad",
	    "FIPS 180-2 abc, in pieces");
	ok(h == NULL, "the end clears");
}

int
main(void)
{
	test_crc();
	test_long_crc();
	test_sip();
	test_sha256();
	return done_testing();
}
