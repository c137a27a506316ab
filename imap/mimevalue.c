/* mime: the values of Content-Type and its kin. */
#include "imap/header.h"
#include "imap/mime.h"
#include "lib/arena.h"
#include "lib/ascii.h"

enum {
	VALUE_OCTETS_MAX = 16 * 1024 /* of one field; what follows is dropped */
};

/* Past spaces and comments. */
static struct slice
skip_spaces(struct slice s)
{
	size_t depth = 0, i = 0;

	for (; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0 && i + 1 < s.len)
			i++;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' &&
		         c != '\n')
			break;
	}
	return slice_skip(s, i);
}

/* A set of octets below 64, a bit for each. */
#define BIT(c) (UINT64_C(1) << (c))

/* Up to one of these, which is left where it is. */
static struct slice
take_until(struct slice *s, uint64_t stops)
{
	struct slice start = *s;
	size_t n = 0;

	while (n < s->len && (s->ptr[n] >= 64 || !(stops & BIT(s->ptr[n]))))
		n++;
	*s = slice_skip(*s, n);
	return slice_trim(slice_first(start, n));
}

/* At a quote. */
static struct slice
take_quoted(struct arena *a, struct slice *s)
{
	struct slice in = slice_skip(*s, 1);
	uint8_t *p;
	size_t i, n = 0;

	for (i = 0; i < in.len && in.ptr[i] != '"' && in.ptr[i] != '\\'; i++)
		;
	if (i < in.len && in.ptr[i] == '"') {
		*s = slice_skip(in, i + 1);
		return slice_first(in, i);
	}
	p = arena_alloc(a, in.len);
	for (i = 0; i < in.len && in.ptr[i] != '"'; i++) {
		if (in.ptr[i] == '\\' && i + 1 < in.len)
			i++;
		p[n++] = in.ptr[i];
	}
	*s = slice_skip(in, i < in.len ? i + 1 : i);
	return slice_of(p, n);
}

/* "name=value" at the front; false if that is not what is there. */
static bool
take_param(struct arena *a, struct slice *s, struct mime_param *param)
{
	param->name = take_until(s, BIT('=') | BIT(';'));
	if (s->len == 0 || s->ptr[0] != '=')
		return false;
	*s = skip_spaces(slice_skip(*s, 1));
	if (s->len > 0 && s->ptr[0] == '"')
		param->value = take_quoted(a, s);
	else
		/* Not a token as it should be, often: names of files. */
		param->value = take_until(s, BIT(';') | BIT('('));
	return param->name.len > 0;
}

static unsigned
count_params(struct slice s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s.len && n < MIME_PARAMS_MAX; i++)
		n += s.ptr[i] == '=';
	return n;
}

bool
mime_value_parse(struct arena *a, struct slice value, struct mime_value *v)
{
	const uint64_t ends = BIT(';') | BIT('(') | BIT(' ') | BIT('\t');
	struct mime_param *params;
	struct slice s;

	*v = (struct mime_value){ 0 };
	if (value.len == 0)
		return false;
	if (value.len > VALUE_OCTETS_MAX)
		value.len = VALUE_OCTETS_MAX;
	s = skip_spaces(header_unfold(a, value));
	v->type = take_until(&s, BIT('/') | ends);
	s = skip_spaces(s);
	if (s.len > 0 && s.ptr[0] == '/') {
		s = skip_spaces(slice_skip(s, 1));
		v->subtype = take_until(&s, ends);
	}
	params = arena_array(a, count_params(s), sizeof(*params));
	v->params = params;
	while (s.len > 0 && v->nparams < MIME_PARAMS_MAX) {
		struct mime_param param;

		take_until(&s, BIT(';'));
		if (s.len == 0)
			break;
		s = skip_spaces(slice_skip(s, 1));
		/* Each has a "=" of its own, so there is room. */
		if (take_param(a, &s, &param))
			params[v->nparams++] = param;
	}
	return v->type.len > 0;
}

struct slice
mime_param_find(const struct mime_value *v, const char *name)
{
	for (unsigned i = 0; i < v->nparams; i++)
		if (slice_is_nocase(v->params[i].name, name))
			return v->params[i].value;
	return (struct slice){ 0 };
}

void
mime_type_from(struct arena *a, const struct header_field *f,
    enum mime_default fallback, struct mime_value *v)
{
	if (mime_value_parse(a, f->value, v) && v->subtype.len > 0)
		return;
	*v = (struct mime_value){ 0 };
	if (fallback == MIME_DEFAULT_MESSAGE && f->name.len == 0) {
		v->type = slice_str("message");
		v->subtype = slice_str("rfc822");
	} else {
		v->type = slice_str("text");
		v->subtype = slice_str("plain");
	}
}

void
mime_type_of(struct arena *a, struct slice header, enum mime_default fallback,
    struct mime_value *v)
{
	struct header_field f;

	if (!header_find(header, "Content-Type", &f))
		f = (struct header_field){ 0 };
	mime_type_from(a, &f, fallback, v);
}
