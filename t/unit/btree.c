/*
 * btree: whatever is put and deleted, what is there is what a sorted array
 * that went through the same has: by looking up, by scanning, and counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/btree.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "t/tap.h"

enum {
	KEYS_MAX = 2000,
	VALUE_MAX = 5000
};

static const struct pages_set set = { 0, PAGES_NAMES };

/* Key i of a fixed sorted list is there or not, and with what. */
struct model {
	uint8_t key[BTREE_KEY_MAX];
	size_t key_len;
	bool there;
	uint32_t value; /* value_of() makes octets of it */
};

struct play {
	const char *what;
	size_t nkeys, steps;
	size_t long_keys;   /* one in so many is long; 0: none */
	size_t long_values; /* the same; some of these are far */
	uint32_t seed;
	struct model *keys;
	struct pages *pages;
	struct btree *tree;
	struct buf value, out;
};

static uint32_t
roll(struct play *p, uint32_t n)
{
	p->seed = p->seed * 1664525 + 1013904223;
	return (p->seed >> 8) % n;
}

static int
by_key(const void *a, const void *b)
{
	const struct model *x = a, *y = b;

	return slice_compare(slice_of(x->key, x->key_len),
	    slice_of(y->key, y->key_len));
}

/* Of few different octets, so that many share much; some extend others. */
static void
make_keys(struct play *p, size_t n)
{
	size_t kept = 0;

	p->keys = calloc(n, sizeof(p->keys[0]));
	MUST(p->keys != NULL);
	for (size_t i = 0; i < n; i++) {
		struct model *m = &p->keys[i];
		bool is_long =
		    p->long_keys > 0 && roll(p, (uint32_t)p->long_keys) == 0;

		if (i > 0 && roll(p, 3) > 0)
			*m = p->keys[roll(p, (uint32_t)i)];
		for (uint32_t more = 1 + roll(p, is_long ? 1200 : 12);
		     more > 0 && m->key_len < BTREE_KEY_MAX; more--)
			m->key[m->key_len++] = (uint8_t)(roll(p, 4) * 70);
	}
	qsort(p->keys, n, sizeof(p->keys[0]), by_key);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || by_key(&p->keys[kept - 1], &p->keys[i]) != 0)
			p->keys[kept++] = p->keys[i];
	p->nkeys = kept;
}

/* Alike as records are: fields at their places, some of them different. */
static struct slice
value_of(struct play *p, uint32_t number)
{
	size_t more = number % 7 == 0 ? number % 40 : 0;

	if (p->long_values > 0 && number % p->long_values == 0)
		more += number % VALUE_MAX;
	buf_clear(&p->value);
	buf_printf(&p->value, "%08u be1!default u%u lrswipkxte %u ", number,
	    number % 50, number % 3);
	while (more-- > 0)
		buf_putc(&p->value, (uint8_t)(number * more));
	if (number % 11 == 0)
		buf_clear(&p->value);
	return buf_slice(&p->value);
}

static struct slice
key_of(const struct model *m)
{
	return slice_of(m->key, m->key_len);
}

/* Does the tree answer this for that key? */
static void
agree(struct play *p, const struct model *m, int found, struct buf *old)
{
	MUST(found == m->there);
	if (found == 1)
		MUST(slice_equal(buf_slice(old), value_of(p, m->value)));
	buf_clear(old);
}

static void
change(struct play *p, struct model *m, bool put)
{
	uint32_t value = roll(p, 100000);
	struct err err;

	if (put) {
		/* What was there is compared with the model afterwards, as
		 * both use the value's buffer. */
		struct slice v = value_of(p, value);

		agree(p, m,
		    btree_put(p->tree, set, key_of(m), v, &p->out, &err),
		    &p->out);
		m->value = value;
	} else {
		agree(p, m,
		    btree_delete(p->tree, set, key_of(m), &p->out, &err),
		    &p->out);
	}
	m->there = put;
}

/* A scan from a place has the rest of the model. */
static void
check_scan(struct play *p, size_t at, struct slice from)
{
	struct slice key, value;
	struct buf next;
	struct err err;
	int more;

	buf_init(&next, BTREE_KEY_MAX + 1);
	buf_put_slice(&next, from);
	while ((more = btree_seek(p->tree, set, buf_slice(&next), &err)) == 1) {
		while ((more = btree_pull(p->tree, &key, &value, &err)) == 1) {
			while (at < p->nkeys && !p->keys[at].there)
				at++;
			MUST(at < p->nkeys &&
			     slice_equal(key, key_of(&p->keys[at])));
			MUST(
			    slice_equal(value, value_of(p, p->keys[at].value)));
			at++;
			buf_clear(&next);
			buf_put_slice(&next, key);
			buf_putc(&next, '\0');
		}
		MUST(more == 0);
	}
	MUST(more == 0);
	while (at < p->nkeys && !p->keys[at].there)
		at++;
	MUST(at == p->nkeys);
	buf_fini(&next);
}

static void
check(struct play *p)
{
	size_t at = roll(p, (uint32_t)p->nkeys);
	uint64_t count, want = 0;
	struct err err;

	for (size_t i = 0; i < p->nkeys; i++) {
		struct model *m = &p->keys[i];

		want += m->there;
		agree(p, m, btree_get(p->tree, set, key_of(m), &p->out, &err),
		    &p->out);
	}
	MUST(btree_count(p->tree, set, &count, &err) == 0 && count == want);
	check_scan(p, 0, slice_of(NULL, 0));
	check_scan(p, at, key_of(&p->keys[at]));
}

static void
some(struct play *p, uint32_t puts_in_ten)
{
	for (uint32_t n = 1 + roll(p, 20); n > 0; n--)
		change(p, &p->keys[roll(p, (uint32_t)p->nkeys)],
		    roll(p, 10) < puts_in_ten);
}

/* Behind all there is, in order; in between changes not far before. */
static void
run(struct play *p, uint32_t puts_in_ten)
{
	size_t at = p->nkeys, back;

	while (at > 0 && !p->keys[at - 1].there)
		at--;
	for (uint32_t n = roll(p, 60); n > 0 && at < p->nkeys; n--) {
		change(p, &p->keys[at], true);
		back = roll(p, 8);
		if (roll(p, 5) == 0 && back <= at)
			change(p, &p->keys[at - back],
			    roll(p, 10) < puts_in_ten);
		at += 1 + roll(p, 3);
	}
}

/* Some changes, kept or taken back. */
static void
transaction(struct play *p, bool keep, uint32_t puts_in_ten)
{
	struct model *before = malloc(p->nkeys * sizeof(p->keys[0]));
	struct err err;

	MUST(before != NULL);
	memcpy(before, p->keys, p->nkeys * sizeof(p->keys[0]));
	MUST(pages_begin(p->pages, &err) == 0);
	if (roll(p, 2) == 0)
		run(p, puts_in_ten);
	else
		some(p, puts_in_ten);
	if (keep) {
		MUST(pages_commit(p->pages, &err) == 0);
	} else {
		pages_cancel(p->pages);
		memcpy(p->keys, before, p->nkeys * sizeof(p->keys[0]));
	}
	free(before);
}

static void
all_of_them(struct play *p, bool put)
{
	struct err err;

	MUST(pages_begin(p->pages, &err) == 0);
	for (size_t i = 0; i < p->nkeys; i++)
		change(p, &p->keys[i], put);
	MUST(pages_commit(p->pages, &err) == 0);
	check(p);
}

static void
play(struct play *p, size_t every)
{
	make_keys(p, p->nkeys);
	p->pages = pages_new(1);
	p->tree = btree_new(p->pages);
	buf_init(&p->value, 2 * VALUE_MAX);
	buf_init(&p->out, 2 * VALUE_MAX);
	for (size_t i = 0; i < p->steps; i++) {
		/* It grows, and shrinks, and again. */
		transaction(p, roll(p, 5) > 0,
		    i / (p->steps / 4 + 1) % 2 == 0 ? 8 : 2);
		if (i % every == 0)
			check(p);
	}
	all_of_them(p, true);
	all_of_them(p, false);
	ok(pages_octets(p->pages) == 0,
	    "%s: as the model; emptied, no page left", p->what);
	btree_free(&p->tree);
	pages_free(&p->pages);
	buf_fini(&p->value);
	buf_fini(&p->out);
	free(p->keys);
}

/*
 * What comes in order, over several transactions, some of them taken back, some
 * of it gone at once.
 */
static void
test_in_order(void)
{
	struct play p = { .nkeys = KEYS_MAX, .seed = 7 };
	size_t step;

	make_keys(&p, p.nkeys);
	p.pages = pages_new(1);
	p.tree = btree_new(p.pages);
	buf_init(&p.value, 2 * VALUE_MAX);
	buf_init(&p.out, 2 * VALUE_MAX);
	for (size_t i = 0; i < p.nkeys; i += step) {
		bool keep = roll(&p, 3) > 0;
		struct err err;

		step = 1 + roll(&p, 9);
		MUST(pages_begin(p.pages, &err) == 0);
		for (size_t k = i; k < i + step && k < p.nkeys; k++) {
			change(&p, &p.keys[k], true);
			if (roll(&p, 5) == 0)
				change(&p, &p.keys[k], false);
		}
		if (keep) {
			MUST(pages_commit(p.pages, &err) == 0);
			continue;
		}
		pages_cancel(p.pages);
		for (size_t k = i; k < i + step && k < p.nkeys; k++)
			p.keys[k].there = false;
	}
	check(&p);
	ok(true, "in order, some of it taken back");
	btree_free(&p.tree);
	pages_free(&p.pages);
	buf_fini(&p.value);
	buf_fini(&p.out);
	free(p.keys);
}

/* With a seed: this many plays more, checked after every transaction. */
int
main(int argc, char **argv)
{
	static const struct play plays[] = {
		{ .what = "many keys", .nkeys = KEYS_MAX, .steps = 600 },
		{ .what = "far values",
		    .nkeys = 500,
		    .steps = 500,
		    .long_values = 3 },
		{ .what = "long keys",
		    .nkeys = 400,
		    .steps = 500,
		    .long_keys = 2,
		    .long_values = 5 },
	};
	unsigned seeds = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

	for (unsigned seed = 1; seed <= seeds; seed++) {
		for (size_t i = 0; i < NITEMS(plays); i++) {
			struct play p = plays[i];

			p.seed = seed;
			play(&p, seeds > 1 ? 1 : 50);
		}
	}
	test_in_order();
	return done_testing();
}
