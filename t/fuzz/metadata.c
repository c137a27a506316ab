/*
 * Fuzz what METADATA and QUOTA are given.  The first octet says which: g
 * GETMETADATA, s SETMETADATA, else SETQUOTA's list.  The laws: names of entries
 * are as they may be; what was taken, written and taken again is the same.
 */
#include "imap/metadata.h"
#include "imap/parse.h"
#include "imap/quota.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	WRITTEN_MAX = 1024 * 1024
};

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static void
check_lower(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		MUST(s.ptr[i] == ascii_lower(s.ptr[i]));
}

static void
fuzz_get(struct parse *p)
{
	struct metadata_get g;

	metadata_parse_get(p, &g);
	parse_end(p);
	if (parse_error(p) != NULL)
		return;
	MUST(g.n > 0 && g.n <= METADATA_ITEMS_MAX);
	for (size_t i = 0; i < g.n; i++) {
		check_lower(g.entries[i]);
		MUST(g.depth != METADATA_ONLY ||
		     metadata_invalid(g.entries[i]) == NULL);
		MUST(metadata_matches(g.entries[i], g.entries[i], g.depth));
	}
}

/* Without literals, which are pieces of their own. */
static bool
put_items(struct buf *b, const struct metadata_set *s)
{
	struct write w;

	write_init(&w, b, WRITE_SERVER);
	write_astring(&w, s->mailbox);
	write_sp(&w);
	write_open(&w);
	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			write_sp(&w);
		write_astring(&w, s->items[i].entry);
		write_sp(&w);
		write_nstring(&w, s->items[i].value);
	}
	write_close(&w);
	return !buf_failed(b) && slice_find(buf_slice(b), '\n') == buf_len(b);
}

static void
fuzz_set(struct parse *p)
{
	struct metadata_set s, again;
	struct parse q;
	struct buf b;

	metadata_parse_set(p, &s);
	parse_end(p);
	if (parse_error(p) != NULL)
		return;
	MUST(s.n > 0 && s.n <= METADATA_ITEMS_MAX);
	buf_init(&b, WRITTEN_MAX);
	if (put_items(&b, &s)) {
		parse_init_text(&q, p->arena, buf_slice(&b));
		metadata_parse_set(&q, &again);
		parse_end(&q);
		MUST(parse_error(&q) == NULL && again.n == s.n);
		MUST(slice_equal(again.mailbox, s.mailbox));
		for (size_t i = 0; i < s.n; i++) {
			MUST(metadata_invalid(s.items[i].entry) == NULL);
			check_lower(s.items[i].entry);
			MUST(slice_equal(again.items[i].entry,
			    s.items[i].entry));
			MUST((again.items[i].value.ptr == NULL) ==
			     (s.items[i].value.ptr == NULL));
			MUST(slice_equal(again.items[i].value,
			    s.items[i].value));
		}
	}
	buf_fini(&b);
}

static void
fuzz_quota(struct parse *p)
{
	struct quota_limits limits, again;
	struct parse q;
	struct buf b;
	bool some = false;

	quota_parse_limits(p, &limits);
	parse_end(p);
	if (parse_error(p) != NULL)
		return;
	buf_init(&b, WRITTEN_MAX);
	buf_putc(&b, '(');
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (limits.limit[r] == QUOTA_UNLIMITED)
			continue;
		buf_printf(&b, "%s%s %llu", some ? " " : "",
		    quota_resource_name((enum quota_resource)r),
		    (unsigned long long)limits.limit[r]);
		some = true;
	}
	buf_putc(&b, ')');
	parse_init_text(&q, p->arena, buf_slice(&b));
	quota_parse_limits(&q, &again);
	parse_end(&q);
	MUST(parse_error(&q) == NULL);
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++)
		MUST(again.limit[r] == limits.limit[r]);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice all = slice_of(in, n);
	struct arena a;
	struct parse p;

	if (n == 0)
		return 0;
	arena_init(&a);
	parse_init_text(&p, &a, slice_skip(all, 1));
	if (in[0] == 'g')
		fuzz_get(&p);
	else if (in[0] == 's')
		fuzz_set(&p);
	else
		fuzz_quota(&p);
	arena_reset(&a);
	return 0;
}
