#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	CONF_FILE_MAX = 1024 * 1024,
	CONF_LIST_MAX = 10000,
	CONF_WHY_MAX = 4096 /* more than a struct err shows */
};

struct unit {
	const char *name;
	uint64_t factor;
};

/* Greatest first, so that printing finds the shortest form. */
static const struct unit sizes[] = { { "T", 1ull << 40 }, { "G", 1ull << 30 },
	{ "M", 1ull << 20 }, { "k", 1ull << 10 }, { "", 1 } };
static const struct unit durations[] = { { "d", 86400000 }, { "h", 3600000 },
	{ "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

/* A file being read. */
struct reader {
	const struct conf_table *table;
	const char *file;
	void *conf;
	unsigned line;    /* 0: no line's fault */
	unsigned *set_at; /* for each item the line that set it; 0: preset */
	struct buf why;
};

/* For "%.*s" with text that may be of any length. */
#define SHOWN(s) (int)((s).len > 60 ? 60 : (s).len), (const char *)(s).ptr

/* The member of conf that item describes. */
static void *
member(void *conf, const struct conf_item *item)
{
	return (char *)conf + item->offset;
}

static void complain(struct reader *r, const char *fmt, ...) PRINTFLIKE(2, 3);

static void
complain(struct reader *r, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (buf_len(&r->why) > 0)
		buf_putc(&r->why, '\n');
	if (r->line > 0)
		buf_printf(&r->why, "%s:%u: %s", r->file, r->line, text);
	else
		buf_printf(&r->why, "%s: %s", r->file, text);
}

static const struct unit *
unit_find(const struct unit *units, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_is_nocase(name, units[i].name))
			return &units[i];
	return NULL;
}

/* Digits, then one of the units: true, and *n. */
static bool
scaled(struct slice s, const struct unit *units, size_t nunits, uint64_t *n)
{
	const struct unit *unit;
	size_t digits = 0;

	while (digits < s.len && ascii_digit(s.ptr[digits]))
		digits++;
	unit = unit_find(units, nunits, slice_skip(s, digits));
	return unit != NULL &&
	       ascii_number(slice_first(s, digits), UINT64_MAX / unit->factor,
	           n) &&
	       !__builtin_mul_overflow(*n, unit->factor, n);
}

bool
conf_size(struct slice s, uint64_t *n)
{
	return scaled(s, sizes, NITEMS(sizes), n);
}

/* What a value of this kind looks like, for the one who has to write one. */
static const char *
wanted(enum conf_kind kind)
{
	switch (kind) {
	case CONF_STRING:
	case CONF_LIST:
		return "text";
	case CONF_BOOL:
		return "\"yes\" or \"no\"";
	case CONF_NUMBER:
		return "a number";
	case CONF_SIZE:
		return "a size like 64k, 50M or 2G";
	case CONF_DURATION:
		return "a duration like 500ms, 30s, 5m or 1h";
	case CONF_CHOICE:
		return "one of the words allowed";
	}
	return "";
}

static void
print_scaled(FILE *f, const struct unit *units, size_t nunits, uint64_t n)
{
	size_t i = 0;

	while (i < nunits - 1 && (n < units[i].factor || n % units[i].factor))
		i++;
	fprintf(f, "%" PRIu64 "%s", n / units[i].factor, units[i].name);
}

static void
complain_range(struct reader *r, const struct conf_item *item)
{
	char least[32], most[32];
	struct {
		char *text;
		uint64_t n;
	} ends[] = { { least, item->least }, { most, item->most } };

	for (size_t i = 0; i < NITEMS(ends); i++) {
		FILE *f = fmemopen(ends[i].text, sizeof(least), "w");

		MUST(f != NULL);
		if (item->kind == CONF_SIZE)
			print_scaled(f, sizes, NITEMS(sizes), ends[i].n);
		else if (item->kind == CONF_DURATION)
			print_scaled(f, durations, NITEMS(durations),
			    ends[i].n);
		else
			fprintf(f, "%" PRIu64, ends[i].n);
		fclose(f);
	}
	if (item->most == 0)
		complain(r, "%s must be at least %s", item->name, least);
	else
		complain(r, "%s must be between %s and %s", item->name, least,
		    most);
}

static void
set_number(struct reader *r, const struct conf_item *item, struct slice value)
{
	uint64_t n = 0;
	bool good = false;

	if (item->kind == CONF_NUMBER)
		good = ascii_number(value, UINT64_MAX, &n);
	else if (item->kind == CONF_SIZE)
		good = scaled(value, sizes, NITEMS(sizes), &n);
	else
		good = scaled(value, durations, NITEMS(durations), &n) ||
		       (slice_is(value, "0") && n == 0);
	if (!good)
		complain(r, "%s needs %s, not \"%.*s\"", item->name,
		    wanted(item->kind), SHOWN(value));
	else if (n < item->least || (item->most != 0 && n > item->most))
		complain_range(r, item);
	else
		*(uint64_t *)member(r->conf, item) = n;
}

static void
set_bool(struct reader *r, const struct conf_item *item, struct slice value)
{
	bool yes = slice_is_nocase(value, "yes");

	if (!yes && !slice_is_nocase(value, "no"))
		complain(r, "%s needs %s, not \"%.*s\"", item->name,
		    wanted(item->kind), SHOWN(value));
	*(bool *)member(r->conf, item) = yes;
}

/* The nth of words with a space between; empty behind the last. */
static struct slice
choice(const char *words, int n)
{
	struct slice s = slice_str(words);

	for (; n > 0 && s.len > 0; n--) {
		size_t end = slice_find(s, ' ');

		s = slice_skip(s, end < s.len ? end + 1 : end);
	}
	return slice_first(s, slice_find(s, ' '));
}

static void
set_choice(struct reader *r, const struct conf_item *item, struct slice value)
{
	for (int i = 0; choice(item->choices, i).len > 0; i++) {
		if (slice_equal(choice(item->choices, i), value)) {
			*(int *)member(r->conf, item) = i;
			return;
		}
	}
	complain(r, "%s must be one of: %s", item->name, item->choices);
}

static void
set_string(struct reader *r, const struct conf_item *item, struct slice value)
{
	char **s = member(r->conf, item);

	free(*s);
	*s = xstrndup(value.ptr, value.len);
}

static void
list_clear(struct conf_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct conf_list){ 0 };
}

/* The file's first line replaces the preset, the others add; "" empties. */
static void
set_list(struct reader *r, const struct conf_item *item, struct slice value)
{
	struct conf_list *list = member(r->conf, item);

	if (r->set_at[item - r->table->items] == 0 || value.len == 0)
		list_clear(list);
	if (value.len == 0)
		return;
	if (list->count >= CONF_LIST_MAX) {
		complain(r, "%s has too many items", item->name);
		return;
	}
	list->items =
	    xreallocarray(list->items, list->count + 1, sizeof(list->items[0]));
	list->items[list->count++] = xstrndup(value.ptr, value.len);
}

static void
set(struct reader *r, const struct conf_item *item, struct slice value)
{
	switch (item->kind) {
	case CONF_STRING:
		set_string(r, item, value);
		return;
	case CONF_LIST:
		set_list(r, item, value);
		return;
	case CONF_BOOL:
		set_bool(r, item, value);
		return;
	case CONF_NUMBER:
	case CONF_SIZE:
	case CONF_DURATION:
		set_number(r, item, value);
		return;
	case CONF_CHOICE:
		set_choice(r, item, value);
		return;
	}
}

static void
set_presets(struct reader *r)
{
	for (size_t i = 0; i < r->table->count; i++) {
		const struct conf_item *item = &r->table->items[i];

		if (item->preset != NULL)
			set(r, item, slice_str(item->preset));
	}
	MUST(buf_len(&r->why) == 0); /* else the table is wrong */
}

static const struct conf_item *
item_find(const struct conf_table *t, struct slice name)
{
	for (size_t i = 0; i < t->count; i++)
		if (slice_is(name, t->items[i].name))
			return &t->items[i];
	return NULL;
}

static void
read_setting(struct reader *r, struct slice name, struct slice value)
{
	const struct conf_item *item = item_find(r->table, name);
	unsigned *set_at;

	if (item == NULL) {
		complain(r, "there is no option \"%.*s\"", SHOWN(name));
		return;
	}
	set_at = &r->set_at[item - r->table->items];
	if (value.len == 0)
		complain(r, "%s has no value; write \"\" for an empty one",
		    item->name);
	else if (*set_at != 0 && item->kind != CONF_LIST)
		complain(r, "%s was set in line %u already", item->name,
		    *set_at);
	else
		set(r, item,
		    slice_is(value, "\"\"") ? slice_of(NULL, 0) : value);
	*set_at = r->line;
}

static void
read_line(struct reader *r, struct slice line)
{
	size_t equals;

	r->line++;
	line = slice_trim(line);
	if (line.len == 0 || line.ptr[0] == '#')
		return;
	equals = slice_find(line, '=');
	if (slice_find(line, '\0') < line.len)
		complain(r, "there is a NUL in this line");
	else if (equals == line.len)
		complain(r, "\"%.*s\" is not: name = value", SHOWN(line));
	else
		read_setting(r, slice_trim(slice_first(line, equals)),
		    slice_trim(slice_skip(line, equals + 1)));
}

static void
read_lines(struct reader *r, struct slice text)
{
	while (text.len > 0) {
		size_t end = slice_find(text, '\n');

		read_line(r, slice_first(text, end));
		text = slice_skip(text, end < text.len ? end + 1 : end);
	}
	r->line = 0;
}

void *
conf_parse(const struct conf_table *t, const char *file, struct slice text,
    struct err *err)
{
	struct reader r = { .table = t, .file = file };
	struct err why;

	r.conf = xcalloc(1, t->size);
	r.set_at = xcalloc(t->count, sizeof(r.set_at[0]));
	buf_init(&r.why, CONF_WHY_MAX);
	set_presets(&r);
	read_lines(&r, text);
	if (buf_len(&r.why) == 0 && t->check != NULL &&
	    t->check(r.conf, &why) == -1)
		complain(&r, "%s", why.text);
	if (buf_len(&r.why) > 0) {
		err_set(err, "%.*s", (int)buf_len(&r.why),
		    (const char *)buf_data(&r.why));
		conf_free(t, &r.conf);
	}
	buf_fini(&r.why);
	free(r.set_at);
	return r.conf;
}

int
conf_load(const char *file, uint8_t **octets, size_t *n, struct err *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct buf b;
	size_t room;
	ssize_t got;

	if (fd == -1)
		return err_sys(err, "%s", file);
	buf_init(&b, CONF_FILE_MAX + 1);
	do {
		uint8_t *space;

		room = 8192;
		space = buf_space(&b, &room);
		got = room == 0 ? 0 : read(fd, space, room);
		if (got > 0)
			buf_grew(&b, (size_t)got);
	} while (got > 0 || (got == -1 && errno == EINTR));
	if (got == -1)
		err_sys(err, "%s", file);
	close(fd);
	if (got != -1 && buf_len(&b) > CONF_FILE_MAX)
		got = err_set(err, "%s: larger than a megabyte", file);
	if (got != -1) {
		*n = buf_len(&b);
		*octets = xmemdup(buf_data(&b), *n);
	}
	if (b.area != NULL)
		wipe(b.area, b.size);
	buf_fini(&b);
	return got == -1 ? -1 : 0;
}

void *
conf_read(const struct conf_table *t, const char *file, struct err *err)
{
	uint8_t *octets;
	void *conf;
	size_t n;

	if (conf_load(file, &octets, &n, err) == -1)
		return NULL;
	conf = conf_parse(t, file, slice_of(octets, n), err);
	wipe(octets, n);
	free(octets);
	return conf;
}

void
conf_free(const struct conf_table *t, void **confp)
{
	if (*confp == NULL)
		return;
	for (size_t i = 0; i < t->count; i++) {
		const struct conf_item *item = &t->items[i];

		if (item->kind == CONF_STRING)
			free(*(char **)member(*confp, item));
		else if (item->kind == CONF_LIST)
			list_clear(member(*confp, item));
	}
	free(*confp);
	*confp = NULL;
}

/* Lines of at most 78 columns, each behind a "# ". */
static void
print_help(FILE *f, const char *help)
{
	struct slice s = slice_str(help);

	while (s.len > 0) {
		size_t n = s.len;

		if (n > 76) {
			n = slice_rfind(slice_first(s, 77), ' ');
			if (n == 77)
				n = slice_find(s, ' ');
		}
		fprintf(f, "# %.*s\n", (int)n, (const char *)s.ptr);
		s = slice_trim(slice_skip(s, n));
	}
}

static void
print_text(FILE *f, const char *name, const char *value)
{
	if (value == NULL)
		fprintf(f, "# %s is not set\n", name);
	else
		fprintf(f, "%s = %s\n", name, *value == '\0' ? "\"\"" : value);
}

static void
print_list(FILE *f, const struct conf_item *item, const struct conf_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		print_text(f, item->name, list->items[i]);
	if (list->count == 0 && item->preset != NULL)
		print_text(f, item->name, "");
	else if (list->count == 0)
		print_text(f, item->name, NULL);
}

static void
print_value(FILE *f, const struct conf_item *item, const void *value)
{
	struct slice word;

	fprintf(f, "%s = ", item->name);
	if (item->kind == CONF_BOOL) {
		fputs(*(const bool *)value ? "yes" : "no", f);
	} else if (item->kind == CONF_CHOICE) {
		word = choice(item->choices, *(const int *)value);
		fprintf(f, "%.*s", (int)word.len, (const char *)word.ptr);
	} else if (item->kind == CONF_SIZE) {
		print_scaled(f, sizes, NITEMS(sizes), *(const uint64_t *)value);
	} else if (item->kind == CONF_DURATION) {
		print_scaled(f, durations, NITEMS(durations),
		    *(const uint64_t *)value);
	} else {
		fprintf(f, "%" PRIu64, *(const uint64_t *)value);
	}
	fputc('\n', f);
}

void
conf_print(const struct conf_table *t, const void *conf, FILE *f)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct conf_item *item = &t->items[i];
		const void *value = (const char *)conf + item->offset;

		if (item->help != NULL)
			print_help(f, item->help);
		if (item->kind == CONF_STRING)
			print_text(f, item->name, *(char *const *)value);
		else if (item->kind == CONF_LIST)
			print_list(f, item, value);
		else
			print_value(f, item, value);
		if (i + 1 < t->count)
			fputc('\n', f);
	}
}
