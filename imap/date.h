/*
 * date: the dates of IMAP and of mail, to seconds and back.
 *
 * Seconds since 1970 in UTC by the proleptic Gregorian calendar, years 0 to
 * 9999; no leap seconds (60 is taken as 59), no time zone data base.
 */
#ifndef IMAP_DATE_H
#define IMAP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;

struct date_time {
	int64_t seconds; /* UTC */
	int zone;        /* minutes east of Greenwich that it was written in */
};

/* The inside of an IMAP date-time: " 1-Feb-1996 02:44:25 -0700". */
bool date_parse_time(struct slice s, struct date_time *t);

/* An IMAP date, "1-Feb-1996": its midnight in UTC. */
bool date_parse_day(struct slice s, int64_t *seconds);

/*
 * RFC 5322 with its obsolete forms, as liberal as mail is: comments, a missing
 * day name or seconds, two-digit years, zone names.
 */
bool date_parse_mail(struct slice s, struct date_time *t);

/* "01-Feb-1996 02:44:25 -0700" */
void date_put_time(struct buf *out, const struct date_time *t);

/* "Thu, 1 Feb 1996 02:44:25 -0700" */
void date_put_mail(struct buf *out, const struct date_time *t);

/* Midnight UTC of the day it is in the zone it was written in (SENTON etc). */
int64_t date_day_of(const struct date_time *t);

#endif
