/*
 * header, address: fields are where they stand, and their addresses.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/address.h"
#include "imap/header.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

/* "name|value|name|value|": what the iterator sees. */
static void
fields_of(struct slice octets, struct buf *out)
{
	struct header_iter it;
	struct header_field f;

	header_init(&it, octets);
	while (header_next(&it, &f)) {
		buf_put_slice(out, f.name);
		buf_putc(out, '|');
		buf_put_slice(out, f.value);
		buf_putc(out, '|');
	}
	buf_putc(out, '\0');
}

static const struct {
	const char *octets, *fields;
	size_t length;
} headers[] = {
	{ "", "", 0 },
	{ "\r\nbody", "", 2 },
	{ "A: b\r\n\r\nbody", "A| b|", 8 },
	{ "A: b\n\nbody", "A| b|", 6 },
	{ "A: b", "A| b|", 4 },
	{ "A:\r\n b\r\n\tc\r\nD:e\r\n", "A|\r\n b\r\n\tc|D|e|", 17 },
	{ "A: b\r\n c", "A| b\r\n c|", 8 },
	{ "A : b\r\n", "A| b|", 7 },
	{ "no field\r\nA:b\r\n\r\n", "|no field|A|b|", 17 },
	{ ": x\r\n", "|: x|", 5 },
	{ " lead\r\nA:b\r\n", "| lead|A|b|", 12 },
	{ "A: b\r\n \r\n\r\nx", "A| b\r\n |", 11 },
	{ "A: b\r\n\n", "A| b|", 7 },
	{ "B\xc3\xa4: x\r\n", "|B\xc3\xa4: x|", 8 },
};

static void
test_fields(void)
{
	for (size_t i = 0; i < NITEMS(headers); i++) {
		struct slice s = slice_str(headers[i].octets);
		struct buf b;

		buf_init(&b, 4096);
		fields_of(s, &b);
		is_str((const char *)buf_data(&b), headers[i].fields, "fields");
		ok(header_length(s) == headers[i].length, "length %zu",
		    header_length(s));
		buf_fini(&b);
	}
}

/* Whole octets one after another are the header without its empty line. */
static void
test_law(void)
{
	for (size_t i = 0; i < NITEMS(headers); i++) {
		struct slice s = slice_str(headers[i].octets);
		struct header_iter it;
		struct header_field f;
		size_t at = 0;
		bool same = true;

		header_init(&it, s);
		while (header_next(&it, &f)) {
			same &= f.whole.ptr == s.ptr + at;
			at += f.whole.len;
		}
		same &= at <= headers[i].length && headers[i].length - at <= 2;
		ok(same, "fields join up: %zu", i);
	}
}

static void
test_find(void)
{
	struct slice s =
	    slice_str("A: 1\r\nb: 2\r\n x\r\nB: 3\r\n\r\nC: 4\r\n");
	struct header_field f;
	struct arena a;

	arena_init(&a);
	ok(header_find(s, "B", &f) && slice_is(f.value, " 2\r\n x"),
	    "the first, in any case");
	ok(slice_is(header_unfold(&a, f.value), "2 x"), "unfolded");
	ok(slice_is(header_unfold(&a, slice_str(" \r\n\r\n ")), ""), "empty");
	ok(!header_find(s, "C", &f), "not past the empty line");
	arena_reset(&a);
}

/* Those of a name, and all with that name: random headers of few letters. */
static void
test_of_name(void)
{
	static const char letters[] = "aAb:: \t\r\n\n=";
	static const char *const names[] = { "a", "B", "ab", "" };
	unsigned x = 1, wrong = 0, found = 0;

	for (unsigned k = 0; k < 20000; k++) {
		struct header_iter all, some;
		struct header_field f, g;
		const char *name = names[k % 4];
		char text[40];
		bool more;

		for (size_t i = 0; i < sizeof(text); i++) {
			x = x * 1664525u + 1013904223u;
			text[i] = letters[(x >> 24) % (sizeof(letters) - 1)];
		}
		header_init(&all, slice_of(text, k % sizeof(text)));
		header_init(&some, slice_of(text, k % sizeof(text)));
		do {
			do
				more = header_next(&all, &f);
			while (more && !slice_is_nocase(f.name, name));
			wrong +=
			    header_next_of(&some, slice_str(name), &g) != more;
			wrong += more && f.value.ptr != g.value.ptr;
			wrong += more && f.value.len != g.value.len;
			found += more;
		} while (more);
	}
	ok(wrong == 0 && found > 1000, "those of a name: %u wrong of %u", wrong,
	    found);
}

static void
put_part(struct buf *out, struct slice s)
{
	buf_put_slice(out, s);
	buf_putc(out, ',');
}

/* name,route,mailbox,host; for each; groups as {name, and }. */
static void
addresses_of(struct arena *a, const char *value, struct buf *out)
{
	struct address_list l = address_parse(a, slice_str(value));

	for (size_t i = 0; i < l.count; i++) {
		const struct address *ad = &l.at[i];

		switch (ad->kind) {
		case ADDRESS_ONE:
			put_part(out, ad->name);
			put_part(out, ad->route);
			put_part(out, ad->mailbox);
			buf_put_slice(out, ad->host);
			buf_putc(out, ';');
			break;
		case ADDRESS_GROUP:
			buf_putc(out, '{');
			buf_put_slice(out, ad->mailbox);
			buf_putc(out, ';');
			break;
		case ADDRESS_GROUP_END:
			buf_putc(out, '}');
			break;
		}
	}
	buf_putc(out, '\0');
}

static const struct {
	const char *value, *addresses;
} cases[] = {
	{ "", "" },
	{ "joe@example.org", ",,joe,example.org;" },
	{ "<joe@example.org>", ",,joe,example.org;" },
	{ "Joe Doe <joe@example.org>", "Joe Doe,,joe,example.org;" },
	{ "\"Doe, Joe\" <joe@a>, b@c", "Doe, Joe,,joe,a;,,b,c;" },
	{ "(x) a@b, c@d", ",,a,b;,,c,d;" },
	{ "joe@a (Joe Doe)", "Joe Doe,,joe,a;" },
	{ "\"a\\\"b\" <\"x y\"@c>", "a\"b,,x y,c;" },
	{ "J. R. (aka (x)) Doe\r\n <j@d>", "J. R. Doe,,j,d;" },
	{ "<@a,@b:joe@c>", ",@a,@b,joe,c;" },
	{ "A Group:Ed <e@x>,f@y;", "{A Group;Ed,,e,x;,,f,y;}" },
	{ "Undisclosed recipients:;", "{Undisclosed recipients;}" },
	{ "g: a@b", "{g;,,a,b;}" },
	{ "root", ",,root,;" },
	{ ",,a@b,,", ",,a,b;" },
	{ "<>", "" },
	{ "a@[1.2.3.4]", ",,a,[1.2.3.4];" },
	{ "a . b @ c . d", ",,a.b,c.d;" },
	{ "=?utf-8?q?J=C3=B6?= <j@d>", "=?utf-8?q?J=C3=B6?=,,j,d;" },
	{ "J\xc3\xb6 <j@d>", "J\xc3\xb6,,j,d;" },
	{ "joe <joe@a", "joe,,joe,a;" },
	{ "\"open <joe@a>", ",,open <joe@a>,;" },
	{ "(open joe@a", "" },
	{ "a@b@c, d@e", ",,a,b@c;,,d,e;" },
};

static void
test_addresses(void)
{
	struct arena a;
	struct buf b;

	arena_init(&a);
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		addresses_of(&a, cases[i].value, &b);
		is_str((const char *)buf_data(&b), cases[i].addresses,
		    cases[i].value);
		buf_clear(&b);
	}
	buf_fini(&b);
	arena_reset(&a);
}

static void
test_many(void)
{
	size_t n = 3 * 100000;
	char *s = malloc(n);
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < n; i++)
		s[i] = "a@,"[i % 3];
	ok(address_parse(&a, slice_of(s, n)).count == ADDRESS_MAX,
	    "a limit on addresses");
	memset(s, '(', n);
	ok(address_parse(&a, slice_of(s, n)).count == 0, "deep comments");
	memset(s, '<', n);
	ok(address_parse(&a, slice_of(s, n)).count <= ADDRESS_MAX, "angles");
	arena_reset(&a);
	free(s);
}

int
main(void)
{
	test_fields();
	test_law();
	test_find();
	test_of_name();
	test_addresses();
	test_many();
	return done_testing();
}
