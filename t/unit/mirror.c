/*
 * mirror: the copy becomes the list, in whatever order it comes and whatever
 * was there; cut off or killed at any line it has lost no name on the way, and
 * goes on from its position; what would take too much is held back.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "proxyd/mirror.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	NAMES = 4000, /* that a list may hold: more than a transaction's */
	NOON = 1000 * 1000 * 1000
};

static unsigned seed = 11;

static unsigned
roll(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* --- a list: of each of the names, 0 or a version ------------------------- */

struct model {
	unsigned version[NAMES];
};

/* Users, their mailboxes, and siblings that sort differently with and without
 * the separator's mapping. */
static struct slice
make_name(unsigned i, char room[64])
{
	static const char *const last[] = { "", ".Sent", ".Sent Items",
		".Sent.2020", ".Sent-2", ".a", ".a.b", ".z" };
	int n = snprintf(room, 64, "%suser.u%03u%s",
	    i % 24 >= 16 ? "example.org!" : "", i / 8, last[i % 8]);

	return slice_of(room, (size_t)n);
}

static struct names {
	char text[NAMES][64];
	size_t len[NAMES];
	unsigned sorted[NAMES]; /* by octets */
} names;

static struct slice
name_of(unsigned i)
{
	return slice_of(names.text[i], names.len[i]);
}

static int
by_octets(const void *a, const void *b)
{
	return slice_compare(name_of(*(const unsigned *)a),
	    name_of(*(const unsigned *)b));
}

static void
make_names(void)
{
	for (unsigned i = 0; i < NAMES; i++) {
		names.len[i] = make_name(i, names.text[i]).len;
		names.sorted[i] = i;
	}
	qsort(names.sorted, NAMES, sizeof(names.sorted[0]), by_octets);
}

/* NAMES if it is none of them. */
static unsigned
find_name(struct slice name)
{
	unsigned low = 0, high = NAMES;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (slice_compare(name_of(names.sorted[mid]), name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == NAMES || !slice_equal(name_of(names.sorted[low]), name))
		return NAMES;
	return names.sorted[low];
}

static int
put_one(struct mirror *m, unsigned i, unsigned version, uint64_t revision)
{
	char acl[64];
	struct err err;
	struct mboxrec rec = { .state = MBOXREC_ACTIVE,
		.revision = revision,
		.location = slice_str("b1!default"),
		.acl = slice_of(acl, (size_t)snprintf(acl, sizeof(acl),
		                         "joe\tlr%u\t", version)) };

	return mirror_put(m, name_of(i), &rec, &err);
}

static int
gone_one(struct mirror *m, unsigned i, uint64_t revision)
{
	struct err err;

	return mirror_gone(m, name_of(i), revision, &err);
}

static void
finish(struct mirror *m)
{
	struct err err;

	while (mirror_busy(m))
		MUST(mirror_step(m, &err) == 0);
}

static void
settle(struct mirror *m)
{
	struct err err;

	MUST(mirror_settle(m, &err) == 0);
	finish(m);
}

static void
hang_up(struct mirror *m)
{
	struct err err;

	MUST(mirror_cut(m, &err) == 0);
}

static struct mirror *
open_at(const char *dir, unsigned shards, unsigned shrink)
{
	struct mirror *m;
	struct err err;

	if (mirror_open(&m, dir, shards, shrink, &err) == -1) {
		printf("# %s\n", err.text);
		MUST(!"mirror_open");
	}
	mirror_clock(m, NOON);
	return m;
}

struct reading {
	struct model *got;
	bool wrong;
};

static enum treedb_next
read_one(void *arg, struct slice key, struct slice value)
{
	struct reading *r = arg;
	struct mboxrec rec;
	struct buf name;
	struct err err;
	unsigned i;

	buf_init(&name, 100);
	mboxname_of_key(&name, key);
	i = find_name(buf_slice(&name));
	if (i == NAMES || mboxrec_parse(&rec, value, &err) == -1 ||
	    rec.acl.len < 7)
		r->wrong = true;
	else
		r->got->version[i] =
		    (unsigned)strtoul((const char *)rec.acl.ptr + 6, NULL, 10);
	buf_fini(&name);
	return TREEDB_NEXT;
}

/* What a reader finds; the mirror is closed. */
static void
read_copy(const char *dir, unsigned shards, struct model *got)
{
	struct reading r = { .got = got };
	struct slice none = { NULL, 0 };
	struct treedb *t;
	struct err err;

	*got = (struct model){ { 0 } };
	MUST(treedb_open(&t, dir, shards, DB_READ, &err) == 0);
	MUST(treedb_walk(t, none, none, read_one, &r, &err) == 0);
	MUST(!r.wrong);
	treedb_close(&t);
}

static unsigned
count_of(const struct model *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NAMES; i++)
		n += l->version[i] != 0;
	return n;
}

static bool
same(const struct model *a, const struct model *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void
change(struct model *l, unsigned percent)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (roll(100) < percent)
			l->version[i] = roll(3);
}

/* --- whole lists, in any order -------------------------------------------- */

enum order {
	ORDER_TREE,   /* as our server and Cyrus 3.6 */
	ORDER_OCTETS, /* of the names, as Cyrus 3.4 */
	ORDER_BACK,
	ORDER_RANDOM,
	ORDER_MAX
};

static int
by_key(const void *a, const void *b)
{
	struct buf x, y;
	int d;

	buf_init(&x, 100);
	buf_init(&y, 100);
	mboxname_key(&x, name_of(*(const unsigned *)a));
	mboxname_key(&y, name_of(*(const unsigned *)b));
	d = slice_compare(buf_slice(&x), buf_slice(&y));
	buf_fini(&x);
	buf_fini(&y);
	return d;
}

static void
put_in_order(unsigned *at, enum order order)
{
	for (unsigned i = 0; i < NAMES; i++)
		at[i] = i;
	qsort(at, NAMES, sizeof(*at),
	    order == ORDER_OCTETS ? by_octets : by_key);
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned j = order == ORDER_BACK     ? NAMES - 1 - i
		             : order == ORDER_RANDOM ? roll(NAMES)
		                                     : i;
		unsigned k = at[i];

		if (order == ORDER_BACK && j <= i)
			return;
		at[i] = at[j];
		at[j] = k;
	}
}

/* Some names twice: a list may say a thing again. */
static void
feed_whole(struct mirror *m, const struct model *l, enum order order,
    const char *epoch, uint64_t revision)
{
	static unsigned at[NAMES];
	struct err err;

	put_in_order(at, order);
	MUST(mirror_whole(m, slice_str(epoch), &err) == 0);
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned n = at[i];

		if (l->version[n] == 0)
			continue;
		MUST(put_one(m, n, l->version[n], 1) == 0);
		if (n % 50 == 0)
			MUST(put_one(m, n, l->version[n], 1) == 0);
	}
	if (epoch[0] != '\0')
		mirror_at(m, revision);
	mirror_end(m);
	finish(m);
}

static void
test_orders(void)
{
	static struct model list, got;
	char dir[64];

	for (unsigned shards = 1; shards <= 3; shards += 2) {
		struct mirror_status st;
		struct mirror *m;
		bool good = true;

		tempdir_make(dir);
		list = (struct model){ { 0 } };
		for (unsigned o = 0; o < ORDER_MAX * 2; o++) {
			unsigned before = count_of(&list);

			/* Twice each: changed much, changed not at all. */
			if (o % 2 == 0)
				change(&list, o == 0 ? 100 : 20);
			m = open_at(dir, shards, 100);
			feed_whole(m, &list, o / 2, "e", o);
			mirror_status(m, &st);
			mirror_close(&m);
			read_copy(dir, shards, &got);
			good = good && same(&got, &list) &&
			       st.entries == count_of(&list) &&
			       st.revision == o && st.complete &&
			       (o % 2 == 0 || (st.put == 0 && st.removed == 0 &&
			                          before == st.entries));
			if (!good)
				printf("# order %u, %u entries of %u\n", o / 2,
				    count_of(&got), count_of(&list));
		}
		ok(good,
		    "%u shards: a whole list in any order, as a difference",
		    shards);
		tempdir_remove(dir);
	}
}

/* --- killed, and cut off, at any line ------------------------------------- */

enum {
	PAIRS = 300 /* names that are renamed: 2n to 2n + 1 */
};

/* Line n of what a server says of renames: the old name goes first. */
static void
feed_rename(struct mirror *m, unsigned n)
{
	unsigned pair = n / 2;

	if (n % 2 == 0)
		MUST(gone_one(m, pair * 2, 100 + n) == 0);
	else
		MUST(put_one(m, pair * 2 + 1, 1, 100 + n) == 0);
}

static void
lay_out(const char *dir, unsigned shards, struct model *list)
{
	struct mirror *m = open_at(dir, shards, 100);

	*list = (struct model){ { 0 } };
	for (unsigned i = 0; i < PAIRS * 2; i += 2)
		list->version[i] = 1;
	feed_whole(m, list, ORDER_TREE, "e", 99);
	mirror_close(&m);
}

/* The first n lines, then a death; in a burst of each few lines. */
static void
die_behind(const char *dir, unsigned shards, bool streaming, unsigned n)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		struct mirror *m = open_at(dir, shards, 100);

		mirror_since(m);
		if (streaming) {
			mirror_at(m, 99);
			mirror_end(m);
			finish(m);
		}
		for (unsigned i = 0; i < n; i++) {
			feed_rename(m, i);
			if (streaming ? i % 4 == 3 : i % 3 == 0)
				settle(m);
		}
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
}

static bool
no_pair_lost(const struct model *got)
{
	for (unsigned p = 0; p < PAIRS; p++)
		if (got->version[p * 2] == 0 && got->version[p * 2 + 1] == 0)
			return false;
	return true;
}

/* It is opened again and goes on behind its position. */
static void
resume(const char *dir, unsigned shards, bool streaming)
{
	struct mirror *m = open_at(dir, shards, 100);
	struct mirror_status st;
	unsigned from;

	mirror_status(m, &st);
	MUST(strcmp(st.epoch, "e") == 0 && st.revision >= 99);
	MUST(streaming || st.revision == 99);
	from = (unsigned)(st.revision - 99);
	mirror_since(m);
	for (unsigned i = from; i < PAIRS * 2; i++)
		feed_rename(m, i);
	mirror_at(m, 99 + PAIRS * 2);
	mirror_end(m);
	finish(m);
	mirror_close(&m);
}

static void
test_deaths(bool streaming, unsigned shards)
{
	static struct model list, got, want;
	bool never_lost = true, right = true;
	char dir[64];

	want = (struct model){ { 0 } };
	for (unsigned p = 0; p < PAIRS; p++)
		want.version[p * 2 + 1] = 1;
	for (unsigned n = 0; n <= PAIRS * 2; n += 1 + n / 4) {
		tempdir_make(dir);
		lay_out(dir, shards, &list);
		die_behind(dir, shards, streaming, n);
		read_copy(dir, shards, &got);
		never_lost = never_lost && no_pair_lost(&got);
		resume(dir, shards, streaming);
		read_copy(dir, shards, &got);
		right = right && same(&got, &want);
		tempdir_remove(dir);
	}
	ok(never_lost, "%s, %u shards: no death loses a name on the way",
	    streaming ? "stream" : "difference", shards);
	ok(right, "and it goes on where it was");
}

static void
test_cut_whole(void)
{
	static struct model list, got;
	struct mirror_status st;
	struct mirror *m;
	struct err err;
	char dir[64];
	bool complete;
	struct treedb *t;

	tempdir_make(dir);
	m = open_at(dir, 1, 50);
	MUST(mirror_whole(m, slice_str(""), &err) == 0);
	for (unsigned i = 0; i < 100; i++)
		MUST(put_one(m, i, 1, 0) == 0);
	hang_up(m);
	mirror_status(m, &st);
	ok(!st.complete && st.entries == 100,
	    "cut while filling: what came is there, and not complete");
	mirror_close(&m);
	MUST(treedb_open(&t, dir, 1, DB_READ, &err) == 0);
	ok(mirror_complete(t, &complete, &err) == 0 && !complete,
	    "nor for a reader");
	treedb_close(&t);
	list = (struct model){ { 0 } };
	list.version[5] = 1;
	m = open_at(dir, 1, 50);
	feed_whole(m, &list, ORDER_TREE, "e", 7);
	mirror_status(m, &st);
	ok(st.complete && st.held == MIRROR_HELD_WHOLE,
	    "what was there before counts, complete or not");
	mirror_close(&m);
	m = open_at(dir, 1, 50);
	mirror_status(m, &st);
	ok(st.complete && st.epoch[0] == '\0',
	    "complete once, complete for ever; but no position");
	feed_whole(m, &list, ORDER_TREE, "e", 8);
	mirror_accept(m);
	finish(m);
	hang_up(m);
	/* A whole list of another epoch, cut in the middle. */
	MUST(mirror_whole(m, slice_str("f"), &err) == 0);
	MUST(put_one(m, 9, 1, 3) == 0);
	hang_up(m);
	mirror_status(m, &st);
	ok(st.epoch[0] == '\0', "half of another list has no position");
	mirror_close(&m);
	read_copy(dir, 1, &got);
	ok(count_of(&got) == 2 && got.version[5] == 1 && got.version[9] == 1,
	    "and takes nothing away");
	tempdir_remove(dir);
}

/* --- what is held back ---------------------------------------------------- */

static void
fill(struct model *l, unsigned n)
{
	*l = (struct model){ { 0 } };
	for (unsigned i = 0; i < n; i++)
		l->version[i] = 1;
}

/* Of 1000, so many are missing; is that too much? */
static enum mirror_held
held_without(unsigned had, unsigned lacks, unsigned shrink)
{
	static struct model list;
	struct mirror_status st;
	struct mirror *m;
	char dir[64];

	tempdir_make(dir);
	m = open_at(dir, 1, shrink);
	fill(&list, had);
	feed_whole(m, &list, ORDER_TREE, "", 0);
	hang_up(m);
	for (unsigned i = 0; i < lacks; i++)
		list.version[i] = 0;
	/* New ones do not make up for those that are missing. */
	for (unsigned i = 0; i < lacks; i++)
		list.version[had + i] = 1;
	feed_whole(m, &list, ORDER_RANDOM, "", 0);
	mirror_status(m, &st);
	MUST(st.entries == had + (st.held == MIRROR_HELD_NOTHING ? 0 : lacks));
	mirror_close(&m);
	tempdir_remove(dir);
	return st.held;
}

static void
test_whole_held(void)
{
	static struct model list, got;
	struct mirror_status st;
	struct mirror *m;
	char dir[64];

	ok(held_without(1000, 500, 50) == MIRROR_HELD_NOTHING,
	    "half of it may be missing");
	ok(held_without(1000, 501, 50) == MIRROR_HELD_WHOLE, "but no more");
	ok(held_without(10, 10, 50) == MIRROR_HELD_NOTHING,
	    "a few may always be");
	ok(held_without(1000, 11, 1) == MIRROR_HELD_WHOLE, "one percent");

	tempdir_make(dir);
	m = open_at(dir, 1, 50);
	fill(&list, 1000);
	feed_whole(m, &list, ORDER_TREE, "e", 7);
	hang_up(m);
	fill(&list, 0);
	list.version[2000] = 1;
	feed_whole(m, &list, ORDER_TREE, "f", 8);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_WHOLE && st.lacking == 1000 &&
	        st.of == 1000 && st.entries == 1001 && st.epoch[0] == '\0',
	    "an emptied list: held, and no position; what is new is there");
	MUST(put_one(m, 2001, 1, 9) == 0 && gone_one(m, 2000, 10) == 0);
	for (unsigned i = 0; i < 400; i++)
		MUST(put_one(m, i, 1, 11) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_WHOLE && st.lacking == 601,
	    "changes are taken meanwhile");
	MUST(gone_one(m, 0, 12) == 0 && put_one(m, 0, 2, 13) == 0);
	for (unsigned i = 400; i < 502; i++)
		MUST(put_one(m, i, 1, 14) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 503 &&
	        st.revision == 14,
	    "when enough are back the rest goes, and the position is known");
	mirror_close(&m);
	read_copy(dir, 1, &got);
	ok(count_of(&got) == 503 && got.version[0] == 2 &&
	        got.version[2001] == 1 && got.version[600] == 0,
	    "the right ones");
	tempdir_remove(dir);
}

static void
test_accept(void)
{
	static struct model list, got;
	struct mirror_status st;
	struct mirror *m;
	char dir[64];

	tempdir_make(dir);
	m = open_at(dir, 1, 50);
	fill(&list, 3500);
	feed_whole(m, &list, ORDER_TREE, "", 0);
	hang_up(m);
	fill(&list, 300);
	feed_whole(m, &list, ORDER_TREE, "e", 8);
	mirror_accept(m);
	ok(mirror_busy(m), "accepted, it is in work");
	finish(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 300 &&
	        strcmp(st.epoch, "e") == 0 && st.revision == 8,
	    "and done");
	for (unsigned i = 0; i < 120; i++)
		MUST(gone_one(m, i, 9 + i) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 180,
	    "what is left is what to compare with");
	mirror_close(&m);
	read_copy(dir, 1, &got);
	ok(count_of(&got) == 180, "in the copy too");
	tempdir_remove(dir);
}

static void
test_flood(void)
{
	static struct model list, got;
	struct mirror_status st;
	struct mirror *m;
	char dir[64];
	unsigned i = 0;

	tempdir_make(dir);
	m = open_at(dir, 1, 50);
	fill(&list, 1000);
	feed_whole(m, &list, ORDER_TREE, "e", 1000);
	for (; i < 500; i++) {
		MUST(gone_one(m, i, 1001 + i) == 0);
		if (i % 7 == 0)
			settle(m);
	}
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 500 &&
	        st.revision == 1500,
	    "half of a list may be deleted, one by one");
	MUST(gone_one(m, i, 1001 + i) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_FLOOD && st.lacking == 1 && st.of == 1000 &&
	        st.revision == 1500,
	    "more is a flood");
	MUST(put_one(m, 3000, 1, 2000) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 500 &&
	        st.revision == 2000,
	    "unless there are new ones in their place");
	for (i++; i < 560; i++)
		MUST(gone_one(m, i, 2001 + i) == 0);
	settle(m);
	hang_up(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 500 &&
	        st.revision == 2000,
	    "cut off, what was held is asked for again");
	mirror_clock(m, NOON + 2 * 3600);
	mirror_since(m);
	mirror_clock(m, NOON + 4 * 3600);
	for (i = 501; i < 560; i++)
		MUST(gone_one(m, i, 2001 + i) == 0);
	mirror_at(m, 2600);
	mirror_end(m);
	finish(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 441,
	    "hours later it is compared with what was left");
	for (i = 560; i < 700; i++)
		MUST(gone_one(m, i % 3 == 0 ? i : 3999, 3000) == 0);
	settle(m);
	mirror_close(&m);
	read_copy(dir, 1, &got);
	ok(count_of(&got) == 441 - 47, "names that are not there do not count");
	tempdir_remove(dir);
}

static void
reserve(struct mirror *m, unsigned from, unsigned n, uint64_t revision)
{
	struct mboxrec rec = { .state = MBOXREC_RESERVED,
		.revision = revision,
		.location = slice_str("b1!default"),
		.acl = slice_str("joe\tlr1\t") };
	struct err err;

	for (unsigned i = from; i < from + n; i++)
		MUST(mirror_put(m, name_of(i), &rec, &err) == 0);
}

static void
test_reserved(void)
{
	static struct model list, got;
	struct mirror_status st;
	struct mirror *m;
	char dir[64];

	tempdir_make(dir);
	m = open_at(dir, 1, 50);
	fill(&list, 1000);
	feed_whole(m, &list, ORDER_TREE, "e", 1000);
	reserve(m, 1000, 1600, 1001);
	settle(m);
	hang_up(m);
	feed_whole(m, &list, ORDER_TREE, "f", 8);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 1000 &&
	        st.revision == 8,
	    "reservations may all be missing");

	reserve(m, 1000, 1600, 9);
	settle(m);
	mirror_close(&m);
	m = open_at(dir, 1, 50);
	for (unsigned i = 0; i < 501; i++)
		list.version[i] = 0;
	feed_whole(m, &list, ORDER_TREE, "g", 8);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_WHOLE && st.lacking == 501 && st.of == 1000 &&
	        st.entries == 2600,
	    "they do not make up for mailboxes, counted by another process");
	reserve(m, 1000, 100, 9);
	MUST(put_one(m, 1200, 1, 9) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_WHOLE && st.lacking == 501,
	    "nor do those that come back");
	MUST(put_one(m, 0, 1, 10) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 500 + 100 + 1,
	    "a mailbox does");

	for (unsigned i = 1000; i < 1100; i++)
		MUST(gone_one(m, i, 11) == 0);
	reserve(m, 1300, 1000, 12);
	settle(m);
	for (unsigned i = 1300; i < 2300; i++)
		MUST(gone_one(m, i, 13) == 0);
	settle(m);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_NOTHING && st.entries == 501,
	    "nor are they a flood");
	hang_up(m);
	fill(&list, 0);
	feed_whole(m, &list, ORDER_TREE, "h", 8);
	mirror_status(m, &st);
	ok(st.held == MIRROR_HELD_WHOLE && st.lacking == 501 && st.of == 501,
	    "what was reserved and is no more counts");
	mirror_close(&m);
	read_copy(dir, 1, &got);
	ok(count_of(&got) == 501, "what is there is right");
	tempdir_remove(dir);
}

/* --- the rest ------------------------------------------------------------- */

static void
test_odd(void)
{
	struct mboxrec rec = { .state = MBOXREC_ACTIVE,
		.location = slice_str("b1!") };
	char location[MBOXREC_LOCATION_MAX + 1];
	struct mirror *m;
	struct err err;
	char dir[64];

	tempdir_make(dir);
	m = open_at(dir, 1, 50);
	MUST(mirror_whole(m, slice_str(""), &err) == 0);
	ok(mirror_put(m, slice_str("user..x"), &rec, &err) == MIRROR_ODD &&
	        mirror_gone(m, slice_str(""), 0, &err) == MIRROR_ODD &&
	        mirror_put(m, slice_str("user.x"), &rec, &err) == 0,
	    "a name that is none is left out");
	memset(location, 'h', sizeof(location));
	rec.location = slice_of(location, sizeof(location));
	ok(mirror_put(m, slice_str("user.y"), &rec, &err) == MIRROR_ODD,
	    "and one on a server whose name is too long");
	ok(mirror_is_fed(m) && !mirror_busy(m), "and the list goes on");
	mirror_close(&m);
	tempdir_remove(dir);
}

int
main(void)
{
	make_names();
	test_orders();
	test_deaths(false, 1);
	test_deaths(false, 3);
	test_deaths(true, 1);
	test_deaths(true, 3);
	test_cut_whole();
	test_whole_held();
	test_accept();
	test_flood();
	test_reserved();
	test_odd();
	return done_testing();
}
