#include "imap/sieve/lex.h"
#include "lib/arena.h"
#include "lib/ascii.h"

enum {
	NUMBER_MAX = INT32_MAX /* RFC 5228 2.4.1 */
};

void
lex_init(struct lex *l, struct arena *arena, struct slice script)
{
	*l = (struct lex){ arena, script, 1 };
}

static int
peek(const struct lex *l, size_t i)
{
	return i < l->rest.len ? l->rest.ptr[i] : -1;
}

/* The next n octets are done with. */
static struct slice
take(struct lex *l, size_t n)
{
	struct slice s = slice_first(l->rest, n);

	for (size_t i = 0; i < n; i++)
		l->line += s.ptr[i] == '\n';
	l->rest = slice_skip(l->rest, n);
	return s;
}

static void
fail(struct lex_token *t, const char *why)
{
	t->kind = LEX_ERROR;
	t->error = why;
}

/* False: a comment has no end. */
static bool
skip_blank(struct lex *l)
{
	for (;;) {
		int c = peek(l, 0);
		size_t n = 0;

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			take(l, 1);
		} else if (c == '#') {
			take(l, slice_find(l->rest, '\n'));
		} else if (c == '/' && peek(l, 1) == '*') {
			for (n = 2; peek(l, n) != -1; n++)
				if (peek(l, n) == '*' && peek(l, n + 1) == '/')
					break;
			if (peek(l, n) == -1)
				return false;
			take(l, n + 2);
		} else {
			return true;
		}
	}
}

static void
lex_quoted(struct lex *l, struct lex_token *t)
{
	size_t n = 1, len = 0;
	uint8_t *p;

	while (peek(l, n) != '"' && peek(l, n) != -1)
		n += peek(l, n) == '\\' ? 2 : 1;
	if (peek(l, n) == -1) {
		fail(t, "a string has no end");
		return;
	}
	p = arena_alloc(l->arena, n);
	for (size_t i = 1; i < n; i++) {
		if (peek(l, i) == '\\')
			i++;
		p[len++] = l->rest.ptr[i];
	}
	take(l, n + 1);
	t->kind = LEX_STRING;
	t->text = slice_of(p, len);
}

/* The line at i, its end included. */
static struct slice
line_at(const struct lex *l, size_t i)
{
	struct slice s = slice_skip(l->rest, i);
	size_t n = slice_find(s, '\n');

	return slice_first(s, n < s.len ? n + 1 : n);
}

/* At "text:", to the line that is a dot alone. */
static void
lex_multiline(struct lex *l, struct lex_token *t)
{
	size_t n = 5, start, len = 0;
	struct slice line;
	uint8_t *p;

	while (peek(l, n) == ' ' || peek(l, n) == '\t')
		n++;
	if (peek(l, n) == '#')
		n += slice_find(slice_skip(l->rest, n), '\n');
	if (peek(l, n) == '\r')
		n++;
	if (peek(l, n) != '\n') {
		fail(t, "text: is not at the end of its line");
		return;
	}
	start = ++n;
	for (;;) {
		line = line_at(l, n);
		if (line.len == 0) {
			fail(t, "a text: has no end");
			return;
		}
		if (line.ptr[0] == '.' && slice_trim(line).len == 1)
			break;
		n += line.len;
	}
	p = arena_alloc(l->arena, n - start);
	for (size_t i = start; i < n; i += line.len) {
		size_t dot = l->rest.ptr[i] == '.' ? 1 : 0;

		line = line_at(l, i);
		memcpy(p + len, line.ptr + dot, line.len - dot);
		len += line.len - dot;
	}
	take(l, n + line_at(l, n).len);
	t->kind = LEX_STRING;
	t->text = slice_of(p, len);
}

static void
lex_number(struct lex *l, struct lex_token *t)
{
	static const struct {
		uint8_t letter;
		unsigned shift;
	} quantifiers[] = { { 'k', 10 }, { 'm', 20 }, { 'g', 30 } };
	size_t n = 0;
	int c;

	while (ascii_digit((uint8_t)peek(l, n)) && peek(l, n) != -1)
		n++;
	t->kind = LEX_NUMBER;
	if (!ascii_number(take(l, n), NUMBER_MAX, &t->number)) {
		fail(t, "a number is too large");
		return;
	}
	c = peek(l, 0);
	for (size_t i = 0; i < 3; i++) {
		if (c == -1 || ascii_lower((uint8_t)c) != quantifiers[i].letter)
			continue;
		t->number <<= quantifiers[i].shift;
		take(l, 1);
	}
	if (t->number > NUMBER_MAX)
		fail(t, "a number is too large");
}

static size_t
word_length(const struct lex *l, size_t at)
{
	size_t n = at;

	while (peek(l, n) != -1 &&
	       (ascii_alnum((uint8_t)peek(l, n)) || peek(l, n) == '_'))
		n++;
	if (n > at && ascii_digit((uint8_t)peek(l, at)))
		return 0;
	return n - at;
}

static void
lex_word(struct lex *l, struct lex_token *t)
{
	size_t n = word_length(l, 0);

	t->text = slice_first(l->rest, n);
	if (slice_is_nocase(t->text, "text") && peek(l, n) == ':') {
		lex_multiline(l, t);
		return;
	}
	t->kind = LEX_WORD;
	take(l, n);
}

static void
lex_tag(struct lex *l, struct lex_token *t)
{
	size_t n = word_length(l, 1);

	if (n == 0) {
		fail(t, "a colon without a tag's name");
		return;
	}
	take(l, 1);
	t->kind = LEX_TAG;
	t->text = take(l, n);
}

void
lex_next(struct lex *l, struct lex_token *t)
{
	bool ended = skip_blank(l);
	int c = peek(l, 0);

	*t = (struct lex_token){ .line = l->line };
	if (!ended)
		fail(t, "a comment has no end");
	else if (c == -1)
		t->kind = LEX_END;
	else if (c == '"')
		lex_quoted(l, t);
	else if (c == ':')
		lex_tag(l, t);
	else if (ascii_digit((uint8_t)c))
		lex_number(l, t);
	else if (word_length(l, 0) > 0)
		lex_word(l, t);
	else if (c != 0 && strchr("(){}[],;", c) != NULL)
		*t = (struct lex_token){ .kind = LEX_MARK,
			.line = l->line,
			.mark = take(l, 1).ptr[0] };
	else
		fail(t, "an octet that fits nowhere");
}
