/*
 * What every store promises (backendd/store.h), asked of each module alike.
 */
#include "t/memory_store.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

static struct rig rig;
static char dir[64];

static void
test_create(void)
{
	struct store_mailbox *mb;

	ok(rig_create(&rig, "create-1", "name") == NULL, "a mailbox is made");
	ok(rig_create(&rig, "create-1", "x") != NULL, "and not made twice");
	mb = rig_open(&rig, "create-1");
	ok(mb != NULL && rig.why[0] == '\0', "it opens");
	ok(store_numbers(mb)->uidvalidity == 77, "UIDVALIDITY as asked");
	ok(store_numbers(mb)->uidnext == 1, "UIDNEXT starts at 1");
	ok(store_numbers(mb)->highestmodseq == 1, "HIGHESTMODSEQ at 1");
	ok(store_numbers(mb)->exists == 0, "it is empty");
	ok(slice_is(store_meta(mb), "name"), "it has its meta");
	store_close(&mb);
	ok(rig_open(&rig, "no-such") == NULL, "what is not there does not");
	ok(rig.why[0] != '\0', "and says so");
}

static void
test_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 100, 65535, 65536, 65537, 131072,
		200000, 3000000 };
	struct store_mailbox *mb;

	rig_create(&rig, "sizes", "");
	mb = rig_open(&rig, "sizes");
	for (size_t i = 0; i < NITEMS(sizes); i++) {
		size_t n = sizes[i], good = 0, asked = 0;
		uint8_t *octets = octets_new((uint32_t)i, n);
		struct store_append a = { .octets = slice_of(octets, n) };
		const size_t cuts[] = { 0, 1, 65535, 65536, 65537, n / 2, n };

		ok(rig_append(&rig, mb, &a, 1) == NULL && a.new_uid == i + 1,
		    "%zu octets are taken", n);
		for (size_t x = 0; x < NITEMS(cuts); x++)
			for (size_t y = 0; y < NITEMS(cuts); y++) {
				struct store_part p = { .uid = a.new_uid,
					.offset = cuts[x],
					.len = cuts[y] };
				struct slice s = rig_read(&rig, mb, &p), want;

				asked++;
				want = slice_of(octets, n);
				want =
				    slice_skip(want, cuts[x] < n ? cuts[x] : n);
				if (cuts[y] < want.len)
					want = slice_first(want, cuts[y]);
				good += p.why == NULL && slice_equal(s, want);
			}
		ok(good == asked, "and read in any pieces");
		free(octets);
	}
	store_close(&mb);
}

enum {
	MANY = 200
};

/* What message k of many has: octets and a cache record, or none. */
static struct slice
many_octets(uint8_t *all, unsigned k)
{
	static const size_t sizes[] = { 600, 0, 1, 7, 8, 65536, 65537, 900 };

	return slice_of(all + k, sizes[k * 7 / 3 % NITEMS(sizes)]);
}

static struct slice
many_cache(uint8_t *all, unsigned k)
{
	return slice_of(all + 2 * k, k % 9 == 4 ? 0 : 1 + k * 37 % 1500);
}

static bool
many_right(const struct store_part *p, uint8_t *all)
{
	unsigned k = p->uid - 1;
	struct slice want =
	    p->what == STORE_CACHE ? many_cache(all, k) : many_octets(all, k);

	if (p->what == STORE_OCTETS) {
		size_t skip = p->offset < want.len ? p->offset : want.len;

		want = slice_skip(want, skip);
		if (want.len > p->len)
			want.len = (size_t)p->len;
	}
	return p->why == NULL && slice_equal(p->octets, want);
}

/*
 * Many parts at once: side by side in the files or not, of one kind or of
 * both by turns, whole or in part.
 */
static void
test_read_many(void)
{
	static const unsigned steps[] = { 1, MANY - 1, 3, 7, 51 };
	uint8_t *all = octets_new(5, 70000);
	struct store_part *p = xcalloc(2 * MANY, sizeof *p);
	struct store_append *a = xcalloc(MANY, sizeof *a);
	struct store_mailbox *mb;

	rig_create(&rig, "many", "");
	mb = rig_open(&rig, "many");
	for (unsigned k = 0; k < MANY; k++)
		a[k] = (struct store_append){ .octets = many_octets(all, k),
			.cache = many_cache(all, k) };
	MUST(rig_append(&rig, mb, a, 50) == NULL);
	for (unsigned k = 50; k < 100; k++)
		MUST(rig_append(&rig, mb, &a[k], 1) == NULL);
	MUST(rig_append(&rig, mb, a + 100, MANY - 100) == NULL);
	for (unsigned s = 0; s < 4 * NITEMS(steps); s++) {
		unsigned right = 0, kinds = s % 4;

		for (unsigned i = 0, k = 0; i < 2 * MANY; i++) {
			p[i] = (struct store_part){ .uid = k + 1,
				.len =
				    i % 5 == 0 && kinds == 3 ? 10 : UINT64_MAX,
				.offset = i % 7 == 0 && kinds == 3 ? 3 : 0,
				.what = kinds == 0 || (kinds > 1 && i % 2 == 0)
				            ? STORE_OCTETS
				            : STORE_CACHE };
			if (kinds < 2 || i % 2 == 1)
				k = (k + steps[s / 4]) % MANY;
		}
		store_chunk_free(&rig.chunk);
		rig_ask(&rig);
		store_read(mb, p, 2 * MANY, rig_read_cb, &rig);
		rig_wait(&rig);
		for (unsigned i = 0; i < 2 * MANY; i++)
			right += many_right(&p[i], all);
		ok(right == 2 * MANY, "%u of %u parts, kinds %u, step %u",
		    right, 2 * MANY, kinds, steps[s / 4]);
	}
	store_chunk_free(&rig.chunk);
	store_close(&mb);
	free(all);
	free(p);
	free(a);
}

static void
test_fields(void)
{
	struct store_append a = { .octets = slice_str("text"),
		.flags = STORE_SEEN | STORE_DELETED,
		.internaldate = 1234567890,
		.zone = -90,
		.savedate = 1234567899,
		.emailid = "0123456789abcde",
		.uid = 500,
		.modseq = 7000,
		.cache = slice_str("cached") };
	struct store_part p = { .uid = 500, .what = STORE_CACHE };
	const struct store_msg *m;
	struct store_mailbox *mb;

	rig_create(&rig, "fields", "");
	mb = rig_open(&rig, "fields");
	rig_append(&rig, mb, &a, 1);
	m = store_find(mb, 500);
	ok(m != NULL && a.new_uid == 500, "a UID may be given");
	ok(m->modseq == 7000, "and a MODSEQ");
	ok(m->internaldate == 1234567890 && m->zone == -90, "and a date");
	ok(m->savedate == 1234567899, "and a SAVEDATE");
	ok(memcmp(m->emailid, "0123456789abcde", 16) == 0, "and an EMAILID");
	ok(store_numbers(mb)->uidnext == 501, "UIDNEXT is above it");
	ok(store_numbers(mb)->highestmodseq == 7000, "HIGHESTMODSEQ is it");
	ok(store_numbers(mb)->unseen == 0 && store_numbers(mb)->deleted == 1,
	    "flags are counted");
	ok(slice_is(rig_read(&rig, mb, &p), "cached"),
	    "its cache record is read");
	a.octets = slice_str("more");
	ok(rig_append(&rig, mb, &a, 1) == NULL && a.outcome == STORE_TAKEN,
	    "the same UID again is refused");
	rig_append_text(&rig, mb, "plain", 0);
	p.uid = 501;
	ok(rig_read(&rig, mb, &p).len == 0 && p.why == NULL,
	    "no cache record is an empty one");
	ok(!store_has_cache(mb, store_find(mb, 501)) &&
	        store_has_cache(mb, store_find(mb, 500)),
	    "who has one is known");
	p.uid = 499;
	ok(rig_read(&rig, mb, &p).len == 0 && p.why != NULL,
	    "no message is said");
	store_close(&mb);
}

static void
test_put_cache(void)
{
	static uint8_t longest[STORE_CACHE_MAX];
	struct store_record r[] = { { 2, slice_str("second") }, { 7, { 0 } },
		{ 8, slice_str("of nobody") }, { 1, slice_str("") },
		{ 4, slice_of(longest, sizeof longest) },
		{ 3, slice_str("third") } };
	struct store_part p = { .what = STORE_CACHE };
	struct store_append a = { .octets = slice_str("text"),
		.cache = slice_str("first") };
	struct store_mailbox *mb;

	memset(longest, 'x', sizeof longest);
	rig_create(&rig, "put-cache", "");
	mb = rig_open(&rig, "put-cache");
	for (unsigned i = 0; i < 4; i++)
		rig_append(&rig, mb, &a, 1);
	rig_ask(&rig);
	store_put_cache(mb, r, NITEMS(r), rig_cb, &rig);
	ok(rig_wait(&rig) == NULL, "cache records are put");
	p.uid = 1;
	ok(slice_is(rig_read(&rig, mb, &p), "first"),
	    "an empty one changes nothing");
	p.uid = 2;
	ok(slice_is(rig_read(&rig, mb, &p), "second"), "one is replaced");
	p.uid = 3;
	ok(slice_is(rig_read(&rig, mb, &p), "third"), "so is another");
	p.uid = 4;
	ok(slice_equal(rig_read(&rig, mb, &p), r[4].octets),
	    "so is the longest");
	rig_ask(&rig);
	r[0].octets = slice_str("again");
	store_put_cache(mb, r, 1, rig_cb, &rig);
	store_close(&mb);
	ok(rig_wait(&rig) == NULL, "it may be closed meanwhile");
	mb = rig_open(&rig, "put-cache");
	p.uid = 4;
	ok(slice_equal(rig_read(&rig, mb, &p), r[4].octets),
	    "what was put is there when it is opened again");
	store_close(&mb);
}

struct looking {
	struct store_part parts[2];
	bool seen, looked;
};

static void
look(void *arg)
{
	struct looking *l = arg;

	l->seen =
	    slice_is(l->parts[0].octets, "one") && l->parts[1].why != NULL;
}

static void
on_looked(void *arg, struct store_chunk *chunk)
{
	struct looking *l = arg;

	l->looked = l->seen;
	rig_read_cb(&rig, chunk);
}

static void
test_look(void)
{
	struct looking l = {
		.parts = { { .uid = 1,
		               .what = STORE_OCTETS,
		               .len = UINT64_MAX },
		    { .uid = 2, .what = STORE_OCTETS, .len = UINT64_MAX } }
	};
	struct store_mailbox *mb;

	rig_create(&rig, "look", "");
	mb = rig_open(&rig, "look");
	rig_append_text(&rig, mb, "one", 0);
	store_chunk_free(&rig.chunk);
	rig_ask(&rig);
	store_read_look(mb, l.parts, 2, look, on_looked, &l);
	rig_wait(&rig);
	ok(l.looked, "what is read can be looked at in the job");
	store_close(&mb);
}

struct heard {
	unsigned calls;
	uint64_t modseq;
	uint32_t first, last, changed, expunged;
	uint32_t exists;
	struct store_mailbox *mb;
};

static void
hear(void *arg, const struct store_news *news)
{
	struct heard *h = arg;

	h->calls++;
	h->modseq = news->modseq;
	h->first = news->first_uid;
	h->last = news->last_uid;
	h->changed = news->nchanged > 0 ? news->changed[0] : 0;
	h->expunged = news->nexpunged > 0 ? news->expunged[0] : 0;
	h->exists = store_numbers(h->mb)->exists;
}

static void
test_flags(void)
{
	struct store_change c[2] = { { .uid = 1, .set = STORE_SEEN },
		{ .uid = 9, .set = STORE_SEEN } };
	struct store_change d = { .uid = 1, .set = STORE_FLAGGED };
	struct heard heard = { 0 };
	struct store_mailbox *mb;
	int bit;

	rig_create(&rig, "flags", "");
	mb = rig_open(&rig, "flags");
	heard.mb = mb;
	rig_append_text(&rig, mb, "one", 0);
	rig_append_text(&rig, mb, "two", 0);
	store_observe(mb, hear, &heard);
	rig_ask(&rig);
	store_change(mb, c, 2, UINT64_MAX, rig_cb, &rig);
	rig_ask(&rig);
	store_change(mb, &d, 1, UINT64_MAX, rig_cb, &rig);
	ok(store_find(mb, 1)->flags == 0, "nothing is seen before its time");
	ok(rig_wait(&rig) == NULL, "flags are changed");
	ok(c[0].outcome == STORE_DONE && c[1].outcome == STORE_GONE,
	    "what was there and what was not");
	ok(store_find(mb, 1)->flags == (STORE_SEEN | STORE_FLAGGED),
	    "two changes at once are both made");
	ok(store_find(mb, 1)->modseq == 5, "each with its MODSEQ");
	ok(heard.calls == 2 && heard.changed == 1 && heard.modseq == 5,
	    "the observer was told of each");
	ok(rig_change(&rig, mb, &d, 1) == NULL && d.outcome == STORE_SAME &&
	        store_find(mb, 1)->modseq == 5,
	    "what is so already gets no MODSEQ");
	d.set = STORE_DRAFT;
	rig_ask(&rig);
	store_change(mb, &d, 1, 4, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL && d.outcome == STORE_MODIFIED,
	    "UNCHANGEDSINCE holds it back");
	rig_ask(&rig);
	store_change(mb, NULL, 0, UINT64_MAX, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL && heard.modseq == 6 &&
	        store_numbers(mb)->highestmodseq == 6 &&
	        store_find(mb, 1)->modseq == 5,
	    "the mailbox's MODSEQ goes up alone");
	bit = store_keyword_add(mb, slice_str("Junk"));
	ok(store_keyword_add(mb, slice_str("jUNK")) == bit &&
	        store_keyword_find(mb, slice_str("junk")) == bit,
	    "keywords have no case");
	d.set_keywords[0] = 1u << bit;
	rig_change(&rig, mb, &d, 1);
	store_close(&mb);
	mb = rig_open(&rig, "flags");
	ok(store_keywords(mb) == 1 && strcmp(store_keyword(mb, 0), "Junk") == 0,
	    "keywords are kept");
	ok(store_find(mb, 1)->keywords[0] == 1, "and who has them");
	ok(store_claim_recent(mb) == 1 && store_recent(mb) == 3,
	    "recent is claimed once");
	rig_ask(&rig);
	store_change(mb, NULL, 0, UINT64_MAX, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL, "a MODSEQ of nobody's");
	store_close(&mb);
	mb = rig_open(&rig, "flags");
	ok(store_numbers(mb)->highestmodseq == 8, "is kept");
	rig_append_text(&rig, mb, "new", 0);
	store_close(&mb);
	rig_idle(&rig);
	mb = rig_open(&rig, "flags");
	ok(store_claim_recent(mb) == 3, "what came is recent, if nothing else");
	store_close(&mb);
	rig_idle(&rig);
	mb = rig_open(&rig, "flags");
	ok(store_recent(mb) == 4, "once, also if nothing was changed then");
	store_close(&mb);
}

static void
test_keyword_limits(void)
{
	struct store_mailbox *mb;
	char name[80];
	int i;

	rig_create(&rig, "keywords", "");
	mb = rig_open(&rig, "keywords");
	for (i = 0; i < STORE_KEYWORDS; i++) {
		snprintf(name, sizeof name, "k%d", i);
		if (store_keyword_add(mb, slice_str(name)) != i)
			break;
	}
	ok(i == STORE_KEYWORDS, "as many keywords as promised");
	ok(store_keyword_add(mb, slice_str("one-more")) == -1, "no more");
	ok(store_keyword_add(mb, slice_str("k7")) == 7, "old ones are found");
	store_close(&mb);
	rig_create(&rig, "keywords2", "");
	mb = rig_open(&rig, "keywords2");
	memset(name, 'a', sizeof name);
	ok(store_keyword_add(mb, slice_of(name, 65)) == -1, "nor longer");
	ok(store_keyword_add(mb, slice_of(name, 64)) == 0, "than promised");
	store_close(&mb);
}

static void
test_expunge(void)
{
	static const uint32_t some[] = { 2, 3, 9 }, all[] = { 1, 4, 5 };
	struct store_change c = { .uid = 5, .set = STORE_DELETED };
	struct heard heard = { 0 };
	struct store_mailbox *mb;

	rig_create(&rig, "expunge", "");
	mb = rig_open(&rig, "expunge");
	heard.mb = mb;
	for (int i = 0; i < 5; i++)
		rig_append_text(&rig, mb, "text", 0);
	store_observe(mb, hear, &heard);
	ok(rig_expunge(&rig, mb, some, 3) == NULL, "expunge");
	ok(heard.calls == 1 && heard.expunged == 2 && heard.exists == 3,
	    "the observer sees the index without them");
	ok(store_at(mb, 0)->uid == 1 && store_at(mb, 1)->uid == 4 &&
	        store_at(mb, 2)->uid == 5,
	    "what is left moves up");
	ok(store_find(mb, 2) == NULL && store_index(mb, 2) == 1 &&
	        store_index(mb, 9) == 3,
	    "and is found where it is");
	ok(store_index_behind(mb, 1) == 1 && store_index_behind(mb, 2) == 1 &&
	        store_index_behind(mb, 4) == 2 &&
	        store_index_behind(mb, UINT32_MAX) == 3,
	    "so is the place behind a UID, the highest too");
	rig_ask(&rig);
	store_change(mb, &c, 1, UINT64_MAX, rig_cb, &rig);
	rig_ask(&rig);
	store_expunge(mb, all, 3, STORE_DELETED, rig_cb, &rig);
	rig_wait(&rig);
	ok(store_numbers(mb)->exists == 2 && store_find(mb, 5) == NULL,
	    "if_flags holds of flags under way");
	rig_ask(&rig);
	store_expunged(mb, 6, rig_gone_cb, &rig);
	ok(rig_wait(&rig) == NULL && rig.ngone == 3 && rig.gone[0].uid == 2 &&
	        rig.gone[0].modseq == 7 && rig.gone[2].uid == 5,
	    "what has gone is remembered");
	rig_ask(&rig);
	store_expunged(mb, 7, rig_gone_cb, &rig);
	rig_wait(&rig);
	ok(rig.ngone == 1, "since when");
	store_close(&mb);
	mb = rig_open(&rig, "expunge");
	ok(store_numbers(mb)->exists == 2 && store_at(mb, 1)->uid == 4,
	    "the same when opened again");
	store_close(&mb);
}

/* Octets given and a message that goes: in one mailbox, and between two. */
static void
test_replace(struct store_mailbox *mb, struct store_mailbox *to)
{
	struct store_append a = { .octets = slice_str("new"), .from_uid = 2 };
	struct heard heard = { .mb = mb };
	uint32_t next = store_numbers(mb)->uidnext;
	struct store_part p = { .uid = next, .len = UINT64_MAX };

	store_observe(mb, hear, &heard);
	rig_ask(&rig);
	store_move(mb, mb, &a, 1, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL && a.outcome == STORE_DONE &&
	        a.new_uid == next && store_find(mb, 2) == NULL,
	    "replaced in its mailbox");
	ok(slice_is(rig_read(&rig, mb, &p), "new"), "by what was given");
	ok(heard.calls == 1 && heard.first == next && heard.expunged == 2 &&
	        store_find(mb, next)->modseq ==
	            store_numbers(mb)->highestmodseq,
	    "in one change");
	rig_ask(&rig);
	store_move(mb, mb, &a, 1, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL && a.outcome == STORE_GONE &&
	        store_numbers(mb)->uidnext == next + 1,
	    "not what is gone");
	store_close(&mb);
	mb = rig_open(&rig, "copy-from");
	ok(store_numbers(mb)->exists == 1 && store_find(mb, next) != NULL,
	    "it is so when opened again");
	a.from_uid = next;
	p.uid = store_numbers(to)->uidnext;
	rig_ask(&rig);
	store_move(mb, to, &a, 1, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL && a.outcome == STORE_DONE &&
	        store_numbers(mb)->exists == 0 &&
	        slice_is(rig_read(&rig, to, &p), "new"),
	    "replaced by one in another mailbox");
	store_close(&mb);
}

static void
test_copy(void)
{
	struct store_append a[3] = { 0 };
	struct store_mailbox *mb, *to;
	struct store_part p = { .uid = 1, .len = UINT64_MAX };
	uint32_t one[] = { 1 };

	rig_create(&rig, "copy-from", "");
	rig_create(&rig, "copy-to", "");
	mb = rig_open(&rig, "copy-from");
	to = rig_open(&rig, "copy-to");
	rig_append_text(&rig, mb, "one", 0);
	rig_append_text(&rig, mb, "two", STORE_SEEN);
	rig_append_text(&rig, mb, "three", 0);
	for (uint32_t i = 0; i < 2; i++) {
		a[i].from = mb;
		a[i].from_uid = i == 0 ? 2 : 17;
	}
	ok(rig_append(&rig, to, a, 2) == NULL && a[0].outcome == STORE_DONE &&
	        a[1].outcome == STORE_GONE,
	    "copies what is there");
	ok(slice_is(rig_read(&rig, to, &p), "two"), "octet for octet");
	ok(store_find(to, 1)->flags == 0, "flags are the caller's to say");
	ok(memcmp(store_find(to, 1)->emailid, store_find(mb, 2)->emailid, 16) ==
	        0,
	    "the EMAILID is the same");
	ok(store_find(to, 1)->internaldate == store_find(mb, 2)->internaldate,
	    "and the date");
	a[0].from_uid = 3;
	a[1].from_uid = 1;
	rig_ask(&rig);
	store_move(mb, to, a, 2, rig_cb, &rig);
	ok(rig_wait(&rig) == NULL, "moves");
	ok(store_numbers(mb)->exists == 1 && store_at(mb, 0)->uid == 2 &&
	        store_numbers(to)->exists == 3,
	    "from one to the other");
	p.uid = 2;
	ok(slice_is(rig_read(&rig, to, &p), "three"), "in the order given");
	a[0] = (struct store_append){ .from = to, .from_uid = 1 };
	rig_ask(&rig);
	store_move(to, mb, a, 1, rig_cb, &rig);
	ok(rig_expunge(&rig, to, one, 1) == NULL && store_find(to, 1) == NULL &&
	        store_numbers(mb)->exists ==
	            (a[0].outcome == STORE_DONE ? 2u : 1u),
	    "what an expunge takes first is not moved");
	one[0] = a[0].new_uid;
	rig_expunge(&rig, mb, one, a[0].outcome == STORE_DONE);
	test_replace(mb, to);
	store_close(&to);
}

static void
test_keys(void)
{
	struct store_append a = { .octets = slice_str("x"), .key = "key" };
	struct store_append b = a, c[2] = { a, a };
	static const uint32_t one[] = { 1 };
	struct store_mailbox *mb;

	rig_create(&rig, "keys", "");
	mb = rig_open(&rig, "keys");
	rig_ask(&rig);
	store_append(mb, &a, 1, rig_cb, &rig);
	ok(rig_append(&rig, mb, &b, 1) == NULL && a.outcome == STORE_DONE &&
	        b.outcome == STORE_TAKEN,
	    "a key is taken once, even at the same time");
	rig_expunge(&rig, mb, one, 1);
	ok(rig_append(&rig, mb, &b, 1) == NULL && b.outcome == STORE_TAKEN,
	    "and remembered when the message has gone");
	c[0].key[0] = c[1].key[0] = 'K';
	ok(rig_append(&rig, mb, c, 2) == NULL && c[0].outcome == STORE_DONE &&
	        c[1].outcome == STORE_TAKEN,
	    "within one append too");
	store_close(&mb);
	mb = rig_open(&rig, "keys");
	ok(rig_append(&rig, mb, &b, 1) == NULL && b.outcome == STORE_TAKEN,
	    "and when opened again");
	store_close(&mb);
}

static void
test_close(void)
{
	struct store_append a = { .octets = slice_str("late") };
	struct store_part p = { .uid = 1, .len = UINT64_MAX };
	struct heard heard = { 0 };
	struct store_mailbox *mb;

	rig_create(&rig, "close", "");
	mb = rig_open(&rig, "close");
	heard.mb = mb;
	store_observe(mb, hear, &heard);
	rig_ask(&rig);
	store_append(mb, &a, 1, rig_cb, &rig);
	store_close(&mb);
	rig_ask(&rig);
	store_open(rig.store, "close", rig_open_cb, &rig);
	ok(rig_wait(&rig) == NULL, "closed and opened with a change under way");
	mb = rig.opened;
	ok(store_numbers(mb)->exists == 1 && heard.calls == 0,
	    "it is made, and the observer is not told");
	store_chunk_free(&rig.chunk);
	rig_ask(&rig);
	store_read(mb, &p, 1, rig_read_cb, &rig);
	store_close(&mb);
	rig_wait(&rig);
	ok(slice_is(p.octets, "late"), "a read outlives its mailbox");
}

struct seen {
	unsigned n, damaged;
	bool meta;
};

static bool
see(void *arg, const struct store_entry *e)
{
	struct seen *s = arg;

	s->n++;
	s->damaged += e->damage != NULL;
	s->meta |= strcmp(e->id, "meta") == 0 && slice_is(e->meta, "new") &&
	           e->uidvalidity == 77;
	return true;
}

static void
test_meta(void)
{
	struct seen before = { 0 }, after = { 0 };
	struct store_mailbox *mb;
	struct err err;

	ok(store_each(rig.store, see, &before, &err) == 0, "walks");
	rig_create(&rig, "meta", "old");
	mb = rig_open(&rig, "meta");
	rig_ask(&rig);
	store_set_meta(mb, slice_str("new"), rig_cb, &rig);
	ok(rig_wait(&rig) == NULL && slice_is(store_meta(mb), "new"),
	    "meta is set");
	store_close(&mb);
	ok(store_each(rig.store, see, &after, &err) == 0 &&
	        after.n == before.n + 1 && after.meta && after.damaged == 0,
	    "the walk shows it");
	rig_ask(&rig);
	store_destroy(rig.store, "meta", rig_cb, &rig);
	ok(rig_wait(&rig) == NULL, "destroyed");
	ok(rig_open(&rig, "meta") == NULL, "it has gone");
	after = (struct seen){ 0 };
	ok(store_each(rig.store, see, &after, &err) == 0 &&
	        after.n == before.n && !after.meta,
	    "from the walk too");
	rig_ask(&rig);
	store_destroy(rig.store, "meta", rig_cb, &rig);
	ok(rig_wait(&rig) == NULL, "what is not there may be destroyed");
}

static void
rig_peek_cb(void *arg)
{
	rig_cb(arg, NULL);
}

static bool
peek_says(struct store_peek *p, uint32_t exists, uint32_t unseen,
    uint32_t recent)
{
	rig_ask(&rig);
	store_peek(rig.store, p, 1, rig_peek_cb, &rig);
	rig_wait(&rig);
	return p->why == NULL && p->numbers.exists == exists &&
	       p->numbers.unseen == unseen && p->recent == recent;
}

static void
test_peek(void)
{
	struct store_peek p = { .id = "peek" };
	struct store_peek two[2] = { { .id = "no-such" }, { .id = "peek" } };
	static const uint32_t some[] = { 4, 50 };
	struct store_numbers before;
	struct store_mailbox *mb;

	rig_create(&rig, "peek", "");
	ok(peek_says(&p, 0, 0, 0) && p.numbers.uidvalidity == 77 &&
	        p.numbers.uidnext == 1 && p.numbers.highestmodseq == 1,
	    "the numbers of an empty mailbox that is not open");
	mb = rig_open(&rig, "peek");
	rig_append_text(&rig, mb, "one", STORE_SEEN);
	store_claim_recent(mb);
	for (int i = 2; i <= 70; i++)
		rig_append_text(&rig, mb, "more", 0);
	ok(peek_says(&p, 70, 69, 69), "of one that is open");
	rig_expunge(&rig, mb, some, 2);
	before = *store_numbers(mb);
	store_close(&mb);
	ok(peek_says(&p, 68, 67, 67) && p.numbers.uidnext == before.uidnext &&
	        p.numbers.highestmodseq == before.highestmodseq &&
	        p.numbers.size == before.size,
	    "and of one closed, as when it was open");
	rig_ask(&rig);
	store_peek(rig.store, two, 2, rig_peek_cb, &rig);
	rig_wait(&rig);
	ok(two[0].why != NULL && two[1].why == NULL &&
	        two[1].numbers.size == p.numbers.size,
	    "one that is not there does not take those of others");
}

/* A mailbox of UIDs, that counts how often it is looked at. */
enum {
	LISTED = 3000
};

struct listed {
	struct store_mailbox store; /* first */
	struct store_msg msgs[LISTED];
	unsigned looks;
};

static const struct store_msg *
listed_at(const struct store_mailbox *mb, uint32_t i)
{
	struct listed *l = (struct listed *)(uintptr_t)mb;

	l->looks++;
	return &l->msgs[i];
}

static const struct store_module listed_module = { .at = listed_at };

/* every: of so many UIDs one is not there. */
static struct listed *
listed_new(unsigned every)
{
	struct listed *l = xcalloc(1, sizeof *l);
	uint32_t uid = 1;

	l->store.module = &listed_module;
	l->store.numbers.exists = LISTED;
	for (uint32_t i = 0; i < LISTED; i++, uid++) {
		uid += uid % every == 0;
		l->msgs[i].uid = uid;
	}
	l->store.numbers.uidnext = uid + (every < LISTED ? every / 8 : 0);
	return l;
}

/* All of them found, from wherever it looked before? */
static bool
finds_all(struct listed *l, unsigned *most)
{
	struct store_mailbox *mb = &l->store;
	uint32_t end = mb->numbers.uidnext + 2;
	bool good = true;

	*most = 0;
	for (uint32_t k = 0; k < 7 * end; k++) {
		uint32_t uid = (uint32_t)((uint64_t)k * 2654435761u % end), i;

		l->looks = 0;
		i = store_index(mb, uid);
		if (l->looks > *most)
			*most = l->looks;
		good = good && i <= LISTED &&
		       (i == LISTED || l->msgs[i].uid >= uid) &&
		       (i == 0 || l->msgs[i - 1].uid < uid);
	}
	return good;
}

static void
test_index(void)
{
	static const unsigned every[] = { 2, 3, 8, 100, 1000, 4 * LISTED };
	unsigned most;

	for (size_t i = 0; i < NITEMS(every); i++) {
		struct listed *l = listed_new(every[i]);

		ok(finds_all(l, &most), "found, 1 of %u not there: %u looks",
		    every[i], most);
		if (i + 1 == NITEMS(every))
			ok(most <= 2, "...and where none is missing no search");
		free(l);
	}
}

/* What is asked, and what it need not do. */
struct module {
	const struct store_module *module;
	bool holds; /* what is expunged can be brought back */
};

/* A long random life, compared with the model now and then. */
static void
test_model(const struct module *m, uint32_t seed)
{
	struct work *w = xcalloc(1, sizeof *w);
	const char *why = NULL;
	unsigned bad = 0;

	tempdir_make(dir);
	w->options =
	    (struct store_options){ .hold_seconds =
		                        m->holds && seed % 2 ? 100000 : 0 };
	MUST(work_start(w, m->module, dir) == 0);
	w->model.x = seed;
	for (unsigned i = 1; i <= 300 && why == NULL; i++) {
		struct op op;

		model_next(&w->model, &op);
		why = work_do(w, &op, NULL, NULL);
		if (i % 20 == 0) {
			if (why == NULL)
				why = rig_wait(&w->rig);
			bad += !work_is_right(w);
		}
		if (i % 50 == 0) {
			rig_wait(&w->rig);
			work_restart(w);
			bad += !work_is_right(w);
		}
	}
	ok(why == NULL && bad == 0, "as the model, seed %u", seed);
	work_close(w);
	rig_stop(&w->rig);
	tempdir_remove(dir);
	free(w);
}

static void
test_module(const struct module *m)
{
	printf("# %s\n", m->module->name);
	tempdir_make(dir);
	MUST(rig_start(&rig, m->module, dir) == 0);
	test_create();
	test_sizes();
	test_read_many();
	test_fields();
	test_put_cache();
	test_look();
	test_flags();
	test_keyword_limits();
	test_expunge();
	test_copy();
	test_keys();
	test_close();
	test_meta();
	test_peek();
	store_chunk_free(&rig.chunk);
	rig_stop(&rig);
	tempdir_remove(dir);
	for (uint32_t seed = 1; seed <= 4; seed++)
		test_model(m, seed);
}

int
main(void)
{
	static const struct module modules[] = {
		{ &spool_module, true },
		{ &memory_module, true },
		{ &maildir_module, false },
	};

	test_index();
	for (size_t i = 0; i < NITEMS(modules); i++)
		test_module(&modules[i]);
	memory_store_forget();
	return done_testing();
}
