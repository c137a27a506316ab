/*
 * bench/tree: the mailbox list's tree by itself.
 *
 *	tree [users [boxes [directory]]]
 *
 * A list of so many users with so many mailboxes each (1000000 and 10: ten
 * million), as an update server has it: put in order into memory and into a
 * frontend's copy in the directory (none: memory only), by turns of BATCH
 * records; then what reading and changing cost.  One line of JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"

enum {
	BATCH = 1000, /* records in a transaction */
	LOOKUPS = 200000,
	WALKS = 20000,
	CREATES = 100000,
	SHARDS = 16
};

struct bench {
	uint64_t users, boxes;
	struct treedb *tree;
	uint64_t seed, seen;
	struct buf key, value;
};

static double
now(void)
{
	struct timespec t;

	MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t
roll(struct bench *b, uint64_t n)
{
	b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
	return (b->seed >> 33) % n;
}

/* Mailbox "box" of user number "user"; the 0th is the INBOX. */
static struct slice
key_of(struct bench *b, uint64_t user, uint64_t box)
{
	char name[80];
	int n = snprintf(name, sizeof(name), "user.u%07u", (unsigned)user);

	if (box > 0)
		snprintf(name + n, sizeof(name) - (size_t)n, ".folder%u",
		    (unsigned)box);
	buf_clear(&b->key);
	mboxname_key(&b->key, slice_str(name));
	return buf_slice(&b->key);
}

static struct slice
value_of(struct bench *b, uint64_t user)
{
	char acl[80];
	struct mboxrec r = { .state = MBOXREC_ACTIVE,
		.revision = ++b->seen,
		.location = slice_str("be1.test!default") };

	snprintf(acl, sizeof(acl), "u%07u\tlrswipkxtecdan\tpostmaster\tlrsp\t",
	    (unsigned)user);
	r.acl = slice_str(acl);
	buf_clear(&b->value);
	mboxrec_put(&b->value, &r);
	return buf_slice(&b->value);
}

static void
put(struct bench *b, uint64_t user, uint64_t box)
{
	struct slice key = key_of(b, user, box);
	struct err err;

	MUST(treedb_put(b->tree, key, value_of(b, user), NULL, 0, &err) == 0);
}

static void
begin(struct bench *b)
{
	struct err err;

	MUST(treedb_begin(b->tree, &err) == 0);
}

static void
commit(struct bench *b)
{
	struct err err;

	MUST(treedb_commit(b->tree, &err) == 0);
}

static double
load(struct bench *b)
{
	double from = now();
	unsigned n = 0;

	begin(b);
	for (uint64_t u = 0; u < b->users; u++) {
		for (uint64_t i = 0; i < b->boxes; i++) {
			put(b, u, i);
			if (++n % BATCH == 0) {
				commit(b);
				begin(b);
			}
		}
	}
	commit(b);
	return now() - from;
}

static double
look_up(struct bench *b)
{
	double from = now();
	struct buf out;
	struct err err;

	buf_init(&out, 4096);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		buf_clear(&out);
		MUST(treedb_get(b->tree,
		         key_of(b, roll(b, b->users), roll(b, b->boxes)), &out,
		         &err) == 1);
	}
	buf_fini(&out);
	return LOOKUPS / (now() - from);
}

static enum treedb_next
see(void *arg, struct slice key, struct slice value)
{
	struct bench *b = arg;

	(void)key;
	(void)value;
	b->seen++;
	return TREEDB_NEXT;
}

/* Seconds for one user's tree. */
static double
walk_users(struct bench *b)
{
	double from = now();
	struct err err;

	b->seen = 0;
	for (unsigned i = 0; i < WALKS; i++) {
		struct slice key = key_of(b, roll(b, b->users), 0);

		MUST(treedb_walk_tree(b->tree, key, see, b, &err) == 0);
	}
	MUST(b->seen >= WALKS * b->boxes);
	return (now() - from) / WALKS;
}

static double
walk_all(struct bench *b)
{
	const struct slice all = { NULL, 0 };
	double from = now();
	struct err err;

	b->seen = 0;
	MUST(treedb_walk(b->tree, all, all, see, b, &err) == 0);
	MUST(b->seen >= b->users * b->boxes);
	return now() - from;
}

/* Seconds for a record put among the others and committed. */
static double
create(struct bench *b)
{
	double from = now();

	for (unsigned i = 0; i < CREATES; i++) {
		begin(b);
		put(b, roll(b, b->users), b->boxes + i);
		commit(b);
	}
	return (now() - from) / CREATES;
}

/* Kilobytes of our own, not the page cache's. */
static uint64_t
own_kb(void)
{
	char line[200];
	uint64_t kb = 0;
	FILE *f = fopen("/proc/self/smaps_rollup", "re");

	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned n;

		if (sscanf(line, "Pss_Anon: %u kB", &n) == 1)
			kb = n;
	}
	fclose(f);
	return kb;
}

static uint64_t
disk_kb(const char *dir)
{
	uint64_t kb = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		char path[1100];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%02x.tdb", dir, i);
		MUST(stat(path, &st) == 0);
		kb += (uint64_t)st.st_blocks / 2;
	}
	return kb;
}

static void
measure(struct bench *b, const char *dir)
{
	const char *where = dir == NULL ? "memory" : "copy";
	double seconds;
	struct err err;

	if (treedb_open(&b->tree, dir, SHARDS,
	        dir == NULL ? DB_MEMORY : DB_CACHE, &err) == -1) {
		printf("%s\n", err.text);
		exit(1);
	}
	seconds = load(b);
	printf("{\"where\": \"%s\", \"mailboxes\": %llu, \"load_s\": %.2f",
	    where, (unsigned long long)(b->users * b->boxes), seconds);
	printf(", \"own_kb\": %llu", (unsigned long long)own_kb());
	if (dir != NULL)
		printf(", \"disk_kb\": %llu", (unsigned long long)disk_kb(dir));
	printf(", \"lookups_per_s\": %.0f", look_up(b));
	printf(", \"user_walk_us\": %.2f", walk_users(b) * 1e6);
	printf(", \"walk_all_s\": %.2f", walk_all(b));
	printf(", \"create_us\": %.2f}\n", create(b) * 1e6);
	treedb_close(&b->tree);
}

int
main(int argc, char **argv)
{
	struct bench b = { .users = 100000, .boxes = 10, .seed = 1 };

	if ((argc > 1 &&
	        !ascii_number(slice_str(argv[1]), 9999999, &b.users)) ||
	    (argc > 2 && !ascii_number(slice_str(argv[2]), 1000, &b.boxes)) ||
	    b.users == 0 || b.boxes == 0) {
		fprintf(stderr, "usage: tree [users [boxes [directory]]]\n");
		return 2;
	}
	buf_init(&b.key, TREEDB_KEY_MAX);
	buf_init(&b.value, 4096);
	measure(&b, argc > 3 ? argv[3] : NULL);
	buf_fini(&b.key);
	buf_fini(&b.value);
	return 0;
}
