#include <string.h>

#include "imap/fetch.h"
#include "imap/parse.h"
#include "imap/summary.h"
#include "lib/ascii.h"
#include "lib/must.h"

struct item_name {
	const char *name;
	enum fetch_kind kind;
	bool sets_seen;
};

static const struct item_name names[] = {
	{ "UID", FETCH_UID, false },
	{ "FLAGS", FETCH_FLAGS, false },
	{ "INTERNALDATE", FETCH_INTERNALDATE, false },
	{ "RFC822.SIZE", FETCH_SIZE, false },
	{ "MODSEQ", FETCH_MODSEQ, false },
	{ "EMAILID", FETCH_EMAILID, false },
	{ "THREADID", FETCH_THREADID, false },
	{ "SAVEDATE", FETCH_SAVEDATE, false },
	{ "ENVELOPE", FETCH_ENVELOPE, false },
	{ "BODY", FETCH_BODY, false },
	{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE, false },
	{ "RFC822", FETCH_RFC822, true },
	{ "RFC822.PEEK", FETCH_RFC822, false }, /* Cyrus IMAP's frontend */
	{ "RFC822.HEADER", FETCH_RFC822_HEADER, false },
	{ "RFC822.TEXT", FETCH_RFC822_TEXT, true },
	{ "PREVIEW", FETCH_PREVIEW, false },
};

static const struct {
	const char *name;
	enum fetch_kind kinds[5];
	unsigned count;
} macros[] = {
	{ "ALL",
	    { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE },
	    4 },
	{ "FAST", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE }, 3 },
	{ "FULL",
	    { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE,
	        FETCH_BODY },
	    5 },
};

void
fetch_init(struct fetch *f)
{
	f->count = 0;
	f->sets_seen = f->changed_since = f->vanished = false;
	f->changed_modseq = 0;
}

/* There is room: plain items are asked for once, sections are counted. */
static struct fetch_item *
add(struct fetch *f, enum fetch_kind kind)
{
	MUST(f->count < FETCH_ITEMS_MAX);
	f->items[f->count] = (struct fetch_item){ .kind = kind };
	return &f->items[f->count++];
}

static struct fetch_item *
want(struct fetch *f, enum fetch_kind kind)
{
	MUST(kind != FETCH_SECTION && kind != FETCH_BINARY &&
	     kind != FETCH_BINARY_SIZE && kind < FETCH_KINDS);
	for (unsigned i = 0; i < f->count; i++)
		if (f->items[i].kind == kind)
			return &f->items[i];
	return add(f, kind);
}

void
fetch_want(struct fetch *f, enum fetch_kind kind)
{
	(void)want(f, kind);
}

void
fetch_want_uid(struct fetch *f)
{
	unsigned n = f->count;

	fetch_want(f, FETCH_UID);
	if (f->count == n)
		return;
	memmove(&f->items[1], &f->items[0], n * sizeof(f->items[0]));
	f->items[0] = (struct fetch_item){ .kind = FETCH_UID };
}

/* "<offset.count>" */
static void
parse_partial(struct parse *p, struct fetch_item *item)
{
	if (!parse_try(p, '<'))
		return;
	item->partial = true;
	item->offset = parse_number(p);
	parse_char(p, '.');
	item->count = parse_nz_number(p);
	parse_char(p, '>');
}

static void
parse_section_item(struct parse *p, struct fetch *f, enum fetch_kind kind,
    bool sets_seen)
{
	struct fetch_item *item;

	/* Room is kept for one of each plain kind. */
	if (f->count >= FETCH_ITEMS_MAX - FETCH_KINDS) {
		parse_fail(p, "Too many items");
		return;
	}
	item = add(f, kind);
	if (kind == FETCH_SECTION)
		section_parse(p, &item->section);
	else
		section_parse_binary(p, &item->section);
	if (kind != FETCH_BINARY_SIZE)
		parse_partial(p, item);
	f->sets_seen |= sets_seen;
}

/* "PREVIEW (LAZY)"; asked for both ways it is not lazy. */
static void
parse_preview(struct parse *p, struct fetch *f)
{
	unsigned n = f->count;
	struct fetch_item *item = want(f, FETCH_PREVIEW);
	bool lazy = false;

	if (parse_try_word(p, " (LAZY")) {
		while (parse_try_word(p, " LAZY"))
			;
		parse_char(p, ')');
		lazy = true;
	}
	item->lazy = lazy && (f->count > n || item->lazy);
}

static void
parse_bracketed(struct parse *p, struct fetch *f, struct slice name)
{
	static const struct {
		const char *name;
		enum fetch_kind kind;
		bool sets_seen;
	} sections[] = {
		{ "BODY", FETCH_SECTION, true },
		{ "BODY.PEEK", FETCH_SECTION, false },
		{ "BINARY", FETCH_BINARY, true },
		{ "BINARY.PEEK", FETCH_BINARY, false },
		{ "BINARY.SIZE", FETCH_BINARY_SIZE, false },
	};

	for (size_t i = 0; i < NITEMS(sections); i++)
		if (slice_is_nocase(name, sections[i].name)) {
			parse_section_item(p, f, sections[i].kind,
			    sections[i].sets_seen);
			return;
		}
	parse_fail(p, "Unknown item");
}

static void
parse_item(struct parse *p, struct fetch *f)
{
	struct slice name = parse_until(p, "[ ()");

	if (parse_peek(p) == '[') {
		parse_bracketed(p, f, name);
		return;
	}
	for (size_t i = 0; i < NITEMS(names); i++) {
		if (!slice_is_nocase(name, names[i].name))
			continue;
		if (names[i].kind == FETCH_PREVIEW)
			parse_preview(p, f);
		else
			fetch_want(f, names[i].kind);
		f->sets_seen |= names[i].sets_seen;
		return;
	}
	parse_fail(p, "Unknown item");
}

static bool
parse_macro(struct parse *p, struct fetch *f)
{
	for (size_t i = 0; i < NITEMS(macros); i++) {
		if (!parse_try_word(p, macros[i].name))
			continue;
		for (unsigned k = 0; k < macros[i].count; k++)
			fetch_want(f, macros[i].kinds[k]);
		return true;
	}
	return false;
}

static void
parse_modifiers(struct parse *p, struct fetch *f)
{
	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		if (parse_try_word(p, "CHANGEDSINCE")) {
			parse_sp(p);
			f->changed_since = true;
			f->changed_modseq = parse_number64(p);
			fetch_want(f, FETCH_MODSEQ);
		} else if (parse_try_word(p, "VANISHED")) {
			f->vanished = true;
		} else if (parse_try_word(p, "PARTIAL")) {
			parse_sp(p);
			partial_parse(p, &f->window);
		} else {
			parse_fail(p, "Unknown modifier");
		}
	}
	if (f->vanished && !f->changed_since)
		parse_fail(p, "VANISHED without CHANGEDSINCE");
}

void
fetch_parse_items(struct parse *p, struct fetch *f)
{
	fetch_init(f);
	parse_char(p, '(');
	do
		parse_item(p, f);
	while (parse_peek(p) != ')' && parse_try(p, ' '));
	parse_char(p, ')');
}

const char *
fetch_parse(struct parse *p, struct fetch *f)
{
	fetch_init(f);
	if (parse_peek(p) == '(')
		fetch_parse_items(p, f);
	else if (!parse_macro(p, f)) {
		parse_item(p, f);
	}
	if (parse_error(p) == NULL && parse_peek(p) != PARSE_END)
		parse_modifiers(p, f);
	parse_end(p);
	return parse_error(p);
}

static unsigned
needs_of(const struct fetch_item *item)
{
	switch (item->kind) {
	case FETCH_THREADID:
	case FETCH_ENVELOPE:
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		return FETCH_SUMMARY;
	case FETCH_PREVIEW:
		return item->lazy ? FETCH_LAZY : FETCH_SUMMARY;
	case FETCH_RFC822:
		return FETCH_OCTETS;
	case FETCH_EMAILID:
		return FETCH_OBJECTID;
	case FETCH_RFC822_HEADER:
	case FETCH_RFC822_TEXT:
		return FETCH_SUMMARY | FETCH_OCTETS;
	case FETCH_SECTION:
		if (item->section.text == SECTION_ALL &&
		    item->section.npath == 0)
			return FETCH_OCTETS;
		if (item->section.nfields > 0)
			return FETCH_SUMMARY;
		return FETCH_SUMMARY | FETCH_OCTETS;
	case FETCH_BINARY:
		if (item->section.npath == 0)
			return FETCH_OCTETS;
		return FETCH_SUMMARY | FETCH_OCTETS | FETCH_DECODED;
	case FETCH_BINARY_SIZE:
		return item->section.npath == 0 ? 0
		                                : FETCH_SUMMARY | FETCH_DECODED;
	case FETCH_UID:
	case FETCH_FLAGS:
	case FETCH_INTERNALDATE:
	case FETCH_SIZE:
	case FETCH_MODSEQ:
	case FETCH_SAVEDATE:
	case FETCH_KINDS:
		break;
	}
	return 0;
}

unsigned
fetch_needs(const struct fetch *f)
{
	unsigned needs = 0;

	for (unsigned i = 0; i < f->count; i++)
		needs |= needs_of(&f->items[i]);
	return needs;
}
