#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "imap/header.h"
#include "imap/mime.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	TEXT_MAX = 16 * 1024 /* octets of one field that is shown */
};

struct writer {
	struct write w; /* to extended */
	struct buf *extended, *basic;
	size_t
	    copied; /* octets of extended that basic has, or is not to have */
	struct arena *arena;
	struct slice message;
	const struct mime *mime;
	const struct mime_said *said; /* of the part's header */
};

static void
put_string(struct writer *wr, struct slice s)
{
	envelope_string(wr->w.out, wr->arena, s);
}

static void
put_nil(struct writer *wr)
{
	write_word(&wr->w, "NIL");
}

static void
put_upper(struct writer *wr, struct slice s)
{
	uint8_t *p = arena_alloc(wr->arena, s.len);

	for (size_t i = 0; i < s.len; i++)
		p[i] = ascii_upper(s.ptr[i]);
	put_string(wr, slice_of(p, s.len));
}

/* A field as text, or NIL. */
static void
put_field(struct writer *wr, enum mime_field field)
{
	struct slice s = wr->said->fields[field].value;

	if (s.len == 0) {
		put_nil(wr);
		return;
	}
	if (s.len > TEXT_MAX)
		s.len = TEXT_MAX;
	s = header_unfold(wr->arena, s);
	put_string(wr, s.len > 0 ? s : (struct slice){ 0 });
}

static void
put_params(struct writer *wr, const struct mime_value *v)
{
	if (v->nparams == 0) {
		put_nil(wr);
		return;
	}
	write_open(&wr->w);
	for (unsigned i = 0; i < v->nparams; i++) {
		if (i > 0)
			write_sp(&wr->w);
		put_upper(wr, v->params[i].name);
		write_sp(&wr->w);
		/* An empty slice may be NULL; the value is "" all the same. */
		put_string(wr, v->params[i].value.len > 0 ? v->params[i].value
		                                          : slice_str(""));
	}
	write_close(&wr->w);
}

/* ("ATTACHMENT" ("FILENAME" "x")) */
static void
put_disposition(struct writer *wr)
{
	struct mime_value v;

	if (!mime_value_parse(wr->arena,
	        wr->said->fields[MIME_FIELD_DISPOSITION].value, &v)) {
		put_nil(wr);
		return;
	}
	write_open(&wr->w);
	put_upper(wr, v.type);
	write_sp(&wr->w);
	put_params(wr, &v);
	write_close(&wr->w);
}

/* ("EN" "DE") */
static void
put_language(struct writer *wr)
{
	struct slice s = wr->said->fields[MIME_FIELD_LANGUAGE].value;
	unsigned n = 0;

	if (s.len > TEXT_MAX)
		s.len = TEXT_MAX;
	s = header_unfold(wr->arena, s);
	while (s.len > 0) {
		size_t len = slice_find(s, ',');
		struct slice tag = slice_trim(slice_first(s, len));

		s = slice_skip(s, len < s.len ? len + 1 : len);
		if (tag.len == 0)
			continue;
		if (n++ > 0)
			write_sp(&wr->w);
		else
			write_open(&wr->w);
		put_upper(wr, tag);
	}
	if (n > 0)
		write_close(&wr->w);
	else
		put_nil(wr);
}

/* What was written since goes to basic, too. */
static void
copy_basic(struct writer *wr)
{
	buf_put_slice(wr->basic,
	    slice_skip(buf_slice(wr->extended), wr->copied));
	wr->copied = buf_len(wr->extended);
}

/* Of a message or part that is no multipart, its MD5; of one, its parameters. */
static void
put_extension(struct writer *wr, const struct mime_value *multipart)
{
	copy_basic(wr);
	write_sp(&wr->w);
	if (multipart != NULL)
		put_params(wr, multipart);
	else
		put_field(wr, MIME_FIELD_MD5);
	write_sp(&wr->w);
	put_disposition(wr);
	write_sp(&wr->w);
	put_language(wr);
	write_sp(&wr->w);
	put_field(wr, MIME_FIELD_LOCATION);
	wr->copied = buf_len(wr->extended);
}

static void
put_encoding(struct writer *wr)
{
	struct mime_value v;

	if (mime_value_parse(wr->arena,
	        wr->said->fields[MIME_FIELD_ENCODING].value, &v))
		put_upper(wr, v.type);
	else
		put_string(wr, slice_str("7BIT"));
}

/*
 * What to call a part that is shown as one piece.  A multipart in which no
 * parts were found has no children to list, and an embedded message that was
 * not opened no envelope: give them types that promise neither.
 */
static void
type_of_leaf(const struct writer *wr, struct mime_value *v)
{
	const struct header_field *f = &wr->said->fields[MIME_FIELD_TYPE];

	*v = wr->said->type;
	if (slice_is_nocase(v->type, "multipart")) {
		*v = (struct mime_value){ .type = slice_str("text"),
			.subtype = slice_str("plain") };
	} else if (slice_is_nocase(v->type, "message") &&
	           (slice_is_nocase(v->subtype, "rfc822") ||
	               slice_is_nocase(v->subtype, "global"))) {
		*v = (struct mime_value){ .type = slice_str("application"),
			.subtype = slice_str("octet-stream") };
	} else if (f->name.len == 0) {
		static const struct mime_param us_ascii = {
			{ (const uint8_t *)"charset", 7 },
			{ (const uint8_t *)"us-ascii", 8 }
		};

		v->params = &us_ascii;
		v->nparams = 1;
	}
}

/* Type to octets: what leaves and embedded messages have in common. */
static void
put_basic(struct writer *wr, const struct mime_part *p,
    const struct mime_value *v)
{
	write_open(&wr->w);
	put_upper(wr, v->type);
	write_sp(&wr->w);
	put_upper(wr, v->subtype);
	write_sp(&wr->w);
	put_params(wr, v);
	write_sp(&wr->w);
	put_field(wr, MIME_FIELD_ID);
	write_sp(&wr->w);
	put_field(wr, MIME_FIELD_DESCRIPTION);
	write_sp(&wr->w);
	put_encoding(wr);
	write_sp(&wr->w);
	write_number(&wr->w, p->body_len);
}

/* The lines of text and messages, then the extension data. */
static void
put_tail(struct writer *wr, const struct mime_part *p, bool has_lines)
{
	if (has_lines) {
		write_sp(&wr->w);
		write_number(&wr->w, p->body_lines);
	}
	put_extension(wr, NULL);
	write_close(&wr->w);
}

static void
put_envelope(struct writer *wr, struct slice header)
{
	struct envelope e;

	envelope_find(&e, header);
	envelope_write(wr->extended, wr->arena, &e);
}

static void
find_fields(struct writer *wr, const struct mime_part *p)
{
	wr->said = mime_said_of(wr->mime, (unsigned)(p - wr->mime->parts),
	    wr->arena, wr->message);
}

/* Everything of a part that comes before its children. */
static void
enter(struct writer *wr, const struct mime_part *p)
{
	struct mime_value v;

	switch (p->kind) {
	case MIME_LEAF:
		find_fields(wr, p);
		type_of_leaf(wr, &v);
		put_basic(wr, p, &v);
		put_tail(wr, p, slice_is_nocase(v.type, "text"));
		break;
	case MIME_MULTIPART:
		write_open(&wr->w);
		break;
	case MIME_MESSAGE:
		find_fields(wr, p);
		put_basic(wr, p, &wr->said->type);
		write_sp(&wr->w);
		put_envelope(wr,
		    mime_header(&wr->mime->parts[p->child], wr->message));
		write_sp(&wr->w);
		break;
	case MIME_KINDS:
		must_fail("a kind", __FILE__, __LINE__, __func__);
	}
}

/* Everything of it that comes after them. */
static void
leave(struct writer *wr, const struct mime_part *p)
{
	find_fields(wr, p);
	if (p->kind == MIME_MESSAGE) {
		put_tail(wr, p, true);
		return;
	}
	write_sp(&wr->w);
	put_upper(wr, wr->said->type.subtype);
	put_extension(wr, &wr->said->type);
	write_close(&wr->w);
}

void
bodystructure_write(struct buf *extended, struct buf *basic, struct arena *a,
    struct slice message, const struct mime *m)
{
	struct writer wr = { .extended = extended,
		.basic = basic,
		.copied = buf_len(extended),
		.arena = a,
		.message = message,
		.mime = m };
	unsigned i = 0;

	write_init(&wr.w, extended, WRITE_SERVER);
	while (i != MIME_NONE) {
		const struct mime_part *p = &m->parts[i];

		enter(&wr, p);
		if (p->child != MIME_NONE) {
			i = p->child;
			continue;
		}
		/* Up until there is a sibling, closing what is left. */
		while (p->next == MIME_NONE && p->parent != MIME_NONE) {
			p = &m->parts[p->parent];
			leave(&wr, p);
		}
		i = p->next;
	}
	copy_basic(&wr);
}
