#include <stddef.h>

#include "imap/capability.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

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
