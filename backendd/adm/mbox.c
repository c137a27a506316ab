/*
 * mbox, of the kind called mboxrd: lines that would look like the beginning of
 * a message get a ">" more.  Flags are in Status, X-Status and X-Keywords, as
 * mutt and Dovecot write them; they are taken out again on the way in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backendd/adm/adm.h"
#include "imap/date.h"
#include "imap/flag.h"
#include "imap/header.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"

enum {
	KEYWORDS_MAX = STORE_KEYWORDS
};

static const struct slice from_line = { (const uint8_t *)"From ", 5 };

static const struct {
	char letter;
	uint32_t flag;
} statuses[] = { { 'R', STORE_SEEN } }, xstatuses[] = { { 'A', STORE_ANSWERED },
	{ 'F', STORE_FLAGGED }, { 'T', STORE_DRAFT }, { 'D', STORE_DELETED } };

/* ---- out ---- */

static void
put(FILE *f, struct slice s)
{
	if (s.len > 0)
		fwrite(s.ptr, 1, s.len, f);
}

static struct slice
take_line(struct slice *s)
{
	size_t n = slice_find(*s, '\n');
	struct slice line = slice_first(*s, n < s->len ? n + 1 : n);

	*s = slice_skip(*s, line.len);
	return line;
}

/* ">From " and so on. */
static bool
is_quoted(struct slice line)
{
	while (line.len > 0 && line.ptr[0] == '>')
		line = slice_skip(line, 1);
	return slice_starts(line, from_line);
}

static void
put_status(FILE *f, const struct adm_message *m)
{
	fprintf(f, "Status: %sO\n", m->flags & STORE_SEEN ? "R" : "");
	if (m->flags & ~(uint32_t)STORE_SEEN) {
		fputs("X-Status: ", f);
		for (size_t i = 0; i < NITEMS(xstatuses); i++)
			if (m->flags & xstatuses[i].flag)
				fputc(xstatuses[i].letter, f);
		fputc('\n', f);
	}
	if (m->nkeywords == 0)
		return;
	fputs("X-Keywords:", f);
	for (size_t i = 0; i < m->nkeywords; i++)
		fprintf(f, " %s", m->keywords[i]);
	fputc('\n', f);
}

static void
put_from(FILE *f, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;
	char text[64];

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &tm) == 0)
		snprintf(text, sizeof text, "Thu Jan  1 00:00:00 1970");
	fprintf(f, "From MAILER-DAEMON %s\n", text);
}

void
adm_mbox_put(FILE *f, const struct adm_message *m)
{
	struct slice rest = m->octets, line;
	bool header = true;

	put_from(f, m->internaldate);
	while (rest.len > 0) {
		line = take_line(&rest);
		if (header && line.len == 1 && line.ptr[0] == '\n') {
			header = false;
			put_status(f, m);
		}
		if (is_quoted(line))
			fputc('>', f);
		put(f, line);
		if (line.ptr[line.len - 1] != '\n')
			fputc('\n', f);
	}
	if (header)
		put_status(f, m);
	fputc('\n', f);
}

/* ---- in ---- */

struct reading {
	struct arena arena; /* of a message */
	struct buf line, octets;
	const char *keywords[KEYWORDS_MAX];
	struct adm_message m;
};

/* "From SENDER Thu Jan  1 00:00:00 1970", zone perhaps before the year. */
static int64_t
date_of(struct arena *a, struct slice line)
{
	static const char *const months = "JanFebMarAprMayJunJulAugSepOctNov"
	                                  "Dec";
	struct slice rest = slice_trim(slice_skip(line, from_line.len));

	for (size_t at = 0; at + 20 <= rest.len; at++) {
		struct slice s = slice_skip(rest, at);
		char month[4] = "";
		struct slice day, clock, year;
		struct date_time t;

		/* "Jan  1 00:00:00 1970" behind a blank */
		if (at == 0 || rest.ptr[at - 1] != ' ' || s.ptr[3] != ' ')
			continue;
		memcpy(month, s.ptr, 3);
		if (strstr(months, month) == NULL)
			continue;
		day = slice_trim(slice_of(s.ptr + 4, 2));
		clock = slice_of(s.ptr + 7, 8);
		year = slice_of(s.ptr + s.len - 4, 4);
		if (date_parse_mail(slice_str(arena_printf(a,
		                        "%.*s %s %.*s %.*s +0000", (int)day.len,
		                        (const char *)day.ptr, month, 4,
		                        (const char *)year.ptr, (int)clock.len,
		                        (const char *)clock.ptr)),
		        &t))
			return t.seconds;
	}
	return 0;
}

static void
take_keywords(struct reading *r, struct slice value)
{
	while (value.len > 0) {
		size_t n;

		value = slice_trim(value);
		n = slice_find(value, ' ');
		if (flag_is_keyword(slice_first(value, n)) &&
		    r->m.nkeywords < KEYWORDS_MAX)
			r->keywords[r->m.nkeywords++] =
			    arena_string(&r->arena, slice_first(value, n));
		value = slice_skip(value, n);
	}
}

static void
take_letters(struct reading *r, struct slice value, bool extended)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = (char)value.ptr[i];

		if (!extended && c == statuses[0].letter)
			r->m.flags |= statuses[0].flag;
		for (size_t k = 0; extended && k < NITEMS(xstatuses); k++)
			if (c == xstatuses[k].letter)
				r->m.flags |= xstatuses[k].flag;
	}
}

/* A field of the header, if it is one of ours. */
static bool
take_field(struct reading *r, struct slice line)
{
	size_t colon = slice_find(line, ':');
	struct slice name = slice_first(line, colon), value;

	if (colon == line.len)
		return false;
	value = slice_trim(slice_skip(line, colon + 1));
	if (slice_is_nocase(name, "Status"))
		take_letters(r, value, false);
	else if (slice_is_nocase(name, "X-Status"))
		take_letters(r, value, true);
	else if (slice_is_nocase(name, "X-Keywords"))
		take_keywords(r, value);
	else
		return false;
	return true;
}

static void
begin(struct reading *r, struct slice line)
{
	arena_reset(&r->arena);
	buf_clear(&r->octets);
	r->m = (struct adm_message){ .keywords = r->keywords };
	r->m.internaldate = date_of(&r->arena, line);
}

static bool
ends_in(struct slice s, const char *text)
{
	size_t n = strlen(text);

	return s.len >= n && slice_is(slice_skip(s, s.len - n), text);
}

/* The empty line before the next "From " is not the message's. */
static bool
end(struct reading *r, adm_take *take, void *arg)
{
	struct slice s = buf_slice(&r->octets);

	if (ends_in(s, "\n\n"))
		s = slice_first(s, s.len - 1);
	else if (ends_in(s, "\n\r\n"))
		s = slice_first(s, s.len - 2);
	r->m.octets = s;
	return take(arg, &r->m);
}

/* The next line; false: there is none, or (buf_failed()) it is too long. */
static bool
read_line(struct buf *line, FILE *f)
{
	int c = EOF;

	buf_clear(line);
	while (c != '\n' && (c = getc_unlocked(f)) != EOF && !buf_failed(line))
		buf_putc(line, (uint8_t)c);
	return buf_len(line) > 0 && !buf_failed(line);
}

static int
read_all(struct reading *r, FILE *f, adm_take *take, void *arg, struct err *err)
{
	bool inside = false, header = false, blank = true, more = true;

	while (more && read_line(&r->line, f)) {
		struct slice line = buf_slice(&r->line);

		if (blank && slice_starts(line, from_line)) {
			if (inside)
				more = end(r, take, arg);
			begin(r, line);
			inside = header = true;
			blank = false;
			continue;
		}
		if (!inside)
			return err_set(err, "it does not begin with \"From \": "
			                    "is it an mbox?");
		blank = slice_trim(line).len == 0;
		header = header && !blank;
		if (header && take_field(r, line))
			continue;
		buf_put_slice(&r->octets, is_quoted(line) && line.ptr[0] == '>'
		                              ? slice_skip(line, 1)
		                              : line);
		if (buf_failed(&r->octets))
			break;
	}
	if (buf_failed(&r->octets) || buf_failed(&r->line))
		return err_set(err, "a message is longer than max_message");
	if (ferror(f))
		return err_sys(err, "reading");
	if (inside && more)
		(void)end(r, take, arg); /* it was the last */
	return 0;
}

int
adm_mbox_each(const char *file, uint64_t most, adm_take *take, void *arg,
    struct err *err)
{
	FILE *f = fopen(file, "re");
	struct reading r;
	int result;

	if (f == NULL)
		return err_sys(err, "opening %s", file);
	arena_init(&r.arena);
	buf_init(&r.octets, (size_t)most);
	buf_init(&r.line, (size_t)most);
	result = read_all(&r, f, take, arg, err);
	buf_fini(&r.octets);
	buf_fini(&r.line);
	arena_reset(&r.arena);
	fclose(f);
	return result == -1 ? err_add(err, "%s", file) : 0;
}
