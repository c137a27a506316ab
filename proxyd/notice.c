#include <stddef.h>

#include "imap/date.h"
#include "imap/header.h"
#include "imap/trace.h"
#include "lib/buf.h"
#include "proxyd/notice.h"

#define REDIRECTED "X-Sieve-Redirected-For"

enum {
	RECEIVED_MAX = 100,
	SCAN_MAX = 256 * 1024,  /* octets: trace fields stand at the top */
	HEADER_MAX = 32 * 1024, /* of the message that is enclosed */
	REASON_MAX = 32 * 1024
};

void
notice_put_redirected(struct buf *out, struct slice recipient)
{
	buf_puts(out, REDIRECTED ": ");
	trace_put_clean(out, recipient);
	buf_puts(out, "\r\n");
}

static struct slice
top(struct slice message)
{
	return slice_first(message,
	    message.len < SCAN_MAX ? message.len : SCAN_MAX);
}

bool
notice_was_redirected(struct slice message, struct slice recipient)
{
	struct header_iter it;
	struct header_field f;

	header_init(&it, top(message));
	while (header_next(&it, &f))
		if (slice_is_nocase(f.name, REDIRECTED) &&
		    slice_equal_nocase(slice_trim(f.value), recipient))
			return true;
	return false;
}

bool
notice_loops(struct slice message)
{
	struct header_iter it;
	struct header_field f;
	unsigned n = 0;

	header_init(&it, top(message));
	while (header_next(&it, &f))
		n += slice_is_nocase(f.name, "Received");
	return n > RECEIVED_MAX;
}

/* --- a rejection ------------------------------------------------------------- */

/* Text in lines that end in CR LF. */
static void
put_text(struct buf *out, struct slice s)
{
	uint8_t last = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '\n' ||
		    (c == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n')))
			buf_puts(out, "\r\n");
		else if (c != '\r')
			buf_putc(out, c);
		last = c;
	}
	if (s.len > 0 && last != '\n' && last != '\r')
		buf_puts(out, "\r\n");
}

static void
put_head(struct buf *out, const struct notice_reject *r)
{
	struct date_time now = { r->seconds, 0 };

	buf_puts(out, "Date: ");
	date_put_mail(out, &now);
	buf_puts(out, "\r\nFrom: Mail Delivery <");
	buf_puts(out, r->postmaster);
	buf_puts(out, ">\r\nTo: <");
	trace_put_clean(out, r->to);
	buf_puts(out,
	    ">\r\nSubject: Your message was refused\r\nMessage-ID: <");
	buf_puts(out, r->id);
	buf_puts(out, "@");
	buf_puts(out, r->host);
	buf_puts(out, ">\r\nAuto-Submitted: auto-replied (rejected)\r\n"
	              "MIME-Version: 1.0\r\n"
	              "Content-Type: multipart/report; "
	              "report-type=disposition-notification;\r\n\tboundary=\"");
	buf_puts(out, r->id);
	buf_puts(out, "\"\r\n\r\n");
}

static void
put_boundary(struct buf *out, const struct notice_reject *r, const char *rest)
{
	buf_puts(out, "\r\n--");
	buf_puts(out, r->id);
	buf_puts(out, rest);
	buf_puts(out, "\r\n");
}

static void
put_disposition(struct buf *out, const struct notice_reject *r)
{
	struct header_field f;

	buf_puts(out, "Content-Type: message/disposition-notification\r\n\r\n"
	              "Reporting-UA: ");
	buf_puts(out, r->host);
	buf_puts(out, "; Murder\r\nFinal-Recipient: rfc822; ");
	trace_put_clean(out, r->recipient);
	if (header_find(top(r->message), "Message-ID", &f)) {
		buf_puts(out, "\r\nOriginal-Message-ID: ");
		trace_put_clean(out, slice_trim(f.value));
	}
	buf_puts(out,
	    "\r\nDisposition: automatic-action/MDN-sent-automatically;"
	    " deleted\r\n");
}

void
notice_put_reject(struct buf *out, const struct notice_reject *r)
{
	size_t header = header_length(top(r->message));
	size_t reason = r->reason.len < REASON_MAX ? r->reason.len : REASON_MAX;

	put_head(out, r);
	put_boundary(out, r, "");
	buf_puts(out, "Content-Type: text/plain; charset=utf-8\r\n"
	              "Content-Transfer-Encoding: 8bit\r\n\r\n"
	              "The message was refused by the recipient's mail "
	              "filtering program.\r\nThe reason given was as "
	              "follows:\r\n\r\n");
	put_text(out, slice_first(r->reason, reason));
	put_boundary(out, r, "");
	put_disposition(out, r);
	put_boundary(out, r, "");
	buf_puts(out, "Content-Type: text/rfc822-headers\r\n\r\n");
	put_text(out,
	    slice_first(r->message, header < HEADER_MAX ? header : HEADER_MAX));
	put_boundary(out, r, "--");
}
