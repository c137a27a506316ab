#include "imap/metadata.h"
#include "imap/value.h"
#include "lib/arena.h"
#include "lib/ascii.h"

static struct slice
lower(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	return slice_of(p, s.len);
}

static size_t
components(struct slice entry)
{
	size_t n = 0;

	for (size_t i = 0; i < entry.len; i++)
		n += entry.ptr[i] == '/';
	return n;
}

static bool
begins(struct slice entry, const char *with)
{
	return slice_starts(entry, slice_str(with));
}

const char *
metadata_invalid(struct slice entry)
{
	if (!begins(entry, "/private/") && !begins(entry, "/shared/"))
		return "An entry begins with /private/ or /shared/";
	if (entry.len > METADATA_NAME_MAX)
		return "The name of the entry is too long";
	for (size_t i = 0; i < entry.len; i++) {
		uint8_t c = entry.ptr[i];

		if (c < 0x20 || c >= 0x7f || c == '*' || c == '%')
			return "A character that no entry has";
		if (c == '/' && (i + 1 == entry.len || entry.ptr[i + 1] == '/'))
			return "A component of the entry is empty";
	}
	if ((begins(entry, "/private/vendor/") ||
	        begins(entry, "/shared/vendor/")) &&
	    components(entry) < 4)
		return "A vendor's entry has four components";
	return NULL;
}

bool
metadata_is_private(struct slice entry)
{
	return begins(entry, "/private/");
}

bool
metadata_matches(struct slice name, struct slice entry,
    enum metadata_depth depth)
{
	struct slice rest;

	if (slice_equal(name, entry))
		return true;
	if (depth == METADATA_ONLY || !slice_starts(name, entry) ||
	    name.ptr[entry.len] != '/')
		return false;
	rest = slice_skip(name, entry.len + 1);
	return depth == METADATA_ALL || slice_find(rest, '/') == rest.len;
}

/* --- parsing -------------------------------------------------------------------- */

static bool
is_text(const struct value *v)
{
	return v != NULL && (v->kind == VALUE_ATOM || v->kind == VALUE_STRING);
}

/* What is asked for with a DEPTH may be less than an entry: "/private". */
static struct slice
take_entry(struct parse *p, const struct value *v, enum metadata_depth depth)
{
	struct slice entry = slice_str("");
	const char *why = "An entry is needed";

	if (is_text(v)) {
		entry = lower(p->arena, v->text);
		why = metadata_invalid(entry);
		if (depth != METADATA_ONLY &&
		    (slice_is(entry, "/private") ||
		        slice_is(entry, "/shared") ||
		        begins(entry, "/private/vendor") ||
		        begins(entry, "/shared/vendor")))
			why = NULL;
	}
	if (why != NULL)
		parse_fail(p, why);
	return entry;
}

static size_t
take_entries(struct parse *p, const struct value *v, enum metadata_depth depth,
    struct slice entries[METADATA_ITEMS_MAX])
{
	size_t n = 0;

	if (v != NULL && v->kind == VALUE_LIST)
		v = v->items;
	if (v == NULL)
		parse_fail(p, "An entry is needed");
	for (; v != NULL && parse_error(p) == NULL; v = v->next) {
		if (n == METADATA_ITEMS_MAX)
			parse_fail(p, "Too many entries");
		else
			entries[n++] = take_entry(p, v, depth);
	}
	return n;
}

size_t
metadata_entries(struct parse *p, const struct value *v,
    struct slice entries[METADATA_ITEMS_MAX])
{
	return take_entries(p, v, METADATA_ONLY, entries);
}

static void
take_depth(struct parse *p, const struct value *v, struct metadata_get *g)
{
	if (value_is(v, "0"))
		g->depth = METADATA_ONLY;
	else if (value_is(v, "1"))
		g->depth = METADATA_BELOW;
	else if (value_is(v, "infinity"))
		g->depth = METADATA_ALL;
	else
		parse_fail(p, "DEPTH is 0, 1 or infinity");
}

static void
take_options(struct parse *p, const struct value *list, struct metadata_get *g)
{
	const struct value *v = list->items;

	for (; v != NULL && parse_error(p) == NULL; v = v->next->next) {
		if (v->next == NULL)
			parse_fail(p, "An option needs a value");
		else if (value_is(v, "DEPTH"))
			take_depth(p, v->next, g);
		else if (!value_is(v, "MAXSIZE") ||
		         v->next->kind != VALUE_ATOM ||
		         !ascii_number(v->next->text, UINT32_MAX, &g->maxsize))
			parse_fail(p, "Unknown option");
		if (parse_error(p) != NULL)
			return;
	}
}

/* "(MAXSIZE 1024)": it begins with a word, entries begin with a slash. */
static bool
is_options(const struct value *v)
{
	return v != NULL && v->kind == VALUE_LIST && v->items != NULL &&
	       (value_is(v->items, "MAXSIZE") || value_is(v->items, "DEPTH"));
}

static const struct value *
take_mailbox(struct parse *p, const struct value *v, struct slice *mailbox)
{
	if (!is_text(v)) {
		parse_fail(p, "A mailbox is needed");
		return NULL;
	}
	*mailbox =
	    slice_is_nocase(v->text, "INBOX") ? slice_str("INBOX") : v->text;
	return v->next;
}

void
metadata_parse_get(struct parse *p, struct metadata_get *g)
{
	const struct value *v = value_parse_all(p);

	*g = (struct metadata_get){ .maxsize = UINT64_MAX };
	if (is_options(v)) {
		take_options(p, v, g);
		v = v->next;
	}
	v = take_mailbox(p, v, &g->mailbox);
	if (is_options(v)) {
		take_options(p, v, g);
		v = v->next;
	}
	if (v != NULL && v->next != NULL)
		parse_fail(p, "Several entries are a list");
	g->n = take_entries(p, v, g->depth, g->entries);
}

/* An atom too: Cyrus IMAP's frontend writes values so. */
static void
take_item(struct parse *p, const struct value *v, struct metadata_item *item)
{
	item->entry = take_entry(p, v, METADATA_ONLY);
	if (!is_text(v->next))
		parse_fail(p, "An entry needs a value");
	else if (value_is(v->next, "NIL"))
		item->value = slice_of(NULL, 0);
	else
		item->value =
		    v->next->text.len > 0 ? v->next->text : slice_of("", 0);
}

void
metadata_parse_set(struct parse *p, struct metadata_set *s)
{
	const struct value *v = value_parse_all(p);

	*s = (struct metadata_set){ .n = 0 };
	v = take_mailbox(p, v, &s->mailbox);
	if (v == NULL || v->kind != VALUE_LIST || v->items == NULL ||
	    v->next != NULL) {
		parse_fail(p, "A list of entries and values is needed");
		return;
	}
	for (v = v->items; v != NULL; v = v->next->next) {
		if (s->n == METADATA_ITEMS_MAX)
			parse_fail(p, "Too many entries");
		else
			take_item(p, v, &s->items[s->n++]);
		if (parse_error(p) != NULL)
			return;
	}
}

/* --- writing -------------------------------------------------------------------- */

static void
put_head(struct write *w, struct slice mailbox)
{
	write_untagged(w, "METADATA");
	write_sp(w);
	write_mailbox(w, mailbox);
	write_sp(w);
}

/* A literal8 if it has a NUL, which no other form can carry. */
static void
put_value(struct write *w, struct slice value)
{
	if (value.ptr != NULL && slice_find(value, '\0') < value.len)
		write_literal8(w, value);
	else
		write_nstring(w, value);
}

void
metadata_write(struct write *w, struct slice mailbox,
    const struct metadata_item *items, size_t n)
{
	put_head(w, mailbox);
	write_open(w);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			write_sp(w);
		write_astring(w, items[i].entry);
		write_sp(w);
		put_value(w, items[i].value);
	}
	write_close(w);
	write_end(w);
}

void
metadata_write_change(struct write *w, struct slice mailbox, struct slice entry)
{
	put_head(w, mailbox);
	write_astring(w, entry);
	write_end(w);
}
