/*
 * log: one line an event, "phrase key=value ...", to syslog or standard error.
 *
 * The phrase is literal text that can be found in the source; it is never
 * assembled.  After it come pairs of strings, key and value, and a NULL:
 *
 *	log_info(log, "session closed", "sid", sid, "user", user,
 *	    "in", LOG_NUM(octets), NULL);
 *
 * Values are quoted and escaped where needed and cut at 200 octets, so text
 * from a peer may be given as it is.  A value of NULL leaves the pair out.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct log;

enum log_level {
	LOG_LEVEL_ERR,  /* an operator must act */
	LOG_LEVEL_WARN, /* might have to */
	LOG_LEVEL_INFO, /* sessions and deliveries begin and end */
	LOG_LEVEL_DEBUG
};

/* To standard error if so told, else to syslog (facility mail). */
struct log *log_new(const char *program, enum log_level least, bool to_stderr);
void log_free(struct log **lp);
void log_set_level(struct log *l, enum log_level least);

/* "err", "warn", "info" or "debug": true, and *level. */
bool log_level_named(const char *name, enum log_level *level);

/*
 * At most 10 lines of warn or err a phrase and second; what was left out is
 * counted in the phrase's next line, "suppressed=N".
 */
void log_err(struct log *l, const char *phrase, ...) __attribute__((sentinel));
void log_warn(struct log *l, const char *phrase, ...) __attribute__((sentinel));
void log_info(struct log *l, const char *phrase, ...) __attribute__((sentinel));
void log_debug(struct log *l, const char *phrase, ...)
    __attribute__((sentinel));

/* A number, or a slice, as a value for the rest of the statement. */
#define LOG_NUM(n)   log_num((char[24]){ 0 }, (int64_t)(n))
#define LOG_SLICE(s) log_slice((char[208]){ 0 }, (s))
const char *log_num(char room[24], int64_t n);
const char *log_slice(char room[208], struct slice s);

#endif
