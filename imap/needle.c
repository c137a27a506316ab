#include "imap/needle.h"
#include "lib/arena.h"
#include "lib/must.h"

void
needle_init(struct needle *n, struct arena *a, struct slice text)
{
	uint16_t *back;
	size_t k = 0;

	MUST(text.len <= NEEDLE_MAX);
	back = arena_array(a, text.len + 1, sizeof(*back));
	for (size_t i = 1; i < text.len; i++) {
		while (k > 0 && text.ptr[i] != text.ptr[k])
			k = back[k];
		if (text.ptr[i] == text.ptr[k])
			k++;
		back[i + 1] = (uint16_t)k;
	}
	*n = (struct needle){ text, back };
}

void
needle_put(const struct needle *n, struct needle_state *st, struct slice in)
{
	size_t k = st->matched, i = 0;

	if (n->text.len == 0)
		st->found = true;
	while (!st->found && i < in.len) {
		if (k == 0) { /* most of the time: let libc look */
			i += slice_find(slice_skip(in, i), n->text.ptr[0]);
			if (i == in.len)
				break;
		}
		while (k > 0 && in.ptr[i] != n->text.ptr[k])
			k = n->back[k];
		if (in.ptr[i] == n->text.ptr[k])
			k++;
		i++;
		st->found = k == n->text.len;
	}
	st->matched = st->found ? 0 : k;
}

bool
needle_in(const struct needle *n, struct slice in)
{
	struct needle_state st = { 0 };

	needle_put(n, &st, in);
	return st.found;
}
