#include <fcntl.h>
#include <unistd.h>

#include "t/store_damage.h"
#include "t/store_help.h"

enum {
	MESSAGES = 5, /* the third is expunged, and the sixth too */
	ALL = 6,
	SIZE = 70
};

static bool was_damaged, gone_known;
static unsigned unreadable; /* messages, of those the last look saw */

/* ---- a mailbox ---- */

static void
fill(struct rig *r, struct store_mailbox *mb)
{
	struct store_append a[ALL] = { 0 };

	for (uint32_t i = 0; i < ALL; i++) {
		a[i].octets = slice_of(octets_new(i + 1, SIZE), SIZE);
		a[i].flags = i % 2 ? 0 : STORE_SEEN;
		a[i].keywords[0] = i;
		a[i].internaldate = 1001 + i;
		a[i].cache = slice_str("cached");
	}
	MUST(rig_append(r, mb, a, ALL) == NULL);
	for (uint32_t i = 0; i < ALL; i++)
		free((void *)(uintptr_t)a[i].octets.ptr);
}

void
damage_make(struct rig *r, const char *id, damage_between *between)
{
	static const uint32_t sixth[] = { 6 }, third[] = { 3 };
	struct store_mailbox *mb;

	MUST(rig_create(r, id, "its meta") == NULL);
	mb = rig_open(r, id);
	store_keyword_add(mb, slice_str("Junk"));
	store_keyword_add(mb, slice_str("Work"));
	store_keyword_add(mb, slice_str("Home"));
	fill(r, mb);
	MUST(rig_expunge(r, mb, sixth, 1) == NULL);
	store_close(&mb);
	if (between != NULL)
		between(r, false);
	mb = rig_open(r, id);
	if (between != NULL)
		between(r, true);
	MUST(rig_expunge(r, mb, third, 1) == NULL);
	store_close(&mb);
	/* A look at what others do may still have it: then it would not be
	 * read again. */
	rig_idle(r);
}

/* ---- what is served of it ---- */

static void
hear(void *arg, const struct store_news *news)
{
	(void)arg;
	was_damaged |= news->damaged;
}

static void
on_gone(void *arg, const struct store_gone *gone, size_t n, const char *why)
{
	gone_known =
	    why == NULL && n >= 2 && gone[0].uid == 3 && gone[1].uid == 6;
	for (size_t i = 0; i < n; i++)
		gone_known &= gone[i].uid > 5 || gone[i].uid == 3;
	rig_cb(arg, why);
}

/* The octets of the message, or none. */
static bool
is_read(struct rig *r, struct store_mailbox *mb, uint32_t uid)
{
	struct store_part p = { .uid = uid, .len = UINT64_MAX };
	struct store_part c = { .uid = uid, .what = STORE_CACHE };
	bool right;

	rig_read(r, mb, &p);
	unreadable += p.why != NULL;
	right = p.why != NULL ? p.octets.len == 0
	                      : p.octets.len == SIZE &&
	                            hash_crc32c(0, p.octets.ptr, SIZE) ==
	                                octets_crc(uid, SIZE);
	store_chunk_free(&r->chunk);
	rig_read(r, mb, &c);
	right &= c.octets.len == 0 || slice_is(c.octets, "cached");
	store_chunk_free(&r->chunk);
	return right;
}

/* Bits as damage_make() added their names, if there are names. */
static uint64_t
keywords_of(const struct store_mailbox *mb, const struct store_msg *m)
{
	static const char *const names[] = { "Junk", "Work", "Home" };
	uint64_t keywords = 0;

	for (size_t i = 0; i < NITEMS(names); i++) {
		int bit = store_keyword_find(mb, slice_str(names[i]));

		if (bit != -1)
			keywords |= (m->keywords[0] >> bit & 1) << i;
	}
	return keywords;
}

static bool
has_message(struct store_mailbox *mb, uint32_t i)
{
	const struct store_msg *m = store_at(mb, i);
	uint32_t uid = i < 2 ? i + 1 : i + 2;

	return m->uid == uid && m->internaldate == 1000 + uid &&
	       m->flags == (uid % 2 ? STORE_SEEN : 0) && m->size == SIZE &&
	       (keywords_of(mb, m) == uid - 1 ||
	           (m->keywords[0] == 0 && store_keywords(mb) == 0));
}

static bool
is_whole(struct rig *r, struct store_mailbox *mb)
{
	bool whole = store_numbers(mb)->exists == MESSAGES - 1 &&
	             store_numbers(mb)->uidvalidity == 77 &&
	             store_numbers(mb)->uidnext >= 7 &&
	             store_numbers(mb)->unseen == 2 &&
	             store_numbers(mb)->size == (MESSAGES - 1) * SIZE;

	unreadable = 0;
	for (uint32_t i = 0; whole && i < MESSAGES - 1; i++)
		whole =
		    has_message(mb, i) && is_read(r, mb, store_at(mb, i)->uid);
	rig_ask(r);
	store_expunged(mb, 0, on_gone, r);
	rig_wait(r);
	return whole && gone_known;
}

/* One turn, in which it may be said that what was served is not right. */
static void
listen(struct rig *r, struct store_mailbox *mb)
{
	rig_ask(r);
	store_sync(mb, rig_cb, r);
	(void)rig_wait(r);
}

/* As a session sees it; then as the next one does. */
static bool
is_safe(struct rig *r, const char *id)
{
	struct store_mailbox *mb = rig_open(r, id);
	bool safe;

	if (mb == NULL)
		return false;
	was_damaged = false;
	store_observe(mb, hear, NULL);
	safe = is_whole(r, mb);
	listen(r, mb);
	store_close(&mb);
	if (!was_damaged)
		return safe;
	mb = rig_open(r, id);
	safe = mb != NULL && is_whole(r, mb);
	if (mb != NULL)
		listen(r, mb);
	store_close(&mb);
	return safe;
}

bool
damage_is_safe(struct rig *r, const char *id, unsigned *bad)
{
	bool safe = is_safe(r, id);

	*bad = unreadable;
	return safe;
}

void
damage_file(const char *path, enum damage_kind kind, off_t at)
{
	uint8_t c;
	int fd;

	if (kind == DAMAGE_LOST)
		MUST(unlink(path) == 0);
	if (kind == DAMAGE_CUT)
		MUST(truncate(path, at) == 0);
	if (kind == DAMAGE_LOST || kind == DAMAGE_CUT)
		return;
	fd = open(path, O_RDWR);
	MUST(fd != -1 && pread(fd, &c, 1, at) == 1);
	c ^= kind == DAMAGE_BIT ? 0x10 : 0x01;
	MUST(pwrite(fd, &c, 1, at) == 1);
	close(fd);
}
