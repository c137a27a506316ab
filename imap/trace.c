#include "imap/date.h"
#include "imap/trace.h"
#include "lib/buf.h"

void
trace_put_clean(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_putc(out,
		    s.ptr[i] < 0x20 || s.ptr[i] == 0x7f ? '?' : s.ptr[i]);
}

void
trace_put_received(struct buf *out, const struct trace *t)
{
	struct date_time now = { t->seconds, 0 };

	buf_puts(out, "Received: from ");
	trace_put_clean(out, slice_str(t->lhlo));
	buf_puts(out, " ([");
	trace_put_clean(out, slice_str(t->peer));
	buf_puts(out, "])\r\n\tby ");
	buf_puts(out, t->host);
	buf_puts(out, t->secure ? " with LMTPS id " : " with LMTP id ");
	buf_puts(out, t->sid);
	buf_puts(out, ";\r\n\t");
	date_put_mail(out, &now);
	buf_puts(out, "\r\n");
}

void
trace_put(struct buf *out, const struct trace *t)
{
	buf_puts(out, "Return-Path: <");
	trace_put_clean(out, t->from);
	buf_puts(out, ">\r\n");
	trace_put_received(out, t);
}
