#include "imap/value.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/cdefs.h"
#include "lib/must.h"

/* Where the next value goes, and the lists that are open around it. */
struct builder {
	struct value **link[VALUE_DEPTH_MAX]; /* end of each open list */
	uint8_t close[VALUE_DEPTH_MAX];       /* what closes it; 0: the end */
	struct value *section[VALUE_DEPTH_MAX];
	size_t depth; /* 0: nothing open */
	size_t items;
};

struct value *
value_atom(struct arena *a, struct slice text)
{
	struct value *v = arena_alloc(a, sizeof(*v));

	v->kind = VALUE_ATOM;
	v->text = text;
	return v;
}

struct value *
value_string(struct arena *a, struct slice text)
{
	struct value *v = value_atom(a, text);

	v->kind = VALUE_STRING;
	return v;
}

/* Flags, patterns and sets are atoms here too; a section's bracket is not. */
static bool
is_value_char(uint8_t c)
{
	return c > ' ' && c < 0x7f && strchr("(){\"", c) == NULL;
}

static void
check_chars(struct parse *p, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_value_char(s.ptr[i]))
			parse_fail(p, "Invalid character in atom");
}

static bool
has_section(struct slice name)
{
	static const char *const names[] = { "BODY", "BODY.PEEK", "BINARY",
		"BINARY.PEEK", "BINARY.SIZE" };

	for (size_t i = 0; i < NITEMS(names); i++)
		if (slice_is_nocase(name, names[i]))
			return true;
	return false;
}

/* in_section: "]" ends an atom too. */
static struct value *
take_atom(struct parse *p, bool in_section)
{
	const char *stops = in_section ? " (){\"]" : " (){\"";
	struct slice s = parse_until(p, "[ (){\"]"), more;
	struct value *v;

	if (parse_peek(p) == '[' && has_section(s)) {
		parse_char(p, '[');
		v = value_atom(p->arena, s);
		v->kind = VALUE_SECTION;
		return v;
	}
	/* No section: brackets are characters like any other. */
	more = parse_until(p, stops);
	s = s.len == 0 ? more : slice_of(s.ptr, s.len + more.len);
	check_chars(p, s);
	if (s.len == 0)
		parse_fail(p, "Argument expected");
	return value_atom(p->arena, s);
}

static struct value *
take_literal(struct parse *p)
{
	const struct piece *piece = p->piece;
	struct value *v;
	bool binary;

	v = value_string(p->arena, slice_of("", 0));
	if (piece->kind == PIECE_STREAM) {
		v->kind = VALUE_STREAM;
		v->size = parse_stream(p, &binary);
	} else {
		v->text = parse_string(p);
	}
	v->binary = piece->binary;
	return v;
}

/* A list or section is given when it opens; its items come after. */
static struct value *
take_one(struct parse *p, bool in_section)
{
	struct value *v;
	int c = parse_peek(p);

	if (c == '(') {
		parse_char(p, '(');
		v = value_atom(p->arena, slice_of("", 0));
		v->kind = VALUE_LIST;
		return v;
	}
	if (c == '"')
		return value_string(p->arena, parse_string(p));
	if (c == PARSE_LITERAL) {
		parse_try(p, 0); /* moves to the literal's piece */
		return take_literal(p);
	}
	return take_atom(p, in_section);
}

static void
open_list(struct parse *p, struct builder *b, struct value *v)
{
	if (b->depth == VALUE_DEPTH_MAX) {
		parse_fail(p, "Lists nested too deeply");
		return;
	}
	b->section[b->depth] = v->kind == VALUE_SECTION ? v : NULL;
	b->close[b->depth] = v->kind == VALUE_SECTION ? ']' : ')';
	b->link[b->depth] = &v->items;
	b->depth++;
}

static void
close_list(struct parse *p, struct builder *b)
{
	struct value *section = b->section[--b->depth];

	if (section == NULL || !parse_try(p, '<'))
		return;
	section->has_tail = true;
	section->tail = parse_until(p, "> ()[]\"{<\\");
	check_chars(p, section->tail);
	parse_char(p, '>');
}

/* Closes what ends here; true if a value is to be read now. */
static bool
advance(struct parse *p, struct builder *b, bool opened)
{
	while (b->depth > 0 && parse_try(p, b->close[b->depth - 1])) {
		close_list(p, b);
		opened = false;
	}
	if (b->depth == 0 || parse_error(p) != NULL)
		return false;
	if (!opened)
		parse_sp(p);
	return parse_error(p) == NULL;
}

/* The one reader: v is open, or is whole already. */
static void
fill(struct parse *p, struct builder *b, struct value *v)
{
	bool opened = v->kind == VALUE_LIST || v->kind == VALUE_SECTION;

	if (opened)
		open_list(p, b, v);
	while (parse_error(p) == NULL && advance(p, b, opened)) {
		struct value **link = b->link[b->depth - 1];

		if (b->items++ == VALUE_ITEMS_MAX)
			parse_fail(p, "Too many arguments");
		v = take_one(p, b->close[b->depth - 1] == ']');
		*link = v;
		b->link[b->depth - 1] = &v->next;
		opened = v->kind == VALUE_LIST || v->kind == VALUE_SECTION;
		if (opened)
			open_list(p, b, v);
	}
}

static struct value *
take_tree(struct parse *p, struct builder *b)
{
	struct value *v;

	if (parse_error(p) != NULL)
		return NULL;
	if (b->items++ == VALUE_ITEMS_MAX)
		parse_fail(p, "Too many arguments");
	v = take_one(p, false);
	fill(p, b, v);
	return parse_error(p) == NULL ? v : NULL;
}

struct value *
value_parse(struct parse *p)
{
	struct builder b;

	b.depth = b.items = 0;
	return take_tree(p, &b);
}

struct value *
value_parse_all(struct parse *p)
{
	struct value *first = NULL, **link = &first;
	struct builder b;

	b.depth = b.items = 0;
	if (parse_peek(p) == PARSE_END)
		return NULL;
	for (;;) {
		struct value *v = take_tree(p, &b);

		if (v == NULL)
			return NULL;
		*link = v;
		link = &v->next;
		if (parse_peek(p) == PARSE_END)
			return first;
		parse_sp(p);
	}
}

static void
write_begin(struct write *w, const struct value *v)
{
	switch (v->kind) {
	case VALUE_ATOM:
		write_atom(w, v->text);
		break;
	case VALUE_STRING:
		if (v->binary)
			write_literal8(w, v->text);
		else
			write_string(w, v->text);
		break;
	case VALUE_LIST:
		write_open(w);
		break;
	case VALUE_SECTION:
		write_atom(w, v->text);
		write_word(w, "[");
		break;
	case VALUE_STREAM:
		if (v->binary)
			write_literal8_head(w, v->size);
		else
			write_literal_head(w, v->size);
		break;
	}
}

static void
write_finish(struct write *w, const struct value *v)
{
	if (v->kind == VALUE_LIST)
		write_close(w);
	if (v->kind != VALUE_SECTION)
		return;
	write_word(w, "]");
	if (v->has_tail) {
		write_word(w, "<");
		write_atom(w, v->tail);
		write_word(w, ">");
	}
}

/* A walk over two trees at once, or one: the values open around here. */
struct walk {
	const struct value *open[VALUE_DEPTH_MAX + 1];
	size_t depth;
};

void
value_write(struct write *w, const struct value *v)
{
	struct walk k = { .depth = 0 };

	for (;;) {
		write_begin(w, v);
		if (v->items != NULL) {
			MUST(k.depth < VALUE_DEPTH_MAX);
			k.open[k.depth++] = v;
			v = v->items;
			continue;
		}
		write_finish(w, v);
		while (k.depth > 0 && v->next == NULL) {
			v = k.open[--k.depth];
			write_finish(w, v);
		}
		if (k.depth == 0)
			return;
		write_sp(w);
		v = v->next;
	}
}

void
value_write_all(struct write *w, const struct value *v)
{
	for (const char *space = ""; v != NULL; v = v->next, space = " ") {
		write_word(w, space);
		value_write(w, v);
	}
}

bool
value_is(const struct value *v, const char *word)
{
	return v != NULL && v->kind == VALUE_ATOM &&
	       slice_is_nocase(v->text, word);
}

/* Without items and siblings. */
static bool
same_node(const struct value *v, const struct value *w)
{
	return v->kind == w->kind && v->binary == w->binary &&
	       v->has_tail == w->has_tail && v->size == w->size &&
	       slice_equal(v->text, w->text) && slice_equal(v->tail, w->tail) &&
	       (v->items == NULL) == (w->items == NULL);
}

bool
value_equal(const struct value *v, const struct value *w)
{
	struct walk a = { .depth = 0 }, b = { .depth = 0 };

	for (;;) {
		if (!same_node(v, w))
			return false;
		if (v->items != NULL) {
			MUST(a.depth < VALUE_DEPTH_MAX);
			a.open[a.depth++] = v;
			b.open[b.depth++] = w;
			v = v->items;
			w = w->items;
			continue;
		}
		while (a.depth > 0 && v->next == NULL && w->next == NULL) {
			v = a.open[--a.depth];
			w = b.open[--b.depth];
		}
		if (a.depth == 0)
			return true;
		if (v->next == NULL || w->next == NULL)
			return false;
		v = v->next;
		w = w->next;
	}
}

size_t
value_count(const struct value *first)
{
	size_t n = 0;

	for (; first != NULL; first = first->next)
		n++;
	return n;
}
