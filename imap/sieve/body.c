/* sieve: RFC 5173, on the first BODY_MAX octets of text. */
#include "imap/header.h"
#include "imap/mime.h"
#include "imap/mimetext.h"
#include "imap/sieve/match.h"
#include "lib/buf.h"

enum {
	BODY_MAX = 1024 * 1024,
	PART_STEPS = 100 /* of a part, beside its octets */
};

/* Text gathered until the limit, then no more. */
static bool
gather(void *arg, struct slice utf8, bool ends)
{
	struct buf *b = arg;

	(void)ends;
	if (utf8.len > buf_room(b))
		utf8.len = buf_room(b);
	buf_put_slice(b, utf8);
	return buf_room(b) > 0;
}

/* RFC 5173 5.2: "", "text" or "text/html". */
static bool
is_type(struct sieve_strings types, const struct mime_value *v)
{
	for (unsigned i = 0; i < types.count; i++) {
		struct slice t = types.at[i];
		size_t slash = slice_find(t, '/');

		if (t.len == 0)
			return true;
		if (!slice_equal_nocase(slice_first(t, slash), v->type))
			continue;
		if (slash == t.len ||
		    slice_equal_nocase(slice_skip(t, slash + 1), v->subtype))
			return true;
	}
	return false;
}

static void
match_parts(struct match *m, struct sieve_strings types)
{
	struct sieve_state *st = m->st;
	struct slice message = st->message->octets;
	struct mime mime;
	struct buf b;

	if (!sieve_spend(st, message.len))
		return;
	mime_parse(&st->scratch, message, &mime_limits_default, &mime);
	buf_init(&b, BODY_MAX);
	for (unsigned i = 0; i < mime.count && !m->found; i++) {
		const struct mime_part *p = &mime.parts[i];
		struct mime_value v;

		if (!sieve_spend(st, PART_STEPS + types.count))
			break;
		mime_type_of(&st->scratch, mime_header(p, message), p->fallback,
		    &v);
		if (p->kind != MIME_LEAF || !is_type(types, &v))
			continue;
		mimetext_read_body(&st->scratch, message, p, gather, &b);
		match_value(m, buf_slice(&b));
		buf_clear(&b);
	}
	buf_fini(&b);
}

void
sieve_body(struct sieve_state *st, const struct sieve_instr *in)
{
	static const struct slice text = { (const uint8_t *)"text", 4 };
	struct sieve_strings types = { &text, 1 };
	struct slice message = st->message->octets, raw;
	struct match m;

	match_begin(&m, st, in, in->args[0]);
	if (in->body == TAG_RAW) {
		raw = slice_skip(message, header_length(message));
		if (raw.len > BODY_MAX)
			raw.len = BODY_MAX;
		match_value(&m, raw);
	} else {
		if (in->body == TAG_CONTENT)
			types = sieve_expand_all(st, in->content);
		match_parts(&m, types);
	}
	st->answer = match_end(&m);
}
