#include "imap/header.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/must.h"

struct slice
header_line(struct slice *octets)
{
	size_t n = slice_find(*octets, '\n');
	struct slice line;

	if (n < octets->len)
		n++;
	line = slice_first(*octets, n);
	*octets = slice_skip(*octets, n);
	return line;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* The line without CR LF or LF. */
static struct slice
without_end(struct slice line)
{
	if (line.len > 0 && line.ptr[line.len - 1] == '\n')
		line.len--;
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

void
header_init(struct header_iter *it, struct slice octets)
{
	it->rest = octets;
}

/*
 * Printable ASCII without the colon (RFC 5322 ftext); spaces behind it go.
 * *value: where it begins, behind the colon.
 */
static struct slice
name_of(struct slice whole, size_t *value)
{
	size_t colon, n;

	for (n = 0; n < whole.len; n++)
		if (whole.ptr[n] <= ' ' || whole.ptr[n] > '~' ||
		    whole.ptr[n] == ':')
			break;
	for (colon = n; colon < whole.len && is_blank(whole.ptr[colon]);)
		colon++;
	if (colon == whole.len || whole.ptr[colon] != ':')
		n = 0;
	*value = n > 0 ? colon + 1 : 0;
	return slice_first(whole, n);
}

bool
header_next(struct header_iter *it, struct header_field *f)
{
	struct slice start = it->rest, line = header_line(&it->rest);
	size_t len = line.len, value;

	if (without_end(line).len == 0) {
		it->rest = start;
		return false;
	}
	while (it->rest.len > 0 && is_blank(it->rest.ptr[0]))
		len += header_line(&it->rest).len;
	f->whole = slice_first(start, len);
	f->name = name_of(f->whole, &value);
	f->value = slice_skip(without_end(f->whole), value);
	return true;
}

/*
 * Lines that begin with something else are stepped over: those that go on with
 * a field begin with a blank, as no name does.
 */
bool
header_next_of(struct header_iter *it, struct slice name,
    struct header_field *f)
{
	while (it->rest.len > 0) {
		uint8_t c = it->rest.ptr[0];

		if (c != '\r' && c != '\n' && name.len > 0 &&
		    ascii_lower(c) != ascii_lower(name.ptr[0]))
			(void)header_line(&it->rest);
		else if (!header_next(it, f))
			return false;
		else if (f->name.len == name.len &&
		         slice_equal_nocase(f->name, name))
			return true;
	}
	return false;
}

size_t
header_name_of(struct slice name, const struct header_name *names, size_t n)
{
	size_t i;

	if (name.len == 0)
		return n;
	for (i = 0; i < n; i++)
		if (names[i].len == name.len &&
		    ascii_lower((uint8_t)names[i].text[0]) ==
		        ascii_lower(name.ptr[0]) &&
		    slice_equal_nocase(slice_of(names[i].text, name.len), name))
			break;
	return i;
}

/* A bit for each letter, in any case; none for other octets. */
static uint32_t
letter_bit(uint8_t c)
{
	return ascii_alpha(c) ? UINT32_C(1) << ((c | 0x20) - 'a') : 0;
}

/* Lines that begin with no name's letter are stepped over, as above. */
void
header_find_each(struct slice octets, const struct header_name *names, size_t n,
    struct header_field *fields)
{
	struct header_iter it;
	struct header_field f;
	uint32_t begins = 0;

	memset(fields, 0, n * sizeof(*fields));
	for (size_t i = 0; i < n; i++)
		begins |= letter_bit((uint8_t)names[i].text[0]);
	header_init(&it, octets);
	while (it.rest.len > 0) {
		uint8_t c = it.rest.ptr[0];
		size_t i;

		if (c != '\r' && c != '\n' && (letter_bit(c) & begins) == 0) {
			(void)header_line(&it.rest);
			continue;
		}
		if (!header_next(&it, &f))
			break;
		i = header_name_of(f.name, names, n);
		if (i < n && fields[i].name.len == 0)
			fields[i] = f;
	}
}

bool
header_find(struct slice octets, const char *name, struct header_field *f)
{
	struct header_iter it;

	header_init(&it, octets);
	return header_next_of(&it, slice_str(name), f);
}

size_t
header_length(struct slice octets)
{
	size_t all = octets.len;

	while (octets.len > 0)
		if (without_end(header_line(&octets)).len == 0)
			break;
	return all - octets.len;
}

struct slice
header_unfold(struct arena *a, struct slice value)
{
	uint8_t *p;
	size_t n = 0;

	value = slice_trim(value);
	if (slice_find(value, '\n') == value.len)
		return value;
	p = arena_alloc(a, value.len);
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '\r' && value.ptr[i + 1] == '\n')
			continue; /* trimmed: CR is never the last octet */
		if (value.ptr[i] != '\n')
			p[n++] = value.ptr[i];
	}
	return slice_of(p, n);
}
