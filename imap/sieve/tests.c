/* sieve: the tests of RFC 5228 5, RFC 5233, RFC 5490. */
#include "imap/address.h"
#include "imap/charset.h"
#include "imap/header.h"
#include "imap/sieve/match.h"
#include "lib/buf.h"

enum {
	FIELD_MAX = 256 * 1024, /* octets of one field looked at */
	WORD_STEPS = 100        /* of an encoded word, beside its octets */
};

static bool
is_wanted(struct sieve_strings names, struct slice name)
{
	for (unsigned i = 0; i < names.count; i++)
		if (slice_equal_nocase(names.at[i], name))
			return true;
	return false;
}

/* The next field of these names; what is looked at is paid for. */
static bool
next_field(struct sieve_state *st, struct header_iter *it,
    struct sieve_strings names, struct header_field *f)
{
	while (header_next(it, f)) {
		if (!sieve_spend(st, f->whole.len + names.count))
			return false;
		if (f->value.len > FIELD_MAX)
			f->value.len = FIELD_MAX;
		if (is_wanted(names, f->name))
			return true;
	}
	return false;
}

static size_t
encoded_words(struct slice value)
{
	size_t n = 0;

	for (size_t i = 1; i < value.len; i++)
		n += value.ptr[i] == '?' && value.ptr[i - 1] == '=';
	return n;
}

void
sieve_header(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_strings names = sieve_expand_all(st, in->args[0]);
	struct header_iter it;
	struct header_field f;
	struct match m;
	struct buf b;

	buf_init(&b, 16 * FIELD_MAX);
	match_begin(&m, st, in, in->args[1]);
	header_init(&it, st->message->octets);
	while (!m.found && next_field(st, &it, names, &f) &&
	       sieve_spend(st, WORD_STEPS * encoded_words(f.value))) {
		charset_header(&b, f.value);
		match_value(&m, slice_trim(buf_slice(&b)));
		buf_clear(&b);
	}
	buf_fini(&b);
	st->answer = match_end(&m);
}

void
sieve_exists(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_strings names = sieve_expand_all(st, in->args[0]);

	st->answer = true;
	for (unsigned i = 0; i < names.count && st->answer; i++) {
		struct sieve_strings one = { &names.at[i], 1 };
		struct header_iter it;
		struct header_field f;

		header_init(&it, st->message->octets);
		st->answer = next_field(st, &it, one, &f);
	}
}

void
sieve_size(struct sieve_state *st, const struct sieve_instr *in)
{
	uint64_t size = st->message->size_octets;

	if (size == 0)
		size = st->message->octets.len;
	st->answer =
	    in->size == TAG_OVER ? size > in->number : size < in->number;
}

/* The part of an address that the test is about; false: it has none. */
static bool
part_of(struct sieve_state *st, const struct sieve_instr *in,
    const struct address *ad, struct slice *part)
{
	uint8_t separator =
	    st->world->subaddress != 0 ? st->world->subaddress : '+';
	size_t plus = slice_find(ad->mailbox, separator);
	uint8_t *p;

	switch (in->part) {
	case TAG_LOCALPART:
		*part = ad->mailbox;
		return true;
	case TAG_DOMAIN:
		*part = ad->host;
		return true;
	case TAG_USER:
		*part = slice_first(ad->mailbox, plus);
		return true;
	case TAG_DETAIL:
		if (plus == ad->mailbox.len)
			return false;
		*part = slice_skip(ad->mailbox, plus + 1);
		return true;
	default:
		break;
	}
	*part = ad->mailbox;
	if (ad->host.len == 0)
		return true;
	part->len = ad->mailbox.len + 1 + ad->host.len;
	p = arena_alloc(&st->scratch, part->len);
	memcpy(p, ad->mailbox.ptr, ad->mailbox.len);
	p[ad->mailbox.len] = '@';
	memcpy(p + ad->mailbox.len + 1, ad->host.ptr, ad->host.len);
	part->ptr = p;
	return true;
}

static void
match_addresses(struct match *m, struct slice value)
{
	struct sieve_state *st = m->st;
	struct address_list list = address_parse(&st->scratch, value);

	for (size_t i = 0; i < list.count && !m->found; i++) {
		struct slice part;

		if (list.at[i].kind != ADDRESS_ONE)
			continue;
		if (m->in->match == TAG_COUNT)
			match_count(m, 1);
		else if (part_of(st, m->in, &list.at[i], &part))
			match_value(m, part);
	}
}

void
sieve_address(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_strings names = sieve_expand_all(st, in->args[0]);
	struct header_iter it;
	struct header_field f;
	struct match m;

	match_begin(&m, st, in, in->args[1]);
	header_init(&it, st->message->octets);
	while (!m.found && next_field(st, &it, names, &f))
		match_addresses(&m, f.value);
	st->answer = match_end(&m);
}

const char *
sieve_check_envelope(const struct sieve_instr *in)
{
	for (unsigned i = 0; i < in->args[0].count; i++) {
		struct slice s = in->args[0].at[i];

		if (sieve_is_constant(s) && !slice_is_nocase(s, "from") &&
		    !slice_is_nocase(s, "to") && !slice_is_nocase(s, "auth"))
			return "an unknown part of the envelope";
	}
	return NULL;
}

/* The null reverse-path is the empty string, whatever the part. */
static void
match_path(struct match *m, struct slice path)
{
	if (path.len == 0)
		match_value(m, slice_str(""));
	else
		match_addresses(m, path);
}

void
sieve_envelope(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_strings names = sieve_expand_all(st, in->args[0]);
	const struct sieve_message *msg = st->message;
	struct match m;

	match_begin(&m, st, in, in->args[1]);
	for (unsigned i = 0; i < names.count && !m.found; i++) {
		if (slice_is_nocase(names.at[i], "from"))
			match_path(&m, msg->envelope_from);
		else if (slice_is_nocase(names.at[i], "to"))
			match_path(&m, msg->envelope_to);
		else if (slice_is_nocase(names.at[i], "auth") &&
		         msg->envelope_auth.len > 0)
			match_value(&m, msg->envelope_auth);
	}
	st->answer = match_end(&m);
}

void
sieve_mailboxexists(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_strings names = sieve_expand_all(st, in->args[0]);

	st->answer = true;
	for (unsigned i = 0; i < names.count && st->answer; i++) {
		if (slice_is_nocase(names.at[i], "INBOX"))
			continue;
		st->answer =
		    st->world->mailbox_exists != NULL &&
		    st->world->mailbox_exists(st->world->arg, names.at[i]);
	}
}
