#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "imap/header.h"
#include "imap/mime.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/must.h"

enum {
	TEXT_MAX = 16 * 1024 /* octets of one field that is shown */
};

struct writer {
	struct write w;
	struct arena *arena;
	struct slice message;
	const struct mime *mime;
	enum bodystructure_form form;
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
put_field(struct writer *wr, struct slice header, const char *name)
{
	struct header_field f;
	struct slice s;

	if (!header_find(header, name, &f)) {
		put_nil(wr);
		return;
	}
	if (f.value.len > TEXT_MAX)
		f.value.len = TEXT_MAX;
	s = header_unfold(wr->arena, f.value);
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
put_disposition(struct writer *wr, struct slice header)
{
	struct header_field f;
	struct mime_value v;

	if (!header_find(header, "Content-Disposition", &f) ||
	    !mime_value_parse(wr->arena, f.value, &v)) {
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
put_language(struct writer *wr, struct slice header)
{
	struct header_field f;
	struct slice s;
	unsigned n = 0;

	if (!header_find(header, "Content-Language", &f)) {
		put_nil(wr);
		return;
	}
	if (f.value.len > TEXT_MAX)
		f.value.len = TEXT_MAX;
	s = header_unfold(wr->arena, f.value);
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

/* Disposition, language, location: the end of all extension data. */
static void
put_extension(struct writer *wr, struct slice header)
{
	write_sp(&wr->w);
	put_disposition(wr, header);
	write_sp(&wr->w);
	put_language(wr, header);
	write_sp(&wr->w);
	put_field(wr, header, "Content-Location");
}

static void
put_encoding(struct writer *wr, struct slice header)
{
	struct header_field f;
	struct mime_value v;

	if (header_find(header, "Content-Transfer-Encoding", &f) &&
	    mime_value_parse(wr->arena, f.value, &v))
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
type_of_leaf(struct writer *wr, const struct mime_part *p, struct mime_value *v)
{
	struct slice header = mime_header(p, wr->message);
	struct header_field f;

	mime_type_of(wr->arena, header, p->fallback, v);
	if (slice_is_nocase(v->type, "multipart")) {
		*v = (struct mime_value){ .type = slice_str("text"),
			.subtype = slice_str("plain") };
	} else if (slice_is_nocase(v->type, "message") &&
	           (slice_is_nocase(v->subtype, "rfc822") ||
	               slice_is_nocase(v->subtype, "global"))) {
		*v = (struct mime_value){ .type = slice_str("application"),
			.subtype = slice_str("octet-stream") };
	} else if (!header_find(header, "Content-Type", &f)) {
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
	struct slice header = mime_header(p, wr->message);

	write_open(&wr->w);
	put_upper(wr, v->type);
	write_sp(&wr->w);
	put_upper(wr, v->subtype);
	write_sp(&wr->w);
	put_params(wr, v);
	write_sp(&wr->w);
	put_field(wr, header, "Content-ID");
	write_sp(&wr->w);
	put_field(wr, header, "Content-Description");
	write_sp(&wr->w);
	put_encoding(wr, header);
	write_sp(&wr->w);
	write_number(&wr->w, p->body_len);
}

/* The lines of text and messages, then MD5 and the rest. */
static void
put_tail(struct writer *wr, const struct mime_part *p, bool has_lines)
{
	struct slice header = mime_header(p, wr->message);

	if (has_lines) {
		write_sp(&wr->w);
		write_number(&wr->w, p->body_lines);
	}
	if (wr->form == BODYSTRUCTURE_EXTENDED) {
		write_sp(&wr->w);
		put_field(wr, header, "Content-MD5");
		put_extension(wr, header);
	}
	write_close(&wr->w);
}

/* Everything of a part that comes before its children. */
static void
enter(struct writer *wr, const struct mime_part *p)
{
	struct mime_value v;

	switch (p->kind) {
	case MIME_LEAF:
		type_of_leaf(wr, p, &v);
		put_basic(wr, p, &v);
		put_tail(wr, p, slice_is_nocase(v.type, "text"));
		break;
	case MIME_MULTIPART:
		write_open(&wr->w);
		break;
	case MIME_MESSAGE:
		mime_type_of(wr->arena, mime_header(p, wr->message),
		    p->fallback, &v);
		put_basic(wr, p, &v);
		write_sp(&wr->w);
		envelope_write(wr->w.out, wr->arena,
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
	struct slice header = mime_header(p, wr->message);
	struct mime_value v;

	if (p->kind == MIME_MESSAGE) {
		put_tail(wr, p, true);
		return;
	}
	mime_type_of(wr->arena, header, p->fallback, &v);
	write_sp(&wr->w);
	put_upper(wr, v.subtype);
	if (wr->form == BODYSTRUCTURE_EXTENDED) {
		write_sp(&wr->w);
		put_params(wr, &v);
		put_extension(wr, header);
	}
	write_close(&wr->w);
}

void
bodystructure_write(struct buf *out, struct arena *a, struct slice message,
    const struct mime *m, enum bodystructure_form form)
{
	struct writer wr = { .arena = a,
		.message = message,
		.mime = m,
		.form = form };
	unsigned i = 0;

	write_init(&wr.w, out, WRITE_SERVER);
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
}
