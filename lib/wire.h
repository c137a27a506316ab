/*
 * wire: records as octets, for disk and for ipc.
 *
 * Integers are big-endian, strings a 32-bit length and octets; packed ones
 * take seven bits to an octet, least first, for what is usually small.  Both
 * sides stick on failure: write the lot or read the lot, then ask once.
 */
#ifndef LIB_WIRE_H
#define LIB_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_slice(struct buf *b, struct slice s);
void wire_put_str(struct buf *b, const char *s);
void wire_put_packed(struct buf *b, uint64_t v);
void wire_put_packed_slice(struct buf *b, struct slice s);

struct wire {
	struct slice rest;
	bool failed;
};

void wire_init(struct wire *w, struct slice s);

/* 0 or an empty slice once failed. */
uint8_t wire_u8(struct wire *w);
uint16_t wire_u16(struct wire *w);
uint32_t wire_u32(struct wire *w);
uint64_t wire_u64(struct wire *w);
struct slice wire_slice(struct wire *w); /* borrowed from the input */
uint64_t wire_packed(struct wire *w);
struct slice wire_packed_slice(struct wire *w);

/* Nothing failed and nothing is left over. */
bool wire_done(const struct wire *w) MUST_CHECK;

#endif
