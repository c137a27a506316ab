/*
 * What the spool does with damaged files and with what is of no use any more;
 * what every store promises is asked in t/unit/store.c.
 */
#include <fcntl.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "t/spool_help.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

static struct rig rig;
static char dir[64];

static void
test_compact(void)
{
	struct store_append keyed = { .octets = slice_str("k"), .key = "k" };
	static const uint32_t some[] = { 1, 2, 4, 6 }, last[] = { 5, 7 };
	struct store_part p = { .uid = 5, .len = UINT64_MAX };
	struct store_mailbox *mb;
	struct spool_mailbox *box;

	rig_create(&rig, "compact", "");
	mb = rig_open(&rig, "compact");
	rig_append(&rig, mb, &keyed, 1);
	for (int i = 0; i < 5; i++)
		rig_append_text(&rig, mb, "stays", 0);
	rig_expunge(&rig, mb, some, 4);
	store_close(&mb);
	spool_of(rig.store)->compact_dead = 2;
	mb = rig_open(&rig, "compact");
	box = spool_mailbox_of(mb);
	ok(box->now.nslots == 3 && box->now.ndead == 1 &&
	        box->now.nexpunged == 3,
	    "slots of what has gone go, but for those with a key");
	ok(store_numbers(mb)->exists == 2 && store_at(mb, 1)->uid == 5 &&
	        slice_is(rig_read(&rig, mb, &p), "stays"),
	    "what is left is found");
	ok(rig_append(&rig, mb, &keyed, 1) == NULL &&
	        keyed.outcome == STORE_TAKEN,
	    "the key is remembered");
	rig_append_text(&rig, mb, "new", 0);
	rig_expunge(&rig, mb, last, 2);
	store_close(&mb);
	mb = rig_open(&rig, "compact");
	ok(spool_mailbox_of(mb)->now.nexpunged == 5, "and again");
	rig_ask(&rig);
	store_expunged(mb, 0, rig_gone_cb, &rig);
	ok(rig_wait(&rig) == NULL && rig.ngone == 6 && rig.gone[0].uid == 1 &&
	        rig.gone[0].modseq == 8 && rig.gone[4].uid == 6 &&
	        rig.gone[5].uid == 7 && rig.gone[5].modseq == 10,
	    "all that has gone is remembered");
	rig_ask(&rig);
	store_expunged(mb, 8, rig_gone_cb, &rig);
	rig_wait(&rig);
	ok(rig.ngone == 2, "since when");
	spool_of(rig.store)->compact_dead = 1000;
	store_close(&mb);
}

/* Whatever octet is wrong: nothing wrong is served. */
static int
lowest_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

static void
test_large(void)
{
	size_t n = STORE_INLINE_MAX + 1;
	uint8_t *octets = xcalloc(1, n);
	struct store_append items[3] = { { .octets = slice_of(octets, n) },
		{ .octets = slice_str("small") },
		{ .octets = slice_of(octets, n) } };
	struct store_mailbox *mb;
	int before;

	rig_create(&rig, "large", "");
	mb = rig_open(&rig, "large");
	rig_append_text(&rig, mb, "first", 0); /* its files stay open */
	rig_idle(&rig);
	before = lowest_descriptor();
	ok(rig_append(&rig, mb, items, 3) == NULL &&
	        store_numbers(mb)->size == 2 * n + 10,
	    "large messages are taken");
	rig_idle(&rig);
	ok(lowest_descriptor() == before, "...and hold no descriptors");
	store_close(&mb);
	free(octets);
}

/* How many are not what was put, in their order. */
static size_t
count_wrong(struct store_mailbox *mb, const struct store_append *items,
    uint32_t n)
{
	size_t wrong = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct store_part p = { .uid = i + 1, .len = UINT64_MAX };

		wrong +=
		    !slice_equal(rig_read(&rig, mb, &p), items[i].octets) ||
		    p.why != NULL;
	}
	store_chunk_free(&rig.chunk);
	return wrong;
}

/* More than one row of octets in the job, and one that ends in a new file. */
static void
test_many(void)
{
	enum {
		N = 100,
		LONG = 7001,
		LARGE = STORE_INLINE_MAX + 1
	};
	static const size_t sizes[] = { LONG, 0, 9, LARGE, 1 };
	struct spool *sp = spool_of(rig.store);
	struct store_append items[N] = { 0 }, copies[N] = { 0 };
	uint8_t *octets = xmalloc(LARGE + N);
	uint64_t usual = sp->inline_max;
	struct store_mailbox *mb, *other;

	rig_create(&rig, "many", "");
	rig_create(&rig, "copied", "");
	mb = rig_open(&rig, "many");
	other = rig_open(&rig, "copied");
	for (size_t i = 0; i < LARGE + N; i++)
		octets[i] = (uint8_t)(i % 251);
	for (uint32_t i = 0; i < N; i++) {
		items[i].octets =
		    slice_of(octets + i, sizes[i % NITEMS(sizes)]);
		copies[i].from = mb;
		copies[i].from_uid = i + 1;
	}
	spool_mailbox_of(mb)->data_end = SPOOL_DATA_MAX - LARGE;
	sp->inline_max = 10000;
	ok(rig_append(&rig, mb, items, N) == NULL, "many are taken at once");
	ok(rig_append(&rig, other, copies, N) == NULL, "and copied");
	sp->inline_max = usual;
	ok(count_wrong(mb, items, N) == 0 &&
	        spool_mailbox_of(mb)->now.data_no == 1,
	    "...and are what they were");
	ok(count_wrong(other, items, N) == 0, "so are the copies");
	store_close(&mb);
	store_close(&other);
	free(octets);
}

static void
test_damage(void)
{
	struct store_append a = { .octets = slice_str("damage me"),
		.cache = slice_str("cache") };
	struct store_part p = { .uid = 1, .len = UINT64_MAX };
	size_t n = spool_frame_head(9) + 9, found = 0;
	struct store_mailbox *mb;

	rig_create(&rig, "damage", "");
	mb = rig_open(&rig, "damage");
	rig_append(&rig, mb, &a, 1);
	for (size_t i = 0; i < n; i++) {
		spool_flip(dir, "damage", SPOOL_DATA, (off_t)i);
		found += rig_read(&rig, mb, &p).len == 0 && p.why != NULL;
		spool_flip(dir, "damage", SPOOL_DATA, (off_t)i);
	}
	ok(found == n, "a wrong octet of a frame is found");
	p.what = STORE_CACHE;
	found = 0;
	for (size_t i = 0; i < SPOOL_CACHE_HEAD + 5; i++) {
		spool_flip(dir, "damage", SPOOL_CACHE, (off_t)i);
		found += rig_read(&rig, mb, &p).len == 0 && p.why == NULL;
		spool_flip(dir, "damage", SPOOL_CACHE, (off_t)i);
	}
	ok(found == SPOOL_CACHE_HEAD + 5, "of the cache: there is none");
	store_chunk_free(&rig.chunk);
	store_close(&mb);
}

/* In the middle of others that are read with it: those are well. */
static void
test_damage_among(void)
{
	enum {
		N = 20,
		SIZE = 500
	};
	size_t room = (size_t)spool_frame_room(SIZE), cache = 16 + 40;
	uint8_t *octets = octets_new(9, SIZE);
	struct store_append a = { .octets = slice_of(octets, SIZE),
		.cache = slice_of(octets, 40) };
	struct store_part p[2 * N];
	struct store_mailbox *mb;
	unsigned right = 0;

	rig_create(&rig, "among", "");
	mb = rig_open(&rig, "among");
	for (unsigned i = 0; i < N; i++)
		rig_append(&rig, mb, &a, 1);
	spool_flip(dir, "among", SPOOL_DATA, (off_t)(7 * room + 300));
	spool_flip(dir, "among", SPOOL_CACHE, (off_t)(9 * cache + 20));
	for (unsigned i = 0; i < 2 * N; i++)
		p[i] = (struct store_part){ .uid = i % N + 1,
			.len = UINT64_MAX,
			.what = i < N ? STORE_OCTETS : STORE_CACHE };
	store_chunk_free(&rig.chunk);
	rig_ask(&rig);
	store_read(mb, p, 2 * N, rig_read_cb, &rig);
	rig_wait(&rig);
	for (unsigned i = 0; i < 2 * N; i++)
		right += p[i].why == NULL &&
		         slice_equal(p[i].octets, i < N ? a.octets : a.cache);
	ok(right == 2 * N - 2 && p[7].why != NULL && p[7].octets.len == 0 &&
	        p[N + 9].octets.len == 0,
	    "all but the damaged ones are right: %u", right);
	store_chunk_free(&rig.chunk);
	store_close(&mb);
	free(octets);
}

static void
make_eager(struct spool *sp)
{
	sp->compact_dead = 2;
	sp->dead_slots = 1;
	sp->reclaim_min = 1;
	sp->cache_min = 1;
	sp->reclaim_again = 0;
}

/*
 * What is kept of \Seen holds of every message; then what holds now is kept,
 * while changes are under way or not.
 */
static bool
seen_right(struct work *w, unsigned *kept)
{
	bool right = true;

	for (unsigned k = 0; k < MODEL_BOXES; k++) {
		struct store_mailbox *mb = w->box[k];
		uint32_t i = 0, exists;

		if (mb == NULL)
			continue;
		exists = store_numbers(mb)->exists;
		while (i < exists && (store_at(mb, i)->flags & STORE_SEEN))
			i++;
		if (i < exists)
			right &= store_seen_below(mb) <= store_at(mb, i)->uid;
		*kept += store_seen_below(mb) > 3;
		store_set_seen_below(mb, i < exists
		                             ? store_at(mb, i)->uid
		                             : store_numbers(mb)->uidnext);
	}
	return right;
}

/* Closed and open again; has it the list of the dead from its file? */
static bool
is_listed(struct store_mailbox **mb, const char *id)
{
	store_close(mb);
	dead_settle(spool_of(rig.store));
	*mb = rig_open(&rig, id);
	return spool_mailbox_of(*mb)->listed;
}

/* UIDs from 1 on, but for n of them. */
static bool
has_all_but(const struct store_mailbox *mb, const uint32_t *gone, size_t n)
{
	bool right = true;
	uint32_t uid = 1;
	size_t k = 0;

	for (uint32_t i = 0; i < store_numbers(mb)->exists; i++, uid++) {
		for (; k < n && gone[k] == uid; k++)
			uid++;
		right &= store_at(mb, i)->uid == uid;
	}
	return right && !store_is_damaged(mb);
}

/*
 * Which slots are dead is known without a look at all of them; and a list that
 * is not true, though it seems so, is found out.
 */
static void
test_dead(void)
{
	static const uint32_t gone[] = { 3, 4, 77, 90 };
	struct store_append a[100] = { 0 };
	struct store_mailbox *mb;
	struct spool_header h;
	uint32_t *wrong = xcalloc(4, sizeof *wrong);

	spool_of(rig.store)->dead_slots = 1;
	rig_create(&rig, "dead", "");
	mb = rig_open(&rig, "dead");
	rig_append(&rig, mb, a, NITEMS(a));
	ok(!is_listed(&mb, "dead"), "no list without dead ones");
	rig_expunge(&rig, mb, gone, 3);
	ok(is_listed(&mb, "dead") && has_all_but(mb, gone, 3), "a list");
	rig_expunge(&rig, mb, gone + 3, 1);
	rig_append(&rig, mb, a, 1);
	ok(has_all_but(mb, gone, 4), "more of them");
	ok(is_listed(&mb, "dead") && has_all_but(mb, gone, 4), "...listed");
	h = spool_mailbox_of(mb)->now;
	memcpy(wrong, (uint32_t[]){ 2, 3, 70, 89 }, 4 * sizeof *wrong);
	spool_mailbox_of(mb)->kept = h.ndead;
	store_close(&mb);
	dead_keep(spool_of(rig.store), "dead", &h, wrong);
	dead_settle(spool_of(rig.store));
	mb = rig_open(&rig, "dead");
	ok(spool_mailbox_of(mb)->listed && !has_all_but(mb, gone, 4) &&
	        store_is_damaged(mb),
	    "a wrong list is damage");
	ok(!is_listed(&mb, "dead") && has_all_but(mb, gone, 4), "...repaired");
	store_close(&mb);
	spool_of(rig.store)->dead_slots = UINT32_MAX;
}

/* It is in the index, and is right there whatever is under way. */
static void
test_seen_below(void)
{
	struct store_change unseen = { .uid = 2, .clear = STORE_SEEN },
	                    flag = { .uid = 5, .set = STORE_FLAGGED };
	struct store_mailbox *mb;

	rig_create(&rig, "seen", "");
	mb = rig_open(&rig, "seen");
	for (unsigned i = 0; i < 5; i++)
		rig_append_text(&rig, mb, "text", STORE_SEEN);
	store_set_seen_below(mb, 6);
	rig_change(&rig, mb, &flag, 1);
	store_close(&mb);
	mb = rig_open(&rig, "seen");
	ok(store_seen_below(mb) == 6, "where \\Seen ends is kept");
	rig_change(&rig, mb, &unseen, 1);
	ok(store_seen_below(mb) == 2, "one lost it");
	store_close(&mb);
	mb = rig_open(&rig, "seen");
	ok(store_seen_below(mb) == 2, "...and that is kept");
	unseen = (struct store_change){ .uid = 2, .set = STORE_SEEN };
	rig_change(&rig, mb, &unseen, 1);
	store_set_seen_below(mb, 6);
	unseen = (struct store_change){ .uid = 3, .clear = STORE_SEEN };
	flag = (struct store_change){ .uid = 5, .clear = STORE_FLAGGED };
	rig_ask(&rig);
	store_change(mb, &unseen, 1, UINT64_MAX, rig_cb, &rig);
	rig_change(&rig, mb, &flag, 1);
	store_close(&mb);
	mb = rig_open(&rig, "seen");
	ok(store_seen_below(mb) <= 3, "changes side by side");
	store_close(&mb);
}

/* A long random life, compared with the model now and then. */
static void
test_model(uint32_t seed)
{
	struct work *w = xcalloc(1, sizeof *w);
	const char *why = NULL;
	unsigned bad = 0, unseen = 0, kept = 0, restarted = 0;

	tempdir_make(dir);
	w->options = (struct store_options){ .compact_percent = 20,
		.hold_seconds = seed % 2 ? 100000 : 0 };
	MUST(work_start(w, &spool_module, dir) == 0);
	w->model.x = seed;
	make_eager(spool_of(w->rig.store));
	for (unsigned i = 1; i <= 300 && why == NULL; i++) {
		struct op op;

		model_next(&w->model, &op);
		why = work_do(w, &op, NULL, NULL);
		unseen += !seen_right(w, &kept);
		if (i % 20 == 0) {
			if (why == NULL)
				why = rig_wait(&w->rig);
			bad += !work_is_right(w);
		}
		if (i % 50 == 0) {
			rig_wait(&w->rig);
			work_restart(w);
			make_eager(spool_of(w->rig.store));
			bad += !work_is_right(w);
			kept = 0;
			unseen += !seen_right(w, &kept);
			restarted += kept > 0;
		}
	}
	ok(why == NULL && bad == 0, "as the model, seed %u", seed);
	ok(unseen == 0 && restarted > 0, "\\Seen below it, seed %u: %u", seed,
	    restarted);
	work_close(w);
	rig_stop(&w->rig);
	tempdir_remove(dir);
	free(w);
}

int
main(void)
{
	tempdir_make(dir);
	MUST(rig_start(&rig, &spool_module, dir) == 0);
	test_compact();
	test_large();
	test_many();
	test_damage();
	test_damage_among();
	test_seen_below();
	test_dead();
	store_chunk_free(&rig.chunk);
	rig_stop(&rig);
	tempdir_remove(dir);
	for (uint32_t seed = 1; seed <= 4; seed++)
		test_model(seed);
	return done_testing();
}
