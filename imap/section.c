#include "imap/header.h"
#include "imap/mime.h"
#include "imap/parse.h"
#include "imap/section.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

static const struct {
	const char *name;
	enum section_text text;
} names[] = {
	{ "HEADER.FIELDS.NOT", SECTION_FIELDS_NOT },
	{ "HEADER.FIELDS", SECTION_FIELDS },
	{ "HEADER", SECTION_HEADER },
	{ "TEXT", SECTION_TEXT },
	{ "MIME", SECTION_MIME },
};

/* "(Date From)" */
static void
parse_fields(struct parse *p, struct section *s)
{
	struct slice *fields =
	    arena_array(p->arena, SECTION_FIELDS_MAX, sizeof(*fields));

	s->fields = fields;
	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		if (s->nfields == SECTION_FIELDS_MAX) {
			parse_fail(p, "Too many header fields");
			return;
		}
		fields[s->nfields++] = parse_astring(p);
	}
	if (s->nfields == 0)
		parse_fail(p, "No header fields");
}

static void
parse_text(struct parse *p, struct section *s)
{
	size_t i = 0;

	while (i < NITEMS(names) && !parse_try_word(p, names[i].name))
		i++;
	if (i == NITEMS(names)) {
		parse_fail(p, "Unknown section");
		return;
	}
	s->text = names[i].text;
	if (s->text == SECTION_MIME && s->npath == 0)
		parse_fail(p, "MIME without a part number");
	if (s->text == SECTION_FIELDS || s->text == SECTION_FIELDS_NOT)
		parse_fields(p, s);
}

void
section_parse(struct parse *p, struct section *s)
{
	uint32_t *path = arena_array(p->arena, SECTION_PATH_MAX, sizeof(*path));
	int c;

	*s = (struct section){ .path = path };
	parse_char(p, '[');
	if (parse_try(p, ']'))
		return;
	for (c = parse_peek(p); c >= '0' && c <= '9'; c = parse_peek(p)) {
		if (s->npath == SECTION_PATH_MAX) {
			parse_fail(p, "Section too deep");
			return;
		}
		path[s->npath++] = parse_nz_number(p);
		if (parse_try(p, ']'))
			return;
		parse_char(p, '.');
	}
	parse_text(p, s);
	parse_char(p, ']');
}

void
section_parse_binary(struct parse *p, struct section *s)
{
	section_parse(p, s);
	if (s->text != SECTION_ALL)
		parse_fail(p, "Part number expected");
}

void
section_write(struct buf *out, const struct section *s)
{
	struct write w;

	write_init(&w, out, WRITE_SERVER);
	write_word(&w, "[");
	for (unsigned i = 0; i < s->npath; i++) {
		if (i > 0)
			write_word(&w, ".");
		write_number(&w, s->path[i]);
	}
	if (s->npath > 0 && s->text != SECTION_ALL)
		write_word(&w, ".");
	for (size_t i = 0; i < NITEMS(names); i++)
		if (names[i].text == s->text)
			write_word(&w, names[i].name);
	if (s->nfields > 0) {
		write_sp(&w);
		write_open(&w);
		for (unsigned i = 0; i < s->nfields; i++) {
			if (i > 0)
				write_sp(&w);
			write_astring(&w, s->fields[i]);
		}
		write_close(&w);
	}
	write_word(&w, "]");
}

/* What a path leads to. */
struct place {
	unsigned part;   /* MIME_NONE: nowhere */
	bool is_message; /* the header is a message's, not a part's */
};

/*
 * One number further down.  A message that is no multipart has itself as part
 * 1, once: "1" is then its body, and from there on it is a part.
 */
static struct place
step(const struct mime *m, struct place at, uint32_t number)
{
	const struct mime_part *p = &m->parts[at.part];
	unsigned i;

	if (!at.is_message && p->kind == MIME_MESSAGE) {
		at = (struct place){ p->child, true };
		p = &m->parts[at.part];
	}
	if (p->kind != MIME_MULTIPART) {
		if (at.is_message && number == 1)
			return (struct place){ at.part, false };
		return (struct place){ MIME_NONE, false };
	}
	i = p->child;
	while (i != MIME_NONE && --number > 0)
		i = m->parts[i].next;
	return (struct place){ i, false };
}

static struct place
find(const struct section *s, const struct mime *m)
{
	struct place at = { 0, true };

	for (unsigned i = 0; i < s->npath && at.part != MIME_NONE; i++)
		at = step(m, at, s->path[i]);
	return at;
}

enum mime_encoding
section_encoding(const struct section *s, const struct mime *m)
{
	struct place at = find(s, m);

	if (s->npath == 0 || at.part == MIME_NONE ||
	    m->parts[at.part].kind != MIME_LEAF)
		return MIME_IDENTITY;
	return m->parts[at.part].encoding;
}

bool
section_find(const struct section *s, const struct mime *m,
    struct section_range *r)
{
	struct place at = find(s, m);
	const struct mime_part *p;

	if (at.part == MIME_NONE)
		return false;
	p = &m->parts[at.part];
	if (s->text == SECTION_ALL && s->npath == 0) {
		r->at = 0;
		r->len = p->header_len + p->body_len;
		return true;
	}
	if (s->text == SECTION_ALL) {
		*r = (struct section_range){ p->body_at, p->body_len };
		return true;
	}
	if (s->text == SECTION_MIME) {
		*r = (struct section_range){ p->header_at, p->header_len };
		return true;
	}
	/* The others are of messages. */
	if (!at.is_message) {
		if (p->kind != MIME_MESSAGE)
			return false;
		p = &m->parts[p->child];
	}
	if (s->text == SECTION_TEXT)
		*r = (struct section_range){ p->body_at, p->body_len };
	else
		*r = (struct section_range){ p->header_at, p->header_len };
	return true;
}

static bool
is_listed(const struct section *s, struct slice name)
{
	for (unsigned i = 0; i < s->nfields; i++)
		if (slice_equal_nocase(s->fields[i], name))
			return true;
	return false;
}

void
section_fields(struct buf *out, const struct section *s, struct slice header)
{
	bool wanted = s->text == SECTION_FIELDS;
	struct header_iter it;
	struct header_field f;

	header_init(&it, header);
	while (header_next(&it, &f)) {
		if (is_listed(s, f.name) != wanted)
			continue;
		buf_put_slice(out, f.whole);
		if (f.whole.ptr[f.whole.len - 1] != '\n')
			buf_puts(out, "\r\n");
	}
	buf_puts(out, "\r\n");
}
