#include <stdlib.h>

#include "imap/mupdate.h"
#include "imap/mupdate_scan.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LITERAL_DIGITS = 10,
	RAW_LINE_MAX = 64 * 1024
};

/* Where in a message the next octet is. */
enum place {
	PLACE_TAG,
	PLACE_WORD,
	PLACE_START, /* of an argument, after a space */
	PLACE_ATOM,
	PLACE_QUOTED,
	PLACE_ESCAPE,  /* after a backslash in one */
	PLACE_AFTER,   /* after a string: space or the end */
	PLACE_SIZE,    /* of a literal, after { */
	PLACE_BRACE,   /* after its +: } */
	PLACE_SIZE_CR, /* after }: CR */
	PLACE_SIZE_LF, /* after that: LF */
	PLACE_OCTETS,  /* of a literal */
	PLACE_TEXT,    /* client: of an OK, NO, BAD or BYE, to the line's end */
	PLACE_SKIP,    /* wrong already: to the line's end */
	PLACE_LF,      /* after CR */
	PLACE_DEAD
};

struct mupdate {
	enum mupdate_side side;
	struct mupdate_limits limits;
	enum place place, resume; /* resume: after a literal's size */
	struct arena arena;       /* the message's strings */
	struct buf token;         /* the one being read */
	struct mupdate_message message;
	size_t line, total; /* octets of this message so far */
	uint64_t size;      /* of a literal: announced, then left */
	unsigned digits;
	bool sync;      /* of a literal */
	bool done;      /* the message was handed out: begin anew */
	bool skip_data; /* the literal's octets are not wanted */
	char tail[3];   /* of a line being skipped: does it end in a literal */
	bool want_line, raw;
	char raw_tag[MUPDATE_TAG_MAX + 2];
	size_t raw_matched;
	struct slice raw_line;
	const char *error;
};

struct mupdate_limits
mupdate_defaults(void)
{
	return (struct mupdate_limits){
		.line = 8 * 1024,
		.literal = 128 * 1024,
		.message = 512 * 1024,
	};
}

/* --- a message's pieces ---------------------------------------------------- */

static void
begin(struct mupdate *m)
{
	arena_again(&m->arena);
	buf_clear(&m->token);
	m->message.tag = slice_of(NULL, 0);
	m->message.id = -1;
	m->message.nargs = 0;
	m->message.error = NULL;
	m->place = PLACE_TAG;
	m->line = m->total = 0;
	m->done = m->skip_data = false;
	memset(m->tail, 0, sizeof(m->tail));
	m->raw = m->want_line;
	m->raw_matched = 0;
}

static enum mupdate_event
fail(struct mupdate *m, const char *why)
{
	m->place = PLACE_DEAD;
	m->error = why;
	return MUPDATE_ERROR;
}

/* The message is wrong, the line goes on; the first reason stays. */
static void
wrong(struct mupdate *m, const char *why)
{
	if (m->message.error == NULL)
		m->message.error = why;
	m->message.id = -1;
	m->place = PLACE_SKIP;
}

static struct slice
take_token(struct mupdate *m)
{
	struct slice s = arena_copy(&m->arena, buf_slice(&m->token));

	buf_clear(&m->token);
	return s;
}

static bool
is_status(int id)
{
	return id >= MUPDATE_OK && id <= MUPDATE_BYE;
}

static int
capability_of(struct slice word)
{
	if (slice_is_nocase(word, "AUTH"))
		return MUPDATE_CAP_AUTH;
	if (slice_is_nocase(word, "STARTTLS"))
		return MUPDATE_CAP_STARTTLS;
	if (slice_is_nocase(word, "XMURDER"))
		return MUPDATE_CAP_XMURDER;
	return MUPDATE_CAP_OTHER;
}

static void
end_word(struct mupdate *m, struct slice word)
{
	struct mupdate_message *msg = &m->message;

	if (m->side == MUPDATE_SERVER) {
		msg->id = mupdate_command_find(word);
		if (msg->id == -1)
			wrong(m, "Unrecognized command");
		return;
	}
	msg->id = mupdate_response_find(word);
	if (msg->id == -1 && slice_is(msg->tag, "*"))
		msg->id = capability_of(word);
	if (msg->id == -1)
		wrong(m, "Unrecognized response");
}

static void
end_arg(struct mupdate *m)
{
	struct mupdate_message *msg = &m->message;

	if (msg->nargs == MUPDATE_ARGS_MAX) {
		wrong(m, "Extra arguments");
		return;
	}
	msg->args[msg->nargs++] = take_token(m);
}

/* An atom may stand for a mechanism only, and in the banner. */
static bool
may_be_atom(const struct mupdate *m)
{
	const struct mupdate_message *msg = &m->message;

	if (m->side == MUPDATE_SERVER)
		return msg->id == MUPDATE_CMD_AUTHENTICATE && msg->nargs == 0;
	return msg->id == MUPDATE_CAP_AUTH || msg->id == MUPDATE_CAP_XMURDER;
}

/* "* OK MUPDATE a b c d" is an OK to the scanner: take it apart. */
static void
banner_args(struct mupdate *m)
{
	static const struct mupdate_limits any = { 8192, 8192, 8192 };
	struct mupdate_message *msg = &m->message;
	struct slice text = msg->args[0];
	size_t taken;
	struct mupdate *sub;

	if (!slice_is(msg->tag, "*") || !slice_starts_nocase(text, "MUPDATE "))
		return;
	if (text.len > 4096)
		return;
	/* Read as a MAILBOX line with arguments to spare. */
	sub = mupdate_new(MUPDATE_CLIENT, &any);
	buf_init(&sub->token, any.message);
	sub->message.tag = slice_str("*");
	sub->message.id = MUPDATE_MAILBOX;
	sub->place = PLACE_START;
	text = slice_skip(text, strlen("MUPDATE "));
	if (mupdate_next(sub, text.ptr, text.len, &taken) == MUPDATE_MORE &&
	    sub->place == PLACE_AFTER && sub->message.nargs == 4) {
		msg->id = MUPDATE_BANNER;
		msg->nargs = 4;
		for (unsigned i = 0; i < 4; i++)
			msg->args[i] =
			    arena_copy(&m->arena, sub->message.args[i]);
	}
	mupdate_free(&sub);
}

static void
check_args(struct mupdate *m)
{
	struct mupdate_message *msg = &m->message;
	size_t least, most;

	mupdate_arguments(m->side, msg->id, &least, &most);
	if (msg->nargs < least)
		wrong(m, "Missing arguments");
	else if (msg->nargs > most)
		wrong(m, "Extra arguments");
}

/* The line is over. */
static enum mupdate_event
end_message(struct mupdate *m)
{
	struct mupdate_message *msg = &m->message;

	m->done = true;
	if (msg->error == NULL && msg->id != -1)
		check_args(m);
	if (m->side == MUPDATE_CLIENT && msg->id == MUPDATE_OK)
		banner_args(m);
	return MUPDATE_MESSAGE;
}

/* --- octet by octet -------------------------------------------------------- */

/* An octet at which the current piece ends: a space, or CR. */
static void
end_piece(struct mupdate *m, uint8_t c)
{
	struct mupdate_message *msg = &m->message;

	switch (m->place) {
	case PLACE_TAG:
		msg->tag = take_token(m);
		if (m->side == MUPDATE_CLIENT && slice_is(msg->tag, "+")) {
			msg->id = MUPDATE_PLUS;
			m->place = PLACE_SKIP;
		} else if (msg->tag.len == 0 || c == '\r') {
			wrong(m, msg->tag.len == 0 ? "Need command"
			                           : "Null command");
		} else {
			m->place = PLACE_WORD;
		}
		return;
	case PLACE_WORD:
		m->place = PLACE_START;
		end_word(m, take_token(m));
		if (is_status(msg->id) && m->side == MUPDATE_CLIENT)
			m->place = PLACE_TEXT;
		else if (m->side == MUPDATE_CLIENT &&
		         msg->id == MUPDATE_CAP_OTHER)
			m->place = PLACE_SKIP;
		return;
	case PLACE_ATOM:
		m->place = PLACE_START;
		end_arg(m);
		return;
	case PLACE_START:
		if (c == '\r')
			return; /* a space at the line's end */
		wrong(m, "Badly formed arguments");
		return;
	case PLACE_QUOTED:
	case PLACE_ESCAPE:
	case PLACE_SIZE:
	case PLACE_BRACE:
		wrong(m, "Badly formed arguments");
		return;
	case PLACE_AFTER:
		m->place = PLACE_START;
		return;
	case PLACE_TEXT:
	case PLACE_SKIP:
	case PLACE_SIZE_CR:
	case PLACE_SIZE_LF:
	case PLACE_OCTETS:
	case PLACE_LF:
	case PLACE_DEAD:
		return;
	}
}

static void
start_literal(struct mupdate *m)
{
	m->size = 0;
	m->digits = 0;
	m->sync = true;
	m->place = PLACE_SIZE;
}

/* The first octet of an argument. */
static void
start_arg(struct mupdate *m, uint8_t c)
{
	bool status = is_status(m->message.id) && m->side == MUPDATE_CLIENT;

	if (c == '"')
		m->place = PLACE_QUOTED;
	else if (c == '{')
		start_literal(m);
	else if (status || may_be_atom(m))
		m->place = status ? PLACE_TEXT : PLACE_ATOM;
	else
		wrong(m, "Badly formed arguments");
	if (m->place == PLACE_ATOM || m->place == PLACE_TEXT)
		buf_putc(&m->token, c);
}

static void
size_octet(struct mupdate *m, uint8_t c)
{
	if (ascii_digit(c) && m->digits < LITERAL_DIGITS) {
		m->size = m->size * 10 + (unsigned)(c - '0');
		m->digits++;
	} else if (c == '+' && m->digits > 0) {
		m->sync = false;
		m->place = PLACE_BRACE;
	} else if (c == '}' && m->digits > 0) {
		m->place = PLACE_SIZE_CR;
	} else {
		wrong(m, "Badly formed literal");
	}
}

/* Any octet of a line but CR and LF. */
static void
line_octet(struct mupdate *m, uint8_t c)
{
	switch (m->place) {
	case PLACE_TAG:
		if (c == ' ')
			end_piece(m, c);
		else if (!mupdate_scan_is_tag_octet(c) ||
		         buf_len(&m->token) >= MUPDATE_TAG_MAX)
			wrong(m, "Badly formed tag");
		else
			buf_putc(&m->token, c);
		return;
	case PLACE_WORD:
	case PLACE_ATOM:
		if (c == ' ')
			end_piece(m, c);
		else if (!mupdate_scan_is_tag_octet(c))
			wrong(m, "Badly formed command");
		else
			buf_putc(&m->token, c);
		return;
	case PLACE_START:
		if (c == ' ')
			end_piece(m, c);
		else
			start_arg(m, c);
		return;
	case PLACE_QUOTED:
		if (c == '\\') {
			m->place = PLACE_ESCAPE;
		} else if (c == '"') {
			m->place = PLACE_AFTER;
			end_arg(m);
		} else {
			buf_putc(&m->token, c);
		}
		return;
	case PLACE_ESCAPE:
		m->place = PLACE_QUOTED;
		buf_putc(&m->token, c);
		return;
	case PLACE_AFTER:
		if (c == ' ')
			end_piece(m, c);
		else
			wrong(m, "Badly formed arguments");
		return;
	case PLACE_SIZE:
		size_octet(m, c);
		return;
	case PLACE_BRACE:
		if (c == '}')
			m->place = PLACE_SIZE_CR;
		else
			wrong(m, "Badly formed literal");
		return;
	case PLACE_SIZE_CR:
		wrong(m, "Badly formed literal");
		return;
	case PLACE_TEXT:
		/* The text may be a string, as it should be. */
		if (buf_len(&m->token) == 0 && m->message.nargs == 0 &&
		    (c == '"' || c == '{'))
			start_arg(m, c);
		else
			buf_putc(&m->token, c);
		return;
	case PLACE_SKIP:
	case PLACE_SIZE_LF:
	case PLACE_OCTETS:
	case PLACE_LF:
	case PLACE_DEAD:
		return;
	}
}

/*
 * A line that is wrong may announce a literal all the same, and its octets
 * must not be taken for a command.  So what skips watches for "{n}" at the
 * end: digits in m->size, their beginning in m->tail[0].
 */
static void
watch_octet(struct mupdate *m, uint8_t c)
{
	if (c == '{') {
		m->tail[0] = '{';
		m->size = 0;
		m->digits = 0;
		m->sync = true;
	} else if (m->tail[0] == '{' && ascii_digit(c) &&
	           m->digits < LITERAL_DIGITS) {
		m->size = m->size * 10 + (unsigned)(c - '0');
		m->digits++;
	} else if (m->tail[0] == '{' && m->digits > 0 && c == '+') {
		m->tail[0] = '+';
		m->sync = false;
	} else if ((m->tail[0] == '{' || m->tail[0] == '+') && m->digits > 0 &&
	           c == '}') {
		m->tail[0] = '}';
	} else {
		m->tail[0] = 0;
	}
}

/* CR LF has come, and the line announced a literal. */
static enum mupdate_event
begin_literal(struct mupdate *m)
{
	bool fits = m->size <= m->limits.literal &&
	            m->size <= m->limits.message - m->total;

	m->skip_data = m->resume == PLACE_SKIP;
	m->tail[0] = 0;
	if (!fits && !m->sync)
		return fail(m, "Literal too long");
	if (!fits || (m->skip_data && m->sync)) {
		/* It is not sent unless we ask for it: the command ends. */
		wrong(m, "Literal too long");
		return end_message(m);
	}
	m->total += m->size;
	if (m->size > 0) {
		m->place = PLACE_OCTETS;
	} else {
		m->place = m->resume;
		if (!m->skip_data)
			end_arg(m);
	}
	return m->sync ? MUPDATE_GO_AHEAD : MUPDATE_MORE;
}

static enum mupdate_event
end_line(struct mupdate *m)
{
	if (m->place == PLACE_SIZE_LF)
		return begin_literal(m);
	MUST(m->place == PLACE_LF);
	return end_message(m);
}

static void
end_text(struct mupdate *m)
{
	struct mupdate_message *msg = &m->message;

	if (msg->nargs == 0)
		end_arg(m);
}

static void
carriage_return(struct mupdate *m)
{
	if (m->place == PLACE_SIZE_CR) {
		m->resume = PLACE_AFTER;
		m->place = PLACE_SIZE_LF;
		return;
	}
	if (m->place == PLACE_SKIP && m->tail[0] == '}') {
		m->resume = PLACE_SKIP;
		m->place = PLACE_SIZE_LF;
		return;
	}
	if (m->place == PLACE_TEXT)
		end_text(m);
	else
		end_piece(m, '\r');
	if (m->place == PLACE_TEXT && m->message.nargs == 0)
		end_text(m); /* "A1 OK" and nothing behind it */
	m->place = PLACE_LF;
}

static enum mupdate_event
octet(struct mupdate *m, uint8_t c)
{
	enum place before = m->place;
	bool after_cr = before == PLACE_LF || before == PLACE_SIZE_LF;

	m->total++;
	if (++m->line > m->limits.line || m->total > m->limits.message)
		return fail(m, "Line too long");
	if (c == '\0')
		return fail(m, "NUL in command");
	if (after_cr != (c == '\n'))
		return fail(m, "CR without LF, or LF without CR");
	if (c == '\n')
		return end_line(m);
	if (c == '\r') {
		carriage_return(m);
		return MUPDATE_MORE;
	}
	line_octet(m, c);
	if (m->place == PLACE_SKIP)
		watch_octet(m, c);
	return MUPDATE_MORE;
}

/* --- literals -------------------------------------------------------------- */

static size_t
take_octets(struct mupdate *m, const uint8_t *in, size_t n)
{
	if (n > m->size)
		n = (size_t)m->size;
	m->size -= n;
	if (!m->skip_data) {
		if (memchr(in, '\0', n) != NULL)
			m->message.error = "NUL in literal";
		buf_put(&m->token, in, n);
	}
	if (m->size > 0)
		return n;
	m->place = m->resume;
	if (!m->skip_data)
		end_arg(m);
	if (m->message.error != NULL)
		wrong(m, m->message.error);
	return n;
}

/* --- SASL's lines ---------------------------------------------------------- */

void
mupdate_expect_line(struct mupdate *m, const char *tag)
{
	size_t len = tag == NULL ? 0 : strlen(tag);

	MUST(len <= MUPDATE_TAG_MAX);
	memset(m->raw_tag, 0, sizeof(m->raw_tag));
	if (len > 0) {
		memcpy(m->raw_tag, tag, len);
		m->raw_tag[len] = ' ';
	}
	m->want_line = true;
	m->done = true;
}

/* A line whose beginning turned out to be a message's after all. */
static void
raw_is_message(struct mupdate *m)
{
	m->raw = m->want_line = false;
	m->message.tag =
	    arena_copy(&m->arena, slice_of(m->raw_tag, strlen(m->raw_tag) - 1));
	m->line = m->total = strlen(m->raw_tag);
	buf_clear(&m->token);
	m->place = PLACE_WORD;
}

static enum mupdate_event
raw_octet(struct mupdate *m, uint8_t c)
{
	size_t tag = strlen(m->raw_tag);

	if (++m->line > RAW_LINE_MAX)
		return fail(m, "Line too long");
	if (c == '\0' || (m->place == PLACE_LF) != (c == '\n'))
		return fail(m, "CR without LF, or LF without CR");
	if (c == '\n') {
		m->raw_line = take_token(m);
		m->want_line = false;
		m->done = true;
		return MUPDATE_LINE;
	}
	if (c == '\r') {
		m->place = PLACE_LF;
		return MUPDATE_MORE;
	}
	buf_putc(&m->token, c);
	if (m->raw_matched == m->line - 1 && m->raw_matched < tag &&
	    c == (uint8_t)m->raw_tag[m->raw_matched]) {
		m->raw_matched++;
		if (m->raw_matched == tag)
			raw_is_message(m);
	}
	return MUPDATE_MORE;
}

struct slice
mupdate_line(const struct mupdate *m)
{
	return m->raw_line;
}

/* --- the pull -------------------------------------------------------------- */

/* No message has begun: an idle session holds no memory. */
static void
rest(struct mupdate *m)
{
	arena_reset(&m->arena);
	buf_fini(&m->token);
}

/*
 * The next octets if they are a string's own, below the limits: a list of a
 * million is mostly these.  What they are not is octet()'s to judge.
 */
static size_t
take_own(struct mupdate *m, const uint8_t *in, size_t n)
{
	size_t line = m->limits.line - m->line, i = 0;
	size_t total = m->limits.message - m->total;

	if (m->place != PLACE_QUOTED)
		return 0;
	if (n > line)
		n = line;
	if (n > total)
		n = total;
	while (i < n && in[i] >= ' ' && in[i] != '"' && in[i] != '\\')
		i++;
	buf_put(&m->token, in, i);
	m->line += i;
	m->total += i;
	return i;
}

static struct slice
moved(struct slice s, const uint8_t *from, const uint8_t *to)
{
	return slice_of(to + (s.ptr - from), s.len);
}

/*
 * A whole message at once, if the next octets are one of those.  An OK
 * and its like have a text, and what follows "+" is nothing.  Octets taken; 0:
 * they are to be read one by one.
 */
static size_t
take_whole(struct mupdate *m, const uint8_t *in, size_t n)
{
	struct mupdate_message *msg = &m->message;
	struct mupdate_scan s;
	const uint8_t *copy;
	int id;

	if (m->place != PLACE_TAG || m->total > 0 ||
	    !mupdate_scan(&s, in, n, &m->limits))
		return 0;
	id = m->side == MUPDATE_SERVER ? mupdate_command_find(s.word)
	                               : mupdate_response_find(s.word);
	if (id == -1 || (m->side == MUPDATE_CLIENT && is_status(id)) ||
	    slice_is(s.tag, "+"))
		return 0;
	copy = arena_copy(&m->arena, slice_of(in, s.octets)).ptr;
	msg->id = id;
	msg->tag = moved(s.tag, in, copy);
	msg->nargs = s.nargs;
	for (size_t i = 0; i < s.nargs; i++)
		msg->args[i] = moved(s.args[i], in, copy);
	return s.octets;
}

enum mupdate_event
mupdate_next(struct mupdate *m, const uint8_t *in, size_t n, size_t *taken)
{
	enum mupdate_event ev = MUPDATE_MORE;
	size_t i = 0, own;

	if (m->done)
		begin(m);
	if (m->place == PLACE_DEAD)
		ev = MUPDATE_ERROR;
	if (!m->raw && (*taken = take_whole(m, in, n)) > 0)
		return end_message(m);
	while (ev == MUPDATE_MORE && i < n) {
		if (m->raw)
			ev = raw_octet(m, in[i++]);
		else if (m->place == PLACE_OCTETS)
			i += take_octets(m, in + i, n - i);
		else if ((own = take_own(m, in + i, n - i)) > 0)
			i += own;
		else
			ev = octet(m, in[i++]);
	}
	*taken = i;
	if (ev == MUPDATE_MORE && m->line == 0 && m->total == 0)
		rest(m);
	return ev;
}

const struct mupdate_message *
mupdate_message(const struct mupdate *m)
{
	return &m->message;
}

const char *
mupdate_error(const struct mupdate *m)
{
	return m->error;
}

/* --- birth and death ------------------------------------------------------- */

struct mupdate *
mupdate_new(enum mupdate_side side, const struct mupdate_limits *limits)
{
	struct mupdate *m = xcalloc(1, sizeof(*m));

	m->side = side;
	m->limits = *limits;
	arena_init(&m->arena);
	buf_init(&m->token, limits->message + RAW_LINE_MAX);
	begin(m);
	return m;
}

void
mupdate_free(struct mupdate **mp)
{
	struct mupdate *m = *mp;

	if (m == NULL)
		return;
	arena_reset(&m->arena);
	buf_fini(&m->token);
	free(m);
	*mp = NULL;
}

void
mupdate_reset(struct mupdate *m)
{
	m->want_line = false;
	m->error = NULL;
	begin(m);
}

void
mupdate_set_limits(struct mupdate *m, const struct mupdate_limits *limits)
{
	m->limits = *limits;
	buf_fini(&m->token);
	buf_init(&m->token, limits->message + RAW_LINE_MAX);
}
