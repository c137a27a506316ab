/*
 * acl: rights, lists in tab form, changes, and who may do what.
 */
#include <string.h>

#include "imap/acl.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/wrote.h"

static struct arena a;
static struct buf out;

static void
test_rights(void)
{
	static const struct {
		const char *in;
		enum acl_change change;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "lrswipkxtea", ACL_SET, "lrswipkxtecda" },
		{ "lrswipcda", ACL_SET, "lrswipkxtecda" },
		{ "+w", ACL_ADD, "w" },
		{ "-d", ACL_REMOVE, "ted" },
		{ "", ACL_SET, "" },
		{ "+", ACL_ADD, "" },
		{ "n09", ACL_SET, "n09" },
		{ "L", ACL_SET, NULL },
		{ "lz", ACL_SET, NULL },
		{ "l+", ACL_SET, NULL },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		enum acl_change change;
		unsigned rights;
		const char *why =
		    acl_parse_rights(slice_str(cases[i].in), &change, &rights);

		if (cases[i].want == NULL) {
			ok(why != NULL, "refused: %s", cases[i].in);
			continue;
		}
		acl_put_rights(&out, rights);
		ok(why == NULL && change == cases[i].change &&
		        wrote(&out, cases[i].want),
		    "rights %s", cases[i].in);
	}
}

/* RFC 4314 3.7: no right twice, and 2.1.1: c and d by themselves. */
static void
test_grantable(void)
{
	acl_put_grantable(&out, 0);
	ok(wrote(&out, " l r s w i p k x t e c d a n 0 1 2 3 4 5 6 7 8 9"),
	    "all that may be granted");
	acl_put_grantable(&out, ACL_OWNER_IMPLICIT);
	ok(wrote(&out, " r s w i p x t e d n 0 1 2 3 4 5 6 7 8 9"),
	    "c is granted with k");
	acl_put_grantable(&out, ACL_EXPUNGE);
	ok(wrote(&out, " l r s w i p k x t c a n 0 1 2 3 4 5 6 7 8 9"),
	    "d is granted with e");
}

static void
test_lists(void)
{
	static const char cyrus[] = "fred\tlrswipkxtecdan\tanyone\tp\t";
	struct acl acl;

	ok(acl_parse(&a, slice_str(cyrus), &acl) == NULL && acl.n == 2,
	    "Cyrus's");
	acl_put(&out, &acl);
	ok(wrote(&out, "fred\tlrswipkxtean\tanyone\tp\t"), "written");
	ok(acl_modify(&a, &acl, slice_str("joe"), ACL_ADD, ACL_READ) == NULL &&
	        acl_modify(&a, &acl, slice_str("anyone"), ACL_REMOVE,
	            ACL_POST) == NULL &&
	        acl_modify(&a, &acl, slice_str("fred"), ACL_SET, ACL_LOOKUP) ==
	            NULL &&
	        acl_modify(&a, &acl, slice_str("nobody"), ACL_REMOVE,
	            ACL_LOOKUP) == NULL,
	    "changed");
	acl_put(&out, &acl);
	ok(wrote(&out, "fred\tl\tjoe\tr\t"), "added, removed, set");
	ok(acl_get(&acl, slice_str("joe")) == ACL_READ &&
	        acl_get(&acl, slice_str("anyone")) == 0,
	    "asked");
	ok(acl_parse(&a, slice_str("\tlr\t"), &acl) != NULL, "no identifier");
	ok(acl_parse(&a, slice_str(""), &acl) == NULL && acl.n == 0, "empty");
	acl_put_owner(&out, slice_str("fred"));
	ok(wrote(&out, "fred\tlrswipkxtea\t"), "the owner's");
	ok(acl_bad_identifier(slice_str("a\tb")) != NULL &&
	        acl_bad_identifier(slice_str("-")) != NULL &&
	        acl_bad_identifier(slice_str("-a")) == NULL,
	    "identifiers");
}

static void
test_limit(void)
{
	struct acl acl = { 0 };
	const char *why = NULL;
	char name[16];

	for (int i = 0; i <= ACL_ENTRIES_MAX; i++) {
		int n = snprintf(name, sizeof(name), "u%d", i);

		why = acl_modify(&a, &acl, slice_of(name, (size_t)n), ACL_SET,
		    ACL_READ);
		if (why != NULL)
			break;
	}
	ok(why != NULL && acl.n == ACL_ENTRIES_MAX, "no more entries");
}

static void
test_effective(void)
{
	static const struct {
		const char *acl, *user;
		unsigned want;
	} cases[] = {
		{ "fred\tlr\t", "fred", ACL_LOOKUP | ACL_READ },
		{ "fred\tlr\t", "joe", 0 },
		{ "fred\tl\tanyone\tr\t", "fred", ACL_LOOKUP | ACL_READ },
		{ "anyone\tlr\t-fred\tr\t", "fred", ACL_LOOKUP },
		{ "anyone\tlr\t-anyone\tr\t", "fred", ACL_LOOKUP },
		{ "anonymous\tl\t", "", ACL_LOOKUP },
		{ "anonymous\tl\t", "fred", 0 },
		{ "-fred\tlr\t", "-fred", 0 },
		{ "fredx\tl\tfre\tl\t", "fred", 0 },
		{ "fred", "fred", 0 },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct slice user = slice_str(cases[i].user);

		ok(acl_effective_text(slice_str(cases[i].acl), user) ==
		        cases[i].want,
		    "%s of %s", cases[i].user, cases[i].acl);
	}
}

static void
test_of_user(void)
{
	static const struct mboxname_view fred = { .layout =
		                                       &mboxname_layout_default,
		.user = { (const uint8_t *)"fred", 4 } };
	struct slice text = slice_str("fred\tlr\t");

	ok(acl_of_user(&fred, false, slice_str("help"), text) ==
	        (ACL_LOOKUP | ACL_READ),
	    "what is given");
	ok(acl_of_user(&fred, false, slice_str("user.fred"), text) ==
	        (ACL_LOOKUP | ACL_READ | ACL_OWNER_IMPLICIT),
	    "and what owners have");
	ok(acl_of_user(&fred, false, slice_str("DELETED.user.fred.x.1"),
	       text) == 0,
	    "nothing in a tomb");
	ok((acl_of_user(&fred, true, slice_str("DELETED.user.fred.x.1"), text) &
	       ACL_DELETE_MAILBOX) != 0,
	    "but for an admin");
}

int
main(void)
{
	arena_init(&a);
	buf_init(&out, 4096);
	test_rights();
	test_grantable();
	test_lists();
	test_limit();
	test_effective();
	test_of_user();
	buf_fini(&out);
	arena_reset(&a);
	return done_testing();
}
