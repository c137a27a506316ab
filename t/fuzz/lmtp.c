/*
 * Fuzz LMTP: cuts do not matter to lines, data and replies; dotted and
 * undotted again a message is the same; a path written parses to itself.
 */
#include <string.h>

#include "imap/lmtp.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

/* Data out of octets that arrive step by step; true if they ended. */
static enum lmtp_data_event
undot(const uint8_t *in, size_t n, size_t step, struct buf *out)
{
	struct lmtp_undot d = { 0 };
	enum lmtp_data_event ev = LMTP_DATA_MORE;
	size_t have = 0, from = 0;

	while (ev >= LMTP_DATA_MORE && ev != LMTP_DATA_END) {
		struct slice s;
		size_t taken;

		if (ev == LMTP_DATA_MORE) {
			if (have == n)
				break;
			have += step < n - have ? step : n - have;
		}
		ev = lmtp_undot(&d, in + from, have - from, &s, &taken);
		if (ev == LMTP_DATA_OCTETS)
			buf_put_slice(out, s);
		from += taken;
		MUST(from <= have);
	}
	return ev;
}

static void
data(const uint8_t *in, size_t n, size_t step)
{
	struct buf a, b;
	enum lmtp_data_event x, y;
	struct lmtp_dot d = { 0 };

	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	x = undot(in, n, n, &a);
	y = undot(in, n, step, &b);
	MUST(x == y);
	if (x != LMTP_DATA_ERROR)
		MUST(slice_equal(buf_slice(&a), buf_slice(&b)));
	/* What was received is sent as it was, but for what it ended in. */
	if (x == LMTP_DATA_END) {
		buf_clear(&b);
		lmtp_dot(&d, &b, buf_slice(&a));
		lmtp_dot_end(&d, &b);
		buf_clear(&a);
		MUST(undot(buf_data(&b), buf_len(&b), step, &a) ==
		     LMTP_DATA_END);
	}
	/* And anything at all is made fit to send. */
	buf_clear(&a);
	buf_clear(&b);
	d = (struct lmtp_dot){ 0 };
	lmtp_dot(&d, &a, slice_of(in, n));
	MUST(buf_len(&a) <= 2 * n + 1);
	lmtp_dot_end(&d, &a);
	MUST(undot(buf_data(&a), buf_len(&a), step, &b) == LMTP_DATA_END);
	buf_fini(&a);
	buf_fini(&b);
}

static void
command(struct arena *a, struct slice line)
{
	struct lmtp_target target;
	struct lmtp_command c;
	struct lmtp_path again;
	struct buf out;

	lmtp_parse_command(a, line, &c);
	MUST((c.code == 0) == (c.why == NULL));
	if (c.code != 0)
		return;
	lmtp_parse_target(a, &c, &target);
	buf_init(&out, 1 << 16);
	lmtp_put_path(&out, &c.path);
	if (buf_len(&out) <= LMTP_PATH_MAX) {
		MUST(lmtp_parse_path(a, buf_slice(&out), &again));
		MUST(slice_equal(again.local, c.path.local) &&
		     slice_equal(again.domain, c.path.domain));
	}
	buf_fini(&out);
}

static void
lines(const uint8_t *in, size_t n)
{
	struct lmtp_lines l = { 0 };
	struct slice line;
	struct arena a;
	size_t taken;

	arena_init(&a);
	while (lmtp_line(&l, in, n, &line, &taken) == LMTP_LINE) {
		command(&a, line);
		in += taken;
		n -= taken;
	}
	arena_reset(&a);
}

static void
replies(const uint8_t *in, size_t n)
{
	struct lmtp_replies r = { 0 };
	struct lmtp_reply reply;
	size_t taken;

	while (lmtp_reply_next(&r, in, n, &reply, &taken) > LMTP_REPLY_MORE) {
		MUST(reply.code >= 200 && reply.code <= 599);
		in += taken;
		n -= taken;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	if (n == 0)
		return 0;
	data(in + 1, n - 1, (*in & 7) + 1);
	lines(in + 1, n - 1);
	replies(in + 1, n - 1);
	return 0;
}
