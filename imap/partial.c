#include "imap/parse.h"
#include "imap/partial.h"
#include "lib/buf.h"

void
partial_parse(struct parse *p, struct partial *r)
{
	*r = (struct partial){ .from_end = parse_try(p, '-') };
	r->first = parse_nz_number(p);
	parse_char(p, ':');
	if (r->from_end)
		parse_char(p, '-');
	r->last = parse_nz_number(p);
}

bool
partial_window(const struct partial *r, size_t count, size_t *from, size_t *to)
{
	size_t low = r->first < r->last ? r->first : r->last;
	size_t high = r->first < r->last ? r->last : r->first;

	if (!partial_given(r)) {
		low = 1;
		high = count;
	}
	if (high > count)
		high = count;
	if (low > high)
		return false;
	*from = r->from_end ? count - high : low - 1;
	*to = r->from_end ? count - low + 1 : high;
	return true;
}

void
partial_put(struct buf *out, const struct partial *r)
{
	const char *sign = r->from_end ? "-" : "";

	buf_printf(out, "%s%u:%s%u", sign, (unsigned)r->first, sign,
	    (unsigned)r->last);
}
