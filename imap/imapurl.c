#include "imap/imapurl.h"
#include "imap/parse.h"
#include "imap/utf7.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"

enum {
	NAME_MAX_OCTETS = 4096
};

/* Where this text is first, in any case; s.len if nowhere. */
static size_t
find_nocase(struct slice s, const char *text)
{
	size_t i = 0;

	while (i < s.len && !slice_starts_nocase(slice_skip(s, i), text))
		i++;
	return i;
}

/* "%41" is "A".  ptr NULL: malformed. */
static struct slice
decode(struct arena *a, struct slice s)
{
	uint8_t *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int high, low;

		if (s.ptr[i] != '%') {
			out[n++] = s.ptr[i];
			continue;
		}
		if (s.len - i < 3)
			return slice_of(NULL, 0);
		high = ascii_hex(s.ptr[i + 1]);
		low = ascii_hex(s.ptr[i + 2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return slice_of(NULL, 0);
		out[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	return slice_of(out, n);
}

/* A number and nothing else; 0: it is none, or none that may be. */
static uint32_t
number(struct arena *a, struct slice s)
{
	struct parse p;
	uint32_t n;

	parse_init_text(&p, a, s);
	n = parse_nz_number(&p);
	parse_end(&p);
	return parse_error(&p) == NULL ? n : 0;
}

/*
 * Names in addresses are UTF-8.  One that is modified UTF-7 already is what
 * its owner's client was told in a LIST.
 */
static const char *
take_mailbox(struct arena *a, struct slice s, struct imapurl *u)
{
	size_t n = find_nocase(s, ";UIDVALIDITY=");
	struct slice name = decode(a, slice_first(s, n));
	struct buf out;
	int result;

	if (n < s.len) {
		u->uidvalidity = number(a, slice_skip(s, n + 13));
		if (u->uidvalidity == 0)
			return "UIDVALIDITY expected";
	}
	if (name.len == 0 || slice_find(slice_first(s, n), ';') < n)
		return "Mailbox name expected";
	if (slice_find(name, '&') < name.len && utf7_valid(name)) {
		u->mailbox = name;
		return NULL;
	}
	buf_init(&out, NAME_MAX_OCTETS);
	result = utf7_encode(&out, name);
	if (result == 0 && !buf_failed(&out))
		u->mailbox = arena_copy(a, buf_slice(&out));
	else
		result = -1;
	buf_fini(&out);
	return result == 0 ? NULL : "The mailbox name is no UTF-8";
}

static const char *
take_section(struct arena *a, struct slice s, struct imapurl *u)
{
	struct slice text = decode(a, s);
	struct parse p;

	if (text.len == 0)
		return "Section expected";
	parse_init_text(&p, a,
	    slice_str(arena_printf(a, "[%.*s]", (int)text.len,
	        (const char *)text.ptr)));
	section_parse(&p, &u->section);
	parse_end(&p);
	return parse_error(&p);
}

static const char *
take_partial(struct arena *a, struct slice s, struct imapurl *u)
{
	struct parse p;

	parse_init_text(&p, a, s);
	u->offset = parse_number64(&p);
	if (parse_try(&p, '.'))
		u->count = parse_nz_number(&p);
	parse_end(&p);
	return parse_error(&p);
}

/* Behind ";UID=". */
static const char *
take_message(struct arena *a, struct slice s, struct imapurl *u)
{
	static const char section[] = "/;SECTION=", partial[] = "/;PARTIAL=";
	size_t n = find_nocase(s, partial);
	const char *why = NULL;

	if (n < s.len)
		why =
		    take_partial(a, slice_skip(s, n + sizeof(partial) - 1), u);
	s = slice_first(s, n);
	n = find_nocase(s, section);
	if (why == NULL && n < s.len)
		why =
		    take_section(a, slice_skip(s, n + sizeof(section) - 1), u);
	u->uid = number(a, slice_first(s, n));
	if (why == NULL && u->uid == 0)
		why = "UID expected";
	return why;
}

const char *
imapurl_parse(struct arena *a, struct slice text, struct imapurl *u)
{
	const char *why = NULL;
	size_t n;

	*u = (struct imapurl){ 0 };
	if (slice_starts_nocase(text, ";UID="))
		return take_message(a, slice_skip(text, 5), u);
	n = find_nocase(text, "/;UID=");
	if (text.len < 2 || text.ptr[0] != '/' || text.ptr[1] == '/' ||
	    n == 0 || n == text.len)
		return "Not a message of this server";
	why = take_mailbox(a, slice_first(slice_skip(text, 1), n - 1), u);
	return why != NULL ? why : take_message(a, slice_skip(text, n + 6), u);
}
