#define _GNU_SOURCE /* memfd_create */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/endpoint.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/settings.h"
#include "lib/wire.h"
#include "lib/whole.h"
#include "lib/xalloc.h"

enum {
	SETTINGS_FILES = 32 /* a spec's files, and the configuration itself */
};

/* A file's octets. */
struct held {
	uint8_t *octets;
	size_t len;
};

struct settings {
	const struct daemon_spec *spec;
	void *conf;
	char *file; /* where the configuration came from */
	struct held text;
	struct held files[SETTINGS_FILES];
};

static size_t
file_count(const struct daemon_spec *spec)
{
	size_t n = 0;

	while (spec->files != NULL && spec->files[n].name != NULL)
		n++;
	MUST(n <= SETTINGS_FILES);
	return n;
}

static struct slice
held_slice(const struct held *h)
{
	return slice_of(h->octets, h->len);
}

static void
held_free(struct held *h)
{
	if (h->octets != NULL)
		wipe(h->octets, h->len);
	free(h->octets);
	*h = (struct held){ 0 };
}

void
settings_free(struct settings **sp)
{
	struct settings *s = *sp;

	if (s == NULL)
		return;
	for (size_t i = 0; i < SETTINGS_FILES; i++)
		held_free(&s->files[i]);
	held_free(&s->text);
	conf_free(s->spec->conf, &s->conf);
	free(s->file);
	free(s);
	*sp = NULL;
}

static struct settings *
give_up(struct settings *s)
{
	settings_free(&s);
	return NULL;
}

static int
check_addresses(const struct settings *s, struct err *err)
{
	const struct daemon_listen *l = s->spec->listens;
	struct endpoint at;

	for (; l != NULL && l->name != NULL; l++) {
		const struct conf_list *list =
		    (const void *)((const char *)s->conf + l->offset);

		for (size_t i = 0; i < list->count; i++)
			if (endpoint_parse(&at, list->items[i], err) == -1)
				return err_add(err, "%s", s->file);
	}
	return 0;
}

/* What is in s->text becomes s->conf. */
static int
parse(struct settings *s, struct err *err)
{
	const struct daemon_conf *daemon;
	enum log_level level;

	s->conf = conf_parse(s->spec->conf, s->file, held_slice(&s->text), err);
	if (s->conf == NULL)
		return -1;
	daemon = settings_daemon(s);
	if (daemon->log_level == NULL ||
	    !log_level_named(daemon->log_level, &level))
		return err_set(err,
		    "%s: log_level must be err, warn, info or debug", s->file);
	return check_addresses(s, err);
}

static int
load_files(struct settings *s, struct err *err)
{
	for (size_t i = 0; i < file_count(s->spec); i++) {
		const struct daemon_file *f = &s->spec->files[i];
		const char *path;

		path = *(char *const *)((const char *)s->conf + f->offset);
		if (path == NULL || *path == '\0')
			continue;
		if (conf_load(path, &s->files[i].octets, &s->files[i].len,
		        err) == -1)
			return err_add(err, "%s", f->name);
	}
	return 0;
}

struct settings *
settings_read(const struct daemon_spec *spec, const char *file, struct err *err)
{
	struct settings *s = xcalloc(1, sizeof(*s));

	s->spec = spec;
	s->file = xstrdup(file);
	if (conf_load(file, &s->text.octets, &s->text.len, err) == -1 ||
	    parse(s, err) == -1 || load_files(s, err) == -1)
		return give_up(s);
	return s;
}

const void *
settings_conf(const struct settings *s)
{
	return s->conf;
}

const struct daemon_conf *
settings_daemon(const struct settings *s)
{
	return s->conf; /* every daemon's begins with it */
}

struct slice
settings_file(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < file_count(s->spec); i++)
		if (strcmp(s->spec->files[i].name, name) == 0)
			return held_slice(&s->files[i]);
	must_fail("a file of the daemon's spec", __FILE__, __LINE__, __func__);
	return slice_of(NULL, 0);
}

int
settings_pack(const struct settings *s, struct err *err)
{
	size_t n = file_count(s->spec), total = 1024;
	int fd = memfd_create("settings", MFD_CLOEXEC);
	struct buf b;

	if (fd == -1)
		return err_sys(err, "memory file");
	total += s->text.len + strlen(s->file);
	for (size_t i = 0; i < n; i++)
		total += s->files[i].len + 8;
	buf_init(&b, total);
	/* All at once: growing would leave copies of secrets behind. */
	MUST(buf_space(&b, &total) != NULL);
	wire_put_str(&b, s->file);
	wire_put_slice(&b, held_slice(&s->text));
	for (size_t i = 0; i < n; i++)
		wire_put_slice(&b, held_slice(&s->files[i]));
	MUST(!buf_failed(&b));
	if (whole_write(fd, buf_slice(&b), err) == -1) {
		err_add(err, "memory file");
		close(fd);
		fd = -1;
	}
	wipe(b.area, b.size);
	buf_fini(&b);
	return fd;
}

static void
take_held(struct wire *w, struct held *h)
{
	struct slice s = wire_slice(w);

	h->octets = xmemdup(s.ptr, s.len);
	h->len = s.len;
}

static void
take_all(struct settings *s, struct slice octets)
{
	struct slice file;
	struct wire w;

	wire_init(&w, octets);
	file = wire_slice(&w);
	s->file = xstrndup(file.ptr, file.len);
	take_held(&w, &s->text);
	for (size_t i = 0; i < file_count(s->spec); i++)
		take_held(&w, &s->files[i]);
	MUST(wire_done(&w));
}

struct settings *
settings_unpack(const struct daemon_spec *spec, int fd, struct err *err)
{
	struct settings *s;
	struct stat st;
	void *map;

	if (fstat(fd, &st) == -1) {
		err_sys(err, "memory file");
		close(fd);
		return NULL;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		err_sys(err, "memory file");
	close(fd);
	if (map == MAP_FAILED)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->spec = spec;
	take_all(s, slice_of(map, (size_t)st.st_size));
	munmap(map, (size_t)st.st_size);
	if (parse(s, err) == -1)
		return give_up(s);
	return s;
}
