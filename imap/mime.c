#include "imap/header.h"
#include "imap/mime.h"
#include "imap/transfer.h"
#include "lib/arena.h"
#include "lib/cdefs.h"
#include "lib/must.h"

enum {
	PARTS_FIRST = 8,
	SAID_FIRST = 2,
	DEPTH_MAX = 64
};

const struct mime_limits mime_limits_default = { .depth = DEPTH_MAX,
	.parts = 4000 };

static const struct header_name names[MIME_FIELDS] = {
	[MIME_FIELD_TYPE] = HEADER_NAME("Content-Type"),
	[MIME_FIELD_ENCODING] = HEADER_NAME("Content-Transfer-Encoding"),
	[MIME_FIELD_ID] = HEADER_NAME("Content-ID"),
	[MIME_FIELD_DESCRIPTION] = HEADER_NAME("Content-Description"),
	[MIME_FIELD_MD5] = HEADER_NAME("Content-MD5"),
	[MIME_FIELD_DISPOSITION] = HEADER_NAME("Content-Disposition"),
	[MIME_FIELD_LANGUAGE] = HEADER_NAME("Content-Language"),
	[MIME_FIELD_LOCATION] = HEADER_NAME("Content-Location"),
};

/* A part whose end has not been seen. */
struct open {
	uint16_t part;
	uint16_t last_child;        /* MIME_NONE: none yet */
	enum mime_default fallback; /* MULTIPART: of its parts */
	struct slice boundary;      /* MULTIPART: without the dashes */
	uint32_t lines;             /* before its body */
};

struct scan {
	struct arena *arena;
	const struct mime_limits *limits;
	struct slice message;
	struct arena *scratch; /* for said; NULL: it is not kept */
	struct mime_part *parts;
	struct mime_said *said; /* of each of parts */
	unsigned count, room, said_room;
	struct open stack[DEPTH_MAX + 2]; /* from the message to where we are */
	unsigned depth;
	bool in_header; /* of the innermost */
	bool cut;
	uint32_t lines; /* line ends so far */
};

static struct open *
innermost(struct scan *s)
{
	MUST(s->depth > 0);
	return &s->stack[s->depth - 1];
}

static struct mime_part *
part_of(struct scan *s, const struct open *o)
{
	return &s->parts[o->part];
}

static void
grow_said(struct scan *s)
{
	struct mime_said *said;

	s->said_room = s->said_room == 0 ? SAID_FIRST : s->said_room * 2;
	said = arena_array(s->scratch, s->said_room, sizeof(*said));
	if (s->count > 0)
		memcpy(said, s->said, s->count * sizeof(*said));
	s->said = said;
}

static struct mime_part *
grow(struct scan *s)
{
	struct mime_part *parts;

	if (s->count == s->room) {
		s->room = s->room == 0 ? PARTS_FIRST : s->room * 2;
		parts = arena_array(s->arena, s->room, sizeof(*parts));
		if (s->count > 0)
			memcpy(parts, s->parts, s->count * sizeof(*parts));
		s->parts = parts;
	}
	if (s->scratch != NULL && s->count == s->said_room)
		grow_said(s);
	return &s->parts[s->count++];
}

/* A part begins at this octet, inside the innermost one if there is one. */
static void
push(struct scan *s, uint64_t at, enum mime_default fallback)
{
	uint16_t number = (uint16_t)s->count; /* limits: below MIME_NONE */
	struct mime_part *p = grow(s);

	MUST(s->count < MIME_NONE && s->depth <= s->limits->depth);
	*p = (struct mime_part){ .header_at = at,
		.parent = MIME_NONE,
		.child = MIME_NONE,
		.next = MIME_NONE,
		.depth = (uint16_t)s->depth,
		.fallback = fallback };
	if (s->depth > 0) {
		struct open *o = innermost(s);

		p->parent = o->part;
		if (o->last_child == MIME_NONE)
			part_of(s, o)->child = number;
		else
			s->parts[o->last_child].next = number;
		o->last_child = number;
	}
	s->stack[s->depth++] =
	    (struct open){ .part = number, .last_child = MIME_NONE };
	s->in_header = true;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The innermost part ends before this octet. */
static void
pop(struct scan *s, uint64_t end, uint32_t lines)
{
	struct open *o = innermost(s);
	struct mime_part *p = part_of(s, o);

	/* The line end before a boundary may be that of the part's own. */
	p->header_at = least(p->header_at, end);
	if (s->in_header) {
		p->header_len = end - p->header_at;
		p->body_at = end;
	} else if (p->body_at > end) {
		/* ...or its header's last. */
		p->body_at = end;
		p->header_len = least(p->header_len, p->body_at - p->header_at);
	} else {
		p->body_len = end - p->body_at;
		if (p->body_len > 0)
			p->body_lines = lines - o->lines;
	}
	if (p->child == MIME_NONE)
		p->kind = MIME_LEAF;
	s->in_header = false;
	s->depth--;
}

static enum mime_encoding
encoding_of(struct slice value)
{
	static const char *const identities[] = { "7bit", "8bit", "binary" };

	value = slice_trim(value);
	switch (transfer_encoding_of(value)) {
	case TRANSFER_BASE64:
		return MIME_BASE64;
	case TRANSFER_QUOTED:
		return MIME_QUOTED;
	case TRANSFER_BINARY:
		break;
	}
	for (size_t i = 0; i < NITEMS(identities); i++)
		if (slice_starts_nocase(value, identities[i]))
			return MIME_IDENTITY;
	return value.len == 0 ? MIME_IDENTITY : MIME_UNKNOWN;
}

/* Also as RFC 2231 writes it, boundary*=us-ascii''text: undecoded. */
static struct slice
boundary_of(const struct mime_value *v)
{
	struct slice b = mime_param_find(v, "boundary");

	if (b.len > 0)
		return b;
	b = mime_param_find(v, "boundary*");
	for (unsigned i = 0; i < 2; i++) {
		size_t n = slice_find(b, '\'');

		b = slice_skip(b, n < b.len ? n + 1 : n);
	}
	return b;
}

static void
look(struct mime_said *said, struct arena *a, const struct mime_part *p,
    struct slice message)
{
	header_find_each(mime_header(p, message), names, MIME_FIELDS,
	    said->fields);
	mime_type_from(a, &said->fields[MIME_FIELD_TYPE], p->fallback,
	    &said->type);
	said->known = true;
	said->header_len = p->header_len;
}

/* The innermost part's header is whole: what is it, and is it opened? */
static void
begin_body(struct scan *s, uint64_t at)
{
	struct open *o = innermost(s);
	struct mime_part *p = part_of(s, o);
	struct mime_said unkept, *said;
	struct mime_value v;
	bool multipart, message, is_encoded;

	p->header_len = at - p->header_at;
	p->body_at = at;
	o->lines = s->lines;
	s->in_header = false;
	said = s->scratch != NULL ? &s->said[o->part] : &unkept;
	look(said, s->scratch != NULL ? s->scratch : s->arena, p, s->message);
	v = said->type;
	p->encoding = encoding_of(said->fields[MIME_FIELD_ENCODING].value);
	is_encoded = p->encoding == MIME_BASE64 || p->encoding == MIME_QUOTED;
	multipart = slice_is_nocase(v.type, "multipart");
	message = slice_is_nocase(v.type, "message") &&
	          (slice_is_nocase(v.subtype, "rfc822") ||
	              slice_is_nocase(v.subtype, "global"));
	if (multipart)
		o->boundary = slice_trim(boundary_of(&v));
	if ((multipart && o->boundary.len == 0) || (!multipart && !message) ||
	    (message && is_encoded))
		return;
	if (s->depth > s->limits->depth || s->count >= s->limits->parts) {
		o->boundary.len = 0;
		s->cut = true;
		return;
	}
	p->kind = multipart ? MIME_MULTIPART : MIME_MESSAGE;
	if (slice_is_nocase(v.subtype, "digest"))
		o->fallback = MIME_DEFAULT_MESSAGE;
	if (message)
		push(s, at, MIME_DEFAULT_TEXT);
}

/*
 * Which of the open multiparts does this line delimit?  Its place on the
 * stack, or depth if none.  *last: it was the closing one.
 */
static unsigned
delimited(const struct scan *s, struct slice line, bool *last)
{
	struct slice text = slice_trim(slice_skip(line, 2));

	for (unsigned i = s->depth; i-- > 0;) {
		struct slice b = s->stack[i].boundary;

		if (b.len == 0 || !slice_starts(text, b))
			continue;
		*last = text.len == b.len + 2 && text.ptr[b.len] == '-' &&
		        text.ptr[b.len + 1] == '-';
		if (*last || text.len == b.len)
			return i;
	}
	return s->depth;
}

/* Octets of the line end just before this one. */
static unsigned
line_end_before(struct slice message, uint64_t at)
{
	if (at == 0 || message.ptr[at - 1] != '\n')
		return 0;
	return at > 1 && message.ptr[at - 2] == '\r' ? 2 : 1;
}

/* A boundary of the multipart at that level begins at this octet. */
static void
close_down_to(struct scan *s, unsigned level, uint64_t at)
{
	struct mime_part *direct;
	uint64_t end = at - line_end_before(s->message, at);
	uint32_t lines = s->lines;

	if (s->depth == level + 1)
		return; /* in its preamble or epilogue */
	direct = part_of(s, &s->stack[level + 1]);
	/* A part without a body: the line end before was its header's. */
	if ((s->in_header && s->depth == level + 2) || direct->body_at > end)
		end = at;
	if (end < at)
		lines--;
	while (s->depth > level + 1)
		pop(s, end, lines);
}

/* True if the line, which begins with dashes, was a boundary. */
static bool
take_boundary(struct scan *s, struct slice line, uint64_t at)
{
	bool last = false;
	unsigned level = delimited(s, line, &last);
	struct open *o;

	if (level == s->depth)
		return false;
	close_down_to(s, level, at);
	o = innermost(s);
	if (last) {
		o->boundary.len = 0; /* the rest is an epilogue */
	} else if (s->count >= s->limits->parts) {
		o->boundary.len = 0;
		s->cut = true;
	} else {
		push(s, at + line.len, o->fallback);
	}
	return true;
}

static bool
is_empty(struct slice line)
{
	return line.len <= 2 &&
	       (line.ptr[0] == '\n' || (line.len == 2 && line.ptr[0] == '\r' &&
	                                   line.ptr[1] == '\n'));
}

/* Nothing in what is left begins or ends a part. */
static bool
is_last_body(const struct scan *s)
{
	if (s->in_header)
		return false;
	for (unsigned i = 0; i < s->depth; i++)
		if (s->stack[i].boundary.len > 0)
			return false;
	return true;
}

static uint32_t
count_line_ends(struct slice s)
{
	uint32_t n = 0;

	for (;;) {
		size_t at = slice_find(s, '\n');

		if (at == s.len)
			return n;
		n++;
		s = slice_skip(s, at + 1);
	}
}

static void
scan_lines(struct scan *s)
{
	struct slice rest = s->message;

	while (rest.len > 0 && !is_last_body(s)) {
		uint64_t at = s->message.len - rest.len;
		struct slice line = header_line(&rest);
		bool dashes =
		    line.len > 2 && line.ptr[0] == '-' && line.ptr[1] == '-';
		bool boundary = dashes && take_boundary(s, line, at);

		if (line.ptr[line.len - 1] == '\n')
			s->lines++;
		if (!boundary && s->in_header && is_empty(line))
			begin_body(s, at + line.len);
	}
	s->lines += count_line_ends(rest);
	while (s->depth > 0)
		pop(s, s->message.len, s->lines);
}

void
mime_parse_said(struct arena *a, struct arena *scratch, struct slice message,
    const struct mime_limits *limits, struct mime *m)
{
	struct scan s; /* all of the stack need not be cleared */

	MUST(limits->parts > 0 && limits->parts < MIME_NONE &&
	     limits->depth <= DEPTH_MAX);
	s.arena = a;
	s.scratch = scratch;
	s.limits = limits;
	s.message = message;
	s.parts = NULL;
	s.said = NULL;
	s.count = s.room = s.said_room = s.depth = 0;
	s.in_header = s.cut = false;
	s.lines = 0;
	push(&s, 0, MIME_DEFAULT_TEXT);
	scan_lines(&s);
	*m = (struct mime){ s.parts, s.count, s.cut, s.said };
}

void
mime_parse(struct arena *a, struct slice message,
    const struct mime_limits *limits, struct mime *m)
{
	mime_parse_said(a, NULL, message, limits, m);
}

/* The end of a header may have turned out to be a boundary's. */
const struct mime_said *
mime_said_of(const struct mime *m, unsigned i, struct arena *a,
    struct slice message)
{
	const struct mime_part *p = &m->parts[i];
	struct mime_said *said;

	MUST(i < m->count);
	if (m->said != NULL && m->said[i].known &&
	    m->said[i].header_len == p->header_len)
		return &m->said[i];
	said = arena_alloc(a, sizeof(*said));
	look(said, a, p, message);
	return said;
}

struct slice
mime_header(const struct mime_part *p, struct slice message)
{
	return slice_first(slice_skip(message, p->header_at), p->header_len);
}

struct slice
mime_body(const struct mime_part *p, struct slice message)
{
	return slice_first(slice_skip(message, p->body_at), p->body_len);
}
