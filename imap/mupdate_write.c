#include <string.h>

#include "imap/mupdate.h"
#include "imap/mupdate_line.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/must.h"

/* --- the tables ------------------------------------------------------------ */

#define N MUPDATE_NOT_AUTHENTICATED
#define A MUPDATE_AUTHENTICATED
#define S MUPDATE_STREAMING
#define W MUPDATE_WRITES
#define M MUPDATE_MANAGES

static const struct {
	const char *name;
	size_t len, least, most;
	unsigned flags;
} commands[] = {
#define MUPDATE_COMMAND(id, name, least, most, flags) \
	{ name, sizeof(name) - 1, least, most, flags },
#include "imap/mupdate.def"
#undef MUPDATE_COMMAND
};

#undef N
#undef A
#undef S
#undef W
#undef M

static const struct {
	const char *name;
	size_t len, least, most;
} responses[] = {
#define MUPDATE_RESPONSE(id, name, least, most) \
	{ name, sizeof(name) - 1, least, most },
#include "imap/mupdate.def"
#undef MUPDATE_RESPONSE
};

const char *
mupdate_command_name(enum mupdate_command id)
{
	MUST(id < MUPDATE_CMD_MAX);
	return commands[id].name;
}

int
mupdate_command_find(struct slice word)
{
	for (int i = 0; i < MUPDATE_CMD_MAX; i++)
		if (word.len == commands[i].len &&
		    slice_is_nocase(word, commands[i].name))
			return i;
	return -1;
}

unsigned
mupdate_command_flags(enum mupdate_command id)
{
	MUST(id < MUPDATE_CMD_MAX);
	return commands[id].flags;
}

const char *
mupdate_response_name(enum mupdate_response id)
{
	MUST(id < NITEMS(responses));
	return responses[id].name;
}

int
mupdate_response_find(struct slice word)
{
	for (int i = 0; i < (int)NITEMS(responses); i++)
		if (word.len == responses[i].len &&
		    slice_is_nocase(word, responses[i].name))
			return i;
	return -1;
}

void
mupdate_arguments(enum mupdate_side side, int id, size_t *least, size_t *most)
{
	*least = 0;
	*most = MUPDATE_ARGS_MAX;
	MUST(id >= 0);
	if (side == MUPDATE_SERVER) {
		*least = commands[id].least;
		*most = commands[id].most;
	} else if (id < (int)NITEMS(responses)) {
		*least = responses[id].least;
		*most = responses[id].most;
	}
}

/* --- writing --------------------------------------------------------------- */

static void
put_slice_sp(struct buf *b, struct slice s)
{
	buf_put_slice(b, s);
	buf_putc(b, ' ');
}

static void
end(struct buf *b)
{
	buf_puts(b, "\r\n");
}

void
mupdate_put_string(struct buf *b, struct slice s)
{
	buf_putc(b, '{');
	buf_put_number(b, s.len);
	buf_put(b, "+}\r\n", 4);
	buf_put_slice(b, s);
}

static void
put_quoted(struct buf *b, struct slice s)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_putc(b, '\\');
		/* Ours to keep printable; a line end would end the line. */
		buf_putc(b, s.ptr[i] < 0x20 ? '?' : s.ptr[i]);
	}
	buf_putc(b, '"');
}

void
mupdate_put_command(struct buf *b, const char *tag, enum mupdate_command id,
    const struct slice *args, size_t nargs)
{
	MUST(id < MUPDATE_CMD_MAX && strlen(tag) <= MUPDATE_TAG_MAX);
	MUST(nargs >= commands[id].least && nargs <= commands[id].most);
	buf_puts(b, tag);
	buf_putc(b, ' ');
	buf_puts(b, commands[id].name);
	for (size_t i = 0; i < nargs; i++) {
		buf_putc(b, ' ');
		if (id == MUPDATE_CMD_AUTHENTICATE && i == 0)
			put_quoted(b, args[i]);
		else
			mupdate_put_string(b, args[i]);
	}
	end(b);
}

void
mupdate_put_reply(struct buf *b, struct slice tag, enum mupdate_response id,
    const char *text)
{
	MUST(id <= MUPDATE_BYE);
	put_slice_sp(b, tag.len == 0 ? slice_str("*") : tag);
	buf_puts(b, responses[id].name);
	buf_putc(b, ' ');
	put_quoted(b, slice_str(text));
	end(b);
}

/* "TAG WORD", then strings. */
static void
put_line(struct buf *b, struct slice tag, const char *word,
    const struct slice *strings, size_t n)
{
	size_t most = tag.len + 2 * MUPDATE_LINE_PIECE;
	struct mupdate_line l;

	for (size_t i = 0; i < n; i++)
		most += strings[i].len + MUPDATE_LINE_PIECE;
	if (!mupdate_line_begin(&l, b, most))
		return;
	mupdate_line_slice(&l, tag);
	mupdate_line_octets(&l, " ", 1);
	mupdate_line_slice(&l, slice_str(word));
	for (size_t i = 0; i < n; i++)
		mupdate_line_string(&l, strings[i]);
	mupdate_line_end(&l);
}

void
mupdate_put_mailbox(struct buf *b, struct slice tag, struct slice name,
    struct slice location, struct slice acl)
{
	const struct slice strings[] = { name, location, acl };

	put_line(b, tag, "MAILBOX", strings, NITEMS(strings));
}

void
mupdate_put_reserve(struct buf *b, struct slice tag, struct slice name,
    struct slice location)
{
	const struct slice strings[] = { name, location };

	put_line(b, tag, "RESERVE", strings, NITEMS(strings));
}

void
mupdate_put_delete(struct buf *b, struct slice tag, struct slice name)
{
	put_line(b, tag, "DELETE", &name, 1);
}

void
mupdate_put_go_ahead(struct buf *b)
{
	buf_puts(b, "+ go ahead\r\n");
}

void
mupdate_put_line(struct buf *b, struct slice blob)
{
	base64_encode(b, blob);
	end(b);
}

static void
put_mechanisms(struct buf *b, struct slice names)
{
	while (names.len > 0) {
		size_t n = slice_find(names, ' ');

		if (n > 0) {
			buf_putc(b, ' ');
			put_quoted(b, slice_first(names, n));
		}
		names = slice_skip(names, n == names.len ? n : n + 1);
	}
}

void
mupdate_put_banner(struct buf *b, const struct mupdate_banner *banner)
{
	buf_puts(b, "* AUTH");
	put_mechanisms(b, slice_str(banner->mechanisms));
	end(b);
	if (banner->starttls) {
		buf_puts(b, "* STARTTLS");
		end(b);
	}
	if (banner->xmurder) {
		buf_puts(b, "* XMURDER \"1\"");
		end(b);
	}
	buf_puts(b, "* OK MUPDATE ");
	put_quoted(b, slice_str(banner->server));
	buf_putc(b, ' ');
	put_quoted(b, slice_str(banner->implementation));
	buf_putc(b, ' ');
	put_quoted(b, slice_str(banner->version));
	buf_putc(b, ' ');
	put_quoted(b, slice_str(banner->master));
	end(b);
}
