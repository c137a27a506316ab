#include "imap/date.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

enum {
	DAY = 86400
};

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char weekdays[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };

struct civil {
	int64_t year;
	unsigned month, day; /* from 1 */
};

/* A text being read; failure sticks. */
struct text {
	struct slice s;
	bool failed;
};

/*
 * Days since 1970-01-01.  A year is counted from March, so that the leap day
 * is its last and months have regular lengths: 153 days for every five.
 */
static int64_t
days_of(struct civil c)
{
	int64_t y = c.year - (c.month <= 2) + 400, era = y / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year =
	    (153 * ((int64_t)c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 +
	    (int64_t)c.day - 1;

	return (era - 1) * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

static struct civil
civil_of(int64_t days)
{
	int64_t z = days + 719468 + 146097, era = z / 146097;
	int64_t of_era = z - era * 146097;
	int64_t year =
	    (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * of_year + 2) / 153;
	struct civil c;

	c.day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
	c.month = (unsigned)(m < 10 ? m + 3 : m - 9);
	c.year = year + (era - 1) * 400 + (c.month <= 2);
	return c;
}

static unsigned
month_length(struct civil c)
{
	static const unsigned lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
		31, 30, 31 };
	bool leap = c.year % 4 == 0 && (c.year % 100 != 0 || c.year % 400 == 0);

	return lengths[c.month - 1] + (c.month == 2 && leap);
}

/* Between min and max digits. */
static unsigned
number(struct text *t, size_t min, size_t max)
{
	uint64_t n = 0;
	size_t len = 0;

	while (len < t->s.len && len < max && ascii_digit(t->s.ptr[len]))
		len++;
	if (len < min || !ascii_number(slice_first(t->s, len), 99999, &n)) {
		t->failed = true;
		return 0;
	}
	t->s = slice_skip(t->s, len);
	return (unsigned)n;
}

static bool
try_char(struct text *t, uint8_t c)
{
	if (t->s.len == 0 || t->s.ptr[0] != c)
		return false;
	t->s = slice_skip(t->s, 1);
	return true;
}

static void
expect(struct text *t, uint8_t c)
{
	if (!try_char(t, c))
		t->failed = true;
}

static unsigned
month(struct text *t)
{
	for (unsigned i = 0; i < NITEMS(months); i++)
		if (slice_starts_nocase(t->s, months[i])) {
			t->s = slice_skip(t->s, 3);
			return i + 1;
		}
	t->failed = true;
	return 1;
}

static bool
civil_valid(struct civil c)
{
	return c.month >= 1 && c.month <= 12 && c.day >= 1 &&
	       c.day <= month_length(c);
}

/* "1-Feb-1996", the day in one or two digits. */
static struct civil
imap_day(struct text *t)
{
	struct civil c;

	c.day = number(t, 1, 2);
	expect(t, '-');
	c.month = month(t);
	expect(t, '-');
	c.year = number(t, 4, 4);
	return c;
}

/* "02:44:25" or "02:44"; seconds of the day. */
static unsigned
clock_of(struct text *t, size_t min_digits)
{
	unsigned h = number(t, min_digits, 2), m, s = 0;

	expect(t, ':');
	m = number(t, min_digits, 2);
	if (try_char(t, ':'))
		s = number(t, min_digits, 2);
	else if (min_digits == 2)
		t->failed = true;
	if (h > 23 || m > 59 || s > 60)
		t->failed = true;
	return h * 3600 + m * 60 + (s > 59 ? 59 : s);
}

/* "-0700", in minutes. */
static int
zone(struct text *t)
{
	bool west = try_char(t, '-');
	int n;

	if (!west)
		expect(t, '+');
	n = (int)number(t, 4, 4);
	if (n % 100 > 59)
		t->failed = true;
	n = n / 100 * 60 + n % 100;
	return west ? -n : n;
}

static bool
finish(const struct text *t, struct civil c, unsigned clock, int minutes,
    struct date_time *out)
{
	if (t->failed || t->s.len > 0 || !civil_valid(c))
		return false;
	out->zone = minutes;
	out->seconds = days_of(c) * DAY + clock - (int64_t)minutes * 60;
	return true;
}

bool
date_parse_time(struct slice s, struct date_time *out)
{
	struct text t = { .s = s };
	struct civil c;
	unsigned clock;
	int minutes;

	try_char(&t, ' ');
	c = imap_day(&t);
	expect(&t, ' ');
	clock = clock_of(&t, 2);
	expect(&t, ' ');
	minutes = zone(&t);
	return finish(&t, c, clock, minutes, out);
}

bool
date_parse_day(struct slice s, int64_t *seconds)
{
	struct text t = { .s = s };
	struct civil c = imap_day(&t);
	struct date_time out;

	if (!finish(&t, c, 0, 0, &out))
		return false;
	*seconds = out.seconds;
	return true;
}

/* White space and comments, which may nest. */
static void
skip_cfws(struct text *t)
{
	size_t depth = 0, i = 0;

	for (; i < t->s.len; i++) {
		uint8_t c = t->s.ptr[i];

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0 && i + 1 < t->s.len)
			i++;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' &&
		         c != '\n')
			break;
	}
	t->s = slice_skip(t->s, i);
}

static struct slice
take_letters(struct text *t)
{
	struct slice s = t->s;
	size_t n = 0;

	while (n < s.len && ascii_alpha(s.ptr[n]))
		n++;
	t->s = slice_skip(s, n);
	return slice_first(s, n);
}

/* RFC 5322 4.3: names we know, and everything else is as good as -0000. */
static int
zone_name(struct slice name)
{
	static const struct {
		char name[4];
		int hours;
	} zones[] = { { "EST", -5 }, { "EDT", -4 }, { "CST", -6 },
		{ "CDT", -5 }, { "MST", -7 }, { "MDT", -6 }, { "PST", -8 },
		{ "PDT", -7 } };

	for (size_t i = 0; i < NITEMS(zones); i++)
		if (slice_is_nocase(name, zones[i].name))
			return zones[i].hours * 60;
	return 0;
}

/* RFC 5322 4.3: two digits are of this half century or the last. */
static int64_t
mail_year(struct text *t)
{
	size_t before = t->s.len;
	int64_t year = number(t, 2, 4);
	size_t digits = before - t->s.len;

	if (digits == 2)
		return year + (year < 50 ? 2000 : 1900);
	return digits == 3 ? year + 1900 : year;
}

static int
mail_zone(struct text *t)
{
	skip_cfws(t);
	if (t->s.len == 0)
		return 0;
	if (t->s.ptr[0] == '+' || t->s.ptr[0] == '-')
		return zone(t);
	return zone_name(take_letters(t));
}

bool
date_parse_mail(struct slice s, struct date_time *out)
{
	struct text t = { .s = s };
	struct civil c;
	unsigned clock;
	int minutes;

	skip_cfws(&t);
	if (take_letters(&t).len > 0) {
		skip_cfws(&t);
		try_char(&t, ',');
		skip_cfws(&t);
	}
	c.day = number(&t, 1, 2);
	skip_cfws(&t);
	try_char(&t, '-');
	c.month = month(&t);
	take_letters(&t); /* the rest of a month written out */
	skip_cfws(&t);
	try_char(&t, '-');
	c.year = mail_year(&t);
	skip_cfws(&t);
	clock = clock_of(&t, 1);
	minutes = mail_zone(&t);
	t.s.len = 0; /* what follows a date is its own business */
	return finish(&t, c, clock, minutes, out);
}

static int64_t
floor_day(int64_t seconds)
{
	return seconds / DAY - (seconds % DAY < 0);
}

static struct civil
shown_day(int64_t seconds)
{
	struct civil c = civil_of(floor_day(seconds));

	/* Years that do not fit are shown as the nearest that does. */
	if (c.year < 0)
		return (struct civil){ 0, 1, 1 };
	if (c.year > 9999)
		return (struct civil){ 9999, 12, 31 };
	return c;
}

/* "02:44:25 -0700" */
static void
put_clock(struct buf *out, int64_t local, int minutes)
{
	unsigned s = (unsigned)(local - floor_day(local) * DAY);
	unsigned z = (unsigned)(minutes < 0 ? -minutes : minutes);

	buf_printf(out, "%02u:%02u:%02u %c%02u%02u", s / 3600, s / 60 % 60,
	    s % 60, minutes < 0 ? '-' : '+', z / 60 % 100, z % 60);
}

void
date_put_time(struct buf *out, const struct date_time *t)
{
	int64_t local = t->seconds + (int64_t)t->zone * 60;
	struct civil c = shown_day(local);

	buf_printf(out, "%02u-%s-%04u ", c.day, months[c.month - 1],
	    (unsigned)c.year);
	put_clock(out, local, t->zone);
}

void
date_put_mail(struct buf *out, const struct date_time *t)
{
	int64_t local = t->seconds + (int64_t)t->zone * 60;
	int64_t weekday = (floor_day(local) + 4) % 7;
	struct civil c = shown_day(local);

	buf_printf(out, "%s, %u %s %04u ",
	    weekdays[weekday < 0 ? weekday + 7 : weekday], c.day,
	    months[c.month - 1], (unsigned)c.year);
	put_clock(out, local, t->zone);
}

int64_t
date_day_of(const struct date_time *t)
{
	return floor_day(t->seconds + (int64_t)t->zone * 60) * DAY;
}
