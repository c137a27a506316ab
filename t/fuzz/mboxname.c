/*
 * Fuzz mailbox names: there and back again in every layout, keys, UTF-7, and
 * LIST patterns against a plain matcher.
 */
#include <string.h>

#include "imap/listmatch.h"
#include "imap/mboxname.h"
#include "imap/utf7.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static const struct mboxname_layout layouts[] = {
	{ '/', true, false, "Other Users", "Shared Folders", "" },
	{ '.', true, false, "Other Users", "Shared Folders", "" },
	{ '/', false, false, "Other Users", "Shared Folders", "" },
	{ '.', false, true, "Other Users", "Shared Folders", "home.org" },
	{ '/', true, true, "Other Users", "Shared Folders", "home.org" },
	{ '/', true, true, "Other Users", "Shared Folders", NULL },
};

static const char *const users[] = { "fred", "f.s@x.org", "fred@home.org" };

static void
there_and_back(struct arena *a, const struct mboxname_view *v, struct slice s)
{
	struct slice name, shown, again;

	if (mboxname_from_external(a, v, s, &name) == NULL) {
		MUST(mboxname_invalid(name) == NULL);
		MUST(
		    slice_equal(mboxname_of_key_in(a, mboxname_key_in(a, name)),
		        name));
		shown = mboxname_to_external(a, v, name);
		if (shown.ptr != NULL) {
			MUST(mboxname_from_external(a, v, shown, &again) ==
			     NULL);
			MUST(slice_equal(name, again));
		}
	}
	/* The same octets as an internal name. */
	shown = mboxname_to_external(a, v, s);
	if (shown.ptr == NULL)
		return;
	MUST(mboxname_from_external(a, v, shown, &again) == NULL);
	MUST(slice_equal(s, again));
}

static void
utf7(struct slice s)
{
	struct buf there, back;

	buf_init(&there, 1 << 16);
	buf_init(&back, 1 << 16);
	if (utf7_decode(&there, s) == 0) {
		MUST(utf7_encode(&back, buf_slice(&there)) == 0);
		MUST(slice_equal(buf_slice(&back), s));
	}
	buf_clear(&there);
	buf_clear(&back);
	if (utf7_encode(&there, s) == 0) {
		MUST(utf7_decode(&back, buf_slice(&there)) == 0);
		MUST(slice_equal(buf_slice(&back), s));
	}
	buf_fini(&there);
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice s = slice_of(in, n), pattern;
	struct arena a;

	if (n > 4000)
		return 0;
	arena_init(&a);
	for (size_t i = 0; i < NITEMS(layouts); i++)
		for (size_t j = 0; j < NITEMS(users); j++) {
			struct mboxname_view v = { .layout = &layouts[i],
				.user = slice_str(users[j]) };

			there_and_back(&a, &v, s);
		}
	utf7(s);
	/* Half is the pattern, half the name; a plain one matches itself. */
	pattern = slice_first(s, n / 2);
	listmatch(pattern, slice_skip(s, n / 2), '/');
	if (!listmatch_too_long(pattern))
		MUST(listmatch(pattern, pattern, '/') ||
		     slice_find(pattern, '%') < pattern.len);
	MUST(listmatch(slice_str("*"), s, '/'));
	arena_reset(&a);
	return 0;
}
