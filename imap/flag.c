#include "imap/flag.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"

static const struct {
	const char *name;
	unsigned bit;
} system_flags[] = {
	{ "\\Answered", FLAG_ANSWERED },
	{ "\\Flagged", FLAG_FLAGGED },
	{ "\\Deleted", FLAG_DELETED },
	{ "\\Seen", FLAG_SEEN },
	{ "\\Draft", FLAG_DRAFT },
	{ "\\Recent", FLAG_RECENT },
};

unsigned
flag_bit(struct slice name)
{
	for (size_t i = 0; i < NITEMS(system_flags); i++)
		if (slice_is_nocase(name, system_flags[i].name))
			return system_flags[i].bit;
	return 0;
}

const char *
flag_name(unsigned bit)
{
	for (size_t i = 0; i < NITEMS(system_flags); i++)
		if (bit == system_flags[i].bit)
			return system_flags[i].name;
	MUST(false);
	return NULL;
}

/* RFC 3501's ATOM-CHAR. */
static bool
is_atom(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f ||
		    strchr("(){%*\"\\]", s.ptr[i]) != NULL)
			return false;
	return s.len > 0;
}

bool
flag_is_keyword(struct slice name)
{
	return is_atom(name) && name.len <= FLAG_KEYWORD_MAX;
}

bool
flags_has_keyword(const struct flags *f, struct slice keyword)
{
	for (size_t i = 0; i < f->n; i++)
		if (slice_equal_nocase(f->keywords[i], keyword))
			return true;
	return false;
}

static const char *
add_keyword(struct arena *a, struct flags *f, struct slice keyword)
{
	if (!is_atom(keyword))
		return "Invalid flag";
	if (keyword.len > FLAG_KEYWORD_MAX)
		return "Keyword too long";
	if (flags_has_keyword(f, keyword))
		return NULL;
	if (f->n == FLAG_KEYWORDS_MAX)
		return "Too many keywords";
	/* Room is made by powers of two: it runs out where n is one. */
	if ((f->n & (f->n - 1)) == 0) {
		size_t size = f->n == 0 ? 1 : f->n * 2;
		struct slice *more = arena_array(a, size, sizeof(*more));

		if (f->n > 0)
			memcpy(more, f->keywords, f->n * sizeof(*more));
		f->keywords = more;
	}
	f->keywords[f->n++] = keyword;
	return NULL;
}

const char *
flags_add(struct arena *a, struct flags *f, struct slice flag)
{
	unsigned bit;

	if (flag.len == 0 || flag.ptr[0] != '\\')
		return add_keyword(a, f, flag);
	bit = flag_bit(flag);
	if (bit == FLAG_RECENT)
		return "\\Recent cannot be set";
	if (bit == 0)
		return "Unknown system flag";
	f->system |= bit;
	return NULL;
}

const char *
flags_parse(struct arena *a, struct slice list, struct flags *f)
{
	*f = (struct flags){ 0 };
	while (list.len > 0) {
		size_t n = slice_find(list, ' ');
		const char *why = flags_add(a, f, slice_first(list, n));

		if (why != NULL)
			return why;
		if (n == list.len)
			break;
		list = slice_skip(list, n + 1);
		if (list.len == 0)
			return "Invalid flag";
	}
	return NULL;
}

void
flags_put(struct buf *out, const struct flags *f)
{
	const char *space = "";

	for (size_t i = 0; i < NITEMS(system_flags); i++) {
		if (!(f->system & system_flags[i].bit))
			continue;
		buf_puts(out, space);
		buf_puts(out, system_flags[i].name);
		space = " ";
	}
	for (size_t i = 0; i < f->n; i++) {
		buf_puts(out, space);
		buf_put_slice(out, f->keywords[i]);
		space = " ";
	}
}
