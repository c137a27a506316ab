/*
 * mboxdigest: sums do not depend on the order; what is removed leaves no trace;
 * every field that counts counts.
 */
#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "t/tap.h"

static const struct mboxrec base = { .state = MBOXREC_ACTIVE,
	.location = { (const uint8_t *)"be1!p", 5 },
	.acl = { (const uint8_t *)"a\tl\t", 4 },
	.generation = 7 };

static void
test_root(const char *name, const char *root)
{
	ok(slice_is(mboxdigest_root(slice_str(name)), root), "root of %s",
	    name);
}

static void
test_field(const struct mboxrec *r, bool counts, const char *what)
{
	struct slice name = slice_str("user.fred");

	ok((mboxdigest_entry(name, r) != mboxdigest_entry(name, &base)) ==
	        counts,
	    "%s %s", what, counts ? "counts" : "does not count");
}

static void
test_fields(void)
{
	struct mboxrec r = base;

	r.state = MBOXREC_MOVING;
	test_field(&r, true, "the state");
	r = base;
	r.type = 1;
	test_field(&r, true, "the type");
	r = base;
	r.generation++;
	test_field(&r, true, "the generation");
	r = base;
	r.location = slice_str("be1!q");
	test_field(&r, true, "the location");
	r = base;
	r.acl = slice_of(NULL, 0);
	test_field(&r, true, "the ACL");
	r = base;
	r.mailboxid = slice_str("M1");
	test_field(&r, true, "the MAILBOXID");
	r = base;
	r.special_uses = slice_str("M1");
	test_field(&r, true, "the special use");
	r = base;
	r.revision = r.created = r.since = 5;
	r.uidvalidity = 5;
	r.pending = 1;
	r.owner = slice_str("be1");
	test_field(&r, false, "what only one side knows");
	r = base;
	r.location = slice_str("be1!pa");
	r.acl = slice_str("\tl\t");
	test_field(&r, true, "where a string ends");
}

static void
test_sums(void)
{
	static const char *const names[] = { "user.a", "user.b", "user.b.x" };
	struct mboxdigest up = { 0 }, down = { 0 }, none = { 0 };
	uint8_t buckets[MBOXDIGEST_BUCKETS];

	for (size_t i = 0; i < 3; i++) {
		mboxdigest_add(&up, slice_str(names[i]), &base);
		mboxdigest_add(&down, slice_str(names[2 - i]), &base);
	}
	ok(up.count == 3 && mboxdigest_differences(&up, &down, buckets) == 0,
	    "the order is no matter");
	ok(mboxdigest_differences(&up, &none, buckets) == 2 &&
	        buckets[0] < buckets[1],
	    "two roots, two buckets");
	mboxdigest_remove(&up, slice_str("user.b.x"), &base);
	ok(mboxdigest_differences(&up, &down, buckets) == 1 &&
	        buckets[0] == mboxdigest_bucket(slice_str("user.b")),
	    "what is gone shows in its bucket");
	mboxdigest_remove(&up, slice_str("user.a"), &base);
	mboxdigest_remove(&up, slice_str("user.b"), &base);
	ok(up.count == 0 && mboxdigest_differences(&up, &none, buckets) == 0,
	    "what is removed leaves no trace");
}

static void
test_text(void)
{
	struct mboxdigest d = { 0 }, back = { 0 };
	uint8_t buckets[MBOXDIGEST_BUCKETS];
	struct buf b;

	buf_init(&b, 2 * MBOXDIGEST_TEXT);
	mboxdigest_add(&d, slice_str("user.fred"), &base);
	d.sums[0] = UINT64_MAX;
	mboxdigest_put(&b, &d);
	ok(buf_len(&b) == MBOXDIGEST_TEXT &&
	        mboxdigest_parse(&back, buf_slice(&b)) &&
	        mboxdigest_differences(&d, &back, buckets) == 0,
	    "as text, and back");
	ok(!mboxdigest_parse(&back,
	       slice_first(buf_slice(&b), MBOXDIGEST_TEXT - 1)),
	    "text that is cut is refused");
	buf_truncate(&b, MBOXDIGEST_TEXT - 1);
	buf_putc(&b, 'g');
	ok(!mboxdigest_parse(&back, buf_slice(&b)) &&
	        mboxdigest_differences(&d, &back, buckets) == 0,
	    "so is other text, and nothing changes");
	buf_fini(&b);
}

int
main(void)
{
	test_root("user.fred", "user.fred");
	test_root("user.fred.Sent.2020", "user.fred");
	test_root("user", "user");
	test_root("", "");
	test_root("example.org!user.fred.Sent", "example.org!user.fred");
	test_root("a.b!c", "a.b!c");
	test_fields();
	test_sums();
	test_text();
	/* Other programs compute it, too: it never changes. */
	ok(mboxdigest_bucket(slice_str("user.fred")) == 178 &&
	        mboxdigest_entry(slice_str("user.fred"), &base) ==
	            0xb69dfce746ddf5c4,
	    "the same as ever");
	return done_testing();
}
