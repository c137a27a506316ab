#include <stdbool.h>
#include <stddef.h>

#include "imap/capability.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"

static const struct {
	const char *name;
	unsigned when;
} capabilities[] = {
#define P                          CAPABILITY_PLAIN
#define B                          CAPABILITY_BEFORE
#define A                          CAPABILITY_AFTER
#define CAPABILITY(id, name, when) [CAPABILITY_##id] = { name, when },
#include "imap/capability.def"
#undef CAPABILITY
};

_Static_assert(NITEMS(capabilities) == CAPABILITY_MAX, "one row each");
_Static_assert(CAPABILITY_MAX <= 64, "a set is 64 bits");

const char *
capability_name(enum capability c)
{
	MUST((size_t)c < NITEMS(capabilities));
	return capabilities[c].name;
}

enum capability
capability_find(struct slice name)
{
	for (size_t i = 0; i < NITEMS(capabilities); i++)
		if (slice_is_nocase(name, capabilities[i].name))
			return (enum capability)i;
	return CAPABILITY_MAX;
}

void
capability_put(struct buf *out, uint64_t set, unsigned now, const char *mechs)
{
	struct slice list = slice_str(mechs), mech;
	const char *space = "";

	for (size_t i = 0; i < NITEMS(capabilities); i++) {
		if (!(set & UINT64_C(1) << i) || !(capabilities[i].when & now))
			continue;
		buf_puts(out, space);
		buf_puts(out, capabilities[i].name);
		space = " ";
	}
	if (!(now & CAPABILITY_BEFORE))
		return;
	while ((mech = slice_word(&list)).len > 0) {
		buf_puts(out, space);
		buf_puts(out, "AUTH=");
		buf_put_slice(out, mech);
		space = " ";
	}
}

uint64_t
capability_parse(struct slice list)
{
	uint64_t set = 0;
	struct slice word;

	while ((word = slice_word(&list)).len > 0) {
		enum capability c = capability_find(word);

		if (c != CAPABILITY_MAX)
			set |= UINT64_C(1) << c;
	}
	return set;
}

bool
capability_listed(struct slice list, const char *word)
{
	struct slice w;

	while ((w = slice_word(&list)).len > 0)
		if (slice_is_nocase(w, word))
			return true;
	return false;
}
