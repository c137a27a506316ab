/*
 * How the spool takes care of what it has: octets of no use go, what was
 * expunged comes back, what is damaged is found and made anew, and a full disk
 * is not filled.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/ascii.h"
#include "t/spool_help.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	SIZE = 3000, /* of a message */
	WAIT_MS = 60000
};

static struct rig rig;
static char dir[64];

static struct spool *
sp(void)
{
	return spool_of(rig.store);
}

static void
fill(struct store_mailbox *mb, uint32_t n)
{
	struct store_append *a = xcalloc(n, sizeof *a);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t uid = store_numbers(mb)->uidnext + i;

		a[i].octets = slice_of(octets_new(uid, SIZE), SIZE);
		a[i].flags = uid % 2 ? STORE_SEEN : 0;
		a[i].internaldate = 1000 + uid;
	}
	MUST(rig_append(&rig, mb, a, n) == NULL);
	for (uint32_t i = 0; i < n; i++)
		free((void *)(uintptr_t)a[i].octets.ptr);
	free(a);
}

/* first, first + step and so on up to last */
static void
expunge(struct store_mailbox *mb, uint32_t first, uint32_t last, uint32_t step)
{
	uint32_t *uids = xcalloc(last, sizeof *uids);
	size_t n = 0;

	for (uint32_t uid = first; uid <= last; uid += step)
		uids[n++] = uid;
	MUST(rig_expunge(&rig, mb, uids, n) == NULL);
	free(uids);
}

/* Are all that it has what fill() has made?  how: that many. */
static bool
is_right(struct store_mailbox *mb, uint32_t exists)
{
	bool right = store_numbers(mb)->exists == exists;

	for (uint32_t i = 0; i < exists && right; i++) {
		uint32_t uid = store_at(mb, i)->uid;
		struct store_part p = { .uid = uid, .len = UINT64_MAX };

		rig_read(&rig, mb, &p);
		right = p.why == NULL && p.octets.len == SIZE &&
		        hash_crc32c(0, p.octets.ptr, p.octets.len) ==
		            octets_crc(uid, SIZE);
		store_chunk_free(&rig.chunk);
	}
	return right;
}

static uint64_t
data_octets(const char *id)
{
	struct scan_file *files;
	uint64_t sum = 0;
	struct err err;
	size_t n;

	MUST(scan_files(sp()->dirfd, id, &files, &n, &err) == 0);
	for (size_t i = 0; i < n; i++)
		sum += files[i].size;
	free(files);
	return sum;
}

static void
turn_for(int64_t ms)
{
	struct timer *t = timer_new(rig.loop, rig_poll, rig.loop);

	timer_set(t, ms);
	loop_run(rig.loop);
	timer_free(&t);
}

static void
turn(void)
{
	turn_for(1);
}

/* Turns the loop until the files are no longer than that. */
static bool
shrinks_to(const char *id, uint64_t octets)
{
	for (int i = 0; data_octets(id) > octets && i < WAIT_MS; i++)
		turn();
	return data_octets(id) <= octets;
}

static void
set_options(int64_t hold_seconds, unsigned percent, uint64_t reserve)
{
	struct store_options o = { .hold_seconds = hold_seconds,
		.compact_percent = percent,
		.reserve = reserve };

	store_configure(rig.store, &o);
	sp()->reclaim_min = 1;
	sp()->reclaim_again = 0;
}

static void
test_reclaim(void)
{
	uint64_t frame = spool_frame_room(SIZE);
	struct store_mailbox *mb;

	set_options(0, 30, 0);
	rig_create(&rig, "reclaim", "");
	mb = rig_open(&rig, "reclaim");
	fill(mb, 100);
	expunge(mb, 1, 20, 1);
	ok(data_octets("reclaim") > 99 * frame,
	    "a fifth of no use is left alone");
	expunge(mb, 21, 100, 2);
	ok(shrinks_to("reclaim", 40 * frame), "what is of no use goes");
	ok(is_right(mb, 40), "and the rest is there");
	ok(store_counts(rig.store)->freed_octets > 99 * frame,
	    "freed octets are counted");
	fill(mb, 10);
	ok(is_right(mb, 50), "messages are added");
	store_close(&mb);
	rig_stop(&rig);
	MUST(rig_start(&rig, &spool_module, dir) == 0);
	mb = rig_open(&rig, "reclaim");
	ok(is_right(mb, 50) && data_octets("reclaim") < 51 * frame,
	    "the same after the log was replayed");
	set_options(0, 30, 0);
	expunge(mb, 21, 120, 1);
	ok(shrinks_to("reclaim", 0) && is_right(mb, 0), "all of it");
	store_close(&mb);
}

/* A read that was asked for before is answered from what has moved. */
static void
test_reclaim_readers(void)
{
	struct store_part p = { .uid = 50, .len = UINT64_MAX };
	struct store_append a = { .from_uid = 49 };
	struct store_mailbox *mb, *to;

	set_options(0, 0, 0);
	rig_create(&rig, "readers", "");
	rig_create(&rig, "readers2", "");
	mb = rig_open(&rig, "readers");
	to = rig_open(&rig, "readers2");
	fill(mb, 50);
	set_options(0, 30, 0);
	a.from = mb;
	rig_ask(&rig);
	rig_ask(&rig);
	rig_ask(&rig);
	store_expunge(mb, (uint32_t[]){ 1 }, 1, 0, rig_cb, &rig);
	for (uint32_t uid = 2; uid < 49; uid++) {
		rig_ask(&rig);
		store_expunge(mb, &uid, 1, 0, rig_cb, &rig);
	}
	store_append(to, &a, 1, rig_cb, &rig);
	store_read(mb, &p, 1, rig_read_cb, &rig);
	MUST(rig_wait(&rig) == NULL);
	ok(a.outcome == STORE_DONE && p.why == NULL, "readers go on");
	store_chunk_free(&rig.chunk);
	ok(shrinks_to("readers", 2 * spool_frame_room(SIZE)) && is_right(mb, 2),
	    "while octets are reclaimed");
	store_close(&mb);
	store_close(&to);
}

/* Wanted, and forbidden before it could begin. */
static void
test_reclaim_forbidden(void)
{
	struct store_mailbox *mb;

	set_options(0, 30, 0);
	rig_create(&rig, "forbidden", "");
	mb = rig_open(&rig, "forbidden");
	fill(mb, 10);
	expunge(mb, 1, 10, 1);
	set_options(0, 0, 0);
	turn_for(20);
	ok(data_octets("forbidden") > 0, "what is forbidden does not begin");
	store_close(&mb);
}

/* A file goes when those who wrote to it have left: then the index has it. */
static void
test_reclaim_writers(void)
{
	enum {
		LARGE = 100 * 1000
	};
	uint8_t *octets = octets_new(1, LARGE);
	struct store_append a = { .octets = slice_of(octets, LARGE) };
	struct store_mailbox *mb;
	struct epoch *e;
	unsigned side;

	set_options(0, 0, 0);
	rig_create(&rig, "writers", "");
	mb = rig_open(&rig, "writers");
	e = &spool_mailbox_of(mb)->epoch;
	side = e->now;
	rig_ask(&rig);
	store_append(mb, &a, 1, rig_cb, &rig);
	ok(e->here[side] > 0, "who writes a message is here");
	e->now = !side;
	while (e->here[side] > 0)
		turn_for(0);
	ok(store_numbers(mb)->exists == 1, "and leaves when it is there");
	MUST(rig_wait(&rig) == NULL);
	free(octets);
	store_close(&mb);
}

/* Replayed, the end of a file is not the end of what came after it. */
static void
test_reclaim_number(void)
{
	struct store_mailbox *mb;
	uint32_t no;

	set_options(0, 30, 0);
	rig_create(&rig, "number", "");
	mb = rig_open(&rig, "number");
	fill(mb, 10);
	no = spool_mailbox_of(mb)->data_no;
	expunge(mb, 1, 10, 1);
	while (data_octets("number") > 0)
		turn_for(0);
	ok(spool_mailbox_of(mb)->now.data_no > no,
	    "a file that has gone does not come back by its number");
	store_close(&mb);
}

/* However many are being opened, one after another. */
static void
test_checkpoint_due(void)
{
	uint64_t records = sp()->checkpoint_records;
	uint64_t before = sp()->checkpointed;
	struct store_mailbox *mb;

	rig_create(&rig, "due", "");
	rig_ask(&rig);
	store_open(rig.store, "due", rig_open_cb, &rig);
	ok(sp()->compacting == 1, "who opens may compact");
	sp()->checkpoint_records = 1; /* by now there are more */
	MUST(rig_wait(&rig) == NULL);
	ok(sp()->checkpointing || sp()->checkpointed > before,
	    "then a checkpoint that is due begins");
	while (sp()->checkpointing)
		turn();
	mb = rig.opened;
	store_close(&mb);
	sp()->checkpoint_records = 0; /* it is always due */
	rig_ask(&rig);
	store_open(rig.store, "due", rig_open_cb, &rig);
	ok(sp()->compacting == 0, "who opens does not hold it up");
	sp()->checkpoint_records = records;
	MUST(rig_wait(&rig) == NULL);
	mb = rig.opened;
	store_close(&mb);
}

struct held {
	size_t n;
	struct store_held list[8];
};

static struct held held;

static void
on_held(void *arg, const struct store_held *list, size_t n, const char *why)
{
	held.n = n < NITEMS(held.list) ? n : NITEMS(held.list);
	if (n > 0)
		memcpy(held.list, list, held.n * sizeof *list);
	held.n = n;
	rig_cb(arg, why);
}

static size_t
count_held(struct store_mailbox *mb)
{
	rig_ask(&rig);
	store_held(mb, on_held, &rig);
	MUST(rig_wait(&rig) == NULL);
	return held.n;
}

static void
undelete(struct store_mailbox *mb, struct store_append *a, uint32_t uid)
{
	*a = (struct store_append){ .from = mb,
		.from_uid = uid,
		.undelete = true };
	rig_ask(&rig);
	store_append(mb, a, 1, rig_cb, &rig);
}

static bool
is_one(const struct store_append *one, const struct store_append *other,
    uint32_t uid)
{
	return one->outcome == STORE_DONE && one->new_uid == uid &&
	       other->outcome == STORE_GONE;
}

static void
test_hold(void)
{
	uint64_t frame = spool_frame_room(SIZE);
	struct store_append a, b;
	struct store_mailbox *mb;
	struct store_part p = { .len = UINT64_MAX };

	set_options(3600, 30, 0);
	rig_create(&rig, "hold", "");
	mb = rig_open(&rig, "hold");
	fill(mb, 10);
	expunge(mb, 3, 8, 1);
	ok(count_held(mb) == 6 && held.list[0].uid == 3 &&
	        held.list[0].flags == STORE_SEEN &&
	        held.list[0].internaldate == 1003 &&
	        held.list[0].size == SIZE && held.list[5].uid == 8,
	    "what was expunged is held");
	undelete(mb, &a, 4);
	undelete(mb, &b, 4);
	/* Two jobs: the second may be the first to be done. */
	ok(rig_wait(&rig) == NULL && is_one(&a, &b, 11) != is_one(&b, &a, 11),
	    "and brought back, once");
	p.uid = 11;
	rig_read(&rig, mb, &p);
	ok(p.why == NULL &&
	        hash_crc32c(0, p.octets.ptr, p.octets.len) ==
	            octets_crc(4, SIZE) &&
	        store_find(mb, 11)->internaldate == 1004,
	    "octet for octet");
	store_chunk_free(&rig.chunk);
	undelete(mb, &a, 1);
	rig_wait(&rig);
	ok(a.outcome == STORE_GONE, "what was not expunged is not");
	undelete(mb, &a, 5);
	undelete(mb, &b, 6);
	rig_wait(&rig);
	ok(count_held(mb) == 3, "the rest is still held");
	store_close(&mb);
	sp()->compact_dead = 2;
	mb = rig_open(&rig, "hold");
	ok(count_held(mb) == 3 && spool_mailbox_of(mb)->now.nexpunged == 3,
	    "slots that are held are not compacted");
	sp()->compact_dead = 256;
	ok(data_octets("hold") > 10 * frame, "nor are octets");
	set_options(0, 30, 0);
	expunge(mb, 1, 1, 1);
	ok(count_held(mb) == 0, "nothing is held if it is not wanted");
	store_close(&mb);
}

/* Held octets move with the rest, and are found where they are then. */
static void
test_hold_moves(void)
{
	struct store_mailbox *mb;
	struct store_append a;

	set_options(0, 0, 0);
	rig_create(&rig, "hold2", "");
	mb = rig_open(&rig, "hold2");
	fill(mb, 20);
	expunge(mb, 1, 15, 1);
	set_options(3600, 0, 0);
	expunge(mb, 16, 16, 1);
	set_options(3600, 30, 0);
	expunge(mb, 17, 17, 1);
	ok(shrinks_to("hold2", 5 * spool_frame_room(SIZE)) && is_right(mb, 3),
	    "octets before those that are held go");
	ok(count_held(mb) == 2, "which are held still");
	undelete(mb, &a, 16);
	ok(rig_wait(&rig) == NULL && a.outcome == STORE_DONE,
	    "and can be brought back");
	store_close(&mb);
}

/* ---- damage ---- */

/* What every message of the mailbox is then: as before. */
static bool
is_whole(struct store_mailbox *mb)
{
	bool whole = is_right(mb, 4);

	for (uint32_t i = 0; whole && i < 4; i++) {
		const struct store_msg *m = store_at(mb, i);
		uint32_t uid = i < 2 ? i + 1 : i + 2;

		whole = m->uid == uid && m->internaldate == 1000 + uid &&
		        m->flags == (uid % 2 ? STORE_SEEN : 0);
	}
	return whole && store_numbers(mb)->uidvalidity == 77 &&
	       store_numbers(mb)->uidnext >= 6 &&
	       store_numbers(mb)->unseen == 2;
}

/* Five messages, the third expunged. */
static void
make_box(const char *id)
{
	struct store_mailbox *mb;

	set_options(0, 0, 0);
	rig_create(&rig, id, "its meta");
	mb = rig_open(&rig, id);
	fill(mb, 5);
	expunge(mb, 3, 3, 1);
	store_close(&mb);
}

static void
test_gone_files(void)
{
	uint64_t lost;
	static const struct {
		enum spool_file file;
		const char *name;
	} files[] = { { SPOOL_INDEX, "index" }, { SPOOL_NAMES, "names" },
		{ SPOOL_CACHE, "cache" } };
	char path[SPOOL_FILE_ROOM];
	struct store_mailbox *mb;

	for (size_t i = 0; i < NITEMS(files); i++) {
		char id[16];

		snprintf(id, sizeof id, "gone-%zu", i);
		make_box(id);
		spool_file(path, dir, id, files[i].file);
		(void)unlink(path);
		mb = rig_open(&rig, id);
		/* Without an index nobody knows that the third has gone. */
		if (files[i].file == SPOOL_INDEX)
			ok(mb != NULL && is_right(mb, 5) &&
			        store_numbers(mb)->uidvalidity == 77,
			    "a mailbox without index");
		else
			ok(mb != NULL && is_whole(mb), "a mailbox without %s",
			    files[i].name);
		store_close(&mb);
	}
	lost = store_counts(rig.store)->names_lost;
	make_box("names");
	spool_flip(dir, "names", SPOOL_NAMES, 3);
	mb = rig_open(&rig, "names");
	ok(mb != NULL && slice_is(store_meta(mb), "its meta"),
	    "names are there twice");
	store_close(&mb);
	for (off_t at = 0; at < 4096; at++)
		spool_flip(dir, "names", SPOOL_NAMES, at);
	mb = rig_open(&rig, "names");
	ok(mb != NULL && slice_is(store_meta(mb), "its meta") &&
	        store_counts(rig.store)->names_lost == lost,
	    "in two blocks of the disk");
	store_close(&mb);
	spool_flip(dir, "names", SPOOL_NAMES, 4096 + 3);
	mb = rig_open(&rig, "names");
	ok(mb != NULL && is_whole(mb) &&
	        store_counts(rig.store)->names_lost == lost + 1,
	    "and if both are damaged that is told");
	store_close(&mb);
}

static void
test_gone_data(void)
{
	char path[SPOOL_FILE_ROOM];
	struct store_part p = { .uid = 1, .len = UINT64_MAX };
	uint64_t before = store_counts(rig.store)->damaged_messages;
	struct store_mailbox *mb;

	make_box("nodata");
	spool_file(path, dir, "nodata", SPOOL_DATA);
	MUST(unlink(path) == 0);
	mb = rig_open(&rig, "nodata");
	fill(mb, 1);
	rig_read(&rig, mb, &p);
	ok(p.why != NULL && p.octets.len == 0 &&
	        store_counts(rig.store)->damaged_messages == before + 1,
	    "a message without octets is said to be damaged, and counted");
	store_chunk_free(&rig.chunk);
	p.uid = 6;
	rig_read(&rig, mb, &p);
	ok(p.why == NULL && p.octets.len == SIZE, "others are read");
	store_chunk_free(&rig.chunk);
	store_close(&mb);
}

/* It stays where it is, and its file with it. */
static void
test_reclaim_damaged(void)
{
	uint64_t frame = spool_frame_room(SIZE);
	struct store_part p = { .uid = 5, .len = UINT64_MAX };
	struct store_mailbox *mb;

	set_options(0, 0, 0);
	rig_create(&rig, "stuck", "");
	mb = rig_open(&rig, "stuck");
	fill(mb, 10);
	spool_flip(dir, "stuck", SPOOL_DATA, (off_t)(4 * frame + frame / 2));
	set_options(0, 30, 0);
	expunge(mb, 1, 4, 1);
	while (spool_mailbox_of(mb)->now.reclaim_after == 0)
		turn();
	rig_read(&rig, mb, &p);
	ok(p.why != NULL, "a damaged message stays so");
	store_chunk_free(&rig.chunk);
	spool_flip(dir, "stuck", SPOOL_DATA, (off_t)(4 * frame + frame / 2));
	ok(is_right(mb, 6), "and nothing else is");
	store_close(&mb);
}

static bool was_damaged;

static void
hear(void *arg, const struct store_news *news)
{
	(void)arg;
	was_damaged |= news->damaged;
}

/*
 * Pages of a file that was cut cannot be read, as those of a bad disk: neither
 * for a reader nor for a writer is that the end of the process.
 */
static void
test_lost_pages(void)
{
	struct store_mailbox *mb, *other;
	char path[SPOOL_FILE_ROOM];

	set_options(0, 0, 0);
	rig_create(&rig, "whole", "");
	other = rig_open(&rig, "whole");
	fill(other, 1);
	rig_create(&rig, "pages", "");
	mb = rig_open(&rig, "pages");
	fill(mb, 300);
	store_observe(mb, hear, NULL);
	spool_file(path, dir, "pages", SPOOL_INDEX);
	MUST(truncate(path, 4096) == 0);
	(void)store_at(mb, 200)->uid;
	ok(is_right(other, 1), "a page that cannot be read is not the end");
	ok(rig_expunge(&rig, mb, (uint32_t[]){ 7 }, 1) != NULL && was_damaged,
	    "its mailbox takes no changes");
	store_close(&mb);
	mb = rig_open(&rig, "pages");
	ok(mb != NULL && is_right(mb, 300), "and is well when opened again");
	store_close(&mb);
	store_close(&other);
}

static void
test_full(void)
{
	struct store_append a = { .octets = slice_str("x") };
	struct store_mailbox *mb;

	set_options(0, 0, 0);
	rig_create(&rig, "full", "");
	mb = rig_open(&rig, "full");
	fill(mb, 3);
	ok(!store_is_full(rig.store), "there is room");
	set_options(0, 0, UINT64_MAX / 2);
	ok(store_is_full(rig.store) && store_trouble(rig.store) == NULL,
	    "none but the reserve");
	ok(rig_append(&rig, mb, &a, 1) != NULL &&
	        store_numbers(mb)->exists == 3,
	    "messages are refused");
	ok(rig_create(&rig, "full2", "") != NULL, "and mailboxes");
	expunge(mb, 1, 1, 1);
	ok(store_numbers(mb)->exists == 2, "an expunge is not");
	set_options(0, 0, 1);
	ok(rig_append(&rig, mb, &a, 1) == NULL,
	    "when there is room again all is well");
	store_close(&mb);
}

/* ---- the cache ---- */

enum {
	SUMMARY = 2000, /* octets of one */
	SUMMARIES = 40
};

static struct slice
summary_of(uint32_t uid, uint8_t version, uint8_t room[SUMMARY])
{
	memset(room, (int)(uid + version), SUMMARY);
	return slice_of(room, SUMMARY - (uid + version) % 8);
}

static void
put_summaries(struct store_mailbox *mb, uint8_t version)
{
	static uint8_t room[SUMMARIES][SUMMARY];
	struct store_record r[SUMMARIES];

	for (uint32_t i = 0; i < SUMMARIES; i++)
		r[i] = (struct store_record){ i + 1,
			summary_of(i + 1, version, room[i]) };
	rig_ask(&rig);
	store_put_cache(mb, r, SUMMARIES, rig_cb, &rig);
	MUST(rig_wait(&rig) == NULL);
}

/* How many summaries are there, and as they were put. */
static unsigned
count_summaries(struct store_mailbox *mb, uint8_t version)
{
	struct store_part p = { .what = STORE_CACHE };
	uint8_t room[SUMMARY];
	unsigned n = 0;

	for (uint32_t i = 0; i < store_numbers(mb)->exists; i++) {
		p.uid = store_at(mb, i)->uid;
		n += slice_equal(rig_read(&rig, mb, &p),
		    summary_of(p.uid, version, room));
	}
	return n;
}

static struct store_mailbox *
new_box(const char *id)
{
	struct store_mailbox *mb;

	rig_create(&rig, id, "");
	mb = rig_open(&rig, id);
	fill(mb, SUMMARIES);
	return mb;
}

static uint64_t
cache_octets(const char *id)
{
	char path[SPOOL_PATH];
	struct stat st;

	spool_path(path, id, SPOOL_CACHE, 0);
	return fstatat(sp()->dirfd, path, &st, 0) == 0 ? (uint64_t)st.st_size
	                                               : 0;
}

static void
flag(struct store_mailbox *mb, uint32_t uid)
{
	struct store_change c = { .uid = uid, .set = STORE_FLAGGED };

	MUST(rig_change(&rig, mb, &c, 1) == NULL);
}

/* Summaries that were put anew, and those of messages that have gone. */
static void
test_cache(void)
{
	const uint64_t all = SUMMARIES * SUMMARY;
	struct store_mailbox *mb = new_box("cache");

	sp()->cache_min = 1000;
	put_summaries(mb, 1);
	flag(mb, 1);
	store_close(&mb);
	mb = rig_open(&rig, "cache");
	ok(cache_octets("cache") >= all && count_summaries(mb, 1) == SUMMARIES,
	    "%u summaries", SUMMARIES);
	put_summaries(mb, 2);
	put_summaries(mb, 3);
	ok(cache_octets("cache") > 2 * all, "made anew, twice");
	flag(mb, 2);
	store_close(&mb);
	mb = rig_open(&rig, "cache");
	ok(cache_octets("cache") <= all + SUMMARIES * 32,
	    "when it is opened only the last are kept");
	ok(count_summaries(mb, 3) == SUMMARIES && is_right(mb, SUMMARIES),
	    "and all of those");
	expunge(mb, 1, 30, 1);
	store_close(&mb);
	mb = rig_open(&rig, "cache");
	ok(cache_octets("cache") <= all / 4 + SUMMARIES * 32,
	    "those of messages that have gone are not");
	ok(count_summaries(mb, 3) == 10, "the others are");
	store_close(&mb);
}

/* A cache that is lost, or damaged, is made again in the same place. */
static void
test_cache_lost(void)
{
	const char *id = "cache-lost";
	struct store_mailbox *mb = new_box(id);
	uint64_t octets;
	char path[SPOOL_PATH];

	put_summaries(mb, 1);
	octets = cache_octets(id);
	spool_path(path, id, SPOOL_CACHE, 0);
	MUST(unlinkat(sp()->dirfd, path, 0) == 0);
	ok(count_summaries(mb, 1) == 0, "a lost cache has nothing");
	put_summaries(mb, 1);
	ok(cache_octets(id) == octets && count_summaries(mb, 1) == SUMMARIES,
	    "what is put is where it was");
	put_summaries(mb, 1 + 8); /* as long */
	ok(cache_octets(id) == octets &&
	        count_summaries(mb, 1 + 8) == SUMMARIES,
	    "so is what is put over it");
	put_summaries(mb, 2);
	ok(cache_octets(id) > octets && count_summaries(mb, 2) == SUMMARIES,
	    "others go behind it");
	store_close(&mb);
	mb = rig_open(&rig, id);
	ok(count_summaries(mb, 2) == SUMMARIES && is_right(mb, SUMMARIES),
	    "all is there when it is opened again");
	store_close(&mb);
}

/* What is put after the last change is not written over. */
static void
test_cache_end(void)
{
	struct store_mailbox *mb = new_box("cache-end");
	struct store_record r = { 2, slice_str("one more") };

	put_summaries(mb, 1);
	store_close(&mb);
	mb = rig_open(&rig, "cache-end");
	rig_ask(&rig);
	store_put_cache(mb, &r, 1, rig_cb, &rig);
	MUST(rig_wait(&rig) == NULL);
	ok(count_summaries(mb, 1) == SUMMARIES - 1,
	    "summaries are put behind those that are there");
	store_close(&mb);
}

/* An index and a cache that a crash has left, of which one is new. */
static void
test_cache_torn(void)
{
	char path[SPOOL_PATH], keep[SPOOL_PATH + 8];
	struct store_mailbox *mb = new_box("torn");
	bool right = true;

	put_summaries(mb, 1);
	put_summaries(mb, 2);
	flag(mb, 1);
	spool_path(path, "torn", SPOOL_CACHE, 0);
	snprintf(keep, sizeof keep, "%s.old", path);
	MUST(linkat(sp()->dirfd, path, sp()->dirfd, keep, 0) == 0);
	store_close(&mb);
	mb = rig_open(&rig, "torn");
	MUST(count_summaries(mb, 2) == SUMMARIES);
	MUST(renameat(sp()->dirfd, keep, sp()->dirfd, path) == 0);
	for (uint32_t uid = 1; uid <= SUMMARIES; uid++) {
		struct store_part p = { .uid = uid, .what = STORE_CACHE };
		struct slice s = rig_read(&rig, mb, &p);
		uint8_t room[SUMMARY];

		right = right && (s.len == 0 ||
		                     slice_equal(s, summary_of(uid, 1, room)) ||
		                     slice_equal(s, summary_of(uid, 2, room)));
	}
	ok(right, "no record is taken for another");
	put_summaries(mb, 3);
	ok(count_summaries(mb, 3) == SUMMARIES, "and all can be made again");
	store_close(&mb);
}

/* What cannot be read and what cannot be written are not the same. */
static void
test_copy(void)
{
	struct spool_place p = { .size = 5, .uid = 1 };
	struct store_msg m = { .uid = 1, .size = p.size };
	uint8_t frame[256];
	size_t head = spool_frame_head(p.size);
	char path[SPOOL_FILE_ROOM];
	bool unread = true;
	struct err err;
	int fd, none;

	snprintf(path, sizeof path, "%s/frame", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	none = open(path, O_RDONLY);
	MUST(fd != -1 && none != -1);
	spool_frame_sum(frame, slice_str("12345"));
	spool_frame_seal(frame, &m, 1);
	MUST(pwrite(fd, frame, head, 0) == (ssize_t)head &&
	     pwrite(fd, "12345", 5, (off_t)head) == 5);
	ok(spool_frame_copy(fd, &p, frame, none, 512, &unread, &err) == -1 &&
	        !unread,
	    "a copy that cannot be written: %s", err.text);
	ok(spool_frame_copy(fd, &p, frame, fd, 512, &unread, &err) == 0 &&
	        !unread,
	    "one that can be");
	MUST(pwrite(fd, "6", 1, (off_t)head) == 1);
	ok(spool_frame_copy(fd, &p, frame, fd, 512, &unread, &err) == -1 &&
	        unread,
	    "one that cannot be read: %s", err.text);
	close(fd);
	close(none);
	unlink(path);
}

/* ---- frames that a sender has put into a message ---- */

enum {
	PLANTED = 24, /* octets of such a message */
	COPIES = 16   /* so that one is where a frame can be */
};

/* Octets that hold frames of another UIDVALIDITY, or with other nonsense. */
static void
plant(struct buf *b, const struct store_msg *m, uint32_t uidvalidity)
{
	uint8_t head[256];
	struct slice octets = slice_str("Subject: from nobody\r\n\r\n");

	MUST(octets.len == PLANTED && m->size == PLANTED);
	spool_frame_sum(head, octets);
	spool_frame_seal(head, m, uidvalidity);
	for (unsigned i = 0; i < COPIES; i++) {
		buf_put(b, head, spool_frame_head(PLANTED));
		buf_put_slice(b, octets);
		buf_putc(b, 'x');
	}
}

static void
write_zeros(const char *id, enum spool_file file, off_t at, size_t n)
{
	static const uint8_t zeros[1024];
	char path[SPOOL_FILE_ROOM];
	int fd;

	MUST(n <= sizeof zeros);
	spool_file(path, dir, id, file);
	fd = open(path, O_WRONLY);
	MUST(fd != -1 && pwrite(fd, zeros, n, at) == (ssize_t)n);
	close(fd);
}

/* A message, one with that in it, and another: the second loses its head. */
static void
make_planted(const char *id, struct buf *planted)
{
	struct store_append a = { .octets = buf_slice(planted) };
	struct store_mailbox *mb;
	const struct store_msg *m;
	struct err err;

	MUST(rig_create(&rig, id, "") == NULL);
	mb = rig_open(&rig, id);
	fill(mb, 1);
	MUST(rig_append(&rig, mb, &a, 1) == NULL);
	fill(mb, 1);
	m = store_at(mb, 1);
	MUST(m->place[1] == 0);
	write_zeros(id, SPOOL_DATA, (off_t)m->place[0], SPOOL_FRAME_MIN);
	store_close(&mb);
	rig_idle(&rig);
	MUST(checkpoint_now(sp(), &err) == 0);
}

static bool
is_unplanted(const char *id)
{
	struct store_mailbox *mb;
	bool good;

	store_distrust(rig.store, id);
	mb = rig_open(&rig, id);
	good = mb != NULL && is_right(mb, 2) &&
	       store_numbers(mb)->uidvalidity == 77 &&
	       store_numbers(mb)->uidnext < 10000 &&
	       store_numbers(mb)->highestmodseq < UINT64_MAX / 4;
	store_close(&mb);
	return good;
}

static void
test_planted(const char *what, struct store_msg m, uint32_t uidvalidity)
{
	char lost[40], slots[40];
	struct buf b;

	m.size = PLANTED;
	buf_init(&b, 64 * 1024);
	plant(&b, &m, uidvalidity);
	snprintf(lost, sizeof lost, "planted-%s-1", what);
	snprintf(slots, sizeof slots, "planted-%s-2", what);
	make_planted(lost, &b);
	write_zeros(lost, SPOOL_INDEX, 0, 4 * SPOOL_SLOT);
	ok(is_unplanted(lost), "%s: no message, when all is lost", what);
	make_planted(slots, &b);
	write_zeros(slots, SPOOL_INDEX, SPOOL_SLOT, 3 * SPOOL_SLOT);
	ok(is_unplanted(slots), "%s: nor when messages are", what);
	buf_fini(&b);
}

int
main(void)
{
	tempdir_make(dir);
	MUST(rig_start(&rig, &spool_module, dir) == 0);
	test_reclaim();
	test_reclaim_readers();
	test_reclaim_forbidden();
	test_reclaim_writers();
	test_reclaim_number();
	test_checkpoint_due();
	test_hold();
	test_hold_moves();
	test_gone_files();
	test_gone_data();
	test_reclaim_damaged();
	test_lost_pages();
	test_copy();
	test_cache();
	test_cache_lost();
	test_cache_end();
	test_cache_torn();
	test_planted("another", (struct store_msg){ .uid = 500 }, 78);
	test_planted("uid", (struct store_msg){ .uid = UINT32_MAX }, 77);
	test_planted("modseq",
	    (struct store_msg){ .uid = 500, .modseq = UINT64_MAX }, 77);
	test_full();
	rig_stop(&rig);
	tempdir_remove(dir);
	return done_testing();
}
