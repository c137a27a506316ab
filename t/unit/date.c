/*
 * date: known moments, every day of some centuries, and what is refused.
 */
#include <string.h>

#include "imap/date.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/wrote.h"

static struct buf out;

static void
test_imap(void)
{
	static const struct {
		const char *in;
		int64_t seconds;
		int zone;
		const char *want;
	} cases[] = {
		{ "01-Jan-1970 00:00:00 +0000", 0, 0, NULL },
		{ "01-Feb-1996 02:44:25 -0700", 823167865, -420, NULL },
		{ " 1-feb-1996 02:44:25 -0700", 823167865, -420,
		    "01-Feb-1996 02:44:25 -0700" },
		{ "29-Feb-2000 23:59:59 +0545", 951868799 - 20700, 345, NULL },
		{ "31-Dec-1969 23:59:59 +0000", -1, 0, NULL },
		{ "01-Jan-0000 00:00:00 +0000", INT64_C(-62167219200), 0,
		    NULL },
		{ "31-Dec-9999 23:59:59 +0000", INT64_C(253402300799), 0,
		    NULL },
		{ "31-Dec-1998 23:59:60 +0000", 915148799, 0,
		    "31-Dec-1998 23:59:59 +0000" },
	};
	static const char *const wrong[] = { "", "32-Jan-2000 00:00:00 +0000",
		"29-Feb-1900 00:00:00 +0000", "01-Foo-2000 00:00:00 +0000",
		"01-Jan-2000 24:00:00 +0000", "01-Jan-2000 00:00:00",
		"01-Jan-2000 00:00:00 +00", "01-Jan-2000 00:00 +0000",
		"01-Jan-2000 00:00:00 +0000 ", "00-Jan-2000 00:00:00 +0000",
		"01-Jan-200 00:00:00 +0000", "01-Jan-2000 00:00:00 +0060" };
	struct date_time t;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		ok(date_parse_time(slice_str(cases[i].in), &t) &&
		        t.seconds == cases[i].seconds &&
		        t.zone == cases[i].zone,
		    "%s", cases[i].in);
		date_put_time(&out, &t);
		ok(wrote(&out, cases[i].want ? cases[i].want : cases[i].in),
		    "...and back");
	}
	for (size_t i = 0; i < NITEMS(wrong); i++)
		ok(!date_parse_time(slice_str(wrong[i]), &t), "not: %s",
		    wrong[i]);
}

static void
test_mail(void)
{
	static const struct {
		const char *in;
		int64_t seconds;
		int zone;
	} cases[] = {
		{ "Thu, 1 Feb 1996 02:44:25 -0700", 823167865, -420 },
		{ "1 Feb 96 02:44 MST", 823167840, -420 },
		{ " Thu ,\r\n 1 Feb 1996 (a (nested) one) 02:44:25 -0700 (MST)",
		    823167865, -420 },
		{ "Thu Feb", -1, 0 },
		{ "1 February 1996 9:44:25 GMT", 823167865, 0 },
		{ "01-Feb-96 09:44:25 UT", 823167865, 0 },
		{ "1 Feb 1996 09:44:25", 823167865, 0 },
		{ "1 Jan 2025 00:00:00 +0000", 1735689600, 0 },
		{ "1 Jan 25 00:00:00 +0000", 1735689600, 0 },
		{ "1 Jan 125 00:00:00 +0000", 1735689600, 0 },
		{ "(((((", -1, 0 },
		{ "", -1, 0 },
		{ "30 Feb 2000 00:00:00 +0000", -1, 0 },
	};
	struct date_time t;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		bool good = date_parse_mail(slice_str(cases[i].in), &t);

		ok(cases[i].seconds == -1
		        ? !good
		        : good && t.seconds == cases[i].seconds &&
		              t.zone == cases[i].zone,
		    "mail: %zu", i);
	}
	t = (struct date_time){ .seconds = 823167865, .zone = -420 };
	date_put_mail(&out, &t);
	ok(wrote(&out, "Thu, 1 Feb 1996 02:44:25 -0700"), "written for mail");
	ok(date_day_of(&t) == 823132800, "its day where it was written");
}

/* Every day of a thousand years: written, parsed, and one after another. */
static void
test_days(void)
{
	bool good = true;

	for (int64_t day = -200000; day < 200000 && good; day++) {
		struct date_time t = { .seconds = day * 86400 };
		int64_t seconds;
		struct slice s;

		buf_clear(&out);
		date_put_time(&out, &t);
		s = buf_slice(&out);
		good = date_parse_day(slice_first(s, slice_find(s, ' ')),
		           &seconds) &&
		       seconds == day * 86400;
	}
	ok(good, "every day");
	buf_clear(&out);
	date_put_time(&out, &(struct date_time){ .seconds = INT64_C(1) << 50 });
	ok(slice_starts(buf_slice(&out), slice_str("31-Dec-9999 ")),
	    "after the last");
}

int
main(void)
{
	buf_init(&out, 100);
	test_imap();
	test_mail();
	test_days();
	buf_fini(&out);
	return done_testing();
}
