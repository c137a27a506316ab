#include "imap/address.h"
#include "imap/envelope.h"
#include "imap/header.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/cdefs.h"

enum {
	TEXT_MAX = 64 * 1024,      /* octets of a field that is text */
	ADDRESSES_MAX = 128 * 1024 /* ...of one that is addresses */
};

/* In the order of RFC 9051 7.5.2. */
enum field {
	FIELD_DATE,
	FIELD_SUBJECT,
	FIELD_FROM,
	FIELD_SENDER,
	FIELD_REPLY_TO,
	FIELD_TO,
	FIELD_CC,
	FIELD_BCC,
	FIELD_IN_REPLY_TO,
	FIELD_MESSAGE_ID,
	FIELDS
};

static const char *const field_names[FIELDS] = { "Date", "Subject", "From",
	"Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID" };

static bool
is_addresses(unsigned f)
{
	return f >= FIELD_FROM && f <= FIELD_BCC;
}

/* FIELDS if it is none of them. */
static unsigned
field_of(struct slice name)
{
	unsigned i = 0;

	/* No shorter than "To", no longer than "In-Reply-To": most others. */
	if (name.len < 2 || name.len > 11)
		return FIELDS;
	while (i < FIELDS && !slice_is_nocase(name, field_names[i]))
		i++;
	return i;
}

void
envelope_string(struct buf *out, struct arena *a, struct slice s)
{
	struct write w;

	if (s.len > 0 && slice_find(s, 0) < s.len) {
		uint8_t *p = arena_alloc(a, s.len);
		size_t n = 0;

		for (size_t i = 0; i < s.len; i++)
			if (s.ptr[i] != 0)
				p[n++] = s.ptr[i];
		s = slice_of(p, n);
	}
	write_init(&w, out, WRITE_SERVER);
	write_nstring(&w, s);
}

/* What address_parse() has as empty is NIL here. */
static struct slice
or_nil(struct slice s)
{
	return s.len > 0 ? s : (struct slice){ 0 };
}

static void
put_address(struct write *w, struct arena *a, const struct address *addr)
{
	struct slice host = addr->host;

	/* NIL for a host would make it a group. */
	if (addr->kind == ADDRESS_ONE && host.len == 0)
		host = slice_str("");
	write_open(w);
	envelope_string(w->out, a, or_nil(addr->name));
	write_sp(w);
	envelope_string(w->out, a, or_nil(addr->route));
	write_sp(w);
	envelope_string(w->out, a,
	    addr->kind == ADDRESS_GROUP_END ? (struct slice){ 0 }
	                                    : addr->mailbox);
	write_sp(w);
	envelope_string(w->out, a,
	    addr->kind == ADDRESS_ONE ? host : (struct slice){ 0 });
	write_close(w);
}

static void
put_addresses(struct write *w, struct arena *a, struct slice value)
{
	struct address_list list;

	if (value.len > ADDRESSES_MAX)
		value.len = ADDRESSES_MAX;
	list = address_parse(a, value);
	if (list.count == 0) {
		write_word(w, "NIL");
		return;
	}
	write_open(w);
	for (size_t i = 0; i < list.count; i++)
		put_address(w, a, &list.at[i]);
	write_close(w);
}

static void
put_text(struct write *w, struct arena *a, struct slice value)
{
	if (value.ptr != NULL)
		value = header_unfold(a, value);
	if (value.len > TEXT_MAX)
		value.len = TEXT_MAX;
	envelope_string(w->out, a, value);
}

void
envelope_write(struct buf *out, struct arena *a, struct slice octets)
{
	struct slice values[FIELDS] = { 0 };
	struct header_iter it;
	struct header_field f;
	struct write w;

	header_init(&it, octets);
	while (header_next(&it, &f)) {
		unsigned i = field_of(f.name);

		if (i < FIELDS && values[i].ptr == NULL)
			values[i] = f.value;
	}
	/* RFC 9051: without them the From is meant. */
	if (slice_trim(values[FIELD_SENDER]).len == 0)
		values[FIELD_SENDER] = values[FIELD_FROM];
	if (slice_trim(values[FIELD_REPLY_TO]).len == 0)
		values[FIELD_REPLY_TO] = values[FIELD_FROM];
	write_init(&w, out, WRITE_SERVER);
	write_open(&w);
	for (unsigned i = 0; i < FIELDS; i++) {
		if (i > 0)
			write_sp(&w);
		if (is_addresses(i))
			put_addresses(&w, a, values[i]);
		else
			put_text(&w, a, values[i]);
	}
	write_close(&w);
}
