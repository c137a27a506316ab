/*
 * Fuzz a server's responses: cuts do not matter, and passed on whole they are
 * what came in.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/value.h"
#include "lib/arena.h"
#include "lib/must.h"
#include "t/imap_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static const struct reply_limits limits = { 200, 100 };

static void
cuts(const uint8_t *in, size_t n, enum trace_way way, uint32_t seed)
{
	char *a = reply_trace(in, n, way, &limits, trace_whole, NULL);
	char *b = reply_trace(in, n, way, &limits, trace_some, &seed);

	/* Before an error more may have been passed, or less. */
	if (way == TRACE_GATHER || strstr(a, "ERROR(") == NULL)
		MUST(strcmp(a, b) == 0);
	else
		MUST(strstr(b, "ERROR(") != NULL);
	free(a);
	free(b);
}

static void
on_done(const struct piece *pieces, const struct reply_head *head,
    struct arena *a)
{
	struct reply_text t;
	struct parse p;

	if (head->kind == REPLY_STATUS || head->kind == REPLY_TAGGED)
		reply_parse_text(pieces, &t);
	if (head->kind != REPLY_DATA)
		return;
	reply_parse_data(&p, a, pieces);
	if (parse_peek(&p) == ' ') {
		parse_sp(&p);
		value_parse_all(&p);
	}
}

static void
parsed(const uint8_t *in, size_t n)
{
	struct reply_head head = { 0 };
	struct reply_item item;
	enum reply_event ev;
	struct reply r;
	struct arena a;

	arena_init(&a);
	reply_init(&r, &limits);
	while ((ev = reply_next(&r, in, n, &item)) > REPLY_MORE) {
		if (ev == REPLY_HEAD) {
			head = item.head;
			reply_gather(&r, &a);
		}
		if (ev == REPLY_DONE) {
			on_done(reply_pieces(&r), &head, &a);
			arena_reset(&a);
		}
		in += item.taken;
		n -= item.taken;
	}
	arena_reset(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	if (n == 0)
		return 0;
	cuts(in + 1, n - 1, TRACE_GATHER, *in);
	cuts(in + 1, n - 1, TRACE_PASS, *in);
	cuts(in + 1, n - 1, TRACE_DROP, *in);
	parsed(in + 1, n - 1);
	return 0;
}
