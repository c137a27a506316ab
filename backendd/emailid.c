#include "backendd/emailid.h"
#include "lib/arena.h"

struct slice
emailid_text(struct arena *a, const uint8_t id[16])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *text = arena_alloc(a, 33);

	text[0] = 'M';
	for (unsigned i = 0; i < 16; i++) {
		text[1 + 2 * i] = (uint8_t)digits[id[i] >> 4];
		text[2 + 2 * i] = (uint8_t)digits[id[i] & 15];
	}
	return slice_of(text, 33);
}
