/*
 * spool_damage: each file of a mailbox with a wrong octet, at each place; cut
 * at each place; and gone.
 *
 * The law: what is served is what was stored, or it is said that it cannot be;
 * and when the mailbox is opened again all is there that anything is left of.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "t/crash.h"
#include "t/spool_help.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	MESSAGES = 5, /* the third is expunged, and the sixth too */
	ALL = 6,
	SIZE = 70
};

static struct rig rig;
static char dir[64];
static bool was_damaged, gone_known;
static unsigned unreadable; /* messages, of those the last look saw */

/* ---- a mailbox ---- */

static void
fill(struct store_mailbox *mb)
{
	struct store_append a[ALL] = { 0 };

	for (uint32_t i = 0; i < ALL; i++) {
		a[i].octets = slice_of(octets_new(i + 1, SIZE), SIZE);
		a[i].flags = i % 2 ? 0 : STORE_SEEN;
		a[i].keywords[0] = i;
		a[i].internaldate = 1001 + i;
		a[i].cache = slice_str("cached");
	}
	MUST(rig_append(&rig, mb, a, ALL) == NULL);
	for (uint32_t i = 0; i < ALL; i++)
		free((void *)(uintptr_t)a[i].octets.ptr);
}

static void
make_box(const char *id)
{
	static const uint32_t sixth[] = { 6 }, third[] = { 3 };
	struct store_mailbox *mb;

	MUST(rig_create(&rig, id, "its meta") == NULL);
	mb = rig_open(&rig, id);
	store_keyword_add(mb, slice_str("Junk"));
	store_keyword_add(mb, slice_str("Work"));
	store_keyword_add(mb, slice_str("Home"));
	fill(mb);
	MUST(rig_expunge(&rig, mb, sixth, 1) == NULL);
	store_close(&mb);
	/* The sixth goes to the file of what has gone. */
	spool_of(rig.store)->compact_dead = 1;
	spool_of(rig.store)->env.key_days = 0;
	mb = rig_open(&rig, id);
	spool_of(rig.store)->compact_dead = 1000;
	MUST(rig_expunge(&rig, mb, third, 1) == NULL);
	store_close(&mb);
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
is_read(struct store_mailbox *mb, uint32_t uid)
{
	struct store_part p = { .uid = uid, .len = UINT64_MAX };
	struct store_part c = { .uid = uid, .what = STORE_CACHE };
	bool right;

	rig_read(&rig, mb, &p);
	unreadable += p.why != NULL;
	right = p.why != NULL ? p.octets.len == 0
	                      : p.octets.len == SIZE &&
	                            hash_crc32c(0, p.octets.ptr, SIZE) ==
	                                octets_crc(uid, SIZE);
	store_chunk_free(&rig.chunk);
	rig_read(&rig, mb, &c);
	right &= c.octets.len == 0 || slice_is(c.octets, "cached");
	store_chunk_free(&rig.chunk);
	return right;
}

static bool
has_message(struct store_mailbox *mb, uint32_t i)
{
	const struct store_msg *m = store_at(mb, i);
	uint32_t uid = i < 2 ? i + 1 : i + 2;

	return m->uid == uid && m->internaldate == 1000 + uid &&
	       m->flags == (uid % 2 ? STORE_SEEN : 0) && m->size == SIZE &&
	       (m->keywords[0] == uid - 1 ||
	           (m->keywords[0] == 0 && store_keywords(mb) == 0));
}

static bool
is_whole(struct store_mailbox *mb)
{
	bool whole = store_numbers(mb)->exists == MESSAGES - 1 &&
	             store_numbers(mb)->uidvalidity == 77 &&
	             store_numbers(mb)->uidnext >= 7 &&
	             store_numbers(mb)->unseen == 2 &&
	             store_numbers(mb)->size == (MESSAGES - 1) * SIZE;

	unreadable = 0;
	for (uint32_t i = 0; whole && i < MESSAGES - 1; i++)
		whole = has_message(mb, i) && is_read(mb, store_at(mb, i)->uid);
	rig_ask(&rig);
	store_expunged(mb, 0, on_gone, &rig);
	rig_wait(&rig);
	return whole && gone_known;
}

/* One turn, in which it may be said that what was served is not right. */
static void
listen(struct store_mailbox *mb)
{
	rig_ask(&rig);
	store_sync(mb, rig_cb, &rig);
	(void)rig_wait(&rig);
}

/* As a session sees it; then as the next one does. */
static bool
is_safe(const char *id)
{
	struct store_mailbox *mb = rig_open(&rig, id);
	bool safe;

	if (mb == NULL)
		return false;
	was_damaged = false;
	store_observe(mb, hear, NULL);
	safe = is_whole(mb);
	listen(mb);
	store_close(&mb);
	if (!was_damaged)
		return safe;
	mb = rig_open(&rig, id);
	safe = mb != NULL && is_whole(mb);
	if (mb != NULL)
		listen(mb);
	store_close(&mb);
	return safe;
}

/* ---- every octet ---- */

static off_t
size_of(enum spool_file file)
{
	char path[SPOOL_FILE_ROOM];
	struct stat st;

	spool_file(path, dir, "first", file);
	MUST(stat(path, &st) == 0);
	return st.st_size;
}

static void
cut(const char *id, enum spool_file file, off_t at)
{
	char path[SPOOL_FILE_ROOM];

	spool_file(path, dir, id, file);
	MUST(truncate(path, at) == 0);
}

/* How many messages may be said to be unreadable: of data. */
static void
test_octets(enum spool_file file, const char *name, bool truncated,
    unsigned most)
{
	off_t size = size_of(file), step = truncated ? 3 : 1;
	unsigned bad = 0, n = 0;
	char id[40];

	for (off_t at = 0; at < size; at += step) {
		snprintf(id, sizeof id, "%s-%d-%ld", name, truncated, (long)at);
		make_box(id);
		if (truncated)
			cut(id, file, at);
		else
			spool_flip(dir, id, file, at);
		n++;
		if (is_safe(id) && unreadable <= most)
			continue;
		if (bad++ < 5)
			printf("# octet %ld, %u unreadable\n", (long)at,
			    unreadable);
	}
	ok(bad == 0 && n > 5, "%s: %s at any of %u octets", name,
	    truncated ? "cut" : "wrong", n);
}

static void
test_files(void)
{
	make_box("first");
	test_octets(SPOOL_INDEX, "index", false, 0);
	test_octets(SPOOL_NAMES, "names", false, 0);
	test_octets(SPOOL_EXPUNGED, "expunged", false, 0);
	test_octets(SPOOL_CACHE, "cache", false, 0);
	test_octets(SPOOL_DATA, "data", false, 1);
	test_octets(SPOOL_NAMES, "names", true, 0);
	test_octets(SPOOL_EXPUNGED, "expunged", true, 0);
	test_octets(SPOOL_CACHE, "cache", true, 0);
	test_octets(SPOOL_DATA, "data", true, MESSAGES - 1);
}

/* ---- killed while it is made anew ---- */

static void
prepare(void)
{
	struct err err;

	MUST(rig_start(&rig, &spool_module, dir) == 0);
	make_box("killed");
	MUST(checkpoint_now(spool_of(rig.store), &err) == 0);
	_exit(0);
}

/* Opens it, and dies at the nth call; false: there were fewer. */
static bool
dies_at(int n)
{
	struct crash_child child;

	if (crash_fork(&child)) {
		crash_arm(n, 0);
		MUST(rig_start(&rig, &spool_module, dir) == 0);
		(void)rig_open(&rig, "killed");
		_exit(0);
	}
	return crash_wait(&child);
}

/* Damaged anew for each call: a fresh mailbox, once more. */
static void
test_kills(void)
{
	struct crash_child child;
	unsigned bad = 0, n = 0;
	bool died = true;

	for (int at = 1; died; at++) {
		tempdir_remove(dir);
		MUST(mkdir(dir, 0700) == 0);
		if (crash_fork(&child))
			prepare();
		MUST(!crash_wait(&child));
		spool_flip(dir, "killed", SPOOL_INDEX, 40);
		died = dies_at(at);
		MUST(rig_start(&rig, &spool_module, dir) == 0);
		if (!is_safe("killed")) {
			bad++;
			printf("# killed at call %d\n", at);
		}
		rig_stop(&rig);
		n++;
	}
	ok(bad == 0 && n > 8, "made anew, though killed at any of %u calls",
	    n - 1);
}

int
main(void)
{
	char quiet[80], other[64];

	tempdir_make(dir);
	tempdir_make(other);
	snprintf(quiet, sizeof quiet, "%s/stderr", other);
	crash_quiet(quiet);
	MUST(rig_start(&rig, &spool_module, dir) == 0);
	test_files();
	rig_stop(&rig);
	test_kills();
	crash_loud();
	tempdir_remove(dir);
	tempdir_remove(other);
	return done_testing();
}
