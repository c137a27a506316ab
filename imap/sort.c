#include "imap/address.h"
#include "imap/casefold.h"
#include "imap/charset.h"
#include "imap/header.h"
#include "imap/parse.h"
#include "imap/sort.h"
#include "imap/subject.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

enum {
	/* Octets of a field looked at: one address or text in the charset of a
	 * mailer that encodes each octet is shorter. */
	FIELD_MAX = 16 * 1024,
	TEXT_MAX = 8 * FIELD_MAX,
	/* The first octet of a text: those that failed to be Unicode follow. */
	TEXT_GOOD = 1,
	TEXT_BAD = 2
};

static const struct {
	const char *name;
	enum sort_by by;
} names[] = {
	{ "ARRIVAL", SORT_ARRIVAL },
	{ "CC", SORT_CC },
	{ "DATE", SORT_DATE },
	{ "DISPLAYFROM", SORT_DISPLAYFROM },
	{ "DISPLAYTO", SORT_DISPLAYTO },
	{ "FROM", SORT_FROM },
	{ "SIZE", SORT_SIZE },
	{ "SUBJECT", SORT_SUBJECT },
	{ "TO", SORT_TO },
};

/* One that has been named before decides nothing any more. */
static void
add(struct sort *s, enum sort_by by, bool reverse)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->criteria[i].by == by)
			return;
	s->criteria[s->count].by = by;
	s->criteria[s->count++].reverse = reverse;
}

static void
parse_criterion(struct parse *p, struct sort *s)
{
	bool reverse = parse_try_word(p, "REVERSE");
	size_t i = 0;

	if (reverse)
		parse_sp(p);
	while (i < NITEMS(names) && !parse_try_word(p, names[i].name))
		i++;
	if (i == NITEMS(names))
		parse_fail(p, "Unknown sort criterion");
	else
		add(s, names[i].by, reverse);
}

void
sort_parse(struct parse *p, struct sort *s)
{
	*s = (struct sort){ 0 };
	parse_open(p);
	while (parse_more(p))
		parse_criterion(p, s);
	if (s->count == 0)
		parse_fail(p, "Sort criterion expected");
}

bool
sort_wants_headers(const struct sort *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->criteria[i].by != SORT_ARRIVAL &&
		    s->criteria[i].by != SORT_SIZE)
			return true;
	return false;
}

static void
put_u64(struct buf *out, uint64_t n)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		buf_putc(out, (uint8_t)(n >> shift));
}

/* Negative ones first. */
static void
put_i64(struct buf *out, int64_t n)
{
	put_u64(out, (uint64_t)n ^ (uint64_t)1 << 63);
}

/* Ends with a NUL, and has none within: a shorter text comes first. */
static void
put_octets(struct buf *out, uint8_t kind, struct slice s)
{
	buf_putc(out, kind);
	for (size_t i = 0; i < s.len && i < SORT_TEXT_MAX; i++)
		buf_putc(out, s.ptr[i] != 0 ? s.ptr[i] : 1);
	buf_putc(out, 0);
}

static void
put_folded(struct buf *out, struct slice utf8)
{
	struct buf folded;

	/* No text becomes shorter. */
	if (utf8.len > SORT_TEXT_MAX)
		utf8.len = SORT_TEXT_MAX;
	buf_init(&folded, CASEFOLD_GROWTH * SORT_TEXT_MAX);
	casefold_put(&folded, utf8);
	put_octets(out, TEXT_GOOD, buf_slice(&folded));
	buf_fini(&folded);
}

/* Of a header: with encoded words, perhaps. */
static void
put_value(struct buf *out, struct slice value)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	if (charset_header(&text, value)) {
		put_folded(out, buf_slice(&text));
	} else {
		buf_clear(&text);
		charset_header_octets(&text, value);
		put_octets(out, TEXT_BAD, buf_slice(&text));
	}
	buf_fini(&text);
}

static struct slice
find_value(const struct sort_facts *f, const char *name)
{
	struct header_field field;

	if (!header_find(f->headers, name, &field))
		return slice_of(NULL, 0);
	if (field.value.len > FIELD_MAX)
		field.value.len = FIELD_MAX;
	return field.value;
}

static void
put_subject(struct buf *out, struct arena *a, const struct sort_facts *f)
{
	struct slice value = find_value(f, "Subject");
	struct subject s;

	subject_base(a, value, &s);
	if (s.bad)
		put_value(out, value);
	else
		put_folded(out, s.base);
}

/* RFC 5957 3. */
static void
put_display(struct buf *out, struct arena *a, const struct address *addr)
{
	if (slice_trim(addr->name).len > 0)
		put_value(out, addr->name);
	else if (addr->host.len > 0)
		put_value(out,
		    slice_str(arena_printf(a, "%.*s@%.*s",
		        (int)addr->mailbox.len, (const char *)addr->mailbox.ptr,
		        (int)addr->host.len, (const char *)addr->host.ptr)));
	else
		put_value(out, addr->mailbox);
}

enum address_text {
	ADDRESS_MAILBOX,
	ADDRESS_DISPLAY
};

static void
put_first_address(struct buf *out, struct arena *a, struct slice value,
    enum address_text which)
{
	struct address_list list = address_parse(a, value);

	if (list.count == 0)
		put_folded(out, slice_of(NULL, 0));
	else if (which == ADDRESS_DISPLAY)
		put_display(out, a, &list.at[0]);
	else
		put_value(out, list.at[0].mailbox);
}

static void
put_criterion(struct buf *out, struct arena *a, enum sort_by by,
    const struct sort_facts *f)
{
	switch (by) {
	case SORT_ARRIVAL:
		put_i64(out, f->internal_seconds);
		break;
	case SORT_DATE:
		put_i64(out, f->sent_known ? f->sent : f->internal_seconds);
		break;
	case SORT_SIZE:
		put_u64(out, f->size_octets);
		break;
	case SORT_SUBJECT:
		put_subject(out, a, f);
		break;
	case SORT_CC:
		put_first_address(out, a, find_value(f, "Cc"), ADDRESS_MAILBOX);
		break;
	case SORT_FROM:
		put_first_address(out, a, find_value(f, "From"),
		    ADDRESS_MAILBOX);
		break;
	case SORT_TO:
		put_first_address(out, a, find_value(f, "To"), ADDRESS_MAILBOX);
		break;
	case SORT_DISPLAYFROM:
		put_first_address(out, a, find_value(f, "From"),
		    ADDRESS_DISPLAY);
		break;
	case SORT_DISPLAYTO:
		put_first_address(out, a, find_value(f, "To"), ADDRESS_DISPLAY);
		break;
	case SORT_BYS:
		break;
	}
}

void
sort_put_key(struct buf *out, const struct sort *s, const struct sort_facts *f)
{
	struct arena a;
	struct buf one;

	arena_init(&a);
	buf_init(&one, SORT_TEXT_MAX + 16);
	for (unsigned i = 0; i < s->count; i++) {
		struct slice key;

		put_criterion(&one, &a, s->criteria[i].by, f);
		key = buf_slice(&one);
		for (size_t k = 0; k < key.len; k++)
			buf_putc(out, s->criteria[i].reverse
			                  ? (uint8_t)~key.ptr[k]
			                  : key.ptr[k]);
		buf_clear(&one);
	}
	buf_fini(&one);
	arena_reset(&a);
}
