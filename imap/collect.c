#include "imap/collect.h"
#include "imap/command.h"
#include "lib/arena.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define COLLECT_MAGIC 0x5be21c94u

static const struct collect_extras no_extras = { 0, 0 };

void
collect_init(struct collect *c, enum collect_dialect dialect,
    const struct collect_limits *limits, struct arena *arena)
{
	*c = (struct collect){
		.magic = COLLECT_MAGIC,
		.dialect = dialect,
		.limits = *limits,
		.extras = &no_extras,
		.arena = arena,
	};
	framer_init(&c->framer, limits->text_max);
}

void
collect_set_extras(struct collect *c, const struct collect_extras *extras)
{
	c->extras = extras;
}

void
collect_set_limits(struct collect *c, const struct collect_limits *limits)
{
	MUST(c->magic == COLLECT_MAGIC);
	c->limits = *limits;
	c->framer.text_max = limits->text_max;
}

static enum collect_event
fail(struct collect *c, const char *why)
{
	c->state = COLLECTING_DEAD;
	c->error = why;
	return COLLECT_ERROR;
}

static struct piece *
add_piece(struct collect *c, enum piece_kind kind)
{
	struct piece *p = arena_alloc(c->arena, sizeof(*p));

	p->kind = kind;
	if (c->last == NULL)
		c->first = p;
	else
		c->last->next = p;
	c->last = p;
	return p;
}

static void
add_text(struct collect *c, struct slice text)
{
	struct piece *p = add_piece(c, PIECE_TEXT);

	p->octets = arena_copy(c->arena, text);
}

/* The text without the "{n}" or "~{n+}" that the framer found at its end. */
static struct slice
before_brace(const struct framer_token *tok)
{
	size_t n = slice_rfind(slice_of(tok->ptr, tok->len), '{');

	MUST(n < tok->len);
	if (tok->binary)
		n--;
	return slice_of(tok->ptr, n);
}

/* Takes the octets before the next space, and that space. */
static struct slice
take_word(struct slice *s)
{
	size_t n = slice_find(*s, ' ');
	struct slice word = slice_first(*s, n);

	*s = slice_skip(*s, n < s->len ? n + 1 : n);
	return word;
}

/* Text without its first argument, which may be in quotes. */
static struct slice
skip_argument(struct slice s)
{
	bool quoted = false;
	size_t i = 0;

	while (i < s.len && (quoted || s.ptr[i] != ' ')) {
		if (quoted && s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '"')
			quoted = !quoted;
		i++;
	}
	return slice_skip(s, i < s.len ? i : s.len);
}

/*
 * Have so many arguments been gathered?  *text is the first piece's rest, and
 * then what follows them in the last piece.
 */
static bool
has_arguments(const struct collect *c, struct slice *text, unsigned want)
{
	const struct piece *p = c->first;

	for (;;) {
		*text = slice_trim(*text);
		for (; text->len > 0 && want > 0; want--)
			*text = slice_trim(skip_argument(*text));
		if (want == 0 && p != c->last)
			*text = c->last->octets;
		p = p->next;
		if (want == 0 || p == NULL)
			return want == 0;
		if (p->kind == PIECE_TEXT)
			*text = p->octets;
		else
			want--;
	}
}

/* "CATENATE (URL ", " URL ": what comes is an address, not a message. */
static bool
is_url(struct slice text)
{
	size_t n;

	text = slice_trim(text);
	n = slice_rfind(text, ' ');
	if (n < text.len)
		text = slice_skip(text, n + 1);
	return slice_is_nocase(text, "URL") || slice_is_nocase(text, "(URL");
}

/* The command's name, "UID REPLACE" being one. */
static struct slice
take_name(struct slice *rest)
{
	struct slice all = *rest, name = take_word(rest);

	if (!slice_is_nocase(name, "UID"))
		return name;
	name = take_word(rest);
	return slice_first(all, (size_t)(name.ptr + name.len - all.ptr));
}

/*
 * The literal behind what has been gathered: is it to be streamed?  APPEND may
 * have its mailbox as a literal too, but that is its first argument.
 */
static bool
is_streamed(const struct collect *c)
{
	struct slice rest = c->first->octets, name;
	const struct command *cmd;

	if (c->dialect != COLLECT_IMAP)
		return false;
	take_word(&rest);
	name = take_name(&rest);
	cmd = command_find(name.ptr, name.len);
	if (cmd == NULL || !(cmd->flags & CMD_STREAM))
		return false;
	return has_arguments(c, &rest, cmd->flags & CMD_HINT ? 2 : 1) &&
	       !is_url(rest);
}

static enum collect_event
refuse(struct collect *c, const struct framer_token *tok,
    struct collect_item *item, const char *why)
{
	if (!tok->sync)
		return fail(c, why);
	framer_refuse(&c->framer);
	c->state = COLLECTED;
	item->why = why;
	return COLLECT_REFUSED;
}

/* More than LITERAL- allows without waiting. */
static bool
is_too_hasty(const struct collect *c, const struct framer_token *tok)
{
	return !tok->sync && c->extras->nonsync_max > 0 &&
	       tok->size > c->extras->nonsync_max;
}

static enum collect_event
begin_literal(struct collect *c, const struct framer_token *tok,
    struct collect_item *item)
{
	struct piece *p;

	if (c->dialect == COLLECT_SIEVE && tok->sync)
		return refuse(c, tok, item, "Literals must be {n+}");
	if (tok->binary && c->dialect == COLLECT_SIEVE)
		return fail(c, "No literal8 here");
	if (c->literals == c->limits.literals_max)
		return refuse(c, tok, item, "Too many literals");
	if (tok->size > c->limits.literal_max - c->stored ||
	    is_too_hasty(c, tok)) {
		item->too_big = true;
		return refuse(c, tok, item, "Literal too large");
	}
	p = add_piece(c, PIECE_LITERAL);
	p->size = tok->size;
	p->binary = tok->binary;
	p->octets = slice_of(arena_alloc(c->arena, (size_t)tok->size + 1),
	    (size_t)tok->size);
	c->literals++;
	c->stored += (size_t)tok->size;
	c->filled = 0;
	framer_accept(&c->framer);
	c->state = tok->size > 0 ? COLLECTING_LITERAL : COLLECTING_TEXT;
	return tok->sync ? COLLECT_CONTINUE : COLLECT_GATHERED;
}

static enum collect_event
on_literal(struct collect *c, const struct framer_token *tok,
    struct collect_item *item)
{
	struct piece *p;

	add_text(c, before_brace(tok));
	if (!is_streamed(c))
		return begin_literal(c, tok, item);
	if (c->literals == c->limits.literals_max)
		return refuse(c, tok, item, "Too many literals");
	framer_allow(&c->framer, c->extras->stream_text);
	p = add_piece(c, PIECE_STREAM);
	p->size = item->size = tok->size;
	p->binary = tok->binary;
	item->sync = tok->sync;
	item->too_big = is_too_hasty(c, tok);
	c->literals++;
	c->filled = 0;
	c->state = COLLECTING_HELD;
	return COLLECT_STREAM;
}

/* A line that is no command cannot announce a literal either. */
static enum collect_event
on_line(struct collect *c, enum framer_event ev, const struct framer_token *tok,
    struct collect_item *item)
{
	if (ev == FRAMER_LITERAL && !tok->sync)
		return fail(c, "A literal where none can be");
	if (ev == FRAMER_LITERAL)
		framer_refuse(&c->framer);
	c->state = COLLECTED;
	item->octets = slice_of(tok->ptr, tok->len);
	return COLLECT_LINE;
}

/* The arena's own octets, which only their slices call const. */
static uint8_t *
writable(const uint8_t *p)
{
	return (uint8_t *)(uintptr_t)p;
}

static enum collect_event
on_data(struct collect *c, const struct framer_token *tok,
    struct collect_item *item)
{
	struct piece *p = c->last;
	enum collect_state now = c->state;

	MUST(p != NULL && tok->len <= p->size - c->filled);
	if (now == COLLECTING_LITERAL)
		memcpy(writable(p->octets.ptr) + c->filled, tok->ptr, tok->len);
	c->filled += tok->len;
	if (c->filled == p->size)
		c->state = COLLECTING_TEXT;
	if (now != COLLECTING_STREAM)
		return COLLECT_GATHERED;
	item->octets = slice_of(tok->ptr, tok->len);
	return COLLECT_DATA;
}

static enum collect_event
on_command(struct collect *c, const struct framer_token *tok)
{
	add_text(c, slice_of(tok->ptr, tok->len));
	c->state = COLLECTED;
	return COLLECT_COMMAND;
}

enum collect_event
collect_next(struct collect *c, const uint8_t *in, size_t n,
    struct collect_item *item)
{
	struct framer_token tok;
	enum framer_event ev;

	MUST(c->magic == COLLECT_MAGIC);
	*item = (struct collect_item){ 0 };
	if (c->state == COLLECTED || c->state == COLLECTING_HELD)
		return COLLECT_MORE;
	if (c->state == COLLECTING_DEAD)
		return COLLECT_ERROR;
	ev = framer_next(&c->framer, in, n, &tok);
	if (ev == FRAMER_ERROR)
		return fail(c, framer_error(&c->framer));
	if (ev == FRAMER_MORE)
		return COLLECT_MORE;
	item->taken = tok.taken;
	if (ev == FRAMER_DATA)
		return on_data(c, &tok, item);
	if (c->state == COLLECTING_LINE)
		return on_line(c, ev, &tok, item);
	if (ev == FRAMER_LITERAL)
		return on_literal(c, &tok, item);
	return on_command(c, &tok);
}

static void
take_stream(struct collect *c, enum collect_state state)
{
	MUST(c->state == COLLECTING_HELD);
	framer_accept(&c->framer);
	c->state = c->last->size > 0 ? state : COLLECTING_TEXT;
}

void
collect_accept(struct collect *c)
{
	take_stream(c, COLLECTING_STREAM);
}

void
collect_skip(struct collect *c)
{
	take_stream(c, COLLECTING_SKIP);
}

void
collect_refuse(struct collect *c)
{
	MUST(c->state == COLLECTING_HELD);
	framer_refuse(&c->framer); /* checks that it was a sync one */
	c->state = COLLECTED;
}

const struct piece *
collect_pieces(const struct collect *c)
{
	MUST(c->first != NULL);
	return c->first;
}

/* RFC 3501: any ASTRING-CHAR but "+". */
static bool
is_tag(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f ||
		    strchr("(){%*\"\\+", s.ptr[i]) != NULL)
			return false;
	return s.len > 0;
}

struct slice
collect_tag(const struct collect *c)
{
	struct slice rest, tag;

	if (c->first == NULL)
		return slice_str("*");
	rest = c->first->octets;
	tag = take_word(&rest);
	return is_tag(tag) ? tag : slice_str("*");
}

void
collect_done(struct collect *c)
{
	MUST(c->state == COLLECTED);
	for (struct piece *p = c->first; p != NULL; p = p->next)
		if (p->octets.len > 0)
			wipe(writable(p->octets.ptr), p->octets.len);
	arena_reset(c->arena);
	c->first = c->last = NULL;
	c->stored = c->literals = c->filled = 0;
	c->framer.text_max = c->limits.text_max;
	c->state = COLLECTING_TEXT;
}

bool
collect_is_idle(const struct collect *c)
{
	return c->state == COLLECTING_TEXT && c->first == NULL;
}

void
collect_want_line(struct collect *c)
{
	MUST(c->state == COLLECTED || collect_is_idle(c));
	c->state = COLLECTING_LINE;
}

void
collect_unwant_line(struct collect *c)
{
	MUST(c->state == COLLECTING_LINE);
	c->state = COLLECTED;
}

const char *
collect_error(const struct collect *c)
{
	return c->error;
}
