/*
 * daemon: a small daemon of two kinds of children is started, reloaded, hurt
 * and ended.
 *
 * Its children report what happens to them, one datagram an event, to a socket
 * that the test reads; the test waits for what it expects and no longer.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	PATIENCE = 60000 /* ms; only a failing run waits so long */
};

/* ---- The daemon. */

struct example {
	struct daemon_conf daemon;
	char *report; /* where to send events */
	char *value, *key_file;
	bool stubborn; /* the helper does not drain */
	bool broken;   /* the helper does not start */
	struct conf_list addresses;
};

static const struct conf_item items[] = {
	DAEMON_ITEMS(struct example),
	{ "report", CONF_STRING, offsetof(struct example, report), NULL, 0, 0,
	    NULL, NULL },
	{ "value", CONF_STRING, offsetof(struct example, value), "none", 0, 0,
	    NULL, NULL },
	{ "key_file", CONF_STRING, offsetof(struct example, key_file), NULL, 0,
	    0, NULL, NULL },
	{ "stubborn", CONF_BOOL, offsetof(struct example, stubborn), "no", 0, 0,
	    NULL, NULL },
	{ "broken", CONF_BOOL, offsetof(struct example, broken), "no", 0, 0,
	    NULL, NULL },
	{ "listen", CONF_LIST, offsetof(struct example, addresses), NULL, 0, 0,
	    NULL, NULL },
};

static const struct conf_table table = { items, NITEMS(items),
	sizeof(struct example), NULL };

struct member {
	struct child *child;
	const char *kind;
	struct listen *listen;
	struct ipc *talk; /* to the neighbour introduced last */
};

static void report(struct member *m, const char *fmt, ...) PRINTFLIKE(2, 3);

static void
report(struct member *m, const char *fmt, ...)
{
	const struct example *x = child_conf(m->child);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char text[256];
	va_list ap;
	int fd, n;

	n = snprintf(text, sizeof(text), "%s %u ", m->kind,
	    child_index(m->child));
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(fd != -1 && strlen(x->report) < sizeof(sun.sun_path));
	memcpy(sun.sun_path, x->report, strlen(x->report) + 1);
	MUST(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sun,
	         sizeof(sun)) != -1);
	close(fd);
}

static unsigned
two(const void *conf)
{
	(void)conf;
	return 2;
}

static unsigned
one(const void *conf)
{
	(void)conf;
	return 1;
}

static void
greet(void *arg, int fd)
{
	struct member *m = arg;

	report(m, "accepted");
	close(fd);
}

static struct member *
member_new(struct child *c, const char *kind)
{
	struct member *m = xcalloc(1, sizeof(*m));

	m->child = c;
	m->kind = kind;
	return m;
}

static int
server_start(struct child *c, void **statep, struct err *err)
{
	struct member *m = *statep = member_new(c, "server");

	(void)err;
	m->listen = listen_new(child_loop(c), child_log(c),
	    child_listener(c, "echo", 0), greet, m);
	MUST(child_listener(c, "echo", 1) == -1);
	MUST(child_count(c, "server") == 2 && child_count(c, "helper") == 1);
	report(m, "start %ld", (long)getpid());
	return 0;
}

static int
helper_start(struct child *c, void **statep, struct err *err)
{
	const struct example *x = child_conf(c);

	if (x->broken)
		return err_set(err, "broken as told");
	*statep = member_new(c, "helper");
	MUST(child_listener(c, "echo", 0) == -1);
	report(*statep, "start %ld", (long)getpid());
	return 0;
}

static void
talk(void *arg, const struct ipc_message *msg)
{
	struct member *m = arg;

	if (msg == NULL) {
		ipc_free(&m->talk);
		return;
	}
	report(m, "heard %.*s", (int)msg->payload.len,
	    (const char *)msg->payload.ptr);
}

static void
neighbour(void *state, const char *name, unsigned index, int fd)
{
	struct member *m = state;
	char text[64];

	report(m, "neighbour %s %u", name, index);
	/* The helper has two; one of them is enough to be heard. */
	ipc_free(&m->talk);
	m->talk = ipc_new(child_loop(m->child), fd, talk, m);
	snprintf(text, sizeof(text), "%s %u", m->kind, child_index(m->child));
	if (!ipc_send(m->talk, 1, 1, slice_str(text), -1))
		report(m, "could not send");
}

static void
reload(void *state)
{
	struct member *m = state;
	const struct example *x = child_conf(m->child);
	struct slice key = child_file(m->child, "key");

	report(m, "reload %s %.*s", x->value, (int)key.len,
	    (const char *)key.ptr);
}

static void
drain(void *state)
{
	struct member *m = state;
	const struct example *x = child_conf(m->child);

	report(m, "drain");
	listen_free(&m->listen);
	if (m->kind[0] == 's' || !x->stubborn)
		child_drained(m->child);
}

static const struct daemon_child server = { "server", two, server_start,
	neighbour, reload, drain };
static const struct daemon_child helper = { "helper", one, helper_start,
	neighbour, reload, drain };
static const struct daemon_child *const kinds[] = { &server, &helper, NULL };
static const struct daemon_link links[] = { { "server", "helper" },
	{ NULL, NULL } };
static const struct daemon_listen listens[] = {
	{ "echo", offsetof(struct example, addresses), "server" },
	{ NULL, 0, NULL }
};
static const struct daemon_file files[] = {
	{ "key", offsetof(struct example, key_file) }, { NULL, 0 }
};

static const struct daemon_spec spec = { "exampled", "/nonexistent", &table,
	kinds, links, listens, NULL, files };

/* ---- The test. */

struct stage {
	char dir[64];
	char conf[128], sock[128], report[128], key[128], pid[128], log[128];
	int fd;               /* of the report socket */
	char seen[64 * 1024]; /* every report, one a line */
};

static void write_file(const char *path, const char *fmt, ...) PRINTFLIKE(2, 3);

static void
write_file(const char *path, const char *fmt, ...)
{
	FILE *f = fopen(path, "w");
	va_list ap;

	MUST(f != NULL);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	MUST(fclose(f) == 0);
}

static void
configure(struct stage *s, const char *value, const char *more)
{
	write_file(s->conf,
	    "report = %s\nlisten = %s\nkey_file = %s\npid_file = %s\n"
	    "value = %s\n%s",
	    s->report, s->sock, s->key, s->pid, value, more);
}

static void
setup(struct stage *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memset(s, 0, sizeof(*s));
	tempdir_make(s->dir);
	snprintf(s->conf, sizeof(s->conf), "%s/conf", s->dir);
	snprintf(s->sock, sizeof(s->sock), "%s/sock", s->dir);
	snprintf(s->report, sizeof(s->report), "%s/report", s->dir);
	snprintf(s->key, sizeof(s->key), "%s/key", s->dir);
	snprintf(s->pid, sizeof(s->pid), "%s/pid", s->dir);
	snprintf(s->log, sizeof(s->log), "%s/log", s->dir);
	write_file(s->key, "secret-1");
	configure(s, "first", "");
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(s->fd != -1 && strlen(s->report) < sizeof(sun.sun_path));
	memcpy(sun.sun_path, s->report, strlen(s->report));
	MUST(bind(s->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
}

static void
teardown(struct stage *s)
{
	const char *const paths[] = { s->conf, s->sock, s->report, s->key,
		s->pid, s->log };

	close(s->fd);
	for (size_t i = 0; i < NITEMS(paths); i++)
		unlink(paths[i]);
	ok(rmdir(s->dir) == 0, "nothing is left behind");
}

/* One more report into s->seen; false if none comes. */
static bool
hear(struct stage *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	size_t used = strlen(s->seen);
	ssize_t n;

	MUST(used + 300 < sizeof(s->seen));
	if (poll(&p, 1, PATIENCE) != 1)
		return false;
	n = recv(s->fd, s->seen + used, 256, 0);
	MUST(n > 0);
	s->seen[used + (size_t)n] = '\n';
	s->seen[used + (size_t)n + 1] = '\0';
	return true;
}

static size_t
occurrences(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what)) != NULL) {
		text++;
		n++;
	}
	return n;
}

/* Reads reports until text has been seen so many times. */
static bool
wait_for(struct stage *s, const char *text, size_t times)
{
	while (occurrences(s->seen, text) < times)
		if (!hear(s)) {
			printf("# no '%s' in:\n%s", text, s->seen);
			return false;
		}
	return true;
}

/* Standard error goes to s->log. */
static pid_t
launch(struct stage *s, const char *option)
{
	char *argv[] = { xstrdup("exampled"), xstrdup("-f"), s->conf,
		option == NULL ? NULL : xstrdup(option), NULL };
	pid_t pid;
	int fd;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		fd = open(s->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		MUST(fd != -1 && dup2(fd, STDERR_FILENO) != -1);
		MUST(dup2(fd, STDOUT_FILENO) != -1);
		close(s->fd);
		fd = daemon_main(&spec, option == NULL ? 3 : 4, argv);
		fflush(stdout);
		_exit(fd);
	}
	free(argv[0]);
	free(argv[1]);
	free(argv[3]);
	return pid;
}

static int
status_of(pid_t pid)
{
	int status;

	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *
log_text(struct stage *s)
{
	static char text[64 * 1024];
	FILE *f = fopen(s->log, "r");
	size_t n;

	MUST(f != NULL);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

/* The pid that came with the last report that begins so. */
static pid_t
last_pid(struct stage *s, const char *text)
{
	const char *at = s->seen, *last = NULL;

	while ((at = strstr(at, text)) != NULL)
		last = at++;
	MUST(last != NULL);
	return (pid_t)atoi(last + strlen(text));
}

static bool
all_joined(struct stage *s, size_t times)
{
	return wait_for(s, "server 0 neighbour helper 0\n", times) &&
	       wait_for(s, "server 1 neighbour helper 0\n", times) &&
	       wait_for(s, "helper 0 neighbour server 0\n", times) &&
	       wait_for(s, "helper 0 neighbour server 1\n", times) &&
	       wait_for(s, "server 0 heard helper 0\n", times) &&
	       wait_for(s, "server 1 heard helper 0\n", times);
}

static bool
knock(struct stage *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool good;

	memcpy(sun.sun_path, s->sock, strlen(s->sock));
	good = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
	close(fd);
	return good;
}

static void
test_life(struct stage *s)
{
	pid_t pid, kid;

	setup(s);
	pid = launch(s, "-d");
	ok(all_joined(s, 1), "started and joined");
	ok(knock(s) && wait_for(s, "accepted\n", 1), "accepts");

	kid = last_pid(s, "helper 0 start ");
	kill(kid, SIGKILL);
	ok(wait_for(s, "helper 0 start ", 2), "what dies is started again");
	ok(all_joined(s, 2), "and joined again");
	ok(last_pid(s, "helper 0 start ") != kid, "as another process");

	kill(last_pid(s, "server 1 start "), SIGKILL);
	ok(wait_for(s, "server 1 start ", 2), "the other kind too");
	ok(wait_for(s, "helper 0 neighbour server 1\n", 3), "and joined");

	configure(s, "second", "");
	write_file(s->key, "secret-2");
	kill(pid, SIGHUP);
	ok(wait_for(s, "server 0 reload second secret-2\n", 1) &&
	        wait_for(s, "server 1 reload second secret-2\n", 1) &&
	        wait_for(s, "helper 0 reload second secret-2\n", 1),
	    "a reload reaches all");

	configure(s, "third", "nonsense = yes\n");
	kill(pid, SIGHUP);
	/* The parent does one after the other, so this is behind the reload. */
	kill(last_pid(s, "helper 0 start "), SIGKILL);
	ok(wait_for(s, "helper 0 start ", 3), "started once more");
	configure(s, "fourth", "");
	kill(pid, SIGHUP);
	ok(wait_for(s, "server 0 reload fourth", 1), "a good file again");
	ok(strstr(s->seen, "third") == NULL, "a bad one had no effect");

	/* Reports are read until the last: who finds no room for one waits. */
	kill(pid, SIGTERM);
	ok(wait_for(s, "server 0 drain\n", 1) &&
	        wait_for(s, "server 1 drain\n", 1) &&
	        wait_for(s, "helper 0 drain\n", 1),
	    "all drain");
	ok(status_of(pid) == 0, "and it ends with status 0");
	ok(strstr(s->seen, "server 1 drain\n") <
	        strstr(s->seen, "helper 0 drain\n"),
	    "those who accept first");
	ok(strstr(log_text(s), "keeping the old configuration") != NULL,
	    "the bad file is in the log");
	ok(strstr(log_text(s), "conf:6: ") != NULL, "with its line");
	ok(access(s->pid, F_OK) == -1, "the pid file is gone");
	teardown(s);
}

static void
test_stubborn(struct stage *s)
{
	pid_t pid;

	setup(s);
	configure(s, "first", "stubborn = yes\ndrain_timeout = 100ms\n");
	pid = launch(s, "-d");
	ok(all_joined(s, 1), "started");
	kill(pid, SIGTERM);
	ok(status_of(pid) == 0, "who does not drain is killed");
	ok(strstr(log_text(s), "drain_timeout") != NULL, "and logged");
	teardown(s);
}

static void
test_orphans(struct stage *s)
{
	pid_t pid, kid;

	setup(s);
	pid = launch(s, "-d");
	ok(all_joined(s, 1), "started");
	kid = last_pid(s, "helper 0 start ");
	kill(pid, SIGKILL);
	ok(status_of(pid) == -1, "the parent is killed");
	/* By the signal, or by themselves when the socket ends. */
	ok(waitpid(kid, NULL, 0) == kid, "so are its children");
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	unlink(s->pid);
	teardown(s);
}

static void
test_bad_start(struct stage *s)
{
	setup(s);
	configure(s, "first", "broken = yes\n");
	ok(status_of(launch(s, "-d")) == 1, "a child that does not start");
	ok(strstr(log_text(s), "helper child 0: broken as told") != NULL,
	    "is said why");
	ok(status_of(launch(s, NULL)) == 1, "from the background too");
	ok(strstr(log_text(s), "exampled: helper child 0: broken as told") !=
	        NULL,
	    "is said why");

	configure(s, "first", "nonsense = yes\n");
	ok(status_of(launch(s, "-d")) == 1, "a bad configuration");
	ok(strstr(log_text(s), "there is no option \"nonsense\"") != NULL,
	    "is said why");
	configure(s, "first", "log_level = loud\n");
	ok(status_of(launch(s, "-d")) == 1, "a bad log level");
	configure(s, "first", "listen = nowhere\n");
	ok(status_of(launch(s, "-d")) == 1, "a bad address");
	ok(strstr(log_text(s), "\"nowhere\" has no port") != NULL,
	    "is said why");
	configure(s, "first", "");
	unlink(s->key);
	ok(status_of(launch(s, "-d")) == 1, "a missing key");
	ok(strstr(log_text(s), "key: ") != NULL, "is named");
	write_file(s->key, "secret");
	ok(status_of(launch(s, "-x")) == 1, "a bad option");
	teardown(s);
}

static void
test_check(struct stage *s)
{
	setup(s);
	ok(status_of(launch(s, "-n")) == 0, "checked");
	ok(strstr(log_text(s), "value = first\n") != NULL, "and printed");
	ok(s->seen[0] == '\0', "and not started");
	configure(s, "first", "listen = 127.0.0.1:99999\n");
	ok(status_of(launch(s, "-n")) == 1 &&
	        strstr(log_text(s), "127.0.0.1:99999") != NULL,
	    "an address that is none");
	teardown(s);
}

static pid_t
pid_in_file(struct stage *s)
{
	char text[32] = "";
	FILE *f = fopen(s->pid, "r");

	MUST(f != NULL && fgets(text, sizeof(text), f) != NULL);
	fclose(f);
	return (pid_t)atoi(text);
}

static void
test_background(struct stage *s)
{
	pid_t pid;

	setup(s);
	ok(status_of(launch(s, NULL)) == 0, "the caller has its status");
	ok(wait_for(s, " start ", 3), "when all are started");
	pid = pid_in_file(s);
	ok(pid > 0 && kill(pid, 0) == 0, "the pid file tells the truth");
	kill(pid, SIGTERM);
	ok(wait_for(s, "helper 0 drain\n", 1), "and the end is the same");
	ok(status_of(pid) == 0, "status 0");
	ok(access(s->pid, F_OK) == -1, "the pid file is gone");
	teardown(s);
}

int
main(void)
{
	static struct stage s;

	/* What a daemon leaves behind becomes ours to wait for. */
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);

	test_life(&s);
	test_stubborn(&s);
	test_orphans(&s);
	test_bad_start(&s);
	test_check(&s);
	test_background(&s);
	return done_testing();
}
