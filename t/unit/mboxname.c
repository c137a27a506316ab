/*
 * mboxname: both layouts, both directions, and the laws between them.
 */
#include <string.h>

#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static struct arena arena;

static const struct mboxname_layout alt_slash = { '/', true, false,
	"Other Users", "Shared Folders", "" };
static const struct mboxname_layout alt_dot = { '.', true, false, "Other Users",
	"Shared Folders", "" };
static const struct mboxname_layout slash = { '/', false, false, "Other Users",
	"Shared Folders", "" };
static const struct mboxname_layout dot = { '.', false, false, "Other Users",
	"Shared Folders", "" };
static const struct mboxname_layout domains = { '/', true, true, "Other Users",
	"Shared Folders", "home.org" };

static const struct {
	const struct mboxname_layout *layout;
	const char *user, *external, *internal; /* internal NULL: refused */
	const char *back; /* NULL: the external name again */
} cases[] = {
	{ &alt_slash, "fred", "INBOX", "user.fred", NULL },
	{ &alt_slash, "fred", "inbox", "user.fred", "INBOX" },
	{ &alt_slash, "fred", "Drafts", "user.fred.Drafts", NULL },
	{ &alt_slash, "fred", "a/b/c", "user.fred.a.b.c", NULL },
	{ &alt_slash, "fred", "a.b", "user.fred.a^b", NULL },
	{ &alt_slash, "fred", "a/", "user.fred.a", "a" },
	{ &alt_slash, "fred", "INBOX/", "user.fred", "INBOX" },
	{ &alt_slash, "fred", "inbox/x", "user.fred.INBOX.x", "INBOX/x" },
	{ &alt_slash, "fred", "INBOXES", "user.fred.INBOXES", NULL },
	{ &alt_slash, "f.s", "x", "user.f^s.x", NULL },
	{ &alt_slash, "fred", "Other Users/joe", "user.joe", NULL },
	{ &alt_slash, "fred", "Other Users/j.s/a.b", "user.j^s.a^b", NULL },
	{ &alt_slash, "fred", "Other Users/fred/x", "user.fred.x", "x" },
	{ &alt_slash, "fred", "Shared Folders/shared/help", "shared.help",
	    NULL },
	{ &alt_slash, "fred", "Shared Folders", NULL, NULL },
	{ &alt_slash, "fred", "Other Users/", NULL, NULL },
	{ &alt_slash, "fred", "Shared Folders/user/joe", NULL, NULL },
	{ &alt_slash, "fred", "Shared Folders/user", NULL, NULL },
	{ &alt_slash, "fred", "", NULL, NULL },
	{ &alt_slash, "fred", "/", NULL, NULL },
	{ &alt_slash, "fred", "a//b", NULL, NULL },
	{ &alt_slash, "fred", "/a", NULL, NULL },
	{ &alt_slash, "fred", "a^b", NULL, NULL },
	{ &alt_slash, "fred", "a!b", NULL, NULL },
	{ &alt_slash, "fred", "a*b", NULL, NULL },
	{ &alt_slash, "fred", "a%b", NULL, NULL },
	{ &alt_slash, "fred", "a\tb", NULL, NULL },
	{ &alt_slash, "fred", "caf\xc3\xa9", NULL, NULL },
	{ &alt_slash, "fred", "caf&AOk-", "user.fred.caf&AOk-", NULL },
	{ &alt_slash, "fred", "a&b", NULL, NULL },
	{ &alt_slash, "fred", "a&-b", "user.fred.a&-b", NULL },
	{ &alt_slash, "fred", "a@b", "user.fred.a@b", NULL },
	{ &alt_slash, "a^b", "x", NULL, NULL },
	{ &alt_slash, "", "x", NULL, NULL },
	{ &alt_slash, "a/b", "x", NULL, NULL },
	{ &alt_dot, "fred", "a.b", "user.fred.a.b", NULL },
	{ &alt_dot, "f.s", "a^b", "user.f^s.a^b", NULL },
	{ &alt_dot, "fred", "a/b", NULL, NULL },
	{ &alt_dot, "fred", "Other Users.j^s.x", "user.j^s.x", NULL },
	{ &slash, "fred", "INBOX", "user.fred", NULL },
	{ &slash, "fred", "INBOX/Drafts", "user.fred.Drafts", NULL },
	{ &slash, "fred", "Inbox/a.b", "user.fred.a^b", "INBOX/a.b" },
	{ &slash, "fred", "user/joe/x", "user.joe.x", NULL },
	{ &slash, "fred", "user/fred", "user.fred", "INBOX" },
	{ &slash, "fred", "user", NULL, NULL },
	{ &slash, "fred", "help", "help", NULL },
	{ &slash, "fred", "shared/help", "shared.help", NULL },
	{ &dot, "fred", "INBOX.new", "user.fred.new", NULL },
	{ &dot, "fred", "user.joe", "user.joe", NULL },
	{ &dot, "fred", "a^b", "a^b", NULL },
	{ &domains, "fred@x.org", "INBOX", "x.org!user.fred", NULL },
	{ &domains, "fred@X.ORG", "a", "x.org!user.fred.a", NULL },
	{ &domains, "fred", "a", "user.fred.a", NULL },
	{ &domains, "fred@home.org", "a", "user.fred.a", NULL },
	{ &domains, "fred@x.org", "Other Users/joe", "x.org!user.joe", NULL },
	{ &domains, "fred@x.org", "Other Users/joe/a@y.org", "y.org!user.joe.a",
	    NULL },
	{ &domains, "fred@x.org", "Other Users/joe@home.org", "user.joe",
	    NULL },
	{ &domains, "fred@x.org", "Other Users/joe@x.org", "x.org!user.joe",
	    "Other Users/joe" },
	{ &domains, "fred@x.org", "Shared Folders/help", "x.org!help", NULL },
	{ &domains, "fred", "a@b", NULL, NULL },
	{ &domains, "fred", "Other Users/joe@", NULL, NULL },
	{ &domains, "fred", "Other Users/joe@a!b", NULL, NULL },
	{ &domains, "fred@", "x", NULL, NULL },
};

static void
test_cases(void)
{
	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct mboxname_view v = { .layout = cases[i].layout,
			.user = slice_str(cases[i].user) };
		struct slice name, back, again;
		const char *why = mboxname_from_external(&arena, &v,
		    slice_str(cases[i].external), &name);
		const char *want = cases[i].back;

		if (cases[i].internal == NULL) {
			ok(why != NULL && name.ptr == NULL, "not \"%s\": %s",
			    cases[i].external, why == NULL ? "-" : why);
			continue;
		}
		ok(why == NULL && slice_is(name, cases[i].internal),
		    "%s of %s is %s", cases[i].external, cases[i].user,
		    cases[i].internal);
		back = mboxname_to_external(&arena, &v, name);
		ok(slice_is(back, want == NULL ? cases[i].external : want),
		    "...and back");
		ok(mboxname_from_external(&arena, &v, back, &again) == NULL &&
		        slice_equal(name, again),
		    "...and forth");
	}
}

static void
test_hidden(void)
{
	static const struct {
		const struct mboxname_layout *layout;
		const char *name;
	} hidden[] = {
		{ &alt_slash, "user" },
		{ &alt_slash, "user.fred.INBOX" },
		{ &alt_slash, "user.fred.inbox" },
		{ &alt_slash, "user.fred.inbox.x" },
		{ &alt_slash, "user.fred.Other Users" },
		{ &alt_slash, "user.fred.Shared Folders.x" },
		{ &alt_slash, "x.org!user.fred" },
		{ &alt_slash, "user..x" },
		{ &slash, "INBOX.x" },
		{ &slash, "inbox" },
		{ &domains, "user.fred.a@b" },
	};

	for (size_t i = 0; i < NITEMS(hidden); i++) {
		struct mboxname_view v = { .layout = hidden[i].layout,
			.user = slice_str("fred") };

		ok(mboxname_to_external(&arena, &v, slice_str(hidden[i].name))
		            .ptr == NULL,
		    "%s cannot be shown", hidden[i].name);
	}
}

static void
test_parts(void)
{
	static const struct {
		const char *name, *parent, *domain;
		bool inbox;
	} parts[] = {
		{ "user.fred", "", "", true },
		{ "user.fred.a", "user.fred", "", false },
		{ "user.fred.a.b", "user.fred.a", "", false },
		{ "shared", "", "", false },
		{ "shared.help", "shared", "", false },
		{ "shared.help.x", "shared.help", "", false },
		{ "x.org!user.fred", "", "x.org", true },
		{ "x.org!user.fred.a", "x.org!user.fred", "x.org", false },
		{ "x.org!help", "", "x.org", false },
		{ "userx.fred", "userx", "", false },
	};

	for (size_t i = 0; i < NITEMS(parts); i++) {
		struct slice n = slice_str(parts[i].name);

		ok(slice_is(mboxname_parent(n), parts[i].parent) &&
		        slice_is(mboxname_domain(n), parts[i].domain) &&
		        mboxname_is_inbox(n) == parts[i].inbox,
		    "%s taken apart", parts[i].name);
	}
	ok(mboxname_is_tomb(slice_str("DELETED.user.fred.x.6B0297CF")) &&
	        mboxname_is_tomb(slice_str("x.org!DELETED.user.fred.x.1")) &&
	        !mboxname_is_tomb(slice_str("user.fred.DELETED.x")) &&
	        !mboxname_is_tomb(slice_str("DELETEDx")),
	    "tombs");
	ok(mboxname_is_below(slice_str("a.b.c"), slice_str("a.b")), "below");
	ok(!mboxname_is_below(slice_str("a.b"), slice_str("a.b")), "itself");
	ok(!mboxname_is_below(slice_str("a.bc"), slice_str("a.b")), "beside");
	ok(!mboxname_is_below(slice_str("x.org!a"), slice_str("x")),
	    "a domain is no level");
	ok(slice_is(mboxname_rebase(&arena, slice_str("a.b.c"),
	                slice_str("a.b"), slice_str("x")),
	       "x.c"),
	    "rebased");
}

static void
test_users(void)
{
	struct slice name;

	ok(mboxname_of_user(&arena, &domains, slice_str("f.s@x.org"), &name) ==
	            NULL &&
	        slice_is(name, "x.org!user.f^s"),
	    "the INBOX of a user");
	ok(slice_is(mboxname_owner(&arena, &domains, name), "f.s@x.org"),
	    "and its owner");
	ok(mboxname_is_owned_by(&domains, slice_str("x.org!user.f^s.a"),
	       slice_str("f.s@x.org")),
	    "owned");
	ok(!mboxname_is_owned_by(&domains, slice_str("x.org!user.f^st"),
	       slice_str("f.s@x.org")) &&
	        !mboxname_is_owned_by(&domains, slice_str("user.f^s"),
	            slice_str("f.s@x.org")),
	    "not owned");
	ok(mboxname_owner(&arena, &domains, slice_str("shared.x")).ptr == NULL,
	    "nobody's");
	ok(mboxname_of_user(&arena, &domains, slice_str("a*"), &name) != NULL,
	    "no such userid");
}

static void
test_length(void)
{
	struct mboxname_view v = { .layout = &alt_slash,
		.user = slice_str("fred") };
	char s[MBOXNAME_MAX + 1];
	struct slice name;

	memset(s, 'x', sizeof(s));
	ok(mboxname_from_external(&arena, &v, slice_of(s, MBOXNAME_MAX - 10),
	       &name) == NULL,
	    "the longest");
	ok(mboxname_from_external(&arena, &v, slice_of(s, MBOXNAME_MAX - 9),
	       &name) != NULL,
	    "one more");
	ok(mboxname_rebase(&arena, slice_str("a.b"), slice_str("a"),
	       slice_of(s, MBOXNAME_MAX))
	            .ptr == NULL,
	    "too long when renamed");
}

static void
test_keys(void)
{
	static const char *const order[] = { "a", "a.b", "a.b.c", "a b", "a-b",
		"x.org!user.a", "x.org!user.a.b" };
	struct slice last = slice_str("");

	for (size_t i = 0; i < NITEMS(order); i++) {
		struct slice key = mboxname_key_in(&arena, slice_str(order[i]));
		struct buf b;

		buf_init(&b, 100);
		ok(memcmp(last.ptr, key.ptr,
		       last.len < key.len ? last.len : key.len) <= 0,
		    "%s in order", order[i]);
		ok(slice_is(mboxname_of_key_in(&arena, key), order[i]),
		    "...and back");
		mboxname_key(&b, slice_str(order[i]));
		ok(slice_equal(buf_slice(&b), key), "...the same in a buf");
		buf_clear(&b);
		mboxname_of_key(&b, key);
		ok(slice_is(buf_slice(&b), order[i]), "...and back");
		buf_fini(&b);
		last = key;
	}
}

static void
test_details(void)
{
	static const struct mboxname_layout plain = { '.', false, false,
		"Other Users", "Shared Folders", "" };
	static const struct {
		const char *user, *detail, *alt, *plain; /* NULL: nothing */
	} details[] = {
		{ "fred", "Work", "user.fred.Work", "user.fred.Work" },
		{ "fred", "INBOX", "user.fred", "user.fred" },
		{ "fred", "inbox.x", NULL, "user.fred.x" },
		{ "fred", "user.joe.x", NULL, "user.fred.user.joe.x" },
		{ "fred", "", NULL, NULL },
		{ "", "help", "help", "help" },
		{ "", "user.fred", NULL, NULL },
		{ "", "INBOX", NULL, NULL },
	};

	for (size_t i = 0; i < NITEMS(details); i++) {
		struct slice user = slice_str(details[i].user), name;
		struct slice detail = slice_str(details[i].detail);
		bool got =
		    mboxname_of_detail(&arena, &plain, user, detail, &name);

		ok(got == (details[i].plain != NULL) &&
		        (!got || slice_is(name, details[i].plain)),
		    "%s+%s", details[i].user, details[i].detail);
		if (slice_find(detail, '.') < detail.len)
			continue;
		got = mboxname_of_detail(&arena, &mboxname_layout_default, user,
		    detail, &name);
		ok(got == (details[i].alt != NULL) &&
		        (!got || slice_is(name, details[i].alt)),
		    "%s+%s with altnamespace", details[i].user,
		    details[i].detail);
	}
	ok(!mboxname_of_detail(&arena, &mboxname_layout_default,
	       slice_str("fred"), slice_str("Other Users/joe"),
	       &(struct slice){ NULL, 0 }),
	    "another's is not reached by one's own address");
}

/* RFC 6855: names in UTF-8, both ways. */
static void
test_utf8(void)
{
	static const struct {
		const char *utf8, *internal; /* NULL: none */
	} names[] = {
		{ "Drafts", "user.fred.Drafts" },
		{ "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
		  "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
		    "user.fred.~peter.mail.&U,BTFw-.&ZeVnLIqe-" },
		{ "A&B", "user.fred.A&-B" },
		{ "&U,BTFw-", "user.fred.&-U,BTFw-" },
		{ "a\xff", NULL },
		{ "a\x7f", NULL },
		{ "a\xc2\x85", NULL },
		{ "a\xe2\x80\xa8", NULL },
		{ "a\xe2\x80\xa9", NULL },
	};
	struct mboxname_view v = { .layout = &alt_slash,
		.user = slice_str("fred"),
		.utf8 = true };
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(names); i++) {
		struct slice name, back;
		const char *why = mboxname_from_external(&a, &v,
		    slice_str(names[i].utf8), &name);

		if (names[i].internal == NULL) {
			ok(why != NULL, "UTF-8 %zu is refused", i);
			continue;
		}
		ok(why == NULL && slice_is(name, names[i].internal),
		    "UTF-8 %zu: %s", i, names[i].internal);
		back = mboxname_to_external(&a, &v, name);
		ok(slice_is(back, names[i].utf8), "and back");
	}
	arena_reset(&a);
}

int
main(void)
{
	arena_init(&arena);
	test_cases();
	test_hidden();
	test_parts();
	test_users();
	test_length();
	test_keys();
	test_details();
	arena_reset(&arena);
	test_utf8();
	return done_testing();
}
