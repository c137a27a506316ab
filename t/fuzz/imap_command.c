/*
 * Fuzz a client's commands: cuts do not matter, whatever parses as values is
 * the same written and parsed again, and every parser ends well.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/command.h"
#include "imap/date.h"
#include "imap/flag.h"
#include "imap/id.h"
#include "imap/seqset.h"
#include "imap/value.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "t/imap_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static const struct collect_limits small = { 200, 100, 5 };
static const struct collect_limits large = { 1 << 20, 1 << 20, 1000 };

static void
cuts(const uint8_t *in, size_t n, uint32_t seed)
{
	char *a = collect_trace(in, n, COLLECT_IMAP, &small, trace_whole, NULL);
	char *b = collect_trace(in, n, COLLECT_IMAP, &small, trace_some, &seed);

	MUST(strcmp(a, b) == 0);
	free(a);
	free(b);
}

/* The first command, its literals stored; NULL if there is none. */
static const struct piece *
collected(struct collect *c, const uint8_t *in, size_t n)
{
	struct collect_item item;
	enum collect_event ev;

	while ((ev = collect_next(c, in, n, &item)) > COLLECT_MORE) {
		in += item.taken;
		n -= item.taken;
		if (ev == COLLECT_COMMAND)
			return collect_pieces(c);
		if (ev == COLLECT_STREAM || ev == COLLECT_REFUSED)
			return NULL;
	}
	return NULL;
}

static void
round_trip(struct arena *a, const struct value *v)
{
	struct arena again;
	struct collect c;
	struct parse p;
	struct write w;
	struct buf out;
	const struct piece *pieces;
	const struct value *x;

	arena_init(&again);
	buf_init(&out, 1 << 22);
	write_init(&w, &out, WRITE_CLIENT);
	buf_puts(&out, "a ");
	value_write_all(&w, v);
	write_end(&w);
	collect_init(&c, COLLECT_IMAP, &large, &again);
	pieces = collected(&c, buf_data(&out), buf_len(&out));
	if (pieces != NULL) {
		parse_init(&p, a, pieces);
		parse_tag(&p);
		parse_sp(&p);
		x = value_parse_all(&p);
		MUST(parse_error(&p) == NULL);
		for (; v != NULL; v = v->next, x = x->next)
			MUST(x != NULL && value_equal(v, x));
		MUST(x == NULL);
	}
	arena_reset(&again);
	buf_fini(&out);
}

static void
values(const uint8_t *in, size_t n)
{
	const struct piece *pieces;
	struct collect c;
	struct parse p;
	struct arena a;
	struct value *v;

	arena_init(&a);
	collect_init(&c, COLLECT_IMAP, &large, &a);
	pieces = collected(&c, in, n);
	if (pieces != NULL) {
		parse_init(&p, &a, pieces);
		parse_tag(&p);
		parse_sp(&p);
		v = value_parse_all(&p);
		if (v != NULL)
			round_trip(&a, v);
	}
	arena_reset(&a);
}

/* Every way to take an argument, whatever is there. */
static void
each(const uint8_t *in, size_t n)
{
	const struct piece *pieces;
	struct date_time t;
	struct seqset set;
	struct collect c;
	struct flags f;
	struct parse p;
	struct arena a;
	struct id id;
	bool binary;

	arena_init(&a);
	collect_init(&c, COLLECT_IMAP, &large, &a);
	pieces = collected(&c, in, n);
	for (int i = 0; pieces != NULL && i < 12; i++) {
		parse_init(&p, &a, pieces);
		parse_tag(&p);
		parse_sp(&p);
		switch (i) {
		case 0:
			parse_command(&p);
			break;
		case 1:
			parse_mailbox(&p);
			break;
		case 2:
			parse_nstring(&p);
			break;
		case 3:
			parse_number64(&p);
			break;
		case 4:
			parse_flag_list(&p, &f);
			break;
		case 5:
			parse_store_flags(&p, &f);
			break;
		case 6:
			parse_date_time(&p, &t);
			break;
		case 7:
			parse_date(&p);
			break;
		case 8:
			parse_seqset(&p, &set);
			if (parse_error(&p) == NULL)
				seqset_resolve(&set, 1000);
			break;
		case 9:
			parse_stream(&p, &binary);
			break;
		case 10:
			id_parse(&p, &id);
			break;
		default:
			parse_list_mailbox(&p);
			break;
		}
		parse_end(&p);
	}
	arena_reset(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	if (n == 0)
		return 0;
	cuts(in + 1, n - 1, *in);
	values(in + 1, n - 1);
	each(in + 1, n - 1);
	return 0;
}
