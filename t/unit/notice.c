/*
 * notice: what we put before mail, and our refusals.
 */
#include <string.h>

#include "imap/header.h"
#include "imap/trace.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "proxyd/notice.h"
#include "t/tap.h"

static bool
has(const struct buf *b, const char *text)
{
	struct slice s = buf_slice(b), want = slice_str(text);

	for (; s.len >= want.len; s = slice_skip(s, 1))
		if (slice_starts(s, want))
			return true;
	return false;
}

/* Every LF has its CR, and every CR its LF. */
static bool
lines_are_whole(const struct buf *b)
{
	struct slice s = buf_slice(b);

	for (size_t i = 0; i < s.len; i++)
		if ((s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r')) ||
		    (s.ptr[i] == '\r' &&
		        (i + 1 == s.len || s.ptr[i + 1] != '\n')))
			return false;
	return s.len > 1 && s.ptr[s.len - 1] == '\n';
}

static void
test_trace(void)
{
	struct trace t = { .from = slice_str("a\r\nBcc: x@y"),
		.lhlo = "mx",
		.peer = "192.0.2.1:7",
		.host = "front",
		.sid = "0123",
		.seconds = 823142665 };
	struct header_field f;
	struct buf b;

	buf_init(&b, 4096);
	trace_put(&b, &t);
	ok(lines_are_whole(&b), "whole lines");
	ok(has(&b, "Return-Path: <a??Bcc: x@y>\r\n"),
	    "no line of a sender's own");
	ok(has(&b, "Received: from mx ([192.0.2.1:7])\r\n\tby front with LMTP "
	           "id 0123;\r\n\tThu, 1 Feb 1996 02:44:25 +0000\r\n"),
	    "Received");
	buf_puts(&b, "Subject: x\r\n\r\n");
	ok(header_find(buf_slice(&b), "Subject", &f),
	    "is a header's beginning");
	buf_clear(&b);
	t.secure = true;
	trace_put_received(&b, &t);
	ok(has(&b, " with LMTPS id ") && !has(&b, "Return-Path"),
	    "alone, and with TLS");
	buf_fini(&b);
}

static void
test_loops(void)
{
	struct slice fred = slice_str("fred@x");
	struct buf b;

	buf_init(&b, 65536);
	ok(!notice_was_redirected(slice_str(""), fred), "an empty message");
	notice_put_redirected(&b, slice_str("joe@x"));
	buf_puts(&b, "Subject: x\r\n\r\nX-Sieve-Redirected-For: fred@x\r\n");
	ok(notice_was_redirected(buf_slice(&b), slice_str("JOE@X")),
	    "for joe, in any case");
	ok(!notice_was_redirected(buf_slice(&b), fred), "not for fred");
	buf_clear(&b);
	for (unsigned i = 0; i < 100; i++)
		buf_puts(&b, "Received: from a by b\r\n");
	ok(!notice_loops(buf_slice(&b)), "a long way");
	buf_puts(&b, "RECEIVED: from a by b\r\n\r\n");
	ok(notice_loops(buf_slice(&b)), "a loop");
	buf_fini(&b);
}

static void
test_reject(void)
{
	const struct notice_reject r = { .host = "front",
		.postmaster = "pm@front",
		.id = "cafe",
		.to = slice_str("joe@y"),
		.recipient = slice_str("fred@x"),
		.reason = slice_str("No,\nr\303\251ally\rnot"),
		.message = slice_str("Subject: s\r\nMessage-ID: <1@y>\r\n\r\n"
		                     "secret\r\n") };
	struct buf b;

	buf_init(&b, 65536);
	notice_put_reject(&b, &r);
	ok(!buf_failed(&b) && lines_are_whole(&b), "whole lines");
	ok(has(&b, "\r\nTo: <joe@y>\r\n") && has(&b, "<pm@front>") &&
	        has(&b, "\r\nAuto-Submitted: auto-replied (rejected)\r\n"),
	    "from whom, to whom, and what");
	ok(has(&b, "\r\n\r\nNo,\r\nr\303\251ally\r\nnot\r\n"), "the reason");
	ok(has(&b, "\r\nDisposition: automatic-action/MDN-sent-automatically; "
	           "deleted\r\n") &&
	        has(&b, "Final-Recipient: rfc822; fred@x\r\n") &&
	        has(&b, "Original-Message-ID: <1@y>\r\n"),
	    "RFC 8098's fields");
	ok(has(&b, "Subject: s\r\n") && !has(&b, "secret"),
	    "the header, and no more");
	ok(has(&b, "\r\n--cafe--\r\n"), "its end");
	buf_fini(&b);
}

int
main(void)
{
	test_trace();
	test_loops();
	test_reject();
	return done_testing();
}
