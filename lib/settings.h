/*
 * settings: what a daemon's configuration file, and the files it names, held
 * at one moment.
 *
 * The parent reads them, since it may be the only one who can; its children
 * get the octets, at birth by fork and at a reload through a descriptor, and
 * open none of the files.
 */
#ifndef LIB_SETTINGS_H
#define LIB_SETTINGS_H

#include "lib/cdefs.h"
#include "lib/slice.h"

struct daemon_conf;
struct daemon_spec;
struct err;
struct settings;

/* NULL and *err if anything is wrong or missing. */
struct settings *settings_read(const struct daemon_spec *spec, const char *file,
    struct err *err) MUST_CHECK;

/* Wipes what it frees. */
void settings_free(struct settings **sp);

/* The struct that spec->conf describes; borrowed. */
const void *settings_conf(const struct settings *s);
const struct daemon_conf *settings_daemon(const struct settings *s);

/* Of a name in spec->files; empty if it is not configured. */
struct slice settings_file(const struct settings *s, const char *name);

/* A descriptor of a memory file, or -1 and *err. */
int settings_pack(const struct settings *s, struct err *err) MUST_CHECK;

/* Takes fd. */
struct settings *settings_unpack(const struct daemon_spec *spec, int fd,
    struct err *err) MUST_CHECK;

#endif
