#include "imap/date.h"
#include "imap/flag.h"
#include "imap/seqset.h"
#include "imap/write.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "lib/utf8.h"

enum {
	QUOTED_MAX = 1000 /* longer strings are literals: lines have limits */
};

void
write_init(struct write *w, struct buf *out, enum write_side side)
{
	*w = (struct write){ .out = out, .side = side };
}

void
write_sp(struct write *w)
{
	buf_putc(w->out, ' ');
}

void
write_open(struct write *w)
{
	buf_putc(w->out, '(');
}

void
write_close(struct write *w)
{
	buf_putc(w->out, ')');
}

void
write_end(struct write *w)
{
	buf_put(w->out, "\r\n", 2);
}

void
write_number(struct write *w, uint64_t n)
{
	buf_put_number(w->out, n);
}

void
write_word(struct write *w, const char *word)
{
	buf_puts(w->out, word);
}

void
write_atom(struct write *w, struct slice atom)
{
	for (size_t i = 0; i < atom.len; i++)
		MUST(atom.ptr[i] > ' ' && atom.ptr[i] != 0x7f);
	buf_put_slice(w->out, atom);
}

void
write_octets(struct write *w, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		MUST(text.ptr[i] != '\r' && text.ptr[i] != '\n' &&
		     text.ptr[i] != '\0');
	buf_put_slice(w->out, text);
}

static void
put_head(struct write *w, uint64_t n, bool sync)
{
	buf_putc(w->out, '{');
	buf_put_number(w->out, n);
	buf_puts(w->out, sync || w->side == WRITE_SERVER ? "}" : "+}");
	write_end(w);
}

void
write_literal_head(struct write *w, uint64_t n)
{
	put_head(w, n, false);
}

void
write_literal8_head(struct write *w, uint64_t n)
{
	buf_putc(w->out, '~');
	put_head(w, n, false);
}

void
write_sync_literal_head(struct write *w, uint64_t n)
{
	put_head(w, n, true);
}

void
write_literal(struct write *w, struct slice s)
{
	write_literal_head(w, s.len);
	buf_put_slice(w->out, s);
}

void
write_literal8(struct write *w, struct slice s)
{
	write_literal8_head(w, s.len);
	buf_put_slice(w->out, s);
}

/* *escapes: some of it has to be escaped. */
static bool
fits_quoted(const struct write *w, struct slice s, bool *escapes)
{
	enum {
		LITERAL = 1,
		ESCAPED = 2
	};
	static const uint8_t kinds[128] = { ['\0'] = LITERAL,
		['\r'] = LITERAL,
		['\n'] = LITERAL,
		['"'] = ESCAPED,
		['\\'] = ESCAPED };
	uint8_t all = 0, found = 0;

	if (s.len > QUOTED_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		all |= s.ptr[i];
		found |= kinds[s.ptr[i] & 0x7f];
	}
	*escapes = true;
	if (all < 0x80) {
		*escapes = (found & ESCAPED) != 0;
		return (found & LITERAL) == 0;
	}
	/* An octet above it may have been taken for another. */
	return w->utf8 && utf8_valid(s) && slice_find(s, '\0') == s.len &&
	       slice_find(s, '\r') == s.len && slice_find(s, '\n') == s.len;
}

/* An atom, and none that could be read as something else. */
static bool
fits_atom(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f ||
		    strchr("(){%*\"\\[]", s.ptr[i]) != NULL)
			return false;
	return s.len > 0 && s.len <= QUOTED_MAX && !slice_is_nocase(s, "NIL");
}

void
write_string(struct write *w, struct slice s)
{
	bool escapes;

	if (!fits_quoted(w, s, &escapes)) {
		write_literal(w, s);
		return;
	}
	buf_putc(w->out, '"');
	if (!escapes)
		buf_put_slice(w->out, s);
	while (escapes && s.len > 0) {
		/* Up to what is escaped, which begins the next piece. */
		size_t n = 1;

		if (s.ptr[0] == '"' || s.ptr[0] == '\\')
			buf_putc(w->out, '\\');
		while (n < s.len && s.ptr[n] != '"' && s.ptr[n] != '\\')
			n++;
		buf_put(w->out, s.ptr, n);
		s = slice_skip(s, n);
	}
	buf_putc(w->out, '"');
}

void
write_astring(struct write *w, struct slice s)
{
	if (fits_atom(s))
		buf_put_slice(w->out, s);
	else
		write_string(w, s);
}

void
write_nstring(struct write *w, struct slice s)
{
	if (s.ptr == NULL)
		buf_put(w->out, "NIL", 3);
	else
		write_string(w, s);
}

void
write_mailbox(struct write *w, struct slice name)
{
	write_astring(w, name);
}

void
write_flags(struct write *w, const struct flags *f)
{
	write_open(w);
	flags_put(w->out, f);
	write_close(w);
}

void
write_seqset(struct write *w, const struct seqset *s)
{
	MUST(s->n > 0);
	seqset_put(w->out, s);
}

void
write_date_time(struct write *w, const struct date_time *t)
{
	buf_putc(w->out, '"');
	date_put_time(w->out, t);
	buf_putc(w->out, '"');
}

void
write_untagged(struct write *w, const char *name)
{
	buf_puts(w->out, "* ");
	buf_puts(w->out, name);
}

void
write_untagged_number(struct write *w, uint64_t n, const char *name)
{
	buf_puts(w->out, "* ");
	buf_put_number(w->out, n);
	write_sp(w);
	buf_puts(w->out, name);
}

void
write_command(struct write *w, struct slice tag, const struct command *c)
{
	buf_put_slice(w->out, tag);
	write_sp(w);
	buf_puts(w->out, c->name);
}

void
write_status(struct write *w, struct slice tag, enum write_status status)
{
	static const char *const names[] = {
		[WRITE_OK] = "OK ",
		[WRITE_NO] = "NO ",
		[WRITE_BAD] = "BAD ",
		[WRITE_BYE] = "BYE ",
		[WRITE_PREAUTH] = "PREAUTH ",
	};

	MUST((size_t)status < NITEMS(names));
	if (tag.len == 0)
		buf_putc(w->out, '*');
	else
		buf_put_slice(w->out, tag);
	write_sp(w);
	buf_puts(w->out, names[status]);
}

void
write_code_open(struct write *w, enum respcode code)
{
	buf_putc(w->out, '[');
	buf_puts(w->out, respcode_name(code));
}

void
write_code_close(struct write *w)
{
	buf_puts(w->out, "] ");
}

void
write_code_text(struct write *w, const char *code)
{
	buf_putc(w->out, '[');
	for (const char *c = code; *c != '\0'; c++)
		buf_putc(w->out,
		    (uint8_t)(*c < ' ' || *c == 0x7f || *c == ']' ? '?' : *c));
	write_code_close(w);
}

/* Text may not be empty, and a "[" at its start would be a code. */
void
write_text(struct write *w, const char *text)
{
	if (*text == '\0' || *text == '[')
		buf_putc(w->out, '-');
	for (const char *c = text; *c != '\0'; c++)
		buf_putc(w->out, (uint8_t)(*c < ' ' || *c == 0x7f ? '?' : *c));
}

void
write_reply(struct write *w, struct slice tag, enum write_status status,
    enum respcode code, const char *text)
{
	write_status(w, tag, status);
	if (code != RESPCODE_NONE) {
		write_code_open(w, code);
		write_code_close(w);
	}
	write_text(w, text);
	write_end(w);
}

void
write_continue(struct write *w, struct slice text)
{
	buf_puts(w->out, "+ ");
	write_line(w, text);
}

void
write_line(struct write *w, struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		MUST(line.ptr[i] != '\r' && line.ptr[i] != '\n');
	buf_put_slice(w->out, line);
	write_end(w);
}
