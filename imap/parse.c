#include "imap/command.h"
#include "imap/date.h"
#include "imap/flag.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/must.h"
#include "lib/utf8.h"

static const uint8_t nothing[1];

void
parse_init(struct parse *p, struct arena *arena, const struct piece *pieces)
{
	*p = (struct parse){ .arena = arena, .piece = pieces };
}

void
parse_init_text(struct parse *p, struct arena *arena, struct slice text)
{
	*p = (struct parse){ .arena = arena };
	p->only = (struct piece){ .kind = PIECE_TEXT, .octets = text };
	p->piece = &p->only;
}

void
parse_want_utf8(struct parse *p)
{
	p->utf8 = true;
}

void
parse_init_copy(struct parse *p, struct arena *arena, const struct parse *from)
{
	struct piece *last = NULL;

	*p = (struct parse){ .arena = arena,
		.at = from->at,
		.error = from->error,
		.utf8 = from->utf8 };
	for (const struct piece *it = from->piece; it != NULL; it = it->next) {
		struct piece *copy = arena_alloc(arena, sizeof(*copy));

		*copy = *it;
		copy->octets = arena_copy(arena, it->octets);
		copy->next = NULL;
		if (last == NULL)
			p->piece = copy;
		else
			last->next = copy;
		last = copy;
	}
}

const char *
parse_error(const struct parse *p)
{
	return p->error;
}

void
parse_fail(struct parse *p, const char *why)
{
	if (p->error == NULL)
		p->error = why;
}

/* At the end of a text piece the next piece is what is next. */
static void
settle(struct parse *p)
{
	while (p->piece != NULL && p->piece->kind == PIECE_TEXT &&
	       p->at == p->piece->octets.len) {
		p->piece = p->piece->next;
		p->at = 0;
	}
}

/* Text that is left in this piece; none if a literal or the end is next. */
static struct slice
ahead(const struct parse *p)
{
	const struct piece *piece = p->piece;

	if (p->error != NULL || piece == NULL || piece->kind != PIECE_TEXT)
		return slice_of(nothing, 0);
	return slice_skip(piece->octets, p->at);
}

static struct slice
take(struct parse *p, size_t n)
{
	struct slice s = slice_first(ahead(p), n);

	p->at += n;
	if (s.len == 0)
		s.ptr = nothing;
	return s;
}

static struct slice
fail(struct parse *p, const char *why)
{
	parse_fail(p, why);
	return slice_of(nothing, 0);
}

int
parse_peek(const struct parse *p)
{
	const struct piece *piece = p->piece;

	if (p->error != NULL)
		return PARSE_FAILED;
	if (piece != NULL && piece->kind == PIECE_TEXT &&
	    p->at < piece->octets.len)
		return piece->octets.ptr[p->at];
	/* Between pieces; text may be empty. */
	if (piece != NULL && piece->kind == PIECE_TEXT)
		piece = piece->next;
	while (piece != NULL && piece->kind == PIECE_TEXT &&
	       piece->octets.len == 0)
		piece = piece->next;
	if (piece == NULL)
		return PARSE_END;
	return piece->kind == PIECE_TEXT ? piece->octets.ptr[0] : PARSE_LITERAL;
}

/* As parse_peek(), and the cursor stands at what it says. */
static int
next(struct parse *p)
{
	int c = parse_peek(p);

	if (c != PARSE_FAILED)
		settle(p);
	return c;
}

static bool
is_atom_char(uint8_t c)
{
	return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

static bool
is_astring_char(uint8_t c)
{
	return c == ']' || is_atom_char(c);
}

static bool
is_list_char(uint8_t c)
{
	return c == '%' || c == '*' || is_astring_char(c);
}

static bool
is_tag_char(uint8_t c)
{
	return c != '+' && is_astring_char(c);
}

static bool
is_set_char(uint8_t c)
{
	return ascii_digit(c) || c == ':' || c == ',' || c == '*';
}

static bool
is_saved_set_char(uint8_t c)
{
	return c == '$' || is_set_char(c);
}

static struct slice
take_while(struct parse *p, bool (*is)(uint8_t))
{
	struct slice s = ahead(p);
	size_t n = 0;

	while (n < s.len && is(s.ptr[n]))
		n++;
	return take(p, n);
}

bool
parse_at_word(const struct parse *p, const char *word)
{
	struct slice s = ahead(p);
	size_t n = strlen(word);

	return slice_starts_nocase(s, word) &&
	       (s.len == n || !is_atom_char(s.ptr[n]));
}

bool
parse_try(struct parse *p, uint8_t c)
{
	if (next(p) != c)
		return false;
	take(p, 1);
	return true;
}

bool
parse_try_word(struct parse *p, const char *word)
{
	next(p);
	if (!parse_at_word(p, word))
		return false;
	take(p, strlen(word));
	return true;
}

void
parse_char(struct parse *p, uint8_t c)
{
	if (parse_try(p, c))
		return;
	switch (c) {
	case ' ':
		parse_fail(p, "Space expected");
		break;
	case '(':
		parse_fail(p, "Parenthesised list expected");
		break;
	case ')':
		parse_fail(p, "Closing parenthesis expected");
		break;
	default:
		parse_fail(p, "Syntax error");
		break;
	}
}

void
parse_sp(struct parse *p)
{
	if (next(p) == PARSE_END)
		parse_fail(p, "Missing argument");
	else
		parse_char(p, ' ');
}

void
parse_word(struct parse *p, const char *word)
{
	if (!parse_try_word(p, word))
		parse_fail(p, "Unexpected argument");
}

void
parse_end(struct parse *p)
{
	if (next(p) != PARSE_END)
		parse_fail(p, "Too many arguments");
}

void
parse_open(struct parse *p)
{
	parse_char(p, '(');
}

bool
parse_more(struct parse *p)
{
	bool first;

	if (parse_try(p, ')'))
		return false;
	if (p->error != NULL)
		return false;
	first = p->piece != NULL && p->piece->kind == PIECE_TEXT && p->at > 0 &&
	        p->piece->octets.ptr[p->at - 1] == '(';
	/* The parenthesis may be the last octet before a literal. */
	if (!first && next(p) == PARSE_LITERAL)
		return true;
	if (!first)
		parse_char(p, ' ');
	return p->error == NULL;
}

struct slice
parse_tag(struct parse *p)
{
	struct slice s = take_while(p, is_tag_char);

	return s.len > 0 ? s : fail(p, "Missing or invalid tag");
}

const struct command *
parse_command(struct parse *p)
{
	struct slice s = ahead(p), name;
	const struct command *c;
	size_t n;

	name = slice_first(s, slice_find(s, ' '));
	if (slice_is_nocase(name, "UID") && name.len < s.len) {
		n = name.len + 1;
		n += slice_find(slice_skip(s, n), ' ');
		name = slice_first(s, n);
	}
	c = name.len > 0 ? command_find(name.ptr, name.len) : NULL;
	if (c == NULL)
		parse_fail(p, "Unknown command");
	else
		take(p, name.len);
	return c;
}

struct slice
parse_atom(struct parse *p)
{
	struct slice s;

	next(p);
	s = take_while(p, is_atom_char);
	return s.len > 0 ? s : fail(p, "Atom expected");
}

/* s holds escapes, and is well formed. */
static struct slice
unescape(struct parse *p, struct slice s)
{
	uint8_t *out = arena_alloc(p->arena, s.len);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\\')
			i++;
		out[n++] = s.ptr[i];
	}
	return slice_of(out, n);
}

static struct slice
take_quoted(struct parse *p)
{
	struct slice s;
	bool escapes = false;
	size_t n = 0;

	take(p, 1);
	s = ahead(p);
	for (; n < s.len && s.ptr[n] != '"'; n++) {
		if (s.ptr[n] != '\\')
			continue;
		escapes = true;
		n++;
		if (n == s.len || (s.ptr[n] != '"' && s.ptr[n] != '\\'))
			return fail(p, "Invalid escape in quoted string");
	}
	if (n == s.len)
		return fail(p, "Unterminated quoted string");
	s = take(p, n);
	take(p, 1);
	if (p->utf8 && !utf8_valid(s))
		return fail(p, "Quoted string is not UTF-8");
	return escapes ? unescape(p, s) : s;
}

static struct slice
take_literal(struct parse *p)
{
	struct slice s = p->piece->octets;

	if (p->piece->kind == PIECE_STREAM)
		return fail(p, "Literal not allowed here");
	p->piece = p->piece->next;
	p->at = 0;
	if (s.len == 0)
		s.ptr = nothing;
	return s;
}

struct slice
parse_string(struct parse *p)
{
	int c = next(p);

	if (c == '"')
		return take_quoted(p);
	if (c == PARSE_LITERAL)
		return take_literal(p);
	return fail(p, "String expected");
}

/* A string, or octets of the kind that may stand without quotes. */
static struct slice
string_or(struct parse *p, bool (*is)(uint8_t))
{
	int c = next(p);
	struct slice s;

	if (c == '"' || c == PARSE_LITERAL)
		return parse_string(p);
	s = take_while(p, is);
	return s.len > 0 ? s : fail(p, "Argument expected");
}

/* NUL is in no string of IMAP but a literal8. */
static struct slice
without_nul(struct parse *p, struct slice s)
{
	if (s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL)
		return fail(p, "NUL in argument");
	return s;
}

struct slice
parse_astring(struct parse *p)
{
	return without_nul(p, string_or(p, is_astring_char));
}

struct slice
parse_nstring(struct parse *p)
{
	if (parse_try_word(p, "NIL"))
		return slice_of(NULL, 0);
	return parse_string(p);
}

static struct slice
canonical(struct slice name)
{
	return slice_is_nocase(name, "INBOX") ? slice_str("INBOX") : name;
}

struct slice
parse_mailbox(struct parse *p)
{
	return canonical(parse_astring(p));
}

struct slice
parse_list_mailbox(struct parse *p)
{
	return without_nul(p, string_or(p, is_list_char));
}

static uint64_t
take_number(struct parse *p, uint64_t max)
{
	uint64_t n = 0;
	struct slice s;

	next(p);
	s = take_while(p, ascii_digit);
	if (s.len == 0)
		parse_fail(p, "Number expected");
	else if (!ascii_number(s, max, &n))
		parse_fail(p, "Number too large");
	return p->error == NULL ? n : 0;
}

uint32_t
parse_number(struct parse *p)
{
	return (uint32_t)take_number(p, UINT32_MAX);
}

uint32_t
parse_nz_number(struct parse *p)
{
	uint32_t n = parse_number(p);

	if (n == 0)
		parse_fail(p, "Number expected, not zero");
	return n;
}

uint64_t
parse_number64(struct parse *p)
{
	return take_number(p, INT64_MAX);
}

uint64_t
parse_stream(struct parse *p, bool *binary)
{
	const struct piece *piece;

	*binary = false;
	if (next(p) != PARSE_LITERAL || p->piece->kind != PIECE_STREAM) {
		parse_fail(p, "Literal expected");
		return 0;
	}
	piece = p->piece;
	*binary = piece->binary;
	p->piece = piece->next;
	p->at = 0;
	return piece->size;
}

static void
take_flag(struct parse *p, struct flags *f)
{
	struct slice s = ahead(p);
	const char *why;
	size_t n = s.len > 0 && s.ptr[0] == '\\';

	while (n < s.len && is_atom_char(s.ptr[n]))
		n++;
	why = flags_add(p->arena, f, take(p, n));
	if (why != NULL)
		parse_fail(p, why);
}

void
parse_flag_list(struct parse *p, struct flags *f)
{
	*f = (struct flags){ 0 };
	parse_open(p);
	while (parse_more(p))
		take_flag(p, f);
}

void
parse_store_flags(struct parse *p, struct flags *f)
{
	if (next(p) == '(') {
		parse_flag_list(p, f);
		return;
	}
	*f = (struct flags){ 0 };
	take_flag(p, f);
	while (parse_try(p, ' '))
		take_flag(p, f);
}

void
parse_date_time(struct parse *p, struct date_time *t)
{
	*t = (struct date_time){ 0 };
	if (next(p) != '"')
		parse_fail(p, "Date and time expected");
	else if (!date_parse_time(take_quoted(p), t))
		parse_fail(p, "Invalid date and time");
}

int64_t
parse_date(struct parse *p)
{
	int64_t day = 0;
	struct slice s;

	s = next(p) == '"' ? take_quoted(p) : take_while(p, is_atom_char);
	if (!date_parse_day(s, &day))
		parse_fail(p, "Invalid date");
	return p->error == NULL ? day : 0;
}

static void
end_set(struct parse *p, struct seqset *s, const char *why)
{
	if (why != NULL)
		parse_fail(p, why);
	if (p->error != NULL)
		*s = (struct seqset){ 0 };
}

void
parse_seqset(struct parse *p, struct seqset *s)
{
	next(p);
	end_set(p, s, seqset_parse(p->arena, take_while(p, is_set_char), s));
}

void
parse_seqset_saved(struct parse *p, struct seqset *s)
{
	struct slice text;

	next(p);
	text = take_while(p, is_saved_set_char);
	end_set(p, s, seqset_parse_saved(p->arena, text, s));
}

struct slice
parse_until(struct parse *p, const char *stops)
{
	struct slice s;
	size_t n = 0;

	next(p);
	s = ahead(p);
	while (
	    n < s.len && (s.ptr[n] == '\0' || strchr(stops, s.ptr[n]) == NULL))
		n++;
	return take(p, n);
}

struct slice
parse_between(const struct parse *from, const struct parse *p)
{
	if (p->error != NULL || from->piece == NULL ||
	    from->piece != p->piece || p->at < from->at)
		return slice_of(NULL, 0);
	return slice_first(slice_skip(from->piece->octets, from->at),
	    p->at - from->at);
}

struct slice
parse_rest(struct parse *p)
{
	return take(p, ahead(p).len);
}
