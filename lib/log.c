#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/cdefs.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/utf8.h"
#include "lib/xalloc.h"

enum {
	LINE_MAX_OCTETS = 4096,
	VALUE_MAX = 200, /* octets of a value that are shown */
	RATE_PHRASES = 64,
	RATE_LINES = 10
};

/* One phrase's lines in one second. */
struct rate {
	const char *phrase; /* literal, so the address is the identity */
	int64_t second;
	unsigned lines, suppressed;
};

struct log {
	char *program;
	pid_t pid;
	enum log_level least;
	bool to_stderr;
	int syslog_fd; /* -1 if there is nobody to talk to */
	struct rate rates[RATE_PHRASES];
};

/* Text being built; what does not fit is left out. */
struct line {
	char text[LINE_MAX_OCTETS];
	size_t len;
};

static const char *const level_names[] = {
	[LOG_LEVEL_ERR] = "err",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static const int priorities[] = {
	[LOG_LEVEL_ERR] = LOG_MAIL | LOG_ERR,
	[LOG_LEVEL_WARN] = LOG_MAIL | LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_MAIL | LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_MAIL | LOG_DEBUG,
};

/*
 * Not syslog(3): that keeps its state in the process, blocks on a full socket
 * and opens /dev/log again after a chroot.
 */
static int
syslog_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
		.sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

struct log *
log_new(const char *program, enum log_level least, bool to_stderr)
{
	struct log *l = xcalloc(1, sizeof(*l));

	l->program = xstrdup(program);
	l->pid = getpid();
	l->least = least;
	l->to_stderr = to_stderr;
	l->syslog_fd = to_stderr ? -1 : syslog_connect();
	return l;
}

void
log_free(struct log **lp)
{
	if (*lp == NULL)
		return;
	if ((*lp)->syslog_fd != -1)
		close((*lp)->syslog_fd);
	free((*lp)->program);
	free(*lp);
	*lp = NULL;
}

void
log_set_level(struct log *l, enum log_level least)
{
	l->least = least;
}

bool
log_level_named(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < NITEMS(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void
line_put(struct line *o, const void *p, size_t n)
{
	if (n > sizeof(o->text) - o->len)
		return;
	memcpy(o->text + o->len, p, n);
	o->len += n;
}

static void
line_puts(struct line *o, const char *s)
{
	line_put(o, s, strlen(s));
}

/* Fit to stand without quotes. */
static bool
plain(const char *value)
{
	if (*value == '\0')
		return false;
	for (; *value != '\0'; value++)
		if (*value <= ' ' || *value > '~' ||
		    strchr("\"=\\", *value) != NULL)
			return false;
	return true;
}

/* One character off the front of s: as it is, or escaped. */
static void
put_character(struct line *o, struct slice *s)
{
	struct slice before = *s;
	uint32_t c = utf8_take(s);
	char hex[8];

	if (c == '"' || c == '\\') {
		line_put(o, "\\", 1);
	} else if (c < ' ' || (c >= 0x7f && c < 0xa0) || c == UINT32_MAX) {
		*s = slice_skip(before, 1);
		snprintf(hex, sizeof(hex), "\\x%02x", before.ptr[0]);
		line_puts(o, hex);
		/* The second octet of a C1 control is escaped in its turn. */
		return;
	}
	line_put(o, before.ptr, before.len - s->len);
}

static void
put_value(struct line *o, const char *value)
{
	struct slice s = slice_of(value, strnlen(value, VALUE_MAX + 1));
	bool cut = s.len > VALUE_MAX;

	if (!cut && plain(value)) {
		line_put(o, s.ptr, s.len);
		return;
	}
	if (cut)
		s.len = VALUE_MAX;
	line_puts(o, "\"");
	while (s.len > 0)
		put_character(o, &s);
	line_puts(o, cut ? "...\"" : "\"");
}

static void
put_pair(struct line *o, const char *key, const char *value)
{
	if (value == NULL)
		return;
	line_puts(o, " ");
	line_puts(o, key);
	line_puts(o, "=");
	put_value(o, value);
}

static void
put_time(struct line *o, const struct timespec *now)
{
	char text[40];
	struct tm tm;
	size_t n;

	gmtime_r(&now->tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03ldZ ",
	    now->tv_nsec / 1000000);
	line_puts(o, text);
}

/* The phrase's own slot, else the one that was used longest ago. */
static struct rate *
rate_of(struct log *l, const char *phrase)
{
	struct rate *oldest = &l->rates[0];

	for (size_t i = 0; i < RATE_PHRASES; i++) {
		struct rate *r = &l->rates[i];

		if (r->phrase == phrase)
			return r;
		if (r->second < oldest->second)
			oldest = r;
	}
	*oldest = (struct rate){ .phrase = phrase };
	return oldest;
}

/* May this line go out?  *suppressed: how many before it did not. */
static bool
rate_admits(struct log *l, const char *phrase, int64_t second,
    unsigned *suppressed)
{
	struct rate *r = rate_of(l, phrase);

	if (r->second != second) {
		r->second = second;
		r->lines = 0;
	}
	if (r->lines >= RATE_LINES) {
		r->suppressed++;
		return false;
	}
	r->lines++;
	*suppressed = r->suppressed;
	r->suppressed = 0;
	return true;
}

static void
send_syslog(struct log *l, enum log_level level, const struct line *body)
{
	struct line o = { .len = 0 };
	char head[32];

	snprintf(head, sizeof(head), "<%d>", priorities[level]);
	line_puts(&o, head);
	line_put(&o, body->text, body->len);
	if (l->syslog_fd != -1 &&
	    send(l->syslog_fd, o.text, o.len, MSG_NOSIGNAL) != -1)
		return;
	/* The logger was restarted, or its socket is full: one more try. */
	if (l->syslog_fd != -1)
		close(l->syslog_fd);
	l->syslog_fd = syslog_connect();
	if (l->syslog_fd != -1 &&
	    send(l->syslog_fd, o.text, o.len, MSG_NOSIGNAL) == -1) {
		close(l->syslog_fd);
		l->syslog_fd = -1;
	}
}

static void
send_stderr(const struct timespec *now, const struct line *body)
{
	struct line o = { .len = 0 };

	put_time(&o, now);
	line_put(&o, body->text, body->len);
	/* There is nowhere to tell that this failed. */
	if (o.len == sizeof(o.text))
		o.len--;
	line_puts(&o, "\n");
	if (write(STDERR_FILENO, o.text, o.len) == -1)
		return;
}

static void
put_line(struct log *l, enum log_level level, const char *phrase, va_list ap)
{
	struct line o = { .len = 0 };
	const char *key, *value;
	unsigned suppressed = 0;
	struct timespec now;
	char pid[24];

	if (level > l->least)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (level <= LOG_LEVEL_WARN &&
	    !rate_admits(l, phrase, now.tv_sec, &suppressed))
		return;
	snprintf(pid, sizeof(pid), "[%ld]: ", (long)l->pid);
	line_puts(&o, l->program);
	line_puts(&o, pid);
	line_puts(&o, phrase);
	while ((key = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		put_pair(&o, key, value);
	}
	if (suppressed > 0)
		put_pair(&o, "suppressed", LOG_NUM(suppressed));
	if (l->to_stderr)
		send_stderr(&now, &o);
	else
		send_syslog(l, level, &o);
}

void
log_err(struct log *l, const char *phrase, ...)
{
	va_list ap;

	va_start(ap, phrase);
	put_line(l, LOG_LEVEL_ERR, phrase, ap);
	va_end(ap);
}

void
log_warn(struct log *l, const char *phrase, ...)
{
	va_list ap;

	va_start(ap, phrase);
	put_line(l, LOG_LEVEL_WARN, phrase, ap);
	va_end(ap);
}

void
log_info(struct log *l, const char *phrase, ...)
{
	va_list ap;

	va_start(ap, phrase);
	put_line(l, LOG_LEVEL_INFO, phrase, ap);
	va_end(ap);
}

void
log_debug(struct log *l, const char *phrase, ...)
{
	va_list ap;

	va_start(ap, phrase);
	put_line(l, LOG_LEVEL_DEBUG, phrase, ap);
	va_end(ap);
}

const char *
log_num(char room[24], int64_t n)
{
	snprintf(room, 24, "%lld", (long long)n);
	return room;
}

const char *
log_slice(char room[208], struct slice s)
{
	size_t n = s.len > VALUE_MAX + 1 ? VALUE_MAX + 1 : s.len;

	/* One octet more than is shown, so that the cut is seen. */
	for (size_t i = 0; i < n; i++)
		room[i] = s.ptr[i] == '\0' ? '?' : (char)s.ptr[i];
	room[n] = '\0';
	return room;
}
