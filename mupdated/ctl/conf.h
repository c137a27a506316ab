/*
 * conf: murderctl.conf(5), and the files it names.
 */
#ifndef MUPDATED_CTL_CONF_H
#define MUPDATED_CTL_CONF_H

#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/conf.h"

struct err;
struct tls;

struct ctl_conf {
	char *server, *user, *password_file, *mechanisms;
	int tls; /* enum mupdate_tls */
	char *ca, *cert, *key;
	uint64_t answer_ms;
};

extern const struct conf_table ctl_conf_table;

/*
 * The first line of password_file, to be wiped and freed; *password is NULL if
 * none is configured.  A file that everybody may read is refused.
 */
int ctl_conf_password(const struct ctl_conf *c, char **password,
    struct err *err) MUST_CHECK;

/* *tlsp is NULL without TLS. */
int ctl_conf_tls(const struct ctl_conf *c, struct tls **tlsp,
    struct err *err) MUST_CHECK;

#endif
