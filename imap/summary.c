#include <limits.h>
#include <stdlib.h>

#include "imap/bodystructure.h"
#include "imap/date.h"
#include "imap/envelope.h"
#include "imap/header.h"
#include "imap/preview.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	VERSION = 2,
	TEXT_MAX = 2 * 1024 * 1024, /* one response text */
	THREAD_MAX = 16 * 1024,     /* octets of a Message-ID that counts */
	ROOM_MAX = 8 * 1024,        /* kept from one message to the next */
	DAY_SECONDS = 24 * 60 * 60
};

enum summary_bit {
	BIT_SENT_KNOWN = 1 << 0,
	BIT_HEADERS_CUT = 1 << 1,
	BIT_MIME_CUT = 1 << 2,
	BITS = 1 << 3
};

/*
 * What clients list, thread and sort by: Thunderbird's, mutt's, K-9's and Apple
 * Mail's lists of header fields are in here.
 */
enum {
	KEPT_REFERENCES = ENVELOPE_FIELDS
};

static const struct header_name kept[] = {
	ENVELOPE_NAMES, [KEPT_REFERENCES] = HEADER_NAME("References"),
	HEADER_NAME("Newsgroups"), HEADER_NAME("Priority"),
	HEADER_NAME("X-Priority"), HEADER_NAME("Importance"),
	HEADER_NAME("X-MSMail-Priority"), HEADER_NAME("Content-Type"),
	HEADER_NAME("Content-Class"), HEADER_NAME("Content-Description"),
	HEADER_NAME("Content-Transfer-Encoding"),
	HEADER_NAME("Disposition-Notification-To"), HEADER_NAME("Lines"),
	HEADER_NAME("List-Id"), HEADER_NAME("List-Post"),
	HEADER_NAME("List-Subscribe"), HEADER_NAME("List-Unsubscribe"),
	HEADER_NAME("Auto-Submitted"), HEADER_NAME("Precedence"),
	HEADER_NAME("User-Agent"), HEADER_NAME("X-Mailer"),
	HEADER_NAME("X-Label"), HEADER_NAME("X-Original-To"),
	HEADER_NAME("X-Spam-Flag"), HEADER_NAME("X-Spam-Status"),
	HEADER_NAME("Delivered-To"), HEADER_NAME("X-Uniform-Type-Identifier"),
	HEADER_NAME("X-Universally-Unique-Identifier"),
	HEADER_NAME("Mail-Followup-To"), HEADER_NAME("Return-Path"),
	HEADER_NAME("Resent-Date"), HEADER_NAME("Resent-From")
};

struct summary_room {
	struct arena scratch;
	struct buf text, other; /* empty between messages */
};

/* A summary being made. */
struct maker {
	struct arena *arena; /* of what is made */
	struct summary_room *room;
	struct slice message;
	struct envelope envelope;
	struct slice references;
	struct summary *s;
};

bool
summary_keeps(struct slice name)
{
	return header_name_of(name, kept, NITEMS(kept)) < NITEMS(kept);
}

/* One pass for the fields that are kept and those of the envelope. */
static void
keep_headers(struct maker *m, struct slice header)
{
	struct summary *s = m->s;
	size_t room = header.len, len = 0;
	struct header_iter it;
	struct header_field f;
	uint8_t *area;

	if (room > SUMMARY_HEADERS_MAX)
		room = SUMMARY_HEADERS_MAX;
	area = arena_alloc(m->arena, room);
	header_init(&it, header);
	while (header_next(&it, &f)) {
		size_t i = header_name_of(f.name, kept, NITEMS(kept));

		if (i < ENVELOPE_FIELDS && m->envelope.fields[i].name.len == 0)
			m->envelope.fields[i] = f;
		if (i == KEPT_REFERENCES && m->references.ptr == NULL)
			m->references = f.value;
		if (i == NITEMS(kept) || s->headers_cut)
			continue;
		if (f.whole.len > room - len) {
			s->headers_cut = true;
			continue;
		}
		memcpy(area + len, f.whole.ptr, f.whole.len);
		len += f.whole.len;
	}
	s->headers = slice_of(area, len);
}

static void
find_sent(struct maker *m)
{
	struct summary *s = m->s;
	struct date_time t;

	if (!date_parse_mail(m->envelope.fields[ENVELOPE_DATE].value, &t))
		return;
	s->sent_known = true;
	s->sent = t.seconds;
	s->sent_day = (int32_t)(date_day_of(&t) / DAY_SECONDS);
}

/* The first "<id>", its brackets and what folding put into it off. */
static struct slice
first_id(struct arena *a, struct slice value)
{
	uint8_t *id;
	size_t n = 0;

	value = slice_skip(value, slice_find(value, '<'));
	value = slice_first(value, slice_find(value, '>'));
	id = arena_alloc(a, value.len);
	for (size_t i = 1; i < value.len; i++)
		if (value.ptr[i] > ' ')
			id[n++] = value.ptr[i];
	return slice_of(id, n);
}

static void
find_thread(struct maker *m)
{
	const struct slice values[] = { m->references,
		m->envelope.fields[ENVELOPE_IN_REPLY_TO].value,
		m->envelope.fields[ENVELOPE_MESSAGE_ID].value };
	struct slice id = { 0 };
	uint8_t digest[32];

	for (size_t i = 0; i < NITEMS(values) && id.len == 0; i++)
		id = first_id(&m->room->scratch, values[i]);
	if (id.len == 0 || id.len > THREAD_MAX)
		id = m->s->envelope;
	hash_sha256_of(id, digest);
	memcpy(m->s->threadid, digest, sizeof(m->s->threadid));
}

/* Both structures, or false if they are too long for anybody. */
static bool
make_structures(struct maker *m)
{
	struct buf *extended = &m->room->text, *basic = &m->room->other;
	struct summary *s = m->s;
	bool fits;

	bodystructure_write(extended, basic, &m->room->scratch, m->message,
	    &s->mime);
	fits = !buf_failed(extended) && buf_len(extended) <= TEXT_MAX;
	if (fits) {
		MUST(!buf_failed(basic)); /* it is a part of the other */
		s->bodystructure = arena_copy(m->arena, buf_slice(extended));
		s->body = arena_copy(m->arena, buf_slice(basic));
	}
	buf_clear(extended);
	buf_clear(basic);
	return fits;
}

static void
make_envelope(struct maker *m)
{
	struct buf *b = &m->room->text;

	envelope_write(b, &m->room->scratch, &m->envelope);
	MUST(!buf_failed(b)); /* envelope.c limits each of its fields */
	m->s->envelope = arena_copy(m->arena, buf_slice(b));
	buf_clear(b);
}

static void
room_fini(struct summary_room *r)
{
	arena_reset(&r->scratch);
	buf_fini(&r->text);
	buf_fini(&r->other);
}

struct summary_room *
summary_room_new(void)
{
	struct summary_room *r = xcalloc(1, sizeof(*r));

	arena_init(&r->scratch);
	buf_init(&r->text, 2 * TEXT_MAX);
	buf_init(&r->other, 2 * TEXT_MAX);
	return r;
}

void
summary_room_free(struct summary_room **rp)
{
	if (*rp == NULL)
		return;
	room_fini(*rp);
	free(*rp);
	*rp = NULL;
}

void
summary_make(struct summary_room *r, struct arena *a, struct slice message,
    struct summary *s)
{
	static const struct mime_limits unopened = { .depth = 0, .parts = 1 };
	struct maker m = { .arena = a, .room = r, .message = message, .s = s };
	struct slice header;

	*s = (struct summary){ 0 };
	mime_parse_said(a, &r->scratch, message, &mime_limits_default,
	    &s->mime);
	header = mime_header(&s->mime.parts[0], message);
	if (!make_structures(&m)) {
		mime_parse(a, message, &unopened, &s->mime);
		MUST(make_structures(&m));
	}
	keep_headers(&m, header);
	make_envelope(&m);
	find_sent(&m);
	find_thread(&m);
	s->preview = preview_make(a, &r->scratch, message, &s->mime);
	s->mime.said = NULL; /* goes with the room */
	if (arena_used(&r->scratch) > ROOM_MAX || message.len > ROOM_MAX)
		room_fini(r);
}

static void
put_part(struct buf *out, const struct mime_part *p)
{
	wire_put_u64(out, p->header_at);
	wire_put_u64(out, p->header_len);
	wire_put_u64(out, p->body_at);
	wire_put_u64(out, p->body_len);
	wire_put_u32(out, p->body_lines);
	wire_put_u16(out, p->parent);
	wire_put_u16(out, p->child);
	wire_put_u16(out, p->next);
	wire_put_u16(out, p->depth);
	wire_put_u8(out, (uint8_t)p->kind);
	wire_put_u8(out, (uint8_t)p->fallback);
	wire_put_u8(out, (uint8_t)p->encoding);
}

void
summary_encode(struct buf *out, const struct summary *s)
{
	unsigned bits = 0;

	if (s->sent_known)
		bits |= BIT_SENT_KNOWN;
	if (s->headers_cut)
		bits |= BIT_HEADERS_CUT;
	if (s->mime.cut)
		bits |= BIT_MIME_CUT;
	wire_put_u8(out, VERSION);
	wire_put_u8(out, (uint8_t)bits);
	wire_put_u64(out, (uint64_t)s->sent);
	wire_put_u32(out, (uint32_t)s->sent_day);
	wire_put_slice(out, s->envelope);
	wire_put_slice(out, s->body);
	wire_put_slice(out, s->bodystructure);
	wire_put_slice(out, s->headers);
	wire_put_slice(out, s->preview);
	buf_put(out, s->threadid, sizeof(s->threadid));
	wire_put_u16(out, (uint16_t)s->mime.count);
	for (unsigned i = 0; i < s->mime.count; i++)
		put_part(out, &s->mime.parts[i]);
}

/* Links lead forwards or nowhere, so that what follows them ends. */
static bool
is_sound(const struct mime_part *p, unsigned i, unsigned count)
{
	if ((p->parent != MIME_NONE && p->parent >= i) ||
	    (i > 0 && p->parent == MIME_NONE))
		return false;
	if (p->child != MIME_NONE && (p->child <= i || p->child >= count))
		return false;
	if (p->next != MIME_NONE && (p->next <= i || p->next >= count))
		return false;
	return p->kind < MIME_KINDS && p->encoding < MIME_ENCODINGS &&
	       (p->kind == MIME_LEAF) == (p->child == MIME_NONE) &&
	       p->header_at <= INT64_MAX && p->header_len <= INT64_MAX &&
	       p->body_at <= INT64_MAX && p->body_len <= INT64_MAX;
}

static int
take_parts(struct wire *w, struct arena *a, struct mime *m)
{
	struct mime_part *parts;

	m->count = wire_u16(w);
	if (w->failed || m->count == 0 || m->count >= MIME_NONE)
		return -1;
	parts = arena_array(a, m->count, sizeof(*parts));
	for (unsigned i = 0; i < m->count; i++) {
		struct mime_part *p = &parts[i];

		p->header_at = wire_u64(w);
		p->header_len = wire_u64(w);
		p->body_at = wire_u64(w);
		p->body_len = wire_u64(w);
		p->body_lines = wire_u32(w);
		p->parent = wire_u16(w);
		p->child = wire_u16(w);
		p->next = wire_u16(w);
		p->depth = wire_u16(w);
		p->kind = wire_u8(w);
		p->fallback = wire_u8(w) == MIME_DEFAULT_MESSAGE
		                  ? MIME_DEFAULT_MESSAGE
		                  : MIME_DEFAULT_TEXT;
		p->encoding = wire_u8(w);
		if (w->failed || !is_sound(p, i, m->count))
			return -1;
	}
	m->parts = parts;
	return 0;
}

static void
take_thread(struct wire *w, struct summary *s)
{
	if (w->failed || w->rest.len < sizeof(s->threadid)) {
		w->failed = true;
		return;
	}
	memcpy(s->threadid, w->rest.ptr, sizeof(s->threadid));
	w->rest = slice_skip(w->rest, sizeof(s->threadid));
}

/* All but the parts; w stands before them.  False: not of this version. */
static bool
take_texts(struct wire *w, struct summary *s)
{
	unsigned bits;

	*s = (struct summary){ 0 };
	if (wire_u8(w) != VERSION)
		return false;
	bits = wire_u8(w);
	s->sent_known = bits & BIT_SENT_KNOWN;
	s->headers_cut = bits & BIT_HEADERS_CUT;
	s->mime.cut = bits & BIT_MIME_CUT;
	s->sent = (int64_t)wire_u64(w);
	s->sent_day = (int32_t)wire_u32(w);
	s->envelope = wire_slice(w);
	s->body = wire_slice(w);
	s->bodystructure = wire_slice(w);
	s->headers = wire_slice(w);
	s->preview = wire_slice(w);
	take_thread(w, s);
	return bits < BITS && !w->failed;
}

int
summary_decode(struct arena *a, struct slice octets, struct summary *s)
{
	struct wire w;

	wire_init(&w, octets);
	if (!take_texts(&w, s) || take_parts(&w, a, &s->mime) == -1 ||
	    !wire_done(&w))
		return -1;
	return 0;
}

int
summary_peek(struct slice octets, struct summary *s)
{
	struct wire w;

	wire_init(&w, octets);
	return take_texts(&w, s) ? 0 : -1;
}

bool
summary_fits(const struct summary *s, uint64_t size_octets)
{
	for (unsigned i = 0; i < s->mime.count; i++) {
		const struct mime_part *p = &s->mime.parts[i];

		if (p->header_at > size_octets ||
		    p->header_len > size_octets - p->header_at ||
		    p->body_at > size_octets ||
		    p->body_len > size_octets - p->body_at)
			return false;
	}
	return true;
}

bool
summary_is_thread(const struct summary *s, struct slice objectid)
{
	static const char digits[] = "0123456789abcdef";

	if (objectid.len != 1 + 2 * SUMMARY_THREADID || objectid.ptr[0] != 'T')
		return false;
	for (size_t i = 0; i < SUMMARY_THREADID; i++)
		if (objectid.ptr[1 + 2 * i] != digits[s->threadid[i] >> 4] ||
		    objectid.ptr[2 + 2 * i] != digits[s->threadid[i] & 15])
			return false;
	return true;
}
