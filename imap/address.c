#include "imap/address.h"
#include "imap/header.h"
#include "lib/arena.h"
#include "lib/must.h"

/* Text being gathered; its storage is as large as the whole value. */
struct text {
	uint8_t *p;
	size_t len;
};

struct parser {
	struct arena *arena;
	struct slice in;
	size_t i;
	bool in_group;
	struct text phrase;  /* words so far, as a display name */
	struct text local;   /* the same, as a local part */
	struct text comment; /* the last one */
	struct address *list;
	size_t count, room;
};

static void
text_put(struct text *t, uint8_t c)
{
	t->p[t->len++] = c;
}

static struct slice
text_take(struct parser *p, struct text *t)
{
	struct slice s = arena_copy(p->arena, slice_of(t->p, t->len));

	t->len = 0;
	return s;
}

static bool
at_end(const struct parser *p)
{
	return p->i == p->in.len;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* At "(": past its ")" or the end, remembering what it says. */
static void
skip_comment(struct parser *p)
{
	size_t depth = 0;

	p->comment.len = 0;
	while (!at_end(p)) {
		uint8_t c = p->in.ptr[p->i++];

		if (c == '(' && depth++ == 0)
			continue;
		if (c == ')' && --depth == 0)
			return;
		if (c == '\\' && !at_end(p))
			c = p->in.ptr[p->i++];
		text_put(&p->comment, c);
	}
}

/* Past spaces and comments; were there any? */
static bool
skip_spaces(struct parser *p)
{
	size_t start = p->i;

	while (!at_end(p)) {
		if (p->in.ptr[p->i] == '(')
			skip_comment(p);
		else if (is_space(p->in.ptr[p->i]))
			p->i++;
		else
			break;
	}
	return p->i > start;
}

static bool
is_special(uint8_t c)
{
	return is_space(c) || c == '(' || c == '"' || c == ',' || c == ';' ||
	       c == ':' || c == '<' || c == '>' || c == '@' || c == '[';
}

/* At a quote: what is inside goes to t. */
static void
take_quoted(struct parser *p, struct text *t)
{
	p->i++;
	while (!at_end(p)) {
		uint8_t c = p->in.ptr[p->i++];

		if (c == '"')
			return;
		if (c == '\\' && !at_end(p))
			c = p->in.ptr[p->i++];
		text_put(t, c);
	}
}

/* An atom, dots in, or one octet that fits nowhere. */
static void
take_atom(struct parser *p, struct text *t)
{
	do
		text_put(t, p->in.ptr[p->i++]);
	while (!at_end(p) && !is_special(p->in.ptr[p->i]));
}

/* Behind "@": atoms, dots and literals, up to what ends an address. */
static void
take_domain(struct parser *p, struct text *t)
{
	for (;;) {
		uint8_t c;

		skip_spaces(p);
		c = at_end(p) ? ',' : p->in.ptr[p->i];
		if (c == ',' || c == ';' || c == '>' || c == ':' || c == '<')
			return;
		if (c == '[')
			while (!at_end(p) && p->in.ptr[p->i] != ']')
				text_put(t, p->in.ptr[p->i++]);
		if (!at_end(p))
			take_atom(p, t);
	}
}

static void
add(struct parser *p, struct address addr)
{
	if (p->count < p->room)
		p->list[p->count++] = addr;
}

/* A word goes into the phrase and, without spaces, the local part. */
static void
take_word(struct parser *p, bool spaced)
{
	size_t start = p->local.len;

	if (p->in.ptr[p->i] == '"')
		take_quoted(p, &p->local);
	else
		take_atom(p, &p->local);
	if (spaced && p->phrase.len > 0)
		text_put(&p->phrase, ' ');
	for (size_t i = start; i < p->local.len; i++)
		text_put(&p->phrase, p->local.p[i]);
}

/* At "<": "<@a,@b:local@host>". */
static void
take_angle(struct parser *p)
{
	struct address addr = { .kind = ADDRESS_ONE };

	addr.name = text_take(p, &p->phrase);
	p->local.len = 0;
	p->i++;
	skip_spaces(p);
	if (!at_end(p) && p->in.ptr[p->i] == '@') {
		while (!at_end(p) && p->in.ptr[p->i] != ':' &&
		       p->in.ptr[p->i] != '>') {
			if (!is_space(p->in.ptr[p->i]))
				text_put(&p->local, p->in.ptr[p->i]);
			p->i++;
		}
		addr.route = text_take(p, &p->local);
		if (!at_end(p) && p->in.ptr[p->i] == ':')
			p->i++;
	}
	for (skip_spaces(p); !at_end(p); skip_spaces(p)) {
		if (p->in.ptr[p->i] == '@' || p->in.ptr[p->i] == '>')
			break;
		if (p->in.ptr[p->i] == '"')
			take_quoted(p, &p->local);
		else
			take_atom(p, &p->local);
	}
	addr.mailbox = text_take(p, &p->local);
	if (!at_end(p) && p->in.ptr[p->i] == '@') {
		p->i++;
		take_domain(p, &p->local);
		addr.host = text_take(p, &p->local);
	}
	while (!at_end(p) && p->in.ptr[p->i] != '>')
		p->i++;
	if (!at_end(p))
		p->i++;
	if (addr.mailbox.len > 0 || addr.host.len > 0 || addr.name.len > 0)
		add(p, addr);
}

/* At "@": the words so far are a local part. */
static void
take_bare(struct parser *p)
{
	struct address addr = { .kind = ADDRESS_ONE };

	p->i++;
	addr.mailbox = text_take(p, &p->local);
	p->phrase.len = p->comment.len = 0;
	take_domain(p, &p->local);
	addr.host = text_take(p, &p->local);
	if (p->comment.len > 0) /* the way before RFC 822: fred@host (Fred) */
		addr.name = text_take(p, &p->comment);
	if (addr.mailbox.len > 0 || addr.host.len > 0)
		add(p, addr);
}

/* The words so far stand alone: a local name without a host. */
static void
finish_words(struct parser *p)
{
	if (p->local.len > 0)
		add(p, (struct address){ .mailbox = text_take(p, &p->local) });
	p->phrase.len = p->local.len = p->comment.len = 0;
}

static void
start_group(struct parser *p)
{
	if (p->in_group || p->phrase.len == 0) {
		finish_words(p);
		return;
	}
	add(p, (struct address){ .kind = ADDRESS_GROUP,
	           .mailbox = text_take(p, &p->phrase) });
	p->local.len = 0;
	p->in_group = true;
}

static void
end_group(struct parser *p)
{
	finish_words(p);
	if (p->in_group)
		add(p, (struct address){ .kind = ADDRESS_GROUP_END });
	p->in_group = false;
}

static void
parse(struct parser *p)
{
	for (;;) {
		bool spaced = skip_spaces(p);

		if (at_end(p))
			break;
		switch (p->in.ptr[p->i]) {
		case ',':
			finish_words(p);
			p->i++;
			break;
		case ';':
			end_group(p);
			p->i++;
			break;
		case ':':
			start_group(p);
			p->i++;
			break;
		case '<':
			take_angle(p);
			break;
		case '@':
			take_bare(p);
			break;
		default:
			take_word(p, spaced);
			break;
		}
	}
	end_group(p);
}

static bool
ends_entry(uint8_t c)
{
	return c == ',' || c == ';' || c == ':' || c == '<' || c == '@';
}

struct address_list
address_parse(struct arena *a, struct slice value)
{
	struct parser p = { .arena = a, .in = header_unfold(a, value) };
	size_t room = 3;

	if (p.in.len == 0)
		return (struct address_list){ 0 };
	/* Each entry ends in one of these, or two at the end. */
	for (size_t i = 0; i < p.in.len && room < ADDRESS_MAX; i++)
		room += ends_entry(p.in.ptr[i]);
	p.room = room < ADDRESS_MAX ? room : ADDRESS_MAX;
	p.list = arena_array(a, p.room, sizeof(*p.list));
	/* Words never gather more than there is; a space comes from a space. */
	p.phrase.p = arena_alloc(a, p.in.len);
	p.local.p = arena_alloc(a, p.in.len);
	p.comment.p = arena_alloc(a, p.in.len);
	parse(&p);
	return (struct address_list){ p.list, p.count };
}
