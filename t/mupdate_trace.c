#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/mupdate_trace.h"

static void
put_message(struct buf *out, const struct mupdate_message *m)
{
	buf_printf(out, "[%.*s %d", (int)m->tag.len, (const char *)m->tag.ptr,
	    m->id);
	for (size_t i = 0; i < m->nargs; i++) {
		buf_puts(out, " <");
		buf_put_slice(out, m->args[i]);
		buf_puts(out, ">");
	}
	if (m->error != NULL)
		buf_printf(out, " !%s", m->error);
	buf_puts(out, "]");
}

static void
put_event(struct buf *out, struct mupdate *m, enum mupdate_event ev,
    const struct mupdate_trace_opt *opt, unsigned *lines)
{
	const struct mupdate_message *msg = mupdate_message(m);

	switch (ev) {
	case MUPDATE_MORE:
		break;
	case MUPDATE_ERROR:
		buf_printf(out, "(error %s)", mupdate_error(m));
		break;
	case MUPDATE_GO_AHEAD:
		buf_puts(out, "(go)");
		break;
	case MUPDATE_LINE:
		buf_printf(out, "(line %.*s)", (int)mupdate_line(m).len,
		    (const char *)mupdate_line(m).ptr);
		if (opt->tag != NULL || --*lines > 0)
			mupdate_expect_line(m, opt->tag);
		break;
	case MUPDATE_MESSAGE:
		put_message(out, msg);
		if (opt->lines && msg->id == MUPDATE_CMD_AUTHENTICATE) {
			*lines = 2;
			mupdate_expect_line(m, NULL);
		}
		break;
	}
}

/* A piece at a time, in memory of its own, so that what is kept shows. */
static enum mupdate_event
feed(struct buf *out, struct mupdate *m, const uint8_t *in, size_t n,
    const struct mupdate_trace_opt *opt, unsigned *lines)
{
	uint8_t *piece = xmemdup(in, n);
	enum mupdate_event ev;
	size_t at = 0, taken;

	do {
		ev = mupdate_next(m, piece + at, n - at, &taken);
		MUST(taken <= n - at);
		at += taken;
		put_event(out, m, ev, opt, lines);
	} while (ev > MUPDATE_MORE);
	MUST(ev == MUPDATE_ERROR || at == n);
	free(piece);
	return ev;
}

char *
mupdate_trace(const uint8_t *in, size_t n, const struct mupdate_trace_opt *opt,
    size_t (*size)(void *arg), void *arg)
{
	struct mupdate *m = mupdate_new(opt->side, &opt->limits);
	unsigned lines = 0;
	struct buf out;
	char *text;

	buf_init(&out, 1024 * 1024);
	if (opt->tag != NULL)
		mupdate_expect_line(m, opt->tag);
	for (size_t at = 0; at < n;) {
		size_t piece = size(arg);

		if (piece > n - at)
			piece = n - at;
		if (feed(&out, m, in + at, piece, opt, &lines) == MUPDATE_ERROR)
			break;
		at += piece;
	}
	MUST(!buf_failed(&out));
	text = xstrndup(buf_data(&out), buf_len(&out));
	buf_fini(&out);
	mupdate_free(&m);
	return text;
}
