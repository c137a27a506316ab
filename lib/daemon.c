#define _GNU_SOURCE /* getopt's place differs between systems */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/brood.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/settings.h"
#include "lib/xalloc.h"

enum {
	NAME_OCTETS = 128
};

struct options {
	bool foreground, check, verbose;
	const char *file;
};

struct daemon {
	const struct daemon_spec *spec;
	struct options options;
	struct settings *settings;
	struct bound *bounds;
	size_t nbounds;
	struct loop *loop;
	struct log *log;
	struct brood *brood;
	int started_fd; /* the caller waits at its other end; -1: nobody */
	bool started;
	char *pid_file; /* written; NULL: none */
	int status;     /* to exit with */
};

static int
usage(const struct daemon_spec *spec)
{
	fprintf(stderr, "usage: %s [-dnv] [-f file]\n", spec->name);
	return -1;
}

static int
parse_options(struct options *o, const struct daemon_spec *spec, int argc,
    char **argv)
{
	int c;

	*o = (struct options){ .file = spec->conf_file };
	while ((c = getopt(argc, argv, "df:nv")) != -1) {
		if (c == 'd')
			o->foreground = true;
		else if (c == 'f')
			o->file = optarg;
		else if (c == 'n')
			o->check = true;
		else if (c == 'v')
			o->verbose = true;
		else
			return usage(spec);
	}
	return optind == argc ? 0 : usage(spec);
}

static int
complain(const struct daemon_spec *spec, const char *why)
{
	fprintf(stderr, "%s: %s\n", spec->name, why);
	return 1;
}

static const struct conf_list *
addresses(const struct daemon_listen *l, const struct settings *s)
{
	return (const void *)((const char *)settings_conf(s) + l->offset);
}

static int
bind_address(const struct daemon *d, const struct daemon_listen *l,
    const char *address, struct err *err)
{
	const char *user = settings_daemon(d->settings)->user;

	if (d->spec->tool != NULL && strcmp(d->spec->tool, l->name) == 0)
		return listen_bind_packets(address, user, err);
	return listen_bind(address, err);
}

static int
bind_one(struct daemon *d, const struct daemon_listen *l, const char *address,
    struct err *err)
{
	int fd = bind_address(d, l, address, err);

	if (fd == -1)
		return -1;
	d->bounds =
	    xreallocarray(d->bounds, d->nbounds + 1, sizeof(d->bounds[0]));
	d->bounds[d->nbounds++] = (struct bound){ l->name, l->child, fd };
	return 0;
}

static int
bind_all(struct daemon *d, struct err *err)
{
	const struct daemon_listen *l = d->spec->listens;

	for (; l != NULL && l->name != NULL; l++) {
		const struct conf_list *list = addresses(l, d->settings);

		for (size_t i = 0; i < list->count; i++)
			if (bind_one(d, l, list->items[i], err) == -1)
				return -1;
	}
	return 0;
}

static void
log_bounds(struct daemon *d)
{
	char name[NAME_OCTETS];

	for (size_t i = 0; i < d->nbounds; i++) {
		listen_name(d->bounds[i].fd, name, sizeof(name));
		log_info(d->log, "listening", "name", d->bounds[i].name,
		    "address", name, NULL);
	}
}

/*
 * Goes to the background.  The caller's process stays and exits as told
 * through the pipe; -1 if there is no such thing as a second process.
 */
static int
leave_caller(struct daemon *d, struct err *err)
{
	char status = 1;
	int fds[2];
	pid_t pid;

	if (pipe(fds) == -1 || fcntl(fds[1], F_SETFD, FD_CLOEXEC) == -1)
		return err_sys(err, "pipe");
	pid = fork();
	if (pid == -1)
		return err_sys(err, "fork");
	if (pid > 0) {
		close(fds[1]);
		/* No octet: it died, and has said why if it could. */
		while (read(fds[0], &status, 1) == -1 && errno == EINTR)
			continue;
		_exit(status);
	}
	close(fds[0]);
	d->started_fd = fds[1];
	setsid();
	return 0;
}

/* Lets the caller go; from now on there is no terminal. */
static void
release_caller(struct daemon *d)
{
	int null;

	if (d->started_fd == -1)
		return;
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; null != -1 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	/* If the caller has gone meanwhile, nobody wants to know. */
	(void)!write(d->started_fd, "", 1);
	close(d->started_fd);
	d->started_fd = -1;
}

static int
write_pid_file(struct daemon *d, struct err *err)
{
	const char *path = settings_daemon(d->settings)->pid_file;
	FILE *f;
	int bad;

	if (path == NULL)
		return 0;
	f = fopen(path, "we");
	if (f == NULL)
		return err_sys(err, "%s", path);
	d->pid_file = xstrdup(path); /* a reload may name another */
	bad = fprintf(f, "%ld\n", (long)getpid()) < 0;
	bad |= fclose(f) != 0;
	return bad ? err_sys(err, "%s", path) : 0;
}

/* sd_notify(3), without the library. */
static void
notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = path == NULL ? 0 : strlen(path);
	int fd;

	if (n == 0 || n >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	/* There is nobody to tell that it could not be told. */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

static void
brood_event(void *arg, enum brood_event ev, const char *why)
{
	struct daemon *d = arg;

	switch (ev) {
	case BROOD_STARTED:
		d->started = true;
		log_info(d->log, "started", "configuration", d->options.file,
		    NULL);
		release_caller(d);
		notify("READY=1");
		return;
	case BROOD_FAILED:
		log_err(d->log, "start failed", "why", why, NULL);
		if (!d->options.foreground)
			complain(d->spec, why);
		d->status = 1;
		loop_stop(d->loop);
		return;
	case BROOD_ENDED:
		d->status = d->started ? 0 : 1;
		loop_stop(d->loop);
		return;
	}
}

static bool
same_list(const struct conf_list *a, const struct conf_list *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

/* Sockets and processes are made at the start only. */
static void
warn_of_what_stays(struct daemon *d, const struct settings *s)
{
	const struct daemon_child *const *kind = d->spec->children;
	const struct daemon_listen *l = d->spec->listens;

	for (; l != NULL && l->name != NULL; l++)
		if (!same_list(addresses(l, d->settings), addresses(l, s)))
			log_warn(d->log, "addresses change at the next start",
			    "listener", l->name, NULL);
	for (; *kind != NULL; kind++)
		if ((*kind)->count(settings_conf(d->settings)) !=
		    (*kind)->count(settings_conf(s)))
			log_warn(d->log,
			    "number of children changes at the next start",
			    "child", (*kind)->name, NULL);
}

static void
on_reload(void *arg, int signo)
{
	struct daemon *d = arg;
	struct settings *s;
	struct err err;

	(void)signo;
	s = settings_read(d->spec, d->options.file, &err);
	if (s == NULL) {
		log_err(d->log, "reload failed, keeping the old configuration",
		    "why", err.text, NULL);
		return;
	}
	warn_of_what_stays(d, s);
	log_set_level(d->log, child_log_level(s, d->options.verbose));
	brood_reload(d->brood, s);
	settings_free(&d->settings);
	d->settings = s;
	log_info(d->log, "reloaded", "configuration", d->options.file, NULL);
}

static void
on_end(void *arg, int signo)
{
	struct daemon *d = arg;

	log_info(d->log, "draining", "signal", LOG_NUM(signo), NULL);
	notify("STOPPING=1");
	brood_drain(d->brood, settings_daemon(d->settings)->drain_ms);
}

static void
catch_signals(struct daemon *d)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	MUST(sigaction(SIGPIPE, &sa, NULL) == 0);
	loop_signal(d->loop, SIGHUP, on_reload, d);
	loop_signal(d->loop, SIGTERM, on_end, d);
	loop_signal(d->loop, SIGINT, on_end, d);
}

static void
run(struct daemon *d)
{
	struct brood_setup setup = { .spec = d->spec,
		.settings = d->settings,
		.bounds = d->bounds,
		.nbounds = d->nbounds,
		.to_stderr = d->options.foreground,
		.verbose = d->options.verbose,
		.cb = brood_event,
		.arg = d };

	setup.log = d->log = log_new(d->spec->name,
	    child_log_level(d->settings, d->options.verbose),
	    d->options.foreground);
	setup.loop = d->loop = loop_new();
	log_bounds(d);
	d->brood = brood_new(&setup);
	catch_signals(d);
	loop_run(d->loop);
	brood_free(&d->brood);
	log_info(d->log, "ended", "status", LOG_NUM(d->status), NULL);
	loop_free(&d->loop);
	log_free(&d->log);
}

static void
clean_up(struct daemon *d)
{
	for (size_t i = 0; i < d->nbounds; i++) {
		char name[NAME_OCTETS];

		listen_name(d->bounds[i].fd, name, sizeof(name));
		if (name[0] == '/')
			unlink(name);
		close(d->bounds[i].fd);
	}
	free(d->bounds);
	if (d->pid_file != NULL)
		unlink(d->pid_file);
	free(d->pid_file);
	settings_free(&d->settings);
}

static int
start(struct daemon *d, struct err *err)
{
	if (bind_all(d, err) == -1)
		return -1;
	if (!d->options.foreground && leave_caller(d, err) == -1)
		return -1;
	if (write_pid_file(d, err) == -1)
		return -1;
	run(d);
	return 0;
}

int
daemon_main(const struct daemon_spec *spec, int argc, char **argv)
{
	struct daemon d = { .spec = spec, .started_fd = -1, .status = 1 };
	struct err err;

	if (parse_options(&d.options, spec, argc, argv) == -1)
		return 1;
	d.settings = settings_read(spec, d.options.file, &err);
	if (d.settings == NULL)
		return complain(spec, err.text);
	if (d.options.check) {
		conf_print(spec->conf, settings_conf(d.settings), stdout);
		d.status = 0;
	} else if (start(&d, &err) == -1) {
		complain(spec, err.text);
	}
	clean_up(&d);
	return d.status;
}
