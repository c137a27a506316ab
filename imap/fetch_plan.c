/* fetch: the response. */
#include "imap/date.h"
#include "imap/fetch.h"
#include "imap/mime.h"
#include "imap/summary.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	TEXT_MAX = 64 * 1024 * 1024 /* above what the limits allow together */
};

/* Each piece goes out after the first text_before octets of the text. */
struct cut {
	size_t text_before;
	struct fetch_piece piece;
};

struct planner {
	const struct fetch *fetch;
	const struct fetch_facts *facts;
	struct arena *arena;
	struct buf text;
	struct write w; /* into text */
	struct cut cuts[FETCH_ITEMS_MAX];
	size_t ncuts;
};

/* Can these fields be had from the summary alone? */
static bool
is_kept(const struct section *s, const struct summary *summary)
{
	if (s->text != SECTION_FIELDS || s->npath > 0 || summary->headers_cut)
		return false;
	for (unsigned i = 0; i < s->nfields; i++)
		if (!summary_keeps(s->fields[i]))
			return false;
	return true;
}

/* No further than the message is long, whatever a summary says. */
static struct section_range
within(struct section_range r, uint64_t size)
{
	if (r.at > size)
		r.at = size;
	if (r.len > size - r.at)
		r.len = size - r.at;
	return r;
}

/* The header that a FIELDS selects from.  len 0: none, or no need of it. */
static struct section_range
header_for(const struct fetch_item *item, const struct fetch_facts *facts)
{
	struct section_range none = { 0, 0 }, r;

	if (item->kind != FETCH_SECTION || item->section.nfields == 0 ||
	    is_kept(&item->section, facts->summary) ||
	    !section_find(&item->section, &facts->summary->mime, &r))
		return none;
	r = within(r, facts->size_octets);
	if (r.len > FETCH_HEADER_MAX)
		r.len = FETCH_HEADER_MAX;
	return r;
}

struct section_range
fetch_header_needed(const struct fetch *f, const struct fetch_facts *facts)
{
	struct section_range all = { 0, 0 };

	for (unsigned i = 0; i < f->count; i++) {
		struct section_range r = header_for(&f->items[i], facts);
		uint64_t end = r.at + r.len, all_end = all.at + all.len;

		if (r.len == 0)
			continue;
		if (all.len == 0) {
			all = r;
			continue;
		}
		if (r.at < all.at)
			all.at = r.at;
		all.len = (end > all_end ? end : all_end) - all.at;
	}
	return all;
}

enum fetch_decode
fetch_decode_needed(const struct fetch_item *item,
    const struct fetch_facts *facts, struct section_range *range,
    enum transfer_encoding *encoding)
{
	if ((item->kind != FETCH_BINARY && item->kind != FETCH_BINARY_SIZE) ||
	    item->section.npath == 0 ||
	    !section_find(&item->section, &facts->summary->mime, range))
		return FETCH_DECODE_NOT;
	*range = within(*range, facts->size_octets);
	switch (section_encoding(&item->section, &facts->summary->mime)) {
	case MIME_BASE64:
		*encoding = TRANSFER_BASE64;
		return FETCH_DECODE;
	case MIME_QUOTED:
		*encoding = TRANSFER_QUOTED;
		return FETCH_DECODE;
	case MIME_UNKNOWN:
		return FETCH_DECODE_UNKNOWN;
	case MIME_IDENTITY:
	case MIME_ENCODINGS:
		break;
	}
	return FETCH_DECODE_NOT;
}

static void
add_cut(struct planner *pl, const struct fetch_piece *piece)
{
	MUST(pl->ncuts < FETCH_ITEMS_MAX);
	pl->cuts[pl->ncuts++] = (struct cut){ buf_len(&pl->text), *piece };
}

static void
put_range(struct planner *pl, struct section_range r)
{
	struct fetch_piece piece = { .encoding = TRANSFER_BINARY };

	piece.range = within(r, pl->facts->size_octets);
	write_literal_head(&pl->w, piece.range.len);
	if (piece.range.len > 0)
		add_cut(pl, &piece);
}

static uint64_t
part_of(const struct fetch_item *item, uint64_t len, uint64_t *offset)
{
	*offset = 0;
	if (!item->partial)
		return len;
	*offset = item->offset < len ? item->offset : len;
	len -= *offset;
	return item->count < len ? item->count : len;
}

static void
put_fields(struct planner *pl, const struct fetch_item *item)
{
	const struct fetch_facts *facts = pl->facts;
	struct slice header = facts->summary->headers, text;
	uint64_t offset, len;
	struct buf b;

	if (!is_kept(&item->section, facts->summary)) {
		struct section_range r = header_for(item, facts);

		header = (struct slice){ 0 };
		if (r.len > 0) {
			MUST(r.at >= facts->header_range.at);
			header = slice_skip(facts->header,
			    r.at - facts->header_range.at);
			header = slice_first(header, r.len);
		}
	}
	buf_init(&b, FETCH_HEADER_MAX + SUMMARY_HEADERS_MAX + 4);
	section_fields(&b, &item->section, header);
	MUST(!buf_failed(&b));
	len = part_of(item, buf_len(&b), &offset);
	text = slice_first(slice_skip(buf_slice(&b), offset), len);
	write_literal_head(&pl->w, text.len);
	buf_put_slice(&pl->text, text);
	buf_fini(&b);
}

static void
put_section(struct planner *pl, const struct fetch_item *item)
{
	const struct section *s = &item->section;
	struct section_range r = { 0, pl->facts->size_octets };
	uint64_t offset;

	buf_puts(&pl->text, "BODY");
	section_write(&pl->text, s);
	if (item->partial)
		buf_printf(&pl->text, "<%u>", item->offset);
	write_sp(&pl->w);
	if ((s->npath > 0 || s->text != SECTION_ALL) &&
	    !section_find(s, &pl->facts->summary->mime, &r)) {
		write_word(&pl->w, "NIL");
		return;
	}
	if (s->nfields > 0) {
		put_fields(pl, item);
		return;
	}
	r = within(r, pl->facts->size_octets);
	r.len = part_of(item, r.len, &offset);
	r.at += offset;
	put_range(pl, r);
}

static const struct fetch_decoded *
decoded_of(const struct planner *pl, const struct fetch_item *item)
{
	MUST(pl->facts->decoded != NULL);
	return &pl->facts->decoded[item - pl->fetch->items];
}

/* A part whose encoding is undone: at hand, or as a piece. */
static void
put_decoded(struct planner *pl, const struct fetch_item *item,
    const struct fetch_piece *encoded)
{
	const struct fetch_decoded *d = decoded_of(pl, item);
	struct fetch_piece piece = *encoded;

	piece.take = part_of(item, d->size, &piece.skip);
	if (d->has_nul)
		write_literal8_head(&pl->w, piece.take);
	else
		write_literal_head(&pl->w, piece.take);
	if (d->octets.ptr != NULL)
		buf_put_slice(&pl->text,
		    slice_first(slice_skip(d->octets, piece.skip), piece.take));
	else if (piece.take > 0)
		add_cut(pl, &piece);
}

static void
put_binary(struct planner *pl, const struct fetch_item *item)
{
	const struct fetch_facts *facts = pl->facts;
	struct fetch_piece piece = { .range = { 0, facts->size_octets } };
	bool size_only = item->kind == FETCH_BINARY_SIZE, decode;
	uint64_t offset;

	buf_puts(&pl->text, size_only ? "BINARY.SIZE" : "BINARY");
	section_write(&pl->text, &item->section);
	if (item->partial)
		buf_printf(&pl->text, "<%u>", item->offset);
	write_sp(&pl->w);
	if (item->section.npath > 0 &&
	    !section_find(&item->section, &facts->summary->mime,
	        &piece.range)) {
		write_word(&pl->w, size_only ? "0" : "NIL");
		return;
	}
	piece.range = within(piece.range, facts->size_octets);
	decode = fetch_decode_needed(item, facts, &piece.range,
	             &piece.encoding) == FETCH_DECODE;
	if (size_only) {
		write_number(&pl->w,
		    decode ? decoded_of(pl, item)->size : piece.range.len);
	} else if (decode) {
		put_decoded(pl, item, &piece);
	} else {
		piece.range.len = part_of(item, piece.range.len, &offset);
		piece.range.at += offset;
		put_range(pl, piece.range);
	}
}

/* RFC822 and its kin: what they are as a section. */
static void
put_rfc822(struct planner *pl, const char *name, enum section_text text)
{
	struct section s = { .text = text };
	struct section_range r = { 0, pl->facts->size_octets };

	if (text != SECTION_ALL)
		MUST(section_find(&s, &pl->facts->summary->mime, &r));
	write_word(&pl->w, name);
	write_sp(&pl->w);
	put_range(pl, r);
}

static void
put_text(struct planner *pl, const char *name, struct slice text)
{
	write_word(&pl->w, name);
	write_sp(&pl->w);
	buf_put_slice(&pl->text, text);
}

static void
put_date(struct planner *pl, const char *name, int64_t seconds, int zone)
{
	struct date_time t = { .seconds = seconds, .zone = zone };

	write_word(&pl->w, name);
	write_sp(&pl->w);
	write_date_time(&pl->w, &t);
}

static void
put_number(struct planner *pl, const char *name, uint64_t n)
{
	write_word(&pl->w, name);
	write_sp(&pl->w);
	write_number(&pl->w, n);
}

/* NAME (text), or NAME NIL if there is none. */
static void
put_listed(struct planner *pl, const char *name, struct slice text, bool some)
{
	write_word(&pl->w, name);
	write_sp(&pl->w);
	if (!some) {
		write_word(&pl->w, "NIL");
		return;
	}
	write_open(&pl->w);
	buf_put_slice(&pl->text, text);
	write_close(&pl->w);
}

/* NIL only where it was to cost nothing. */
static void
put_preview(struct planner *pl)
{
	struct slice text = { 0 };

	if (pl->facts->summary != NULL)
		text = pl->facts->summary->preview;
	write_word(&pl->w, "PREVIEW");
	write_sp(&pl->w);
	if (pl->facts->summary == NULL)
		write_word(&pl->w, "NIL");
	else
		write_string(&pl->w, text);
}

static void
put_item(struct planner *pl, const struct fetch_item *item)
{
	const struct fetch_facts *facts = pl->facts;
	const struct summary *sum = facts->summary;

	switch (item->kind) {
	case FETCH_UID:
		put_number(pl, "UID", facts->uid);
		break;
	case FETCH_FLAGS:
		put_listed(pl, "FLAGS", facts->flags, true);
		break;
	case FETCH_INTERNALDATE:
		put_date(pl, "INTERNALDATE", facts->internal_seconds,
		    facts->internal_zone);
		break;
	case FETCH_SIZE:
		put_number(pl, "RFC822.SIZE", facts->size_octets);
		break;
	case FETCH_MODSEQ:
		buf_puts(&pl->text, "MODSEQ (");
		write_number(&pl->w, facts->modseq);
		write_close(&pl->w);
		break;
	case FETCH_EMAILID:
		put_listed(pl, "EMAILID", facts->emailid,
		    facts->emailid.len > 0);
		break;
	case FETCH_THREADID:
		put_listed(pl, "THREADID", facts->threadid,
		    facts->threadid.len > 0);
		break;
	case FETCH_SAVEDATE:
		if (facts->saved)
			put_date(pl, "SAVEDATE", facts->saved_seconds, 0);
		else
			buf_puts(&pl->text, "SAVEDATE NIL");
		break;
	case FETCH_ENVELOPE:
		put_text(pl, "ENVELOPE", sum->envelope);
		break;
	case FETCH_BODY:
		put_text(pl, "BODY", sum->body);
		break;
	case FETCH_BODYSTRUCTURE:
		put_text(pl, "BODYSTRUCTURE", sum->bodystructure);
		break;
	case FETCH_SECTION:
		put_section(pl, item);
		break;
	case FETCH_RFC822:
		put_rfc822(pl, "RFC822", SECTION_ALL);
		break;
	case FETCH_RFC822_HEADER:
		put_rfc822(pl, "RFC822.HEADER", SECTION_HEADER);
		break;
	case FETCH_RFC822_TEXT:
		put_rfc822(pl, "RFC822.TEXT", SECTION_TEXT);
		break;
	case FETCH_PREVIEW:
		put_preview(pl);
		break;
	case FETCH_BINARY:
	case FETCH_BINARY_SIZE:
		put_binary(pl, item);
		break;
	case FETCH_KINDS:
		must_fail("an item", __FILE__, __LINE__, __func__);
	}
}

uint64_t
fetch_piece_len(const struct fetch_piece *p)
{
	if (p->text.ptr != NULL)
		return p->text.len;
	return p->encoding != TRANSFER_BINARY ? p->take : p->range.len;
}

/* Text and ranges in turn. */
static void
finish(struct planner *pl, struct fetch_plan *plan)
{
	struct slice text = arena_copy(pl->arena, buf_slice(&pl->text));
	struct fetch_piece *pieces =
	    arena_array(pl->arena, 2 * pl->ncuts + 1, sizeof(*pieces));
	size_t done = 0;

	*plan = (struct fetch_plan){ .pieces = pieces, .total = text.len };
	for (size_t i = 0; i < pl->ncuts; i++) {
		size_t to = pl->cuts[i].text_before;

		pieces[plan->count++].text =
		    slice_first(slice_skip(text, done), to - done);
		pieces[plan->count++] = pl->cuts[i].piece;
		plan->total += fetch_piece_len(&pl->cuts[i].piece);
		done = to;
	}
	pieces[plan->count++].text = slice_skip(text, done);
}

void
fetch_plan(const struct fetch *f, struct arena *a,
    const struct fetch_facts *facts, struct fetch_plan *plan)
{
	struct planner pl; /* its cuts are large, and mostly not used */

	pl.fetch = f;
	pl.facts = facts;
	pl.arena = a;
	pl.ncuts = 0;
	MUST(facts->summary != NULL || !(fetch_needs(f) & FETCH_SUMMARY));
	buf_init(&pl.text, TEXT_MAX);
	write_init(&pl.w, &pl.text, WRITE_SERVER);
	if (facts->uidfetch)
		write_untagged_number(&pl.w, facts->uid, "UIDFETCH");
	else
		write_untagged_number(&pl.w, facts->seq, "FETCH");
	write_sp(&pl.w);
	write_open(&pl.w);
	for (unsigned i = 0; i < f->count; i++) {
		if (i > 0)
			write_sp(&pl.w);
		put_item(&pl, &f->items[i]);
	}
	write_close(&pl.w);
	write_end(&pl.w);
	MUST(!buf_failed(&pl.text));
	finish(&pl, plan);
	buf_fini(&pl.text);
}
