#include <stdlib.h>
#include <string.h>

#include "backendd/spool/spool.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define FRAME_MAGIC 0x6d734632u

/*
 * Then a CRC-32C of each block, then the octets.  What the index has of the
 * message, too, as it was when the frame was written: to make the index anew.
 */
struct frame {
	uint32_t crc; /* of what follows, the blocks' too */
	uint32_t magic;
	uint64_t size;
	uint8_t emailid[16];
	uint32_t uid;
	uint32_t flags;
	uint64_t keywords[STORE_KEYWORD_WORDS];
	int64_t internaldate;
	int64_t savedate;
	uint64_t modseq;
	uint32_t uidvalidity;
	int16_t zone;
	uint8_t spare[2];
};

struct cache_head {
	uint32_t crc;
	uint32_t uid;
	uint32_t len;
	uint32_t spare;
};

static size_t
blocks(uint64_t size)
{
	return (size_t)((size + SPOOL_BLOCK - 1) / SPOOL_BLOCK);
}

size_t
spool_frame_head(uint64_t size)
{
	return sizeof(struct frame) + 4 * blocks(size);
}

static uint32_t
head_crc(const uint8_t *head, uint64_t size)
{
	return hash_crc32c(0, head + 4, spool_frame_head(size) - 4);
}

void
spool_frame_sum(uint8_t *head, struct slice octets)
{
	size_t n = blocks(octets.len);

	for (size_t i = 0; i < n; i++) {
		size_t at = i * SPOOL_BLOCK, len = octets.len - at;
		uint32_t crc;

		if (len > SPOOL_BLOCK)
			len = SPOOL_BLOCK;
		crc = hash_crc32c(0, octets.ptr + at, len);
		memcpy(head + sizeof(struct frame) + 4 * i, &crc, 4);
	}
}

void
spool_frame_seal(uint8_t *head, const struct store_msg *m, uint32_t uidvalidity)
{
	_Static_assert(sizeof(struct frame) == SPOOL_FRAME_MIN, "as on disk");
	struct frame f = { .magic = FRAME_MAGIC,
		.size = m->size,
		.uid = m->uid,
		.flags = m->flags & STORE_FLAGS,
		.keywords = { m->keywords[0], m->keywords[1] },
		.internaldate = m->internaldate,
		.savedate = m->savedate,
		.modseq = m->modseq,
		.uidvalidity = uidvalidity,
		.zone = m->zone };

	memcpy(f.emailid, m->emailid, 16);
	memcpy(head, &f, sizeof f);
	f.crc = head_crc(head, m->size);
	memcpy(head, &f, sizeof f);
}

bool
spool_frame_begins(const uint8_t head[SPOOL_FRAME_MIN], uint64_t *size)
{
	struct frame f;

	memcpy(&f, head, sizeof f);
	*size = f.size;
	return f.magic == FRAME_MAGIC;
}

bool
spool_frame_parse(const uint8_t *head, struct store_msg *m,
    uint32_t *uidvalidity)
{
	struct frame f;

	memcpy(&f, head, sizeof f);
	if (f.magic != FRAME_MAGIC || f.crc != head_crc(head, f.size))
		return false;
	*m = (struct store_msg){ .uid = f.uid,
		.flags = f.flags,
		.keywords = { f.keywords[0], f.keywords[1] },
		.internaldate = f.internaldate,
		.savedate = f.savedate,
		.modseq = f.modseq,
		.zone = f.zone,
		.size = f.size };
	memcpy(m->emailid, f.emailid, 16);
	*uidvalidity = f.uidvalidity;
	return true;
}

void
spool_place_of(struct spool_place *p, const char *id, const struct store_msg *m)
{
	*p = (struct spool_place){ .no = (uint32_t)m->place[1],
		.at = m->place[0],
		.size = m->size,
		.cache_at = m->place[2] >> 20,
		.cache_len = (uint32_t)(m->place[2] & 0xfffff),
		.uid = m->uid };
	memcpy(p->id, id, strlen(id) + 1);
	memcpy(p->emailid, m->emailid, 16);
}

static int
check_head(const uint8_t *head, const struct spool_place *p, struct err *err)
{
	struct frame f;

	memcpy(&f, head, sizeof f);
	if (f.magic != FRAME_MAGIC || f.size != p->size || f.uid != p->uid ||
	    memcmp(f.emailid, p->emailid, 16) != 0 ||
	    f.crc != head_crc(head, p->size))
		return err_set(err, "message is damaged: head");
	return 0;
}

static int
check_block(const uint8_t *head, size_t i, const uint8_t *octets, size_t len,
    struct err *err)
{
	uint32_t crc;

	memcpy(&crc, head + sizeof(struct frame) + 4 * i, 4);
	if (crc != hash_crc32c(0, octets, len))
		return err_set(err, "message is damaged: block %zu", i);
	return 0;
}

/* Octets of block i of a message of size. */
static size_t
block_len(uint64_t size, size_t i)
{
	uint64_t left = size - (uint64_t)i * SPOOL_BLOCK;

	return left < SPOOL_BLOCK ? (size_t)left : SPOOL_BLOCK;
}

/* A block of which only octets [from, to) of the message are wanted. */
static int
read_some(int fd, const struct spool_place *p, const uint8_t *head, size_t i,
    uint64_t from, uint64_t to, uint8_t *out, struct err *err)
{
	uint64_t start = (uint64_t)i * SPOOL_BLOCK;
	size_t len = block_len(p->size, i);
	bool whole = from <= start && to >= start + len;
	uint8_t *area = whole ? out + (start - from) : xmalloc(len);
	int result;

	result = spool_read(fd, area, len,
	    p->at + spool_frame_head(p->size) + start, err);
	if (result == 0)
		result = check_block(head, i, area, len, err);
	if (!whole) {
		uint64_t a = from > start ? from : start;
		uint64_t b = to < start + len ? to : start + len;

		if (result == 0)
			memcpy(out + (a - from), area + (a - start),
			    (size_t)(b - a));
		free(area);
	}
	return result;
}

int
spool_frame_check(const struct spool_place *p, uint8_t *area, uint8_t **octets,
    struct err *err)
{
	MUST(p->size <= SPOOL_BLOCK);
	*octets = area + spool_frame_head(p->size);
	if (check_head(area, p, err) == -1)
		return -1;
	return p->size == 0
	           ? 0
	           : check_block(area, 0, *octets, (size_t)p->size, err);
}

int
spool_frame_read(int fd, const struct spool_place *p, uint64_t offset,
    size_t len, uint8_t *area, uint8_t **octets, struct err *err)
{
	size_t head = spool_frame_head(p->size);

	MUST(offset <= p->size && len <= p->size - offset);
	*octets = area + head;
	/* Most messages are one block, read whole: one call to the kernel. */
	if (len == p->size && len <= SPOOL_BLOCK)
		return spool_read(fd, area, head + len, p->at, err) == -1
		           ? -1
		           : spool_frame_check(p, area, octets, err);
	if (spool_read(fd, area, head, p->at, err) == -1 ||
	    check_head(area, p, err) == -1)
		return -1;
	for (size_t i = (size_t)(offset / SPOOL_BLOCK);
	     (uint64_t)i * SPOOL_BLOCK < offset + len; i++)
		if (read_some(fd, p, area, i, offset, offset + len, *octets,
		        err) == -1)
			return -1;
	return 0;
}

int
spool_frame_copy(int from, const struct spool_place *p, uint8_t *head, int to,
    uint64_t at, bool *unread, struct err *err)
{
	size_t head_len = spool_frame_head(p->size);
	uint8_t *block = xmalloc(SPOOL_BLOCK);
	int result = -1;

	*unread = true;
	if (spool_read(from, head, head_len, p->at, err) == -1 ||
	    check_head(head, p, err) == -1)
		goto out;
	for (size_t i = 0; i < blocks(p->size); i++) {
		uint64_t start = head_len + (uint64_t)i * SPOOL_BLOCK;
		size_t len = block_len(p->size, i);

		if (spool_read(from, block, len, p->at + start, err) == -1 ||
		    check_block(head, i, block, len, err) == -1)
			goto out;
		if (spool_write(to, block, len, at + start, err) == -1) {
			*unread = false;
			goto out;
		}
	}
	*unread = false;
	result = 0;
out:
	free(block);
	return result;
}

static uint32_t
cache_crc(const struct cache_head *h, struct slice octets)
{
	return hash_crc32c(hash_crc32c(0, &h->uid, 12), octets.ptr, octets.len);
}

void
spool_cache_make(uint8_t head[SPOOL_CACHE_HEAD], uint32_t uid,
    struct slice octets)
{
	struct cache_head h = { .uid = uid, .len = (uint32_t)octets.len };

	_Static_assert(sizeof h == SPOOL_CACHE_HEAD, "as on disk");
	h.crc = cache_crc(&h, octets);
	memcpy(head, &h, sizeof h);
}

size_t
spool_cache_check(const struct spool_place *p, const uint8_t *area)
{
	struct cache_head h;

	memcpy(&h, area, sizeof h);
	if (h.uid != p->uid || h.len != p->cache_len ||
	    h.crc !=
	        cache_crc(&h, slice_of(area + SPOOL_CACHE_HEAD, p->cache_len)))
		return 0;
	return p->cache_len;
}

size_t
spool_cache_read(int fd, const struct spool_place *p, uint8_t *area)
{
	struct err err;

	/* Whatever is wrong with it: there is none, and it is made again. */
	if (spool_read(fd, area, SPOOL_CACHE_HEAD + p->cache_len, p->cache_at,
	        &err) == -1)
		return 0;
	return spool_cache_check(p, area);
}
