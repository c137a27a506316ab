/*
 * listmatch: the wildcards, INBOX, and that no pattern takes for ever.
 */
#include <string.h>

#include "imap/listmatch.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static const struct {
	const char *pattern, *name;
	bool matches;
} cases[] = {
	{ "*", "a/b", true },
	{ "%", "a/b", false },
	{ "%", "ab", true },
	{ "%/%", "a/b", true },
	{ "%/%", "a/b/c", false },
	{ "a", "a", true },
	{ "a", "A", false },
	{ "", "", true },
	{ "", "a", false },
	{ "*b", "aabb", true },
	{ "*b", "aabc", false },
	{ "a%c", "abc", true },
	{ "a%c", "a/c", false },
	{ "a*c", "a/c", true },
	{ "%x/%b", "axx/b", true },
	{ "*%", "a/b", true },
	{ "%*", "a/b", true },
	{ "**", "", true },
	{ "a/%", "a/", true },
	{ "a/%", "a", false },
	{ "*a%b*", "x/ab/y", true },
	{ "*a%b*", "x/a/b/y", false },
	{ "inbox", "INBOX", true },
	{ "InB*", "INBOX", true },
	{ "inbox/%", "INBOX/x", true },
	{ "inbox", "INBOXES", false },
	{ "inboxes", "INBOXES", false },
	{ "inbox/X", "INBOX/x", false },
};

int
main(void)
{
	static char pattern[LISTMATCH_MAX + 2], name[500];

	for (size_t i = 0; i < NITEMS(cases); i++)
		ok(listmatch(slice_str(cases[i].pattern),
		       slice_str(cases[i].name), '/') == cases[i].matches,
		    "%s and %s", cases[i].pattern, cases[i].name);
	ok(listmatch(slice_str("%"), slice_str("a/b"), '.'),
	    "another separator");
	for (size_t i = 0; i < LISTMATCH_MAX; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	memset(name, 'a', sizeof(name) - 1);
	ok(!listmatch(slice_str(pattern), slice_str(name), '/'),
	    "the worst pattern ends");
	pattern[LISTMATCH_MAX] = '*';
	ok(listmatch_too_long(slice_str(pattern)) &&
	        !listmatch(slice_str(pattern), slice_str(""), '/'),
	    "longer ones match nothing");
	ok(listmatch_prefix(slice_str("ab%c*")) == 2 &&
	        listmatch_prefix(slice_str("ab")) == 2 &&
	        listmatch_prefix(slice_str("*")) == 0,
	    "prefixes");
	return done_testing();
}
