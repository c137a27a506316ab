#include <string.h>

#include "imap/binary.h"
#include "imap/header.h"
#include "imap/mime.h"
#include "lib/arena.h"
#include "lib/must.h"

#define FIELD "Content-Transfer-Encoding"

struct maker {
	struct arena *arena;
	struct slice message;
	struct binary_piece *pieces;
	size_t n, room;
	uint64_t done; /* octets of the message */
};

static void
add(struct maker *mk, enum binary_kind kind, struct slice octets)
{
	if (octets.len == 0)
		return;
	MUST(mk->n < mk->room);
	mk->pieces[mk->n++] = (struct binary_piece){ kind, octets };
}

/* The message as it is, up to there. */
static void
copy_to(struct maker *mk, uint64_t to)
{
	if (to <= mk->done)
		return;
	add(mk, BINARY_AS_IS,
	    slice_first(slice_skip(mk->message, mk->done), to - mk->done));
	mk->done = to;
}

static bool
has_nul(struct slice s)
{
	return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL;
}

static bool
is_binary(struct slice header)
{
	struct header_field f;

	return header_find(header, FIELD, &f) &&
	       slice_is_nocase(slice_trim(f.value), "binary");
}

/* Its field, or that it has one now. */
static void
say_encoding(struct maker *mk, const struct mime_part *p, const char *field)
{
	struct slice header = mime_header(p, mk->message);
	struct header_field f;

	if (header_find(header, FIELD, &f)) {
		copy_to(mk, (uint64_t)(f.whole.ptr - mk->message.ptr));
		mk->done += f.whole.len;
	} else {
		copy_to(mk, p->header_at);
	}
	add(mk, BINARY_AS_IS, slice_str(field));
}

static void
add_part(struct maker *mk, const struct mime_part *p, bool has)
{
	struct slice body = mime_body(p, mk->message);

	if (p->kind != MIME_LEAF && has &&
	    is_binary(mime_header(p, mk->message)))
		say_encoding(mk, p, FIELD ": 8bit\r\n");
	if (p->kind != MIME_LEAF || !has)
		return;
	say_encoding(mk, p, FIELD ": base64\r\n");
	copy_to(mk, p->body_at);
	add(mk, BINARY_TO_BASE64, body);
	mk->done = p->body_at + p->body_len;
}

const struct binary_piece *
binary_pieces(struct arena *a, struct slice message, const struct mime *m,
    size_t *n)
{
	struct maker mk = { .arena = a,
		.message = message,
		.room = 6 * (size_t)m->count + 1 };
	bool *has = arena_array(a, m->count, sizeof(*has));

	mk.pieces = arena_array(a, mk.room, sizeof(*mk.pieces));
	/* From the last, so that what a part is in knows of it in time. */
	for (unsigned i = m->count; i-- > 0;) {
		const struct mime_part *p = &m->parts[i];

		if (p->kind == MIME_LEAF && p->encoding == MIME_IDENTITY &&
		    has_nul(mime_body(p, message)))
			has[i] = true;
		if (has[i] && p->parent != MIME_NONE)
			has[p->parent] = true;
	}
	for (unsigned i = 0; i < m->count; i++)
		add_part(&mk, &m->parts[i], has[i]);
	copy_to(&mk, message.len);
	*n = mk.n;
	return mk.pieces;
}
