#include "imap/managesieve.h"
#include "imap/parse.h"
#include "lib/ascii.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "lib/utf8.h"

enum args {
	ARGS_NONE,
	ARGS_NAME,
	ARGS_TWO_NAMES,
	ARGS_NAME_NUMBER,
	ARGS_NAME_CONTENT,
	ARGS_CONTENT,
	ARGS_MECHANISM, /* and perhaps an initial response */
	ARGS_OPTIONAL   /* a string, perhaps */
};

enum {
	QUOTED_MAX = 1024, /* RFC 5804 4: of a quoted string */
	MECHANISM_MAX = 20 /* RFC 4422 3.1 */
};

static const struct {
	const char *name;
	enum args args;
	unsigned states;
} verbs[] = {
#define B MANAGESIEVE_BEFORE
#define A MANAGESIEVE_AFTER
	[MANAGESIEVE_AUTHENTICATE] = { "AUTHENTICATE", ARGS_MECHANISM, B },
	[MANAGESIEVE_STARTTLS] = { "STARTTLS", ARGS_NONE, B },
	[MANAGESIEVE_LOGOUT] = { "LOGOUT", ARGS_NONE, B | A },
	[MANAGESIEVE_CAPABILITY] = { "CAPABILITY", ARGS_NONE, B | A },
	[MANAGESIEVE_HAVESPACE] = { "HAVESPACE", ARGS_NAME_NUMBER, A },
	[MANAGESIEVE_PUTSCRIPT] = { "PUTSCRIPT", ARGS_NAME_CONTENT, A },
	[MANAGESIEVE_LISTSCRIPTS] = { "LISTSCRIPTS", ARGS_NONE, A },
	[MANAGESIEVE_SETACTIVE] = { "SETACTIVE", ARGS_NAME, A },
	[MANAGESIEVE_GETSCRIPT] = { "GETSCRIPT", ARGS_NAME, A },
	[MANAGESIEVE_DELETESCRIPT] = { "DELETESCRIPT", ARGS_NAME, A },
	[MANAGESIEVE_RENAMESCRIPT] = { "RENAMESCRIPT", ARGS_TWO_NAMES, A },
	[MANAGESIEVE_CHECKSCRIPT] = { "CHECKSCRIPT", ARGS_CONTENT, A },
	[MANAGESIEVE_NOOP] = { "NOOP", ARGS_OPTIONAL, B | A },
	[MANAGESIEVE_UNAUTHENTICATE] = { "UNAUTHENTICATE", ARGS_NONE, A },
};

_Static_assert(NITEMS(verbs) == MANAGESIEVE_MAX, "one row a verb");

unsigned
managesieve_states(enum managesieve_verb verb)
{
	MUST((size_t)verb < NITEMS(verbs));
	return verbs[verb].states;
}

bool
managesieve_name_valid(struct slice name)
{
	struct slice rest = name;

	if (name.len == 0 || name.len > MANAGESIEVE_NAME_MAX ||
	    !utf8_valid(name))
		return false;
	while (rest.len > 0) {
		uint32_t c = utf8_take(&rest);

		if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 ||
		    c == 0x2029)
			return false;
	}
	return true;
}

static struct slice
take_name(struct parse *p)
{
	struct slice name;

	parse_sp(p);
	name = parse_string(p);
	if (parse_error(p) == NULL && !managesieve_name_valid(name))
		parse_fail(p, "Invalid script name");
	return name;
}

static struct slice
take_string(struct parse *p)
{
	parse_sp(p);
	return parse_string(p);
}

/* SETACTIVE "" turns the active script off. */
static struct slice
take_name_or_none(struct parse *p)
{
	struct slice name = take_string(p);

	if (parse_error(p) == NULL && name.len > 0 &&
	    !managesieve_name_valid(name))
		parse_fail(p, "Invalid script name");
	return name;
}

static struct slice
take_mechanism(struct parse *p)
{
	struct slice s = take_string(p);
	uint8_t *upper;

	if (s.len == 0 || s.len > MECHANISM_MAX) {
		parse_fail(p, "Invalid mechanism");
		return slice_first(s, 0);
	}
	upper = arena_alloc(p->arena, s.len);
	for (size_t i = 0; i < s.len; i++) {
		upper[i] = ascii_upper(s.ptr[i]);
		if (!ascii_alnum(upper[i]) && upper[i] != '-' &&
		    upper[i] != '_')
			parse_fail(p, "Invalid mechanism");
	}
	return slice_of(upper, s.len);
}

static void
take_args(struct parse *p, struct managesieve_command *c)
{
	switch (verbs[c->verb].args) {
	case ARGS_NONE:
		break;
	case ARGS_NAME:
		c->name = c->verb == MANAGESIEVE_SETACTIVE
		              ? take_name_or_none(p)
		              : take_name(p);
		break;
	case ARGS_TWO_NAMES:
		c->name = take_name(p);
		c->to = take_name(p);
		break;
	case ARGS_NAME_NUMBER:
		c->name = take_name(p);
		parse_sp(p);
		c->size = parse_number(p);
		break;
	case ARGS_NAME_CONTENT:
		c->name = take_name(p);
		c->content = take_string(p);
		break;
	case ARGS_CONTENT:
		c->content = take_string(p);
		break;
	case ARGS_MECHANISM:
		c->name = take_mechanism(p);
		if (parse_peek(p) == ' ')
			c->content = take_string(p);
		break;
	case ARGS_OPTIONAL:
		if (parse_peek(p) == ' ')
			c->content = take_string(p);
		break;
	}
}

const char *
managesieve_parse(struct arena *a, const struct piece *pieces,
    struct managesieve_command *c)
{
	struct parse p;
	struct slice word;

	*c = (struct managesieve_command){ .verb = MANAGESIEVE_MAX };
	parse_init(&p, a, pieces);
	word = parse_until(&p, " ");
	for (size_t i = 0; i < NITEMS(verbs); i++)
		if (slice_is_nocase(word, verbs[i].name))
			c->verb = (enum managesieve_verb)i;
	if (c->verb == MANAGESIEVE_MAX)
		return "Unknown command";
	take_args(&p, c);
	parse_end(&p);
	return parse_error(&p);
}

const char *
managesieve_parse_response(struct arena *a, const struct piece *pieces,
    struct slice *response)
{
	struct parse p;

	parse_init(&p, a, pieces);
	*response = parse_string(&p);
	parse_end(&p);
	return parse_error(&p);
}

/* ---- writing ---- */

static void
put_end(struct buf *out)
{
	buf_put(out, "\r\n", 2);
}

static bool
fits_quoted(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == '\0' || s.ptr[i] == '\r' || s.ptr[i] == '\n')
			return false;
	return s.len <= QUOTED_MAX && utf8_valid(s);
}

static void
put_literal(struct buf *out, struct slice s)
{
	buf_printf(out, "{%zu}\r\n", s.len);
	buf_put_slice(out, s);
}

void
managesieve_put_string(struct buf *out, struct slice s)
{
	if (!fits_quoted(s)) {
		put_literal(out, s);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.ptr[i]);
	}
	buf_putc(out, '"');
}

static void
put_status(struct buf *out, enum managesieve_status status)
{
	switch (status) {
	case MANAGESIEVE_OK:
		buf_puts(out, "OK");
		break;
	case MANAGESIEVE_NO:
		buf_puts(out, "NO");
		break;
	case MANAGESIEVE_BYE:
		buf_puts(out, "BYE");
		break;
	}
}

static void
put_text(struct buf *out, struct slice text)
{
	if (text.len > 0) {
		buf_putc(out, ' ');
		managesieve_put_string(out, text);
	}
	put_end(out);
}

void
managesieve_put_reply(struct buf *out, enum managesieve_status status,
    const char *code, struct slice text)
{
	put_status(out, status);
	if (code != NULL)
		buf_printf(out, " (%s)", code);
	put_text(out, text);
}

void
managesieve_put_reply_arg(struct buf *out, enum managesieve_status status,
    const char *code, struct slice arg, struct slice text)
{
	put_status(out, status);
	buf_printf(out, " (%s ", code);
	managesieve_put_string(out, arg);
	buf_putc(out, ')');
	put_text(out, text);
}

void
managesieve_put_capability(struct buf *out, const char *name,
    struct slice value)
{
	managesieve_put_string(out, slice_str(name));
	if (value.ptr != NULL) {
		buf_putc(out, ' ');
		managesieve_put_string(out, value);
	}
	put_end(out);
}

void
managesieve_put_script(struct buf *out, struct slice name)
{
	managesieve_put_string(out, name);
	put_end(out);
}

void
managesieve_put_active_script(struct buf *out, struct slice name)
{
	managesieve_put_string(out, name);
	buf_puts(out, " ACTIVE");
	put_end(out);
}

void
managesieve_put_content(struct buf *out, struct slice content)
{
	put_literal(out, content);
	put_end(out);
}
