/*
 * The law: put then parsed is the same; what is cut or longer is refused.
 */
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "t/tap.h"

static void
test_law(const struct mboxrec *r, const char *what)
{
	struct mboxrec back;
	struct err err;
	struct buf b;
	bool refused = true;

	buf_init(&b, 4096);
	mboxrec_put(&b, r);
	ok(mboxrec_parse(&back, buf_slice(&b), &err) == 0 &&
	        mboxrec_equal(r, &back),
	    "%s: put and parsed", what);
	for (size_t n = 0; n < buf_len(&b); n++)
		if (mboxrec_parse(&back, slice_first(buf_slice(&b), n), &err) ==
		    0)
			refused = false;
	ok(refused, "%s: refused when cut anywhere", what);
	buf_putc(&b, 'x');
	ok(mboxrec_parse(&back, buf_slice(&b), &err) == -1,
	    "%s: refused when longer", what);
	buf_fini(&b);
}

/* As it was before records had a generation. */
static void
test_version_1(void)
{
	static const uint8_t old[] = "\1\2\0\0"
	                             "\0\0\0\7"
	                             "\0\0\0\0\0\0\0\0"
	                             "\0\0\0\0\0\0\0\11"
	                             "\0\0\0\3b!p"
	                             "\0\0\0\2a\t"
	                             "\0\0\0\0"
	                             "\0\0\0\0";
	struct mboxrec want = { .state = MBOXREC_ACTIVE,
		.uidvalidity = 7,
		.revision = 9,
		.location = slice_str("b!p"),
		.acl = slice_str("a\t") };
	struct mboxrec r;
	struct err err;

	ok(mboxrec_parse(&r, slice_of(old, sizeof(old) - 1), &err) == 0 &&
	        mboxrec_equal(&r, &want),
	    "version 1 is read");
}

static void
test_tags(const char *name, const char *acl, const char *want)
{
	struct mboxrec r = { .acl = slice_str(acl) };
	struct slice tags[3];
	struct buf b;
	size_t n = mboxrec_tags(&r, slice_str(name), tags, NITEMS(tags));

	buf_init(&b, 4096);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%.*s", i == 0 ? "" : " ", (int)tags[i].len,
		    (const char *)tags[i].ptr);
	ok(slice_is(buf_slice(&b), want), "identifiers: %s", want);
	buf_fini(&b);
}

int
main(void)
{
	struct mboxrec reserved = { .state = MBOXREC_RESERVED,
		.location = slice_str("be1!default") };
	struct mboxrec full = { .state = MBOXREC_ACTIVE,
		.type = 1,
		.pending = 2,
		.uidvalidity = 1700000000,
		.created = 1700000001,
		.revision = UINT64_MAX,
		.location = slice_str("be1!default"),
		.acl = slice_str("fred\tlrs\tanyone\tp\t"),
		.mailboxid = slice_str("Mabc"),
		.special_uses = slice_str("\\Drafts \\Sent"),
		.generation = UINT64_MAX - 5,
		.since = 1700000002,
		.owner = slice_str("be1") };
	struct mboxrec least = { .state = MBOXREC_MOVING };
	struct mboxrec later = { .state = MBOXREC_ACTIVE,
		.revision = 5,
		.generation = UINT64_MAX };

	test_law(&reserved, "reserved");
	test_law(&full, "full");
	test_law(&least, "nothing known");
	test_law(&later, "generation above revision");
	test_version_1();
	ok(slice_is(mboxrec_host(full.location), "be1") &&
	        slice_is(mboxrec_partition(full.location), "default"),
	    "parts of a location");
	ok(slice_is(mboxrec_host(slice_str("be1")), "be1") &&
	        mboxrec_partition(slice_str("be1")).len == 0,
	    "no partition");
	test_tags("", "", "");
	test_tags("user.fred.Drafts", "fred\tlrs\tanyone\tl\t", "anyone");
	test_tags("user.freda", "fred\tlrs\tfreda\tlrs\t", "fred");
	test_tags("a.b!user.f^x", "f.x\tl\tf.x@a.b\tl\t", "f.x");
	test_tags("shared.fred", "fred\tl\t", "fred");
	test_tags("", "fred\tlrs\tanyone\tlp\t", "fred anyone");
	test_tags("", "fred\tlrs\tanyone\tpl", "fred anyone");
	test_tags("", "fred\tlrs\tanyone\tp\t", "fred");
	test_tags("", "fred\tl\t-anyone\tl\t-fred\tl\t", "fred");
	test_tags("", "anyone\tp\tanyone\tl\t", "anyone");
	test_tags("", "fred\tlrs\tfred\tp\t", "fred");
	test_tags("", "a\tl\tb\tl\tc\tl\td\tl\t", "a b c");
	test_tags("", "anyone rls", "");
	test_tags("", "\tl\tb\tl\t", "b");
	return done_testing();
}
