#include "imap/address.h"
#include "imap/envelope.h"
#include "imap/header.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

enum {
	TEXT_MAX = 64 * 1024,      /* octets of a field that is text */
	ADDRESSES_MAX = 128 * 1024 /* ...of one that is addresses */
};

static const struct header_name names[ENVELOPE_FIELDS] = { ENVELOPE_NAMES };

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

/* RFC 9051: without them the From is meant. */
static bool
is_from(const struct envelope *e, unsigned i)
{
	return (i == ENVELOPE_SENDER || i == ENVELOPE_REPLY_TO) &&
	       slice_trim(e->fields[i].value).len == 0;
}

void
envelope_find(struct envelope *e, struct slice octets)
{
	header_find_each(octets, names, ENVELOPE_FIELDS, e->fields);
}

void
envelope_write(struct buf *out, struct arena *a, const struct envelope *e)
{
	struct slice from = { 0 }; /* as written */
	struct write w;

	write_init(&w, out, WRITE_SERVER);
	write_open(&w);
	for (unsigned i = 0; i < ENVELOPE_FIELDS; i++) {
		size_t before;

		if (i > 0)
			write_sp(&w);
		before = buf_len(out);
		if (is_from(e, i))
			buf_put_slice(out, from);
		else if (i >= ENVELOPE_FROM && i <= ENVELOPE_BCC)
			put_addresses(&w, a, e->fields[i].value);
		else
			put_text(&w, a, e->fields[i].value);
		if (i == ENVELOPE_FROM)
			from =
			    arena_copy(a, slice_skip(buf_slice(out), before));
	}
	write_close(&w);
}
