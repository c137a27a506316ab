#include "backendd/emailid.h"
#include "lib/arena.h"

static struct slice
text(struct arena *a, char kind, const uint8_t id[16])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *t = arena_alloc(a, 33);

	t[0] = (uint8_t)kind;
	for (unsigned i = 0; i < 16; i++) {
		t[1 + 2 * i] = (uint8_t)digits[id[i] >> 4];
		t[2 + 2 * i] = (uint8_t)digits[id[i] & 15];
	}
	return slice_of(t, 33);
}

struct slice
emailid_text(struct arena *a, const uint8_t id[16])
{
	return text(a, 'M', id);
}

struct slice
threadid_text(struct arena *a, const uint8_t id[16])
{
	return text(a, 'T', id);
}
