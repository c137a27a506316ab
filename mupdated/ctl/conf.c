#include <stdlib.h>
#include <sys/stat.h>

#include "imap/mupdate_conf.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "mupdated/ctl/conf.h"

#define AT(member) offsetof(struct ctl_conf, member)

/* clang-format off */
static const struct conf_item items[] = {
	MUPDATE_ITEMS(struct ctl_conf, ),
	{ "mupdate_password_file", CONF_STRING, AT(password_file), NULL, 0, 0,
	    NULL, "File with the password of mupdate_user in its first "
	    "line." },
	MUPDATE_TLS_ITEMS(struct ctl_conf, ),
	{ "answer_timeout", CONF_DURATION, AT(answer_ms), "30s", 100, 0, NULL,
	    "How long the update server may be silent before we give up." },
};
/* clang-format on */

static int
check(const void *arg, struct err *err)
{
	const struct ctl_conf *c = arg;

	if ((c->cert == NULL) != (c->key == NULL))
		return err_set(err, "mupdate_cert and mupdate_key: give both "
		                    "or neither");
	if (c->tls == MUPDATE_TLS_NO && (c->cert != NULL || c->ca != NULL))
		return err_set(err, "mupdate_cert and mupdate_ca need "
		                    "mupdate_tls = starttls or yes");
	return 0;
}

const struct conf_table ctl_conf_table = { items, NITEMS(items),
	sizeof(struct ctl_conf), check };

static void
forget(uint8_t **octets, size_t n)
{
	if (*octets != NULL)
		wipe(*octets, n);
	free(*octets);
	*octets = NULL;
}

int
ctl_conf_password(const struct ctl_conf *c, char **password, struct err *err)
{
	struct stat st;
	struct slice s;
	uint8_t *octets;
	size_t n;

	*password = NULL;
	if (c->password_file == NULL)
		return 0;
	if (stat(c->password_file, &st) == -1)
		return err_sys(err, "mupdate_password_file %s",
		    c->password_file);
	if (st.st_mode & S_IROTH)
		return err_set(err,
		    "mupdate_password_file %s: anybody may read it; chmod "
		    "o-rwx it",
		    c->password_file);
	if (conf_load(c->password_file, &octets, &n, err) == -1)
		return err_add(err, "mupdate_password_file");
	s = slice_of(octets, n);
	s = slice_trim(slice_first(s, slice_find(s, '\n')));
	*password = xstrndup(s.ptr, s.len);
	forget(&octets, n);
	return 0;
}

struct pem {
	uint8_t *octets;
	size_t n;
};

static int
load(struct pem *p, const char *file, struct err *err)
{
	return file == NULL ? 0 : conf_load(file, &p->octets, &p->n, err);
}

int
ctl_conf_tls(const struct ctl_conf *c, struct tls **tlsp, struct err *err)
{
	struct pem ca = { NULL, 0 }, cert = { NULL, 0 }, key = { NULL, 0 };
	struct tls_material m;

	*tlsp = NULL;
	if (c->tls == MUPDATE_TLS_NO)
		return 0;
	if (load(&ca, c->ca, err) == 0 && load(&cert, c->cert, err) == 0 &&
	    load(&key, c->key, err) == 0) {
		m = (struct tls_material){ .cert =
			                       slice_of(cert.octets, cert.n),
			.key = slice_of(key.octets, key.n),
			.ca = slice_of(ca.octets, ca.n),
			.require = ca.n > 0 };
		*tlsp = tls_client_new(&m, err);
	}
	forget(&ca.octets, ca.n);
	forget(&cert.octets, cert.n);
	forget(&key.octets, key.n);
	return *tlsp != NULL
	           ? 0
	           : err_add(err, "mupdate_ca, mupdate_cert, mupdate_key");
}
