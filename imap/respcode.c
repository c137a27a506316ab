#include "imap/respcode.h"
#include "lib/cdefs.h"
#include "lib/must.h"

static const char *const names[] = {
#define RESPCODE(id, name) [RESPCODE_##id] = name,
#include "imap/respcode.def"
#undef RESPCODE
};

_Static_assert(NITEMS(names) == RESPCODE_MAX, "one name a code");

const char *
respcode_name(enum respcode code)
{
	MUST(code > RESPCODE_NONE && code < RESPCODE_MAX);
	return names[code];
}

enum respcode
respcode_find(struct slice name)
{
	for (size_t i = RESPCODE_NONE + 1; i < RESPCODE_MAX; i++)
		if (slice_is_nocase(name, names[i]))
			return (enum respcode)i;
	return RESPCODE_NONE;
}
