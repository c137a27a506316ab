#include <stdio.h>

#include "lib/must.h"
#include "lib/utf8.h"
#include "lib/out.h"

enum {
	LINE_MAX_OCTETS = 4 * 1024 * 1024 /* an ACL, each octet escaped */
};

void
out_init(struct out *o)
{
	*o = (struct out){ .comma = false };
	buf_init(&o->line, LINE_MAX_OCTETS);
}

bool
out_fini(struct out *o)
{
	buf_fini(&o->line);
	return fflush(stdout) == 0 && !o->failed;
}

bool
out_end(struct out *o)
{
	struct slice s;

	MUST(o->depth == 0);
	buf_putc(&o->line, '\n');
	s = buf_slice(&o->line);
	if (buf_failed(&o->line) || fwrite(s.ptr, 1, s.len, stdout) != s.len)
		o->failed = true;
	buf_clear(&o->line);
	o->comma = false;
	return !o->failed;
}

/* The next character, if it is one that may be shown: its octets, else 0. */
static size_t
printable(struct slice s)
{
	struct slice rest = s;
	uint32_t c = utf8_take(&rest);

	if (c == UINT32_MAX || c < 0x20 || (c >= 0x7f && c < 0xa0))
		return 0;
	return s.len - rest.len;
}

enum quoting {
	FOR_PEOPLE,
	FOR_JSON
};

static void
put_octet(struct buf *b, uint8_t c, enum quoting quoting)
{
	static const char digits[] = "0123456789abcdef";

	buf_puts(b, quoting == FOR_JSON ? "\\\\x" : "\\x");
	buf_putc(b, (uint8_t)digits[c >> 4]);
	buf_putc(b, (uint8_t)digits[c & 15]);
}

/* Returns how many columns it takes, more or less. */
static size_t
put_text(struct buf *b, struct slice s, enum quoting quoting)
{
	size_t columns = 0;

	while (s.len > 0) {
		size_t n = printable(s);

		if (n == 0) {
			put_octet(b, s.ptr[0], quoting);
			columns += 4;
			n = 1;
		} else {
			if (quoting == FOR_JSON &&
			    (s.ptr[0] == '"' || s.ptr[0] == '\\'))
				buf_putc(b, '\\');
			buf_put(b, s.ptr, n);
			columns++;
		}
		s = slice_skip(s, n);
	}
	return columns;
}

/* --- tables ---------------------------------------------------------------- */

void
out_cell(struct out *o, struct slice s, size_t width)
{
	size_t columns = put_text(&o->line, s, FOR_PEOPLE);

	if (width == 0)
		return;
	for (size_t i = columns; i < width; i++)
		buf_putc(&o->line, ' ');
	buf_puts(&o->line, "  ");
}

void
out_cell_number(struct out *o, uint64_t n, size_t width)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	out_cell(o, slice_str(text), width);
}

/* --- JSON ------------------------------------------------------------------ */

static void
put_string(struct out *o, struct slice s)
{
	buf_putc(&o->line, '"');
	(void)put_text(&o->line, s, FOR_JSON); /* any width */
	buf_putc(&o->line, '"');
}

static void
put_key(struct out *o, const char *key)
{
	if (o->comma)
		buf_putc(&o->line, ',');
	o->comma = true;
	if (key != NULL) {
		put_string(o, slice_str(key));
		buf_putc(&o->line, ':');
	}
}

void
out_open(struct out *o, const char *key, char bracket)
{
	put_key(o, key);
	buf_putc(&o->line, (uint8_t)bracket);
	o->depth++;
	o->comma = false;
}

void
out_close(struct out *o, char bracket)
{
	MUST(o->depth > 0);
	o->depth--;
	buf_putc(&o->line, (uint8_t)bracket);
	o->comma = true;
}

void
out_str(struct out *o, const char *key, struct slice s)
{
	put_key(o, key);
	put_string(o, s);
}

void
out_number(struct out *o, const char *key, uint64_t n)
{
	put_key(o, key);
	buf_put_number(&o->line, n);
}

void
out_null(struct out *o, const char *key)
{
	put_key(o, key);
	buf_puts(&o->line, "null");
}
