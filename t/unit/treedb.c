/*
 * The law: whatever was put and deleted, walking, looking up, counting and
 * finding by tag agree with a sorted array that went through the same.
 */
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	KEYS = 3000,
	STEPS = 20000,
	NTAGS = 5
};

/* The model: key i of a fixed sorted list is there or not, and with what. */
struct model {
	char key[64];
	bool there;
	unsigned value; /* its tags are the bits of this, modulo */
};

static struct model keys[KEYS];
static size_t nkeys;
static unsigned seed = 1;

static unsigned
roll(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(((const struct model *)a)->key,
	    ((const struct model *)b)->key);
}

/* Names with shared beginnings, some the parents of others. */
static void
make_keys(void)
{
	static const char *const tops[] = { "user", "shared", "a.b\x1duser" };

	nkeys = 0;
	for (unsigned i = 0; i < KEYS; i++) {
		struct model *m = &keys[nkeys++];
		int n = snprintf(m->key, sizeof(m->key), "%s",
		    tops[roll(NITEMS(tops))]);

		for (unsigned d = roll(4); d > 0; d--)
			n += snprintf(m->key + n, sizeof(m->key) - (size_t)n,
			    "%c%.*s%u", TREEDB_SEP, (int)roll(4), "abcd",
			    roll(30));
		m->there = false;
	}
	qsort(keys, nkeys, sizeof(keys[0]), by_key);
	for (size_t i = 1; i < nkeys; i++) {
		if (strcmp(keys[i].key, keys[i - 1].key) == 0) {
			memmove(&keys[i], &keys[i + 1],
			    (nkeys - i - 1) * sizeof(keys[0]));
			nkeys--;
			i--;
		}
	}
}

static const char *const tag_names[NTAGS] = { "anyone", "fred", "g", "x",
	"group:staff" };

static size_t
tags_of(unsigned value, struct slice *tags)
{
	size_t n = 0;

	for (unsigned i = 0; i < NTAGS; i++)
		if (value & 1u << i)
			tags[n++] = slice_str(tag_names[i]);
	return n;
}

static void
change(struct treedb *t, struct model *m, bool put, unsigned value)
{
	struct slice tags[NTAGS], key = slice_str(m->key);
	char text[600];
	struct err err;

	if (put) {
		/* Of different lengths, so that records move. */
		snprintf(text, sizeof(text), "%0*u", 10 + (int)(value % 500),
		    value);
		MUST(treedb_put(t, key, slice_str(text), tags,
		         tags_of(value, tags), &err) == 0);
	} else {
		MUST(treedb_delete(t, key, &err) == 0);
	}
}

struct seen {
	size_t at;    /* in keys */
	size_t wrong; /* not what was expected */
	size_t count;
	struct slice prefix;
	bool tree;          /* only what is at or below prefix */
	unsigned tag, skip; /* bit wanted; skip below keys so divisible */
	size_t skipping;    /* 1 + index of a key whose tree is skipped */
};

static bool
expected(const struct seen *s, const struct model *m)
{
	struct slice key = slice_str(m->key);

	if (!m->there || !slice_starts(key, s->prefix))
		return false;
	if (s->tree && key.len > s->prefix.len && s->prefix.len > 0 &&
	    key.ptr[s->prefix.len] != TREEDB_SEP)
		return false;
	if (s->tag != 0 && !(m->value & s->tag))
		return false;
	if (s->skipping > 0) {
		struct slice above = slice_str(keys[s->skipping - 1].key);

		if (slice_starts(key, above) && key.len > above.len &&
		    key.ptr[above.len] == TREEDB_SEP)
			return false;
	}
	return true;
}

static enum treedb_next
see(void *arg, struct slice key, struct slice value)
{
	struct seen *s = arg;

	(void)value;
	s->count++;
	while (s->at < nkeys && !expected(s, &keys[s->at]))
		s->at++;
	if (s->at == nkeys || !slice_is(key, keys[s->at].key)) {
		s->wrong++;
		return TREEDB_STOP;
	}
	if (s->skip != 0 && keys[s->at].value % s->skip == 0) {
		s->skipping = s->at + 1;
		s->at++;
		return TREEDB_SKIP;
	}
	s->at++;
	return TREEDB_NEXT;
}

static bool
all_seen(struct seen *s)
{
	while (s->at < nkeys && !expected(s, &keys[s->at]))
		s->at++;
	return s->wrong == 0 && s->at == nkeys;
}

static bool
walk_agrees(struct treedb *t, const char *prefix, const char *from,
    unsigned skip)
{
	struct seen s = { .prefix = slice_str(prefix), .skip = skip };
	struct err err;

	while (s.at < nkeys && strcmp(keys[s.at].key, from) < 0)
		s.at++;
	MUST(treedb_walk(t, slice_str(prefix), slice_str(from), see, &s,
	         &err) == 0);
	return all_seen(&s);
}

/* A walk of some keys, then as many from there on. */
struct turn {
	treedb_visit *visit;
	void *arg;
	unsigned left;
	bool more;
	char from[64];
	size_t len;
};

static enum treedb_next
see_some(void *arg, struct slice key, struct slice value)
{
	struct turn *u = arg;

	if (u->left-- > 0)
		return u->visit(u->arg, key, value);
	u->more = true;
	u->len = key.len;
	memcpy(u->from, key.ptr, key.len);
	return TREEDB_STOP;
}

static void
walk_in_turns(struct treedb *t, bool tag, const char *what, treedb_visit *visit,
    void *arg)
{
	struct turn u = { visit, arg, 0, true, "", 0 };
	struct slice s = slice_str(what), from;
	struct err err;

	while (u.more) {
		u.more = false;
		u.left = 7;
		from = slice_of(u.from, u.len);
		MUST((tag ? treedb_walk_tag_from(t, s, from, see_some, &u, &err)
		          : treedb_walk_tree_from(t, s, from, see_some, &u,
		                &err)) == 0);
	}
}

/* A key, there or not, and what is below it. */
static bool
tree_agrees(struct treedb *t, const char *key)
{
	struct seen s = { .prefix = slice_str(key), .tree = true },
	            by_turns = s;
	struct err err;

	MUST(treedb_walk_tree(t, slice_str(key), see, &s, &err) == 0);
	walk_in_turns(t, false, key, see, &by_turns);
	return all_seen(&s) && all_seen(&by_turns);
}

static enum treedb_next
count_tagged(void *arg, struct slice key, struct slice value)
{
	struct seen *s = arg;
	char name[64];
	struct model want, *m;

	(void)value;
	snprintf(name, sizeof(name), "%.*s", (int)key.len, key.ptr);
	memcpy(want.key, name, sizeof(name));
	m = bsearch(&want, keys, nkeys, sizeof(keys[0]), by_key);
	s->count++;
	if (m == NULL || !m->there || !(m->value & s->tag))
		s->wrong++;
	return TREEDB_NEXT;
}

static bool
tags_agree(struct treedb *t)
{
	struct err err;

	for (unsigned i = 0; i < NTAGS; i++) {
		struct seen s = { .tag = 1u << i }, by_turns = s;
		size_t want = 0;

		for (size_t k = 0; k < nkeys; k++)
			want += keys[k].there && keys[k].value & 1u << i;
		MUST(treedb_walk_tag(t, slice_str(tag_names[i]), count_tagged,
		         &s, &err) == 0);
		walk_in_turns(t, true, tag_names[i], count_tagged, &by_turns);
		if (s.wrong > 0 || s.count != want || by_turns.wrong > 0 ||
		    by_turns.count != want)
			return false;
	}
	return true;
}

static bool
count_agrees(struct treedb *t)
{
	uint64_t n = 0, want = 0;
	struct err err;

	for (size_t k = 0; k < nkeys; k++)
		want += keys[k].there;
	MUST(treedb_count(t, &n, &err) == 0);
	return n == want;
}

static bool
gets_agree(struct treedb *t)
{
	struct buf out;
	struct err err;
	bool good = true;

	buf_init(&out, 1024);
	for (size_t k = 0; k < nkeys && good; k++) {
		int found;

		buf_clear(&out);
		found = treedb_get(t, slice_str(keys[k].key), &out, &err);
		good = found == keys[k].there &&
		       (!found || buf_len(&out) == 10 + keys[k].value % 500);
	}
	buf_fini(&out);
	return good;
}

static void
agrees(struct treedb *t, const char *what)
{
	const struct model *m = &keys[roll((unsigned)nkeys)];
	char below[66];

	ok(walk_agrees(t, "", "", 0), "%s: walking all", what);
	ok(walk_agrees(t, "user", "", 0), "%s: a prefix", what);
	snprintf(below, sizeof(below), "%s%c", m->key, TREEDB_SEP);
	ok(walk_agrees(t, below, "", 0), "%s: a tree", what);
	ok(tree_agrees(t, m->key) && tree_agrees(t, "user") &&
	        tree_agrees(t, "user\x1f"
	                       "1") &&
	        tree_agrees(t, ""),
	    "%s: trees by their tops", what);
	ok(walk_agrees(t, "", m->key, 0), "%s: from the middle", what);
	ok(walk_agrees(t, "", "", 3), "%s: skipping trees", what);
	ok(tags_agree(t), "%s: tags", what);
	ok(count_agrees(t), "%s: count", what);
	ok(gets_agree(t), "%s: looking up", what);
}

/* A few changes, kept or taken back. */
static void
transaction(struct treedb *t, bool keep, unsigned puts_in_ten)
{
	struct err err;

	MUST(treedb_begin(t, &err) == 0);
	for (unsigned n = roll(20); n > 0; n--) {
		struct model *m = &keys[roll((unsigned)nkeys)];
		bool put = roll(10) < puts_in_ten;
		unsigned value = roll(1000);

		change(t, m, put, value);
		if (keep) {
			m->there = put;
			m->value = value;
		}
	}
	if (keep)
		MUST(treedb_commit(t, &err) == 0);
	else
		treedb_cancel(t);
}

static void
test_law(enum db_mode mode, unsigned steps, const char *what)
{
	struct treedb *t;
	char dir[64], path[80];
	struct err err;

	make_keys();
	tempdir_make(dir);
	snprintf(path, sizeof(path), "%s/t", dir);
	MUST(treedb_open(&t, path, 4, mode, &err) == 0);
	for (unsigned i = 0; i < steps; i++)
		transaction(t, roll(5) != 0, i < steps / 2 ? 7 : 5);
	agrees(t, what);

	for (size_t k = 0; k < nkeys; k++)
		keys[k].there = false;
	MUST(treedb_begin(t, &err) == 0);
	for (size_t k = 0; k < nkeys; k++)
		change(t, &keys[k], false, 0);
	MUST(treedb_commit(t, &err) == 0);
	agrees(t, "emptied");
	treedb_close(&t);
	tempdir_remove(dir);
}

static enum treedb_next
print_key(void *arg, struct slice key, struct slice value)
{
	(void)arg;
	(void)value;
	printf("%.*s\n", (int)key.len, key.ptr);
	return TREEDB_NEXT;
}

/* This program, as a reader: tdb opens a file only once in a process. */
static int
reader(const char *dir)
{
	struct slice all = { NULL, 0 };
	struct treedb *t;
	struct err err;

	if (treedb_open(&t, dir, 1, DB_READ, &err) == -1 ||
	    treedb_walk(t, all, all, print_key, NULL, &err) == -1) {
		printf("%s\n", err.text);
		return 1;
	}
	treedb_close(&t);
	return 0;
}

static bool
reader_agrees(const char *self, const char *dir)
{
	char command[300], line[80];
	struct seen s = { 0 };
	FILE *f;

	snprintf(command, sizeof(command), "%s %s", self, dir);
	f = popen(command, "r");
	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (see(&s, slice_str(line), slice_of(NULL, 0)) == TREEDB_STOP)
			printf("# %s\n", line);
	}
	return pclose(f) == 0 && all_seen(&s);
}

static void
test_reopen(const char *self)
{
	struct treedb *t;
	char dir[64];
	struct err err;
	struct buf out;

	tempdir_make(dir);
	buf_init(&out, 100);
	MUST(treedb_open(&t, dir, 4, DB_DURABLE, &err) == 0);
	transaction(t, true, 10);
	MUST(treedb_begin(t, &err) == 0);
	MUST(treedb_put_fact(t, "epoch", slice_str("7"), &err) == 0);
	MUST(treedb_commit(t, &err) == 0);
	ok(reader_agrees(self, dir), "a reader reads what was written");
	transaction(t, true, 10);
	ok(reader_agrees(self, dir), "and what was written since");
	treedb_close(&t);
	MUST(treedb_open(&t, dir, 9, DB_DURABLE, &err) == 0);
	ok(treedb_shards(t) == 4, "shards as at the first opening");
	ok(walk_agrees(t, "", "", 0), "all is there after reopening");
	ok(treedb_get_fact(t, "epoch", &out, &err) == 1 &&
	        slice_is(buf_slice(&out), "7"),
	    "facts too");
	treedb_close(&t);
	buf_fini(&out);
	tempdir_remove(dir);
}

/* Long keys split pages of few entries. */
static void
test_long_keys(void)
{
	static char key[TREEDB_KEY_MAX + 1];
	struct treedb *t;
	struct err err;
	uint64_t n;

	MUST(treedb_open(&t, NULL, 1, DB_MEMORY, &err) == 0);
	MUST(treedb_begin(t, &err) == 0);
	for (unsigned i = 0; i < 2000; i++) {
		size_t len = TREEDB_KEY_MAX - roll(100);
		struct slice tag = slice_str("tag");

		memset(key, 'k', len);
		key[0] = (char)('a' + roll(20));
		snprintf(key + len - 8, 8, "%07u", i);
		MUST(treedb_put(t, slice_of(key, len - 1), slice_str("v"), &tag,
		         1, &err) == 0);
	}
	MUST(treedb_commit(t, &err) == 0);
	ok(treedb_count(t, &n, &err) == 0 && n == 2000, "long keys");
	treedb_close(&t);
}

int
main(int argc, char **argv)
{
	if (argc == 2)
		return reader(argv[1]);
	test_law(DB_MEMORY, STEPS / 10, "memory");
	test_law(DB_CACHE, 300, "cache");
	make_keys();
	test_reopen(argv[0]);
	test_long_keys();
	return done_testing();
}
