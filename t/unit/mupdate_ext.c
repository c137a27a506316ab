/*
 * mupdate_ext: put, parsed, read is the same; what is not in form is refused.
 */
#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "t/tap.h"

static struct mupdate *parser;
static struct buf wire;

/* The one message in the buffer. */
static const struct mupdate_message *
parse(enum mupdate_side side)
{
	struct mupdate_limits limits = mupdate_defaults();
	size_t taken;

	mupdate_free(&parser);
	parser = mupdate_new(side, &limits);
	MUST(!buf_failed(&wire));
	MUST(mupdate_next(parser, buf_data(&wire), buf_len(&wire), &taken) ==
	     MUPDATE_MESSAGE);
	MUST(taken == buf_len(&wire));
	buf_clear(&wire);
	return mupdate_message(parser);
}

static const struct mupdate_message *
parse_text(enum mupdate_side side, const char *text)
{
	buf_puts(&wire, text);
	return parse(side);
}

static void
test_entry(const struct mboxrec *r, const char *what)
{
	const struct mupdate_message *m;
	struct mboxrec back;
	struct slice name;

	mupdate_ext_put_entry(&wire, slice_str("x"), slice_str("user.\"a"), r);
	m = parse(MUPDATE_CLIENT);
	ok(m->id == MUPDATE_XENTRY && slice_is(m->tag, "x") &&
	        mupdate_ext_get_entry(m, &name, &back) &&
	        slice_is(name, "user.\"a") && mboxrec_equal(&back, r),
	    "XENTRY, %s", what);
}

static void
test_bad_entry(const char *revision, const char *state, const char *generation,
    const char *type)
{
	struct mboxrec r;
	struct slice name;

	buf_printf(&wire,
	    "x XENTRY \"%s\" \"n\" \"l\" \"\" \"%s\" \"%s\" \"\" \"\" "
	    "\"%s\"\r\n",
	    revision, state, generation, type);
	ok(!mupdate_ext_get_entry(parse(MUPDATE_CLIENT), &name, &r),
	    "no entry: %s %s %s %s", revision, state, generation, type);
}

static void
test_server_lines(void)
{
	struct slice tag = slice_str("x"), a;
	struct mboxdigest d = { .count = 3, .sums = { 1, 2 } }, d2 = { 0 };
	uint8_t buckets[MBOXDIGEST_BUCKETS];
	uint64_t n;

	mupdate_ext_put_since(&wire, tag, slice_str("abc"));
	ok(parse(MUPDATE_CLIENT)->id == MUPDATE_XSINCE, "XSINCE");
	mupdate_ext_put_full(&wire, tag, slice_str("abc"), UINT64_MAX);
	ok(mupdate_ext_get_full(parse(MUPDATE_CLIENT), &a, &n) &&
	        slice_is(a, "abc") && n == UINT64_MAX,
	    "XFULL");
	mupdate_ext_put_gone(&wire, tag, 5, slice_str("user.a"));
	ok(mupdate_ext_get_gone(parse(MUPDATE_CLIENT), &a, &n) &&
	        slice_is(a, "user.a") && n == 5,
	    "XGONE");
	mupdate_ext_put_at(&wire, tag, 6);
	ok(mupdate_ext_get_at(parse(MUPDATE_CLIENT), &n) && n == 6, "XAT");
	mupdate_ext_put_grant(&wire, tag, slice_str("user.a"), 7);
	ok(mupdate_ext_get_grant(parse(MUPDATE_CLIENT), &a, &n) &&
	        slice_is(a, "user.a") && n == 7,
	    "XGRANT");
	mupdate_ext_put_digest(&wire, tag, slice_str("be1"), &d);
	ok(mupdate_ext_get_digest(parse(MUPDATE_CLIENT), &a, &d2) &&
	        slice_is(a, "be1") && d2.count == 3 &&
	        mboxdigest_differences(&d, &d2, buckets) == 0,
	    "XDIGEST");
	ok(!mupdate_ext_get_at(parse_text(MUPDATE_CLIENT, "x XAT \"-1\"\r\n"),
	       &n),
	    "no position");
	mupdate_ext_put_at(&wire, slice_of(NULL, 0), 6);
	ok(slice_is(buf_slice(&wire), " XAT \"6\"\r\n"), "without a tag");
	buf_clear(&wire);
}

static void
test_lease(int ends, uint64_t expires)
{
	struct mupdate_lease l = { .name = slice_str("user.a"),
		.location = slice_str("be1!p"),
		.owner = slice_str("be1"),
		.since = 1700000000,
		.generation = 9,
		.expires = expires };
	struct mupdate_lease back;

	l.ends = ends;
	mupdate_ext_put_lease(&wire, slice_str("x"), &l);
	ok(mupdate_ext_get_lease(parse(MUPDATE_CLIENT), &back) &&
	        slice_equal(back.name, l.name) &&
	        slice_equal(back.location, l.location) &&
	        slice_equal(back.owner, l.owner) && back.since == l.since &&
	        back.generation == 9 && back.ends == l.ends &&
	        back.expires == expires,
	    "XLEASE that ends %d", ends);
}

static void
test_commands(void)
{
	struct mboxrec r = { .state = MBOXREC_ACTIVE,
		.location = slice_str("be1!p"),
		.acl = slice_str("a\tl\t"),
		.generation = 8,
		.mailboxid = slice_str("M1"),
		.special_uses = slice_str("\\Sent"),
		.type = 255 };
	static const uint8_t two[] = { 0, 255 };
	bool wanted[256];
	struct mboxrec back;
	struct slice a;
	uint64_t n;

	mupdate_ext_put_update(&wire, "t", slice_str("abc"), 4);
	ok(mupdate_ext_get_update(parse(MUPDATE_SERVER), &a, &n) &&
	        slice_is(a, "abc") && n == 4,
	    "XUPDATE from a position");
	mupdate_ext_put_update(&wire, "t", slice_of(NULL, 0), 4);
	ok(mupdate_ext_get_update(parse(MUPDATE_SERVER), &a, &n) && a.len == 0,
	    "XUPDATE of all");
	mupdate_ext_put_activate(&wire, "t", slice_str("user.a"), &r);
	ok(mupdate_ext_get_activate(parse(MUPDATE_SERVER), &a, &back) &&
	        slice_is(a, "user.a") && mboxrec_equal(&r, &back),
	    "XACTIVATE");
	mupdate_ext_put_list(&wire, "t", slice_str("be1"), two, 2);
	ok(mupdate_ext_get_list(parse(MUPDATE_SERVER), &a, wanted) &&
	        slice_is(a, "be1") && wanted[0] && wanted[255] && !wanted[1],
	    "XLIST");
	mupdate_ext_put_break(&wire, "t", slice_str("user.a"), 6);
	ok(mupdate_ext_get_break(parse(MUPDATE_SERVER), &a, &n) &&
	        slice_is(a, "user.a") && n == 6,
	    "XBREAK");
}

static void
test_bad_commands(void)
{
	bool wanted[256];
	struct mboxrec r;
	struct slice a;
	uint64_t n;

	ok(!mupdate_ext_get_update(parse_text(MUPDATE_SERVER,
	                               "t XUPDATE \"e\"\r\n"),
	       &a, &n),
	    "XUPDATE of an epoch alone");
	ok(!mupdate_ext_get_update(parse_text(MUPDATE_SERVER,
	                               "t XUPDATE \"\" \"5\"\r\n"),
	       &a, &n),
	    "XUPDATE of no epoch");
	ok(!mupdate_ext_get_update(parse_text(MUPDATE_SERVER,
	                               "t XUPDATE \"e\" \"x\"\r\n"),
	       &a, &n),
	    "XUPDATE of no revision");
	ok(!mupdate_ext_get_list(parse_text(MUPDATE_SERVER,
	                             "t XLIST \"h\" \"256\"\r\n"),
	       &a, wanted),
	    "XLIST of bucket 256");
	ok(!mupdate_ext_get_activate(parse_text(MUPDATE_SERVER,
	                                 "t XACTIVATE \"n\" \"l\" \"\" \"g\" "
	                                 "\"\" \"\" \"0\"\r\n"),
	       &a, &r),
	    "XACTIVATE without a generation");
	ok(!mupdate_ext_get_activate(parse_text(MUPDATE_SERVER,
	                                 "t XACTIVATE \"n\" \"l\" \"\" \"1\" "
	                                 "\"\" \"\" \"256\"\r\n"),
	       &a, &r),
	    "XACTIVATE of type 256");
}

int
main(void)
{
	struct mboxrec r = { .state = MBOXREC_ACTIVE,
		.revision = UINT64_MAX,
		.location = slice_str("be1!p"),
		.acl = slice_str("a\tl\t"),
		.generation = 8,
		.mailboxid = slice_str("M1"),
		.special_uses = slice_str("\\Sent"),
		.type = 255 };
	struct mboxrec reserved = { .state = MBOXREC_RESERVED };

	buf_init(&wire, 64 * 1024);
	test_entry(&r, "all there is");
	test_entry(&reserved, "nothing");
	test_bad_entry("x", "active", "1", "0");
	test_bad_entry("1", "gone", "1", "0");
	test_bad_entry("1", "active", "", "0");
	test_bad_entry("1", "active", "1", "256");
	test_server_lines();
	test_lease(MUPDATE_LEASE_HELD, 0);
	test_lease(MUPDATE_LEASE_ENDING, 1700000900);
	test_lease(MUPDATE_LEASE_NEVER, 0);
	test_commands();
	test_bad_commands();
	ok(mupdate_ext_code(slice_str("[TAKEN] x")) == MUPDATE_CODE_TAKEN &&
	        mupdate_ext_code(slice_str("[UNAVAILABLE] ")) ==
	            MUPDATE_CODE_UNAVAILABLE &&
	        mupdate_ext_code(slice_str("[TAKEN")) == MUPDATE_CODE_NONE &&
	        mupdate_ext_code(slice_str("")) == MUPDATE_CODE_NONE,
	    "codes");
	mupdate_free(&parser);
	buf_fini(&wire);
	return done_testing();
}
