#include <stdbool.h>
#include <string.h>

#include "imap/header.h"
#include "imap/mime.h"
#include "imap/mimetext.h"
#include "imap/preview.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "lib/utf8.h"

enum {
	LOOK_MAX = 256 * 1024, /* octets of text looked at, in one part */
	PARTS_MAX = 16,        /* text parts looked at */
	WORD_MAX = 10          /* of a tag's name or an entity's */
};

#define NOTHING UINT32_MAX /* instead of a character */

enum html_state {
	HTML_TEXT,
	HTML_TAG,     /* its name is being gathered */
	HTML_INSIDE,  /* behind the name, up to ">" */
	HTML_QUOTED,  /* an attribute's value */
	HTML_COMMENT, /* up to "-->" */
	HTML_ENTITY
};

struct gatherer {
	uint8_t *out; /* PREVIEW_MAX octets */
	size_t len;
	unsigned chars;
	size_t looked; /* octets */
	bool space;    /* one is due before the next character */

	/* Of HTML only. */
	bool html;
	enum html_state state;
	const char *skips; /* not NULL: up to the end of this element */
	uint32_t quote;
	char word[WORD_MAX + 1];
	unsigned nword;
	unsigned dashes;
};

/* What ends no word: "a<b>b</b>" is "ab". */
static const char *const inline_tags[] = { "a", "b", "i", "u", "em", "strong",
	"span", "font", "small", "big", "sub", "sup", "tt", "code", "s" };

/* Elements whose text nobody sees. */
static const char *const unseen_tags[] = { "script", "style", "head", "title" };

static const struct {
	const char *name;
	uint32_t c;
} entities[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' },
	{ "apos", '\'' }, { "nbsp", ' ' }, { "auml", 0xe4 }, { "ouml", 0xf6 },
	{ "uuml", 0xfc }, { "Auml", 0xc4 }, { "Ouml", 0xd6 }, { "Uuml", 0xdc },
	{ "szlig", 0xdf }, { "eacute", 0xe9 }, { "egrave", 0xe8 },
	{ "agrave", 0xe0 }, { "ccedil", 0xe7 }, { "ndash", 0x2013 },
	{ "mdash", 0x2014 }, { "lsquo", 0x2018 }, { "rsquo", 0x2019 },
	{ "ldquo", 0x201c }, { "rdquo", 0x201d }, { "hellip", 0x2026 },
	{ "euro", 0x20ac }, { "copy", 0xa9 }, { "zwnj", 0x200c } };

static bool
is_space(uint32_t c)
{
	return c <= ' ' || c == 0x7f || c == 0xa0 || c == 0x3000 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029;
}

/* Takes no room: mailings are full of these. */
static bool
is_invisible(uint32_t c)
{
	return (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x34f ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x2064) || c == 0xfeff;
}

static void
add(struct gatherer *g, uint32_t c)
{
	MUST(g->len <= PREVIEW_MAX - 4);
	if (c < 0x80)
		g->out[g->len++] = (uint8_t)c;
	else
		g->len += utf8_encode(g->out + g->len, c);
	g->chars++;
}

/* A character of the text. */
static void
put(struct gatherer *g, uint32_t c)
{
	bool letter = c > ' ' && c < 0x7f; /* as most are */

	if (!letter && is_space(c)) {
		g->space = true;
		return;
	}
	if ((!letter && is_invisible(c)) || g->chars >= PREVIEW_CHARS)
		return;
	if (g->space && g->chars > 0)
		add(g, ' ');
	g->space = false;
	if (g->chars < PREVIEW_CHARS)
		add(g, c);
}

static bool
is_one_of(const char *word, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, names[i]) == 0)
			return true;
	return false;
}

/* The name of a tag is whole: "p", "/p", "!--". */
static void
take_tag(struct gatherer *g)
{
	const char *name = g->word;
	bool ends = name[0] == '/';

	g->state = HTML_INSIDE;
	if (ends)
		name++;
	if (g->skips != NULL) {
		/* In a script "<" is no tag but that one. */
		if (ends && strcmp(name, g->skips) == 0)
			g->skips = NULL;
		else
			g->state = HTML_TEXT;
		return;
	}
	if (!is_one_of(name, inline_tags, NITEMS(inline_tags)))
		g->space = true;
	for (size_t i = 0; i < NITEMS(unseen_tags) && !ends; i++)
		if (strcmp(name, unseen_tags[i]) == 0)
			g->skips = unseen_tags[i];
}

static void
add_to_word(struct gatherer *g, uint32_t c, bool fold)
{
	if (g->nword == WORD_MAX || c >= 0x7f)
		return;
	g->word[g->nword++] =
	    (char)(fold ? ascii_lower((uint8_t)c) : (uint8_t)c);
	g->word[g->nword] = '\0';
}

static void
begin_word(struct gatherer *g, enum html_state state)
{
	g->state = state;
	g->nword = 0;
	g->word[0] = '\0';
}

/* "#8364", "#x20ac"; 0 if it is none. */
static uint32_t
numbered(const char *s)
{
	uint32_t n = 0, base = 10;

	if (*s++ != '#')
		return 0;
	if (*s == 'x' || *s == 'X') {
		base = 16;
		s++;
	}
	for (; *s != '\0' && n <= 0x10ffff; s++) {
		uint32_t digit = 99;

		if (*s >= '0' && *s <= '9')
			digit = (uint32_t)(*s - '0');
		else if (ascii_lower((uint8_t)*s) >= 'a')
			digit = ascii_lower((uint8_t)*s) - 'a' + 10u;
		if (digit >= base)
			return 0;
		n = n * base + digit;
	}
	return n > 0x10ffff || (n >= 0xd800 && n < 0xe000) ? 0xfffd : n;
}

/* What was no entity stands for itself. */
static void
take_entity(struct gatherer *g, uint32_t end)
{
	uint32_t c = numbered(g->word);

	g->state = HTML_TEXT;
	for (size_t i = 0; i < NITEMS(entities) && c == 0; i++)
		if (strcmp(g->word, entities[i].name) == 0)
			c = entities[i].c;
	if (g->skips != NULL)
		return;
	if (c != 0) {
		put(g, c);
	} else {
		put(g, '&');
		for (unsigned i = 0; i < g->nword; i++)
			put(g, (uint8_t)g->word[i]);
	}
	if (end != NOTHING && (end != ';' || c == 0))
		put(g, end);
}

static void
put_html_tag(struct gatherer *g, uint32_t c)
{
	bool slash = c == '/' && g->nword > 0;

	if (c == '>' || is_space(c) || slash) {
		take_tag(g);
		if (c == '>')
			g->state = HTML_TEXT;
		return;
	}
	if (c == '<')
		begin_word(g, HTML_TAG);
	else
		add_to_word(g, c, true);
	if (strcmp(g->word, "!--") == 0) {
		g->state = HTML_COMMENT;
		g->dashes = 0;
	}
}

static void
put_html(struct gatherer *g, uint32_t c)
{
	switch (g->state) {
	case HTML_TEXT:
		if (c == '<')
			begin_word(g, HTML_TAG);
		else if (c == '&')
			begin_word(g, HTML_ENTITY);
		else if (g->skips == NULL)
			put(g, c);
		break;
	case HTML_TAG:
		put_html_tag(g, c);
		break;
	case HTML_INSIDE:
		if (c == '"' || c == '\'') {
			g->quote = c;
			g->state = HTML_QUOTED;
		} else if (c == '>') {
			g->state = HTML_TEXT;
		}
		break;
	case HTML_QUOTED:
		if (c == g->quote)
			g->state = HTML_INSIDE;
		break;
	case HTML_COMMENT:
		if (c == '>' && g->dashes >= 2)
			g->state = HTML_TEXT;
		g->dashes = c == '-' ? g->dashes + 1 : 0;
		break;
	case HTML_ENTITY:
		if (c == '<') {
			take_entity(g, NOTHING);
			begin_word(g, HTML_TAG);
		} else if (c == ';' || is_space(c) || c >= 0x7f ||
		           g->nword == WORD_MAX) {
			take_entity(g, c);
		} else {
			add_to_word(g, c, false);
		}
		break;
	}
}

/*
 * As put() of each: the ASCII at the front, and how much that is.  Most text
 * is that, so it is done without a branch for each: what does not count is
 * written, and then written over.
 */
static size_t
put_ascii(struct gatherer *g, struct slice utf8)
{
	size_t i = 0, len = 0;
	size_t room = PREVIEW_CHARS - g->chars;
	uint8_t *out = g->out + g->len;
	bool space = g->space, first = g->chars == 0;

	/* One of them puts two octets at most. */
	for (; i < utf8.len && len + 1 < room; i++) {
		uint8_t c = utf8.ptr[i];

		if (c >= 0x7f)
			break;
		out[len] = ' ';
		len += (size_t)((c > ' ') & space & !first);
		out[len] = c;
		len += c > ' ';
		first &= c <= ' ';
		space = c <= ' ';
	}
	g->chars += (unsigned)len;
	g->len += len;
	g->space = space;
	return i;
}

static bool
gather(void *arg, struct slice utf8, bool ends)
{
	struct gatherer *g = arg;
	uint32_t c;

	(void)ends;
	g->looked += utf8.len;
	while (utf8.len > 0 && g->chars < PREVIEW_CHARS) {
		if (!g->html) {
			utf8 = slice_skip(utf8, put_ascii(g, utf8));
			if (utf8.len == 0)
				break;
		}
		c = utf8.ptr[0];
		if (c < 0x80)
			utf8 = slice_skip(utf8, 1);
		else
			c = utf8_take(&utf8);
		if (c == UINT32_MAX)
			break; /* charset gives none such */
		if (g->html)
			put_html(g, c);
		else
			put(g, c);
	}
	return g->chars < PREVIEW_CHARS && g->looked < LOOK_MAX;
}

enum part_text {
	TEXT_NONE,
	TEXT_PLAIN,
	TEXT_HTML
};

static enum part_text
kind_of(struct arena *a, const struct mime_said *said)
{
	struct mime_value v;

	if (mime_value_parse(a, said->fields[MIME_FIELD_DISPOSITION].value,
	        &v) &&
	    slice_is_nocase(v.type, "attachment"))
		return TEXT_NONE;
	if (!slice_is_nocase(said->type.type, "text"))
		return TEXT_NONE;
	if (slice_is_nocase(said->type.subtype, "plain"))
		return TEXT_PLAIN;
	return slice_is_nocase(said->type.subtype, "html") ? TEXT_HTML
	                                                   : TEXT_NONE;
}

/* Octets of the part's words that went to out. */
static size_t
try_part(struct slice body, const struct mime_said *said, bool html,
    uint8_t out[PREVIEW_MAX])
{
	struct gatherer g = { .out = out, .html = html };

	mimetext_read_as(body, &said->type, &said->fields[MIME_FIELD_ENCODING],
	    gather, &g);
	return g.len;
}

struct slice
preview_make(struct arena *a, struct arena *scratch, struct slice message,
    const struct mime *m)
{
	static const enum part_text wanted[] = { TEXT_PLAIN, TEXT_HTML };
	uint8_t area[PREVIEW_MAX];
	size_t len = 0;

	for (size_t w = 0; w < NITEMS(wanted) && len == 0; w++) {
		unsigned looked = 0;

		for (unsigned i = 0;
		     i < m->count && looked < PARTS_MAX && len == 0; i++) {
			const struct mime_part *p = &m->parts[i];
			const struct mime_said *said;

			if (p->kind != MIME_LEAF || p->body_len == 0)
				continue;
			said = mime_said_of(m, i, scratch, message);
			if (kind_of(scratch, said) != wanted[w])
				continue;
			looked++;
			len = try_part(mime_body(p, message), said,
			    wanted[w] == TEXT_HTML, area);
		}
	}
	return arena_copy(a, slice_of(area, len));
}
