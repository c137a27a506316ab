/*
 * hash: checksums and digests.  SHA-256 is OpenSSL's, behind this door.
 */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

/* CRC-32C (Castagnoli); start with 0, feed the result back to go on. */
uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n);

/* SipHash-2-4: for tables whose keys a peer chooses. */
uint64_t hash_sip(const uint64_t key[2], struct slice s);

struct hash_sha256; /* a digest being made */

struct hash_sha256 *hash_sha256_new(void);
void hash_sha256_put(struct hash_sha256 *h, const void *p, size_t n);

/* Frees it and sets *hp to NULL. */
void hash_sha256_end(struct hash_sha256 **hp, uint8_t out[32]);

/* All of it at once. */
void hash_sha256_of(struct slice s, uint8_t out[32]);

#endif
