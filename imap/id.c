#include "imap/id.h"
#include "lib/buf.h"
#include "lib/must.h"

void
id_parse(struct parse *p, struct id *id)
{
	id->n = 0;
	if (parse_try_word(p, "NIL"))
		return;
	parse_open(p);
	while (parse_more(p)) {
		struct id_pair pair;

		pair.field = parse_string(p);
		parse_sp(p);
		pair.value = parse_nstring(p);
		if (id->n == ID_PAIRS_MAX)
			parse_fail(p, "Too many fields");
		else if (pair.field.len > ID_FIELD_MAX)
			parse_fail(p, "Field name too long");
		else if (pair.value.len > ID_VALUE_MAX)
			parse_fail(p, "Value too long");
		else
			id->pairs[id->n++] = pair;
	}
	if (parse_error(p) != NULL)
		id->n = 0;
}

void
id_write(struct write *w, const struct id *id)
{
	if (id->n == 0) {
		write_word(w, "NIL");
		return;
	}
	write_open(w);
	for (size_t i = 0; i < id->n; i++) {
		if (i > 0)
			write_sp(w);
		write_string(w, id->pairs[i].field);
		write_sp(w);
		write_nstring(w, id->pairs[i].value);
	}
	write_close(w);
}

struct slice
id_get(const struct id *id, const char *field)
{
	for (size_t i = 0; i < id->n; i++)
		if (slice_is_nocase(id->pairs[i].field, field))
			return id->pairs[i].value;
	return slice_of(NULL, 0);
}
