#include <stdio.h>
#include <stdlib.h>

#include "lib/arena.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "t/imap_trace.h"

static void
put_octets(FILE *f, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] < ' ' || p[i] >= 0x7f || p[i] == '\\')
			fprintf(f, "\\%02x", p[i]);
		else
			fputc(p[i], f);
	}
}

static void
put_pieces(FILE *f, const struct piece *p)
{
	for (; p != NULL; p = p->next) {
		if (p->kind == PIECE_STREAM) {
			fprintf(f, "<%s%ju>", p->binary ? "~" : "",
			    (uintmax_t)p->size);
			continue;
		}
		if (p->kind == PIECE_LITERAL)
			fputs(p->binary ? "~{" : "{", f);
		put_octets(f, p->octets.ptr, p->octets.len);
		if (p->kind == PIECE_LITERAL)
			fputc('}', f);
	}
}

char *
trace_pieces(const struct piece *pieces)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	MUST(f != NULL);
	put_pieces(f, pieces);
	fclose(f);
	return text;
}

/* What a session would do. */
static void
on_collect(FILE *f, struct collect *c, enum collect_event ev,
    const struct collect_item *item)
{
	switch (ev) {
	case COLLECT_ERROR:
	case COLLECT_MORE:
	case COLLECT_GATHERED:
		break;
	case COLLECT_CONTINUE:
		fputs("+ ", f);
		break;
	case COLLECT_REFUSED:
		fprintf(f, "REFUSED(%.*s %s%s) ", (int)collect_tag(c).len,
		    (const char *)collect_tag(c).ptr, item->why,
		    item->too_big ? "!" : "");
		collect_done(c);
		break;
	case COLLECT_STREAM:
		fputs(item->sync ? "STREAM(" : "STREAM+(", f);
		put_pieces(f, collect_pieces(c));
		fputs(") ", f);
		if (item->size <= 20) {
			collect_accept(c);
		} else if (item->sync) {
			collect_refuse(c);
			collect_done(c);
		} else {
			collect_skip(c);
		}
		break;
	case COLLECT_DATA:
		fputs("DATA ", f);
		break;
	case COLLECT_COMMAND:
		fputs("CMD(", f);
		put_pieces(f, collect_pieces(c));
		fputs(") ", f);
		collect_done(c);
		break;
	case COLLECT_LINE:
		fputs("LINE ", f);
		break;
	}
}

char *
collect_trace(const uint8_t *in, size_t n, enum collect_dialect dialect,
    const struct collect_limits *limits, trace_cut *cut, void *arg)
{
	char *text = NULL;
	size_t len, have = 0, from = 0;
	FILE *f = open_memstream(&text, &len);
	enum collect_event ev = COLLECT_MORE;
	struct collect_item item;
	struct collect c;
	struct arena a;
	bool data = false;

	MUST(f != NULL);
	arena_init(&a);
	collect_init(&c, dialect, limits, &a);
	while (ev != COLLECT_ERROR && (have < n || ev > COLLECT_MORE)) {
		if (ev == COLLECT_MORE) {
			size_t more = cut(arg);

			more = more == 0 ? 1 : more;
			have += more < n - have ? more : n - have;
		}
		ev = collect_next(&c, in + from, have - from, &item);
		from += item.taken;
		if (ev == COLLECT_MORE)
			continue;
		/* How data are cut is the cuts' own affair. */
		if (data && ev != COLLECT_DATA)
			fputs("] ", f);
		if (!data && ev == COLLECT_DATA)
			fputc('[', f);
		data = ev == COLLECT_DATA;
		if (data)
			put_octets(f, item.octets.ptr, item.octets.len);
		else
			on_collect(f, &c, ev, &item);
	}
	if (ev == COLLECT_ERROR)
		fprintf(f, "ERROR(%s)", collect_error(&c));
	fclose(f);
	arena_reset(&a);
	return text;
}

static void
on_head(FILE *f, const struct reply_head *h)
{
	static const char *const kinds[] = { "CONT", "STATUS", "DATA",
		"TAGGED" };

	MUST(h->kind < NITEMS(kinds));
	fprintf(f, "%s", kinds[h->kind]);
	if (h->kind == REPLY_STATUS || h->kind == REPLY_TAGGED)
		fprintf(f, " %d", (int)h->status);
	if (h->has_number)
		fprintf(f, " %u", h->number);
	fputc(' ', f);
	put_octets(f, h->name.ptr, h->name.len);
	put_octets(f, h->tag.ptr, h->tag.len);
	fputc(' ', f);
}

static void
decide(struct reply *r, enum trace_way way, struct arena *a)
{
	switch (way) {
	case TRACE_GATHER:
		reply_gather(r, a);
		break;
	case TRACE_PASS:
		reply_pass(r);
		break;
	case TRACE_DROP:
		reply_drop(r);
		break;
	}
}

static void
on_reply(FILE *f, struct reply *r, enum reply_event ev,
    const struct reply_item *item, enum trace_way way, struct arena *a)
{
	switch (ev) {
	case REPLY_ERROR:
	case REPLY_MORE:
	case REPLY_GATHERED:
		break;
	case REPLY_HEAD:
		on_head(f, &item->head);
		decide(r, way, a);
		break;
	case REPLY_OCTETS:
		put_octets(f, item->octets.ptr, item->octets.len);
		break;
	case REPLY_DONE:
		if (way == TRACE_GATHER)
			put_pieces(f, reply_pieces(r));
		fputs(" DONE ", f);
		break;
	}
}

char *
reply_trace(const uint8_t *in, size_t n, enum trace_way way,
    const struct reply_limits *limits, trace_cut *cut, void *arg)
{
	char *text = NULL;
	size_t len, have = 0, from = 0;
	FILE *f = open_memstream(&text, &len);
	enum reply_event ev = REPLY_MORE;
	struct reply_item item;
	struct reply r;
	struct arena a;

	MUST(f != NULL);
	arena_init(&a);
	reply_init(&r, limits);
	while (ev != REPLY_ERROR && (have < n || ev > REPLY_MORE)) {
		if (ev == REPLY_MORE) {
			size_t more = cut(arg);

			more = more == 0 ? 1 : more;
			have += more < n - have ? more : n - have;
		}
		ev = reply_next(&r, in + from, have - from, &item);
		from += item.taken;
		on_reply(f, &r, ev, &item, way, &a);
		if (ev == REPLY_DONE)
			arena_reset(&a);
	}
	if (ev == REPLY_ERROR)
		fprintf(f, "ERROR(%s)", reply_error(&r));
	fclose(f);
	arena_reset(&a);
	return text;
}
