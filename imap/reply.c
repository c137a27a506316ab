#include "imap/reply.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/cdefs.h"
#include "lib/must.h"

#define REPLY_MAGIC 0x19c7f3e5u

enum brace { /* how much of "~{123}" the line has ended in so far */
	BRACE_NONE,
	BRACE_TILDE,
	BRACE_OPEN,  /* "{" */
	BRACE_DIGIT, /* "{1" */
	BRACE_CLOSED /* "{123}": a literal if CR LF follows */
};

void
reply_init(struct reply *r, const struct reply_limits *limits)
{
	*r = (struct reply){ .magic = REPLY_MAGIC, .limits = *limits };
}

static enum reply_event
fail(struct reply *r, const char *why)
{
	r->state = REPLYING_DEAD;
	r->error = why;
	return REPLY_ERROR;
}

/* ---- the head ---- */

static bool
find_status(struct slice word, enum write_status *status)
{
	static const struct {
		const char *name;
		enum write_status status;
	} names[] = { { "OK", WRITE_OK }, { "NO", WRITE_NO },
		{ "BAD", WRITE_BAD }, { "BYE", WRITE_BYE },
		{ "PREAUTH", WRITE_PREAUTH } };

	for (size_t i = 0; i < NITEMS(names); i++)
		if (slice_is_nocase(word, names[i].name)) {
			*status = names[i].status;
			return true;
		}
	return false;
}

/*
 * A word and what ends it: a space, or the line's end.  False if its end is
 * not here yet.
 */
static bool
take_word(struct slice *s, struct slice *word)
{
	size_t n = 0;

	while (n < s->len && s->ptr[n] != ' ' && s->ptr[n] != '\r')
		n++;
	if (n == s->len)
		return false;
	*word = slice_first(*s, n);
	*s = slice_skip(*s, s->ptr[n] == ' ' ? n + 1 : n);
	return true;
}

static bool
is_word(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f ||
		    strchr("(){\"", s.ptr[i]) != NULL)
			return false;
	return s.len > 0;
}

static enum reply_event
said(struct reply *r, const struct reply_head *head)
{
	r->kind = head->kind;
	r->head = *head;
	r->state = REPLYING_HELD;
	return REPLY_HEAD;
}

static enum reply_event
untagged(struct reply *r, struct slice s, struct reply_head *head)
{
	struct slice word;
	uint64_t number;

	if (!take_word(&s, &word))
		return REPLY_MORE;
	if (find_status(word, &head->status)) {
		head->kind = REPLY_STATUS;
		return said(r, head);
	}
	head->kind = REPLY_DATA;
	if (ascii_number(word, UINT32_MAX, &number)) {
		head->has_number = true;
		head->number = (uint32_t)number;
		if (!take_word(&s, &word))
			return REPLY_MORE;
	}
	if (!is_word(word))
		return fail(r, "Malformed untagged response");
	head->name = word;
	return said(r, head);
}

static enum reply_event
parse_head(struct reply *r, struct slice s, struct reply_head *head)
{
	struct slice word;

	if (s.len > 0 && s.ptr[0] == '+') {
		head->kind = REPLY_CONTINUE;
		return said(r, head);
	}
	if (!take_word(&s, &word))
		return REPLY_MORE;
	if (slice_is(word, "*"))
		return untagged(r, s, head);
	if (!is_word(word))
		return fail(r, "Malformed tag");
	head->kind = REPLY_TAGGED;
	head->tag = word;
	if (!take_word(&s, &word))
		return REPLY_MORE;
	if (!find_status(word, &head->status) || head->status > WRITE_BAD)
		return fail(r, "Malformed tagged response");
	return said(r, head);
}

static enum reply_event
next_head(struct reply *r, const uint8_t *in, size_t n, struct reply_item *item)
{
	size_t look = n < REPLY_HEAD_MAX ? n : REPLY_HEAD_MAX;
	enum reply_event ev = parse_head(r, slice_of(in, look), &item->head);

	if (ev == REPLY_MORE)
		item->head = (struct reply_head){ 0 };
	if (ev == REPLY_MORE && look == REPLY_HEAD_MAX)
		return fail(r, "Response begins with too long a word");
	return ev;
}

/* ---- text ---- */

static void
begin_line(struct reply *r)
{
	r->scanned = 0;
	r->brace = BRACE_NONE;
	r->binary = false;
	r->cr = r->quoted = r->escaped = false;
}

/* One octet of text, not CR or LF: quotes, and where a literal may begin. */
static void
see(struct reply *r, uint8_t c)
{
	enum brace before = (enum brace)r->brace;

	r->brace = BRACE_NONE;
	if (r->escaped) {
		r->escaped = false;
	} else if (r->quoted) {
		r->escaped = c == '\\';
		r->quoted = c != '"';
	} else if (c == '"') {
		r->quoted = true;
	} else if (c == '~') {
		r->brace = BRACE_TILDE;
	} else if (c == '{') {
		r->binary = before == BRACE_TILDE;
		r->size = 0;
		r->brace = BRACE_OPEN;
	} else if (ascii_digit(c) &&
	           (before == BRACE_OPEN || before == BRACE_DIGIT)) {
		/* It saturates, far above any limit. */
		if (r->size < UINT64_MAX / 100)
			r->size = r->size * 10 + (c - '0');
		r->brace = BRACE_DIGIT;
	} else if (c == '}' && before == BRACE_DIGIT) {
		r->brace = BRACE_CLOSED;
	}
}

/* Looks at octets not seen before; true when the line's LF is the last. */
static bool
scan_line(struct reply *r, const uint8_t *in, size_t n)
{
	while (r->scanned < n) {
		uint8_t c = in[r->scanned++];

		if (c == '\0' || r->cr != (c == '\n')) {
			r->error = c == '\0'
			               ? "NUL in response"
			               : "CR without LF, or LF without CR";
			return false;
		}
		if (c == '\n')
			return true;
		r->cr = c == '\r';
		if (!r->cr)
			see(r, c);
	}
	return false;
}

static bool
line_has_literal(const struct reply *r)
{
	/* In text for people "{3}" is nothing but text. */
	return r->kind == REPLY_DATA && r->brace == BRACE_CLOSED;
}

static enum reply_event
done(struct reply *r, struct reply_item *item)
{
	item->head = r->head;
	r->state = REPLYING_HEAD;
	begin_line(r);
	return REPLY_DONE;
}

static enum reply_event
give(const struct reply *r, const uint8_t *in, size_t n,
    struct reply_item *item)
{
	item->taken = n;
	item->octets = slice_of(in, r->dropping ? 0 : n);
	return REPLY_OCTETS;
}

static enum reply_event
next_pass(struct reply *r, const uint8_t *in, size_t n, struct reply_item *item)
{
	bool whole;
	size_t len;

	if (r->over) {
		r->over = false;
		return done(r, item);
	}
	if (n == 0)
		return REPLY_MORE;
	r->scanned = 0; /* all that was seen has been taken */
	whole = scan_line(r, in, n);
	if (r->error != NULL)
		return fail(r, r->error);
	len = r->scanned;
	if (whole && line_has_literal(r)) {
		r->left = r->size;
		r->state = r->left > 0 ? REPLYING_OCTETS : REPLYING_PASS;
		begin_line(r);
	} else if (whole) {
		r->over = true;
	}
	return give(r, in, len, item);
}

/* ---- gathering ---- */

static struct piece *
add_piece(struct reply *r, enum piece_kind kind)
{
	struct piece *p = arena_alloc(r->arena, sizeof(*p));

	p->kind = kind;
	if (r->last == NULL)
		r->first = p;
	else
		r->last->next = p;
	r->last = p;
	return p;
}

/* The line without CR LF and, if it announces a literal, without that. */
static struct slice
line_text(const struct reply *r, const uint8_t *in)
{
	struct slice s = slice_of(in, r->scanned - 2);

	if (!line_has_literal(r))
		return s;
	return slice_first(s, slice_rfind(s, '{') - r->binary);
}

static bool
begin_literal(struct reply *r)
{
	struct piece *p;

	if (r->size > r->limits.literal_max - r->stored)
		return false;
	p = add_piece(r, PIECE_LITERAL);
	p->size = r->left = r->size;
	p->binary = r->binary;
	p->octets = slice_of(arena_alloc(r->arena, (size_t)r->size + 1),
	    (size_t)r->size);
	r->stored += (size_t)r->size;
	r->filled = 0;
	return true;
}

static enum reply_event
next_gather(struct reply *r, const uint8_t *in, size_t n,
    struct reply_item *item)
{
	size_t room = r->limits.text_max - r->text;
	bool whole = scan_line(r, in, n < room ? n : room), literal;

	if (r->error != NULL)
		return fail(r, r->error);
	if (!whole && n > room)
		return fail(r, "Response too long");
	if (!whole)
		return REPLY_MORE;
	literal = line_has_literal(r);
	add_piece(r, PIECE_TEXT)->octets =
	    arena_copy(r->arena, line_text(r, in));
	r->text += r->scanned;
	item->taken = r->scanned;
	if (!literal)
		return done(r, item);
	if (!begin_literal(r))
		return fail(r, "Literal too large");
	begin_line(r);
	if (r->left > 0)
		r->state = REPLYING_OCTETS;
	return REPLY_GATHERED;
}

static enum reply_event
next_octets(struct reply *r, const uint8_t *in, size_t n,
    struct reply_item *item)
{
	size_t len = n < r->left ? n : (size_t)r->left;

	MUST(r->left > 0);
	if (n == 0)
		return REPLY_MORE;
	r->left -= len;
	if (r->left == 0)
		r->state = r->arena == NULL ? REPLYING_PASS : REPLYING_GATHER;
	if (r->arena == NULL)
		return give(r, in, len, item);
	memcpy((uint8_t *)(uintptr_t)r->last->octets.ptr + r->filled, in, len);
	r->filled += len;
	item->taken = len;
	return REPLY_GATHERED;
}

enum reply_event
reply_next(struct reply *r, const uint8_t *in, size_t n,
    struct reply_item *item)
{
	MUST(r->magic == REPLY_MAGIC);
	MUST(r->state != REPLYING_HELD);
	*item = (struct reply_item){ 0 };
	switch (r->state) {
	case REPLYING_HEAD:
		return next_head(r, in, n, item);
	case REPLYING_PASS:
		return next_pass(r, in, n, item);
	case REPLYING_GATHER:
		return next_gather(r, in, n, item);
	case REPLYING_OCTETS:
		return next_octets(r, in, n, item);
	case REPLYING_HELD:
	case REPLYING_DEAD:
		break;
	}
	return REPLY_ERROR;
}

static void
decide(struct reply *r, enum reply_state state, struct arena *arena)
{
	MUST(r->state == REPLYING_HELD);
	r->state = state;
	r->arena = arena;
	r->first = r->last = NULL;
	r->text = r->stored = 0;
	r->dropping = r->over = false;
	begin_line(r);
}

void
reply_gather(struct reply *r, struct arena *arena)
{
	MUST(arena != NULL);
	decide(r, REPLYING_GATHER, arena);
	r->head.name = arena_copy(arena, r->head.name);
	r->head.tag = arena_copy(arena, r->head.tag);
}

/* They are in the caller's buffer, which moves. */
static void
forget_words(struct reply *r)
{
	r->head.name = r->head.tag = slice_of(NULL, 0);
}

void
reply_pass(struct reply *r)
{
	decide(r, REPLYING_PASS, NULL);
	forget_words(r);
}

void
reply_drop(struct reply *r)
{
	decide(r, REPLYING_PASS, NULL);
	forget_words(r);
	r->dropping = true;
}

const struct piece *
reply_pieces(const struct reply *r)
{
	MUST(r->first != NULL);
	return r->first;
}

const char *
reply_error(const struct reply *r)
{
	return r->state == REPLYING_DEAD ? r->error : NULL;
}

/* ---- gathered responses ---- */

static struct slice
skip_word(struct slice s)
{
	size_t n = slice_find(s, ' ');

	return slice_skip(s, n < s.len ? n + 1 : n);
}

void
reply_parse_text(const struct piece *pieces, struct reply_text *t)
{
	struct slice s = skip_word(pieces->octets), code;
	size_t end;

	/* "+ text" has no status before the text. */
	if (!slice_starts_nocase(pieces->octets, "+"))
		s = skip_word(s);
	*t = (struct reply_text){ .code = RESPCODE_NONE, .text = s };
	if (s.len == 0 || s.ptr[0] != '[')
		return;
	end = slice_find_unquoted(s, ']');
	if (end == s.len)
		return;
	code = slice_skip(slice_first(s, end), 1);
	t->code_name = slice_first(code, slice_find(code, ' '));
	t->code_args = skip_word(code);
	t->code = respcode_find(t->code_name);
	s = slice_skip(s, end + 1);
	t->text = s.len > 0 && s.ptr[0] == ' ' ? slice_skip(s, 1) : s;
}

void
reply_parse_data(struct parse *p, struct arena *arena,
    const struct piece *pieces)
{
	struct slice word;

	parse_init(p, arena, pieces);
	parse_word(p, "*");
	parse_sp(p);
	word = parse_until(p, " ");
	if (word.len > 0 && ascii_digit(word.ptr[0])) {
		parse_sp(p);
		parse_until(p, " ");
	}
}
