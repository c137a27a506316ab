/*
 * listmatch: the wildcards, INBOX, and that no pattern takes for ever.
 */
#include <stdio.h>
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

/* The definition; for short ones. */
static bool
slow_match(const char *pattern, const char *name)
{
	if (*pattern == '\0')
		return *name == '\0';
	if (*pattern != '*' && *pattern != '%')
		return *pattern == *name && slow_match(pattern + 1, name + 1);
	if (slow_match(pattern + 1, name))
		return true;
	return *name != '\0' && (*pattern == '*' || *name != '/') &&
	       slow_match(pattern, name + 1);
}

static unsigned
roll(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

static void
make(char *text, unsigned *seed, unsigned most, const char *of, unsigned n)
{
	unsigned len = roll(seed, most + 1);

	for (unsigned i = 0; i < len; i++)
		text[i] = of[roll(seed, n)];
	text[len] = '\0';
}

static void
test_random(void)
{
	unsigned seed = 1, matched = 0;
	bool good = true;

	for (unsigned i = 0; i < 100000 && good; i++) {
		char pattern[9], name[9];
		bool want;

		make(pattern, &seed, 8, "ab/*%*%", 7);
		make(name, &seed, 8, "ab/", 3);
		want = slow_match(pattern, name);
		matched += want;
		good =
		    listmatch(slice_str(pattern), slice_str(name), '/') == want;
		if (!good)
			printf("# %s and %s\n", pattern, name);
	}
	ok(good && matched > 1000, "at random (%u match)", matched);
}

/* Longer than a word of bits. */
static void
test_long(void)
{
	char pattern[600], name[600];
	unsigned seed = 2;
	bool good = true;

	for (unsigned i = 0; i < 1000 && good; i++) {
		unsigned n = 1 + roll(&seed, 500), cut = roll(&seed, n);

		for (unsigned k = 0; k < n; k++)
			name[k] = "ab/"[roll(&seed, 3)];
		name[n] = '\0';
		/* It begins with "*", so none of it is a plain prefix. */
		snprintf(pattern, sizeof(pattern), "*%.*s*%s", (int)cut, name,
		    name + cut);
		good = listmatch(slice_str(pattern), slice_str(name), '/');
		pattern[1 + roll(&seed, n + 1)] = 'c';
		good = good &&
		       !listmatch(slice_str(pattern), slice_str(name), '/');
	}
	ok(good, "long ones");
}

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
	test_random();
	test_long();
	return done_testing();
}
